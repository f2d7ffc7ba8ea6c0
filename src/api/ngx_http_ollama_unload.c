
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request that unloads a model, where several servers have it loaded: each is
 * sent the request, by a background subrequest that starts in the phase where
 * the request was routed and may go to that server only.  When all have
 * answered, or the time is over, the client gets the reply of one of those that
 * have unloaded it: but not before they have been probed, for which it waits a
 * second at most, so that /api/ps and the balancer know of it.
 *
 * Where proxy_pass has variables the upstream is not known before: the first
 * subrequest may go to any server, and tells for which others there have to be
 * more.
 *
 * The subrequests' replies are captured by a body filter after the tap, and
 * never sent.  The post handler notes how one ended and posts the request,
 * whose write handler answers the client.  All is in the request's pool; a
 * subrequest that has not ended in time is ended through its upstream's
 * cleanup.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_unload.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_response.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_tap.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_timer.h"


/* how long all servers together may take, ms: it takes them some */
#define NGX_HTTP_OLLAMA_UNLOAD_TIME  5000

/* ms: how often it is checked whether probes have ended; the longest wait */
#define NGX_HTTP_OLLAMA_UNLOAD_INTERVAL  10
#define NGX_HTTP_OLLAMA_UNLOAD_PROBES    1000

/* of a reply, in bytes */
#define NGX_HTTP_OLLAMA_UNLOAD_REPLY  4096


struct ngx_http_ollama_unload_part_s {
    ngx_http_ollama_unload_t    *unload;
    ngx_uint_t                   id;         /* of the server; 0: any */
    ngx_http_request_t          *request;    /* the subrequest */
    ngx_http_ollama_ctx_t       *ctx;        /* its own */
    ngx_str_t                    reply;
    ngx_uint_t                   status;
    ngx_uint_t                   ticket;     /* of a probe */
    ngx_http_post_subrequest_t   post;
    unsigned                     ended:1;
    unsigned                     ok:1;       /* the reply is whole, and good */
};


struct ngx_http_ollama_unload_s {
    ngx_http_request_t             *request;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_ollama_upstream_t     *up;       /* NULL: not known yet */
    ngx_http_ollama_wanted_t        wanted;
    ngx_http_ollama_unload_part_t  *parts;
    ngx_uint_t                      nparts;
    ngx_uint_t                      left;     /* that have not ended */
    ngx_msec_t                      until;    /* probes are waited for */
    ngx_http_ollama_timer_t         timer;
    unsigned                        ended:1;  /* all parts have */
};


static ngx_int_t ngx_http_ollama_unload_make(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_unload_t **unload);
static ngx_int_t ngx_http_ollama_unload_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_unload_send(
    ngx_http_ollama_unload_part_t *part);
static void ngx_http_ollama_unload_ask(ngx_http_ollama_unload_part_t *part);
static ngx_int_t ngx_http_ollama_unload_post_handler(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static void ngx_http_ollama_unload_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_unload_cleanup(void *data);
static void ngx_http_ollama_unload_write_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_unload_more(
    ngx_http_ollama_unload_t *unload);
static ngx_uint_t ngx_http_ollama_unload_waits(
    ngx_http_ollama_unload_t *unload);
static ngx_int_t ngx_http_ollama_unload_answer(
    ngx_http_ollama_unload_t *unload);
static ngx_int_t ngx_http_ollama_unload_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_body_filter_pt  ngx_http_next_body_filter;


ngx_int_t
ngx_http_ollama_unload_begin(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_uint_t                 i, n;
    ngx_uint_t                 ids[NGX_HTTP_OLLAMA_FLEET_SERVERS];
    ngx_http_ollama_unload_t  *unload;

    if (r != r->main || !ngx_http_ollama_unload_is_wanted(ctx)) {
        return NGX_DECLINED;
    }

    ctx->unloads = 1;

    if (ctx->scan->server_url.len || !olcf->up->balanced) {
        return NGX_DECLINED;
    }

    if (ngx_http_ollama_unload_make(r, ctx, &unload) != NGX_OK) {
        return NGX_ERROR;
    }

    if (olcf->fixed) {
        unload->up = olcf->up;

        n = ngx_http_ollama_fleet_loaded(olcf->up, &unload->wanted, ids);

        if (n < 2) {
            ctx->only = n ? ids[0] : 0;
            return NGX_DECLINED;
        }

        for (i = 0; i < n; i++) {
            unload->parts[i].id = ids[i];
        }

        unload->nparts = n;

    } else {
        unload->nparts = 1;
    }

    ctx->unload = unload;
    ctx->phase = r->phase_handler;
    ctx->pass = r->content_handler;
    r->content_handler = ngx_http_ollama_unload_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_unload_make(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_unload_t **result)
{
    ngx_uint_t                 i;
    ngx_http_ollama_unload_t  *unload;

    unload = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_unload_t));
    if (unload == NULL) {
        return NGX_ERROR;
    }

    /* one more for the first that may go to any server */

    unload->parts = ngx_pcalloc(r->pool,
                                (NGX_HTTP_OLLAMA_FLEET_SERVERS + 1)
                                * sizeof(ngx_http_ollama_unload_part_t));
    if (unload->parts == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_model_state_want(r->pool, &ctx->scan->model,
                                         &unload->wanted)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    unload->request = r;
    unload->ctx = ctx;

    for (i = 0; i <= NGX_HTTP_OLLAMA_FLEET_SERVERS; i++) {
        unload->parts[i].unload = unload;
    }

    *result = unload;

    return NGX_OK;
}


/* In a session the history is sent, too: then there is something to answer. */

ngx_uint_t
ngx_http_ollama_unload_is_wanted(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_scan_t  *scan;

    scan = ctx->scan;

    if (scan == NULL || !scan->unload.at_once || scan->session_id.len) {
        return 0;
    }

    return (ctx->endpoint->scan & NGX_HTTP_OLLAMA_SCAN_MESSAGES)
           ? (scan->messages.nelts == 0 && scan->messages_null == 0)
           : !scan->unload.prompt;
}


static ngx_int_t
ngx_http_ollama_unload_handler(ngx_http_request_t *r)
{
    ngx_uint_t                 i;
    ngx_http_cleanup_t        *cln;
    ngx_http_ollama_ctx_t     *ctx;
    ngx_http_ollama_unload_t  *unload;

    ctx = ngx_http_ollama_get_ctx(r);
    unload = ctx->unload;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ollama_timer_init(&unload->timer,
                               ngx_http_ollama_unload_timer_handler, unload,
                               r->connection->log);

    /* the request must be answered, also by a worker that exits gracefully */
    unload->timer.event.cancelable = 0;

    cln->handler = ngx_http_ollama_unload_cleanup;
    cln->data = unload;

    for (i = 0; i < unload->nparts; i++) {
        if (ngx_http_ollama_unload_send(&unload->parts[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        unload->left++;
    }

    ngx_add_timer(&unload->timer.event, NGX_HTTP_OLLAMA_UNLOAD_TIME);

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_ollama_unload_write_handler;

    if (r->connection->read->ready) {
        /* the client may have closed the connection already */
        ngx_post_event(r->connection->read, &ngx_posted_events);
    }

    r->main->count++;

    return NGX_DONE;
}


/* Makes the subrequest; nginx runs it when the request's handler returns. */

static ngx_int_t
ngx_http_ollama_unload_send(ngx_http_ollama_unload_part_t *part)
{
    ngx_http_request_t     *r, *sr;
    ngx_http_ollama_ctx_t  *ctx;

    r = part->unload->request;
    ctx = part->unload->ctx;

    part->reply.data = ngx_pnalloc(r->pool, NGX_HTTP_OLLAMA_UNLOAD_REPLY);
    if (part->reply.data == NULL) {
        return NGX_ERROR;
    }

    part->post.handler = ngx_http_ollama_unload_post_handler;
    part->post.data = part;

    if (ngx_http_subrequest(r, &r->uri, NULL, &sr, &part->post,
                            NGX_HTTP_SUBREQUEST_CLONE
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sr->method = r->method;
    sr->method_name = r->method_name;
    sr->phase_handler = ctx->phase;
    sr->content_handler = ctx->pass;

    part->request = sr;

    part->ctx = ngx_http_ollama_make_ctx(sr);
    if (part->ctx == NULL) {
        return NGX_ERROR;
    }

    /* that of a chat whose body was read and scanned */

    part->ctx->scan = ctx->scan;
    part->ctx->endpoint = ctx->endpoint;
    part->ctx->state = NGX_HTTP_OLLAMA_ROUTED;
    part->ctx->status = NGX_DECLINED;
    part->ctx->unloads = 1;
    part->ctx->only = part->id;
    part->ctx->part = part;

    return NGX_OK;
}


/* Has the server of the part probed, in the upstream that was chosen for it. */

static void
ngx_http_ollama_unload_ask(ngx_http_ollama_unload_part_t *part)
{
    ngx_http_upstream_t         *u;
    ngx_http_ollama_unload_t    *unload;
    ngx_http_ollama_srv_conf_t  *oscf;

    unload = part->unload;

    if (unload->up == NULL) {
        u = part->request->upstream;

        if (u == NULL || u->upstream == NULL || u->upstream->srv_conf == NULL) {
            return;
        }

        oscf = ngx_http_conf_upstream_srv_conf(u->upstream,
                                               ngx_http_ollama_module);

        if (oscf == NULL || oscf->up == NULL || !oscf->up->balanced) {
            return;
        }

        unload->up = oscf->up;
    }

    part->ticket = ngx_http_ollama_fleet_ask_id(unload->up,
                                                part->ctx->server_id);
}


/* May be called more than once; after the client has left nginx ends all. */

static ngx_int_t
ngx_http_ollama_unload_post_handler(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_ollama_unload_part_t *part = data;

    ngx_http_ollama_unload_t  *unload;

    unload = part->unload;

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST || r->connection->error) {
        return rc;
    }

    if (part->ended) {
        return NGX_OK;
    }

    part->ended = 1;
    ngx_http_ollama_unload_ask(part);
    part->status = r->headers_out.status;
    part->ok = (rc == NGX_OK
                && part->status == NGX_HTTP_OK
                && part->ctx->frame
                && part->ctx->frame->done
                && part->reply.len < NGX_HTTP_OLLAMA_UNLOAD_REPLY);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama unload: \"%V\": %i", &part->ctx->server, rc);

    if (--unload->left == 0
        && ngx_http_post_request(unload->request, NULL) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Those that have not answered so far are not waited for.  After that probes
 * are.
 */

static void
ngx_http_ollama_unload_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                      i;
    ngx_connection_t               *c;
    ngx_http_upstream_t            *u;
    ngx_http_ollama_unload_t       *unload;
    ngx_http_ollama_unload_part_t  *part;

    unload = ngx_http_ollama_timer_data(ev);
    c = unload->request->connection;

    ngx_http_set_log_request(c->log, unload->request);

    for (i = 0; i < unload->nparts; i++) {
        part = &unload->parts[i];

        if (part->ended) {
            continue;
        }

        part->ended = 1;
        ngx_http_ollama_unload_ask(part);
        part->ticket = 0;

        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "ollama server \"%V\" did not answer in time to a "
                      "request that unloads a model", &part->ctx->server);

        u = part->request->upstream;

        if (u && u->cleanup) {

            /* this takes the subrequest off the request's count */

            u->keepalive = 0;
            (*u->cleanup)(part->request);
        }
    }

    unload->left = 0;

    unload->request->write_event_handler(unload->request);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_unload_cleanup(void *data)
{
    ngx_http_ollama_unload_t *unload = data;

    ngx_http_ollama_timer_stop(&unload->timer);
}


static void
ngx_http_ollama_unload_write_handler(ngx_http_request_t *r)
{
    ngx_http_ollama_ctx_t     *ctx;
    ngx_http_ollama_unload_t  *unload;

    ctx = ngx_http_ollama_get_ctx(r);
    unload = ctx->unload;

    if (unload->left) {
        return;
    }

    if (unload->parts[0].id == 0 && unload->nparts == 1 && !unload->ended) {

        if (ngx_http_ollama_unload_more(unload) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }

        if (unload->left) {
            return;
        }
    }

    ngx_http_ollama_timer_stop(&unload->timer);

    if (!unload->ended) {
        unload->ended = 1;
        unload->until = ngx_current_msec + NGX_HTTP_OLLAMA_UNLOAD_PROBES;
    }

    if (ngx_http_ollama_unload_waits(unload)) {
        ngx_add_timer(&unload->timer.event, NGX_HTTP_OLLAMA_UNLOAD_INTERVAL);
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, ngx_http_ollama_unload_answer(unload));
}


/* Sends the request to the others that have the model loaded. */

static ngx_int_t
ngx_http_ollama_unload_more(ngx_http_ollama_unload_t *unload)
{
    ngx_uint_t                      i, n;
    ngx_uint_t                      ids[NGX_HTTP_OLLAMA_FLEET_SERVERS];
    ngx_http_ollama_unload_part_t  *part;

    if (unload->up == NULL || !unload->timer.event.timer_set) {
        /* it was no such upstream, or the time is over */
        return NGX_OK;
    }

    n = ngx_http_ollama_fleet_loaded(unload->up, &unload->wanted, ids);

    for (i = 0; i < n; i++) {

        if (ids[i] == unload->parts[0].ctx->server_id) {
            continue;
        }

        part = &unload->parts[unload->nparts++];
        part->id = ids[i];

        if (ngx_http_ollama_unload_send(part) != NGX_OK) {
            return NGX_ERROR;
        }

        unload->left++;
    }

    return NGX_OK;
}


/* Whether a probe of a server that has answered is waited for. */

static ngx_uint_t
ngx_http_ollama_unload_waits(ngx_http_ollama_unload_t *unload)
{
    ngx_uint_t  i;

    if ((ngx_msec_int_t) (unload->until - ngx_current_msec) <= 0) {
        return 0;
    }

    for (i = 0; i < unload->nparts; i++) {

        if (unload->parts[i].ticket
            && !ngx_http_ollama_fleet_is_probed(unload->up,
                                                unload->parts[i].ticket))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_ollama_unload_answer(ngx_http_ollama_unload_t *unload)
{
    ngx_uint_t                      i;
    ngx_http_request_t             *r;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_ollama_unload_part_t  *part, *best;

    r = unload->request;
    ctx = unload->ctx;
    best = NULL;

    for (i = 0; i < unload->nparts; i++) {
        part = &unload->parts[i];

        if (part->ok) {
            best = part;
            break;
        }

        if (best == NULL
            && part->reply.len
            && part->status >= NGX_HTTP_BAD_REQUEST
            && (part->status < NGX_HTTP_INTERNAL_SERVER_ERROR
                || unload->nparts == 1))
        {
            /* what is wrong with the request itself, or the only reply */
            best = part;
        }
    }

    ctx->outcome = (best && best->ok) ? "ok" : "error";

    if (best) {
        ctx->server = best->ctx->server;
        r->headers_out.status = best->status;

        if (ngx_http_ollama_tap_headers(r, ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_ollama_response_text(r, &best->reply, 0);
    }

    part = &unload->parts[0];

    if (unload->nparts == 1 && part->ctx->no_server && part->ctx->error.len) {
        /* the balancer's refusal */
        return ngx_http_ollama_error(r, ctx, part->ctx->error_status, "%V",
                                     &part->ctx->error);
    }

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_GATEWAY,
                                 "none of the %ui servers that have model "
                                 "'%V' loaded could unload it",
                                 unload->nparts, &ctx->scan->model);
}


/* Keeps the reply of a subrequest; of a longer one only the beginning. */

static ngx_int_t
ngx_http_ollama_unload_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    size_t                          n;
    ngx_buf_t                      *b;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_ollama_unload_part_t  *part;

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx == NULL || ctx->part == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    part = ctx->part;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ngx_buf_in_memory(b)) {
            n = ngx_min((size_t) (b->last - b->pos),
                        NGX_HTTP_OLLAMA_UNLOAD_REPLY - part->reply.len);

            ngx_memcpy(part->reply.data + part->reply.len, b->pos, n);
            part->reply.len += n;
        }

        b->pos = b->last;
        b->file_pos = b->file_last;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_unload_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_unload_body_filter;

    return NGX_OK;
}
