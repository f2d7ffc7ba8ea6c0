
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Finds the endpoint of each request in a location where "ollama_api" holds,
 * and leads it there: to the content handler of an endpoint of the gateway, or
 * on to proxy_pass, if a server can take it.
 *
 * The path that is looked up is the one nginx has decoded, and a server is sent
 * that path, encoded anew: in the client's own spelling a server could read
 * another endpoint.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_route.h"
#include "ngx_http_ollama_endpoints.h"
#include "ngx_http_ollama_managed.h"
#include "ngx_http_ollama_prepare.h"
#include "ngx_http_ollama_upload.h"
#include "api/ngx_http_ollama_unload.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_queue.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "request/ngx_http_ollama_body.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_path.h"


#define NGX_HTTP_OLLAMA_GET_HEAD  (NGX_HTTP_GET|NGX_HTTP_HEAD)


typedef struct {
    ngx_uint_t  method;
    ngx_str_t   name;
} ngx_http_ollama_method_t;


static ngx_int_t ngx_http_ollama_route_find(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_http_ollama_endpoint_t *ngx_http_ollama_route_further(
    ngx_http_ollama_loc_conf_t *olcf, ngx_str_t *uri);
static ngx_int_t ngx_http_ollama_route_not_allowed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_manage(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_int_t ngx_http_ollama_route_named(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_int_t ngx_http_ollama_route_conversation_pass(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_pass(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_int_t ngx_http_ollama_route_turn(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static void ngx_http_ollama_route_turn_done(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


static ngx_http_ollama_method_t  ngx_http_ollama_methods[] = {
    { NGX_HTTP_GET, ngx_string("GET, ") },
    { NGX_HTTP_HEAD, ngx_string("HEAD, ") },
    { NGX_HTTP_POST, ngx_string("POST, ") },
    { NGX_HTTP_PUT, ngx_string("PUT, ") },
    { NGX_HTTP_PATCH, ngx_string("PATCH, ") },
    { NGX_HTTP_DELETE, ngx_string("DELETE, ") },
    { 0, ngx_null_string }
};


ngx_int_t
ngx_http_ollama_route_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_endpoint_t  *before;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    before = ctx->endpoint;

    if (ctx->state == NGX_HTTP_OLLAMA_READING) {
        /* by error_page, after the body could not be read */
        ngx_http_ollama_body_cleanup(ctx);
        return r->err_status ? (ngx_int_t) r->err_status
                             : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->state == NGX_HTTP_OLLAMA_ROUTED
        && ctx->status != NGX_DECLINED)
    {
        return ctx->status;
    }

    rc = ngx_http_ollama_route_find(r, ctx, olcf);

    if (rc != NGX_OK) {
        ctx->endpoint = NULL;
        return rc;
    }

    if (!(r->method & NGX_HTTP_OLLAMA_GET_HEAD)) {
        r->disable_not_modified = 1;
    }

    if (ctx->state == NGX_HTTP_OLLAMA_ROUTED) {

        /* again, after an internal redirect: the body was scanned before */

        if (ctx->endpoint != before) {
            ctx->endpoint = NULL;
            return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                         "404 page not found");
        }

        if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION) {
            return ngx_http_ollama_route_conversation_pass(r, ctx);
        }

        return ngx_http_ollama_route_pass(r, ctx, olcf);
    }

    if (ctx->endpoint->kind != NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD) {
        rc = ngx_http_ollama_upload_limit(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama route: \"%V\"", &ctx->endpoint->path);

    switch (ctx->endpoint->kind) {

    case NGX_HTTP_OLLAMA_ENDPOINT_MODEL:
    case NGX_HTTP_OLLAMA_ENDPOINT_FURTHER:
    case NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION:
        return ngx_http_ollama_prepare(r, ctx);

    case NGX_HTTP_OLLAMA_ENDPOINT_LIST:
        if (!ngx_http_ollama_fleet_is_polled(olcf->up)) {
            return ngx_http_ollama_route_named(r, ctx, olcf);
        }

        /* fall through */

    case NGX_HTTP_OLLAMA_ENDPOINT_LOCAL:
        /* only what has an ETag is compared with the client's copy of it */
        r->disable_not_modified = 1;
        r->content_handler = ctx->endpoint->handler;
        return NGX_OK;

    case NGX_HTTP_OLLAMA_ENDPOINT_NOT_IMPLEMENTED:
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_IMPLEMENTED,
                                     "\"%V\" is not available in this "
                                     "version of the gateway", &r->uri);

    case NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT:
    case NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD:
        return ngx_http_ollama_route_manage(r, ctx, olcf);

    default: /* to a server, as it is */
        return ngx_http_ollama_route_named(r, ctx, olcf);
    }
}


/* The server may be named in the body, if that is JSON, or in the header. */

static ngx_int_t
ngx_http_ollama_route_manage(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    if (ctx->endpoint->scan
        && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
    {
        return ngx_http_ollama_prepare(r, ctx);
    }

    return ngx_http_ollama_route_named(r, ctx, olcf);
}


/* A request whose body isn't read may name the server in the header. */

static ngx_int_t
ngx_http_ollama_route_named(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ctx->scan = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_scan_t));
    if (ctx->scan == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_ollama_header_find(r, "x-ollama-server-url",
                                       &ctx->scan->server_url);

    return ngx_http_ollama_route_pass(r, ctx, olcf);
}


/*
 * A conversation continues in its content handler.  Its turns are subrequests
 * that start in this phase, with the content handler of this location.
 */

static ngx_int_t
ngx_http_ollama_route_conversation_pass(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->conversation) {
        /* by error_page, after the conversation failed */
        return r->err_status ? (ngx_int_t) r->err_status
                             : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->phase = r->phase_handler;
    ctx->pass = r->content_handler;
    ctx->turn_endpoint = ngx_http_ollama_endpoints_turn();
    r->content_handler = ctx->endpoint->handler;

    return NGX_OK;
}


/* Lets the request go on to a server, or refuses it if none can take it. */

static ngx_int_t
ngx_http_ollama_route_pass(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_int_t  rc;

    ctx->state = NGX_HTTP_OLLAMA_ROUTED;
    ctx->status = NGX_DECLINED;
    ctx->no_server = 0;

    rc = ngx_http_ollama_unload_begin(r, ctx, olcf);

    if (rc != NGX_DECLINED) {
        return (rc == NGX_OK) ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_ollama_route_turn(r, ctx, olcf);

    if (rc != NGX_OK) {
        return rc;
    }

    if (olcf->fixed) {
        rc = ngx_http_ollama_candidates_check(r, ctx, olcf->up);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD) {
        ngx_http_ollama_upload_begin(r, ctx);
    }

    rc = ngx_http_ollama_prepare_task(r, ctx);

    return (rc == NGX_OK) ? NGX_DECLINED : rc;
}


/*
 * A turn of a conversation waits for a place here, as nothing of it was read.
 * NGX_AGAIN: it waits, and this phase begins again then.
 */

static ngx_int_t
ngx_http_ollama_route_turn(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_int_t  rc;

    if (ctx->turn == NULL || ctx->queued || !olcf->fixed) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_queue_begin(r, ctx, olcf->up);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx->state = NGX_HTTP_OLLAMA_READING;

    /* the connection's events are a subrequest's while it runs */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (r->connection->read->ready) {
        /* the client may have closed the connection already */
        ngx_post_event(r->connection->read, &ngx_posted_events);
    }

    ngx_http_ollama_queue_wait(r, ctx, ngx_http_ollama_route_turn_done);

    return NGX_AGAIN;
}


static void
ngx_http_ollama_route_turn_done(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ctx->state = NGX_HTTP_OLLAMA_ROUTED;
    ctx->status = (rc == NGX_OK) ? NGX_DECLINED : rc;

    r->read_event_handler = ngx_http_request_empty_handler;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


/* Sets ctx->endpoint and returns NGX_OK, or the status of a refusal. */

static ngx_int_t
ngx_http_ollama_route_find(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_str_t                    uri;
    ngx_http_ollama_endpoint_t  *endpoint;

    uri = r->uri;
    ngx_http_ollama_path_strip(&uri, &olcf->prefix);

    if (uri.len > 2 && uri.data[uri.len - 1] == '/') {
        /* the same endpoint as without */
        uri.len--;
    }

    if (!olcf->management && ngx_http_ollama_managed(&uri)) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                     "managing models is not allowed here "
                                     "(ollama_management)");
    }

    endpoint = ngx_http_ollama_endpoints_find(&uri);

    if (endpoint == NULL) {
        endpoint = ngx_http_ollama_route_further(olcf, &uri);
    }

    if (endpoint == NULL) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                     "404 page not found");
    }

    ctx->endpoint = endpoint;

    if (!(r->method & endpoint->methods)) {
        return ngx_http_ollama_route_not_allowed(r, ctx);
    }

    /*
     * now proxy_pass makes the path from r->uri alone, and uses neither the
     * client's spelling nor the path in its own address
     */

    r->uri = uri;
    r->valid_unparsed_uri = 0;
    r->valid_location = 0;

    return NGX_OK;
}


/* Among the paths of ollama_pass, none of which opens what manages models. */

static ngx_http_ollama_endpoint_t *
ngx_http_ollama_route_further(ngx_http_ollama_loc_conf_t *olcf,
    ngx_str_t *uri)
{
    ngx_uint_t                   i;
    ngx_http_ollama_endpoint_t  *endpoint;

    if (olcf->pass == NULL || ngx_http_ollama_managed(uri)) {
        return NULL;
    }

    endpoint = olcf->pass->elts;

    for (i = 0; i < olcf->pass->nelts; i++) {
        if (ngx_http_ollama_path_match(&endpoint[i].path, uri)) {
            return &endpoint[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_ollama_route_not_allowed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    u_char                    *p;
    ngx_str_t                  allow;
    ngx_http_ollama_method_t  *m;

    allow.data = ngx_pnalloc(r->pool,
                             sizeof("GET, HEAD, POST, PUT, PATCH, DELETE, ")
                             - 1);
    if (allow.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = allow.data;

    for (m = ngx_http_ollama_methods; m->method; m++) {
        if (ctx->endpoint->methods & m->method) {
            p = ngx_cpymem(p, m->name.data, m->name.len);
        }
    }

    allow.len = p - allow.data - 2;

    if (ngx_http_ollama_header_add(r, "Allow", &allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_ALLOWED,
                                 "method %V is not allowed for \"%V\", "
                                 "only %V", &r->method_name, &r->uri, &allow);
}
