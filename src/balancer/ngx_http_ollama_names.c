
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The name of a model that servers are asked for, by the name that a client
 * uses.  A server sees the client's spelling, unless that has what older
 * versions of Ollama don't understand: blanks around it, the suffix ":local".
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_names.h"
#include "core/ngx_http_ollama_ctx.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "request/ngx_http_ollama_body_edit.h"
#include "request/ngx_http_ollama_scan.h"


ngx_int_t
ngx_http_ollama_names_apply(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_str_t                model;
    ngx_http_ollama_scan_t  *scan;

    scan = ctx->scan;

    model = scan->model;
    ngx_http_ollama_model_name_plain(&model);

    if (model.len == scan->model.len) {
        return NGX_OK;
    }

    if (model.len == 0) {
        scan->model = model;
        scan->model_at.end = 0;
        return NGX_OK;
    }

    return ngx_http_ollama_body_edit_model(r, ctx, &model) == NGX_OK
           ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}
