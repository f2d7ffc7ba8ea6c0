
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


/*
 * Text to be inserted into a body: messages, with a comma behind each.  Its
 * memory is that of the pool.
 */

typedef struct {
    ngx_pool_t                  *pool;
    ngx_http_ollama_lazyfree_t   lazyfree;  /* frees large pieces */
    ngx_chain_t                 *chain;
    ngx_chain_t                **end;
    ngx_chain_t                **last;      /* points to the last link */
    off_t                        size;

    /* the mark: the link, the place in it, the size of what is before it */

    ngx_chain_t                **mark;      /* NULL: there is none */
    u_char                      *mark_pos;
    off_t                        mark_at;
} ngx_http_ollama_insert_t;


/* Makes it empty; the memory need not be zeroed. */
void ngx_http_ollama_insert_init(ngx_http_ollama_insert_t *insert,
    ngx_pool_t *pool);

/*
 * Appends a piece of this size, more than 0, and returns where to write it.
 * NULL: no memory.
 */
u_char *ngx_http_ollama_insert_put(ngx_http_ollama_insert_t *insert,
    size_t size);

/*
 * Adds the session's system prompt, with a comma; it is the first message.  Of
 * an empty one nothing is added.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_insert_system(ngx_http_ollama_insert_t *insert,
    ngx_str_t *system);

/*
 * Marks the start of a message in the piece that was put last.  A message must
 * not be divided among pieces.
 */
void ngx_http_ollama_insert_mark(ngx_http_ollama_insert_t *insert, u_char *p);

/*
 * Tells if the text behind the mark is exactly these n messages; 0 if there is
 * no mark.
 */
ngx_uint_t ngx_http_ollama_insert_ends_with(ngx_http_ollama_insert_t *insert,
    ngx_str_t *messages, ngx_uint_t n);

/* Removes the text behind the mark, which must be set. */
void ngx_http_ollama_insert_truncate(ngx_http_ollama_insert_t *insert);

/* Removes the last comma; there must be text. */
void ngx_http_ollama_insert_drop_comma(ngx_http_ollama_insert_t *insert);

/*
 * Hands the text over to the request's body, to be inserted at this byte, and
 * makes "insert" empty.  Calls must come in the order of their places.
 */
void ngx_http_ollama_insert_into_body(ngx_http_ollama_insert_t *insert,
    ngx_http_ollama_ctx_t *ctx, off_t at);

/*
 * The messages in the request's body, as they are written there: as many as
 * ctx->scan->messages has.  They point into the body or to copies; the list and
 * the copies are in ctx->pool.  NULL: no memory.
 */
ngx_str_t *ngx_http_ollama_insert_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_INSERT_H_INCLUDED_ */
