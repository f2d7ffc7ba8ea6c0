
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Server-sent events for frame.c: which of their lines make up an object, and
 * what their names say of it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_frame_parse.h"
#include "reply/ngx_http_ollama_event.h"


static ngx_int_t ngx_http_ollama_frame_sse_value(
    ngx_http_ollama_frame_t *frame);
static ngx_int_t ngx_http_ollama_frame_sse_data(
    ngx_http_ollama_frame_t *frame);
static ngx_int_t ngx_http_ollama_frame_sse_word(
    ngx_http_ollama_frame_t *frame);


ngx_int_t
ngx_http_ollama_frame_sse(ngx_http_ollama_frame_t *frame, u_char *p,
    u_char *last, u_char **good)
{
    ngx_int_t                     rc;
    ngx_http_ollama_sse_token_e   token;

    while (p < last) {

        token = ngx_http_ollama_sse_next(&frame->sse, &p, last);

        if (token == NGX_HTTP_OLLAMA_SSE_INVALID) {
            return NGX_DECLINED;
        }

        if (token == NGX_HTTP_OLLAMA_SSE_VALUE) {

            rc = ngx_http_ollama_frame_sse_value(frame);
            if (rc != NGX_OK) {
                return rc;
            }

            frame->event |= !frame->sse.line;
        }

        if (token == NGX_HTTP_OLLAMA_SSE_EMPTY) {

            if (frame->depth) {
                return NGX_DECLINED;
            }

            frame->event = 0;
        }

        /* an LF that may follow would not be an empty line */
        frame->line = (frame->sse.line || (frame->sse.cr && frame->event));

        if (frame->sse.line) {
            return NGX_OK;
        }

        *good = p;

        if (token == NGX_HTTP_OLLAMA_SSE_EMPTY) {

            if (frame->done) {
                return NGX_OK;
            }

            /* the event's name is of no more use */
            frame->ending = 0;
            frame->failing = 0;
            frame->object = 0;
            frame->whole = 0;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_frame_sse_value(ngx_http_ollama_frame_t *frame)
{
    u_char                 *p;
    ngx_http_ollama_sse_t  *sse;

    sse = &frame->sse;

    if (sse->field == NGX_HTTP_OLLAMA_SSE_OTHER) {
        return NGX_OK;
    }

    if (sse->first) {
        frame->nword = 0;
        frame->word_data = (frame->depth == 0
                            && sse->value < sse->end && *sse->value == '[');
    }

    if (sse->field == NGX_HTTP_OLLAMA_SSE_DATA && !frame->word_data) {
        return ngx_http_ollama_frame_sse_data(frame);
    }

    for (p = sse->value; p < sse->end; p++) {

        if (frame->nword < sizeof(frame->word)) {
            frame->word[frame->nword++] = *p;
        }
    }

    return sse->line ? NGX_OK : ngx_http_ollama_frame_sse_word(frame);
}


/*
 * A piece of an object, of which an event's "data:" lines are the lines; but
 * who reads line by line takes an object in each of them for frames.
 */

static ngx_int_t
ngx_http_ollama_frame_sse_data(ngx_http_ollama_frame_t *frame)
{
    ngx_http_ollama_sse_t  *sse;

    sse = &frame->sse;

    if (sse->first && frame->depth == 0) {
        frame->object = 0;
    }

    if (sse->value < sse->end
        && ngx_http_ollama_frame_object(frame, sse->value, sse->end, 0)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (sse->line || frame->depth == 0) {
        return NGX_OK;
    }

    return (ngx_http_ollama_json_feed(&frame->json, (u_char *) "\n", 1)
            == NGX_OK)
           ? NGX_OK : NGX_DECLINED;
}


/* A line with [DONE] or an event's name is whole. */

static ngx_int_t
ngx_http_ollama_frame_sse_word(ngx_http_ollama_frame_t *frame)
{
    ngx_http_ollama_event_e  event;

    if (frame->sse.field == NGX_HTTP_OLLAMA_SSE_DATA) {

        if (frame->nword != 6 || ngx_memcmp(frame->word, "[DONE]", 6) != 0) {
            return NGX_DECLINED;
        }

        if (frame->last == NGX_HTTP_OLLAMA_END_MARK) {
            frame->done = 1;
        }

        return NGX_OK;
    }

    event = ngx_http_ollama_event(frame->word, frame->nword);

    frame->ending = 0;
    frame->failing = 0;

    ngx_http_ollama_frame_event(frame, event);

    if (event == NGX_HTTP_OLLAMA_EVENT_BLOCK_START) {
        frame->block = 1;
        frame->blocks++;

    } else if (event == NGX_HTTP_OLLAMA_EVENT_BLOCK_STOP) {
        frame->block = 0;
    }

    if (frame->whole) {
        /* mostly the event's data, its object, comes in the next line */
        ngx_http_ollama_frame_object_end(frame);
    }

    return NGX_OK;
}


void
ngx_http_ollama_frame_event(ngx_http_ollama_frame_t *frame,
    ngx_http_ollama_event_e event)
{
    switch (event) {

    case NGX_HTTP_OLLAMA_EVENT_ERROR:
        frame->failing = 1;
        break;

    case NGX_HTTP_OLLAMA_EVENT_RESPONSE_FAILED:
        frame->failing = 1;

        /* fall through */

    case NGX_HTTP_OLLAMA_EVENT_RESPONSE_END:
        if (frame->last == NGX_HTTP_OLLAMA_END_RESPONSE) {
            frame->ending = 1;
        }

        break;

    case NGX_HTTP_OLLAMA_EVENT_MESSAGE_STOP:
        if (frame->last == NGX_HTTP_OLLAMA_END_MESSAGE) {
            frame->ending = 1;
        }

        break;

    default:
        break;
    }
}
