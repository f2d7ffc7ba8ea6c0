
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CHAIN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CHAIN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* A last link with an empty buffer.  NULL: no memory. */
ngx_chain_t *ngx_http_ollama_chain_link(ngx_pool_t *pool);

/*
 * The same for a text, which is not copied.  b->start is set: nginx sends a
 * request's body from there on again if it tries another server.
 */
ngx_chain_t *ngx_http_ollama_chain_text(ngx_pool_t *pool, u_char *text,
    size_t len);

/*
 * The same for a copy of the next bytes of a buffer, which are taken out of it:
 * nginx frees a server's buffer as soon as it is empty.
 */
ngx_chain_t *ngx_http_ollama_chain_take(ngx_pool_t *pool, ngx_buf_t *b,
    size_t size);


#endif /* _NGX_HTTP_OLLAMA_CHAIN_H_INCLUDED_ */
