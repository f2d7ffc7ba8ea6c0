
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A report, which is what a probe of a server returned: its models (/api/tags),
 * those that are loaded (/api/ps) and its version, collected from its replies.
 * An invalid reply changes nothing.
 *
 * All strings are in the report's pool, or in a reply's body, which must live
 * as long as the pool.  It may use report_parse only, and knows no server.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_report.h"
#include "fleet/ngx_http_ollama_report_parse.h"


static ngx_int_t ngx_http_ollama_report_whole(
    ngx_http_ollama_report_t *report, ngx_http_ollama_report_parse_kind_e kind,
    ngx_str_t *body);
static void ngx_http_ollama_report_merge(ngx_http_ollama_report_t *report,
    ngx_array_t *running);
static void ngx_http_ollama_report_set_loaded(ngx_http_ollama_model_t *model,
    ngx_http_ollama_model_t *loaded);
static void ngx_http_ollama_report_sort(ngx_array_t *models);
static int ngx_libc_cdecl ngx_http_ollama_report_compare(const void *one,
    const void *two);
static ngx_int_t ngx_http_ollama_report_key_cmp(ngx_str_t *one,
    ngx_str_t *two);


ngx_int_t
ngx_http_ollama_report_init(ngx_http_ollama_report_t *report, ngx_pool_t *pool)
{
    report->pool = pool;

    return ngx_array_init(&report->models, pool, 16,
                          sizeof(ngx_http_ollama_model_t));
}


ngx_int_t
ngx_http_ollama_report_tags(ngx_http_ollama_report_t *report, ngx_str_t *body)
{
    return ngx_http_ollama_report_whole(report,
                                        NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                        body);
}


ngx_int_t
ngx_http_ollama_report_ps(ngx_http_ollama_report_t *report, ngx_str_t *body)
{
    return ngx_http_ollama_report_whole(report, NGX_HTTP_OLLAMA_REPORT_PARSE_PS,
                                        body);
}


ngx_int_t
ngx_http_ollama_report_version(ngx_http_ollama_report_t *report,
    ngx_str_t *body)
{
    return ngx_http_ollama_report_whole(report,
                                        NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION,
                                        body);
}


static ngx_int_t
ngx_http_ollama_report_whole(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body)
{
    if (ngx_http_ollama_report_begin(report, kind, body) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_ollama_report_read(report, body->len);
}


ngx_int_t
ngx_http_ollama_report_begin(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body)
{
    ngx_http_ollama_report_parse_t  *rp;

    rp = ngx_pcalloc(report->pool, sizeof(ngx_http_ollama_report_parse_t));
    if (rp == NULL) {
        ngx_str_set(&report->error, "no memory");
        return NGX_ERROR;
    }

    if (ngx_http_ollama_report_parse_init(rp, report->pool, kind, body)
        != NGX_OK)
    {
        report->error = rp->error;
        return NGX_ERROR;
    }

    report->parse = rp;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_report_read(ngx_http_ollama_report_t *report, size_t size)
{
    ngx_int_t                        rc;
    ngx_http_ollama_report_parse_t  *rp;

    rp = report->parse;

    rc = ngx_http_ollama_report_parse_read(rp, size);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    report->parse = NULL;

    if (rc != NGX_OK) {
        report->error = rp->error;
        return NGX_ERROR;
    }

    ngx_http_ollama_report_sort(&rp->models);

    switch (rp->kind) {

    case NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS:
        report->models = rp->models;
        report->dropped += rp->dropped;
        report->has_tags = 1;
        break;

    case NGX_HTTP_OLLAMA_REPORT_PARSE_PS:
        report->dropped += rp->dropped;
        report->has_ps = 1;
        ngx_http_ollama_report_merge(report, &rp->models);
        break;

    default: /* NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION */
        report->version = rp->version;
        break;
    }

    return NGX_OK;
}


ngx_http_ollama_model_t *
ngx_http_ollama_report_find(ngx_http_ollama_model_t *models, ngx_uint_t n,
    ngx_str_t *key)
{
    ngx_int_t   rc;
    ngx_uint_t  low, high, middle;

    low = 0;
    high = n;

    while (low < high) {

        middle = low + (high - low) / 2;

        rc = ngx_http_ollama_report_key_cmp(key, &models[middle].key);

        if (rc == 0) {
            return &models[middle];
        }

        if (rc < 0) {
            high = middle;

        } else {
            low = middle + 1;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_ollama_report_keep(ngx_http_ollama_report_t *report,
    ngx_http_ollama_model_t *models, ngx_uint_t n, ngx_uint_t dropped)
{
    ngx_uint_t                i;
    ngx_array_t               running;
    ngx_http_ollama_model_t  *model, none;

    if (report->has_tags) {

        /* a model that is not in the list any more isn't loaded either */

        for (i = 0; i < n && !report->has_ps; i++) {

            if (models[i].ps.len == 0) {
                continue;
            }

            model = ngx_http_ollama_report_find(report->models.elts,
                                                report->models.nelts,
                                                &models[i].key);
            if (model) {
                ngx_http_ollama_report_set_loaded(model, &models[i]);
            }
        }

        return NGX_OK;
    }

    running = report->models;

    if (ngx_array_init(&report->models, report->pool, n + 1,
                       sizeof(ngx_http_ollama_model_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&none, sizeof(ngx_http_ollama_model_t));

    for (i = 0; i < n; i++) {

        if (models[i].tag.len == 0) {
            continue;
        }

        model = ngx_array_push(&report->models);
        if (model == NULL) {
            return NGX_ERROR;
        }

        *model = models[i];
        ngx_http_ollama_report_set_loaded(model, &none);
    }

    report->dropped += dropped;

    ngx_http_ollama_report_merge(report, &running);

    return NGX_OK;
}


/* Merges the models of /api/ps, which are loaded, into those of /api/tags. */

static void
ngx_http_ollama_report_merge(ngx_http_ollama_report_t *report,
    ngx_array_t *running)
{
    ngx_uint_t                i, n;
    ngx_http_ollama_model_t  *loaded, *model;

    n = report->models.nelts;
    loaded = running->elts;

    for (i = 0; i < running->nelts; i++) {

        model = ngx_http_ollama_report_find(report->models.elts, n,
                                            &loaded[i].key);

        if (model) {
            ngx_http_ollama_report_set_loaded(model, &loaded[i]);

            if (model->details.len == 0) {
                model->details = loaded[i].details;
            }

            continue;
        }

        if (report->models.nelts == NGX_HTTP_OLLAMA_REPORT_MODELS) {
            report->dropped++;
            continue;
        }

        model = ngx_array_push(&report->models);
        if (model == NULL) {
            report->dropped += running->nelts - i;
            break;
        }

        *model = loaded[i];
    }

    if (report->models.nelts > n) {
        ngx_http_ollama_report_sort(&report->models);
    }
}


static void
ngx_http_ollama_report_set_loaded(ngx_http_ollama_model_t *model,
    ngx_http_ollama_model_t *loaded)
{
    model->ps = loaded->ps;
    model->expires_at = loaded->expires_at;
    model->size_vram = loaded->size_vram;
    model->context_length = loaded->context_length;
    model->loaded = loaded->loaded;
}


/* Sorts by key; of models with the same key only the last one is left. */

static void
ngx_http_ollama_report_sort(ngx_array_t *models)
{
    ngx_uint_t                i, n;
    ngx_http_ollama_model_t  *model;

    n = 0;
    model = models->elts;

    ngx_qsort(model, models->nelts, sizeof(ngx_http_ollama_model_t),
              ngx_http_ollama_report_compare);

    for (i = 0; i < models->nelts; i++) {

        if (n
            && ngx_http_ollama_report_key_cmp(&model[n - 1].key,
                                              &model[i].key)
               == 0)
        {
            n--;
        }

        model[n++] = model[i];
    }

    models->nelts = n;
}


/*
 * Of models with the same key that one is last which was modified later, or is
 * further back in the reply.
 */

static int ngx_libc_cdecl
ngx_http_ollama_report_compare(const void *one, const void *two)
{
    ngx_int_t                 rc;
    ngx_http_ollama_model_t  *first, *second;

    first = (ngx_http_ollama_model_t *) one;
    second = (ngx_http_ollama_model_t *) two;

    rc = ngx_http_ollama_report_key_cmp(&first->key, &second->key);
    if (rc) {
        return rc;
    }

    if (first->modified != second->modified) {
        return (first->modified < second->modified) ? -1 : 1;
    }

    /* both are of the same reply, and have their objects in its body */

    if (first->tag.data != second->tag.data) {
        return (first->tag.data < second->tag.data) ? -1 : 1;
    }

    if (first->ps.data != second->ps.data) {
        return (first->ps.data < second->ps.data) ? -1 : 1;
    }

    return 0;
}


static ngx_int_t
ngx_http_ollama_report_key_cmp(ngx_str_t *one, ngx_str_t *two)
{
    int  rc;

    rc = ngx_memcmp(one->data, two->data, ngx_min(one->len, two->len));

    if (rc == 0) {
        rc = (one->len > two->len) - (one->len < two->len);
    }

    return rc;
}
