
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The name of a model that servers are asked for, by the name that a client
 * uses.  A server sees the client's spelling, unless that is an alias, or has
 * what older versions of Ollama don't understand: blanks around it, the suffix
 * ":local".
 *
 * An alias stands for the first of its models that is there.  The servers are
 * those of the upstream that ollama_api names, also where a variable chooses
 * another one later: it may depend on the model.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_names.h"
#include "balancer/ngx_http_ollama_alias.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "fleet/ngx_http_ollama_server_url.h"
#include "request/ngx_http_ollama_body_edit.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_http_ollama_alias_name_t *ngx_http_ollama_names_choose(
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_alias_t *alias,
    ngx_str_t *pin);


ngx_int_t
ngx_http_ollama_names_find(ngx_http_request_t *r, ngx_str_t *model,
    ngx_str_t *url, ngx_uint_t *aliased)
{
    u_char                        *p;
    ngx_str_t                      pin;
    ngx_uint_t                     tls;
    ngx_http_ollama_alias_t       *alias;
    ngx_http_ollama_wanted_t       wanted;
    ngx_http_ollama_loc_conf_t    *olcf;
    ngx_http_ollama_alias_name_t  *name;

    *aliased = 0;

    ngx_http_ollama_model_name_plain(model);

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (olcf->aliases == NULL || model->len == 0) {
        return NGX_OK;
    }

    if (ngx_http_ollama_model_state_want(r->pool, model, &wanted) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alias = ngx_http_ollama_alias_find(olcf->aliases, &wanted.key);

    if (alias == NULL) {
        return NGX_OK;
    }

    ngx_str_null(&pin);

    if (ngx_http_ollama_fleet_where(olcf->up, &pin, &wanted)
        & (NGX_HTTP_OLLAMA_WHERE_UP|NGX_HTTP_OLLAMA_WHERE_DOWN))
    {
        /* it is the name of a model, too */
        return NGX_OK;
    }

    name = &alias->models[0];

    if (url->len) {
        p = ngx_pnalloc(r->pool, url->len + sizeof(":443"));
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (ngx_http_ollama_server_url(p, url, &pin, &tls) != NGX_OK) {
            /* refused later: there is no such server */
            goto found;
        }
    }

    name = ngx_http_ollama_names_choose(olcf->up, alias, &pin);

    if (name == NULL) {

        if (olcf->fixed) {
            return NGX_DECLINED;
        }

        name = &alias->models[0];
    }

found:

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama names: \"%V\" is \"%V\"", model, &name->name);

    *model = name->name;
    *aliased = 1;

    return NGX_OK;
}


/* NULL: it is known that no server has any of the models. */

static ngx_http_ollama_alias_name_t *
ngx_http_ollama_names_choose(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_alias_t *alias, ngx_str_t *pin)
{
    ngx_uint_t                     i, where;
    ngx_http_ollama_alias_name_t  *name, *maybe, *down;

    maybe = NULL;
    down = NULL;

    for (i = 0; i < alias->nmodels; i++) {
        name = &alias->models[i];

        where = ngx_http_ollama_fleet_where(up, pin, &name->wanted);

        if (!(where & NGX_HTTP_OLLAMA_WHERE_SERVER)) {
            /* refused later: there is no such server */
            return name;
        }

        if ((where & NGX_HTTP_OLLAMA_WHERE_UP)
            || (name->wanted.cloud
                && (where & NGX_HTTP_OLLAMA_WHERE_MAYBE_UP)))
        {
            return name;
        }

        if (maybe == NULL && (where & NGX_HTTP_OLLAMA_WHERE_MAYBE_UP)) {
            maybe = name;
        }

        if (down == NULL && (where & NGX_HTTP_OLLAMA_WHERE_MAYBE_DOWN)) {
            down = name;
        }
    }

    return maybe ? maybe : down;
}


ngx_int_t
ngx_http_ollama_names_refuse(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_str_t *model)
{
    size_t                       len;
    u_char                      *p;
    ngx_str_t                    list, *name;
    ngx_uint_t                   i;
    ngx_http_ollama_alias_t     *alias;
    ngx_http_ollama_wanted_t     wanted;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (ngx_http_ollama_model_state_want(r->pool, model, &wanted) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alias = ngx_http_ollama_alias_find(olcf->aliases, &wanted.key);

    len = 0;

    for (i = 0; i < alias->nmodels; i++) {
        len += alias->models[i].name.len + sizeof("'', ") - 1;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    list.data = p;

    for (i = 0; i < alias->nmodels; i++) {
        name = &alias->models[i].name;
        p = ngx_sprintf(p, i ? ", '%V'" : "'%V'", name);
    }

    list.len = p - list.data;

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                 "model '%V' not found: it is an alias of %V",
                                 &alias->alias.name, &list);
}


ngx_int_t
ngx_http_ollama_names_apply(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                rc;
    ngx_str_t                model;
    ngx_uint_t               aliased;
    ngx_http_ollama_scan_t  *scan;

    scan = ctx->scan;
    model = scan->model;

    rc = ngx_http_ollama_names_find(r, &model, &scan->server_url, &aliased);

    if (rc == NGX_DECLINED) {
        ctx->unresolved = 1;
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->aliased = aliased;
    ctx->unresolved = 0;

    if (!aliased && model.len == scan->model.len) {
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


ngx_int_t
ngx_http_ollama_names_apply_again(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->unresolved) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_names_apply(r, ctx);

    if (rc == NGX_OK && ctx->unresolved) {
        return ngx_http_ollama_names_refuse(r, ctx, &ctx->scan->model);
    }

    return rc;
}
