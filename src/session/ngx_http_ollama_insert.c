
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The text that a session inserts into a chat's body, before the messages that
 * the body has; and the texts of these.  All memory is that of the request's
 * pools; large pieces are freed little by little when the pool is destroyed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_insert.h"
#include "core/ngx_http_ollama_ctx.h"
#include "request/ngx_http_ollama_body_edit.h"
#include "request/ngx_http_ollama_body.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_utf8.h"


/* a larger piece, in bytes, is freed little by little */
#define NGX_HTTP_OLLAMA_INSERT_LARGE  65536


static ngx_buf_t *ngx_http_ollama_insert_buf(ngx_http_ollama_insert_t *insert,
    size_t size);
static ngx_int_t ngx_http_ollama_insert_mend(ngx_pool_t *pool,
    ngx_str_t *message);


void
ngx_http_ollama_insert_init(ngx_http_ollama_insert_t *insert, ngx_pool_t *pool)
{
    ngx_memzero(insert, sizeof(ngx_http_ollama_insert_t));

    insert->pool = pool;
    insert->end = &insert->chain;
}


u_char *
ngx_http_ollama_insert_put(ngx_http_ollama_insert_t *insert, size_t size)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_http_ollama_insert_buf(insert, size);
    if (b == NULL) {
        return NULL;
    }

    cl = ngx_alloc_chain_link(insert->pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    insert->last = insert->end;
    *insert->end = cl;
    insert->end = &cl->next;
    insert->size += size;

    return b->pos;
}


ngx_int_t
ngx_http_ollama_insert_system(ngx_http_ollama_insert_t *insert,
    ngx_str_t *system)
{
    u_char  *p;
    size_t   size;

    if (system->len == 0) {
        return NGX_OK;
    }

    size = sizeof("{\"role\":\"system\",\"content\":\"\"},") - 1
           + system->len
           + ngx_escape_json(NULL, system->data, system->len);

    p = ngx_http_ollama_insert_put(insert, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(p, "{\"role\":\"system\",\"content\":\"",
                   sizeof("{\"role\":\"system\",\"content\":\"") - 1);
    p = (u_char *) ngx_escape_json(p, system->data, system->len);
    ngx_memcpy(p, "\"},", 3);

    return NGX_OK;
}


/* A buffer of this size, that is full. */

static ngx_buf_t *
ngx_http_ollama_insert_buf(ngx_http_ollama_insert_t *insert, size_t size)
{
    ngx_buf_t  *b;

    if (size <= NGX_HTTP_OLLAMA_INSERT_LARGE) {

        b = ngx_create_temp_buf(insert->pool, size);
        if (b == NULL) {
            return NULL;
        }

        b->last = b->end;

        return b;
    }

    b = ngx_calloc_buf(insert->pool);
    if (b == NULL) {
        return NULL;
    }

    b->start = ngx_http_ollama_lazyfree_alloc(&insert->lazyfree, insert->pool,
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
ngx_http_ollama_insert_mark(ngx_http_ollama_insert_t *insert, u_char *p)
{
    insert->mark = insert->last;
    insert->mark_pos = p;
    insert->mark_at = insert->size - ((*insert->last)->buf->last - p);
}


ngx_uint_t
ngx_http_ollama_insert_ends_with(ngx_http_ollama_insert_t *insert,
    ngx_str_t *messages, ngx_uint_t n)
{
    off_t         left;
    u_char       *p;
    ngx_uint_t    i;
    ngx_chain_t  *cl;

    if (insert->mark == NULL) {
        return 0;
    }

    left = insert->size - insert->mark_at;
    cl = *insert->mark;
    p = insert->mark_pos;

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


void
ngx_http_ollama_insert_truncate(ngx_http_ollama_insert_t *insert)
{
    ngx_buf_t  *b;

    b = (*insert->mark)->buf;
    b->last = insert->mark_pos;

    /* no buffer of a body may be empty */

    insert->end = (b->pos < b->last) ? &(*insert->mark)->next : insert->mark;

    *insert->end = NULL;
    insert->size = insert->mark_at;
}


void
ngx_http_ollama_insert_drop_comma(ngx_http_ollama_insert_t *insert)
{
    (*insert->last)->buf->last--;
    insert->size--;
}


void
ngx_http_ollama_insert_into_body(ngx_http_ollama_insert_t *insert,
    ngx_http_ollama_ctx_t *ctx, off_t at)
{
    ngx_http_ollama_body_edit_insert(ctx, at, insert->chain, insert->size);

    ngx_http_ollama_insert_init(insert, insert->pool);
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
        messages[i].data = ngx_http_ollama_body_span(r, ctx, &span[i],
                                                     ctx->pool);

        if (messages[i].data == NULL) {
            return NULL;
        }

        if (ctx->scan->json.invalid
            && ngx_http_ollama_insert_mend(ctx->pool, &messages[i]) != NGX_OK)
        {
            return NULL;
        }
    }

    return messages;
}


/* What is stored will be sent as JSON, and so must be UTF-8. */

static ngx_int_t
ngx_http_ollama_insert_mend(ngx_pool_t *pool, ngx_str_t *message)
{
    size_t   size;
    u_char  *p;

    size = ngx_http_ollama_utf8_mend(NULL, message->data, message->len);

    if (size == message->len) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_http_ollama_utf8_mend(p, message->data, message->len);

    message->data = p;
    message->len = size;

    return NGX_OK;
}
