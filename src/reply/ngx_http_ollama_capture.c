
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a server says in its reply, collected for a session to store it: the
 * answer's text, the thinking, tool calls, the reason of the end, statistics.
 * The reply comes in pieces that may be cut anywhere; it is looked at, never
 * held or changed.  Whatever it is, following it can only end, which a flag
 * tells; what was found by then doesn't depend on the pieces.
 *
 * A frame counts when its object is whole: what is taken of it until then is
 * behind marks, and goes if the reply breaks off or turns out to be none.
 *
 * Strings are decoded here, not by yajl, which would copy a long one and go
 * over it again with each piece.  For that the parser gets its pieces cut
 * behind closing quotes, where it cuts them anyway, so that each key is known
 * before its value's first byte is looked at.
 *
 * Everything lives in the pool given and goes with it.  No "r" here, so that
 * unit tests and fuzzers can run it.  The room calls json, gather and text
 * only; what else is in it: ngx_http_ollama_capture_parse.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture.h"
#include "reply/ngx_http_ollama_capture_parse.h"


/* yajl needs no more of a string than the longest key, all in \u escapes */
#define NGX_HTTP_OLLAMA_CAPTURE_KEEP    160

/* bytes that a reason and a model's name together may have */
#define NGX_HTTP_OLLAMA_CAPTURE_LABEL   1024


static ngx_int_t ngx_http_ollama_capture_parser(
    ngx_http_ollama_capture_t *said);
static u_char *ngx_http_ollama_capture_next(ngx_http_ollama_capture_t *said,
    u_char **p, u_char *last);
static ngx_int_t ngx_http_ollama_capture_line(ngx_http_ollama_capture_t *said,
    u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_capture_object(ngx_http_ollama_capture_t *said,
    u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_capture_parse(ngx_http_ollama_capture_t *said,
    u_char *p, u_char *last);
static u_char *ngx_http_ollama_capture_string(ngx_http_ollama_capture_t *said,
    u_char *p, u_char *last);


/*
 * Makes a zeroed struct ready for a reply.  "max" bounds the bytes of content,
 * thinking and tool calls together.
 */

ngx_int_t
ngx_http_ollama_capture_init(ngx_http_ollama_capture_t *said, ngx_pool_t *pool,
    ngx_http_ollama_capture_form_e form, size_t max)
{
    ngx_uint_t  i;

    said->form = form;
    said->key = key_other;

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {
        said->stat[i] = -1;
        said->told[i] = -1;
    }

    ngx_http_ollama_strbuf_init(&said->gather, pool, max);
    ngx_http_ollama_strbuf_init(&said->label, pool,
                                NGX_HTTP_OLLAMA_CAPTURE_LABEL);

    if (ngx_array_init(&said->calls, pool, 1,
                       sizeof(ngx_http_ollama_capture_call_t))
        != NGX_OK
        || ngx_array_init(&said->deltas, pool, 1,
                          sizeof(ngx_http_ollama_capture_delta_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_capture_parser(said);
}


static ngx_int_t
ngx_http_ollama_capture_parser(ngx_http_ollama_capture_t *said)
{
    ngx_memzero(&said->json, sizeof(ngx_http_ollama_json_t));

    return ngx_http_ollama_json_init(&said->json, said->gather.pool,
                              &ngx_http_ollama_capture_callbacks, said,
                              NGX_HTTP_OLLAMA_CAPTURE_KEEP,
                              said->form == NGX_HTTP_OLLAMA_CAPTURE_LINES
                              || said->form == NGX_HTTP_OLLAMA_CAPTURE_EVENTS);
}


/* Takes the next piece of the reply. */

void
ngx_http_ollama_capture_feed(ngx_http_ollama_capture_t *said, u_char *p,
    size_t size)
{
    u_char  *last, *start;

    last = p + size;
    said->feed = p;

    while (p < last && !said->over && !said->failed) {

        start = ngx_http_ollama_capture_next(said, &p, last);

        if (start == NULL) {
            continue;
        }

        if (ngx_http_ollama_capture_line(said, start, p) != NGX_OK
            || said->gather.failed
            || said->label.failed)
        {
            ngx_http_ollama_capture_back(said);
            said->failed = 1;
        }
    }

    said->pos += size;
}


/*
 * Says that the server's line, wherever it stands, is cut: what is of a frame
 * that isn't whole goes, and what is fed next begins with a newline.
 */

void
ngx_http_ollama_capture_cut(ngx_http_ollama_capture_t *said)
{
    if (said->over || said->failed) {
        return;
    }

    ngx_http_ollama_capture_back(said);

    said->depth = 0;
    said->key = key_other;
    said->object = 0;
    said->quoted = 0;
    said->escaped = 0;
    ngx_http_ollama_sse_skip(&said->sse);

    if (ngx_http_ollama_capture_parser(said) != NGX_OK) {
        said->failed = 1;
    }
}


/*
 * Says that nothing more comes: what is of a frame that isn't whole goes.  May
 * be called at any time, and again.
 */

void
ngx_http_ollama_capture_end(ngx_http_ollama_capture_t *said)
{
    if (said->depth && !said->failed) {
        ngx_http_ollama_capture_back(said);
    }

    said->over = 1;
}


/* Whether the reply has said nothing, in words or thoughts or calls. */

ngx_uint_t
ngx_http_ollama_capture_is_empty(ngx_http_ollama_capture_t *said)
{
    return said->text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str.len == 0
           && said->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str.len == 0
           && said->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS].str.len == 0
           && said->calls.nelts == 0;
}


/*
 * Where the next piece of JSON begins, up to its line's end or "last", which *p
 * is set to.  NULL: there is none in front of that.
 */

static u_char *
ngx_http_ollama_capture_next(ngx_http_ollama_capture_t *said, u_char **p,
    u_char *last)
{
    u_char                       *nl, *start;
    ngx_http_ollama_sse_token_e   token;

    start = *p;

    switch (said->form) {

    case NGX_HTTP_OLLAMA_CAPTURE_LINES:
        nl = memchr(start, '\n', last - start);
        *p = nl ? nl + 1 : last;

        return start;

    case NGX_HTTP_OLLAMA_CAPTURE_EVENTS:
        token = ngx_http_ollama_sse_next(&said->sse, p, last);

        if (token != NGX_HTTP_OLLAMA_SSE_VALUE
            || said->sse.field != NGX_HTTP_OLLAMA_SSE_DATA)
        {
            return NULL;
        }

        start = said->sse.value;

        if (said->sse.first && *start == '[') {
            /* [DONE] */
            said->over = 1;
            return NULL;
        }

        return start;

    default: /* one object */
        *p = last;

        return start;
    }
}


static ngx_int_t
ngx_http_ollama_capture_line(ngx_http_ollama_capture_t *said, u_char *p,
    u_char *last)
{
    if (ngx_http_ollama_capture_object(said, p, last) != NGX_OK) {
        return NGX_ERROR;
    }

    if (said->form == NGX_HTTP_OLLAMA_CAPTURE_OBJECT
        || said->form == NGX_HTTP_OLLAMA_CAPTURE_COMPLETION
        || last[-1] != '\n'
        || said->over)
    {
        return NGX_OK;
    }

    if (said->depth) {
        return NGX_ERROR;
    }

    said->object = 0;

    return NGX_OK;
}


/* A piece of a line's object, to the parser string by string. */

static ngx_int_t
ngx_http_ollama_capture_object(ngx_http_ollama_capture_t *said, u_char *p,
    u_char *last)
{
    u_char  *start;

    while (p < last && !said->over) {

        start = p;

        if (!said->quoted) {

            p = memchr(p, '"', last - p);

            if (p == NULL) {
                return ngx_http_ollama_capture_parse(said, start, last);
            }

            if (said->key < key_index && start < p) {

                /* is it the value, or in an array, or is there another? */

                if (ngx_http_ollama_capture_parse(said, start, p) != NGX_OK) {
                    return NGX_ERROR;
                }

                start = p;
            }

            if (said->over) {
                return NGX_OK;
            }

            p++;
            ngx_http_ollama_capture_string_start(said);
        }

        p = ngx_http_ollama_capture_string(said, p, last);

        if (ngx_http_ollama_capture_parse(said, start, p) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_capture_parse(ngx_http_ollama_capture_t *said, u_char *p,
    u_char *last)
{
    said->piece = p;
    said->parsed = said->json.pos;

    if (said->raw) {
        said->raw = p;
    }

    if (ngx_http_ollama_json_feed(&said->json, p, last - p) != NGX_OK) {
        /* behind the end anything may come */
        return said->over ? NGX_OK : NGX_ERROR;
    }

    if (said->raw) {
        ngx_http_ollama_strbuf_add(&said->gather,
                                   &said->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS],
                                   said->raw, last - said->raw);
    }

    return NGX_OK;
}


/* The bytes of a string up to its end, which is gone past, or the piece's. */

static u_char *
ngx_http_ollama_capture_string(ngx_http_ollama_capture_t *said, u_char *p,
    u_char *last)
{
    u_char  ch, *start;

    start = p;

    while (p < last) {

        ch = *p++;

        if (said->escaped) {
            said->escaped = 0;

        } else if (ch == '\\') {
            said->escaped = 1;

        } else if (ch == '"') {
            said->quoted = 0;
            break;
        }
    }

    if (said->into) {
        ngx_http_ollama_strbuf_decode(said->by, said->into, start,
                                      said->quoted ? p : p - 1);
    }

    if (!said->quoted) {
        ngx_http_ollama_capture_string_end(said);
    }

    return p;
}
