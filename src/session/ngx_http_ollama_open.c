
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Opening a session for a chat or a conversation: whose session it must be, how
 * the holder of its lock is named, and what a client is told that can't have
 * it.  Owns nothing; uses the store's types, but sends it no commands.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_open.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_owner.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_id.h"


ngx_int_t
ngx_http_ollama_open_init(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_store_t *store, void *data, ngx_str_t *owner)
{
    ngx_int_t                    rc;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    store->data = data;
    store->log = r->connection->log;
    store->ttl = (int64_t) olcf->session_ttl * 1000;

    rc = ngx_http_ollama_owner(r, owner);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_no_owner(r, ctx);
    }

    if (!ngx_http_ollama_id_is_valid(&ctx->scan->session_id)) {
        return ngx_http_ollama_open_not_found(r, ctx);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_open_holder(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_store_t *store)
{
    u_char     *p;
    ngx_str_t  *task;

    task = &ctx->scan->task_id;

    p = ngx_pnalloc(r->pool, task->len + 1 + NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->holder.data = p;
    ctx->holder.len = ngx_sprintf(p, "%V.%L", task, store->begun) - p;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_open_refuse(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_store_t *store)
{
    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_BUSY:
        return ngx_http_ollama_error_busy(r, ctx, &ctx->scan->session_id,
                                          &store->task);

    case NGX_HTTP_OLLAMA_STORE_NONE:
        return ngx_http_ollama_open_not_found(r, ctx);

    case NGX_HTTP_OLLAMA_STORE_LOST:
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "session \"%V\" was lost to another task "
                                     "while it was read; try again",
                                     &ctx->scan->session_id);

    default: /* NGX_HTTP_OLLAMA_STORE_UNAVAILABLE */
        return ngx_http_ollama_error_no_history(r, ctx);
    }
}


ngx_int_t
ngx_http_ollama_open_not_found(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                 "session \"%V\" not found",
                                 &ctx->scan->session_id);
}
