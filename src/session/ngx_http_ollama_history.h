
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_HISTORY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_HISTORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Called when the history is there, with NGX_OK, or with the status of a
 * refusal.  May end the request.
 */

typedef void (*ngx_http_ollama_history_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


ngx_uint_t ngx_http_ollama_history_is_wanted(ngx_http_ollama_ctx_t *ctx);
ngx_int_t ngx_http_ollama_history_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_history_pt done);


#endif /* _NGX_HTTP_OLLAMA_HISTORY_H_INCLUDED_ */
