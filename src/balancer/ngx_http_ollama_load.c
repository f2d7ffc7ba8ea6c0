
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Ollama gives up the load of a model when the client leaves that has caused
 * it, whoever else waits for that model.  Where requests wait for it here, the
 * one that has caused the load goes on without its client until the header of
 * the reply comes, which is when the model is loaded; or until none waits any
 * more.
 *
 * nginx tests whether the client has left in handlers of the request that it
 * sets before a server is chosen.  They are put aside here, and called when
 * they would be, unless the request is such a one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_load.h"
#include "balancer/ngx_http_ollama_place.h"
#include "util/ngx_http_ollama_timer.h"


/* ms between two looks whether others still wait */
#define NGX_HTTP_OLLAMA_LOAD_TICK  100


struct ngx_http_ollama_load_s {
    ngx_http_request_t             *request;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_event_handler_pt       read;     /* nginx's handlers; NULL: they
                                                 are in place */
    ngx_http_event_handler_pt       write;
    ngx_http_ollama_timer_t         timer;
    unsigned                        orphan:1;
};


static ngx_http_ollama_load_t *ngx_http_ollama_load_make(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_load_read_handler(ngx_http_request_t *r);
static void ngx_http_ollama_load_write_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ollama_load_keep(ngx_http_request_t *r,
    ngx_http_ollama_load_t *load);
static ngx_uint_t ngx_http_ollama_load_is_closed(ngx_http_request_t *r);
static void ngx_http_ollama_load_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_load_cleanup(void *data);


void
ngx_http_ollama_load_watch(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_load_t  *load;

    if (ctx == NULL
        || r != r->main
        || r->upstream->conf->ignore_client_abort
        || !ngx_http_ollama_place_is_loading(ctx))
    {
        return;
    }

    load = ctx->load;

    if (load == NULL) {
        load = ngx_http_ollama_load_make(r, ctx);

        if (load == NULL) {
            /* it is as it would be without */
            return;
        }
    }

    if (load->read == NULL) {
        load->read = r->read_event_handler;
        load->write = r->write_event_handler;
        r->read_event_handler = ngx_http_ollama_load_read_handler;
        r->write_event_handler = ngx_http_ollama_load_write_handler;
    }
}


static ngx_http_ollama_load_t *
ngx_http_ollama_load_make(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_cleanup_t      *cln;
    ngx_http_ollama_load_t  *load;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_load_t));
    if (cln == NULL) {
        return NULL;
    }

    load = cln->data;
    ngx_memzero(load, sizeof(ngx_http_ollama_load_t));

    load->request = r;
    load->ctx = ctx;

    ngx_http_ollama_timer_init(&load->timer,
                               ngx_http_ollama_load_timer_handler, load,
                               r->connection->log);

    cln->handler = ngx_http_ollama_load_cleanup;

    ctx->load = load;

    return load;
}


ngx_uint_t
ngx_http_ollama_load_is_orphan(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->load && ctx->load->orphan;
}


static void
ngx_http_ollama_load_read_handler(ngx_http_request_t *r)
{
    ngx_http_ollama_load_t  *load;

    load = ngx_http_ollama_get_ctx(r)->load;

    if (!ngx_http_ollama_load_keep(r, load)) {
        load->read(r);
    }
}


static void
ngx_http_ollama_load_write_handler(ngx_http_request_t *r)
{
    ngx_http_ollama_load_t  *load;

    load = ngx_http_ollama_get_ctx(r)->load;

    if (!ngx_http_ollama_load_keep(r, load)) {
        load->write(r);
    }
}


/* Whether the client has left and its request goes on. */

static ngx_uint_t
ngx_http_ollama_load_keep(ngx_http_request_t *r, ngx_http_ollama_load_t *load)
{
    if (!ngx_http_ollama_load_is_closed(r)
        || !ngx_http_ollama_place_is_loading(load->ctx)
        || !ngx_http_ollama_place_is_awaited(load->ctx))
    {
        return 0;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "client has left while a model is loaded that others wait "
                  "for, the load goes on");

    load->orphan = 1;

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_add_timer(&load->timer.event, NGX_HTTP_OLLAMA_LOAD_TICK);

    return 1;
}


static ngx_uint_t
ngx_http_ollama_load_is_closed(ngx_http_request_t *r)
{
    char               buf[1];
    ssize_t            n;
    ngx_connection_t  *c;

    c = r->connection;

    if (c->error || c->read->eof || c->read->pending_eof) {
        return 1;
    }

#if (NGX_HTTP_V2)
    if (r->stream) {
        return 0;
    }
#endif

    n = recv(c->fd, buf, 1, MSG_PEEK);

    return n == 0 || (n == -1 && ngx_socket_errno != NGX_EAGAIN);
}


/* None waits any more: what the client did is what it would be otherwise. */

static void
ngx_http_ollama_load_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_ollama_load_t  *load;

    load = ngx_http_ollama_timer_data(ev);

    if (ngx_http_ollama_place_is_awaited(load->ctx)) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_LOAD_TICK);
        return;
    }

    r = load->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* to nginx's own test of the connection, which ends the request */

    c->error = 1;
    load->read(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_load_cleanup(void *data)
{
    ngx_http_ollama_load_t *load = data;

    ngx_http_ollama_timer_stop(&load->timer);
}
