
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The message that is made of a captured reply, to be stored in its session:
 * its text, how it ended, and its statistics.  Owns nothing: the state is that
 * of save, the memory the request's pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_save_message.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_frame_form.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_uint_t ngx_http_ollama_save_message_is_complete(
    ngx_http_ollama_save_t *save);
static ngx_uint_t ngx_http_ollama_save_message_is_whole(
    ngx_http_ollama_save_t *save);
static const char *ngx_http_ollama_save_message_status(
    ngx_http_ollama_save_t *save);


ngx_http_ollama_capture_form_e
ngx_http_ollama_save_message_form(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_frame_form_e  form;

    form = ngx_http_ollama_frame_form(ctx->endpoint, ctx->scan->stream,
                                      &r->headers_out.content_type);

    if (ctx->endpoint->last == NGX_HTTP_OLLAMA_END_DONE) {
        return (form == NGX_HTTP_OLLAMA_FRAME_WHOLE)
               ? NGX_HTTP_OLLAMA_CAPTURE_OBJECT : NGX_HTTP_OLLAMA_CAPTURE_LINES;
    }

    return (form == NGX_HTTP_OLLAMA_FRAME_SSE)
           ? NGX_HTTP_OLLAMA_CAPTURE_EVENTS
           : NGX_HTTP_OLLAMA_CAPTURE_COMPLETION;
}


ngx_int_t
ngx_http_ollama_save_message(ngx_http_ollama_save_t *save)
{
    ngx_pool_t                       *pool;
    ngx_http_ollama_capture_t        *capture;
    ngx_http_ollama_store_message_t  *message;

    capture = save->capture;
    pool = save->request->pool;
    message = &save->message;

    if (capture == NULL || save->n == 0) {
        return NGX_DECLINED;
    }

    if (message->json.len) {
        return NGX_OK;
    }

    ngx_http_ollama_capture_end(capture);

    if (save->added == 0 && ngx_http_ollama_capture_is_empty(capture)) {
        /* the chat only loaded or unloaded the model */
        return NGX_DECLINED;
    }

    if (!ngx_http_ollama_save_message_is_whole(save)) {
        ngx_log_error(NGX_LOG_ERR, save->request->connection->log, 0,
                      "ollama: the reply is saved in its session only in "
                      "part: it %s", capture->truncated ? "is too long"
                                                     : "could not be read");
    }

    message->status.data = (u_char *) ngx_http_ollama_save_message_status(save);
    message->status.len = ngx_strlen(message->status.data);
    message->model = save->ctx->scan->model;
    message->server = save->ctx->server;

    if (capture->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str.len) {
        message->thinking =
                          capture->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str;
    }

    if (ngx_http_ollama_capture_stats(capture, pool, &message->stats)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_capture_message(capture, pool, &message->json);
}


/* The final frame has come; the tap may find out one byte later. */

static ngx_uint_t
ngx_http_ollama_save_message_is_complete(ngx_http_ollama_save_t *save)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = save->ctx;

    return (ctx->frame && ctx->frame->done)
           || (save->capture->last && !ctx->error_sent);
}


/* Nothing of what the server has sent so far is missing in the capture. */

static ngx_uint_t
ngx_http_ollama_save_message_is_whole(ngx_http_ollama_save_t *save)
{
    if (save->capture->truncated) {
        return 0;
    }

    return !save->capture->failed || save->capture->last
           || !ngx_http_ollama_save_message_is_complete(save);
}


static const char *
ngx_http_ollama_save_message_status(ngx_http_ollama_save_t *save)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = save->ctx;

    if (ctx->cancelled && !save->final_seen) {
        return "cancelled";
    }

    if (ngx_http_ollama_save_message_is_complete(save)) {
        return ngx_http_ollama_save_message_is_whole(save) ? "complete"
                                                   : "interrupted";
    }

    if (save->request->connection->error
        || save->request->connection->timedout
        || (ctx->finalized
            && ctx->finalize_rc == NGX_HTTP_CLIENT_CLOSED_REQUEST))
    {
        /* the client has gone */
        return "cancelled";
    }

    return "interrupted";
}
