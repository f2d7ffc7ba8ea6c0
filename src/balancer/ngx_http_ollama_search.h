
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SEARCH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SEARCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "fleet/ngx_http_ollama_server.h"


/* Continues a request, whose state is "rc"; may end it. */

typedef void (*ngx_http_ollama_search_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


/*
 * Before a request is refused because no server is known to have its model, in
 * the precontent phase: has the servers probed.  NGX_AGAIN: "done" is called
 * with NGX_OK when they have been, or after a second, unless the request is
 * stopped before; NGX_DECLINED: they have been a moment ago; NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_http_ollama_search(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_search_pt done);


#endif /* _NGX_HTTP_OLLAMA_SEARCH_H_INCLUDED_ */
