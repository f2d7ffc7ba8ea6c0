
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_ARGS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_ARGS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * NGX_DECLINED: there is no such argument, or it is empty; what else is not
 * NGX_OK is the status of a refusal.
 */

/* the n of a message's id, "n-0" or "n" */
ngx_int_t ngx_http_ollama_session_args_number(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, const char *name, int64_t *n);

/* all that are called "id", as many as max; each once, but what can't be one */
ngx_int_t ngx_http_ollama_session_args_ids(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t max, ngx_array_t *ids);

/* NGX_OK also without one; more than max is max */
ngx_int_t ngx_http_ollama_session_args_limit(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t max, ngx_uint_t *limit);


#endif /* _NGX_HTTP_OLLAMA_SESSION_ARGS_H_INCLUDED_ */
