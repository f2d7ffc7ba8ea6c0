
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_NAMES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_NAMES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Replaces a name that a client has for a model by the one that servers are
 * asked for; "url" is the request's server_url, or len 0.  The new name lives
 * as long as the old one and the configuration.  Sets *aliased if it was an
 * alias.  NGX_OK; NGX_DECLINED: it is an alias, and no server is known to have
 * any of its models; or the status of an error.
 */
ngx_int_t ngx_http_ollama_names_find(ngx_http_request_t *r, ngx_str_t *model,
    ngx_str_t *url, ngx_uint_t *aliased);

/* Sets the text of the error that it is such an alias; returns the status. */
ngx_int_t ngx_http_ollama_names_refuse(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *model);

/*
 * Does so for the model that a chat asks for: ctx->scan->model, and in its
 * body.  A name of nothing but blanks is none.  Of an alias whose models are
 * nowhere only ctx->unresolved is set: they may be looked for before
 * ngx_http_ollama_names_apply_again().  NGX_OK, or the status of an error.
 */
ngx_int_t ngx_http_ollama_names_apply(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/* The same for such an alias, which is refused if they still are nowhere. */
ngx_int_t ngx_http_ollama_names_apply_again(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_NAMES_H_INCLUDED_ */
