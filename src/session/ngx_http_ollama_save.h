
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SAVE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SAVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * From now on the request has the lock of its session, and what is said in
 * answer to it is to be stored as message n, for ttl ms.
 */
ngx_int_t ngx_http_ollama_save_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, int64_t ttl);
void ngx_http_ollama_save_set_number(ngx_http_ollama_ctx_t *ctx, int64_t n);

ngx_int_t ngx_http_ollama_save_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_SAVE_H_INCLUDED_ */
