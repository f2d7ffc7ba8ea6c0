
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODELS_JSON_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODELS_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "util/ngx_http_ollama_emit.h"


/* the one of several servers' entries for a model that is shown */

typedef struct {
    ngx_http_ollama_model_t  *model;
    int64_t                   rank;    /* the highest goes first */
} ngx_http_ollama_pick_t;


/* an entry of /v1/models */

typedef struct {
    ngx_str_t                 id;
    int64_t                   modified;
} ngx_http_ollama_openai_t;


ngx_str_t *ngx_http_ollama_models_json_lowest(ngx_array_t *views);
uint64_t ngx_http_ollama_models_json_hash(ngx_http_ollama_snapshot_t *snapshot,
    ngx_uint_t loaded);
ngx_int_t ngx_http_ollama_models_json_merge(ngx_pool_t *pool,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t n, ngx_uint_t loaded,
    ngx_array_t *picks);

/* to be called in walks */
void ngx_http_ollama_models_json_url(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_view_t *view);
void ngx_http_ollama_models_json_status(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_view_t *view);
void ngx_http_ollama_models_json_view(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_view_t *view);

/* walks of ngx_http_ollama_emit_make(), with what their data is */

/* ngx_http_ollama_snapshot_t */
void ngx_http_ollama_models_json_models(ngx_http_ollama_emit_t *t, void *data);

/* ngx_array_t of ngx_http_ollama_pick_t */
void ngx_http_ollama_models_json_tags(ngx_http_ollama_emit_t *t, void *data);
void ngx_http_ollama_models_json_ps(ngx_http_ollama_emit_t *t, void *data);
void ngx_http_ollama_models_json_openai(ngx_http_ollama_emit_t *t, void *data);

/* ngx_http_ollama_openai_t */
void ngx_http_ollama_models_json_openai_one(ngx_http_ollama_emit_t *t,
    void *data);


#endif /* _NGX_HTTP_OLLAMA_MODELS_JSON_H_INCLUDED_ */
