
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The text that a session adds to a chat's body, in front of the messages that
 * the body has; and these, as the texts that they are there.  All of it is in
 * the request's memory.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_insert.h"
#include "core/ngx_http_ollama_ctx.h"
#include "request/ngx_http_ollama_scan.h"


/* of a text that is given back by itself, in bytes */
#define NGX_HTTP_OLLAMA_INSERT_LARGE  65536


static ngx_buf_t *ngx_http_ollama_insert_buf(
    ngx_http_ollama_insert_t *splice, size_t size);
static u_char *ngx_http_ollama_insert_span(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_cut_t *span);


void
ngx_http_ollama_insert_init(ngx_http_ollama_insert_t *splice,
    ngx_pool_t *pool)
{
    ngx_memzero(splice, sizeof(ngx_http_ollama_insert_t));

    splice->pool = pool;
    splice->end = &splice->chain;
}


u_char *
ngx_http_ollama_insert_put(ngx_http_ollama_insert_t *splice, size_t size)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_http_ollama_insert_buf(splice, size);
    if (b == NULL) {
        return NULL;
    }

    cl = ngx_alloc_chain_link(splice->pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    splice->last = splice->end;
    *splice->end = cl;
    splice->end = &cl->next;
    splice->size += size;

    return b->pos;
}


/* A buffer that is full. */

static ngx_buf_t *
ngx_http_ollama_insert_buf(ngx_http_ollama_insert_t *splice, size_t size)
{
    ngx_buf_t  *b;

    if (size <= NGX_HTTP_OLLAMA_INSERT_LARGE) {

        b = ngx_create_temp_buf(splice->pool, size);
        if (b == NULL) {
            return NULL;
        }

        b->last = b->end;

        return b;
    }

    b = ngx_calloc_buf(splice->pool);
    if (b == NULL) {
        return NULL;
    }

    b->start = ngx_http_ollama_lazyfree_alloc(&splice->shed, splice->pool,
                                              size);
    if (b->start == NULL) {
        return NULL;
    }

    b->pos = b->start;
    b->last = b->start + size;
    b->end = b->last;
    b->temporary = 1;

    return b;
}


void
ngx_http_ollama_insert_mark(ngx_http_ollama_insert_t *splice, u_char *p)
{
    splice->mark = splice->last;
    splice->mark_pos = p;
    splice->mark_at = splice->size - ((*splice->last)->buf->last - p);
}


ngx_uint_t
ngx_http_ollama_insert_ends_with(ngx_http_ollama_insert_t *splice,
    ngx_str_t *messages, ngx_uint_t n)
{
    off_t         left;
    u_char       *p;
    ngx_uint_t    i;
    ngx_chain_t  *cl;

    if (splice->mark == NULL) {
        return 0;
    }

    left = splice->size - splice->mark_at;
    cl = *splice->mark;
    p = splice->mark_pos;

    for (i = 0; i < n && left; i++) {

        if (p == cl->buf->last) {
            cl = cl->next;
            p = cl->buf->pos;
        }

        if ((size_t) (cl->buf->last - p) <= messages[i].len
            || p[messages[i].len] != ','
            || ngx_memcmp(p, messages[i].data, messages[i].len) != 0)
        {
            return 0;
        }

        p += messages[i].len + 1;
        left -= messages[i].len + 1;
    }

    return i == n && left == 0;
}


/* Only the text in front of the mark stays. */

void
ngx_http_ollama_insert_truncate(ngx_http_ollama_insert_t *splice)
{
    ngx_buf_t  *b;

    b = (*splice->mark)->buf;
    b->last = splice->mark_pos;

    /* no buffer of a body may be empty */

    splice->end = (b->pos < b->last) ? &(*splice->mark)->next : splice->mark;

    *splice->end = NULL;
    splice->size = splice->mark_at;
}


void
ngx_http_ollama_insert_drop_comma(ngx_http_ollama_insert_t *splice)
{
    (*splice->last)->buf->last--;
    splice->size--;
}


void
ngx_http_ollama_insert_into_body(ngx_http_ollama_insert_t *splice,
    ngx_http_ollama_ctx_t *ctx, off_t at)
{
    ngx_http_ollama_body_insert_t  *insert;

    insert = &ctx->insert[ctx->ninsert++];

    insert->at = at;
    insert->chain = splice->chain;
    insert->size = splice->size;

    ngx_http_ollama_insert_init(splice, splice->pool);
}


ngx_str_t *
ngx_http_ollama_insert_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_str_t              *messages;
    ngx_uint_t              i, n;
    ngx_http_ollama_cut_t  *span;

    n = ctx->scan->messages.nelts;
    span = ctx->scan->messages.elts;

    messages = ngx_palloc(ctx->pool, n * sizeof(ngx_str_t));
    if (messages == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        messages[i].len = span[i].end - span[i].start;
        messages[i].data = ngx_http_ollama_insert_span(r, ctx, &span[i]);

        if (messages[i].data == NULL) {
            return NULL;
        }
    }

    return messages;
}


/* A piece of the body: where it lies there as a whole, or a copy. */

static u_char *
ngx_http_ollama_insert_span(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_cut_t *span)
{
    off_t         at, from, to, size;
    u_char       *copy, *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (ctx->map) {
        return ctx->map + span->start;
    }

    at = 0;
    copy = NULL;
    p = NULL;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        size = b->last - b->pos;

        from = ngx_max(span->start, at);
        to = ngx_min(span->end, at + size);

        if (from == span->start && to == span->end) {
            return b->pos + (from - at);
        }

        if (from < to) {

            if (copy == NULL) {
                copy = ngx_palloc(ctx->pool, span->end - span->start);
                if (copy == NULL) {
                    return NULL;
                }

                p = copy;
            }

            p = ngx_cpymem(p, b->pos + (from - at), to - from);
        }

        at += size;
    }

    return copy;
}
