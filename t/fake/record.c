
/*
 * The record: two rings, of requests and of connections, each with places
 * for the last FAKE_RECORD_MAX; and the same for polls.  The rest of the
 * server holds numbers, not pointers: a place may have been given to another
 * by then, and fake_rec_get() tells so.  Those of polls have FAKE_POLL.
 */

#include "record.h"
#include "model.h"


#define FAKE_POLL       ((uint64_t) 1 << 63)
#define fake_rec_of(n)  (&fake_records[(n) >> 63])


typedef struct {
    uint64_t      nreqs;            /* since the reset */
    uint64_t      nended;
    uint64_t      nconns;
    fake_rec_t    reqs[FAKE_RECORD_MAX];
    fake_crec_t   conns[FAKE_RECORD_MAX];
} fake_record_t;


static void fake_rec_clear(fake_rec_t *rec);
static fake_crec_t *fake_crec_get(uint64_t id);
static int fake_rec_match(const fake_rec_t *rec,
    const fake_rec_filter_t *f);
static json_t *fake_rec_ms(double ms);
static void fake_rec_body(json_t *obj, const fake_rec_t *rec);
static json_t *fake_rec_one(const fake_rec_t *rec);
static void fake_rec_sched(json_t *root);


unsigned              fake_open[2];
fake_counts_t         fake_counts;
struct event         *fake_rec_wake;

static fake_record_t  fake_records[2];


static const char  *fake_rec_ends[] = {
    "open", "complete", "client_closed", "died"
};


static void
fake_rec_clear(fake_rec_t *rec)
{
    free(rec->method);
    free(rec->uri);
    free(rec->path);
    free(rec->model);
    free(rec->body);
    json_decref(rec->headers);

    memset(rec, 0, sizeof(fake_rec_t));
}


static fake_rec_t *
fake_rec_next(uint64_t poll)
{
    uint64_t        n;
    fake_rec_t     *rec;
    fake_record_t  *record;

    record = fake_rec_of(poll);
    n = ++record->nreqs;
    rec = &record->reqs[n % FAKE_RECORD_MAX];

    fake_rec_clear(rec);
    rec->n = n | poll;

    return rec;
}


fake_rec_t *
fake_rec_start(uint64_t conn)
{
    fake_rec_t   *rec;
    fake_crec_t  *crec;

    rec = fake_rec_next(conn & FAKE_POLL);

    rec->conn = conn;
    rec->started = fake_now_ms();

    crec = fake_crec_get(conn);

    if (crec) {
        crec->requests++;
    }

    return rec;
}


/*
 * The request, the last one so far, turned out to be a poll.  Returns its
 * number there.
 */

uint64_t
fake_rec_poll(uint64_t n, uint64_t conn)
{
    uint64_t       poll;
    fake_rec_t    *rec, *to;

    rec = fake_rec_get(n);

    if (rec == NULL) {
        return 0;
    }

    to = fake_rec_next(FAKE_POLL);
    poll = to->n;

    *to = *rec;
    to->n = poll;
    to->conn = conn;

    memset(rec, 0, sizeof(fake_rec_t));

    if (n == fake_records[0].nreqs) {
        fake_records[0].nreqs--;

    } else {
        fake_records[0].nended++;
    }

    return poll;
}


fake_rec_t *
fake_rec_get(uint64_t n)
{
    fake_rec_t  *rec;

    rec = &fake_rec_of(n)->reqs[(n & ~FAKE_POLL) % FAKE_RECORD_MAX];

    return (n && rec->n == n) ? rec : NULL;
}


void
fake_rec_ended(uint64_t n, int end)
{
    fake_rec_t  *rec;

    fake_rec_of(n)->nended++;

    rec = fake_rec_get(n);

    if (rec) {
        rec->end = end;
        rec->ended = fake_now_ms();
    }

    fake_rec_changed();
}


static fake_crec_t *
fake_crec_get(uint64_t id)
{
    fake_crec_t  *crec;

    crec = &fake_rec_of(id)->conns[(id & ~FAKE_POLL) % FAKE_RECORD_MAX];

    return (id && crec->id == id) ? crec : NULL;
}


uint64_t
fake_rec_conn_open(int poll)
{
    uint64_t        n;
    fake_crec_t    *crec;
    fake_record_t  *record;

    record = &fake_records[poll];
    n = ++record->nconns;
    crec = &record->conns[n % FAKE_RECORD_MAX];

    memset(crec, 0, sizeof(fake_crec_t));

    crec->id = n | (poll ? FAKE_POLL : 0);
    crec->opened = fake_now_ms();

    return crec->id;
}


/* a connection turned out to be one of polls; returns its number there */

uint64_t
fake_rec_conn_poll(uint64_t id)
{
    uint64_t      poll;
    fake_crec_t  *crec, *to;

    poll = fake_rec_conn_open(1);

    crec = fake_crec_get(id);
    to = fake_crec_get(poll);

    if (crec) {
        *to = *crec;
        to->id = poll;
    }

    fake_rec_conn_forget(id);

    return poll;
}


/*
 * The connection turned out to be one of control, or of polls.  Its number
 * is used again where possible, so that the ring has more of the others.
 */

void
fake_rec_conn_forget(uint64_t id)
{
    fake_crec_t  *crec;

    crec = fake_crec_get(id);

    if (crec == NULL) {
        return;
    }

    crec->id = 0;

    if (id == fake_records[0].nconns) {
        fake_records[0].nconns--;
    }
}


void
fake_rec_conn_closed(uint64_t id, int by_client)
{
    fake_crec_t  *crec;

    crec = fake_crec_get(id);

    if (crec) {
        crec->closed = fake_now_ms();
        crec->by_client = by_client;
    }
}


void
fake_rec_reset(void)
{
    size_t  i, n;

    for (n = 0; n < 2; n++) {
        for (i = 0; i < FAKE_RECORD_MAX; i++) {
            fake_rec_clear(&fake_records[n].reqs[i]);
        }
    }

    memset(fake_records, 0, sizeof(fake_records));
    memset(&fake_counts, 0, sizeof(fake_counts_t));
}


static int
fake_rec_match(const fake_rec_t *rec, const fake_rec_filter_t *f)
{
    if (rec->n == 0) {
        return 0;
    }

    return f->path == NULL
           || (rec->path && strcmp(rec->path, f->path) == 0);
}


/* a path can be counted only among the requests still in the ring */

void
fake_rec_counts(const fake_rec_filter_t *f, uint64_t *count, uint64_t *ended)
{
    size_t                i;
    const fake_record_t  *record;

    record = &fake_records[f->polls];

    if (f->path == NULL) {
        *count = record->nreqs;
        *ended = record->nended;
        return;
    }

    *count = 0;
    *ended = 0;

    for (i = 0; i < FAKE_RECORD_MAX; i++) {
        if (fake_rec_match(&record->reqs[i], f)) {
            (*count)++;
            *ended += (record->reqs[i].end != FAKE_END_OPEN);
        }
    }
}


static json_t *
fake_rec_ms(double ms)
{
    return ms ? json_real((int64_t) (ms * 1000) / 1000.0) : json_null();
}


/* text if it's UTF-8, hexadecimal digits if not: nothing gets lost */

static void
fake_rec_body(json_t *obj, const fake_rec_t *rec)
{
    char         *hex;
    size_t        i, len, n;
    unsigned char *p;

    p = (unsigned char *) rec->body;
    len = rec->body_len;

    json_object_set_new(obj, "body_bytes",
                        json_integer((json_int_t) rec->body_bytes));

    if (rec->sha256[0]) {
        json_object_set_new(obj, "body_sha256", json_string(rec->sha256));
    }

    if (p == NULL) {
        return;
    }

    for (i = 0; i < len; i += n) {
        n = fake_utf8_len(p + i, len - i);

        if (n == 0) {
            break;
        }
    }

    /* a character cut by the bound is no reason for digits */

    if (len < rec->body_bytes) {
        json_object_set_new(obj, "body_truncated", json_true());

        if (i < len && len - i < 4 && p[i] >= 0xc2 && p[i] <= 0xf4) {
            len = i;
        }
    }

    if (i == len) {
        json_object_set_new(obj, "body", json_stringn((char *) p, len));
        return;
    }

    hex = fake_alloc(rec->body_len * 2 + 1);

    for (i = 0; i < rec->body_len; i++) {
        snprintf(hex + i * 2, 3, "%02x", p[i]);
    }

    json_object_set_new(obj, "body_hex", json_string(hex));

    free(hex);
}


static json_t *
fake_rec_one(const fake_rec_t *rec)
{
    char     version[16];
    json_t  *obj;

    snprintf(version, sizeof(version), "HTTP/1.%d", rec->minor);

    obj = json_pack("{s:I, s:I, s:s?, s:s?, s:s?, s:s, s:s?, s:i, s:I, s:s}",
                    "n", (json_int_t) (rec->n & ~FAKE_POLL),
                    "conn", (json_int_t) (rec->conn & ~FAKE_POLL),
                    "method", rec->method,
                    "path", rec->path,
                    "uri", rec->uri,
                    "version", version,
                    "model", rec->model,
                    "status", rec->status,
                    "frames_sent", (json_int_t) rec->frames,
                    "end", fake_rec_ends[rec->end]);
    if (obj == NULL) {
        return json_null();
    }

    if (rec->headers) {
        json_object_set(obj, "headers", rec->headers);
    }

    fake_rec_body(obj, rec);

    json_object_set_new(obj, "started_ms", fake_rec_ms(rec->started));
    json_object_set_new(obj, "received_ms", fake_rec_ms(rec->received));
    json_object_set_new(obj, "work_ms", fake_rec_ms(rec->work));
    json_object_set_new(obj, "header_ms", fake_rec_ms(rec->header));
    json_object_set_new(obj, "ended_ms", fake_rec_ms(rec->ended));

    return obj;
}


json_t *
fake_rec_json(const fake_rec_filter_t *f)
{
    json_t               *root, *list, *conns, *obj;
    uint64_t              n, first, skip, count, ended;
    const fake_rec_t     *rec;
    const fake_crec_t    *crec;
    const fake_record_t  *record;

    list = json_array();
    conns = json_array();

    fake_rec_counts(f, &count, &ended);
    record = &fake_records[f->polls];

    first = (record->nreqs > FAKE_RECORD_MAX)
            ? record->nreqs - FAKE_RECORD_MAX + 1 : 1;
    skip = 0;

    if (f->last >= 0) {
        n = f->path ? count : record->nreqs - first + 1;
        skip = (n > (uint64_t) f->last) ? n - f->last : 0;
    }

    for (n = first; n <= record->nreqs; n++) {
        rec = &record->reqs[n % FAKE_RECORD_MAX];

        if (!fake_rec_match(rec, f)) {
            continue;
        }

        if (skip) {
            skip--;
            continue;
        }

        json_array_append_new(list, fake_rec_one(rec));
    }

    first = (record->nconns > FAKE_RECORD_MAX)
            ? record->nconns - FAKE_RECORD_MAX + 1 : 1;

    for (n = first; n <= record->nconns; n++) {
        crec = &record->conns[n % FAKE_RECORD_MAX];

        if ((crec->id & ~FAKE_POLL) != n) {
            continue;
        }

        obj = json_object();
        json_object_set_new(obj, "id", json_integer((json_int_t) n));
        json_object_set_new(obj, "opened_ms", fake_rec_ms(crec->opened));
        json_object_set_new(obj, "closed_ms", fake_rec_ms(crec->closed));
        json_object_set_new(obj, "closed_by",
                            crec->closed == 0 ? json_null()
                            : json_string(crec->by_client ? "client"
                                                          : "server"));
        json_object_set_new(obj, "requests",
                            json_integer((json_int_t) crec->requests));
        json_array_append_new(conns, obj);
    }

    root = json_object();
    json_object_set_new(root, "name", json_string(fake_name));
    json_object_set_new(root, "requests", list);
    json_object_set_new(root, "connections", conns);
    json_object_set_new(root, "open", json_integer(fake_open[f->polls]));
    json_object_set_new(root, "count", json_integer((json_int_t) count));
    json_object_set_new(root, "ended", json_integer((json_int_t) ended));
    json_object_set_new(root, "active",
                        json_integer((json_int_t) (count - ended)));
    fake_rec_sched(root);

    return root;
}


static void
fake_rec_sched(json_t *root)
{
    json_t        *peaks;
    fake_model_t  *m;

    json_object_set_new(root, "loads",
                        json_integer((json_int_t) fake_counts.loads));
    json_object_set_new(root, "reloads",
                        json_integer((json_int_t) fake_counts.reloads));
    json_object_set_new(root, "evictions",
                        json_integer((json_int_t) fake_counts.evictions));
    json_object_set_new(root, "aborted_loads",
                        json_integer((json_int_t) fake_counts.aborted_loads));

    peaks = json_object();

    for (m = fake_server.models; m; m = m->next) {
        json_object_set_new(peaks, m->name,
                            json_integer((json_int_t) m->peak));
    }

    json_object_set_new(root, "peaks", peaks);
}


/* only wakes an event: callers need not expect that anything is freed */

void
fake_rec_changed(void)
{
    if (fake_rec_wake) {
        event_active(fake_rec_wake, EV_TIMEOUT, 0);
    }
}
