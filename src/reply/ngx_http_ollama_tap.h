
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TAP_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Adds X-Ollama-Server, X-Ollama-Task-Id and X-Ollama-Removed to the headers,
 * those that apply.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_tap_headers(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/* Sends what no server has sent, and the tap does not parse; a body filter. */
ngx_int_t ngx_http_ollama_tap_send(ngx_http_request_t *r, ngx_chain_t *out);

/* Installs the header filter and the body filter; always NGX_OK. */
ngx_int_t ngx_http_ollama_tap_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_TAP_H_INCLUDED_ */
