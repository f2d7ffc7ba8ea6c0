
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODELS_ALIAS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODELS_ALIAS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_models_cache.h"


/* Whose aliases are listed, and by what the servers have. */

typedef struct {
    ngx_pool_t                      *pool;      /* of the request */
    ngx_array_t                     *aliases;   /* or NULL */
    ngx_array_t                     *views;     /* of the servers */
    ngx_http_ollama_models_cache_t  *cache;     /* of these */
} ngx_http_ollama_models_alias_t;


/*
 * Sets "text" to the entries of a merged list, /api/tags or /v1/models, for the
 * aliases that can be used, divided by commas; len 0: there are none.
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_models_alias_list(ngx_http_ollama_models_alias_t *a,
    ngx_http_ollama_models_cache_list_e list, ngx_str_t *text);

/*
 * Whether the key is that of an alias that can be used; sets when its model was
 * modified, in microseconds since 1970, or to 0.  NGX_DECLINED: no.
 */
ngx_int_t ngx_http_ollama_models_alias_one(ngx_http_ollama_models_alias_t *a,
    ngx_str_t *key, int64_t *modified);


#endif /* _NGX_HTTP_OLLAMA_MODELS_ALIAS_H_INCLUDED_ */
