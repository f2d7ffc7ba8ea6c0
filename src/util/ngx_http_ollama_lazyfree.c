
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Large memory that is freed in parts: to free 50 MB at once takes several
 * milliseconds, in which nothing else runs.  Each piece is a pool of its own.
 * When the pool that they belong to is destroyed, its pieces are moved to the
 * worker's list, of which some are freed in each turn of the event loop.  A
 * worker that exits leaves the rest to the system.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "util/ngx_http_ollama_lazyfree.h"
#include "util/ngx_http_ollama_timer.h"


/* bytes that are freed in a turn of the event loop: some 0.1 ms */
#define NGX_HTTP_OLLAMA_LAZYFREE_TURN  (1024 * 1024)

/* bytes of a piece's pool, apart from the piece's memory */
#define NGX_HTTP_OLLAMA_LAZYFREE_POOL  256


/* is in its own pool */

typedef struct {
    ngx_queue_t  queue;
    ngx_pool_t  *pool;
    size_t       size;
} ngx_http_ollama_lazyfree_piece_t;


/* of this worker */

typedef struct {
    ngx_queue_t              pieces;   /* to be freed; zeroed: none so far */
    ngx_http_ollama_timer_t  turn;     /* posted while there are any */
} ngx_http_ollama_lazyfree_state_t;


static ngx_int_t ngx_http_ollama_lazyfree_begin(
    ngx_http_ollama_lazyfree_t *lazyfree, ngx_pool_t *pool);
static void ngx_http_ollama_lazyfree_cleanup(void *data);
static void ngx_http_ollama_lazyfree_handler(ngx_event_t *ev);


static ngx_http_ollama_lazyfree_state_t  ngx_http_ollama_lazyfree;


u_char *
ngx_http_ollama_lazyfree_alloc(ngx_http_ollama_lazyfree_t *lazyfree,
    ngx_pool_t *pool, size_t size)
{
    u_char                            *p;
    ngx_pool_t                        *own;
    ngx_http_ollama_lazyfree_piece_t  *piece;

    if (lazyfree->pieces == NULL
        && ngx_http_ollama_lazyfree_begin(lazyfree, pool) != NGX_OK)
    {
        return NULL;
    }

    own = ngx_create_pool(NGX_HTTP_OLLAMA_LAZYFREE_POOL, pool->log);
    if (own == NULL) {
        return NULL;
    }

    piece = ngx_palloc(own, sizeof(ngx_http_ollama_lazyfree_piece_t));
    p = ngx_pnalloc(own, size);

    if (piece == NULL || p == NULL) {
        ngx_destroy_pool(own);
        return NULL;
    }

    piece->pool = own;
    piece->size = size;

    ngx_queue_insert_tail(lazyfree->pieces, &piece->queue);

    return p;
}


static ngx_int_t
ngx_http_ollama_lazyfree_begin(ngx_http_ollama_lazyfree_t *lazyfree,
    ngx_pool_t *pool)
{
    ngx_queue_t         *pieces;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_queue_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    pieces = cln->data;
    ngx_queue_init(pieces);

    cln->handler = ngx_http_ollama_lazyfree_cleanup;
    lazyfree->pieces = pieces;

    return NGX_OK;
}


static void
ngx_http_ollama_lazyfree_cleanup(void *data)
{
    ngx_queue_t *pieces = data;

    ngx_queue_t                       *q;
    ngx_http_ollama_lazyfree_piece_t  *piece;
    ngx_http_ollama_lazyfree_state_t  *state;

    if (ngx_queue_empty(pieces)) {
        return;
    }

    for (q = ngx_queue_head(pieces);
         q != ngx_queue_sentinel(pieces);
         q = ngx_queue_next(q))
    {
        piece = ngx_queue_data(q, ngx_http_ollama_lazyfree_piece_t, queue);

        /* the connection, and its log, may be freed earlier */
        piece->pool->log = ngx_cycle->log;
    }

    state = &ngx_http_ollama_lazyfree;

    if (state->pieces.next == NULL) {
        ngx_queue_init(&state->pieces);
    }

    ngx_queue_add(&state->pieces, pieces);

    if (state->turn.event.posted) {
        return;
    }

    ngx_http_ollama_timer_init(&state->turn, ngx_http_ollama_lazyfree_handler,
                               NULL, ngx_cycle->log);

    ngx_post_event(&state->turn.event, &ngx_posted_next_events);
}


static void
ngx_http_ollama_lazyfree_handler(ngx_event_t *ev)
{
    size_t                             freed;
    ngx_queue_t                       *q, *pieces;
    ngx_http_ollama_lazyfree_piece_t  *piece;

    pieces = &ngx_http_ollama_lazyfree.pieces;
    freed = 0;

    while (!ngx_queue_empty(pieces)) {

        if (freed >= NGX_HTTP_OLLAMA_LAZYFREE_TURN) {
            ngx_post_event(ev, &ngx_posted_next_events);
            return;
        }

        q = ngx_queue_head(pieces);
        piece = ngx_queue_data(q, ngx_http_ollama_lazyfree_piece_t, queue);

        freed += piece->size;

        ngx_queue_remove(q);
        ngx_destroy_pool(piece->pool);
    }
}
