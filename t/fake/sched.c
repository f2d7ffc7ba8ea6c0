
/*
 * The scheduler of Ollama 0.17.4.
 *
 *     enter -> line -> load -> wait -> work -> leave
 *
 * A request for a model that isn't loaded, or is loaded with other options,
 * stands in the line of all loads.  Only its head gets anywhere: it waits
 * until the load that goes on is over, until the model that has to go for it
 * has run dry, and then loads.  Those that come for a model while it loads
 * join the load, and when all of them have left, it's aborted.  Then a
 * request waits for one of the places of its model.
 *
 * Without places (num_parallel 0) nobody waits for anything but the load of
 * his own model, and nothing has to go.
 *
 * All requests that are in here are in one list.  In each state they are in
 * it by the time when they got there, as they are moved to its end then; the
 * line alone, where nobody is moved to, is by arrival.
 */

#include "sched.h"
#include "record.h"


typedef enum {
    FAKE_SCHED_OUT = 0,
    FAKE_SCHED_LINE,
    FAKE_SCHED_LOAD,
    FAKE_SCHED_WAIT,
    FAKE_SCHED_WORK
} fake_sched_e;


/* what was evaluated last; it's forgotten with the load */

struct fake_slot_s {
    char      *prompt;
    size_t     len;
    uint64_t   used;                /* a count of uses, for the oldest */
    unsigned   busy:1;
};


static void fake_sched_append(fake_gen_t *g, int state);
static void fake_sched_remove(fake_gen_t *g);
static fake_gen_t *fake_sched_first(int state, fake_model_t *m);
static int fake_sched_same(const char *a, const char *b);
static int fake_sched_join(fake_gen_t *g);
static void fake_sched_place(fake_gen_t *g);
static void fake_sched_work(fake_gen_t *g);
static void fake_sched_start(fake_gen_t *g);
static void fake_sched_places(fake_model_t *m);
static void fake_sched_slot(fake_gen_t *g);
static size_t fake_sched_common(const fake_slot_t *slot, const fake_str_t *s);
static void fake_sched_run(void);
static int fake_sched_room(fake_model_t *m);
static fake_model_t *fake_sched_victim(void);
static void fake_sched_drop(fake_model_t *m);
static void fake_sched_load(fake_gen_t *g);
static void fake_sched_loaded(fake_model_t *m);
static void fake_sched_abort(fake_model_t *m);
static void fake_sched_clock(void);
static void fake_sched_timeout(evutil_socket_t fd, short what, void *data);


static fake_gen_t       *fake_sched_head;
static fake_gen_t       *fake_sched_tail;
static struct event     *fake_sched_timer;
static uint64_t          fake_sched_count;    /* of loads and uses of slots */
static fake_handler_pt   fake_sched_handler;


#define fake_sched_busy(m)  ((m)->working || (m)->waiting)


/* "work" is called when a request that had to wait is worked on */

void
fake_sched_init(fake_handler_pt work)
{
    fake_sched_handler = work;
    fake_sched_timer = event_new(fake_base, -1, 0, fake_sched_timeout, NULL);

    if (fake_sched_timer == NULL) {
        fprintf(stderr, "fake: no memory\n");
        abort();
    }
}


void
fake_sched_exit(void)
{
    event_free(fake_sched_timer);
}


/* 1: it's worked on now; 0: the handler will be called; m NULL: no model */

int
fake_sched_enter(fake_conn_t *c, fake_model_t *m)
{
    fake_gen_t  *g;

    g = &c->req->gen;

    g->conn = c;
    g->model = m;

    if (m == NULL) {
        fake_sched_work(g);
        return 1;
    }

    if (m->loaded && fake_sched_same(m->options, g->options)) {
        return fake_sched_join(g);
    }

    if (m->load_until && fake_sched_same(m->options, g->options)) {
        fake_sched_append(g, FAKE_SCHED_LOAD);
        m->loaders++;

    } else {
        fake_sched_append(g, FAKE_SCHED_LINE);
        fake_sched_run();
    }

    return 0;
}


/* the request is over, or its client has left; may be called again */

void
fake_sched_leave(fake_gen_t *g)
{
    int            state;
    fake_model_t  *m;

    m = g->model;
    state = g->state;

    if (state == FAKE_SCHED_OUT) {
        return;
    }

    fake_sched_remove(g);

    switch (state) {

    case FAKE_SCHED_LOAD:
        if (--m->loaders == 0) {
            fake_sched_abort(m);
        }

        break;

    case FAKE_SCHED_WAIT:
        m->waiting--;
        break;

    case FAKE_SCHED_WORK:
        m->working--;

        if (g->slot) {
            m->slots[g->slot - 1].busy = 0;
            g->slot = 0;
        }

        fake_sched_places(m);
        break;
    }

    if (m->expiring && !fake_sched_busy(m)) {
        fake_sched_drop(m);
    }

    fake_sched_run();
}


/* as keep_alive 0 asks for: at once, or when it has run dry */

void
fake_sched_unload(fake_model_t *m)
{
    if (fake_server.num_parallel && fake_sched_busy(m)) {
        m->expiring = 1;
        return;
    }

    fake_sched_drop(m);
    fake_sched_run();
}


/* there may be more places now, or room for more models */

void
fake_sched_changed(void)
{
    fake_model_t  *m;

    for (m = fake_server.models; m; m = m->next) {
        fake_sched_places(m);
    }

    fake_sched_run();
}


/* requests for a model that is taken off the list go on without */

void
fake_sched_removed(fake_model_t *m)
{
    int          state;
    fake_gen_t  *g, *next;

    for (g = fake_sched_head; g; g = next) {
        next = g->next;

        if (g->model != m) {
            continue;
        }

        state = g->state;

        fake_sched_remove(g);
        g->model = NULL;
        g->slot = 0;

        if (state != FAKE_SCHED_WORK) {
            fake_sched_start(g);
        }
    }

    fake_sched_drop(m);

    free(m->slots);
    free(m->options);

    /* the head of the line may have waited for it */

    fake_sched_run();
}


static void
fake_sched_append(fake_gen_t *g, int state)
{
    if (g->state != FAKE_SCHED_OUT) {
        fake_sched_remove(g);
    }

    g->state = state;
    g->next = NULL;
    g->prev = fake_sched_tail;

    if (fake_sched_tail) {
        fake_sched_tail->next = g;

    } else {
        fake_sched_head = g;
    }

    fake_sched_tail = g;
}


static void
fake_sched_remove(fake_gen_t *g)
{
    if (g->prev) {
        g->prev->next = g->next;

    } else {
        fake_sched_head = g->next;
    }

    if (g->next) {
        g->next->prev = g->prev;

    } else {
        fake_sched_tail = g->prev;
    }

    g->state = FAKE_SCHED_OUT;
}


/* m NULL: of any model */

static fake_gen_t *
fake_sched_first(int state, fake_model_t *m)
{
    fake_gen_t  *g;

    for (g = fake_sched_head; g; g = g->next) {
        if (g->state == state && (m == NULL || g->model == m)) {
            return g;
        }
    }

    return NULL;
}


/* options count only where there is a scheduler; NULL: those of the model */

static int
fake_sched_same(const char *a, const char *b)
{
    return fake_server.num_parallel == 0
           || strcmp(a ? a : "", b ? b : "") == 0;
}


/* its model is loaded; 1: it's worked on */

static int
fake_sched_join(fake_gen_t *g)
{
    fake_model_t  *m;

    m = g->model;

    if (g->state != FAKE_SCHED_OUT) {
        g->load_ns = fake_now_ns() - g->start_ns;
    }

    /* who only wants it loaded needs no place */

    if (strcmp(g->reason, "load") == 0) {

        if (g->state != FAKE_SCHED_OUT) {
            fake_sched_remove(g);
        }

        fake_sched_work(g);
        return 1;
    }

    if (fake_server.num_parallel
        && (m->waiting || m->working >= fake_server.num_parallel))
    {
        fake_sched_append(g, FAKE_SCHED_WAIT);
        m->waiting++;
        return 0;
    }

    fake_sched_place(g);

    return 1;
}


static void
fake_sched_place(fake_gen_t *g)
{
    fake_model_t  *m;

    m = g->model;

    fake_sched_append(g, FAKE_SCHED_WORK);

    m->working++;
    m->peak = (m->working > m->peak) ? m->working : m->peak;

    fake_sched_slot(g);
    fake_sched_work(g);
}


static void
fake_sched_work(fake_gen_t *g)
{
    fake_rec_t  *rec;

    g->work_ns = fake_now_ns();
    rec = fake_rec_get(g->conn->req->rec);

    if (rec) {
        rec->work = fake_now_ms();
    }
}


/*
 * By the timer, as we may be in the midst of another request's end, and a
 * short reply ends at once.
 */

static void
fake_sched_start(fake_gen_t *g)
{
    if (g->model == NULL) {
        fake_sched_work(g);
    }

    fake_conn_timer(g->conn, 0, fake_sched_handler);
}


/* the free places of a model go to those who wait for them */

static void
fake_sched_places(fake_model_t *m)
{
    fake_gen_t  *g;

    while (m->waiting && (fake_server.num_parallel == 0
                          || m->working < fake_server.num_parallel))
    {
        g = fake_sched_first(FAKE_SCHED_WAIT, m);

        m->waiting--;
        fake_sched_place(g);
        fake_sched_start(g);
    }
}


/*
 * What is cached is the longest common prefix with a slot.  A prompt that goes
 * on where that slot ends, but for the bracket of its messages, takes it, and
 * any other one the slot that was used first, with a copy of the prefix.  What
 * is generated isn't kept.
 */

static void
fake_sched_slot(fake_gen_t *g)
{
    size_t         common, most;
    int64_t        i, n;
    fake_slot_t   *slot, *best, *oldest;
    fake_model_t  *m;

    m = g->model;
    n = fake_server.num_parallel;

    if (n == 0 || g->prompt.len == 0) {
        return;
    }

    if (m->nslots < n) {
        m->slots = realloc(m->slots, n * sizeof(fake_slot_t));

        if (m->slots == NULL) {
            fprintf(stderr, "fake: no memory\n");
            abort();
        }

        memset(m->slots + m->nslots, 0,
               (n - m->nslots) * sizeof(fake_slot_t));
        m->nslots = n;
    }

    best = NULL;
    oldest = NULL;
    most = 0;

    for (i = 0; i < m->nslots; i++) {
        slot = &m->slots[i];
        common = fake_sched_common(slot, &g->prompt);

        if (common > most) {
            best = slot;
            most = common;
        }

        if (!slot->busy && (oldest == NULL || slot->used < oldest->used)) {
            oldest = slot;
        }
    }

    if (oldest == NULL) {
        return;
    }

    if (best == NULL || best->busy || most + 1 < best->len) {
        best = oldest;
    }

    free(best->prompt);
    best->prompt = fake_strndup(g->prompt.data, g->prompt.len);
    best->len = g->prompt.len;
    best->used = ++fake_sched_count;
    best->busy = 1;

    g->slot = best - m->slots + 1;

    /* the last token is always evaluated */

    if (g->conf.token_bytes) {
        g->cached = (int64_t) most / g->conf.token_bytes;

        if (g->cached >= g->conf.prompt_eval_count) {
            g->cached = g->conf.prompt_eval_count - 1;
        }
    }
}


static size_t
fake_sched_common(const fake_slot_t *slot, const fake_str_t *s)
{
    size_t  i, n;

    n = (slot->len < s->len) ? slot->len : s->len;

    for (i = 0; i < n && slot->prompt[i] == s->data[i]; i++) {
        /* void */
    }

    return i;
}


/* the line goes on as far as it can */

static void
fake_sched_run(void)
{
    fake_gen_t    *g;
    fake_model_t  *m;

    for ( ;; ) {

        g = fake_sched_first(FAKE_SCHED_LINE, NULL);

        if (g == NULL) {
            return;
        }

        m = g->model;

        if (m->loaded && fake_sched_same(m->options, g->options)) {

            if (fake_sched_join(g)) {
                fake_sched_start(g);
            }

            continue;
        }

        /* where there was a scheduler until now */

        if (m->load_until && fake_sched_same(m->options, g->options)) {
            fake_sched_append(g, FAKE_SCHED_LOAD);
            m->loaders++;
            continue;
        }

        if (!fake_sched_room(m)) {
            return;
        }

        fake_sched_load(g);
    }
}


/* whether the model can be loaded now; what has to go for it, goes */

static int
fake_sched_room(fake_model_t *m)
{
    int64_t        n;
    fake_model_t  *other;

    if (fake_server.num_parallel == 0) {
        return 1;
    }

    n = 0;

    for (other = fake_server.models; other; other = other->next) {

        if (other->load_until) {
            return 0;
        }

        n += other->loaded;
    }

    if (m->loaded) {

        if (!m->expiring) {
            m->expiring = 1;
            fake_counts.reloads++;
        }

        if (fake_sched_busy(m)) {
            return 0;
        }

        fake_sched_drop(m);

        return 1;
    }

    while (fake_server.max_loaded && n >= fake_server.max_loaded) {

        other = fake_sched_victim();

        if (!other->expiring) {
            other->expiring = 1;
            fake_counts.evictions++;
        }

        if (fake_sched_busy(other)) {
            return 0;
        }

        fake_sched_drop(other);
        n--;
    }

    return 1;
}


/*
 * One that has to go anyway; or the first idle one; or the first.  All have
 * one keep_alive, so they are taken in the order in which they were loaded.
 */

static fake_model_t *
fake_sched_victim(void)
{
    fake_model_t  *m, *first, *idle;

    first = NULL;
    idle = NULL;

    for (m = fake_server.models; m; m = m->next) {

        if (!m->loaded) {
            continue;
        }

        if (m->expiring) {
            return m;
        }

        if (first == NULL || m->load_order < first->load_order) {
            first = m;
        }

        if (!fake_sched_busy(m)
            && (idle == NULL || m->load_order < idle->load_order))
        {
            idle = m;
        }
    }

    return idle ? idle : first;
}


/* not loaded any more, and nothing is kept of what was evaluated */

static void
fake_sched_drop(fake_model_t *m)
{
    int64_t  i;

    m->loaded = 0;
    m->expiring = 0;

    for (i = 0; i < m->nslots; i++) {
        free(m->slots[i].prompt);
        m->slots[i].prompt = NULL;
        m->slots[i].len = 0;
    }
}


/* of the head of the line */

static void
fake_sched_load(fake_gen_t *g)
{
    fake_model_t  *m;

    m = g->model;

    free(m->options);
    m->options = g->options ? fake_strndup(g->options, strlen(g->options))
                            : NULL;
    m->load_until = fake_now_ms() + g->conf.load_ms;

    fake_counts.loads++;

    fake_sched_append(g, FAKE_SCHED_LOAD);
    m->loaders++;

    if (m->load_until <= fake_now_ms()) {
        fake_sched_loaded(m);
        return;
    }

    fake_sched_clock();
}


static void
fake_sched_loaded(fake_model_t *m)
{
    fake_gen_t  *g;

    m->loaded = 1;
    m->load_until = 0;
    m->load_order = ++fake_sched_count;

    while (m->loaders) {
        g = fake_sched_first(FAKE_SCHED_LOAD, m);
        m->loaders--;

        if (fake_sched_join(g)) {
            fake_sched_start(g);
        }
    }
}


static void
fake_sched_abort(fake_model_t *m)
{
    m->load_until = 0;
    fake_counts.aborted_loads++;
    fake_sched_clock();
}


/* wakes us when the first load is over */

static void
fake_sched_clock(void)
{
    double          ms;
    fake_model_t   *m;
    struct timeval  tv;

    ms = 0;

    for (m = fake_server.models; m; m = m->next) {
        if (m->load_until && (ms == 0 || m->load_until < ms)) {
            ms = m->load_until;
        }
    }

    if (ms == 0) {
        (void) event_del(fake_sched_timer);
        return;
    }

    ms -= fake_now_ms();
    ms = (ms > 0) ? ms : 0;

    tv.tv_sec = (time_t) (ms / 1000);
    tv.tv_usec = (suseconds_t) ((ms - tv.tv_sec * 1000.0) * 1000);

    (void) event_add(fake_sched_timer, &tv);
}


static void
fake_sched_timeout(evutil_socket_t fd, short what, void *data)
{
    double         now;
    fake_model_t  *m;

    /* timers are early by less than this */

    now = fake_now_ms() + 0.5;

    for (m = fake_server.models; m; m = m->next) {
        if (m->load_until && m->load_until <= now) {
            fake_sched_loaded(m);
        }
    }

    fake_sched_clock();
    fake_sched_run();
}
