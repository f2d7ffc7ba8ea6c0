
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * yajl parsers whose memory is in a pool, and is freed with it, and the texts
 * of their errors.  Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_yajl.h"


/* room for the size of a block, keeping malloc()'s alignment */
#define NGX_HTTP_OLLAMA_YAJL_HEAD  16


static void *ngx_http_ollama_yajl_malloc(void *data, size_t size);
static void *ngx_http_ollama_yajl_realloc(void *data, void *p, size_t size);
static void ngx_http_ollama_yajl_free(void *data, void *p);


yajl_handle
ngx_http_ollama_yajl_create(ngx_pool_t *pool, const yajl_callbacks *callbacks,
    void *data)
{
    yajl_alloc_funcs  alloc;

    alloc.malloc = ngx_http_ollama_yajl_malloc;
    alloc.realloc = ngx_http_ollama_yajl_realloc;
    alloc.free = ngx_http_ollama_yajl_free;
    alloc.ctx = pool;

    return yajl_alloc(callbacks, &alloc, data);
}


char *
ngx_http_ollama_yajl_error(yajl_handle yajl, u_char *p, u_char *last,
    ngx_uint_t *lexical)
{
    char    *text, *tail;
    size_t   len;

    text = (char *) yajl_get_error(yajl, 0, p, last - p);
    if (text == NULL) {
        return NULL;
    }

    /* "parse error: text\n", "lexical error: text.\n" */

    *lexical = (text[0] == 'l');

    tail = strstr(text, ": ");
    if (tail) {
        text = tail + 2;
    }

    len = ngx_strlen(text);

    while (len && (text[len - 1] == '\n' || text[len - 1] == '.')) {
        text[--len] = '\0';
    }

    return text;
}


/* yajl's allocations: blocks of the pool that know their size. */

static void *
ngx_http_ollama_yajl_malloc(void *data, size_t size)
{
    ngx_pool_t *pool = data;

    u_char  *p;

    p = ngx_palloc(pool, NGX_HTTP_OLLAMA_YAJL_HEAD + size);
    if (p == NULL) {
        return NULL;
    }

    *(size_t *) p = size;

    return p + NGX_HTTP_OLLAMA_YAJL_HEAD;
}


static void *
ngx_http_ollama_yajl_realloc(void *data, void *p, size_t size)
{
    size_t   old;
    u_char  *n;

    if (p == NULL) {
        return ngx_http_ollama_yajl_malloc(data, size);
    }

    old = *(size_t *) ((u_char *) p - NGX_HTTP_OLLAMA_YAJL_HEAD);

    if (size <= old) {
        return p;
    }

    n = ngx_http_ollama_yajl_malloc(data, size);
    if (n == NULL) {
        return NULL;
    }

    ngx_memcpy(n, p, old);
    ngx_http_ollama_yajl_free(data, p);

    return n;
}


static void
ngx_http_ollama_yajl_free(void *data, void *p)
{
    ngx_pool_t *pool = data;

    if (p) {
        /* a small block stays in the pool until its end */
        (void) ngx_pfree(pool, (u_char *) p - NGX_HTTP_OLLAMA_YAJL_HEAD);
    }
}
