
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CAPTURE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CAPTURE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_types.h"


ngx_int_t ngx_http_ollama_capture_init(ngx_http_ollama_capture_t *said,
    ngx_pool_t *pool, ngx_http_ollama_capture_form_e form, size_t max);
void ngx_http_ollama_capture_feed(ngx_http_ollama_capture_t *said, u_char *p,
    size_t size);
void ngx_http_ollama_capture_cut(ngx_http_ollama_capture_t *said);
void ngx_http_ollama_capture_end(ngx_http_ollama_capture_t *said);

ngx_uint_t ngx_http_ollama_capture_is_empty(ngx_http_ollama_capture_t *said);

/* what was found as JSON, in the memory of the pool given */

ngx_int_t ngx_http_ollama_capture_message(ngx_http_ollama_capture_t *said,
    ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_http_ollama_capture_tools(ngx_http_ollama_capture_t *said,
    ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_http_ollama_capture_stats(ngx_http_ollama_capture_t *said,
    ngx_pool_t *pool, ngx_str_t *text);

size_t ngx_http_ollama_capture_mark(u_char *dst, ngx_str_t *frame,
    ngx_str_t *session_id, ngx_uint_t saved);


#endif /* _NGX_HTTP_OLLAMA_CAPTURE_H_INCLUDED_ */
