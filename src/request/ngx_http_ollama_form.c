
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request's body that is a form, for endpoints that take files: its field
 * "model" decides about the server, and it is sent there as it is, but for an
 * alias; so one with a field that ollama_forbid names is refused.  As Go's
 * FormValue() takes arguments of the query string before
 * fields, one with this name wins.
 *
 * The form is in ctx->pool; what is found is in the request's pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "request/ngx_http_ollama_form.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_error.h"
#include "request/ngx_http_ollama_multipart.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_int_t ngx_http_ollama_form_result(ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_ollama_form_refused(ngx_http_ollama_ctx_t *ctx,
    ngx_str_t *name);
static ngx_int_t ngx_http_ollama_form_args(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_form_arg(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value, ngx_str_t *raw);
static ngx_int_t ngx_http_ollama_form_unescape(ngx_pool_t *pool, u_char *p,
    u_char *last, ngx_str_t *text);


ngx_int_t
ngx_http_ollama_form_init(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_ollama_loc_conf_t   *olcf;
    ngx_http_ollama_multipart_t  *form;

    if (r->headers_in.content_type == NULL) {
        return NGX_DECLINED;
    }

    form = ngx_pcalloc(ctx->pool, sizeof(ngx_http_ollama_multipart_t));
    if (form == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_set(&form->name, "model");

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (olcf->forbid) {
        form->forbid = olcf->forbid->elts;
        form->nforbid = olcf->forbid->nelts;
    }

    rc = ngx_http_ollama_multipart_init(form,
                                        &r->headers_in.content_type->value);

    if (rc == NGX_ERROR) {

        if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_FURTHER) {
            return NGX_DECLINED;
        }

        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "the Content-Type of the form has no "
                                     "valid boundary: \"%V\"",
                                     &r->headers_in.content_type->value);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_array_init(&ctx->scan->cuts, ctx->pool, 1,
                       sizeof(ngx_http_ollama_cut_t))
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->form = form;

    return rc;
}


ngx_int_t
ngx_http_ollama_form_feed(ngx_http_ollama_ctx_t *ctx, u_char *p, size_t size)
{
    if (ctx->form->error) {
        /* no form, but it need not be */
        return NGX_OK;
    }

    return ngx_http_ollama_form_result(ctx,
                           ngx_http_ollama_multipart_feed(ctx->form, p, size));
}


ngx_int_t
ngx_http_ollama_form_end(ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t  *model, *value;

    if (ctx->form->error == NULL) {
        rc = ngx_http_ollama_form_result(ctx,
                                     ngx_http_ollama_multipart_end(ctx->form));

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_ollama_form_args(ctx->request, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    model = &ctx->scan->model;

    rc = ngx_http_ollama_form_arg(ctx->request, &ctx->form->name, model,
                                  &ctx->model_arg);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    value = &ctx->form->value;

    model->data = ngx_pstrdup(ctx->request->pool, value);
    if (model->data == NULL) {
        return NGX_ERROR;
    }

    model->len = value->len;

    if (model->len) {
        ctx->scan->model_at.start = ctx->form->value_at;
        ctx->scan->model_at.end = ctx->form->value_at + model->len;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_form_result(ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_ollama_multipart_t  *form;

    if (rc != NGX_DECLINED) {
        return rc;
    }

    form = ctx->form;

    if (form->refused) {
        return ngx_http_ollama_form_refused(ctx, form->refused);
    }

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_FURTHER) {
        return NGX_OK;
    }

    return ngx_http_ollama_error(ctx->request, ctx, NGX_HTTP_BAD_REQUEST,
                                 "invalid request body at byte %O: %s%s",
                                 form->error_at,
                                 form->wanted ? "\"model\" " : "",
                                 form->error);
}


/* A form is sent on as it is: nothing is taken out of it. */

static ngx_int_t
ngx_http_ollama_form_refused(ngx_http_ollama_ctx_t *ctx, ngx_str_t *name)
{
    return ngx_http_ollama_error(ctx->request, ctx, NGX_HTTP_BAD_REQUEST,
                                 "field \"%V\" is not allowed here, send the "
                                 "form without it", name);
}


/* Go takes an argument for a field. */

static ngx_int_t
ngx_http_ollama_form_args(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_str_t                  value, raw;
    ngx_uint_t                 i;
    ngx_http_ollama_forbid_t  *forbid;

    forbid = ctx->form->forbid;

    for (i = 0; i < ctx->form->nforbid; i++) {

        rc = ngx_http_ollama_form_arg(r, &forbid[i].name, &value, &raw);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            return ngx_http_ollama_form_refused(ctx, &forbid[i].name);
        }
    }

    return NGX_OK;
}


/*
 * The first argument with this name; "raw" is its value as it was sent.
 * NGX_DECLINED: there is none.
 */

static ngx_int_t
ngx_http_ollama_form_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value, ngx_str_t *raw)
{
    u_char     *p, *s, *end, *last;
    ngx_str_t   key;

    p = r->args.data;
    last = p + r->args.len;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        if (ngx_strlchr(p, end, ';')) {
            /* Go drops it */
            continue;
        }

        s = ngx_strlchr(p, end, '=');
        if (s == NULL) {
            s = end;
        }

        if (ngx_http_ollama_form_unescape(r->pool, p, s, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key.len == name->len
            && ngx_strncmp(key.data, name->data, key.len) == 0)
        {
            raw->data = (s < end) ? s + 1 : end;
            raw->len = end - raw->data;

            return ngx_http_ollama_form_unescape(r->pool, raw->data, end,
                                                 value);
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_form_unescape(ngx_pool_t *pool, u_char *p, u_char *last,
    ngx_str_t *text)
{
    u_char  *s, *dst, *src;

    text->data = ngx_pnalloc(pool, last - p + 1);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    /* an escaped "+" is none */

    for (s = text->data; p < last; p++) {
        *s++ = (*p == '+') ? ' ' : *p;
    }

    dst = text->data;
    src = text->data;

    ngx_unescape_uri(&dst, &src, s - text->data, 0);

    text->len = dst - text->data;

    return NGX_OK;
}
