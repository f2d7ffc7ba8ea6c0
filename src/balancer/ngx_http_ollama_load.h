
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_LOAD_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_LOAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * A try begins, in the balancer's get handler.  If it makes its server load the
 * model, and the client leaves while others wait for that, the request goes on
 * until the model is loaded.  "ctx" may be NULL.
 */
void ngx_http_ollama_load_watch(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/*
 * Whether the client of such a request has left: the reply, whose header is
 * here now, is for nobody.
 */
ngx_uint_t ngx_http_ollama_load_is_orphan(ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_LOAD_H_INCLUDED_ */
