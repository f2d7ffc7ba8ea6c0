
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ERROR_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ERROR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


ngx_int_t ngx_http_ollama_error(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t status, const char *fmt, ...);
ngx_int_t ngx_http_ollama_error_busy(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *session, ngx_str_t *task);

/* Refusals that several rooms make; the same results. */
ngx_int_t ngx_http_ollama_error_task_in_use(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *task);
ngx_int_t ngx_http_ollama_error_no_owner(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
ngx_int_t ngx_http_ollama_error_no_history(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

ngx_buf_t *ngx_http_ollama_error_json(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *text, ngx_str_t *task, ngx_str_t *before,
    ngx_str_t *after);
ngx_str_t *ngx_http_ollama_error_text(ngx_uint_t status);
ngx_int_t ngx_http_ollama_error_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_ERROR_H_INCLUDED_ */
