
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the end of a try tells of the server, for the fleet.  It has no state,
 * and may use what the balancer may.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_try.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_http_ollama_try_e ngx_http_ollama_try_ended(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_uint_t ngx_http_ollama_try_is_about_model(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ollama_try_is_json(ngx_http_upstream_t *u);


ngx_http_ollama_try_e
ngx_http_ollama_try_outcome(ngx_http_request_t *r, ngx_peer_connection_t *pc,
    ngx_uint_t state)
{
    ngx_uint_t            status;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    status = u->headers_in.status_n;

    if (status == NGX_HTTP_TOO_MANY_REQUESTS
        || (status >= NGX_HTTP_INTERNAL_SERVER_ERROR
            && status <= NGX_HTTP_GATEWAY_TIME_OUT
            && status != NGX_HTTP_NOT_IMPLEMENTED))
    {
        return NGX_HTTP_OLLAMA_TRY_REFUSED;
    }

    if (status == NGX_HTTP_NOT_FOUND) {
        return ngx_http_ollama_try_is_about_model(r)
               ? NGX_HTTP_OLLAMA_TRY_NO_MODEL
               : NGX_HTTP_OLLAMA_TRY_ANSWERED;
    }

    if (!(state & NGX_PEER_FAILED)) {
        return ngx_http_ollama_try_ended(r, status);
    }

    if (pc->cached) {
        /* the server had closed a keepalive connection */
        return NGX_HTTP_OLLAMA_TRY_NEUTRAL;
    }

    if (pc->connection && pc->connection->read->timedout) {
        /* it may be slow or down: a probe will show which it is */
        return NGX_HTTP_OLLAMA_TRY_NEUTRAL;
    }

    if (pc->connection && u->request_sent) {
        return NGX_HTTP_OLLAMA_TRY_TRUNCATED;
    }

    return NGX_HTTP_OLLAMA_TRY_UNREACHABLE;
}


/* The outcome of a try that has not failed for nginx. */

static ngx_http_ollama_try_e
ngx_http_ollama_try_ended(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_http_ollama_ctx_t  *ctx;

    if (status == 0) {
        /* the client closed the connection before */
        return NGX_HTTP_OLLAMA_TRY_NEUTRAL;
    }

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx && ctx->finalized && !ctx->cancelled
        && (ctx->finalize_rc == NGX_ERROR
            || ctx->finalize_rc == NGX_HTTP_BAD_GATEWAY
            || ctx->finalize_rc == NGX_HTTP_GATEWAY_TIME_OUT))
    {
        return NGX_HTTP_OLLAMA_TRY_TRUNCATED;
    }

    return (status < NGX_HTTP_SPECIAL_RESPONSE)
           ? NGX_HTTP_OLLAMA_TRY_OK : NGX_HTTP_OLLAMA_TRY_ANSWERED;
}


/*
 * Whether a 404 says that the server lacks the model that was wanted.  One that
 * lacks the path sends plain text.  What a path of ollama_pass names may be
 * something else that isn't there, as may the model of a form, which the server
 * reads by its own rules.
 */

static ngx_uint_t
ngx_http_ollama_try_is_about_model(ngx_http_request_t *r)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    return ctx && ctx->endpoint
           && ctx->scan && ctx->scan->model.len
           && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL
           && !((ctx->endpoint->scan & NGX_HTTP_OLLAMA_SCAN_FORM)
                && ctx->scan->model_at.end == 0)
           && ngx_http_ollama_try_is_json(r->upstream);
}


static ngx_uint_t
ngx_http_ollama_try_is_json(ngx_http_upstream_t *u)
{
    ngx_table_elt_t  *type;

    type = u->headers_in.content_type;

    return type
           && type->value.len >= sizeof("application/json") - 1
           && ngx_strncasecmp(type->value.data, (u_char *) "application/json",
                              sizeof("application/json") - 1)
              == 0;
}
