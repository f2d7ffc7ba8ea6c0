
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_HEADER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_HEADER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


ngx_uint_t ngx_http_ollama_header_find(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
ngx_int_t ngx_http_ollama_header_add(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


#endif /* _NGX_HTTP_OLLAMA_HEADER_H_INCLUDED_ */
