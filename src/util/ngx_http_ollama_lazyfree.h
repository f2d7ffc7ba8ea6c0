
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_LAZYFREE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_LAZYFREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Memory that is freed in parts after its pool was destroyed; zero it. */

typedef struct {
    ngx_queue_t  *pieces;     /* NULL: none so far */
} ngx_http_ollama_lazyfree_t;


/*
 * Allocates "size" bytes, which are not aligned, can be used as long as the
 * pool exists, and are freed some turns of the event loop later.  NULL: no
 * memory.
 */
u_char *ngx_http_ollama_lazyfree_alloc(ngx_http_ollama_lazyfree_t *lazyfree,
    ngx_pool_t *pool, size_t size);


#endif /* _NGX_HTTP_OLLAMA_LAZYFREE_H_INCLUDED_ */
