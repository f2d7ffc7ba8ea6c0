
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODELS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODELS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Content handlers: each discards the body, answers, and returns what a content
 * handler returns.  The location must have "ollama_api".
 */

/* GET /api/models/servers: all servers with their states and models */
ngx_int_t ngx_http_ollama_models_servers(ngx_http_request_t *r);

/* GET /api/models/server/models: the models of the server of server_url */
ngx_int_t ngx_http_ollama_models_server(ngx_http_request_t *r);

/* GET /api/models/server/check: probes that server now */
ngx_int_t ngx_http_ollama_models_check(ngx_http_request_t *r);

/*
 * GET /api/tags, /api/ps, /api/version, /v1/models and /v1/models/{id}: of all
 * servers that are up; 503 if none is
 */
ngx_int_t ngx_http_ollama_models_tags(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_ps(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_version(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_openai(ngx_http_request_t *r);
ngx_int_t ngx_http_ollama_models_openai_one(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_MODELS_H_INCLUDED_ */
