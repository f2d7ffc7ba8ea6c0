
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_HISTORY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_HISTORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Called from the event loop when the history is in the request's body, with
 * NGX_OK, or with the status of a refusal.  May end the request.
 */
typedef void (*ngx_http_ollama_history_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


/* Tells if the request, whose body has been scanned, is a chat in a session. */
ngx_uint_t ngx_http_ollama_history_is_wanted(ngx_http_ollama_ctx_t *ctx);

/*
 * Locks the session, reads its messages into the request's body and stores the
 * new ones.  NGX_AGAIN: "done" will be called, unless the request is stopped or
 * ends before; else the status of a refusal.
 */
ngx_int_t ngx_http_ollama_history_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_history_pt done);


#endif /* _NGX_HTTP_OLLAMA_HISTORY_H_INCLUDED_ */
