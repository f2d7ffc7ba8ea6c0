
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Changes of a body that goes to a server: notes what is inserted and what is
 * cut out, by offsets in the client's body.  body.c makes the new body of that.
 *
 * The cuts are in ctx->pool, what is inserted in the request's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "request/ngx_http_ollama_body_edit.h"
#include "core/ngx_http_ollama_ctx.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_buf_t *ngx_http_ollama_body_edit_value(ngx_pool_t *pool,
    ngx_str_t *model, ngx_uint_t plain);
static ngx_int_t ngx_http_ollama_body_edit_arg(ngx_http_request_t *r,
    ngx_str_t *arg, ngx_str_t *model);
static ngx_int_t ngx_http_ollama_body_edit_cut(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_cut_t *at);


/* Insertions are in the order of their offsets. */

void
ngx_http_ollama_body_edit_insert(ngx_http_ollama_ctx_t *ctx, off_t at,
    ngx_chain_t *chain, off_t size)
{
    ngx_uint_t                      i;
    ngx_http_ollama_body_insert_t  *insert;

    insert = ctx->insert;

    for (i = ctx->ninsert++; i > 0 && insert[i - 1].at > at; i--) {
        insert[i] = insert[i - 1];
    }

    insert[i].at = at;
    insert[i].chain = chain;
    insert[i].size = size;
}


ngx_int_t
ngx_http_ollama_body_edit_model(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *model)
{
    ngx_int_t               rc;
    ngx_buf_t              *b;
    ngx_chain_t            *cl;
    ngx_http_ollama_cut_t  *at;

    ctx->scan->model = *model;

    if (ctx->model_arg.data) {
        return ngx_http_ollama_body_edit_arg(r, &ctx->model_arg, model);
    }

    at = &ctx->scan->model_at;

    if (at->end == 0) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_body_edit_cut(ctx, at);

    if (rc != NGX_OK) {
        /* without a name in the body there is nothing to replace */
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    b = ngx_http_ollama_body_edit_value(r->pool, model, ctx->form != NULL);
    if (b == NULL) {
        return NGX_ERROR;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = b;
    cl->next = NULL;

    ngx_http_ollama_body_edit_insert(ctx, at->start, cl, b->last - b->pos);

    return NGX_OK;
}


/* The name as a string of JSON, or "plain", as in a form. */

static ngx_buf_t *
ngx_http_ollama_body_edit_value(ngx_pool_t *pool, ngx_str_t *model,
    ngx_uint_t plain)
{
    size_t      size;
    ngx_buf_t  *b;

    size = plain ? model->len
                 : 2 + model->len
                   + ngx_escape_json(NULL, model->data, model->len);

    b = ngx_create_temp_buf(pool, size);
    if (b == NULL) {
        return NULL;
    }

    if (plain) {
        b->last = ngx_cpymem(b->last, model->data, model->len);
        return b;
    }

    *b->last++ = '"';
    b->last = (u_char *) ngx_escape_json(b->last, model->data, model->len);
    *b->last++ = '"';

    return b;
}


/* Replaces the value of an argument. */

static ngx_int_t
ngx_http_ollama_body_edit_arg(ngx_http_request_t *r, ngx_str_t *arg,
    ngx_str_t *model)
{
    u_char     *p, *tail;
    size_t      n;
    ngx_str_t   args;

    tail = arg->data + arg->len;

    n = model->len + 2 * ngx_escape_uri(NULL, model->data, model->len,
                                        NGX_ESCAPE_URI_COMPONENT);

    args.len = r->args.len - arg->len + n;

    args.data = ngx_pnalloc(r->pool, args.len);
    if (args.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(args.data, r->args.data, arg->data - r->args.data);

    arg->len = n;

    p = (u_char *) ngx_escape_uri(p, model->data, model->len,
                                  NGX_ESCAPE_URI_COMPONENT);
    arg->data = p - n;

    (void) ngx_cpymem(p, tail, r->args.data + r->args.len - tail);

    r->args = args;

    return NGX_OK;
}


/* Adds a cut where it belongs.  NGX_DECLINED: that is cut out already. */

static ngx_int_t
ngx_http_ollama_body_edit_cut(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_cut_t *at)
{
    ngx_uint_t              i;
    ngx_http_ollama_cut_t  *cut;

    cut = ctx->scan->cuts.elts;

    for (i = 0; i < ctx->scan->cuts.nelts; i++) {
        if (cut[i].start <= at->start && at->end <= cut[i].end) {
            return NGX_DECLINED;
        }
    }

    if (ngx_array_push(&ctx->scan->cuts) == NULL) {
        return NGX_ERROR;
    }

    cut = ctx->scan->cuts.elts;

    for (i = ctx->scan->cuts.nelts - 1;
         i > 0 && cut[i - 1].start > at->start;
         i--)
    {
        cut[i] = cut[i - 1];
    }

    cut[i] = *at;

    return NGX_OK;
}
