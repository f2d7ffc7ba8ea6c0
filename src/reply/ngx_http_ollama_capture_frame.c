
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a frame adds to the captured texts, and what becomes of it when the
 * frame is whole or turns out to be none: strings, tool calls that are kept
 * byte for byte, and tool calls that come in parts.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_parse.h"


static u_char *ngx_http_ollama_capture_at(ngx_http_ollama_capture_t *capture);
static void ngx_http_ollama_capture_merge(ngx_http_ollama_capture_t *capture,
    ngx_http_ollama_capture_delta_t *delta);
static ngx_http_ollama_capture_call_t *ngx_http_ollama_capture_find(
    ngx_http_ollama_capture_t *capture, ngx_http_ollama_capture_delta_t *delta);


ngx_uint_t
ngx_http_ollama_capture_node(ngx_http_ollama_capture_t *capture)
{
    if (capture->depth == 0
        || capture->depth > NGX_HTTP_OLLAMA_CAPTURE_LEVELS)
    {
        return node_other;
    }

    return capture->node[capture->depth - 1];
}


/* In a callback for a brace: where it is in memory. */

static u_char *
ngx_http_ollama_capture_at(ngx_http_ollama_capture_t *capture)
{
    off_t  offset;

    offset = ngx_http_ollama_json_offset(&capture->json);

    return capture->piece + (offset - capture->parsed) - 1;
}


off_t
ngx_http_ollama_capture_offset(ngx_http_ollama_capture_t *capture)
{
    return capture->pos + (ngx_http_ollama_capture_at(capture) - capture->feed);
}


void
ngx_http_ollama_capture_string_start(ngx_http_ollama_capture_t *capture)
{
    ngx_http_ollama_capture_delta_t  *delta;

    capture->quoted = 1;
    capture->target = NULL;
    capture->target_buf = (capture->key == key_model
                           || capture->key == key_reason)
                          ? &capture->labels : &capture->strbuf;

    switch (capture->key) {

    case key_model:
    case key_reason:

        if (capture->committed[capture->key]) {
            /* it is known from the frames before */
            return;
        }

        /* fall through */

    case key_content:
    case key_thinking:
        capture->target = &capture->text[capture->key];

        ngx_http_ollama_strbuf_cut(capture->target_buf, capture->target,
                                   capture->committed[capture->key]);
        break;

    case key_id:
    case key_name:
    case key_arguments:
        capture->target = &capture->parts;

        delta = capture->deltas.elts;
        delta += capture->deltas.nelts - 1;

        delta->start[capture->key - key_id] = capture->parts.str.len;
        break;

    default:
        return;
    }

    ngx_http_ollama_strbuf_begin(capture->target_buf);
}


void
ngx_http_ollama_capture_string_end(ngx_http_ollama_capture_t *capture)
{
    ngx_uint_t                        i;
    ngx_http_ollama_capture_delta_t  *delta;

    if (capture->target == NULL) {
        return;
    }

    ngx_http_ollama_strbuf_end(capture->target_buf, capture->target);

    if (capture->key >= key_id && capture->key <= key_arguments) {

        delta = capture->deltas.elts;
        delta += capture->deltas.nelts - 1;

        i = capture->key - key_id;

        delta->len[i] = capture->parts.str.len - delta->start[i];
    }

    capture->target = NULL;
}


ngx_uint_t
ngx_http_ollama_capture_call(ngx_http_ollama_capture_t *capture)
{
    ngx_http_ollama_capture_delta_t  *delta;
    ngx_http_ollama_strbuf_text_t    *tools;

    if (capture->form != NGX_HTTP_OLLAMA_CAPTURE_EVENTS) {

        tools = &capture->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS];

        capture->raw = ngx_http_ollama_capture_at(capture);
        capture->raw_len = tools->str.len;
        capture->raw_depth = capture->depth + 1;

        if (tools->str.len) {
            ngx_http_ollama_strbuf_add(&capture->strbuf, tools, (u_char *) ",",
                                       1);
        }

        return node_other;
    }

    if (capture->deltas.nelts == NGX_HTTP_OLLAMA_CAPTURE_CALLS) {
        capture->strbuf.full = 1;
        return node_other;
    }

    delta = ngx_array_push(&capture->deltas);
    if (delta == NULL) {
        capture->strbuf.failed = 1;
        return node_other;
    }

    ngx_memzero(delta, sizeof(ngx_http_ollama_capture_delta_t));

    return node_call;
}


void
ngx_http_ollama_capture_raw_end(ngx_http_ollama_capture_t *capture)
{
    ngx_http_ollama_strbuf_text_t  *tools;

    tools = &capture->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS];

    ngx_http_ollama_strbuf_add(&capture->strbuf, tools, capture->raw,
                               ngx_http_ollama_capture_at(capture) + 1
                               - capture->raw);

    if (capture->strbuf.full) {
        /* what there is of it is no JSON */
        ngx_http_ollama_strbuf_cut(&capture->strbuf, tools, capture->raw_len);
    }

    capture->raw = NULL;
}


void
ngx_http_ollama_capture_commit(ngx_http_ollama_capture_t *capture)
{
    ngx_uint_t                        i;
    ngx_http_ollama_capture_delta_t  *delta;

    if (capture->deltas.nelts) {

        /* the bytes that are moved must not count twice */
        ngx_http_ollama_strbuf_cut(&capture->strbuf, &capture->parts, 0);

        delta = capture->deltas.elts;

        for (i = 0; i < capture->deltas.nelts; i++) {
            ngx_http_ollama_capture_merge(capture, &delta[i]);
        }

        capture->deltas.nelts = 0;
    }

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_TEXTS; i++) {
        capture->committed[i] = capture->text[i].str.len;
    }

    if (capture->has_stats) {

        for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {

            if (capture->frame_stat[i] != -1) {
                capture->stat[i] = capture->frame_stat[i];
                capture->frame_stat[i] = -1;
            }
        }

        capture->has_stats = 0;
    }

    if (capture->strbuf.full) {
        capture->truncated = 1;
    }

    if (capture->form == NGX_HTTP_OLLAMA_CAPTURE_OBJECT
        || capture->form == NGX_HTTP_OLLAMA_CAPTURE_COMPLETION)
    {
        capture->ending = 1;
    }

    if (capture->ending) {

        if (!capture->last) {
            capture->last = 1;
            capture->open = capture->begin;
            capture->close = ngx_http_ollama_capture_offset(capture);
        }

        /* in a stream of OpenAI's the usage may follow */
        capture->over = (capture->form != NGX_HTTP_OLLAMA_CAPTURE_EVENTS);
        capture->ending = 0;
    }
}


/* Adds a part to its tool call, unless the frame has reached the limit. */

static void
ngx_http_ollama_capture_merge(ngx_http_ollama_capture_t *capture,
    ngx_http_ollama_capture_delta_t *delta)
{
    ngx_uint_t                       i;
    ngx_http_ollama_capture_call_t  *call;
    ngx_http_ollama_strbuf_text_t   *text;

    if (capture->strbuf.full) {
        return;
    }

    call = ngx_http_ollama_capture_find(capture, delta);
    if (call == NULL) {
        return;
    }

    for (i = 0; i < 3; i++) {

        text = (i == 0) ? &call->id
               : (i == 1) ? &call->name
               : &call->arguments;

        if (delta->len[i] == 0 || (i < 2 && text->str.len)) {
            /* an id or a name that is repeated */
            continue;
        }

        ngx_http_ollama_strbuf_add(&capture->strbuf, text,
                                   capture->parts.str.data + delta->start[i],
                                   delta->len[i]);
    }
}


/*
 * Returns the last call with the part's index, or a new one; a new one, too, if
 * the part has another id, as some servers give all calls the index 0.
 */

static ngx_http_ollama_capture_call_t *
ngx_http_ollama_capture_find(ngx_http_ollama_capture_t *capture,
    ngx_http_ollama_capture_delta_t *delta)
{
    ngx_str_t                       *id;
    ngx_uint_t                       i;
    ngx_http_ollama_capture_call_t  *call;

    call = capture->calls.elts;

    for (i = capture->calls.nelts; i; i--) {

        if (call[i - 1].index != delta->index) {
            continue;
        }

        id = &call[i - 1].id.str;

        if (delta->len[0] == 0
            || id->len == 0
            || (id->len == delta->len[0]
                && ngx_memcmp(id->data,
                              capture->parts.str.data + delta->start[0],
                              id->len)
                   == 0))
        {
            return &call[i - 1];
        }

        break;
    }

    if (capture->calls.nelts == NGX_HTTP_OLLAMA_CAPTURE_CALLS) {
        capture->strbuf.full = 1;
        return NULL;
    }

    call = ngx_array_push(&capture->calls);
    if (call == NULL) {
        capture->strbuf.failed = 1;
        return NULL;
    }

    ngx_memzero(call, sizeof(ngx_http_ollama_capture_call_t));
    call->index = delta->index;

    return call;
}


void
ngx_http_ollama_capture_drop(ngx_http_ollama_capture_t *capture)
{
    ngx_uint_t  i;

    for (i = 0; i <= NGX_HTTP_OLLAMA_CAPTURE_TOOLS; i++) {
        ngx_http_ollama_strbuf_cut(&capture->strbuf, &capture->text[i],
                                   capture->committed[i]);
    }

    ngx_http_ollama_strbuf_cut(&capture->labels, &capture->text[key_reason],
                               capture->committed[key_reason]);

    ngx_http_ollama_strbuf_cut(&capture->strbuf, &capture->parts, 0);

    capture->deltas.nelts = 0;
    capture->raw = NULL;
    capture->target = NULL;
    capture->ending = 0;

    /* as it was before the frame */
    capture->strbuf.full = capture->truncated;
}


void
ngx_http_ollama_capture_rollback(ngx_http_ollama_capture_t *capture)
{
    ngx_uint_t  i;

    ngx_http_ollama_capture_drop(capture);

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {
        capture->frame_stat[i] = -1;
    }

    capture->has_stats = 0;

    ngx_http_ollama_strbuf_cut(&capture->labels, &capture->text[key_model],
                               capture->committed[key_model]);
}
