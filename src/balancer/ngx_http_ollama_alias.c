
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The directive ollama_alias: other names for models.  Which model such a name
 * stands for is decided for each request, in names.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_alias.h"
#include "core/ngx_http_ollama_conf.h"
#include "fleet/ngx_http_ollama_model.h"
#include "fleet/ngx_http_ollama_model_name.h"


static char *ngx_http_ollama_alias_name(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_ollama_alias_name_t *name);
static char *ngx_http_ollama_alias_check(ngx_conf_t *cf, ngx_array_t *aliases);
static ngx_uint_t ngx_http_ollama_alias_has(ngx_http_ollama_alias_t *alias,
    ngx_str_t *key);
static ngx_uint_t ngx_http_ollama_alias_equal(ngx_str_t *a, ngx_str_t *b);


/* ollama_alias name model ... */

char *
ngx_http_ollama_alias_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_loc_conf_t *olcf = conf;

    ngx_str_t                *value;
    ngx_uint_t                i;
    ngx_http_ollama_alias_t  *alias;

    if (olcf->aliases == NGX_CONF_UNSET_PTR) {
        olcf->aliases = ngx_array_create(cf->pool, 4,
                                         sizeof(ngx_http_ollama_alias_t));
        if (olcf->aliases == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    alias = ngx_array_push(olcf->aliases);
    if (alias == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    alias->nmodels = cf->args->nelts - 2;
    alias->models = ngx_pcalloc(cf->pool, alias->nmodels
                                       * sizeof(ngx_http_ollama_alias_name_t));
    if (alias->models == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&alias->alias, sizeof(ngx_http_ollama_alias_name_t));

    if (ngx_http_ollama_alias_name(cf, &value[1], &alias->alias)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < alias->nmodels; i++) {
        if (ngx_http_ollama_alias_name(cf, &value[i + 2], &alias->models[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return ngx_http_ollama_alias_check(cf, olcf->aliases);
}


static char *
ngx_http_ollama_alias_name(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_ollama_alias_name_t *name)
{
    size_t     i;
    ngx_str_t  namespace;

    if (ngx_strlchr(value->data, value->data + value->len, '$')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "parameter \"%V\" has a variable, which is not "
                           "evaluated here, expected the name of a model as "
                           "\"llama3.2\" or \"qwen3:8b\"", value);
        return NGX_CONF_ERROR;
    }

    if (value->len > NGX_HTTP_OLLAMA_REPORT_NAME) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "parameter \"%V\" is longer than %d bytes, and no "
                           "server's model can be, expected the name of a "
                           "model as \"llama3.2\" or \"qwen3:8b\"", value,
                           NGX_HTTP_OLLAMA_REPORT_NAME);
        return NGX_CONF_ERROR;
    }

    name->name = *value;
    ngx_http_ollama_model_name_plain(&name->name);

    for (i = 0; i < name->name.len; i++) {
        if (name->name.data[i] <= ' ' || name->name.data[i] >= 0x7f) {
            break;
        }
    }

    if (i < name->name.len
        || ngx_http_ollama_model_name_namespace(&name->name, &namespace)
           != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected the name of a "
                           "model as \"llama3.2\" or \"qwen3:8b\"", value);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_ollama_model_state_want(cf->pool, &name->name, &name->wanted)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* The last alias beside those before it. */

static char *
ngx_http_ollama_alias_check(ngx_conf_t *cf, ngx_array_t *aliases)
{
    ngx_str_t                *of;
    ngx_uint_t                i;
    ngx_http_ollama_alias_t  *alias, *last;

    alias = aliases->elts;
    last = alias + aliases->nelts - 1;

    for (i = 0; i < aliases->nelts; i++) {

        if (&alias[i] != last
            && ngx_http_ollama_alias_equal(&alias[i].alias.wanted.key,
                                           &last->alias.wanted.key))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate alias \"%V\"", &last->alias.name);
            return NGX_CONF_ERROR;
        }

        of = NULL;

        if (ngx_http_ollama_alias_has(&alias[i], &last->alias.wanted.key)) {
            of = &alias[i].alias.name;

        } else if (ngx_http_ollama_alias_has(last,
                                             &alias[i].alias.wanted.key))
        {
            of = &last->alias.name;
        }

        if (of) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is an alias of an alias: name the "
                               "models themselves", of);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_ollama_alias_has(ngx_http_ollama_alias_t *alias, ngx_str_t *key)
{
    ngx_uint_t  i;

    for (i = 0; i < alias->nmodels; i++) {
        if (ngx_http_ollama_alias_equal(&alias->models[i].wanted.key, key)) {
            return 1;
        }
    }

    return 0;
}


ngx_http_ollama_alias_t *
ngx_http_ollama_alias_find(ngx_array_t *aliases, ngx_str_t *key)
{
    ngx_uint_t                i;
    ngx_http_ollama_alias_t  *alias;

    if (aliases == NULL) {
        return NULL;
    }

    alias = aliases->elts;

    for (i = 0; i < aliases->nelts; i++) {
        if (ngx_http_ollama_alias_equal(&alias[i].alias.wanted.key, key)) {
            return &alias[i];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_ollama_alias_equal(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}
