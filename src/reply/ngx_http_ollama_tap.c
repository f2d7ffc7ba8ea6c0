
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Parses a server's reply on its way to the client: time of the first token,
 * number of tokens, complete or truncated.  What the server has sent passes
 * unchanged and at once.  If the reply is truncated, an error line is added,
 * and the connection is closed without a proper end of the response: a client
 * that sees a proper end has the whole reply.
 *
 * Only u->finalize_request, which is wrapped here, tells how nginx ends a
 * reply. It is called once, and before anything that follows from it:
 *
 *   0          a proper end; then comes last_buf, unless it was sent
 *   502, 504   truncated, or timed out; then comes an empty buffer with flush
 *   NGX_ERROR  broken framing, or the client is gone; then comes nothing
 *   499        the client is gone
 *
 * r->upstream and its connection do not tell: with buffering on, data may come
 * here long after the server has closed the connection.
 *
 * The parser is in the request's pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "reply/ngx_http_ollama_tap.h"
#include "balancer/ngx_http_ollama_load.h"
#include "balancer/ngx_http_ollama_place.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_header.h"
#include "reply/ngx_http_ollama_truncated.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_frame_form.h"
#include "reply/ngx_http_ollama_sse.h"
#include "request/ngx_http_ollama_body.h"
#include "request/ngx_http_ollama_scan.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_chain.h"


static ngx_int_t ngx_http_ollama_tap_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_tap_queued(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_tap_server(ngx_http_upstream_t *u,
    ngx_str_t *name);
static ngx_int_t ngx_http_ollama_tap_removed(ngx_http_request_t *r,
    ngx_http_ollama_scan_t *scan);
static ngx_int_t ngx_http_ollama_tap_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_uint_t ngx_http_ollama_tap_is_json(ngx_str_t *type);
static ngx_int_t ngx_http_ollama_tap_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_ollama_tap_figures(ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_tap_buf(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_buf_t *b, ngx_str_t *reason);
static ngx_int_t ngx_http_ollama_tap_buf_end(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_buf_t *b, size_t size, ngx_str_t *reason);
static void ngx_http_ollama_tap_cut(ngx_http_ollama_frame_t *frame,
    ngx_buf_t *b);
static void ngx_http_ollama_tap_stopped(ngx_http_ollama_ctx_t *ctx);
static ngx_msec_int_t ngx_http_ollama_tap_elapsed(ngx_http_request_t *r);
static void ngx_http_ollama_tap_stop_server(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_tap_break(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_chain_t *in, ngx_chain_t *at,
    ngx_str_t *reason);
static void ngx_http_ollama_tap_swallow(ngx_chain_t *in);
static void ngx_http_ollama_tap_finalize(ngx_http_request_t *r, ngx_int_t rc);
static ngx_chain_t *ngx_http_ollama_tap_end(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_ollama_tap_header_filter(ngx_http_request_t *r)
{
    ngx_http_upstream_t    *u;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);
    u = r->upstream;

    if (ctx == NULL || ctx->endpoint == NULL
        || u == NULL || u->cleanup == NULL
        || u->finalize_request == ngx_http_ollama_tap_finalize)
    {
        return ngx_http_next_header_filter(r);
    }

    if (r->http_version != ctx->http_version) {

        /*
         * the server sent no status line, and nginx has made HTTP/0.9 of the
         * request to pass on whatever that is
         */

        r->http_version = ctx->http_version;
        return NGX_HTTP_BAD_GATEWAY;
    }

    if (r->headers_out.status < NGX_HTTP_OK) {
        /* nothing here is upgraded, and no such status ends a request */
        return NGX_HTTP_BAD_GATEWAY;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        /* there are no parts of a generation, whatever proxy_force_ranges */
        r->allow_ranges = 0;
    }

    ctx->finalize = u->finalize_request;
    u->finalize_request = ngx_http_ollama_tap_finalize;

    if (ngx_http_ollama_load_is_orphan(ctx)) {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    /* an error_page may have led here from another upstream */

    ctx->frame = NULL;
    ctx->finalized = 0;
    ctx->error_sent = 0;
    ctx->ttft = -1;

    if (u->request_body_sent && !r->preserve_body && r == r->main) {
        /* it is sent to no other server, and to no mirror */
        ngx_http_ollama_body_unmap(ctx);
    }

    if (ngx_http_ollama_tap_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL
        && r->headers_out.status == NGX_HTTP_OK
        && !r->header_only
        && (r->headers_out.content_encoding == NULL
            || r->headers_out.content_encoding->value.len == 0)
        && ngx_http_ollama_tap_init(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


ngx_int_t
ngx_http_ollama_tap_headers(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->server_of != r->upstream) {
        ngx_http_ollama_tap_server(r->upstream, &ctx->server);
    }

    if (ctx->server.len
        && ngx_http_ollama_header_add(r, "X-Ollama-Server", &ctx->server)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->aliased
        && ngx_http_ollama_header_add(r, "X-Ollama-Model", &ctx->scan->model)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->has_task
        && ngx_http_ollama_header_add(r, "X-Ollama-Task-Id",
                                      &ctx->scan->task_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_place_time(ctx)
        && ngx_http_ollama_tap_queued(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->scan && ctx->scan->removed) {
        return ngx_http_ollama_tap_removed(r, ctx->scan);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_tap_queued(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_str_t   value;
    ngx_msec_t  ms;

    value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + sizeof(".123") - 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ms = ngx_http_ollama_place_time(ctx);

    value.len = ngx_sprintf(value.data, "%T.%03M", (time_t) (ms / 1000),
                            ms % 1000)
                - value.data;

    return ngx_http_ollama_header_add(r, "X-Ollama-Queued", &value);
}


/* The server that answers, as its line in the upstream block names it. */

static void
ngx_http_ollama_tap_server(ngx_http_upstream_t *u, ngx_str_t *name)
{
    ngx_uint_t                      i, j;
    ngx_http_upstream_server_t     *server;
    ngx_http_upstream_srv_conf_t   *uscf;

    if (u->peer.name == NULL) {
        ngx_str_null(name);
        return;
    }

    *name = *u->peer.name;

    uscf = u->upstream;

    if (uscf == NULL || uscf->servers == NULL) {
        return;
    }

    server = uscf->servers->elts;

    for (i = 0; i < uscf->servers->nelts; i++) {
        for (j = 0; j < server[i].naddrs; j++) {

            if (server[i].addrs[j].name.len == name->len
                && ngx_memcmp(server[i].addrs[j].name.data, name->data,
                              name->len) == 0
                && server[i].name.len > 0
                && server[i].name.data[server[i].name.len - 1] != ']'
                && ngx_strlchr(server[i].name.data,
                               server[i].name.data + server[i].name.len, ':'))
            {
                *name = server[i].name;
                return;
            }
        }
    }
}


static ngx_int_t
ngx_http_ollama_tap_removed(ngx_http_request_t *r,
    ngx_http_ollama_scan_t *scan)
{
    u_char      *p;
    size_t       len;
    ngx_str_t    value;
    ngx_uint_t   i;

    len = 0;

    for (i = 0; i < scan->nforbid; i++) {
        len += scan->forbid[i].name.len + sizeof(", ") - 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    for (i = 0; i < scan->nforbid; i++) {

        if (!(scan->removed & (1u << i))) {
            continue;
        }

        if (p != value.data) {
            *p++ = ',';
            *p++ = ' ';
        }

        p = ngx_cpymem(p, scan->forbid[i].name.data, scan->forbid[i].name.len);
    }

    value.len = p - value.data;

    return ngx_http_ollama_header_add(r, "X-Ollama-Removed", &value);
}


static ngx_int_t
ngx_http_ollama_tap_init(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_frame_end_e    last;
    ngx_http_ollama_frame_form_e   form;

    if (ctx->endpoint->last == NGX_HTTP_OLLAMA_END_ANY
        && !ngx_http_ollama_tap_is_json(&r->headers_out.content_type))
    {
        /* a text or an image that was asked for, or events nobody knows */
        return NGX_OK;
    }

    form = ngx_http_ollama_frame_form(ctx->endpoint, ctx->scan->stream,
                                      &r->headers_out.content_type);

    last = (form == NGX_HTTP_OLLAMA_FRAME_WHOLE) ? NGX_HTTP_OLLAMA_END_OBJECT
                                                 : ctx->endpoint->last;

    ctx->frame = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_frame_t));
    if (ctx->frame == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_frame_init(ctx->frame, r->pool, form, last)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /*
     * with a length, a truncated reply with its error line could have a proper
     * end
     */

    ngx_http_clear_content_length(r);

    /* with buffering on a part of the reply may come in a file */
    r->filter_need_in_memory = 1;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ollama_tap_is_json(ngx_str_t *type)
{
    static ngx_str_t  json = ngx_string("application/json");

    return type->len >= json.len
           && ngx_strncasecmp(type->data, json.data, json.len) == 0;
}


static ngx_int_t
ngx_http_ollama_tap_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                rc;
    ngx_str_t                reason;
    ngx_chain_t             *cl;
    ngx_http_ollama_ctx_t   *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    if (in == NULL || ctx == NULL || ctx->frame == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->error_sent || ctx->cancelled) {
        ngx_http_ollama_tap_swallow(in);
        return ngx_http_next_body_filter(r, NULL);
    }

    for (cl = in; cl; cl = cl->next) {

        rc = ngx_http_ollama_tap_buf(r, ctx, cl->buf, &reason);

        if (rc == NGX_DECLINED) {
            return ngx_http_ollama_tap_break(r, ctx, in, cl, &reason);
        }
    }

    return ngx_http_next_body_filter(r, in);
}


/* What the reply tells of the server's speed. */

static void
ngx_http_ollama_tap_figures(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_frame_t    *frame;
    ngx_http_ollama_figures_t   figures;

    frame = ctx->frame;

    /* ns; -1 remains negative */

    figures.load = (float) frame->load_duration / 1e9f;
    figures.prompt = (float) frame->prompt_eval_duration / 1e9f;
    figures.generate = (float) frame->eval_duration / 1e9f;
    figures.prompt_tokens = frame->prompt_tokens;
    figures.generated_tokens = frame->generated_tokens;
    figures.ok = 1;

    ngx_http_ollama_place_figures(ctx, &figures);
}


/*
 * Parses one buffer.  NGX_DECLINED: the reply ends here, because of "reason";
 * what is left in the buffer is still to be sent.
 */

static ngx_int_t
ngx_http_ollama_tap_buf(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_buf_t *b, ngx_str_t *reason)
{
    size_t                    size, good;
    ngx_http_ollama_frame_t  *frame;

    frame = ctx->frame;

    if (ctx->stopping) {
        ngx_http_ollama_tap_cut(frame, b);
    }

    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    if (size) {

        if (ngx_http_ollama_frame_feed(frame, b->pos, size, &good) != NGX_OK) {
            ngx_http_ollama_tap_stop_server(r);

            b->last = b->pos + good;

            if (frame->done) {
                /* what comes after the final frame is no part of it */
                ngx_str_null(reason);

            } else {
                ngx_str_set(reason,
                            "sent something that is no frame of a reply");
            }

            return NGX_DECLINED;
        }

        if (ctx->ttft == -1
            && frame->frames
            && frame->form != NGX_HTTP_OLLAMA_FRAME_WHOLE)
        {
            ctx->ttft = ngx_http_ollama_tap_elapsed(r);
            ngx_http_ollama_place_first(ctx);
        }

        if (frame->done) {
            ngx_http_ollama_tap_figures(ctx);
            ngx_http_ollama_task_end(ctx, 0);

        } else if (ctx->stopping && !frame->line && !frame->event) {
            ctx->cancelled = 1;
            ngx_http_ollama_task_end(ctx, 1);
            ngx_http_ollama_tap_stopped(ctx);

            return NGX_DECLINED;
        }
    }

    return ctx->finalized ? ngx_http_ollama_tap_buf_end(r, ctx, b, size, reason)
                          : NGX_OK;
}


/* The same of a buffer of "size" bytes, after the server's reply has ended. */

static ngx_int_t
ngx_http_ollama_tap_buf_end(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_buf_t *b, size_t size, ngx_str_t *reason)
{
    ngx_http_ollama_frame_t  *frame;

    frame = ctx->frame;

    if (ctx->finalize_rc == NGX_OK) {

        if (!b->last_buf && !(r != r->main && b->last_in_chain)) {
            return NGX_OK;
        }

        if (ngx_http_ollama_frame_end(frame) == NGX_OK || frame->error) {
            return NGX_OK;
        }

        ngx_str_set(reason, "ended its reply without finishing it");
        return NGX_DECLINED;
    }

    if (size || !b->flush) {
        return NGX_OK;
    }

    /* truncated: nginx sends this buffer and closes the connection */

    if (ngx_http_ollama_frame_end(frame) == NGX_OK) {
        /* only the end of the framing is missing */
        b->last_buf = (r == r->main);
        b->last_in_chain = 1;
        return NGX_OK;
    }

    if (frame->error) {
        /* the server's own last frame tells it */
        return NGX_OK;
    }

    ngx_http_ollama_truncated_reason(ctx->finalize_rc, reason);

    return NGX_DECLINED;
}


/* A stream is to stop: drops what comes after the open line or event. */

static void
ngx_http_ollama_tap_cut(ngx_http_ollama_frame_t *frame, ngx_buf_t *b)
{
    u_char  *nl;

    if (!ngx_buf_in_memory(b)) {
        return;
    }

    if (frame->form == NGX_HTTP_OLLAMA_FRAME_SSE) {
        b->last = ngx_http_ollama_sse_event_end(&frame->sse, b->pos, b->last);
        return;
    }

    nl = memchr(b->pos, '\n', b->last - b->pos);

    if (nl) {
        b->last = nl + 1;
    }
}


/* The line that stop.c waits for has ended: its event ends the upstream. */

static void
ngx_http_ollama_tap_stopped(ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->stopping->timer_set) {
        ngx_del_timer(ctx->stopping);
    }

    ngx_post_event(ctx->stopping, &ngx_posted_events);
}


static ngx_msec_int_t
ngx_http_ollama_tap_elapsed(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));

    return ngx_max(ms, 0);
}


/* Makes nginx end its connection to the server after this read. */

static void
ngx_http_ollama_tap_stop_server(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (u == NULL || u->cleanup == NULL) {
        /* the end came in the same read */
        return;
    }

    u->keepalive = 0;
    u->error = 1;

    if (u->buffering && u->pipe) {
        u->pipe->upstream_error = 1;
    }
}


/*
 * Sends "in" up to the buffer of "at", and then what ends the reply: the error
 * line, or the final frame of a stopped reply; or, with an empty "reason", only
 * the end.
 */

static ngx_int_t
ngx_http_ollama_tap_break(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_chain_t *in, ngx_chain_t *at, ngx_str_t *reason)
{
    ngx_chain_t  *cl, *out, **ll;

    ll = &out;

    for ( ;; ) {

        if (ngx_buf_in_memory(in->buf) && in->buf->pos < in->buf->last) {

            cl = ngx_alloc_chain_link(r->pool);
            if (cl == NULL) {
                return NGX_ERROR;
            }

            cl->buf = in->buf;
            *ll = cl;
            ll = &cl->next;
        }

        if (in == at) {
            break;
        }

        in = in->next;
    }

    at->buf->last_buf = 0;
    at->buf->last_in_chain = 0;

    ngx_http_ollama_tap_swallow(at->next);

    if (ctx->cancelled) {
        cl = ngx_http_ollama_truncated_stopped(r, ctx, ctx->frame->form);

    } else {
        cl = reason->len ? ngx_http_ollama_truncated_error(r, ctx, reason)
                         : ngx_http_ollama_tap_end(r, ctx);
    }

    if (cl == NULL) {
        return NGX_ERROR;
    }

    *ll = cl;

    return ngx_http_next_body_filter(r, out);
}


/* The end of a complete reply, after which the server has sent more. */

static ngx_chain_t *
ngx_http_ollama_tap_end(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_chain_t  *cl;

    cl = ngx_http_ollama_chain_link(r->pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf->last_buf = (r == r->main);
    cl->buf->sync = (r != r->main);
    cl->buf->last_in_chain = 1;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "ollama server \"%V\" sent more than its reply",
                  &ctx->server);

    ctx->error_sent = 1;

    return cl;
}


ngx_int_t
ngx_http_ollama_tap_send(ngx_http_request_t *r, ngx_chain_t *out)
{
    return ngx_http_next_body_filter(r, out);
}


/* Marks the buffers as read, so that they are reused, and nothing is sent. */

static void
ngx_http_ollama_tap_swallow(ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        in->buf->pos = in->buf->last;
        in->buf->file_pos = in->buf->file_last;
    }
}


/* Instead of the proxy's finalize_request, which it calls. */

static void
ngx_http_ollama_tap_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_str_t               reason;
    ngx_chain_t            *out;
    ngx_connection_t       *c;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);
    c = r->upstream->peer.connection;

    ctx->finalized = 1;
    ctx->finalize_rc = rc;

    if (rc == NGX_HTTP_BAD_GATEWAY && c && c->read->timedout) {
        /* with buffering on both are the same to nginx */
        ctx->finalize_rc = NGX_HTTP_GATEWAY_TIME_OUT;
    }

    ctx->finalize(r, rc);

    if (rc != NGX_ERROR
        || ctx->frame == NULL || ctx->frame->done || ctx->frame->error
        || ctx->error_sent || ctx->cancelled
        || !r->header_sent
        || r->connection->error || r->connection->timedout)
    {
        return;
    }

    /*
     * nginx is about to drop the request: the client only gets what its socket
     * takes now; what came before the broken part goes first
     */

    if (!r->upstream->buffering && r->upstream->out_bufs) {
        (void) ngx_http_ollama_tap_body_filter(r, r->upstream->out_bufs);
    }

    if (ctx->error_sent || ctx->frame->done) {
        return;
    }

    ngx_http_ollama_truncated_reason(rc, &reason);

    out = ngx_http_ollama_truncated_error(r, ctx, &reason);

    if (out) {
        (void) ngx_http_next_body_filter(r, out);
    }
}


ngx_int_t
ngx_http_ollama_tap_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_ollama_tap_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_tap_body_filter;

    return NGX_OK;
}
