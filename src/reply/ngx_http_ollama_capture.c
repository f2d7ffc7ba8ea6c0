
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Captures a chat's reply while it passes: content, thinking, tool calls, the
 * reason of its end, and statistics.  The reply comes in pieces that may be cut
 * anywhere, and is neither held nor changed.  If it turns out to be no such
 * reply, capturing ends, and a flag tells that; what was captured by then does
 * not depend on the pieces.
 *
 * What a frame adds counts when its object is whole, and is dropped if the
 * reply is truncated before that, or if it is no frame.
 *
 * Strings are decoded here and not by yajl, which would copy a long one and
 * read it again with each piece.  For that, yajl is fed up to each closing
 * quote, where its own tokens end anyway: so the key is known before the first
 * byte of its value is read.
 *
 * All memory is of the pool that init() was given, and is freed with it.  It
 * uses no request, so that unit tests and fuzzers can run it.  Its other files
 * are listed in ngx_http_ollama_capture_parse.h.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture.h"
#include "reply/ngx_http_ollama_capture_parse.h"


/*
 * Bytes of a string that yajl is fed: it needs the longest key, if all of it is
 * written as \u escapes.
 */
#define NGX_HTTP_OLLAMA_CAPTURE_STRING    160

/* bytes at most of a reason and a model's name together */
#define NGX_HTTP_OLLAMA_CAPTURE_LABEL   1024


static ngx_int_t ngx_http_ollama_capture_parser(
    ngx_http_ollama_capture_t *capture);
static ngx_int_t ngx_http_ollama_capture_next(
    ngx_http_ollama_capture_t *capture, u_char **p, u_char *last);
static ngx_int_t ngx_http_ollama_capture_line(
    ngx_http_ollama_capture_t *capture, u_char **pos, u_char *last);
static ngx_int_t ngx_http_ollama_capture_event(
    ngx_http_ollama_capture_t *capture, u_char **p, u_char *last);
static ngx_int_t ngx_http_ollama_capture_object(
    ngx_http_ollama_capture_t *capture, u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_capture_parse(
    ngx_http_ollama_capture_t *capture, u_char *p, u_char *last);
static u_char *ngx_http_ollama_capture_string(
    ngx_http_ollama_capture_t *capture, u_char *p, u_char *last);


ngx_int_t
ngx_http_ollama_capture_init(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_http_ollama_capture_form_e form, size_t max)
{
    ngx_uint_t  i;

    capture->form = form;
    capture->key = key_other;

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {
        capture->stat[i] = -1;
        capture->frame_stat[i] = -1;
    }

    ngx_http_ollama_strbuf_init(&capture->strbuf, pool, max);
    ngx_http_ollama_strbuf_init(&capture->labels, pool,
                                NGX_HTTP_OLLAMA_CAPTURE_LABEL);

    if (ngx_array_init(&capture->calls, pool, 1,
                       sizeof(ngx_http_ollama_capture_call_t))
        != NGX_OK
        || ngx_array_init(&capture->deltas, pool, 1,
                          sizeof(ngx_http_ollama_capture_delta_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_capture_parser(capture);
}


static ngx_int_t
ngx_http_ollama_capture_parser(ngx_http_ollama_capture_t *capture)
{
    ngx_uint_t  multiple;

    multiple = (capture->form == NGX_HTTP_OLLAMA_CAPTURE_LINES
                || capture->form == NGX_HTTP_OLLAMA_CAPTURE_EVENTS);

    ngx_memzero(&capture->json, sizeof(ngx_http_ollama_json_t));

    return ngx_http_ollama_json_init(&capture->json, capture->strbuf.pool,
                                     &ngx_http_ollama_capture_callbacks,
                                     capture, NGX_HTTP_OLLAMA_CAPTURE_STRING,
                                     multiple);
}


void
ngx_http_ollama_capture_feed(ngx_http_ollama_capture_t *capture, u_char *p,
    size_t size)
{
    u_char  *last;

    last = p + size;
    capture->feed = p;

    while (p < last && !capture->over && !capture->failed) {

        if (ngx_http_ollama_capture_next(capture, &p, last) != NGX_OK
            || capture->strbuf.failed
            || capture->labels.failed)
        {
            ngx_http_ollama_capture_rollback(capture);
            capture->failed = 1;
        }
    }

    capture->pos += size;
}


void
ngx_http_ollama_capture_cut(ngx_http_ollama_capture_t *capture)
{
    if (capture->over || capture->failed) {
        return;
    }

    ngx_http_ollama_capture_rollback(capture);

    capture->depth = 0;
    capture->key = key_other;
    capture->object = 0;
    capture->quoted = 0;
    capture->escaped = 0;
    ngx_http_ollama_sse_skip(&capture->sse);

    if (ngx_http_ollama_capture_parser(capture) != NGX_OK) {
        capture->failed = 1;
    }
}


void
ngx_http_ollama_capture_end(ngx_http_ollama_capture_t *capture)
{
    if (capture->depth && !capture->failed) {
        ngx_http_ollama_capture_rollback(capture);
    }

    capture->over = 1;
}


ngx_uint_t
ngx_http_ollama_capture_is_empty(ngx_http_ollama_capture_t *capture)
{
    return capture->text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str.len == 0
           && capture->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str.len == 0
           && capture->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS].str.len == 0
           && capture->calls.nelts == 0;
}


/* Reads up to the end of a line, or to "last", and sets *p to that. */

static ngx_int_t
ngx_http_ollama_capture_next(ngx_http_ollama_capture_t *capture, u_char **p,
    u_char *last)
{
    u_char  *start;

    switch (capture->form) {

    case NGX_HTTP_OLLAMA_CAPTURE_LINES:
        return ngx_http_ollama_capture_line(capture, p, last);

    case NGX_HTTP_OLLAMA_CAPTURE_EVENTS:
        return ngx_http_ollama_capture_event(capture, p, last);

    default: /* one object, the whole body */
        start = *p;
        *p = last;

        return ngx_http_ollama_capture_object(capture, start, last);
    }
}


static ngx_int_t
ngx_http_ollama_capture_line(ngx_http_ollama_capture_t *capture, u_char **pos,
    u_char *last)
{
    u_char  *p, *nl;

    p = *pos;

    nl = memchr(p, '\n', last - p);
    *pos = nl ? nl + 1 : last;

    if (ngx_http_ollama_capture_object(capture, p, *pos) != NGX_OK) {
        return NGX_ERROR;
    }

    if (nl == NULL || capture->over) {
        return NGX_OK;
    }

    if (capture->depth) {
        return NGX_ERROR;
    }

    capture->object = 0;

    return NGX_OK;
}


/*
 * An event's "data:" lines are the lines of its object; but as in frame.c each
 * of them may have one of its own.
 */

static ngx_int_t
ngx_http_ollama_capture_event(ngx_http_ollama_capture_t *capture, u_char **p,
    u_char *last)
{
    u_char                       *newline;
    ngx_http_ollama_sse_t        *sse;
    ngx_http_ollama_sse_token_e   token;

    sse = &capture->sse;

    token = ngx_http_ollama_sse_next(sse, p, last);

    if (token == NGX_HTTP_OLLAMA_SSE_EMPTY) {
        return capture->depth ? NGX_ERROR : NGX_OK;
    }

    if (token != NGX_HTTP_OLLAMA_SSE_VALUE
        || sse->field != NGX_HTTP_OLLAMA_SSE_DATA)
    {
        return NGX_OK;
    }

    if (sse->first && capture->depth == 0) {
        capture->object = 0;

        if (sse->value < sse->end && *sse->value == '[') {
            /* [DONE] */
            capture->over = 1;
            return NGX_OK;
        }

    } else if (sse->first) {
        newline = (u_char *) "\n";

        if (ngx_http_ollama_capture_object(capture, newline, newline + 1)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_ollama_capture_object(capture, sse->value, sse->end);
}


/* Feeds the parser a piece of a line's object, string by string. */

static ngx_int_t
ngx_http_ollama_capture_object(ngx_http_ollama_capture_t *capture, u_char *p,
    u_char *last)
{
    u_char  *start;

    while (p < last && !capture->over) {

        start = p;

        if (!capture->quoted) {

            p = memchr(p, '"', last - p);

            if (p == NULL) {
                return ngx_http_ollama_capture_parse(capture, start, last);
            }

            if (capture->key < key_index && start < p) {

                /* the string may be in an array, or after another key */

                if (ngx_http_ollama_capture_parse(capture, start, p)
                    != NGX_OK)
                {
                    return NGX_ERROR;
                }

                start = p;
            }

            if (capture->over) {
                return NGX_OK;
            }

            p++;
            ngx_http_ollama_capture_string_start(capture);
        }

        p = ngx_http_ollama_capture_string(capture, p, last);

        if (ngx_http_ollama_capture_parse(capture, start, p) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_capture_parse(ngx_http_ollama_capture_t *capture, u_char *p,
    u_char *last)
{
    ngx_http_ollama_strbuf_text_t  *tools;

    capture->piece = p;
    capture->parsed = capture->json.pos;

    if (capture->raw) {
        capture->raw = p;
    }

    if (ngx_http_ollama_json_feed(&capture->json, p, last - p) != NGX_OK) {
        /* after the end anything may come */
        return capture->over ? NGX_OK : NGX_ERROR;
    }

    if (capture->raw) {
        tools = &capture->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS];

        ngx_http_ollama_strbuf_add(&capture->strbuf, tools, capture->raw,
                                   last - capture->raw);
    }

    return NGX_OK;
}


/*
 * Reads the bytes of a string up to "last" or to its closing quote.  Returns
 * where it has stopped, after the quote.
 */

static u_char *
ngx_http_ollama_capture_string(ngx_http_ollama_capture_t *capture, u_char *p,
    u_char *last)
{
    u_char  ch, *start;

    start = p;

    while (p < last) {

        ch = *p++;

        if (capture->escaped) {
            capture->escaped = 0;

        } else if (ch == '\\') {
            capture->escaped = 1;

        } else if (ch == '"') {
            capture->quoted = 0;
            break;
        }
    }

    if (capture->target) {
        ngx_http_ollama_strbuf_decode(capture->target_buf, capture->target,
                                      start, capture->quoted ? p : p - 1);
    }

    if (!capture->quoted) {
        ngx_http_ollama_capture_string_end(capture);
    }

    return p;
}
