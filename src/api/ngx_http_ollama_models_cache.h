
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


/* A text that is shared by the replies it is part of. */

typedef struct {
    ngx_pool_t  *pool;            /* its own, with nothing else in it */
    ngx_uint_t   refs;
    ngx_str_t    text;
    uint64_t     hash;
} ngx_http_ollama_piece_t;


typedef struct ngx_http_ollama_models_cache_s  ngx_http_ollama_models_cache_t;


ngx_http_ollama_models_cache_t *ngx_http_ollama_models_cache_get(
    ngx_http_ollama_upstream_t *up, ngx_array_t *views);
ngx_http_ollama_snapshot_t *ngx_http_ollama_models_cache_snapshot(
    ngx_http_ollama_models_cache_t *cache, ngx_uint_t i);
ngx_int_t ngx_http_ollama_models_cache_models(
    ngx_http_ollama_models_cache_t *cache, ngx_uint_t i,
    ngx_http_ollama_piece_t **piece);
ngx_http_ollama_piece_t *ngx_http_ollama_models_cache_list(
    ngx_http_ollama_models_cache_t *cache,
    ngx_http_ollama_models_cache_list_e list);
ngx_int_t ngx_http_ollama_models_cache_hold(ngx_pool_t *pool,
    ngx_http_ollama_piece_t **pieces, ngx_uint_t n);


#endif /* _NGX_HTTP_OLLAMA_MODELS_CACHE_H_INCLUDED_ */
