
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ORIGIN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ORIGIN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


ngx_int_t ngx_http_ollama_origin_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_origin_init(ngx_conf_t *cf);
ngx_int_t ngx_http_ollama_origin_filter_init(ngx_conf_t *cf);
ngx_uint_t ngx_http_ollama_origin_valid(ngx_str_t *pattern);


#endif /* _NGX_HTTP_OLLAMA_ORIGIN_H_INCLUDED_ */
