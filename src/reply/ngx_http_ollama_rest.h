
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REST_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * The final frame of the server's reply has come: unless it ends within "ms",
 * not counting the time in which the client is slow, it is ended in the
 * server's place, and ctx->rest_ended set before the filters see that end.
 * Sets ctx->held; does nothing if that is set.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_rest_wait(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_msec_t ms);

/*
 * The same, but as soon as nginx has left what it is doing, whether the final
 * frame has come or not.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_rest_end(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/* Puts the filter that waits for the end in front of those so far. */
ngx_int_t ngx_http_ollama_rest_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_REST_H_INCLUDED_ */
