
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODELS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODELS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


ngx_int_t ngx_http_ollama_models_servers(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_server(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_check(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_tags(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_ps(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_version(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_openai(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_openai_one(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_MODELS_H_INCLUDED_ */
