
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PREPARE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PREPARE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Reads the body of a request whose endpoint is in ctx, and does all that comes
 * before a server is chosen: the headers of the gateway, real names of models,
 * a probe for an unknown model, the claim of the task's id, the history of a
 * session, a place at a server.
 * Returns what the precontent phase is to return: NGX_DONE, and the phases run
 * again when all is done, or a status.
 */
ngx_int_t ngx_http_ollama_prepare(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/* Whether the request is for a generation, which can be stopped by its id. */
ngx_uint_t ngx_http_ollama_prepare_is_generation(ngx_http_ollama_ctx_t *ctx);

/*
 * Registers a generation, if it isn't yet: from now on it can be stopped by its
 * id.  NGX_OK, or the status of a refusal.
 */
ngx_int_t ngx_http_ollama_prepare_task(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_PREPARE_H_INCLUDED_ */
