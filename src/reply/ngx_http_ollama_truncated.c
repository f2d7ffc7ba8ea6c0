
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Ends a reply that the server has not completed: with an error line if it was
 * truncated, with a final frame if it was stopped.  An open line or event is
 * ended first.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "reply/ngx_http_ollama_truncated.h"
#include "core/ngx_http_ollama_error.h"
#include "reply/ngx_http_ollama_final_frame.h"
#include "reply/ngx_http_ollama_frame.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_chain.h"


static ngx_buf_t *ngx_http_ollama_truncated_line(ngx_http_request_t *r,
    ngx_http_ollama_frame_t *frame, ngx_str_t *text);
static ngx_buf_t *ngx_http_ollama_truncated_event(ngx_http_request_t *r,
    ngx_http_ollama_frame_t *frame, ngx_str_t *text);
static ngx_buf_t *ngx_http_ollama_truncated_response(ngx_http_request_t *r,
    ngx_http_ollama_frame_t *frame, ngx_str_t *text, ngx_str_t *before);
static ngx_chain_t *ngx_http_ollama_truncated_turn(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


void
ngx_http_ollama_truncated_reason(ngx_int_t rc, ngx_str_t *reason)
{
    switch (rc) {

    case NGX_HTTP_GATEWAY_TIME_OUT:
        ngx_str_set(reason, "stalled: it sent nothing more for too long");
        break;

    case NGX_ERROR:
        ngx_str_set(reason, "sent a reply with broken framing");
        break;

    default: /* NGX_HTTP_BAD_GATEWAY */
        ngx_str_set(reason, "closed the connection before the end of its "
                            "reply");
        break;
    }
}


ngx_chain_t *
ngx_http_ollama_truncated_error(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *reason)
{
    ngx_buf_t    *b;
    ngx_str_t     text;
    ngx_chain_t  *cl;

    text.len = sizeof("server \"\" ") - 1 + ctx->server.len + reason->len;

    text.data = ngx_pnalloc(r->pool, text.len);
    if (text.data == NULL) {
        return NULL;
    }

    text.len = ngx_sprintf(text.data, "server \"%V\" %V",
                           &ctx->server, reason)
               - text.data;

    if (ctx->turn) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "ollama %V", &text);

        ctx->error = text;
        ctx->error_sent = 1;

        return ngx_http_ollama_truncated_turn(r, ctx);
    }

    b = (ctx->frame->form == NGX_HTTP_OLLAMA_FRAME_SSE)
        ? ngx_http_ollama_truncated_event(r, ctx->frame, &text)
        : ngx_http_ollama_truncated_line(r, ctx->frame, &text);

    if (b == NULL) {
        return NULL;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NULL;
    }

    b->flush = 1;

    cl->buf = b;
    cl->next = NULL;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "ollama %V", &text);

    ctx->error_sent = 1;
    r->keepalive = 0;

    return cl;
}


static ngx_buf_t *
ngx_http_ollama_truncated_line(ngx_http_request_t *r,
    ngx_http_ollama_frame_t *frame, ngx_str_t *text)
{
    ngx_str_t  before, after;

    ngx_str_set(&after, "\n");
    ngx_str_set(&before, "\n");

    if (!frame->line) {
        before.len = 0;
    }

    return ngx_http_ollama_error_json(r, NGX_HTTP_BAD_GATEWAY, text, NULL,
                                      &before, &after);
}


/*
 * Clients of OpenAI's chat look for an error in each event; to the others it is
 * an event of that name.  Those of Anthropic ignore an event that has none.
 */

static ngx_buf_t *
ngx_http_ollama_truncated_event(ngx_http_request_t *r,
    ngx_http_ollama_frame_t *frame, ngx_str_t *text)
{
    ngx_str_t   before, after;
    ngx_uint_t  skip;

    /* what ends the open line, and its event */
    skip = frame->line ? 0 : frame->event ? 1 : 2;

    if (frame->last == NGX_HTTP_OLLAMA_END_MESSAGE
        || frame->last == NGX_HTTP_OLLAMA_END_RESPONSE)
    {
        ngx_str_set(&before, "\n\nevent: error\ndata: ");

    } else {
        ngx_str_set(&before, "\n\ndata: ");
    }

    before.data += skip;
    before.len -= skip;

    if (frame->last == NGX_HTTP_OLLAMA_END_RESPONSE) {
        return ngx_http_ollama_truncated_response(r, frame, text, &before);
    }

    ngx_str_set(&after, "\n\n");

    return ngx_http_ollama_error_json(r, NGX_HTTP_BAD_GATEWAY, text, NULL,
                                      &before, &after);
}


/*
 * The event of the Responses API has the error's members itself; its official
 * clients, however, raise an exception for a member "error" only.
 */

static ngx_buf_t *
ngx_http_ollama_truncated_response(ngx_http_request_t *r,
    ngx_http_ollama_frame_t *frame, ngx_str_t *text, ngx_str_t *before)
{
    u_char     *p;
    ngx_buf_t  *b;
    ngx_str_t   message;

    message.len = text->len + ngx_escape_json(NULL, text->data, text->len);

    message.data = ngx_pnalloc(r->pool, message.len);
    if (message.data == NULL) {
        return NULL;
    }

    ngx_escape_json(message.data, text->data, text->len);

    b = ngx_create_temp_buf(r->pool, before->len + 2 * message.len
                  + sizeof("{\"type\":\"error\",\"sequence_number\":,"
                           "\"code\":\"server_error\",\"message\":\"\","
                           "\"param\":null,\"error\":{"
                           "\"type\":\"server_error\","
                           "\"code\":\"server_error\",\"message\":\"\","
                           "\"param\":null}}\n\n") - 1 + NGX_INT_T_LEN);
    if (b == NULL) {
        return NULL;
    }

    p = ngx_cpymem(b->last, before->data, before->len);

    b->last = ngx_sprintf(p, "{\"type\":\"error\",\"sequence_number\":%ui,"
                          "\"code\":\"server_error\",\"message\":\"%V\","
                          "\"param\":null,\"error\":{"
                          "\"type\":\"server_error\","
                          "\"code\":\"server_error\",\"message\":\"%V\","
                          "\"param\":null}}\n\n",
                          frame->frames, &message, &message);

    return b;
}


ngx_chain_t *
ngx_http_ollama_truncated_stopped(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_frame_form_e form)
{
    ngx_buf_t                     *b;
    ngx_str_t                      text;
    ngx_time_t                    *tp;
    ngx_chain_t                   *cl;
    ngx_http_ollama_frame_t       *frame;
    ngx_http_ollama_final_frame_t  final;

    if (ctx->turn) {
        return ngx_http_ollama_truncated_turn(r, ctx);
    }

    tp = ngx_timeofday();
    frame = ctx->frame;

    final.path = ctx->endpoint->path;
    final.last = ctx->endpoint->last;
    final.form = form;
    final.model = ctx->scan->model;
    final.id = ctx->scan->task_id;
    final.sec = tp->sec;
    final.msec = tp->msec;
    final.frames = frame ? frame->frames : 0;
    final.reply.data = frame ? frame->id : NULL;
    final.reply.len = frame ? frame->nid : 0;
    final.block = (frame && frame->block) ? (ngx_int_t) frame->blocks - 1 : -1;
    final.generated_tokens = frame ? frame->generated_tokens : -1;

    if (ngx_http_ollama_final_frame(&final, r->pool, &text) != NGX_OK) {
        return NULL;
    }

    b = ngx_create_temp_buf(r->pool, text.len + sizeof("\n\n") - 1);
    if (b == NULL) {
        return NULL;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NULL;
    }

    if (frame && frame->line) {
        *b->last++ = '\n';
    }

    if (frame
        && form == NGX_HTTP_OLLAMA_FRAME_SSE
        && (frame->line || frame->event))
    {
        *b->last++ = '\n';
    }

    b->last = ngx_cpymem(b->last, text.data, text.len);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    b->flush = 1;

    ctx->final_buf = b;

    cl->buf = b;
    cl->next = NULL;

    return cl;
}


/*
 * In a turn of a conversation only an open line is ended: the conversation adds
 * the final frame.
 */

static ngx_chain_t *
ngx_http_ollama_truncated_turn(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_chain_t  *cl;

    cl = (ctx->frame && ctx->frame->line)
         ? ngx_http_ollama_chain_text(r->pool, (u_char *) "\n", 1)
         : ngx_http_ollama_chain_link(r->pool);

    if (cl) {
        cl->buf->flush = 1;
    }

    return cl;
}
