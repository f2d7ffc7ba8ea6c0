
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UNLOAD_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UNLOAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"


/*
 * In the precontent phase, for a request whose body was scanned: prepares one
 * that unloads a model, so that it reaches each server that has it loaded.
 * NGX_OK: the request has a content handler now; NGX_DECLINED: it goes on to a
 * server; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_unload_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);

/* Whether a request whose body was scanned unloads a model. */
ngx_uint_t ngx_http_ollama_unload_is_wanted(ngx_http_ollama_ctx_t *ctx);

/* Installs the filter of the subrequests; after the configuration was read. */
ngx_int_t ngx_http_ollama_unload_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_UNLOAD_H_INCLUDED_ */
