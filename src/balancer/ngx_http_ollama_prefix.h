
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PREFIX_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PREFIX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_marks.h"


/* servers, numbered from 0 on; nothing is noted of others */
#define NGX_HTTP_OLLAMA_PREFIX_SERVERS  256

/* how many servers an entry has, the last ones */
#define NGX_HTTP_OLLAMA_PREFIX_PLACES   4


/* The table, in memory of the caller. */

typedef struct ngx_http_ollama_prefix_s  ngx_http_ollama_prefix_t;


/* who has a prefix, and since when */

typedef struct {
    uint64_t   time;
    double     used;
    size_t     text;       /* of the mark */
    uint16_t   next;       /* a shorter one of the same server; 0: none */
} ngx_http_ollama_prefix_place_t;


/*
 * What the table has of one request, by server: about 9 KB, which need not be
 * zeroed.
 */

typedef struct {
    ngx_http_ollama_prefix_place_t   place[NGX_HTTP_OLLAMA_MARKS_MAX
                                         * NGX_HTTP_OLLAMA_PREFIX_PLACES + 1];
    uint16_t                         longest[NGX_HTTP_OLLAMA_PREFIX_SERVERS];
} ngx_http_ollama_prefix_found_t;


/* The bytes of memory that a table of at least "n" entries needs. */
size_t ngx_http_ollama_prefix_size(ngx_uint_t n);

/*
 * Makes an empty table in "size" bytes, as large as a power of two of entries
 * allows.  It has no pointers: any process may have it at another address.
 * NULL: "size" is too small.
 */
ngx_http_ollama_prefix_t *ngx_http_ollama_prefix_init(void *memory,
    size_t size);

/*
 * The server has evaluated a prompt with these marks for the model whose key is
 * "model": equal for equal weights, on any server.  "used" counts the tokens
 * that it has evaluated for the model, with these; only differences matter.
 */
void ngx_http_ollama_prefix_add(ngx_http_ollama_prefix_t *prefix,
    ngx_http_ollama_mark_t *mark, ngx_uint_t n, uint64_t model,
    ngx_uint_t server, double used, uint64_t now);

/*
 * Looks the marks of a prompt up, the shortest first in "mark".  Once for a
 * request; then "found" needs the table no more.
 */
void ngx_http_ollama_prefix_lookup(ngx_http_ollama_prefix_t *prefix,
    ngx_http_ollama_mark_t *mark, ngx_uint_t n, uint64_t model,
    ngx_http_ollama_prefix_found_t *found);

/*
 * The text of the longest mark that the server is believed to have in its
 * cache: evaluated there after "since", when the model was loaded there, or
 * when the server got its number if that was later, and no more than "reach"
 * tokens ago; "used" is that of now, and "back" how many tokens ago it was.
 * 0: none.
 */
size_t ngx_http_ollama_prefix_cached(ngx_http_ollama_prefix_found_t *found,
    ngx_uint_t server, uint64_t since, double used, double reach,
    double *back);


#endif /* _NGX_HTTP_OLLAMA_PREFIX_H_INCLUDED_ */
