
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UPLOAD_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UPLOAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * The init_module hook: from now on client_max_body_size is not applied to the
 * header of an upload.
 */
ngx_int_t ngx_http_ollama_upload_init_module(ngx_cycle_t *cycle);

/*
 * For a request that is no upload: applies client_max_body_size, which its path
 * before a rewrite may have escaped.  NGX_OK, or the status of a refusal.
 */
ngx_int_t ngx_http_ollama_upload_limit(ngx_http_request_t *r);

/*
 * In the precontent phase: the request's body, of any size, will be sent to the
 * server while it comes in.
 */
void ngx_http_ollama_upload_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_UPLOAD_H_INCLUDED_ */
