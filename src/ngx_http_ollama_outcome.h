
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_OUTCOME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_OUTCOME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * How a request ended: "ok", "error" (failed before the first byte of a reply),
 * "interrupted" (cut after it), "cancelled" (stopped by its id),
 * "client_closed", or "rejected" (refused by the gateway itself).  For the end
 * of a request; "ctx" may be NULL.  The text is constant.
 */
const char *ngx_http_ollama_outcome(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_OUTCOME_H_INCLUDED_ */
