
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A worker's cache of rendered lists of models, so that a list is rendered
 * after a change and not for each request.  It has copies of the snapshots, the
 * list of each server, and the merged lists of all servers.
 *
 * Each upstream that was asked for has a cache, in the cycle's pool, with an
 * entry for each server.  ngx_http_ollama_models_cache_get() brings it up to
 * date and frees what has changed.  A piece is freed with its last reference:
 * the cache has one, and so has each pool that holds it.  Nothing here is
 * shared between processes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_models_cache.h"
#include "api/ngx_http_ollama_models_json.h"
#include "util/ngx_http_ollama_emit.h"


/* size of a piece's pool; most texts are larger and are allocated apart */
#define NGX_HTTP_OLLAMA_MODELS_CACHE_POOL  256


typedef struct {
    ngx_uint_t                   id;        /* of the server */
    ngx_uint_t                   version;   /* of its snapshot; 0: none */
    ngx_uint_t                   up;

    ngx_pool_t                  *pool;      /* of the copy, or NULL */
    ngx_http_ollama_snapshot_t  *snapshot;  /* copy; NULL: none, or not needed
                                               so far */
    ngx_http_ollama_piece_t     *models;    /* its list, or NULL */

    /* hashes of its models: as they are now, and as each list shows them */
    uint64_t                     has[NGX_HTTP_OLLAMA_MODELS_CACHE_LISTS];
    uint64_t                     used[NGX_HTTP_OLLAMA_MODELS_CACHE_LISTS];
} ngx_http_ollama_models_cache_entry_t;


struct ngx_http_ollama_models_cache_s {
    ngx_http_ollama_upstream_t      *up;
    ngx_http_ollama_models_cache_t  *next;

    ngx_pool_t                            *pool;   /* of the entries */
    ngx_http_ollama_models_cache_entry_t  *entries;
    ngx_uint_t                             n;      /* as many as servers */

    ngx_http_ollama_piece_t        *lists[NGX_HTTP_OLLAMA_MODELS_CACHE_LISTS];
};


typedef struct {
    ngx_uint_t                      n;
    ngx_http_ollama_piece_t        *pieces[1];
} ngx_http_ollama_models_cache_hold_t;


static ngx_http_ollama_models_cache_t *ngx_http_ollama_models_cache_create(
    ngx_http_ollama_upstream_t *up);
static ngx_uint_t ngx_http_ollama_models_cache_fits(
    ngx_http_ollama_models_cache_t *cache, ngx_array_t *views);
static ngx_int_t ngx_http_ollama_models_cache_fit(
    ngx_http_ollama_models_cache_t *cache, ngx_array_t *views);
static void ngx_http_ollama_models_cache_move(
    ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_entry_t *entry);
static void ngx_http_ollama_models_cache_empty(
    ngx_http_ollama_models_cache_t *cache);
static void ngx_http_ollama_models_cache_empty_entry(
    ngx_http_ollama_models_cache_entry_t *entry);
static void ngx_http_ollama_models_cache_cleanup(void *data);

static ngx_uint_t ngx_http_ollama_models_cache_changed(
    ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_list_e list,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t *n);
static ngx_http_ollama_piece_t *ngx_http_ollama_models_cache_merge(
    ngx_http_ollama_models_cache_list_e list,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t n, ngx_pool_t *pool);

static ngx_http_ollama_piece_t *ngx_http_ollama_models_cache_piece(
    ngx_http_ollama_emit_pt walk, void *data);
static void ngx_http_ollama_models_cache_drop(ngx_http_ollama_piece_t **piece);
static void ngx_http_ollama_models_cache_hold_cleanup(void *data);


static ngx_http_ollama_emit_pt  ngx_http_ollama_models_cache_walks[] = {
    ngx_http_ollama_models_json_tags,
    ngx_http_ollama_models_json_ps,
    ngx_http_ollama_models_json_openai
};


/* of this process: one for each upstream that was asked for */
static ngx_http_ollama_models_cache_t  *ngx_http_ollama_caches;


ngx_http_ollama_models_cache_t *
ngx_http_ollama_models_cache_get(ngx_http_ollama_upstream_t *up,
    ngx_array_t *views)
{
    ngx_uint_t                             i;
    ngx_http_ollama_view_t                *view;
    ngx_http_ollama_models_cache_t        *cache;
    ngx_http_ollama_models_cache_entry_t  *entry;

    for (cache = ngx_http_ollama_caches; cache; cache = cache->next) {
        if (cache->up == up) {
            break;
        }
    }

    if (cache == NULL) {
        cache = ngx_http_ollama_models_cache_create(up);
        if (cache == NULL) {
            return NULL;
        }
    }

    if (!ngx_http_ollama_models_cache_fits(cache, views)
        && ngx_http_ollama_models_cache_fit(cache, views) != NGX_OK)
    {
        return NULL;
    }

    view = views->elts;

    for (i = 0; i < views->nelts; i++) {
        entry = &cache->entries[i];

        entry->up = (view[i].status == NGX_HTTP_OLLAMA_UP);

        if (entry->version != view[i].models) {
            ngx_http_ollama_models_cache_empty_entry(entry);
            entry->version = view[i].models;
        }
    }

    return cache;
}


static ngx_http_ollama_models_cache_t *
ngx_http_ollama_models_cache_create(ngx_http_ollama_upstream_t *up)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_ollama_models_cache_t  *cache;

    cln = ngx_pool_cleanup_add(ngx_cycle->pool,
                               sizeof(ngx_http_ollama_models_cache_t));
    if (cln == NULL) {
        return NULL;
    }

    cache = cln->data;
    ngx_memzero(cache, sizeof(ngx_http_ollama_models_cache_t));

    cache->up = up;
    cache->next = ngx_http_ollama_caches;
    ngx_http_ollama_caches = cache;

    cln->handler = ngx_http_ollama_models_cache_cleanup;

    return cache;
}


static ngx_uint_t
ngx_http_ollama_models_cache_fits(ngx_http_ollama_models_cache_t *cache,
    ngx_array_t *views)
{
    ngx_uint_t               i;
    ngx_http_ollama_view_t  *view;

    if (cache->n != views->nelts) {
        return 0;
    }

    view = views->elts;

    for (i = 0; i < cache->n; i++) {
        if (cache->entries[i].id != view[i].id) {
            return 0;
        }
    }

    return 1;
}


/* Makes new entries after servers came or went; known ones move there. */

static ngx_int_t
ngx_http_ollama_models_cache_fit(ngx_http_ollama_models_cache_t *cache,
    ngx_array_t *views)
{
    ngx_uint_t                             i;
    ngx_pool_t                            *pool;
    ngx_http_ollama_view_t                *view;
    ngx_http_ollama_models_cache_entry_t  *entries;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    entries = ngx_pcalloc(pool, views->nelts
                                * sizeof(ngx_http_ollama_models_cache_entry_t));
    if (entries == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    view = views->elts;

    for (i = 0; i < views->nelts; i++) {
        entries[i].id = view[i].id;
        ngx_http_ollama_models_cache_move(cache, &entries[i]);
    }

    ngx_http_ollama_models_cache_empty(cache);

    cache->pool = pool;
    cache->entries = entries;
    cache->n = views->nelts;

    return NGX_OK;
}


static void
ngx_http_ollama_models_cache_move(ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_entry_t *entry)
{
    ngx_uint_t                             i;
    ngx_http_ollama_models_cache_entry_t  *old;

    for (i = 0; i < cache->n; i++) {
        old = &cache->entries[i];

        if (old->id == entry->id) {
            *entry = *old;
            ngx_memzero(old, sizeof(ngx_http_ollama_models_cache_entry_t));
            return;
        }
    }
}


static void
ngx_http_ollama_models_cache_empty(ngx_http_ollama_models_cache_t *cache)
{
    ngx_uint_t  i;

    for (i = 0; i < cache->n; i++) {
        ngx_http_ollama_models_cache_empty_entry(&cache->entries[i]);
    }

    for (i = 0; i < NGX_HTTP_OLLAMA_MODELS_CACHE_LISTS; i++) {
        ngx_http_ollama_models_cache_drop(&cache->lists[i]);
    }

    if (cache->pool) {
        ngx_destroy_pool(cache->pool);
        cache->pool = NULL;
    }

    cache->entries = NULL;
    cache->n = 0;
}


static void
ngx_http_ollama_models_cache_empty_entry(
    ngx_http_ollama_models_cache_entry_t *entry)
{
    ngx_http_ollama_models_cache_drop(&entry->models);

    if (entry->pool) {
        ngx_destroy_pool(entry->pool);
        entry->pool = NULL;
    }

    entry->snapshot = NULL;
    entry->version = 0;
}


/* The cycle that the cache belongs to has ended. */

static void
ngx_http_ollama_models_cache_cleanup(void *data)
{
    ngx_http_ollama_models_cache_t *cache = data;

    ngx_http_ollama_models_cache_t  **p;

    for (p = &ngx_http_ollama_caches; *p; p = &(*p)->next) {
        if (*p == cache) {
            *p = cache->next;
            break;
        }
    }

    ngx_http_ollama_models_cache_empty(cache);
}


ngx_http_ollama_snapshot_t *
ngx_http_ollama_models_cache_snapshot(ngx_http_ollama_models_cache_t *cache,
    ngx_uint_t i)
{
    ngx_http_ollama_models_cache_entry_t  *entry;

    entry = &cache->entries[i];

    if (entry->snapshot || entry->version == 0) {
        return entry->snapshot;
    }

    entry->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (entry->pool == NULL) {
        return NULL;
    }

    entry->snapshot = ngx_http_ollama_fleet_snapshot(entry->id, entry->pool);

    if (entry->snapshot == NULL) {
        ngx_http_ollama_models_cache_empty_entry(entry);
        return NULL;
    }

    /* it may be newer than the view */

    entry->version = entry->snapshot->version;

    entry->has[NGX_HTTP_OLLAMA_MODELS_CACHE_TAGS] =
                          ngx_http_ollama_models_json_hash(entry->snapshot, 0);
    entry->has[NGX_HTTP_OLLAMA_MODELS_CACHE_PS] =
                          ngx_http_ollama_models_json_hash(entry->snapshot, 1);
    entry->has[NGX_HTTP_OLLAMA_MODELS_CACHE_OPENAI] =
                          entry->has[NGX_HTTP_OLLAMA_MODELS_CACHE_TAGS];

    return entry->snapshot;
}


ngx_int_t
ngx_http_ollama_models_cache_models(ngx_http_ollama_models_cache_t *cache,
    ngx_uint_t i, ngx_http_ollama_piece_t **piece)
{
    ngx_http_ollama_snapshot_t            *snapshot;
    ngx_http_ollama_models_cache_entry_t  *entry;

    entry = &cache->entries[i];

    if (entry->models == NULL) {

        snapshot = ngx_http_ollama_models_cache_snapshot(cache, i);
        if (snapshot == NULL) {
            *piece = NULL;
            return NGX_OK;
        }

        entry->models = ngx_http_ollama_models_cache_piece(
                                 ngx_http_ollama_models_json_models, snapshot);
        if (entry->models == NULL) {
            return NGX_ERROR;
        }
    }

    *piece = entry->models;

    return NGX_OK;
}


ngx_http_ollama_piece_t *
ngx_http_ollama_models_cache_list(ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_list_e list)
{
    ngx_uint_t                    n;
    ngx_pool_t                   *pool;
    ngx_http_ollama_piece_t      *piece;
    ngx_http_ollama_snapshot_t  **snapshots;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    piece = NULL;

    snapshots = ngx_palloc(pool, cache->n
                                 * sizeof(ngx_http_ollama_snapshot_t *));
    if (snapshots == NULL) {
        goto done;
    }

    if (ngx_http_ollama_models_cache_changed(cache, list, snapshots, &n)) {
        ngx_http_ollama_models_cache_drop(&cache->lists[list]);
    }

    if (cache->lists[list] == NULL) {
        cache->lists[list] = ngx_http_ollama_models_cache_merge(list, snapshots,
                                                                n, pool);
    }

    piece = cache->lists[list];

done:

    ngx_destroy_pool(pool);

    return piece;
}


/*
 * Collects the snapshots of the servers that are up.  Tells whether the list
 * would show a change: most changes concern loaded models only, which most
 * lists don't show.
 */

static ngx_uint_t
ngx_http_ollama_models_cache_changed(ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_list_e list,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t *n)
{
    uint64_t                               has;
    ngx_uint_t                             i, changed;
    ngx_http_ollama_snapshot_t            *snapshot;
    ngx_http_ollama_models_cache_entry_t  *entry;

    *n = 0;
    changed = 0;

    for (i = 0; i < cache->n; i++) {
        entry = &cache->entries[i];
        has = 0;

        if (entry->up) {
            snapshot = ngx_http_ollama_models_cache_snapshot(cache, i);

            if (snapshot) {
                snapshots[(*n)++] = snapshot;
                has = entry->has[list];
            }
        }

        if (entry->used[list] != has) {
            entry->used[list] = has;
            changed = 1;
        }
    }

    return changed;
}


static ngx_http_ollama_piece_t *
ngx_http_ollama_models_cache_merge(ngx_http_ollama_models_cache_list_e list,
    ngx_http_ollama_snapshot_t **snapshots, ngx_uint_t n, ngx_pool_t *pool)
{
    ngx_array_t  picks;

    if (ngx_http_ollama_models_json_merge(pool, snapshots, n,
                              list == NGX_HTTP_OLLAMA_MODELS_CACHE_PS, &picks)
        != NGX_OK)
    {
        return NULL;
    }

    return ngx_http_ollama_models_cache_piece(
                             ngx_http_ollama_models_cache_walks[list], &picks);
}


/* The piece has one reference, the caller's. */

static ngx_http_ollama_piece_t *
ngx_http_ollama_models_cache_piece(ngx_http_ollama_emit_pt walk, void *data)
{
    ngx_pool_t               *pool;
    ngx_http_ollama_piece_t  *piece;

    pool = ngx_create_pool(NGX_HTTP_OLLAMA_MODELS_CACHE_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    piece = ngx_palloc(pool, sizeof(ngx_http_ollama_piece_t));

    if (piece == NULL
        || ngx_http_ollama_emit_make(pool, walk, data, &piece->text)
           != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    piece->pool = pool;
    piece->refs = 1;
    piece->hash = ngx_http_ollama_emit_hash(&piece->text);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "ollama cache: piece %p of %uz bytes",
                   piece, piece->text.len);

    return piece;
}


static void
ngx_http_ollama_models_cache_drop(ngx_http_ollama_piece_t **piece)
{
    if (*piece && --(*piece)->refs == 0) {
        ngx_destroy_pool((*piece)->pool);
    }

    *piece = NULL;
}


ngx_int_t
ngx_http_ollama_models_cache_hold(ngx_pool_t *pool,
    ngx_http_ollama_piece_t **pieces, ngx_uint_t n)
{
    size_t                                size;
    ngx_uint_t                            i;
    ngx_pool_cleanup_t                   *cln;
    ngx_http_ollama_models_cache_hold_t  *hold;

    size = offsetof(ngx_http_ollama_models_cache_hold_t, pieces)
           + n * sizeof(ngx_http_ollama_piece_t *);

    cln = ngx_pool_cleanup_add(pool, size);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    hold = cln->data;
    hold->n = n;

    for (i = 0; i < n; i++) {
        hold->pieces[i] = pieces[i];

        if (pieces[i]) {
            pieces[i]->refs++;
        }
    }

    cln->handler = ngx_http_ollama_models_cache_hold_cleanup;

    return NGX_OK;
}


static void
ngx_http_ollama_models_cache_hold_cleanup(void *data)
{
    ngx_http_ollama_models_cache_hold_t *hold = data;

    ngx_uint_t  i;

    for (i = 0; i < hold->n; i++) {
        ngx_http_ollama_models_cache_drop(&hold->pieces[i]);
    }
}
