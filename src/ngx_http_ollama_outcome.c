
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Decides how a request ended, from its ctx and nginx's state of it.  Has no
 * state and changes nothing.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_outcome.h"
#include "reply/ngx_http_ollama_frame.h"


static ngx_uint_t ngx_http_ollama_outcome_is_closed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t status);
static ngx_uint_t ngx_http_ollama_outcome_is_complete(
    ngx_http_ollama_ctx_t *ctx);


const char *
ngx_http_ollama_outcome(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_uint_t  status;

    if (ctx && ctx->cancelled) {
        return "cancelled";
    }

    if (ctx && ctx->outcome) {
        return ctx->outcome;
    }

    if (ctx && ctx->frame && ctx->frame->done) {
        return "ok";
    }

    status = r->err_status ? r->err_status : r->headers_out.status;

    if (ngx_http_ollama_outcome_is_closed(r, ctx, status)) {
        return "client_closed";
    }

    if (r->upstream == NULL || r->upstream_states == NULL) {
        /* it was sent to no server */
        return (status >= NGX_HTTP_BAD_REQUEST) ? "rejected" : "ok";
    }

    if (status >= NGX_HTTP_BAD_REQUEST) {
        return "error";
    }

    return ngx_http_ollama_outcome_is_complete(ctx) ? "ok" : "interrupted";
}


/* The client closed its connection, or could not be sent to. */

static ngx_uint_t
ngx_http_ollama_outcome_is_closed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t status)
{
    return status == NGX_HTTP_CLIENT_CLOSED_REQUEST
           || r->connection->error
           || (ctx && ctx->finalized
               && ctx->finalize_rc == NGX_HTTP_CLIENT_CLOSED_REQUEST);
}


/*
 * A reply without a final frame is complete if it isn't followed frame by frame
 * and the upstream ended without an error.
 */

static ngx_uint_t
ngx_http_ollama_outcome_is_complete(ngx_http_ollama_ctx_t *ctx)
{
    return ctx && ctx->frame == NULL
           && ctx->finalized && ctx->finalize_rc == NGX_OK;
}
