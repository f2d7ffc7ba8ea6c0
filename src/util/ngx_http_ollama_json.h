
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_JSON_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <yajl/yajl_parse.h>


/*
 * A JSON text read piece by piece: yajl knows the grammar, this knows
 * strings.  Zero the struct before ngx_http_ollama_json_init().
 */

typedef struct {
    yajl_handle            yajl;

    off_t                  pos;       /* bytes of the text taken so far */
    off_t                  base;      /* where the piece yajl reads begins */
    off_t                  string;    /* opening quote of the last string */

    size_t                 keep;      /* bytes of a string shown to yajl */
    size_t                 run;       /* length of the string or literal */
    size_t                 carry;     /* of it in front of yajl's piece */
    size_t                 half;      /* where half of a pair ended in it */
    size_t                 halves;    /* surrogates in it without the other */

    const char            *error;     /* set when a call returned NGX_ERROR */
    off_t                  error_at;  /* the byte it is about */

    uint16_t               unit;      /* of UTF-16, in a \u escape */
    u_char                 state;
    u_char                 rest;      /* bytes awaited in an escape or UTF-8 */
    u_char                 low, high; /* bounds of the next UTF-8 byte */
    u_char                 hidden;    /* yajl sees the string no further */
} ngx_http_ollama_json_t;


ngx_int_t ngx_http_ollama_json_init(ngx_http_ollama_json_t *json,
    ngx_pool_t *pool, const yajl_callbacks *callbacks, void *data,
    size_t keep, ngx_uint_t multiple);
ngx_int_t ngx_http_ollama_json_feed(ngx_http_ollama_json_t *json, u_char *p,
    size_t size);
ngx_int_t ngx_http_ollama_json_end(ngx_http_ollama_json_t *json);
off_t ngx_http_ollama_json_offset(ngx_http_ollama_json_t *json);
void ngx_http_ollama_json_free(ngx_http_ollama_json_t *json);

ngx_uint_t ngx_http_ollama_json_key_eq(const u_char *key, size_t len,
    ngx_str_t *name);


#endif /* _NGX_HTTP_OLLAMA_JSON_H_INCLUDED_ */
