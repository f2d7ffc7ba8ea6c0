
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_BODY_EDIT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_BODY_EDIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * What the server is to see instead of the client's body; between the end of
 * its scan and ngx_http_ollama_body_finish(), which makes the new body.
 */

/* Inserts a chain, which must live as long as the request, at an offset. */
void ngx_http_ollama_body_edit_insert(ngx_http_ollama_ctx_t *ctx, off_t at,
    ngx_chain_t *chain, off_t size);

/*
 * Replaces the name of the model, if the body has it, and sets ctx->scan->model
 * to the new one, which is not copied.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_body_edit_model(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *model);


#endif /* _NGX_HTTP_OLLAMA_BODY_EDIT_H_INCLUDED_ */
