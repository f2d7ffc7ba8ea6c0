
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Servers and models as JSON: the state of a server, its models, and the merged
 * models of several servers.  Pure functions of views and snapshots.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "api/ngx_http_ollama_models_json.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "util/ngx_http_ollama_parse_time.h"


static ngx_int_t ngx_http_ollama_models_json_cmp_versions(ngx_str_t *one,
    ngx_str_t *two);
static ngx_uint_t ngx_http_ollama_models_json_digits(u_char **p, u_char *last);
static void ngx_http_ollama_models_json_or_null(ngx_http_ollama_emit_t *t,
    ngx_str_t *s);
static void ngx_http_ollama_models_json_pick(ngx_array_t *picks,
    uint32_t *table, ngx_uint_t mask, ngx_http_ollama_model_t *model,
    int64_t rank);
static int ngx_libc_cdecl ngx_http_ollama_models_json_cmp(const void *one,
    const void *two);
static void ngx_http_ollama_models_json_model(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_model_t *model);
static void ngx_http_ollama_models_json_raw(ngx_http_ollama_emit_t *t,
    ngx_array_t *picks, size_t field);


static const char  *ngx_http_ollama_models_json_statuses[] = {
    "checking",     /* NGX_HTTP_OLLAMA_CHECKING */
    "up",           /* NGX_HTTP_OLLAMA_UP */
    "down"          /* NGX_HTTP_OLLAMA_DOWN */
};


ngx_str_t *
ngx_http_ollama_models_json_lowest(ngx_array_t *views)
{
    ngx_str_t               *lowest;
    ngx_uint_t               i;
    ngx_http_ollama_view_t  *view;

    lowest = NULL;
    view = views->elts;

    for (i = 0; i < views->nelts; i++) {

        if (view[i].status != NGX_HTTP_OLLAMA_UP
            || view[i].version.len == 0)
        {
            continue;
        }

        if (lowest == NULL
            || ngx_http_ollama_models_json_cmp_versions(&view[i].version,
                                                        lowest)
               < 0)
        {
            lowest = &view[i].version;
        }
    }

    return lowest;
}


/* "0.9.10-rc1" is lower than "0.9.10", and that is lower than "0.17". */

static ngx_int_t
ngx_http_ollama_models_json_cmp_versions(ngx_str_t *one, ngx_str_t *two)
{
    u_char      *p, *q, *plast, *qlast;
    ngx_uint_t   n, m, pre1, pre2;

    p = one->data;
    plast = p + one->len;

    q = two->data;
    qlast = q + two->len;

    for ( ;; ) {

        n = ngx_http_ollama_models_json_digits(&p, plast);
        m = ngx_http_ollama_models_json_digits(&q, qlast);

        if (n != m) {
            return n < m ? -1 : 1;
        }

        n = (p < plast && *p == '.');
        m = (q < qlast && *q == '.');

        if (!n && !m) {
            break;
        }

        p += n;
        q += m;
    }

    pre1 = (p < plast && *p == '-');
    pre2 = (q < qlast && *q == '-');

    if (pre1 != pre2) {
        return pre1 ? -1 : 1;
    }

    return ngx_memn2cmp(p, q, plast - p, qlast - q);
}


/* No digits are 0; digits after the ninth are ignored. */

static ngx_uint_t
ngx_http_ollama_models_json_digits(u_char **p, u_char *last)
{
    ngx_uint_t  n;

    for (n = 0; *p < last && **p >= '0' && **p <= '9'; (*p)++) {
        if (n < 100000000) {
            n = n * 10 + (**p - '0');
        }
    }

    return n;
}


void
ngx_http_ollama_models_json_url(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_view_t *view)
{
    ngx_http_ollama_emit_add(t, up->ssl ? "\"https://" : "\"http://");
    ngx_http_ollama_emit_escape(t, &view->name);
    ngx_http_ollama_emit_add(t, "\"");
}


void
ngx_http_ollama_models_json_status(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_view_t *view)
{
    ngx_http_ollama_emit_add(t, ",\"status\":\"");
    ngx_http_ollama_emit_add(t,
                            ngx_http_ollama_models_json_statuses[view->status]);

    ngx_http_ollama_emit_add(t, "\",\"checked_at\":");
    ngx_http_ollama_emit_time(t, view->checked);
}


void
ngx_http_ollama_models_json_view(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_view_t *view)
{
    if (view->several) {
        ngx_http_ollama_emit_add(t, ",\"address\":");
        ngx_http_ollama_emit_string(t, &view->address);
    }

    ngx_http_ollama_models_json_status(t, view);

    ngx_http_ollama_emit_add(t, ",\"latency_ms\":");
    ngx_http_ollama_emit_ms(t, view->latency);

    ngx_http_ollama_emit_add(t, ",\"version\":");
    ngx_http_ollama_models_json_or_null(t, &view->version);

    ngx_http_ollama_emit_add(t, ",\"error\":");
    ngx_http_ollama_models_json_or_null(t, &view->error);

    ngx_http_ollama_emit_add(t, ",\"in_flight\":");
    ngx_http_ollama_emit_number(t, view->in_flight);

    ngx_http_ollama_emit_add(t, ",\"max_conns\":");
    ngx_http_ollama_emit_number(t, view->max_conns);
}


static void
ngx_http_ollama_models_json_or_null(ngx_http_ollama_emit_t *t, ngx_str_t *s)
{
    if (s->len) {
        ngx_http_ollama_emit_string(t, s);

    } else {
        ngx_http_ollama_emit_add(t, "null");
    }
}


uint64_t
ngx_http_ollama_models_json_hash(ngx_http_ollama_snapshot_t *snapshot,
    ngx_uint_t loaded)
{
    uint64_t                  hash;
    ngx_str_t                *json;
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *model;

    hash = 1;
    model = snapshot->models;

    for (i = 0; i < snapshot->nmodels; i++, model++) {

        json = loaded ? &model->ps : &model->tag;

        if (json->len) {
            hash = ngx_http_ollama_emit_mix(hash,
                                            ngx_http_ollama_emit_hash(json));
        }
    }

    return hash ? hash : 1;
}


ngx_int_t
ngx_http_ollama_models_json_merge(ngx_pool_t *pool,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t n, ngx_uint_t loaded,
    ngx_array_t *picks)
{
    int64_t                   rank;
    uint32_t                 *table;
    ngx_str_t                *json;
    ngx_uint_t                i, k, total, size;
    ngx_http_ollama_model_t  *model;

    total = 0;

    for (i = 0; i < n; i++) {
        total += snapshots[i]->nmodels;
    }

    if (ngx_array_init(picks, pool, ngx_max(total, 1),
                       sizeof(ngx_http_ollama_pick_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (size = 16; size < total * 2; size *= 2) { /* void */ }

    table = ngx_pcalloc(pool, size * sizeof(uint32_t));
    if (table == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        model = snapshots[i]->models;

        for (k = 0; k < snapshots[i]->nmodels; k++, model++) {

            json = loaded ? &model->ps : &model->tag;

            if (json->len == 0) {
                continue;
            }

            rank = loaded ? ngx_http_ollama_parse_time(&model->expires_at)
                          : model->modified;

            ngx_http_ollama_models_json_pick(picks, table, size - 1, model,
                                             rank);
        }
    }

    ngx_qsort(picks->elts, picks->nelts, sizeof(ngx_http_ollama_pick_t),
              ngx_http_ollama_models_json_cmp);

    return NGX_OK;
}


/*
 * The table is a hash table with open addressing that finds the pick of a key.
 * It has numbers of picks, counted from 1; 0 is a free slot.
 */

static void
ngx_http_ollama_models_json_pick(ngx_array_t *picks, uint32_t *table,
    ngx_uint_t mask, ngx_http_ollama_model_t *model, int64_t rank)
{
    ngx_str_t               *key;
    ngx_uint_t               i;
    ngx_http_ollama_pick_t  *pick, *first;

    first = picks->elts;
    i = ngx_murmur_hash2(model->key.data, model->key.len) & mask;

    while (table[i]) {
        pick = &first[table[i] - 1];
        key = &pick->model->key;

        if (key->len == model->key.len
            && ngx_memcmp(key->data, model->key.data, key->len) == 0)
        {
            if (rank > pick->rank) {
                pick->model = model;
                pick->rank = rank;
            }

            return;
        }

        i = (i + 1) & mask;
    }

    /* cannot fail: the array has room for all */

    pick = ngx_array_push(picks);
    pick->model = model;
    pick->rank = rank;

    table[i] = picks->nelts;
}


static int ngx_libc_cdecl
ngx_http_ollama_models_json_cmp(const void *one, const void *two)
{
    const ngx_http_ollama_pick_t  *first, *second;

    first = one;
    second = two;

    if (first->rank != second->rank) {
        return first->rank < second->rank ? 1 : -1;
    }

    return (int) ngx_memn2cmp(first->model->key.data, second->model->key.data,
                              first->model->key.len, second->model->key.len);
}


void
ngx_http_ollama_models_json_models(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_snapshot_t *snapshot = data;

    ngx_uint_t                i, n;
    ngx_http_ollama_model_t  *model;

    ngx_http_ollama_emit_add(t, "[");

    n = 0;
    model = snapshot->models;

    for (i = 0; i < snapshot->nmodels; i++) {

        if (model[i].tag.len == 0 && model[i].ps.len == 0) {
            continue;
        }

        if (n++) {
            ngx_http_ollama_emit_add(t, ",");
        }

        ngx_http_ollama_models_json_model(t, &model[i]);
    }

    ngx_http_ollama_emit_add(t, "]");
}


static void
ngx_http_ollama_models_json_model(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_model_t *model)
{
    ngx_http_ollama_emit_add(t, "{\"name\":");
    ngx_http_ollama_emit_string(t, &model->name);

    ngx_http_ollama_emit_add(t, ",\"size\":");
    ngx_http_ollama_emit_number(t, model->size);

    if (model->ps.len) {
        ngx_http_ollama_emit_add(t, ",\"loaded\":true,\"expires_at\":");
        ngx_http_ollama_emit_time(t,
                        ngx_http_ollama_parse_time(&model->expires_at) / 1000);

        ngx_http_ollama_emit_add(t, ",\"size_vram\":");
        ngx_http_ollama_emit_number(t, model->size_vram);

    } else {
        ngx_http_ollama_emit_add(t, ",\"loaded\":false,\"expires_at\":null"
                                    ",\"size_vram\":0");
    }

    ngx_http_ollama_emit_add(t, ",\"context_length\":");

    if (model->ps.len && model->context_length) {
        ngx_http_ollama_emit_number(t, model->context_length);

    } else {
        ngx_http_ollama_emit_add(t, "null");
    }

    ngx_http_ollama_emit_add(t, ",\"details\":");

    if (model->details.len) {
        ngx_http_ollama_emit_raw(t, &model->details);

    } else {
        ngx_http_ollama_emit_add(t, "{}");
    }

    ngx_http_ollama_emit_add(t, "}");
}


void
ngx_http_ollama_models_json_tags(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_models_json_raw(t, data,
                                    offsetof(ngx_http_ollama_model_t, tag));
}


void
ngx_http_ollama_models_json_ps(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_models_json_raw(t, data,
                                    offsetof(ngx_http_ollama_model_t, ps));
}


/* The objects as the servers sent them; "field" is an offset in the model. */

static void
ngx_http_ollama_models_json_raw(ngx_http_ollama_emit_t *t, ngx_array_t *picks,
    size_t field)
{
    ngx_uint_t               i;
    ngx_http_ollama_pick_t  *pick;

    ngx_http_ollama_emit_add(t, "{\"models\":[");

    pick = picks->elts;

    for (i = 0; i < picks->nelts; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        ngx_http_ollama_emit_raw(t,
                        (ngx_str_t *) ((u_char *) pick[i].model + field));
    }

    ngx_http_ollama_emit_add(t, "]}");
}


void
ngx_http_ollama_models_json_openai(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_array_t *picks = data;

    ngx_uint_t                 i;
    ngx_http_ollama_pick_t    *pick;
    ngx_http_ollama_openai_t   one;

    ngx_http_ollama_emit_add(t, "{\"object\":\"list\",\"data\":[");

    pick = picks->elts;

    for (i = 0; i < picks->nelts; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        one.id = pick[i].model->name;
        one.modified = pick[i].model->modified;

        ngx_http_ollama_models_json_openai_one(t, &one);
    }

    ngx_http_ollama_emit_add(t, "]}");
}


void
ngx_http_ollama_models_json_openai_one(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_openai_t *one = data;

    ngx_str_t  owner;

    (void) ngx_http_ollama_model_name_namespace(&one->id, &owner);

    ngx_http_ollama_emit_add(t, "{\"id\":");
    ngx_http_ollama_emit_string(t, &one->id);

    ngx_http_ollama_emit_add(t, ",\"object\":\"model\",\"created\":");
    ngx_http_ollama_emit_number(t, one->modified / 1000000);

    ngx_http_ollama_emit_add(t, ",\"owned_by\":");
    ngx_http_ollama_emit_string(t, &owner);

    ngx_http_ollama_emit_add(t, "}");
}
