
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_LAZYFREE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_LAZYFREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Memory of a pool that is given back little by little; zero it. */

typedef struct {
    ngx_queue_t  *pieces;     /* NULL: none yet */
} ngx_http_ollama_lazyfree_t;


/* NULL: there is none.  It lives as long as the pool. */
u_char *ngx_http_ollama_lazyfree_alloc(ngx_http_ollama_lazyfree_t *shed,
    ngx_pool_t *pool, size_t size);


#endif /* _NGX_HTTP_OLLAMA_LAZYFREE_H_INCLUDED_ */
