
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PATH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PATH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


void ngx_http_ollama_path_strip(ngx_str_t *path, ngx_str_t *prefix);
ngx_uint_t ngx_http_ollama_path_is_v1(ngx_str_t *path);
ngx_uint_t ngx_http_ollama_path_match(ngx_str_t *pattern, ngx_str_t *path);
ngx_uint_t ngx_http_ollama_path_below(ngx_str_t *name, ngx_str_t *path);


#endif /* _NGX_HTTP_OLLAMA_PATH_H_INCLUDED_ */
