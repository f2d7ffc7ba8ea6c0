
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_IMPORTED_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_IMPORTED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_import.h"
#include "core/ngx_http_ollama_ctx.h"
#include "store/ngx_http_ollama_store.h"


/*
 * Makes message i of what the body has, to be stored; strings lie in the pool
 * or in the body.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_session_imported(
    ngx_http_ollama_session_import_t *import, ngx_uint_t i,
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx, ngx_pool_t *pool,
    ngx_http_ollama_store_message_t *message);


#endif /* _NGX_HTTP_OLLAMA_SESSION_IMPORTED_H_INCLUDED_ */
