
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The ctx of a request: where the other files note what they know of it.  It
 * is made when the request first meets one of them and goes with its pool.
 * This file calls nobody.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_conf.h"


static void ngx_http_ollama_ctx_cleanup(void *data);


/* What is known of the request, or NULL if that is nothing. */

ngx_http_ollama_ctx_t *
ngx_http_ollama_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_ollama_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    /*
     * after an internal redirect: the cleanup still has it.  A pool serves a
     * request and its subrequests.
     */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_ollama_ctx_cleanup) {
            ctx = cln->data;

            if (ctx->request == r) {
                ngx_http_set_ctx(r, ctx, ngx_http_ollama_module);
                return ctx;
            }
        }
    }

    return NULL;
}


/* The same, made if need be.  NULL: no memory. */

ngx_http_ollama_ctx_t *
ngx_http_ollama_make_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t     *cln;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_ollama_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_ollama_ctx_t));

    ctx->request = r;
    ctx->http_version = r->http_version;
    ctx->ttft = -1;

    cln->handler = ngx_http_ollama_ctx_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_ollama_module);

    return ctx;
}


/* There is nothing to do: the handler is what the ctx is found by. */

static void
ngx_http_ollama_ctx_cleanup(void *data)
{
}
