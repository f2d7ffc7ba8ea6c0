
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
 * Replaces the name of the model that a request asks for, ctx->scan->model and
 * in its body, by the one that servers are asked for.  A name of nothing but
 * blanks is none.  NGX_OK, or the status of an error.
 */
ngx_int_t ngx_http_ollama_names_apply(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_NAMES_H_INCLUDED_ */
