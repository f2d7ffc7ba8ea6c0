
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_OPEN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_OPEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "store/ngx_http_ollama_store.h"


/*
 * Prepares zeroed memory for operations on the session ctx->scan->session_id,
 * but for their handler, which gets "data".  *owner is the user whose session
 * it must be, in the request's pool.  NGX_OK, or the status of a refusal: the
 * request has no owner, or the id can't be one.
 */
ngx_int_t ngx_http_ollama_open_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_store_t *store, void *data,
    ngx_str_t *owner);

/*
 * Names the lock holder, ctx->holder, in the request's pool, when the store
 * has begun the task: a client may use its id again, with the number behind it
 * it is unique.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_open_holder(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_store_t *store);

/*
 * Each notes in ctx why the session can't be used, and returns the status:
 * for any result of the store but OK; if there is no such session.
 */
ngx_int_t ngx_http_ollama_open_refuse(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_store_t *store);
ngx_int_t ngx_http_ollama_open_not_found(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_OPEN_H_INCLUDED_ */
