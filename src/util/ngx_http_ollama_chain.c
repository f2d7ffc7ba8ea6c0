
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Links of nginx's chains; all memory is of the pool that is given.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_chain.h"


ngx_chain_t *
ngx_http_ollama_chain_link(ngx_pool_t *pool)
{
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = ngx_calloc_buf(pool);
    if (cl->buf == NULL) {
        return NULL;
    }

    cl->next = NULL;

    return cl;
}


ngx_chain_t *
ngx_http_ollama_chain_text(ngx_pool_t *pool, u_char *text, size_t len)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    cl = ngx_http_ollama_chain_link(pool);
    if (cl == NULL) {
        return NULL;
    }

    b = cl->buf;

    b->start = text;
    b->pos = text;
    b->last = text + len;
    b->end = b->last;
    b->memory = 1;

    return cl;
}


ngx_chain_t *
ngx_http_ollama_chain_take(ngx_pool_t *pool, ngx_buf_t *b, size_t size)
{
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = ngx_create_temp_buf(pool, size);
    if (cl->buf == NULL) {
        return NULL;
    }

    cl->buf->last = ngx_cpymem(cl->buf->last, b->pos, size);
    b->pos += size;

    cl->next = NULL;

    return cl;
}
