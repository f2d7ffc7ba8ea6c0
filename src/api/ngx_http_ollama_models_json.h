
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODELS_JSON_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODELS_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "util/ngx_http_ollama_emit.h"


/* the entry of a merged list that is shown for a model */

typedef struct {
    ngx_http_ollama_model_t  *model;
    int64_t                   rank;    /* the highest is listed first */
} ngx_http_ollama_pick_t;


/* an entry of /v1/models */

typedef struct {
    ngx_str_t                 id;
    int64_t                   modified;
} ngx_http_ollama_openai_t;


/*
 * Returns the lowest version of the servers that are up, in its view.  NULL: no
 * version is known.
 */
ngx_str_t *ngx_http_ollama_models_json_lowest(ngx_array_t *views);

/*
 * Returns a hash of what the snapshot adds to a merged list, that of the loaded
 * models or that of all; never 0.
 */
uint64_t ngx_http_ollama_models_json_hash(ngx_http_ollama_snapshot_t *snapshot,
    ngx_uint_t loaded);

/*
 * Makes an array of ngx_http_ollama_pick_t, in the pool: an entry for each
 * model that one of the snapshots has, or has loaded.  Of equal models it is
 * the one that was modified last, or expires last; then the first one.  The
 * entries point into the snapshots.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_models_json_merge(ngx_pool_t *pool,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t n, ngx_uint_t loaded,
    ngx_array_t *picks);

/* For walks: the URL of a server, as a string. */
void ngx_http_ollama_models_json_url(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_view_t *view);

/*
 * For walks: members of an object, each with a comma in front.  The view has
 * those of the status, too.
 */
void ngx_http_ollama_models_json_status(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_view_t *view);
void ngx_http_ollama_models_json_view(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_view_t *view);

/* Walks for ngx_http_ollama_emit_make(), by the type of their data. */

/* ngx_http_ollama_snapshot_t: its models, an array */
void ngx_http_ollama_models_json_models(ngx_http_ollama_emit_t *t, void *data);

/* ngx_array_t of ngx_http_ollama_pick_t: /api/tags, /api/ps, /v1/models */
void ngx_http_ollama_models_json_tags(ngx_http_ollama_emit_t *t, void *data);
void ngx_http_ollama_models_json_ps(ngx_http_ollama_emit_t *t, void *data);
void ngx_http_ollama_models_json_openai(ngx_http_ollama_emit_t *t, void *data);

/* ngx_http_ollama_openai_t: an entry of /v1/models */
void ngx_http_ollama_models_json_openai_one(ngx_http_ollama_emit_t *t,
    void *data);


#endif /* _NGX_HTTP_OLLAMA_MODELS_JSON_H_INCLUDED_ */
