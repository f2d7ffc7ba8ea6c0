
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODELS_CACHE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODELS_CACHE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"


typedef enum {
    NGX_HTTP_OLLAMA_MODELS_CACHE_TAGS = 0,
    NGX_HTTP_OLLAMA_MODELS_CACHE_PS,
    NGX_HTTP_OLLAMA_MODELS_CACHE_OPENAI,
    NGX_HTTP_OLLAMA_MODELS_CACHE_LISTS
} ngx_http_ollama_models_cache_list_e;


/* A rendered list, shared by the replies that contain it. */

typedef struct {
    ngx_pool_t  *pool;            /* has this piece and its text only */
    ngx_uint_t   refs;
    ngx_str_t    text;
    uint64_t     hash;
} ngx_http_ollama_piece_t;


typedef struct ngx_http_ollama_models_cache_s  ngx_http_ollama_models_cache_t;


/*
 * Returns the upstream's cache, with an entry for each of the views, in their
 * order.  It lives until the cycle's pool is destroyed.  NULL: no memory.
 */
ngx_http_ollama_models_cache_t *ngx_http_ollama_models_cache_get(
    ngx_http_ollama_upstream_t *up, ngx_array_t *views);
/*
 * What the following return is valid until the next call of
 * ngx_http_ollama_models_cache_get() for the upstream; a piece that is held,
 * until its holder's pool is destroyed.
 */

/* Returns the snapshot of server i.  NULL: it has none, or no memory. */
ngx_http_ollama_snapshot_t *ngx_http_ollama_models_cache_snapshot(
    ngx_http_ollama_models_cache_t *cache, ngx_uint_t i);

/*
 * Gives the list of the models of server i; *piece is NULL if it has no
 * snapshot.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_models_cache_models(
    ngx_http_ollama_models_cache_t *cache, ngx_uint_t i,
    ngx_http_ollama_piece_t **piece);

/* Returns the merged list of all servers that are up.  NULL: no memory. */
ngx_http_ollama_piece_t *ngx_http_ollama_models_cache_list(
    ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_list_e list);

/*
 * References the pieces, some of which may be NULL, until the pool is
 * destroyed.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_models_cache_hold(ngx_pool_t *pool,
    ngx_http_ollama_piece_t **pieces, ngx_uint_t n);


#endif /* _NGX_HTTP_OLLAMA_MODELS_CACHE_H_INCLUDED_ */
