
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TRUNCATED_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TRUNCATED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "reply/ngx_http_ollama_frame_form.h"


/*
 * Sets *reason to a constant text: how the reply was truncated, by the "rc" of
 * nginx's finalize_request.
 */
void ngx_http_ollama_truncated_reason(ngx_int_t rc, ngx_str_t *reason);

/*
 * Makes the error line that ends a truncated reply, and logs it.  In a turn of
 * a conversation it only ends an open line, and sets ctx->error.  All memory is
 * the request's.  NULL: no memory.
 */
ngx_chain_t *ngx_http_ollama_truncated_error(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *reason);

/*
 * Makes the final frame of a reply that was stopped, and sets ctx->final_buf.
 * In a turn of a conversation it only ends an open line.  NULL: no memory.
 */
ngx_chain_t *ngx_http_ollama_truncated_stopped(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_frame_form_e form);


#endif /* _NGX_HTTP_OLLAMA_TRUNCATED_H_INCLUDED_ */
