
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Ends a reply that its server leaves open after the final frame: it would keep
 * its client, the server's slot and the next turn of a conversation until the
 * read timeout.  The client gets a proper end, as it has the whole reply.
 *
 * The body filter runs after the tap's, which sees the final frame.  In a
 * session the final frame of an SSE stream is the one with "finish_reason":
 * save.c tells of it.
 *
 * The state is in the request's pool, until that is destroyed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "reply/ngx_http_ollama_rest.h"
#include "core/ngx_http_ollama_ctx.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_stop.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_timer.h"


/* how long a server may take to end its reply after the final frame, ms */
#define NGX_HTTP_OLLAMA_REST_WAIT  1000


typedef struct {
    ngx_http_ollama_timer_t   timer;
    ngx_http_request_t       *request;
    ngx_http_ollama_ctx_t    *ctx;
    ngx_msec_t                ms;          /* 0: the final frame hasn't come */

    unsigned                  slow:1;      /* the client was, when the server's
                                              time was over */
} ngx_http_ollama_rest_t;


static ngx_int_t ngx_http_ollama_rest_create(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_msec_t ms);
static void ngx_http_ollama_rest_cleanup(void *data);
static void ngx_http_ollama_rest_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_ollama_rest_wait_longer(
    ngx_http_ollama_rest_t *rest);
static ngx_int_t ngx_http_ollama_rest_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_body_filter_pt  ngx_http_next_body_filter;


ngx_int_t
ngx_http_ollama_rest_wait(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_msec_t ms)
{
    if (ctx->held) {
        return NGX_OK;
    }

    if (ngx_http_ollama_rest_create(r, ctx, ms) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_add_timer(ctx->held, ms);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_rest_end(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->held == NULL
        && ngx_http_ollama_rest_create(r, ctx, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* not here: the upstream that is to be ended calls this */
    ngx_post_event(ctx->held, &ngx_posted_events);

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_rest_create(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_msec_t ms)
{
    ngx_pool_cleanup_t      *cln;
    ngx_http_ollama_rest_t  *rest;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_ollama_rest_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    rest = cln->data;

    ngx_http_ollama_timer_init(&rest->timer, ngx_http_ollama_rest_handler, rest,
                               r->connection->log);

    /* a worker that exits still ends the reply properly */
    rest->timer.event.cancelable = 0;

    rest->request = r;
    rest->ctx = ctx;
    rest->ms = ms;
    rest->slow = 0;

    cln->handler = ngx_http_ollama_rest_cleanup;

    ctx->held = &rest->timer.event;

    return NGX_OK;
}


static void
ngx_http_ollama_rest_cleanup(void *data)
{
    ngx_http_ollama_rest_t *rest = data;

    ngx_http_ollama_timer_stop(&rest->timer);
}


static void
ngx_http_ollama_rest_handler(ngx_event_t *ev)
{
    ngx_http_request_t      *r;
    ngx_http_ollama_ctx_t   *ctx;
    ngx_http_ollama_rest_t  *rest;

    rest = ngx_http_ollama_timer_data(ev);
    r = rest->request;
    ctx = rest->ctx;

    if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        return;
    }

    if (ev->timedout && ngx_http_ollama_rest_wait_longer(rest)) {
        ev->timedout = 0;
        ngx_add_timer(ev, rest->ms);
        return;
    }

    ngx_http_ollama_timer_stop(&rest->timer);

    ngx_http_set_log_request(r->connection->log, r);

    if (rest->ms && !ctx->cancelled) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "ollama server \"%V\" did not end its reply",
                      &ctx->server);
    }

    ngx_http_ollama_task_end(ctx, 0);

    ctx->rest_ended = 1;
    ngx_http_ollama_stop_end(r);
}


/*
 * While the client hasn't taken what came before, nginx doesn't read from the
 * server.  After that the server has its time once more.
 */

static ngx_uint_t
ngx_http_ollama_rest_wait_longer(ngx_http_ollama_rest_t *rest)
{
    ngx_uint_t           slow;
    ngx_http_request_t  *r;

    r = rest->request;

    slow = rest->slow;
    rest->slow = (r->connection->buffered || r->upstream->busy_bufs);

    return slow || rest->slow;
}


static ngx_int_t
ngx_http_ollama_rest_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx && ctx->frame && ctx->frame->done
        && !ctx->finalized && !ctx->error_sent && !ctx->cancelled
        && ngx_http_ollama_rest_wait(r, ctx, NGX_HTTP_OLLAMA_REST_WAIT)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_body_filter(r, in);
}


ngx_int_t
ngx_http_ollama_rest_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_rest_body_filter;

    return NGX_OK;
}
