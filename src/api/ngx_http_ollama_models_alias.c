
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Aliases in lists of models.  One is listed if a request for it would be
 * served: its entry is that of the model for which it stands, with its own
 * name.  Aliases belong to a location and lists are cached for an upstream, so
 * these entries are made for each request.
 *
 * It may use the cache, and what an alias is; has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_models_alias.h"
#include "api/ngx_http_ollama_models_json.h"
#include "balancer/ngx_http_ollama_alias.h"
#include "util/ngx_http_ollama_emit.h"


typedef struct {
    ngx_str_t                             name;   /* with a tag */
    ngx_http_ollama_model_t              *model;  /* NULL: a cloud model that
                                                     no server lists */
} ngx_http_ollama_models_alias_entry_t;


typedef struct {
    ngx_array_t                           entries;
    ngx_http_ollama_models_cache_list_e   list;
} ngx_http_ollama_models_alias_entries_t;


static ngx_int_t ngx_http_ollama_models_alias_find(
    ngx_http_ollama_models_alias_t *a, ngx_http_ollama_alias_t *alias,
    ngx_http_ollama_model_t **model);
static ngx_uint_t ngx_http_ollama_models_alias_newest(
    ngx_http_ollama_models_alias_t *a, ngx_str_t *key, ngx_uint_t all,
    ngx_http_ollama_model_t **model);
static ngx_int_t ngx_http_ollama_models_alias_tagged(ngx_pool_t *pool,
    ngx_str_t *name, ngx_str_t *tagged);
static void ngx_http_ollama_models_alias_walk(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_models_alias_tag(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_models_alias_entry_t *entry);
static u_char *ngx_http_ollama_models_alias_skip(u_char *p, u_char *last);
static u_char *ngx_http_ollama_models_alias_string(u_char *p, u_char *last);
static ngx_uint_t ngx_http_ollama_models_alias_is_name(u_char *p, u_char *end);


ngx_int_t
ngx_http_ollama_models_alias_list(ngx_http_ollama_models_alias_t *a,
    ngx_http_ollama_models_cache_list_e list, ngx_str_t *text)
{
    ngx_int_t                                rc;
    ngx_uint_t                               i;
    ngx_http_ollama_alias_t                 *alias;
    ngx_http_ollama_model_t                 *model;
    ngx_http_ollama_models_alias_entry_t    *entry;
    ngx_http_ollama_models_alias_entries_t   entries;

    ngx_str_null(text);

    if (a->aliases == NULL) {
        return NGX_OK;
    }

    entries.list = list;

    if (ngx_array_init(&entries.entries, a->pool, a->aliases->nelts,
                       sizeof(ngx_http_ollama_models_alias_entry_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    alias = a->aliases->elts;

    for (i = 0; i < a->aliases->nelts; i++) {

        rc = ngx_http_ollama_models_alias_find(a, &alias[i], &model);

        if (rc == NGX_DECLINED) {
            continue;
        }

        entry = ngx_array_push(&entries.entries);
        if (entry == NULL) {
            return NGX_ERROR;
        }

        entry->model = model;

        if (ngx_http_ollama_models_alias_tagged(a->pool, &alias[i].alias.name,
                                                &entry->name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_ollama_emit_make(a->pool,
                                     ngx_http_ollama_models_alias_walk,
                                     &entries, text);
}


ngx_int_t
ngx_http_ollama_models_alias_one(ngx_http_ollama_models_alias_t *a,
    ngx_str_t *key, int64_t *modified)
{
    ngx_http_ollama_alias_t  *alias;
    ngx_http_ollama_model_t  *model;

    alias = ngx_http_ollama_alias_find(a->aliases, key);

    if (alias == NULL
        || ngx_http_ollama_models_alias_find(a, alias, &model) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    *modified = model ? model->modified : 0;

    return NGX_OK;
}


/*
 * Finds the model for which an alias stands now; NULL: it is a cloud model.
 * NGX_DECLINED: for none, or the alias is the name of a model, too.
 */

static ngx_int_t
ngx_http_ollama_models_alias_find(ngx_http_ollama_models_alias_t *a,
    ngx_http_ollama_alias_t *alias, ngx_http_ollama_model_t **model)
{
    ngx_uint_t  i;

    if (ngx_http_ollama_models_alias_newest(a, &alias->alias.wanted.key, 1,
                                            model))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < alias->nmodels; i++) {
        if (ngx_http_ollama_models_alias_newest(a,
                                        &alias->models[i].wanted.key, 0, model)
            || alias->models[i].wanted.cloud)
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* The newest one of a model, among servers that are up, or all. */

static ngx_uint_t
ngx_http_ollama_models_alias_newest(ngx_http_ollama_models_alias_t *a,
    ngx_str_t *key, ngx_uint_t all, ngx_http_ollama_model_t **model)
{
    ngx_uint_t                   i;
    ngx_http_ollama_view_t      *view;
    ngx_http_ollama_model_t     *one;
    ngx_http_ollama_snapshot_t  *snapshot;

    *model = NULL;
    view = a->views->elts;

    for (i = 0; i < a->views->nelts; i++) {

        if (view[i].status != NGX_HTTP_OLLAMA_UP && !all) {
            continue;
        }

        snapshot = ngx_http_ollama_models_cache_snapshot(a->cache, i);
        if (snapshot == NULL) {
            continue;
        }

        one = ngx_http_ollama_report_find(snapshot->models, snapshot->nmodels,
                                          key);

        if (one && one->tag.len
            && (*model == NULL || one->modified > (*model)->modified))
        {
            *model = one;
        }
    }

    return *model != NULL;
}


/* Adds ":latest" to a name without a tag, as Ollama's lists have it. */

static ngx_int_t
ngx_http_ollama_models_alias_tagged(ngx_pool_t *pool, ngx_str_t *name,
    ngx_str_t *tagged)
{
    u_char  *p;

    *tagged = *name;

    for (p = name->data + name->len; p > name->data && p[-1] != '/'; p--) {
        if (p[-1] == ':') {
            return NGX_OK;
        }
    }

    tagged->data = ngx_pnalloc(pool, name->len + sizeof(":latest") - 1);
    if (tagged->data == NULL) {
        return NGX_ERROR;
    }

    tagged->len = ngx_sprintf(tagged->data, "%V:latest", name) - tagged->data;

    return NGX_OK;
}


static void
ngx_http_ollama_models_alias_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_models_alias_entries_t *entries = data;

    ngx_uint_t                             i;
    ngx_http_ollama_openai_t               one;
    ngx_http_ollama_models_alias_entry_t  *entry;

    entry = entries->entries.elts;

    for (i = 0; i < entries->entries.nelts; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        if (entries->list == NGX_HTTP_OLLAMA_MODELS_CACHE_TAGS) {
            ngx_http_ollama_models_alias_tag(t, &entry[i]);
            continue;
        }

        one.id = entry[i].name;
        one.modified = entry[i].model ? entry[i].model->modified : 0;

        ngx_http_ollama_models_json_openai_one(t, &one);
    }
}


/* The members of the model's entry but for its names; it is valid JSON. */

static void
ngx_http_ollama_models_alias_tag(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_models_alias_entry_t *entry)
{
    u_char     *p, *last;
    ngx_str_t   member;

    ngx_http_ollama_emit_add(t, "{\"name\":");
    ngx_http_ollama_emit_string(t, &entry->name);
    ngx_http_ollama_emit_add(t, ",\"model\":");
    ngx_http_ollama_emit_string(t, &entry->name);

    if (entry->model == NULL) {
        ngx_http_ollama_emit_add(t, ",\"modified_at\":\"1970-01-01T00:00:00Z\""
                                    ",\"size\":0,\"digest\":\"\""
                                    ",\"details\":{}}");
        return;
    }

    p = entry->model->tag.data + 1;
    last = entry->model->tag.data + entry->model->tag.len - 1;

    while (p < last) {

        while (p < last && *p != '"') {
            p++;
        }

        member.data = p;
        p = ngx_http_ollama_models_alias_string(p, last);

        if (p == last) {
            break;
        }

        if (ngx_http_ollama_models_alias_is_name(member.data, p)) {
            p = ngx_http_ollama_models_alias_skip(p, last);
            continue;
        }

        p = ngx_http_ollama_models_alias_skip(p, last);
        member.len = p - member.data;

        ngx_http_ollama_emit_add(t, ",");
        ngx_http_ollama_emit_raw(t, &member);
    }

    ngx_http_ollama_emit_add(t, "}");
}


/* Returns the end of a member's value, from the end of its key on. */

static u_char *
ngx_http_ollama_models_alias_skip(u_char *p, u_char *last)
{
    ngx_uint_t  depth;

    depth = 0;

    while (p < last) {

        switch (*p) {

        case '"':
            p = ngx_http_ollama_models_alias_string(p, last);
            continue;

        case '{':
        case '[':
            depth++;
            break;

        case '}':
        case ']':
            depth--;
            break;

        case ',':
            if (depth == 0) {
                return p;
            }

            break;

        default:
            break;
        }

        p++;
    }

    return last;
}


/* Returns the first byte after a string, or "last". */

static u_char *
ngx_http_ollama_models_alias_string(u_char *p, u_char *last)
{
    if (p == last) {
        return last;
    }

    for (p++; p < last && *p != '"'; p++) {
        if (*p == '\\') {
            p++;
        }
    }

    return (p < last) ? p + 1 : last;
}


static ngx_uint_t
ngx_http_ollama_models_alias_is_name(u_char *p, u_char *end)
{
    return (end - p == 6 && ngx_strncasecmp(p, (u_char *) "\"name\"", 6) == 0)
           || (end - p == 7
               && ngx_strncasecmp(p, (u_char *) "\"model\"", 7) == 0);
}
