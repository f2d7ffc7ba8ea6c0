
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Stops a generation: the connection to the server is closed, whatever its
 * state is, which makes Ollama stop, and the client gets a proper final frame.
 * A request that still waits for its history has no server: then the frame is
 * the whole reply.
 *
 * u->cleanup ends an upstream in any state, with NGX_DONE, which is no failure
 * to the balancer.  If a line is open, its end is waited for a short time.  The
 * tap sees that end, but cannot end the upstream that is calling it: it posts
 * the event ctx->stopping, which is in the request's pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "reply/ngx_http_ollama_stop.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "reply/ngx_http_ollama_truncated.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_frame_form.h"
#include "reply/ngx_http_ollama_tap.h"
#include "request/ngx_http_ollama_scan.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_chain.h"
#include "util/ngx_http_ollama_timer.h"


/* how long the end of an open line is waited for, ms */
#define NGX_HTTP_OLLAMA_STOP_WAIT  200


static ngx_uint_t ngx_http_ollama_stop_is_late(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_stop_wait(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_stop_wait_handler(ngx_event_t *ev);
static void ngx_http_ollama_stop_wait_cleanup(void *data);
static void ngx_http_ollama_stop_now(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_stop_server(ngx_http_request_t *r);
static void ngx_http_ollama_stop_upstream(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_stop_send(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_stop_header(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_frame_form_e form);


void
ngx_http_ollama_stop(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    if (r->upstream == NULL && ctx->state == NGX_HTTP_OLLAMA_READING) {
        ngx_http_ollama_stop_now(r, ctx);
        return;
    }

    if (ngx_http_ollama_stop_is_late(r, ctx)) {
        ngx_http_ollama_task_end(ctx, 0);
        return;
    }

    if (ctx->held) {
        /* the client doesn't have the last frame yet */
        ctx->cancelled = 1;
        ngx_http_ollama_task_end(ctx, 1);
        ngx_post_event(ctx->held, &ngx_posted_events);
        return;
    }

    if (r->header_sent
        && ctx->frame && !ctx->frame->done
        && (ctx->frame->line || ctx->frame->event)
        && ngx_http_ollama_stop_wait(r, ctx) == NGX_OK)
    {
        return;
    }

    ngx_http_ollama_stop_now(r, ctx);
}


/* The end is on its way to the client, or it is no stream. */

static ngx_uint_t
ngx_http_ollama_stop_is_late(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        return 1;
    }

    if (ctx->saving || ctx->finalized || ctx->error_sent) {
        return 1;
    }

    return r->header_sent && ctx->turn == NULL
           && (ctx->frame == NULL
               || ctx->frame->done
               || ctx->frame->form == NGX_HTTP_OLLAMA_FRAME_WHOLE);
}


/* Waits for the end of the open line or event, which the tap sees. */

static ngx_int_t
ngx_http_ollama_stop_wait(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_ollama_timer_t  *wait;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_ollama_timer_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    wait = cln->data;

    ngx_http_ollama_timer_init(wait, ngx_http_ollama_stop_wait_handler, r,
                               r->connection->log);

    /* a worker that exits still ends the stream properly */
    wait->event.cancelable = 0;

    cln->handler = ngx_http_ollama_stop_wait_cleanup;

    ctx->stopping = &wait->event;

    ngx_add_timer(&wait->event, NGX_HTTP_OLLAMA_STOP_WAIT);

    return NGX_OK;
}


static void
ngx_http_ollama_stop_wait_cleanup(void *data)
{
    ngx_http_ollama_timer_stop(data);
}


/* The line has ended, or not in time; or the whole reply has ended. */

static void
ngx_http_ollama_stop_wait_handler(ngx_event_t *ev)
{
    ngx_http_request_t     *r;
    ngx_http_ollama_ctx_t  *ctx;

    r = ngx_http_ollama_timer_data(ev);

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx->cancelled) {
        ngx_http_ollama_stop_server(r);
        return;
    }

    if (ctx->running == NULL && ctx->turn == NULL) {
        return;
    }

    if (r->upstream->cleanup == NULL || ctx->error_sent) {
        ngx_http_ollama_task_end(ctx, 0);
        return;
    }

    ngx_http_ollama_stop_now(r, ctx);
}


static void
ngx_http_ollama_stop_now(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, c->log, 0, "ollama stop");

    ctx->cancelled = 1;
    ngx_http_ollama_task_end(ctx, 1);

    if (r->upstream) {
        ngx_http_ollama_stop_upstream(r);
    }

    rc = ngx_http_ollama_stop_send(r, ctx);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* The final frame was sent; the server's part may have ended since. */

static void
ngx_http_ollama_stop_server(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    if (r->upstream->cleanup == NULL) {
        return;
    }

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_ollama_stop_upstream(r);

    ngx_http_finalize_request(r, NGX_OK);
    ngx_http_run_posted_requests(c);
}


void
ngx_http_ollama_stop_end(ngx_http_request_t *r)
{
    ngx_int_t          rc;
    ngx_chain_t       *out;
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_ollama_stop_upstream(r);

    rc = NGX_ERROR;
    out = ngx_http_ollama_chain_link(r->pool);

    if (out) {
        out->buf->last_buf = (r == r->main);
        out->buf->sync = (r != r->main);
        out->buf->last_in_chain = 1;

        rc = ngx_http_ollama_tap_send(r, out);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* The upstream's end takes one off the request's count: add it before. */

static void
ngx_http_ollama_stop_upstream(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    r->main->count++;

    u->keepalive = 0;
    (*u->cleanup)(r);
}


static ngx_int_t
ngx_http_ollama_stop_send(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_chain_t                   *out;
    ngx_http_ollama_frame_form_e   form;

    form = ctx->frame ? ctx->frame->form
                      : ngx_http_ollama_frame_form(ctx->endpoint,
                                                   ctx->scan->stream, NULL);

    out = ngx_http_ollama_truncated_stopped(r, ctx, form);
    if (out == NULL) {
        return NGX_ERROR;
    }

    if (!r->header_sent) {
        r->headers_out.content_length_n = ngx_buf_size(out->buf);

        rc = ngx_http_ollama_stop_header(r, ctx, form);

        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            return rc;
        }
    }

    return ngx_http_ollama_tap_send(r, out);
}


/* The header of a reply that no server has begun. */

static ngx_int_t
ngx_http_ollama_stop_header(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_frame_form_e form)
{
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.status_line.len = 0;

    /* error_page may have led here after another server's error */
    r->err_status = 0;

    switch (form) {

    case NGX_HTTP_OLLAMA_FRAME_LINES:
        ngx_str_set(&r->headers_out.content_type, "application/x-ndjson");
        break;

    case NGX_HTTP_OLLAMA_FRAME_SSE:
        ngx_str_set(&r->headers_out.content_type, "text/event-stream");
        break;

    default: /* NGX_HTTP_OLLAMA_FRAME_WHOLE */
        ngx_str_set(&r->headers_out.content_type,
                    "application/json; charset=utf-8");
        break;
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_ollama_tap_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_send_header(r);
}
