
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FORM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FORM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Makes ctx->form, for the body of a request that ngx_http_ollama_body_init()
 * has prepared.  NGX_DECLINED: its Content-Type is not that of a form; else
 * NGX_OK or the status of a refusal.
 */
ngx_int_t ngx_http_ollama_form_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/* The parser of a form: sets ctx->scan->model, if the form has it. */
ngx_int_t ngx_http_ollama_form_feed(ngx_http_ollama_ctx_t *ctx, u_char *p,
    size_t size);
ngx_int_t ngx_http_ollama_form_end(ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_FORM_H_INCLUDED_ */
