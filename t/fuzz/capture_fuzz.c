
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is collected of a reply.  Of an input, the first byte chooses the form
 * and the limit, the second the pieces; the rest is the reply.
 *
 * What must be so: any pieces give what one piece gives; what was found is no
 * more than the limit and valid UTF-8; a frame's text is what a plain reader
 * finds in it; all that is written is JSON, the message with the content that
 * was found; and the reply with our members put in reads as before, and them.
 */


#include "fuzz.h"

#include "reply/ngx_http_ollama_capture.h"


#define FUZZ_DEPTH   256
#define FUZZ_TEXTS   NGX_HTTP_OLLAMA_CAPTURE_TEXTS


typedef struct {
    ngx_pool_t                   *pool;
    ngx_http_ollama_capture_t     capture;
    ngx_str_t                     message;
    ngx_str_t                     stats;
} fuzz_found_t;


/* what the plain reader makes of lines of Ollama */

typedef struct {
    u_char                       *data;
    size_t                        len;
    size_t                        mark;
} fuzz_want_t;


static void fuzz_read(u_char *text, size_t len,
    ngx_http_ollama_capture_form_e form, size_t max, uint64_t *state,
    size_t step, fuzz_found_t *found);
static void fuzz_compare(fuzz_found_t *one, fuzz_found_t *found);
static void fuzz_same_text(const char *name, ngx_str_t *a, ngx_str_t *b);
static void fuzz_written(fuzz_found_t *found);
static fuzz_value_t *fuzz_member(fuzz_value_t *object, const char *name);
static void fuzz_judge(u_char *text, size_t len, fuzz_found_t *found);
static ngx_uint_t fuzz_line(u_char *p, u_char *end, fuzz_want_t *want);
static void fuzz_mark(u_char *text, size_t len, fuzz_found_t *found);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                          len, max;
    u_char                         *text;
    uint64_t                        state;
    fuzz_found_t                    one, found;
    ngx_http_ollama_capture_form_e  form;

    if (size < 2) {
        return 0;
    }

    form = data[0] % 4;
    max = (data[0] & 0x80) ? data[0] / 4 % 32 : 65536;
    state = data[1];

    text = (u_char *) data + 2;
    len = size - 2;

    fuzz_read(text, len, form, max, NULL, len, &one);
    fuzz_written(&one);

    if (form == NGX_HTTP_OLLAMA_CAPTURE_LINES) {
        fuzz_judge(text, len, &one);
    }

    if (one.capture.last) {
        fuzz_mark(text, len, &one);
    }

    fuzz_read(text, len, form, max, NULL, 1, &found);
    fuzz_compare(&one, &found);
    ngx_destroy_pool(found.pool);

    fuzz_read(text, len, form, max, &state, 0, &found);
    fuzz_compare(&one, &found);
    ngx_destroy_pool(found.pool);

    ngx_destroy_pool(one.pool);

    return 0;
}


static void
fuzz_read(u_char *text, size_t len, ngx_http_ollama_capture_form_e form,
    size_t max, uint64_t *state, size_t step, fuzz_found_t *found)
{
    size_t                           n, done;
    u_char                          *piece;
    ngx_uint_t                       i;
    ngx_http_ollama_capture_call_t  *call;

    ngx_memzero(found, sizeof(fuzz_found_t));

    found->pool = ngx_create_pool(4096, NULL);

    (void) ngx_http_ollama_capture_init(&found->capture, found->pool, form,
                                        max);

    for (done = 0; done < len; done += n) {

        n = state ? fuzz_piece(state, len - done)
                  : ngx_min(step, len - done);

        piece = malloc(n);
        memcpy(piece, text + done, n);

        ngx_http_ollama_capture_feed(&found->capture, piece, n);

        fuzz_check(memcmp(piece, text + done, n) == 0, "reply changed");

        free(piece);
    }

    ngx_http_ollama_capture_end(&found->capture);

    /* what there is and what there may still be is the limit */

    n = found->capture.strbuf.rest;

    for (i = 0; i <= NGX_HTTP_OLLAMA_CAPTURE_TOOLS; i++) {
        n += found->capture.text[i].str.len;
    }

    call = found->capture.calls.elts;

    for (i = 0; i < found->capture.calls.nelts; i++) {
        n += call[i].id.str.len + call[i].name.str.len
             + call[i].arguments.str.len;
    }

    fuzz_check(n == max, "%zu, not %zu", n, max);

    fuzz_check(ngx_http_ollama_capture_message(&found->capture, found->pool,
                                               &found->message)
               == NGX_OK, "message");
    fuzz_check(ngx_http_ollama_capture_stats(&found->capture, found->pool,
                                             &found->stats)
               == NGX_OK, "stats");
}


static void
fuzz_compare(fuzz_found_t *one, fuzz_found_t *found)
{
    ngx_uint_t                  i;
    ngx_http_ollama_capture_t  *a, *b;

    static const char  *names[] = {
        "content", "thinking", "tools", "reason", "model"
    };

    a = &one->capture;
    b = &found->capture;

    fuzz_check(a->last == b->last && a->truncated == b->truncated
               && a->failed == b->failed && a->open == b->open
               && a->close == b->close && a->pos == b->pos,
               "in pieces");

    for (i = 0; i < FUZZ_TEXTS; i++) {
        fuzz_same_text(names[i], &a->text[i].str, &b->text[i].str);
    }

    fuzz_same_text("message", &one->message, &found->message);
    fuzz_same_text("stats", &one->stats, &found->stats);
}


static void
fuzz_same_text(const char *name, ngx_str_t *a, ngx_str_t *b)
{
    fuzz_check(fuzz_same(a, b), "%s: \"%.*s\", \"%.*s\"", name, (int) a->len,
               a->data, (int) b->len, b->data);
}


/* Valid JSON, by a reader that is strict about UTF-8, too. */

static void
fuzz_written(fuzz_found_t *found)
{
    ngx_str_t       name;
    ngx_uint_t      i;
    fuzz_value_t   *top, *v, *call, *function;
    fuzz_reader_t   reader, inner;

    if (found->stats.len) {
        fuzz_reader_init(&reader, found->stats.data, found->stats.len, 1);

        fuzz_check(fuzz_reader_value(&reader, &top) == NGX_OK
                   && fuzz_reader_end(&reader) == NGX_OK
                   && top->type == fuzz_object && top->first,
                   "%.*s", (int) found->stats.len, found->stats.data);

        fuzz_reader_free(&reader);

    } else {

        for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {
            fuzz_check(found->capture.stat[i] == -1, "no %lu", (u_long) i);
        }
    }

    fuzz_reader_init(&reader, found->message.data, found->message.len,
                     FUZZ_DEPTH + 8);

    fuzz_check(fuzz_reader_value(&reader, &top) == NGX_OK
               && fuzz_reader_end(&reader) == NGX_OK
               && top->type == fuzz_object,
               "%.*s", (int) found->message.len, found->message.data);

    v = fuzz_member(top, "content");

    fuzz_check(v && v->type == fuzz_text, "content");
    fuzz_same_text("content", &v->text,
                   &found->capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str);

    v = fuzz_member(top, "tool_calls");

    if (v) {
        fuzz_check(v->type == fuzz_list && v->first, "tool calls");

        for (call = v->first; call; call = call->next) {

            fuzz_check(call->type == fuzz_object, "a tool call");

            if (found->capture.form != NGX_HTTP_OLLAMA_CAPTURE_EVENTS) {
                continue;
            }

            function = fuzz_member(call, "function");
            fuzz_check(function, "a function");

            name = fuzz_member(function, "name")->text;
            fuzz_check(name.len, "a name");

            name = fuzz_member(function, "arguments")->text;

            fuzz_reader_init(&inner, name.data, name.len, 65536);

            fuzz_check(fuzz_reader_value(&inner, &v) == NGX_OK
                       && fuzz_reader_end(&inner) == NGX_OK
                       && v->type == fuzz_object,
                       "%.*s", (int) name.len, name.data);

            fuzz_reader_free(&inner);
        }
    }

    fuzz_reader_free(&reader);
}


/* The last one of the name. */

static fuzz_value_t *
fuzz_member(fuzz_value_t *object, const char *name)
{
    fuzz_value_t  *v, *found;

    found = NULL;

    for (v = object->first; v; v = v->next) {
        if (fuzz_is(&v->key, name)) {
            found = v;
        }
    }

    return found;
}


/* The content of the lines up to the first that is no object, or the last. */

static void
fuzz_judge(u_char *text, size_t len, fuzz_found_t *found)
{
    u_char       *p, *nl, *end;
    ngx_str_t     all, *content;
    fuzz_want_t   want;

    ngx_memzero(&want, sizeof(fuzz_want_t));

    want.data = malloc(len + 1);

    end = text + len;

    for (p = text; p < end; p = nl ? nl + 1 : end) {

        nl = memchr(p, '\n', end - p);

        if (!fuzz_line(p, nl ? nl : end, &want)) {
            break;
        }
    }

    all.data = want.data;
    all.len = want.len;

    content = &found->capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str;

    if (found->capture.truncated) {
        fuzz_check(content->len <= all.len
                   && (content->len == 0
                       || memcmp(content->data, all.data, content->len) == 0),
                   "\"%.*s\", not \"%.*s\"", (int) content->len,
                   content->data, (int) all.len, all.data);

    } else {
        fuzz_same_text("content of lines", content, &all);
    }

    free(want.data);
}


/* 0: no further. */

static ngx_uint_t
fuzz_line(u_char *p, u_char *end, fuzz_want_t *want)
{
    ngx_int_t       rc;
    ngx_uint_t      done;
    fuzz_value_t   *top, *v, *u;
    fuzz_reader_t   reader;

    while (p < end && memchr(" \t\r", *p, 3)) {
        p++;
    }

    if (p == end) {
        return 1;
    }

    done = 0;
    want->mark = want->len;

    fuzz_reader_init(&reader, p, end - p, FUZZ_DEPTH);

    rc = fuzz_reader_value(&reader, &top);

    if (rc == NGX_OK && top->type == fuzz_object) {

        for (v = top->first; v; v = v->next) {

            if (fuzz_is(&v->key, "done") && v->type == fuzz_boolean) {
                done = (v->raw.data[0] == 't');
            }

            if (!fuzz_is(&v->key, "message") || v->type != fuzz_object) {
                continue;
            }

            for (u = v->first; u; u = u->next) {

                if (!fuzz_is(&u->key, "content") || u->type != fuzz_text) {
                    continue;
                }

                /* decoded, it is never longer than in the reply */

                want->len = want->mark + u->text.len;
                memcpy(want->data + want->mark, u->text.data, u->text.len);
            }
        }

        if (fuzz_reader_end(&reader) == NGX_OK) {
            rc = done ? NGX_DONE : NGX_OK;

        } else {
            rc = NGX_DECLINED;
        }

    } else {
        rc = NGX_DECLINED;
    }

    fuzz_reader_free(&reader);

    return rc == NGX_OK;
}


/* Our members in the last object, and all else as it was. */

static void
fuzz_mark(u_char *text, size_t len, fuzz_found_t *found)
{
    size_t          n;
    ngx_str_t       frame, id, text_id;
    fuzz_value_t   *top, *v;
    fuzz_reader_t   reader;

    id.data = (u_char *) "a\"b";
    id.len = 3;

    fuzz_check(found->capture.open >= 0
               && found->capture.open < found->capture.close
               && found->capture.close < (off_t) len, "%ld to %ld of %zu",
               (long) found->capture.open, (long) found->capture.close, len);

    frame.data = text + found->capture.open;
    frame.len = found->capture.close + 1 - found->capture.open;

    n = ngx_http_ollama_capture_mark(NULL, &frame, &id, 1);

    text_id.data = malloc(n);
    text_id.len = ngx_http_ollama_capture_mark(text_id.data, &frame, &id, 1);

    fuzz_check(text_id.len == n, "%zu, %zu", text_id.len, n);
    fuzz_check(memcmp(text_id.data, frame.data, frame.len - 1) == 0, "front");

    fuzz_reader_init(&reader, text_id.data, n, FUZZ_DEPTH);

    fuzz_check(fuzz_reader_value(&reader, &top) == NGX_OK
               && fuzz_reader_end(&reader) == NGX_OK
               && top->type == fuzz_object,
               "%.*s", (int) n, text_id.data);

    v = fuzz_member(top, "session_id");
    fuzz_check(v && v->type == fuzz_text && fuzz_same(&v->text, &id), "id");

    v = fuzz_member(top, "saved");
    fuzz_check(v && v->type == fuzz_boolean, "saved");

    fuzz_reader_free(&reader);
    free(text_id.data);
}
