
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The parser that follows replies.  Of an input, the first byte chooses the
 * form and what ends it, the second the pieces; the rest is the reply.
 *
 * What must be so: any pieces give what one piece gives; a reply is refused
 * not before the byte that is bad; what is let through ends where it is said
 * to end; and a reply that a plain reader goes through line by line is
 * complete for both or for none.
 */


#include "fuzz.h"

#include <ctype.h>

#include "reply/ngx_http_ollama_frame.h"


#define FUZZ_DEPTH   256
#define FUZZ_KEY     64

#define FUZZ_MEMORY  65536


typedef struct {
    ngx_int_t    rc;
    size_t       bad;        /* the last byte of the piece refused */
    size_t       good;       /* bytes let through, of all */
    ngx_uint_t   frames;
    ngx_int_t    prompt_tokens;
    ngx_int_t    generated_tokens;
    ngx_uint_t   done;
    ngx_uint_t   error;
    ngx_uint_t   line;
    ngx_uint_t   event;
    ngx_int_t    end;
    ngx_uint_t   end_error;
} fuzz_found_t;


/* what the plain reader makes of a reply */

typedef struct {
    ngx_int_t    rc;         /* AGAIN: OK, but cut in a line */
    ngx_uint_t   any;        /* of the cut line nothing is known */
    ngx_uint_t   vague;      /* nor of the counts, for an endless key */
    ngx_uint_t   frames;
    ngx_int_t    prompt_tokens;
    ngx_int_t    generated_tokens;
    ngx_uint_t   done;
    ngx_uint_t   error;
    ngx_uint_t   ending;     /* said by the event's name */
    ngx_uint_t   failing;
    ngx_uint_t   whole;      /* the event has had an object */
    u_char      *object;     /* of its lines so far */
    size_t       len;        /* 0: none is begun */
} fuzz_want_t;


static void fuzz_read(u_char *text, size_t len,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last,
    uint64_t *state, size_t step, fuzz_found_t *found);
static void fuzz_compare(u_char *text, ngx_http_ollama_frame_form_e form,
    fuzz_found_t *one, fuzz_found_t *bytes, fuzz_found_t *found);
static void fuzz_refused(u_char *text, ngx_http_ollama_frame_form_e form,
    fuzz_found_t *found);
static void fuzz_judge(u_char *text, size_t len,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last,
    fuzz_found_t *found);
static void fuzz_expect(fuzz_want_t *want, u_char *p, size_t len,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last);
static void fuzz_expect_sse(fuzz_want_t *want, u_char *p, u_char *end,
    ngx_http_ollama_frame_end_e last);
static ngx_int_t fuzz_sse(fuzz_want_t *want, u_char *p, u_char *end,
    ngx_http_ollama_frame_end_e last);
static ngx_int_t fuzz_data(fuzz_want_t *want, ngx_str_t *value,
    ngx_http_ollama_frame_end_e last);
static void fuzz_event(fuzz_want_t *want, ngx_str_t *name,
    ngx_http_ollama_frame_end_e last);
static void fuzz_object_end(fuzz_want_t *want,
    ngx_http_ollama_frame_end_e last);
static ngx_int_t fuzz_object_line(fuzz_want_t *want, u_char *p, u_char *end,
    ngx_http_ollama_frame_end_e last);
static void fuzz_object_read(fuzz_want_t *want, fuzz_value_t *top,
    ngx_http_ollama_frame_end_e last);
static void fuzz_usage(fuzz_want_t *want, fuzz_value_t *object);
static void fuzz_count(fuzz_value_t *v, ngx_int_t *count);
static ngx_uint_t fuzz_blank(u_char *p, u_char *end);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                         len;
    u_char                        *text;
    uint64_t                       state;
    fuzz_found_t                   one, bytes, found;
    ngx_http_ollama_frame_end_e    last;
    ngx_http_ollama_frame_form_e   form;

    if (size < 2) {
        return 0;
    }

    form = data[0] % 3;
    last = data[0] / 3 % 5;
    state = data[1];

    text = (u_char *) data + 2;
    len = size - 2;

    fuzz_read(text, len, form, last, NULL, len, &one);
    fuzz_judge(text, len, form, last, &one);

    fuzz_read(text, len, form, last, NULL, 1, &bytes);
    fuzz_compare(text, form, &one, &bytes, &bytes);

    fuzz_read(text, len, form, last, &state, 0, &found);
    fuzz_compare(text, form, &one, &bytes, &found);

    return 0;
}


static void
fuzz_read(u_char *text, size_t len, ngx_http_ollama_frame_form_e form,
    ngx_http_ollama_frame_end_e last, uint64_t *state, size_t step,
    fuzz_found_t *found)
{
    size_t                    n, done, good, peak;
    u_char                   *piece;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    ngx_memzero(found, sizeof(fuzz_found_t));

    pool = ngx_create_pool(4096, NULL);

    ngx_memzero(&frame, sizeof(ngx_http_ollama_frame_t));

    found->rc = ngx_http_ollama_frame_init(&frame, pool, form, last);

    for (done = 0; done < len && found->rc == NGX_OK; done += n) {

        n = state ? fuzz_piece(state, len - done)
                  : ngx_min(step, len - done);

        piece = malloc(n);
        memcpy(piece, text + done, n);

        good = (size_t) -1;
        found->rc = ngx_http_ollama_frame_feed(&frame, piece, n, &good);

        fuzz_check(good <= n, "%zu of %zu", good, n);
        fuzz_check(found->rc != NGX_OK || good == n, "%zu of %zu", good, n);
        fuzz_check(memcmp(piece, text + done, n) == 0, "reply changed");

        found->good = done + good;
        found->bad = done + n - 1;

        free(piece);
    }

    fuzz_check(found->rc == NGX_OK || found->rc == NGX_DECLINED, "%d",
               (int) found->rc);

    found->frames = frame.frames;
    found->prompt_tokens = frame.prompt_tokens;
    found->generated_tokens = frame.generated_tokens;
    found->done = frame.done;
    found->error = frame.error;
    found->line = frame.line;
    found->event = frame.event;

    if (found->rc == NGX_OK) {
        found->end = ngx_http_ollama_frame_end(&frame);
        found->end_error = frame.error;

        fuzz_check((found->end == NGX_OK) == frame.done, "%d",
                   (int) found->end);
        fuzz_check(!found->done || frame.done, "undone by the end");
    }

    peak = ngx_stub_pool_peak(pool);
    fuzz_check(peak <= FUZZ_MEMORY, "%zu bytes", peak);

    ngx_destroy_pool(pool);
}


static void
fuzz_compare(u_char *text, ngx_http_ollama_frame_form_e form,
    fuzz_found_t *one, fuzz_found_t *bytes, fuzz_found_t *found)
{
    fuzz_check(found->rc == one->rc, "%d, %d", (int) one->rc,
               (int) found->rc);

    if (one->rc != NGX_OK) {

        fuzz_check(found->bad >= bytes->bad, "refused at %zu, not %zu",
                   found->bad, bytes->bad);
        fuzz_check(found->done == one->done, "after the end");
        fuzz_check(found->good >= one->good, "%zu, %zu", found->good,
                   one->good);
        fuzz_check(found->good <= bytes->bad, "%zu, %zu", found->good,
                   bytes->bad);

        fuzz_refused(text, form, one);
        fuzz_refused(text, form, found);
        return;
    }

    fuzz_check(found->good == one->good
               && found->frames == one->frames
               && found->prompt_tokens == one->prompt_tokens
               && found->generated_tokens == one->generated_tokens
               && found->done == one->done
               && found->error == one->error
               && found->line == one->line
               && found->event == one->event
               && found->end == one->end
               && found->end_error == one->end_error,
               "in pieces");
}


/* What was let through of a bad reply ends with a line, or as "line" says. */

static void
fuzz_refused(u_char *text, ngx_http_ollama_frame_form_e form,
    fuzz_found_t *found)
{
    if (form == NGX_HTTP_OLLAMA_FRAME_WHOLE || found->done) {
        return;
    }

    if (form == NGX_HTTP_OLLAMA_FRAME_SSE
        && found->good && text[found->good - 1] == '\r')
    {
        fuzz_check(found->line == found->event, "%d", (int) found->line);
        return;
    }

    if (form == NGX_HTTP_OLLAMA_FRAME_SSE
        && found->good == 3 && text[2] == 0xbf)
    {
        /* a byte order mark */
        return;
    }

    fuzz_check(found->line
               == (found->good != 0 && text[found->good - 1] != '\n'),
               "%d, %zu bytes", (int) found->line, found->good);
}


static void
fuzz_judge(u_char *text, size_t len, ngx_http_ollama_frame_form_e form,
    ngx_http_ollama_frame_end_e last, fuzz_found_t *found)
{
    fuzz_want_t  want;

    fuzz_expect(&want, text, len, form, last);

    if (found->rc == NGX_DECLINED) {

        fuzz_check(want.rc == NGX_DECLINED || want.any, "refused");

        fuzz_expect(&want, text, found->good, form, last);

        if (found->done) {
            /* what is let through is a complete reply */
            fuzz_check(want.done, "not done with %zu bytes", found->good);

        } else if (form == NGX_HTTP_OLLAMA_FRAME_LINES) {
            fuzz_check(!want.done, "done with %zu bytes", found->good);
        }

        return;
    }

    fuzz_check(want.rc != NGX_DECLINED, "taken");
    fuzz_check((found->end == NGX_OK) == want.done, "%d, %d",
               (int) found->end, (int) want.done);
    fuzz_check(found->frames == want.frames, "%d, %d", (int) found->frames,
               (int) want.frames);

    if (want.rc == NGX_AGAIN) {
        return;
    }

    fuzz_check(found->end_error == want.error, "%d, %d",
               (int) found->end_error, (int) want.error);

    if (want.vague) {
        return;
    }

    fuzz_check(found->prompt_tokens == want.prompt_tokens, "%d, %d",
               (int) found->prompt_tokens, (int) want.prompt_tokens);
    fuzz_check(found->generated_tokens == want.generated_tokens, "%d, %d",
               (int) found->generated_tokens, (int) want.generated_tokens);
}


static void
fuzz_expect(fuzz_want_t *want, u_char *p, size_t len,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last)
{
    u_char  *end, *nl;

    ngx_memzero(want, sizeof(fuzz_want_t));

    want->prompt_tokens = -1;
    want->generated_tokens = -1;

    end = p + len;

    if (form == NGX_HTTP_OLLAMA_FRAME_WHOLE) {
        want->rc = fuzz_object_line(want, p, end, last);

        if (want->rc == NGX_DECLINED) {
            want->rc = NGX_AGAIN;
            want->any = 1;
        }

        return;
    }

    if (form == NGX_HTTP_OLLAMA_FRAME_SSE) {
        want->object = malloc(len + 1);
        fuzz_expect_sse(want, p, end, last);
        free(want->object);

        if (want->rc == NGX_DECLINED) {
            want->done = 0;
        }

        return;
    }

    while (p < end) {

        nl = memchr(p, '\n', end - p);
        want->rc = fuzz_object_line(want, p, nl ? nl : end, last);

        if (nl && want->rc == NGX_AGAIN) {
            want->rc = NGX_DECLINED;
        }

        if (want->rc == NGX_DECLINED && nl == NULL) {
            /* the module need not know yet */
            want->rc = NGX_AGAIN;
            want->any = 1;
        }

        if (want->rc != NGX_OK || nl == NULL) {
            break;
        }

        p = nl + 1;

        if (want->done) {

            if (!fuzz_blank(p, end)) {
                want->rc = NGX_DECLINED;
            }

            break;
        }
    }

    if (want->rc == NGX_DECLINED) {
        want->done = 0;
    }
}


static void
fuzz_expect_sse(fuzz_want_t *want, u_char *p, u_char *end,
    ngx_http_ollama_frame_end_e last)
{
    u_char      *e;
    ngx_uint_t   whole;

    static const u_char  mark[] = { 0xef, 0xbb, 0xbf };

    if (memcmp(p, mark, ngx_min(end - p, 3)) == 0) {
        p += ngx_min(end - p, 3);
    }

    while (p < end) {

        for (e = p; e < end && *e != '\n' && *e != '\r'; e++) { /* void */ }

        whole = (e < end);

        if (e == p) {

            if (want->len) {
                want->rc = NGX_DECLINED;
                return;
            }

            want->rc = NGX_OK;

        } else {
            want->rc = fuzz_sse(want, p, e, last);

            if (!whole) {
                /* the module need not know yet */
                want->any |= (want->rc == NGX_DECLINED);
                want->rc = NGX_AGAIN;
            }

            if (want->rc != NGX_OK) {
                return;
            }
        }

        whole = (e == p);
        p = (*e == '\r' && e + 1 < end && e[1] == '\n') ? e + 2 : e + 1;

        if (!whole) {
            continue;
        }

        if (want->done) {
            want->rc = fuzz_blank(p, end) ? NGX_OK : NGX_DECLINED;
            break;
        }

        want->ending = 0;
        want->failing = 0;
        want->whole = 0;
    }

    if (want->rc == NGX_OK && want->len) {
        want->rc = NGX_AGAIN;
    }
}


/* A line of SSE. */

static ngx_int_t
fuzz_sse(fuzz_want_t *want, u_char *p, u_char *end,
    ngx_http_ollama_frame_end_e last)
{
    u_char     *s;
    ngx_str_t   name, value;

    name.data = p;

    while (p < end && *p != ':') {

        if (!isalnum(*p) && *p != '_' && *p != '-' && *p != '.') {
            return NGX_DECLINED;
        }

        p++;
    }

    name.len = p - name.data;
    s = (p < end) ? p + 1 : p;

    if (s < end && *s == ' ') {
        s++;
    }

    value.data = s;
    value.len = end - s;

    if (fuzz_is(&name, "data")) {
        return fuzz_data(want, &value, last);
    }

    if (fuzz_is(&name, "event")) {
        want->ending = 0;
        want->failing = 0;
        fuzz_event(want, &value, last);

        if (want->whole) {
            fuzz_object_end(want, last);
        }
    }

    return NGX_OK;
}


static ngx_int_t
fuzz_data(fuzz_want_t *want, ngx_str_t *value,
    ngx_http_ollama_frame_end_e last)
{
    ngx_int_t  rc;

    if (want->len == 0 && value->len && value->data[0] == '[') {

        if (!fuzz_is(value, "[DONE]")) {
            return NGX_DECLINED;
        }

        if (last == NGX_HTTP_OLLAMA_END_MARK) {
            want->done = 1;
        }

        return NGX_OK;
    }

    if (want->len) {
        want->object[want->len++] = '\n';
    }

    memcpy(want->object + want->len, value->data, value->len);
    want->len += value->len;

    want->any = 0;
    rc = fuzz_object_line(want, want->object, want->object + want->len, last);

    if (rc != NGX_AGAIN) {
        want->len = 0;
        return rc;
    }

    return NGX_OK;
}


static void
fuzz_event(fuzz_want_t *want, ngx_str_t *name,
    ngx_http_ollama_frame_end_e last)
{
    if (fuzz_is(name, "error") || fuzz_is(name, "response.failed")) {
        want->failing = 1;
    }

    if (last == NGX_HTTP_OLLAMA_END_RESPONSE
        && (fuzz_is(name, "response.completed")
            || fuzz_is(name, "response.incomplete")
            || fuzz_is(name, "response.failed")))
    {
        want->ending = 1;
    }

    if (last == NGX_HTTP_OLLAMA_END_MESSAGE && fuzz_is(name, "message_stop")) {
        want->ending = 1;
    }
}


/* A line with one object, or blanks. */

static ngx_int_t
fuzz_object_line(fuzz_want_t *want, u_char *p, u_char *end,
    ngx_http_ollama_frame_end_e last)
{
    ngx_int_t       rc;
    fuzz_value_t   *top;
    fuzz_reader_t   reader;

    if (fuzz_blank(p, end)) {
        return NGX_OK;
    }

    fuzz_reader_init(&reader, p, end - p, FUZZ_DEPTH);

    rc = fuzz_reader_value(&reader, &top);

    if (rc == NGX_OK) {
        rc = fuzz_reader_end(&reader);
    }

    if (rc != NGX_DECLINED && top->type != fuzz_object) {
        rc = NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        fuzz_object_read(want, top, last);

    } else if (rc == NGX_AGAIN) {
        /* bytes that can't become a character, a literal, … */
        want->any = 1;
    }

    fuzz_reader_free(&reader);

    return rc;
}


static void
fuzz_object_read(fuzz_want_t *want, fuzz_value_t *top,
    ngx_http_ollama_frame_end_e last)
{
    fuzz_value_t  *v, *u;

    want->frames++;
    want->error = 0;

    for (v = top->first; v; v = v->next) {

        if (v->raw_key.len >= FUZZ_KEY) {
            want->vague = 1;
        }

        if (fuzz_is(&v->key, "done")) {
            if (v->type == fuzz_boolean && last == NGX_HTTP_OLLAMA_END_DONE) {
                want->ending = (v->raw.data[0] == 't');
            }

        } else if (fuzz_is(&v->key, "type")) {
            if (v->type == fuzz_text && last == NGX_HTTP_OLLAMA_END_RESPONSE) {
                fuzz_event(want, &v->text, last);
            }

        } else if (fuzz_is(&v->key, "error")) {
            want->failing = (v->type != fuzz_null);

        } else if (fuzz_is(&v->key, "prompt_eval_count")) {
            fuzz_count(v, &want->prompt_tokens);

        } else if (fuzz_is(&v->key, "eval_count")) {
            fuzz_count(v, &want->generated_tokens);

        } else if (fuzz_is(&v->key, "usage")) {
            fuzz_usage(want, v);

        } else if ((fuzz_is(&v->key, "message")
                    || fuzz_is(&v->key, "response"))
                   && v->type == fuzz_object)
        {
            for (u = v->first; u; u = u->next) {

                if (u->raw_key.len >= FUZZ_KEY) {
                    want->vague = 1;
                }

                if (fuzz_is(&u->key, "usage")) {
                    fuzz_usage(want, u);
                }
            }
        }
    }

    want->whole = 1;
    fuzz_object_end(want, last);
}


static void
fuzz_object_end(fuzz_want_t *want, ngx_http_ollama_frame_end_e last)
{
    if (want->ending || last == NGX_HTTP_OLLAMA_END_OBJECT) {
        want->done = 1;
    }

    if (want->failing) {
        want->error = 1;
        want->failing = 0;
    }
}


static void
fuzz_usage(fuzz_want_t *want, fuzz_value_t *object)
{
    fuzz_value_t  *v;

    if (object->type != fuzz_object) {
        return;
    }

    for (v = object->first; v; v = v->next) {

        if (v->raw_key.len >= FUZZ_KEY) {
            want->vague = 1;
        }

        if (fuzz_is(&v->key, "prompt_tokens")
            || fuzz_is(&v->key, "input_tokens"))
        {
            fuzz_count(v, &want->prompt_tokens);
        }

        if (fuzz_is(&v->key, "completion_tokens")
            || fuzz_is(&v->key, "output_tokens"))
        {
            fuzz_count(v, &want->generated_tokens);
        }
    }
}


/* Only digits, and not more than a count can have. */

static void
fuzz_count(fuzz_value_t *v, ngx_int_t *count)
{
    size_t     i;
    ngx_int_t  n;

    if (v->type != fuzz_number || v->raw.len >= 16) {
        return;
    }

    for (n = 0, i = 0; i < v->raw.len; i++) {

        if (!isdigit(v->raw.data[i])) {
            return;
        }

        n = n * 10 + (v->raw.data[i] - '0');
    }

    *count = n;
}


static ngx_uint_t
fuzz_blank(u_char *p, u_char *end)
{
    while (p < end && memchr(" \t\r\n", *p, 4)) {
        p++;
    }

    return p == end;
}
