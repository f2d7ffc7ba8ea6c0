
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a server says of itself: its models (/api/tags), those it has loaded
 * (/api/ps) and its version, put together from its replies.  A reply that is
 * none changes nothing.
 *
 * All strings are in the report's pool, or in a reply's body, which must live
 * as long as the pool.
 *
 * Called by look, whose result fleet keeps a copy of; calls reply only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_report.h"
#include "fleet/ngx_http_ollama_report_parse.h"


static ngx_int_t ngx_http_ollama_report_whole(
    ngx_http_ollama_report_t *report, ngx_http_ollama_report_parse_kind_e kind,
    ngx_str_t *body);
static void ngx_http_ollama_report_merge(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_t *reply);
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


/*
 * Reads the reply to /api/tags, whose models take the place of any that the
 * report has.  NGX_ERROR: it is no such reply, report->error says why and the
 * rest of the report is as it was.
 */

ngx_int_t
ngx_http_ollama_report_tags(ngx_http_ollama_report_t *report, ngx_str_t *body)
{
    return ngx_http_ollama_report_whole(report,
                                        NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                        body);
}


/*
 * Reads the reply to /api/ps, after that to /api/tags.  What is loaded is
 * noted in the models; one that isn't among them, as it was removed or has
 * come since, becomes one of them.  NGX_ERROR: as above.
 */

ngx_int_t
ngx_http_ollama_report_ps(ngx_http_ollama_report_t *report, ngx_str_t *body)
{
    return ngx_http_ollama_report_whole(report, NGX_HTTP_OLLAMA_REPORT_PARSE_PS,
                                        body);
}


/* Reads the reply to /api/version.  NGX_ERROR: as above. */

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


/*
 * Begins to read one of the three replies, which ngx_http_ollama_report_read()
 * goes on with.  NGX_ERROR: as above.
 */

ngx_int_t
ngx_http_ollama_report_begin(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body)
{
    ngx_http_ollama_report_parse_t  *reply;

    reply = ngx_pcalloc(report->pool, sizeof(ngx_http_ollama_report_parse_t));
    if (reply == NULL) {
        ngx_str_set(&report->error, "no memory");
        return NGX_ERROR;
    }

    if (ngx_http_ollama_report_parse_init(reply, report->pool, kind, body)
        != NGX_OK)
    {
        report->error = reply->error;
        return NGX_ERROR;
    }

    report->reply = reply;

    return NGX_OK;
}


/*
 * Reads the next "size" bytes.  NGX_AGAIN: there are more; NGX_OK: that was
 * all and the report has it; NGX_ERROR: as above.
 */

ngx_int_t
ngx_http_ollama_report_read(ngx_http_ollama_report_t *report, size_t size)
{
    ngx_int_t                        rc;
    ngx_http_ollama_report_parse_t  *reply;

    reply = report->reply;

    rc = ngx_http_ollama_report_parse_read(reply, size);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    report->reply = NULL;

    if (rc != NGX_OK) {
        report->error = reply->error;
        return NGX_ERROR;
    }

    ngx_http_ollama_report_sort(&reply->models);

    switch (reply->kind) {

    case NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS:
        report->models = reply->models;
        report->dropped += reply->dropped;
        break;

    case NGX_HTTP_OLLAMA_REPORT_PARSE_PS:
        ngx_http_ollama_report_merge(report, reply);
        break;

    default: /* NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION */
        report->version = reply->version;
        break;
    }

    return NGX_OK;
}


/* Finds a model by its key among those of a report, or of a copy of it. */

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


/* Adds what is loaded to the models. */

static void
ngx_http_ollama_report_merge(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_t *reply)
{
    ngx_uint_t                i, n;
    ngx_http_ollama_model_t  *loaded, *model;

    n = report->models.nelts;
    loaded = reply->models.elts;

    for (i = 0; i < reply->models.nelts; i++) {

        model = ngx_http_ollama_report_find(report->models.elts, n,
                                            &loaded[i].key);

        if (model) {
            model->ps = loaded[i].ps;
            model->expires_at = loaded[i].expires_at;
            model->size_vram = loaded[i].size_vram;
            model->context_length = loaded[i].context_length;

            if (model->details.len == 0) {
                model->details = loaded[i].details;
            }

            continue;
        }

        if (report->models.nelts == NGX_HTTP_OLLAMA_REPORT_MODELS) {
            reply->dropped++;
            continue;
        }

        model = ngx_array_push(&report->models);
        if (model == NULL) {
            reply->dropped += reply->models.nelts - i;
            break;
        }

        *model = loaded[i];
    }

    if (report->models.nelts > n) {
        ngx_http_ollama_report_sort(&report->models);
    }

    report->dropped += reply->dropped;
}


/* By key; of those with the same key only the last one is left. */

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


/* Models with the same key: the one modified later, or told later, is last. */

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
