
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_INSERT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_INSERT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "util/ngx_http_ollama_lazyfree.h"


/* Text that is to go into a body: messages, a comma behind each. */

typedef struct {
    ngx_pool_t                  *pool;
    ngx_http_ollama_lazyfree_t   shed;      /* of large texts */
    ngx_chain_t                 *chain;
    ngx_chain_t                **end;
    ngx_chain_t                **last;      /* the link that was put last */
    off_t                        size;

    ngx_chain_t                **mark;      /* in which link the mark is, NULL:
                                               there is none; where, and what
                                               is in front of it */
    u_char                      *mark_pos;
    off_t                        mark_at;
} ngx_http_ollama_insert_t;


void ngx_http_ollama_insert_init(ngx_http_ollama_insert_t *splice,
    ngx_pool_t *pool);

/* Memory for text of that size at the end, more than 0; NULL: there is none. */
u_char *ngx_http_ollama_insert_put(ngx_http_ollama_insert_t *splice,
    size_t size);

/* Marks a message in what was put last; messages are in one piece each. */
void ngx_http_ollama_insert_mark(ngx_http_ollama_insert_t *splice, u_char *p);

/* Whether the text behind the mark is that of these messages. */
ngx_uint_t ngx_http_ollama_insert_ends_with(ngx_http_ollama_insert_t *splice,
    ngx_str_t *messages, ngx_uint_t n);

void ngx_http_ollama_insert_truncate(ngx_http_ollama_insert_t *splice);

/* The comma behind the last one goes. */
void ngx_http_ollama_insert_drop_comma(ngx_http_ollama_insert_t *splice);

/*
 * The text goes into the request's body, at a place behind those of others, and
 * is empty then.
 */
void ngx_http_ollama_insert_into_body(ngx_http_ollama_insert_t *splice,
    ngx_http_ollama_ctx_t *ctx, off_t at);

/* The messages in the body as texts, in the pool of the scan. */
ngx_str_t *ngx_http_ollama_insert_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_INSERT_H_INCLUDED_ */
