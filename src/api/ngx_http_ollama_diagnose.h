
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_DIAGNOSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_DIAGNOSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "fleet/ngx_http_ollama_fleet.h"


/*
 * Probes the server of the view now, and answers with the result of each step.
 * For a content handler, whose body was read or discarded: the return value is
 * what that returns.  503: too many are running in this worker.
 */
ngx_int_t ngx_http_ollama_diagnose_server(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view);


#endif /* _NGX_HTTP_OLLAMA_DIAGNOSE_H_INCLUDED_ */
