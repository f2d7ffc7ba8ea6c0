
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is taken of a frame: the memory of its texts, the tool calls that are
 * kept as they are and those that come in parts, the marks behind which all
 * of it is until the frame is whole.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_parse.h"


static u_char *ngx_http_ollama_capture_at(ngx_http_ollama_capture_t *said);
static void ngx_http_ollama_capture_merge(ngx_http_ollama_capture_t *said,
    ngx_http_ollama_capture_delta_t *delta);
static ngx_http_ollama_capture_call_t *ngx_http_ollama_capture_find(
    ngx_http_ollama_capture_t *said, ngx_http_ollama_capture_delta_t *delta);


/* What the innermost object or array is. */

ngx_uint_t
ngx_http_ollama_capture_node(ngx_http_ollama_capture_t *said)
{
    if (said->depth == 0 || said->depth > NGX_HTTP_OLLAMA_CAPTURE_LEVELS) {
        return node_other;
    }

    return said->node[said->depth - 1];
}


/* In a callback: the last byte of the token, a brace, in the piece. */

static u_char *
ngx_http_ollama_capture_at(ngx_http_ollama_capture_t *said)
{
    return said->piece
           + (ngx_http_ollama_json_offset(&said->json) - said->parsed) - 1;
}


/* The same, in the reply. */

off_t
ngx_http_ollama_capture_offset(ngx_http_ollama_capture_t *said)
{
    return said->pos + (ngx_http_ollama_capture_at(said) - said->feed);
}


/*
 * Where a string goes whose opening quote was read.  A further one by the same
 * name takes the place of that before.
 */

void
ngx_http_ollama_capture_string_start(ngx_http_ollama_capture_t *said)
{
    ngx_http_ollama_capture_delta_t  *delta;

    said->quoted = 1;
    said->into = NULL;
    said->by = (said->key == key_model || said->key == key_reason)
               ? &said->label : &said->gather;

    switch (said->key) {

    case key_model:
    case key_reason:

        if (said->mark[said->key]) {
            /* the frames before told it */
            return;
        }

        /* fall through */

    case key_content:
    case key_thinking:
        said->into = &said->text[said->key];

        ngx_http_ollama_strbuf_cut(said->by, said->into,
                                   said->mark[said->key]);
        break;

    case key_id:
    case key_name:
    case key_arguments:
        said->into = &said->parts;

        delta = said->deltas.elts;
        delta += said->deltas.nelts - 1;

        delta->start[said->key - key_id] = said->parts.str.len;
        break;

    default:
        return;
    }

    ngx_http_ollama_strbuf_begin(said->by);
}


void
ngx_http_ollama_capture_string_end(ngx_http_ollama_capture_t *said)
{
    ngx_uint_t                        i;
    ngx_http_ollama_capture_delta_t  *delta;

    if (said->into == NULL) {
        return;
    }

    ngx_http_ollama_strbuf_end(said->by, said->into);

    if (said->key >= key_id && said->key <= key_arguments) {

        delta = said->deltas.elts;
        delta += said->deltas.nelts - 1;

        i = said->key - key_id;

        delta->len[i] = said->parts.str.len - delta->start[i];
    }

    said->into = NULL;
}


/*
 * A tool call begins: in a stream of OpenAI's it is a part of one, else one
 * that is kept as it is.  Returns its node.
 */

ngx_uint_t
ngx_http_ollama_capture_call(ngx_http_ollama_capture_t *said)
{
    ngx_http_ollama_capture_delta_t  *delta;
    ngx_http_ollama_strbuf_text_t    *tools;

    if (said->form != NGX_HTTP_OLLAMA_CAPTURE_EVENTS) {

        tools = &said->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS];

        said->raw = ngx_http_ollama_capture_at(said);
        said->raw_len = tools->str.len;
        said->raw_depth = said->depth + 1;

        if (tools->str.len) {
            ngx_http_ollama_strbuf_add(&said->gather, tools, (u_char *) ",",
                                       1);
        }

        return node_other;
    }

    if (said->deltas.nelts == NGX_HTTP_OLLAMA_CAPTURE_CALLS) {
        said->gather.full = 1;
        return node_other;
    }

    delta = ngx_array_push(&said->deltas);
    if (delta == NULL) {
        said->gather.failed = 1;
        return node_other;
    }

    ngx_memzero(delta, sizeof(ngx_http_ollama_capture_delta_t));

    return node_call;
}


void
ngx_http_ollama_capture_raw_end(ngx_http_ollama_capture_t *said)
{
    ngx_http_ollama_strbuf_text_t  *tools;

    tools = &said->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS];

    ngx_http_ollama_strbuf_add(&said->gather, tools, said->raw,
                               ngx_http_ollama_capture_at(said) + 1
                               - said->raw);

    if (said->gather.full) {
        /* a part of it is of no use */
        ngx_http_ollama_strbuf_cut(&said->gather, tools, said->raw_len);
    }

    said->raw = NULL;
}


/* The object is whole. */

void
ngx_http_ollama_capture_commit(ngx_http_ollama_capture_t *said)
{
    ngx_uint_t                        i;
    ngx_http_ollama_capture_delta_t  *delta;

    if (said->deltas.nelts) {

        /* room for what is moved */
        ngx_http_ollama_strbuf_cut(&said->gather, &said->parts, 0);

        delta = said->deltas.elts;

        for (i = 0; i < said->deltas.nelts; i++) {
            ngx_http_ollama_capture_merge(said, &delta[i]);
        }

        said->deltas.nelts = 0;
    }

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_TEXTS; i++) {
        said->mark[i] = said->text[i].str.len;
    }

    if (said->counted) {

        for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {

            if (said->told[i] != -1) {
                said->stat[i] = said->told[i];
                said->told[i] = -1;
            }
        }

        said->counted = 0;
    }

    if (said->gather.full) {
        said->truncated = 1;
    }

    if (said->form == NGX_HTTP_OLLAMA_CAPTURE_OBJECT
        || said->form == NGX_HTTP_OLLAMA_CAPTURE_COMPLETION)
    {
        said->ending = 1;
    }

    if (said->ending) {

        if (!said->last) {
            said->last = 1;
            said->open = said->begin;
            said->close = ngx_http_ollama_capture_offset(said);
        }

        /* in a stream of OpenAI's usage may follow */
        said->over = (said->form != NGX_HTTP_OLLAMA_CAPTURE_EVENTS);
        said->ending = 0;
    }
}


/* Adds a part to its tool call.  Of a frame that reached the limit none is. */

static void
ngx_http_ollama_capture_merge(ngx_http_ollama_capture_t *said,
    ngx_http_ollama_capture_delta_t *delta)
{
    ngx_uint_t                       i;
    ngx_http_ollama_capture_call_t  *call;
    ngx_http_ollama_strbuf_text_t   *text;

    if (said->gather.full) {
        return;
    }

    call = ngx_http_ollama_capture_find(said, delta);
    if (call == NULL) {
        return;
    }

    for (i = 0; i < 3; i++) {

        text = (i == 0) ? &call->id
               : (i == 1) ? &call->name
               : &call->arguments;

        if (delta->len[i] == 0 || (i < 2 && text->str.len)) {
            /* an id or a name said again is no more of it */
            continue;
        }

        ngx_http_ollama_strbuf_add(&said->gather, text,
                                   said->parts.str.data + delta->start[i],
                                   delta->len[i]);
    }
}


/*
 * The last call with the part's index, or a new one.  It is a new one, too, if
 * the part has another id: some servers number all of them 0.
 */

static ngx_http_ollama_capture_call_t *
ngx_http_ollama_capture_find(ngx_http_ollama_capture_t *said,
    ngx_http_ollama_capture_delta_t *delta)
{
    ngx_str_t                       *id;
    ngx_uint_t                       i;
    ngx_http_ollama_capture_call_t  *call;

    call = said->calls.elts;

    for (i = said->calls.nelts; i; i--) {

        if (call[i - 1].index != delta->index) {
            continue;
        }

        id = &call[i - 1].id.str;

        if (delta->len[0] == 0
            || id->len == 0
            || (id->len == delta->len[0]
                && ngx_memcmp(id->data,
                              said->parts.str.data + delta->start[0], id->len)
                   == 0))
        {
            return &call[i - 1];
        }

        break;
    }

    if (said->calls.nelts == NGX_HTTP_OLLAMA_CAPTURE_CALLS) {
        said->gather.full = 1;
        return NULL;
    }

    call = ngx_array_push(&said->calls);
    if (call == NULL) {
        said->gather.failed = 1;
        return NULL;
    }

    ngx_memzero(call, sizeof(ngx_http_ollama_capture_call_t));
    call->index = delta->index;

    return call;
}


/* Takes off what the frame has had of a choice, or of a message. */

void
ngx_http_ollama_capture_drop(ngx_http_ollama_capture_t *said)
{
    ngx_uint_t  i;

    for (i = 0; i <= NGX_HTTP_OLLAMA_CAPTURE_TOOLS; i++) {
        ngx_http_ollama_strbuf_cut(&said->gather, &said->text[i],
                                   said->mark[i]);
    }

    ngx_http_ollama_strbuf_cut(&said->label,
                               &said->text[NGX_HTTP_OLLAMA_CAPTURE_REASON],
                               said->mark[NGX_HTTP_OLLAMA_CAPTURE_REASON]);

    ngx_http_ollama_strbuf_cut(&said->gather, &said->parts, 0);

    said->deltas.nelts = 0;
    said->raw = NULL;
    said->into = NULL;
    said->ending = 0;

    /* that of the frames before */
    said->gather.full = said->truncated;
}


/* Takes off all that is of a frame that isn't whole. */

void
ngx_http_ollama_capture_back(ngx_http_ollama_capture_t *said)
{
    ngx_uint_t  i;

    ngx_http_ollama_capture_drop(said);

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {
        said->told[i] = -1;
    }

    said->counted = 0;

    ngx_http_ollama_strbuf_cut(&said->label,
                               &said->text[NGX_HTTP_OLLAMA_CAPTURE_MODEL],
                               said->mark[NGX_HTTP_OLLAMA_CAPTURE_MODEL]);
}
