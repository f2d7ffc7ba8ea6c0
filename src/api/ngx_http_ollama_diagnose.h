
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


ngx_int_t ngx_http_ollama_diagnose(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view);


#endif /* _NGX_HTTP_OLLAMA_DIAGNOSE_H_INCLUDED_ */
