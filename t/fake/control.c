
/*
 * /fake/: settings, the record, the reset.  A connection that once asked
 * for one of these is a control connection: it's neither counted nor
 * recorded, and must go on asking for nothing else.
 *
 * A GET /fake/requests with conditions is kept waiting in a list.  What may
 * fulfil one calls fake_rec_changed(), which only wakes an event: callers
 * are in the middle of things.
 */

#include "control.h"
#include "conf.h"
#include "listen.h"
#include "out.h"
#include "record.h"


typedef struct fake_wait_s  fake_wait_t;

struct fake_wait_s {
    fake_wait_t        *next;
    fake_conn_t        *c;
    char               *path;
    fake_rec_filter_t   filter;

    /* -1: not asked for */

    int64_t             open;
    int64_t             count;
    int64_t             ended;
    int64_t             active;
    int64_t             timeout;
};


static void fake_control_set(fake_conn_t *c);
static void fake_control_requests(fake_conn_t *c);
static int fake_control_args(fake_conn_t *c, fake_wait_t *w);
static int fake_control_arg(fake_wait_t *w, const char *name,
    const char *value);
static char *fake_control_decode(const char *s, size_t len);
static int fake_wait_done(const fake_wait_t *w);
static void fake_wait_answer(fake_wait_t *w, int timed_out);
static void fake_wait_timeout(fake_conn_t *c);
static void fake_control_leave(fake_conn_t *c);
static void fake_wait_handler(evutil_socket_t fd, short what, void *data);


static fake_wait_t   *fake_waits;
static struct event  *fake_wait_event;


void
fake_control(fake_conn_t *c)
{
    fake_req_t  *r;

    r = c->req;

    if (strcmp(r->path, "/fake/requests") == 0
        && strcmp(r->method, "GET") == 0)
    {
        fake_control_requests(c);

    } else if (strcmp(r->path, "/fake/set") == 0
               && strcmp(r->method, "POST") == 0)
    {
        fake_control_set(c);

    } else if (strcmp(r->path, "/fake/reset") == 0
               && strcmp(r->method, "POST") == 0)
    {
        fake_conn_reset_all();
        fake_conf_reset();

        if (fake_listen(1) != 0) {
            fake_out_error(c, 500, "can't listen");
            return;
        }

        fake_out_json(c, 200, json_pack("{s:b}", "ok", 1));

    } else {
        fake_out_error(c, 404, "no %s %s here: there are POST /fake/set, "
                       "GET /fake/requests and POST /fake/reset",
                       r->method, r->path);
    }
}


static void
fake_control_set(fake_conn_t *c)
{
    json_t        *root;
    fake_buf_t     err;
    fake_req_t    *r;
    json_error_t   error;

    r = c->req;

    root = json_loadb(r->body.data ? r->body.data : "", r->body.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (root == NULL) {
        fake_out_error(c, 400, "%s at %d", error.text, error.position);
        return;
    }

    memset(&err, 0, sizeof(fake_buf_t));

    if (fake_conf_set(root, &err) != 0) {
        fake_out_error(c, 400, "%s", err.data);

    } else {
        fake_out_json(c, 200, json_pack("{s:b}", "ok", 1));
    }

    fake_buf_free(&err);
    json_decref(root);
}


static void
fake_control_requests(fake_conn_t *c)
{
    fake_wait_t  *w;

    w = fake_alloc(sizeof(fake_wait_t));

    w->c = c;
    w->open = -1;
    w->count = -1;
    w->ended = -1;
    w->active = -1;
    w->timeout = 2000;
    w->filter.last = -1;

    if (fake_control_args(c, w) != 0) {
        free(w->path);
        free(w);
        return;
    }

    w->filter.path = w->path;
    w->next = fake_waits;
    fake_waits = w;
    c->closed = fake_control_leave;

    if (fake_wait_event == NULL) {
        fake_wait_event = event_new(fake_base, -1, 0, fake_wait_handler,
                                    NULL);
    }

    fake_rec_wake = fake_wait_event;

    if (fake_wait_done(w)) {
        fake_wait_answer(w, 0);
        return;
    }

    fake_conn_timer(c, (double) w->timeout, fake_wait_timeout);
}


/* answers itself if it returns -1 */

static int
fake_control_args(fake_conn_t *c, fake_wait_t *w)
{
    int          rc;
    char        *value, *name;
    size_t       len, eq;
    const char  *p;

    for (p = c->req->query; *p; p += len + (p[len] == '&')) {

        len = strcspn(p, "&");
        eq = strcspn(p, "=");
        eq = (eq > len) ? len : eq;

        name = fake_strndup(p, eq);
        value = (eq < len) ? fake_control_decode(p + eq + 1, len - eq - 1)
                           : fake_strndup("", 0);

        rc = fake_control_arg(w, name, value);

        if (rc != 0) {
            fake_out_error(c, 400, "invalid argument \"%s\"", name);
        }

        free(name);
        free(value);

        if (rc != 0) {
            return -1;
        }
    }

    return 0;
}


static int
fake_control_arg(fake_wait_t *w, const char *name, const char *value)
{
    char     *end;
    size_t    i;
    int64_t   n;

    const struct {
        const char  *name;
        int64_t     *to;
    } args[] = {
        { "wait_open", &w->open },
        { "wait_count", &w->count },
        { "wait_ended", &w->ended },
        { "wait_active", &w->active },
        { "timeout_ms", &w->timeout },
        { "last", &w->filter.last },
        { "polls", &w->filter.polls },
    };

    if (strcmp(name, "path") == 0) {
        free(w->path);
        w->path = fake_strndup(value, strlen(value));
        return 0;
    }

    n = strtoll(value, &end, 10);

    if (*value == '\0' || *end || n < 0
        || (strcmp(name, "polls") == 0 && n > 1))
    {
        return -1;
    }

    for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
        if (strcmp(args[i].name, name) == 0) {
            *args[i].to = n;
            return 0;
        }
    }

    return -1;
}


static char *
fake_control_decode(const char *s, size_t len)
{
    char    *p, *q;
    size_t   i;

    p = fake_alloc(len + 1);

    for (i = 0, q = p; i < len; i++) {
        if (s[i] == '%' && i + 2 < len && fake_hex(s[i + 1]) >= 0
            && fake_hex(s[i + 2]) >= 0)
        {
            *q++ = (char) (fake_hex(s[i + 1]) << 4 | fake_hex(s[i + 2]));
            i += 2;

        } else {
            *q++ = s[i];
        }
    }

    return p;
}


static int
fake_wait_done(const fake_wait_t *w)
{
    uint64_t  count, ended;

    fake_rec_counts(&w->filter, &count, &ended);

    return (w->open < 0 || w->open == (int64_t) fake_open[w->filter.polls])
           && (w->count < 0 || (int64_t) count >= w->count)
           && (w->ended < 0 || (int64_t) ended >= w->ended)
           && (w->active < 0 || (int64_t) (count - ended) == w->active);
}


static void
fake_wait_answer(fake_wait_t *w, int timed_out)
{
    json_t       *root;
    fake_conn_t  *c;

    c = w->c;

    root = fake_rec_json(&w->filter);
    json_object_set_new(root, "timed_out", json_boolean(timed_out));

    fake_control_leave(c);
    fake_out_json(c, 200, root);
}


static void
fake_wait_timeout(fake_conn_t *c)
{
    fake_wait_t  *w;

    for (w = fake_waits; w; w = w->next) {
        if (w->c == c) {
            fake_wait_answer(w, 1);
            return;
        }
    }
}


/* takes the connection off the list */

static void
fake_control_leave(fake_conn_t *c)
{
    fake_wait_t  *w, **link;

    c->closed = NULL;

    for (link = &fake_waits; *link; link = &(*link)->next) {

        w = *link;

        if (w->c == c) {
            *link = w->next;
            free(w->path);
            free(w);
            break;
        }
    }

    if (fake_waits == NULL) {
        fake_rec_wake = NULL;
    }
}


/* an answer changes the list: from the start again after each */

static void
fake_wait_handler(evutil_socket_t fd, short what, void *data)
{
    fake_wait_t  *w;

    w = fake_waits;

    while (w) {
        if (fake_wait_done(w)) {
            fake_wait_answer(w, 0);
            w = fake_waits;
            continue;
        }

        w = w->next;
    }
}


void
fake_control_exit(void)
{
    if (fake_wait_event) {
        event_free(fake_wait_event);
        fake_wait_event = NULL;
    }
}
