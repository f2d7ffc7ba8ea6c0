
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The request scanner and rewriter.  Of an input, four bytes say how, the
 * rest is the body: flags, set of forbidden fields, and two that choose the
 * pieces.  With FUZZ_LONG in the first, a byte 0xfe, which no JSON has, and
 * the two after it stand for n times 32 equal bytes, so that limits are met
 * in short inputs.
 *
 * What must be so: any pieces give what one piece gives; a body is taken if a
 * plain reader of it, with the rules of docs/api.md put down once more below,
 * says that it ought to be; and what is left of a body reads as the body does
 * without the fields that are not for the server.
 */


#include "fuzz.h"

#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_id.h"


#define FUZZ_FLAGS  0x5f
#define FUZZ_LONG   0x20

#define FUZZ_BODY   262144

/* what a scan may take, of any body */
#define FUZZ_MEMORY  131072


typedef struct {
    ngx_pool_t               *pool;
    ngx_pool_t               *temp;
    ngx_http_ollama_scan_t    scan;
    ngx_int_t                 rc;
} fuzz_run_t;


/* what must be found */

typedef struct {
    ngx_uint_t                flags;
    ngx_array_t              *forbid;
    ngx_uint_t                wrong;
    ngx_str_t                 model;
    ngx_str_t                 name;
    ngx_str_t                 server_url;
    ngx_str_t                 session_id;
    ngx_str_t                 task_id;
    ngx_http_ollama_stream_e  stream;
    uint32_t                  removed;
    ngx_uint_t                gone;      /* members */
} fuzz_want_t;


static void fuzz_scan(fuzz_run_t *run, u_char *body, size_t len,
    ngx_uint_t flags, ngx_array_t *forbid, uint64_t *state, size_t step);
static void fuzz_finish(fuzz_run_t *run);
static void fuzz_compare(fuzz_run_t *one, fuzz_run_t *run);
static void fuzz_judge(fuzz_run_t *run, u_char *body, size_t len,
    fuzz_want_t *want);
static ngx_uint_t fuzz_expect(fuzz_want_t *want, u_char *body, size_t len,
    fuzz_reader_t *reader, fuzz_value_t **top);
static void fuzz_field(fuzz_want_t *want, fuzz_value_t *v);
static ngx_uint_t fuzz_own(fuzz_want_t *want, fuzz_value_t *v);
static void fuzz_own_field(fuzz_want_t *want, fuzz_value_t *v);
static void fuzz_kept(fuzz_want_t *want, fuzz_value_t *v, ngx_str_t *value);
static void fuzz_messages(fuzz_want_t *want, fuzz_value_t *list);
static ngx_uint_t fuzz_type(fuzz_want_t *want, fuzz_value_t *v,
    fuzz_type_e type);
static void fuzz_drop(fuzz_want_t *want, fuzz_value_t *object,
    ngx_uint_t depth, uint32_t match);
static ngx_uint_t fuzz_key(ngx_str_t *key, const char *name, size_t len);
static ngx_uint_t fuzz_named(fuzz_value_t *v, const char *name);
static void fuzz_rewritten(fuzz_run_t *run, u_char *body, size_t len,
    fuzz_value_t *top);
static void fuzz_equal(fuzz_value_t *a, fuzz_value_t *b);


static const char  *fuzz_forbid[] = {
    "",
    "keep_alive options.num_ctx",
    "keep_alive options.num_ctx options.a.b format tools.x",
    "a a.b a.b.c a.b.c.d",
    "a.b.c.d a.b.c b",
    "options messages.role sk k",
    "model",
    "task_id stream messages"
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                      *s;
    size_t                     len, n;
    uint64_t                   state;
    ngx_str_t                  path;
    ngx_uint_t                 flags;
    fuzz_run_t                 one, run;
    ngx_pool_t                *pool;
    fuzz_want_t                want;
    ngx_http_ollama_forbid_t  *f;

    static u_char  body[FUZZ_BODY];

    if (size < 4) {
        return 0;
    }

    flags = (data[0] & FUZZ_FLAGS) | NGX_HTTP_OLLAMA_SCAN_PROMPT;
    state = data[2] * 256 + data[3];

    /* paths, as from the configuration */

    pool = ngx_create_pool(4096, NULL);

    ngx_memzero(&want, sizeof(fuzz_want_t));
    want.flags = flags;
    want.forbid = ngx_array_create(pool, 4, sizeof(ngx_http_ollama_forbid_t));

    s = (char *) fuzz_forbid[data[1] % fuzz_nelts(fuzz_forbid)];

    while (*s) {
        path.data = (u_char *) s;
        path.len = strcspn(s, " ");

        f = ngx_array_push(want.forbid);
        fuzz_check(ngx_http_ollama_forbid_path(f, pool, &path) == NGX_OK,
                   "%s", s);

        s += path.len + (s[path.len] == ' ');
    }

    for (len = 0, n = 4; n < size && len < FUZZ_BODY - 8192; n++) {

        if ((data[0] & FUZZ_LONG) && data[n] == 0xfe && n + 2 < size) {
            memset(body + len, data[n + 2], 32 * data[n + 1]);
            len += 32 * data[n + 1];
            n += 2;
            continue;
        }

        body[len++] = data[n];
    }

    fuzz_scan(&one, body, len, flags, want.forbid, NULL, len);
    fuzz_judge(&one, body, len, &want);

    fuzz_scan(&run, body, len, flags, want.forbid, &state, 0);
    fuzz_compare(&one, &run);
    fuzz_finish(&run);

    if (len < 2048) {
        fuzz_scan(&run, body, len, flags, want.forbid, NULL, 1);
        fuzz_compare(&one, &run);
        fuzz_finish(&run);
    }

    fuzz_finish(&one);
    ngx_destroy_pool(pool);

    fuzz_check(ngx_stub_pools == 0, "%d", (int) ngx_stub_pools);

    return 0;
}


static void
fuzz_scan(fuzz_run_t *run, u_char *body, size_t len, ngx_uint_t flags,
    ngx_array_t *forbid, uint64_t *state, size_t step)
{
    size_t   n, done, peak;
    u_char  *piece;

    ngx_memzero(run, sizeof(fuzz_run_t));

    run->pool = ngx_create_pool(4096, NULL);
    run->temp = ngx_create_pool(4096, NULL);

    run->rc = ngx_http_ollama_scan_init(&run->scan, run->pool, run->temp,
                                        flags, forbid);
    fuzz_check(run->rc == NGX_OK, "init");

    for (done = 0; done < len && run->rc == NGX_OK; done += n) {

        n = state ? fuzz_piece(state, len - done)
                  : ngx_min(step, len - done);

        /* gone after the call, and with nothing behind it */

        piece = malloc(n);
        memcpy(piece, body + done, n);

        run->rc = ngx_http_ollama_scan_feed(&run->scan, piece, n);

        fuzz_check(memcmp(piece, body + done, n) == 0, "body changed");
        free(piece);
    }

    if (run->rc == NGX_OK) {
        run->rc = ngx_http_ollama_scan_end(&run->scan);
    }

    peak = ngx_stub_pool_peak(run->pool) + ngx_stub_pool_peak(run->temp);

    fuzz_check(peak <= FUZZ_MEMORY, "%zu bytes", peak);
    fuzz_check(run->rc == NGX_OK || run->rc == NGX_DECLINED, "%d",
               (int) run->rc);

    if (run->rc == NGX_DECLINED) {
        fuzz_check(run->scan.error.len, "no text");
        fuzz_check(run->scan.error_at >= 0
                   && run->scan.error_at <= (off_t) len,
                   "%d of %zu", (int) run->scan.error_at, len);
    }
}


static void
fuzz_finish(fuzz_run_t *run)
{
    ngx_destroy_pool(run->temp);
    ngx_destroy_pool(run->pool);
}


static void
fuzz_compare(fuzz_run_t *one, fuzz_run_t *run)
{
    ngx_uint_t               i;
    ngx_http_ollama_scan_t  *a, *b;

    a = &one->scan;
    b = &run->scan;

    fuzz_check(one->rc == run->rc, "%d, %d", (int) one->rc, (int) run->rc);

    fuzz_check(fuzz_same(&a->error, &b->error)
               && a->error_at == b->error_at,
               "\"%.*s\" at %d, \"%.*s\" at %d",
               (int) a->error.len, a->error.data, (int) a->error_at,
               (int) b->error.len, b->error.data, (int) b->error_at);

    if (one->rc != NGX_OK) {
        return;
    }

    fuzz_check(fuzz_same(&a->model, &b->model), "in pieces");
    fuzz_check(fuzz_same(&a->server_url, &b->server_url), "in pieces");
    fuzz_check(fuzz_same(&a->session_id, &b->session_id), "in pieces");
    fuzz_check(fuzz_same(&a->task_id, &b->task_id), "in pieces");
    fuzz_check(a->stream == b->stream, "in pieces");
    fuzz_check(a->removed == b->removed, "in pieces");

    fuzz_check(a->cuts.nelts == b->cuts.nelts
               && memcmp(a->cuts.elts, b->cuts.elts,
                         a->cuts.nelts * sizeof(ngx_http_ollama_cut_t)) == 0,
               "in pieces");

    /* the marks of the prompt, and the options of its runner */

    fuzz_check(a->runner == b->runner && a->num_ctx == b->num_ctx,
               "in pieces");
    fuzz_check(a->text == b->text && a->text <= FUZZ_BODY, "in pieces");
    fuzz_check(a->nmarks == b->nmarks
               && a->nmarks <= NGX_HTTP_OLLAMA_MARKS_MAX, "in pieces");

    for (i = 0; i < a->nmarks; i++) {
        fuzz_check(a->marks[i].hash == b->marks[i].hash
                   && a->marks[i].text == b->marks[i].text
                   && a->marks[i].text <= a->text
                   && (i == 0 || a->marks[i].text >= a->marks[i - 1].text),
                   "mark %d", (int) i);
    }
}


/* Ought the body to be taken, and is what was found in it right? */

static void
fuzz_judge(fuzz_run_t *run, u_char *body, size_t len, fuzz_want_t *want)
{
    ngx_uint_t               good;
    fuzz_value_t            *top;
    fuzz_reader_t            reader;
    ngx_http_ollama_scan_t  *scan;

    scan = &run->scan;

    good = fuzz_expect(want, body, len, &reader, &top);

    if (run->rc != NGX_OK) {
        fuzz_check(!good || want->gone > NGX_HTTP_OLLAMA_SCAN_CUTS,
                   "refused: \"%.*s\" at %d", (int) scan->error.len,
                   scan->error.data, (int) scan->error_at);

        fuzz_reader_free(&reader);
        return;
    }

    fuzz_check(good, "taken");

    fuzz_check(fuzz_same(&scan->model, &want->model), "\"%.*s\"",
               (int) scan->model.len, scan->model.data);
    fuzz_check(fuzz_same(&scan->server_url, &want->server_url), "value");
    fuzz_check(fuzz_same(&scan->session_id, &want->session_id), "value");
    fuzz_check(fuzz_same(&scan->task_id, &want->task_id), "value");
    fuzz_check(scan->stream == want->stream, "%d", (int) scan->stream);
    fuzz_check(scan->removed == want->removed, "%x, %x", scan->removed,
               want->removed);

    fuzz_rewritten(run, body, len, top);
    fuzz_reader_free(&reader);
}


/* Whether the body is right; "top" is left without what is to go. */

static ngx_uint_t
fuzz_expect(fuzz_want_t *want, u_char *body, size_t len,
    fuzz_reader_t *reader, fuzz_value_t **top)
{
    fuzz_value_t  *v;

    fuzz_reader_init(reader, body, len, NGX_HTTP_OLLAMA_JSON_DEPTH);

    reader->bytes = 1;

    /* what is behind it doesn't count */

    if (fuzz_reader_value(reader, top) != NGX_OK
        || (*top)->type != fuzz_object)
    {
        return 0;
    }

    for (v = (*top)->first; v; v = v->next) {
        fuzz_field(want, v);
    }

    if (want->model.len == 0) {
        want->model = want->name;
    }

    fuzz_drop(want, *top, 1, (uint32_t) -1);

    /* a session may have the model */
    return !want->wrong
           && (want->model.len != 0 || want->session_id.len != 0);
}


static void
fuzz_field(fuzz_want_t *want, fuzz_value_t *v)
{
    if (fuzz_own(want, v)) {
        fuzz_own_field(want, v);

    } else if (fuzz_named(v, "model")) {
        fuzz_kept(want, v, &want->model);

    } else if (fuzz_named(v, "name")) {

        if (want->flags & NGX_HTTP_OLLAMA_SCAN_NAME) {
            fuzz_kept(want, v, &want->name);
        }

    } else if (fuzz_named(v, "stream")) {

        if (!(want->flags & NGX_HTTP_OLLAMA_SCAN_STREAM)) {
            return;
        }

        if (fuzz_type(want, v, fuzz_boolean)) {
            want->stream = (v->raw.data[0] == 't')
                           ? NGX_HTTP_OLLAMA_STREAM_ON
                           : NGX_HTTP_OLLAMA_STREAM_OFF;

        } else if (want->flags & NGX_HTTP_OLLAMA_SCAN_OPTIONS) {
            want->stream = NGX_HTTP_OLLAMA_STREAM_UNSET;
        }

    } else if (fuzz_named(v, "options")) {

        if (want->flags & NGX_HTTP_OLLAMA_SCAN_OPTIONS) {
            (void) fuzz_type(want, v, fuzz_object);
        }

    } else if (fuzz_named(v, "messages")) {

        if ((want->flags & NGX_HTTP_OLLAMA_SCAN_MESSAGES)
            && fuzz_type(want, v, fuzz_list))
        {
            fuzz_messages(want, v);
        }
    }
}


/* Whether the field is one of the gateway, in a body that may have them. */

static ngx_uint_t
fuzz_own(fuzz_want_t *want, fuzz_value_t *v)
{
    return (want->flags & NGX_HTTP_OLLAMA_SCAN_OWN)
           && (fuzz_named(v, "server_url") || fuzz_named(v, "session_id")
               || fuzz_named(v, "task_id") || fuzz_named(v, "background"));
}


static void
fuzz_own_field(fuzz_want_t *want, fuzz_value_t *v)
{
    if (fuzz_named(v, "background")) {
        (void) fuzz_type(want, v, fuzz_boolean);

    } else if (fuzz_named(v, "server_url")) {
        fuzz_kept(want, v, &want->server_url);

    } else if (fuzz_named(v, "session_id")) {
        fuzz_kept(want, v, &want->session_id);

    } else {
        fuzz_kept(want, v, &want->task_id);

        if (v->type == fuzz_text && !ngx_http_ollama_id_is_valid(&v->text)) {
            want->wrong = 1;
        }
    }
}


static void
fuzz_kept(fuzz_want_t *want, fuzz_value_t *v, ngx_str_t *value)
{
    if (!fuzz_type(want, v, fuzz_text)) {
        return;
    }

    if (v->halves || v->text.len > NGX_HTTP_OLLAMA_SCAN_MAX_VALUE) {
        want->wrong = 1;
    }

    *value = v->text;
}


static void
fuzz_messages(fuzz_want_t *want, fuzz_value_t *list)
{
    fuzz_value_t  *message, *v, *image;

    for (message = list->first; message; message = message->next) {

        if (!fuzz_type(want, message, fuzz_object)) {
            continue;
        }

        for (v = message->first; v; v = v->next) {

            if (fuzz_named(v, "role")) {
                (void) fuzz_type(want, v, fuzz_text);
            }

            if (!(want->flags & NGX_HTTP_OLLAMA_SCAN_TEXT)) {
                continue;
            }

            if (fuzz_named(v, "content")) {
                (void) fuzz_type(want, v, fuzz_text);
            }

            if (!fuzz_named(v, "images") || !fuzz_type(want, v, fuzz_list)) {
                continue;
            }

            for (image = v->first; image; image = image->next) {
                (void) fuzz_type(want, image, fuzz_text);
            }
        }
    }
}


/* Whether it is of the type; null may be anywhere, all else is wrong. */

static ngx_uint_t
fuzz_type(fuzz_want_t *want, fuzz_value_t *v, fuzz_type_e type)
{
    if (v->type == type) {
        return 1;
    }

    if (v->type != fuzz_null) {
        want->wrong = 1;
    }

    return 0;
}


/* Takes out of an object what is not for the server. */

static void
fuzz_drop(fuzz_want_t *want, fuzz_value_t *object, ngx_uint_t depth,
    uint32_t match)
{
    uint32_t                    found;
    ngx_str_t                  *segment;
    ngx_uint_t                  i, gone;
    fuzz_value_t               *v, **link;
    ngx_http_ollama_forbid_t   *f;

    f = want->forbid->elts;
    link = &object->first;

    while (*link) {

        v = *link;
        found = 0;

        gone = (depth == 1 && fuzz_own(want, v));

        for (i = 0; i < want->forbid->nelts; i++) {

            if (!(match & (1u << i)) || f[i].n < depth) {
                continue;
            }

            segment = &f[i].segment[depth - 1];

            if (!fuzz_key(&v->key, (char *) segment->data, segment->len)) {
                continue;
            }

            found |= 1u << i;

            if (f[i].n == depth) {
                gone = 1;
                want->removed |= 1u << i;
            }
        }

        if (gone) {
            want->gone++;
            *link = v->next;
            continue;
        }

        if (v->type == fuzz_object && found) {
            fuzz_drop(want, v, depth + 1, found);
        }

        link = &v->next;
    }
}


static ngx_uint_t
fuzz_named(fuzz_value_t *v, const char *name)
{
    return fuzz_key(&v->key, name, strlen(name));
}


/* Whether Go takes the key for the name, in lower case. */

static ngx_uint_t
fuzz_key(ngx_str_t *key, const char *name, size_t len)
{
    char    folded[64];
    size_t  i, n;

    for (i = 0, n = 0; i < key->len && n < sizeof(folded); n++) {

        if (i + 1 < key->len && memcmp(key->data + i, "\xc5\xbf", 2) == 0) {
            folded[n] = 's';
            i += 2;

        } else if (i + 2 < key->len
                   && memcmp(key->data + i, "\xe2\x84\xaa", 3) == 0)
        {
            folded[n] = 'k';
            i += 3;

        } else {
            folded[n] = tolower(key->data[i]);
            i++;
        }
    }

    return i == key->len && n == len && memcmp(folded, name, n) == 0;
}


/* What goes to the server, read again, is what was left of the tree. */

static void
fuzz_rewritten(fuzz_run_t *run, u_char *body, size_t len, fuzz_value_t *top)
{
    off_t                   at;
    u_char                 *sent, *p;
    ngx_uint_t              i;
    fuzz_value_t           *v;
    fuzz_reader_t           reader;
    ngx_http_ollama_cut_t  *cut;

    sent = malloc(len);
    p = sent;
    at = 0;
    cut = run->scan.cuts.elts;

    for (i = 0; i < run->scan.cuts.nelts; i++) {

        fuzz_check(cut[i].start > at, "cut %d at %d", (int) i,
                   (int) cut[i].start);
        fuzz_check(cut[i].end > cut[i].start && cut[i].end < (off_t) len,
                   "cut %d to %d", (int) i, (int) cut[i].end);

        p = ngx_cpymem(p, body + at, cut[i].start - at);
        at = cut[i].end;
    }

    p = ngx_cpymem(p, body + at, len - at);

    fuzz_reader_init(&reader, sent, p - sent, NGX_HTTP_OLLAMA_JSON_DEPTH);

    reader.bytes = 1;

    fuzz_check(fuzz_reader_value(&reader, &v) == NGX_OK,
               "sent is no JSON: %.*s", (int) (p - sent), sent);

    fuzz_equal(top, v);

    fuzz_reader_free(&reader);
    free(sent);
}


static void
fuzz_equal(fuzz_value_t *a, fuzz_value_t *b)
{
    fuzz_check(a->type == b->type, "%d, %d", a->type, b->type);

    fuzz_check(fuzz_same(&a->raw_key, &b->raw_key), "\"%.*s\", \"%.*s\"",
               (int) a->raw_key.len, a->raw_key.data,
               (int) b->raw_key.len, b->raw_key.data);

    if (a->type != fuzz_object && a->type != fuzz_list) {
        fuzz_check(fuzz_same(&a->raw, &b->raw), "%.*s, %.*s",
                   (int) a->raw.len, a->raw.data,
                   (int) b->raw.len, b->raw.data);
    }

    for (a = a->first, b = b->first; a && b; a = a->next, b = b->next) {
        fuzz_equal(a, b);
    }

    fuzz_check(a == NULL && b == NULL, "members lost or left");
}
