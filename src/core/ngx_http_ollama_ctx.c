
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The ctx of a request: created when it is first needed, in the request's pool,
 * and freed with that.  Its fields belong to the files that set them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_conf.h"


static void ngx_http_ollama_ctx_cleanup(void *data);


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
     * after an internal redirect: it is still the data of a cleanup.  A request
     * and its subrequests have one pool.
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


/* Does nothing: the ctx is found by this handler. */

static void
ngx_http_ollama_ctx_cleanup(void *data)
{
}
