
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_RESPONSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_RESPONSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "util/ngx_http_ollama_emit.h"


/*
 * Each sends a reply and returns what a content handler is to return.  Its
 * status is r->headers_out.status, 200 if that is 0; its ETag is "hash", 0: it
 * has none, and no copy may be kept.  The body is
 *
 *     a chain, whose last buffer is marked as such,
 *     a text, which is not copied, and must exist as long as the request, or
 *     what a walk emits, with an ETag made of that.
 */
ngx_int_t ngx_http_ollama_response(ngx_http_request_t *r, ngx_chain_t *out,
    uint64_t hash);
ngx_int_t ngx_http_ollama_response_text(ngx_http_request_t *r, ngx_str_t *text,
    uint64_t hash);
ngx_int_t ngx_http_ollama_response_walk(ngx_http_request_t *r,
    ngx_http_ollama_emit_pt walk, void *data);

/*
 * Adds a text, which is not copied, to a chain: sets *last to its link, and
 * returns where the next link goes.  NULL: no memory.
 */
ngx_chain_t **ngx_http_ollama_response_add(ngx_pool_t *pool,
    ngx_chain_t **last, ngx_str_t *text);


#endif /* _NGX_HTTP_OLLAMA_RESPONSE_H_INCLUDED_ */
