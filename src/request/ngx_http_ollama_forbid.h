
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FORBID_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FORBID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* paths of a location: a set of them has a bit for each */
#define NGX_HTTP_OLLAMA_FORBID_MAX    32
#define NGX_HTTP_OLLAMA_FORBID_DEPTH  4


/* a field that clients may not set: "options.num_ctx" */

typedef struct {
    ngx_str_t              name;      /* as configured */
    ngx_uint_t             n;
    ngx_str_t              segment[NGX_HTTP_OLLAMA_FORBID_DEPTH];
} ngx_http_ollama_forbid_t;


/*
 * Parses a path of ollama_forbid; the strings are in the pool.  NGX_DECLINED:
 * it is not a path of fields, or has too many.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_forbid_path(ngx_http_ollama_forbid_t *forbid,
    ngx_pool_t *pool, ngx_str_t *path);

/*
 * Of the "n" paths, "match" is the set of those that lead to an object on level
 * "depth" of a body, 1 for the body itself.  Returns the set of those that lead
 * on to the member with this decoded key; "whole": those that end with it.
 */
uint32_t ngx_http_ollama_forbid_match(ngx_http_ollama_forbid_t *forbid,
    ngx_uint_t n, uint32_t match, ngx_uint_t depth, const u_char *key,
    size_t len, uint32_t *whole);


#endif /* _NGX_HTTP_OLLAMA_FORBID_H_INCLUDED_ */
