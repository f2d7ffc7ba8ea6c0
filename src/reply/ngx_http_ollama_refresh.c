
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * After a request that changed what a server has, or has loaded, that server is
 * probed before the client sees the end of the reply: what the client asks for
 * next is decided by what is true now, in any worker.
 *
 * Such are pull, push, create, copy and delete, and requests without a prompt,
 * which only load or unload a model.  The reply passes at once but for its end:
 * the line that tells of success, or the final frame, or else what marks the
 * end of the body.  That is held, in copies, until the probe has ended, a
 * second at most.  The poller may be another worker, so a timer looks at the
 * fleet.
 *
 * The filters run after the tap's and before those of sessions: the bit of
 * r->buffered is the same as that of save.c, which gets the end afterwards.
 *
 * The state is in memory of the request's pool, until the request is cleaned
 * up; a reply that didn't come to its end has the server probed then.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "reply/ngx_http_ollama_refresh.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "reply/ngx_http_ollama_frame.h"
#include "util/ngx_http_ollama_chain.h"
#include "util/ngx_http_ollama_timer.h"


/* ms: how often it is checked whether the probe has ended; the longest wait */
#define NGX_HTTP_OLLAMA_REFRESH_INTERVAL  10
#define NGX_HTTP_OLLAMA_REFRESH_MAX       1000

/* a bit of r->buffered that nginx doesn't use */
#define NGX_HTTP_OLLAMA_REFRESH_BUFFERED  0x08

/* bytes: of what is held; of a line, where success is looked for */
#define NGX_HTTP_OLLAMA_REFRESH_HELD      65536
#define NGX_HTTP_OLLAMA_REFRESH_LINE      128


struct ngx_http_ollama_refresh_s {
    ngx_http_request_t          *request;
    ngx_http_ollama_upstream_t  *up;
    ngx_str_t                    address;   /* of the server */
    ngx_uint_t                   ticket;
    ngx_msec_t                   until;
    ngx_http_ollama_timer_t      timer;

    size_t                       nline;     /* the line that is open */
    u_char                       line[NGX_HTTP_OLLAMA_REFRESH_LINE];

    size_t                       size;      /* of what is held */
    ngx_chain_t                 *held;
    ngx_chain_t                **last;

    unsigned                     waiting:1;
    unsigned                     passing:1; /* it was waited, or can't be */
    unsigned                     last_buf:1; /* one that is held was the last */
};


static ngx_int_t ngx_http_ollama_refresh_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ollama_refresh_is_change(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_refresh_create(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_refresh_cleanup(void *data);
static ngx_int_t ngx_http_ollama_refresh_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_ollama_refresh_hold(
    ngx_http_ollama_refresh_t *refresh, ngx_chain_t *in, ngx_chain_t *held);
static ngx_uint_t ngx_http_ollama_refresh_is_load(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_uint_t ngx_http_ollama_refresh_is_end(
    ngx_http_ollama_refresh_t *refresh, ngx_buf_t *b);
static ngx_uint_t ngx_http_ollama_refresh_is_success(
    ngx_http_ollama_refresh_t *refresh);
static void ngx_http_ollama_refresh_wait(ngx_http_ollama_refresh_t *refresh);
static ngx_int_t ngx_http_ollama_refresh_copy(
    ngx_http_ollama_refresh_t *refresh, ngx_buf_t *b);
static void ngx_http_ollama_refresh_timer_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_refresh_flush(
    ngx_http_ollama_refresh_t *refresh);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/* management that changes a server's models */

static ngx_str_t  ngx_http_ollama_refresh_changes[] = {
    ngx_string("/api/pull"),
    ngx_string("/api/push"),
    ngx_string("/api/create"),
    ngx_string("/api/copy"),
    ngx_string("/api/delete"),
    ngx_null_string
};


/* the last line of a reply that is a stream */

static ngx_str_t  ngx_http_ollama_refresh_success =
    ngx_string("\"status\":\"success\"");


static ngx_int_t
ngx_http_ollama_refresh_header_filter(ngx_http_request_t *r)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx == NULL || ctx->endpoint == NULL || ctx->refresh
        || !ngx_http_ollama_refresh_is_change(r, ctx))
    {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_ollama_refresh_create(r, ctx) == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (ctx->refresh && !r->header_only) {
        /* by its length the client could know the end before it comes */
        ngx_http_clear_content_length(r);

        /* with buffering on a part of the reply may come in a file */
        r->filter_need_in_memory = 1;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_uint_t
ngx_http_ollama_refresh_is_change(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_str_t  *path;

    if (ctx->endpoint->kind != NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT) {
        return 0;
    }

    for (path = ngx_http_ollama_refresh_changes; path->len; path++) {
        if (path->len == ctx->endpoint->path.len
            && ngx_memcmp(path->data, ctx->endpoint->path.data, path->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * NGX_DECLINED: the reply is not that of a server which is probed; then
 * ctx->refresh stays NULL.
 */

static ngx_int_t
ngx_http_ollama_refresh_create(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_cleanup_t          *cln;
    ngx_http_upstream_t         *u;
    ngx_http_ollama_srv_conf_t  *oscf;
    ngx_http_ollama_refresh_t   *refresh;

    u = r->upstream;

    if (r != r->main
        || u == NULL || u->cleanup == NULL
        || u->upstream == NULL || u->upstream->srv_conf == NULL
        || u->peer.name == NULL)
    {
        return NGX_DECLINED;
    }

    oscf = ngx_http_conf_upstream_srv_conf(u->upstream, ngx_http_ollama_module);

    if (oscf == NULL || oscf->up == NULL || !oscf->up->poll) {
        return NGX_DECLINED;
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_refresh_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    refresh = cln->data;
    ngx_memzero(refresh, sizeof(ngx_http_ollama_refresh_t));

    refresh->request = r;
    refresh->up = oscf->up;
    refresh->last = &refresh->held;

    /* the peer may be freed before the request */

    refresh->address.data = ngx_pstrdup(r->pool, u->peer.name);
    if (refresh->address.data == NULL) {
        return NGX_ERROR;
    }

    refresh->address.len = u->peer.name->len;

    ngx_http_ollama_timer_init(&refresh->timer,
                               ngx_http_ollama_refresh_timer_handler, refresh,
                               r->connection->log);

    /* the end must be sent, also by a worker that exits gracefully */
    refresh->timer.event.cancelable = 0;

    cln->handler = ngx_http_ollama_refresh_cleanup;

    ctx->refresh = refresh;

    return NGX_OK;
}


static void
ngx_http_ollama_refresh_cleanup(void *data)
{
    ngx_http_ollama_refresh_t *refresh = data;

    ngx_http_ollama_timer_stop(&refresh->timer);

    if (!refresh->waiting && !refresh->passing) {
        (void) ngx_http_ollama_fleet_ask(refresh->up, &refresh->address);
    }
}


static ngx_int_t
ngx_http_ollama_refresh_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                *held;
    ngx_http_ollama_ctx_t      *ctx;
    ngx_http_ollama_refresh_t  *refresh;

    ctx = ngx_http_ollama_get_ctx(r);

    if (in == NULL || ctx == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->refresh == NULL && ngx_http_ollama_refresh_is_load(r, ctx)) {

        if (ngx_http_ollama_refresh_create(r, ctx) == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (ctx->refresh) {
            ngx_http_ollama_refresh_wait(ctx->refresh);
        }
    }

    refresh = ctx->refresh;

    if (refresh == NULL || refresh->passing) {
        return ngx_http_next_body_filter(r, in);
    }

    held = in;

    if (!refresh->waiting) {

        while (held && !ngx_http_ollama_refresh_is_end(refresh, held->buf)) {
            held = held->next;
        }

        if (held) {
            ngx_http_ollama_refresh_wait(refresh);
        }

        if (!refresh->waiting) {
            return ngx_http_next_body_filter(r, in);
        }
    }

    return ngx_http_ollama_refresh_hold(refresh, in, held);
}


/* Sends the links before "held", and copies what is in it and after it. */

static ngx_int_t
ngx_http_ollama_refresh_hold(ngx_http_ollama_refresh_t *refresh,
    ngx_chain_t *in, ngx_chain_t *held)
{
    ngx_chain_t         *cl, *out, **ll;
    ngx_http_request_t  *r;

    r = refresh->request;

    /* there are such links at one moment of a reply only */

    out = NULL;
    ll = &out;

    for (cl = in; cl != held; cl = cl->next) {

        *ll = ngx_alloc_chain_link(r->pool);
        if (*ll == NULL) {
            return NGX_ERROR;
        }

        (*ll)->buf = cl->buf;
        ll = &(*ll)->next;
    }

    *ll = NULL;

    for ( /* void */ ; cl; cl = cl->next) {
        if (ngx_http_ollama_refresh_copy(refresh, cl->buf) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (out && ngx_http_next_body_filter(r, out) == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (refresh->size > NGX_HTTP_OLLAMA_REFRESH_HELD) {
        return ngx_http_ollama_refresh_flush(refresh);
    }

    return NGX_OK;
}


/*
 * Whether the reply that has just ended is that to a request without a prompt:
 * one frame, without the number of any tokens.
 */

static ngx_uint_t
ngx_http_ollama_refresh_is_load(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_frame_t  *frame;

    frame = ctx->frame;

    return frame && frame->done && frame->frames <= 1
           && frame->prompt_tokens == -1 && frame->generated_tokens == -1
           && ctx->endpoint->last == NGX_HTTP_OLLAMA_END_DONE
           && !ctx->cancelled && !ctx->error_sent;
}


/* Whether a managing request's reply ends, or begins to, in the buffer. */

static ngx_uint_t
ngx_http_ollama_refresh_is_end(ngx_http_ollama_refresh_t *refresh,
    ngx_buf_t *b)
{
    u_char  *p, *last;
    size_t   n;

    if (b->last_buf) {
        return 1;
    }

    if (!ngx_buf_in_memory(b)) {
        return 0;
    }

    for (p = b->pos; p < b->last; p = last) {

        last = ngx_strlchr(p, b->last, '\n');
        last = last ? last + 1 : b->last;

        n = ngx_min((size_t) (last - p),
                    NGX_HTTP_OLLAMA_REFRESH_LINE - refresh->nline);

        ngx_memcpy(refresh->line + refresh->nline, p, n);
        refresh->nline += n;

        if (ngx_http_ollama_refresh_is_success(refresh)) {
            return 1;
        }

        if (last[-1] == '\n') {
            refresh->nline = 0;
        }
    }

    return 0;
}


/* In a string of the line the quotes would be escaped. */

static ngx_uint_t
ngx_http_ollama_refresh_is_success(ngx_http_ollama_refresh_t *refresh)
{
    size_t      i;
    ngx_str_t  *text;

    text = &ngx_http_ollama_refresh_success;

    for (i = 0; i + text->len <= refresh->nline; i++) {
        if (ngx_memcmp(refresh->line + i, text->data, text->len) == 0) {
            return 1;
        }
    }

    return 0;
}


/* From now on all is held, if the server is to be probed. */

static void
ngx_http_ollama_refresh_wait(ngx_http_ollama_refresh_t *refresh)
{
    refresh->ticket = ngx_http_ollama_fleet_ask(refresh->up,
                                                &refresh->address);

    if (refresh->ticket == 0 || refresh->request->header_only) {
        refresh->passing = 1;
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, refresh->request->connection->log, 0,
                   "ollama refresh: \"%V\"", &refresh->address);

    refresh->waiting = 1;
    refresh->until = ngx_current_msec + NGX_HTTP_OLLAMA_REFRESH_MAX;
    refresh->request->buffered |= NGX_HTTP_OLLAMA_REFRESH_BUFFERED;

    ngx_add_timer(&refresh->timer.event, NGX_HTTP_OLLAMA_REFRESH_INTERVAL);
}


static ngx_int_t
ngx_http_ollama_refresh_copy(ngx_http_ollama_refresh_t *refresh, ngx_buf_t *b)
{
    size_t        size;
    ngx_chain_t  *cl;

    if (b->last_buf) {
        refresh->last_buf = 1;
        b->last_buf = 0;
    }

    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    if (size == 0) {
        return NGX_OK;
    }

    cl = ngx_http_ollama_chain_take(refresh->request->pool, b, size);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    *refresh->last = cl;
    refresh->last = &cl->next;
    refresh->size += size;

    return NGX_OK;
}


static void
ngx_http_ollama_refresh_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_ollama_refresh_t  *refresh;

    refresh = ngx_http_ollama_timer_data(ev);

    if (!ngx_http_ollama_fleet_is_probed(refresh->up, refresh->ticket)
        && (ngx_msec_int_t) (refresh->until - ngx_current_msec) > 0)
    {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_REFRESH_INTERVAL);
        return;
    }

    r = refresh->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (ngx_http_ollama_refresh_flush(refresh) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);

    } else if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        /* nginx waits until r->buffered is clear */
        r->write_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


/* Sends what was held; from now on all passes. */

static ngx_int_t
ngx_http_ollama_refresh_flush(ngx_http_ollama_refresh_t *refresh)
{
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = refresh->request;

    refresh->waiting = 0;
    refresh->passing = 1;
    r->buffered &= ~NGX_HTTP_OLLAMA_REFRESH_BUFFERED;

    ngx_http_ollama_timer_stop(&refresh->timer);

    cl = ngx_http_ollama_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf->flush = 1;
    cl->buf->last_buf = refresh->last_buf;
    cl->buf->last_in_chain = 1;

    *refresh->last = cl;

    return ngx_http_next_body_filter(r, refresh->held);
}


ngx_int_t
ngx_http_ollama_refresh_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_ollama_refresh_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_refresh_body_filter;

    return NGX_OK;
}
