
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The gateway's own replies: JSON of a known length, with an ETag made of the
 * content, so that nginx can reply 304 if that has not changed.  Texts are not
 * copied.  Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_response.h"
#include "core/ngx_http_ollama_header.h"
#include "util/ngx_http_ollama_chain.h"


static ngx_int_t ngx_http_ollama_response_etag(ngx_http_request_t *r,
    uint64_t hash);


ngx_int_t
ngx_http_ollama_response(ngx_http_request_t *r, ngx_chain_t *out,
    uint64_t hash)
{
    off_t         size;
    ngx_int_t     rc;
    ngx_str_t     value;
    ngx_chain_t  *cl;

    size = 0;

    for (cl = out; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);

        if (cl->next == NULL) {
            cl->buf->last_buf = (r == r->main);
            cl->buf->last_in_chain = 1;
        }
    }

    if (r->headers_out.status == 0) {
        r->headers_out.status = NGX_HTTP_OK;
    }

    r->headers_out.content_length_n = size;

    ngx_str_set(&r->headers_out.content_type,
                "application/json; charset=utf-8");
    r->headers_out.content_type_len = sizeof("application/json") - 1;
    r->headers_out.content_type_lowcase = NULL;

    /* may be cached, but must be revalidated each time, by its ETag */

    ngx_str_set(&value, "no-cache");

    if (hash == 0) {
        ngx_str_set(&value, "no-store");
    }

    if (ngx_http_ollama_header_add(r, "Cache-Control", &value) != NGX_OK
        || ngx_http_ollama_response_etag(r, hash) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, out);
}


static ngx_int_t
ngx_http_ollama_response_etag(ngx_http_request_t *r, uint64_t hash)
{
    u_char                    *p;
    ngx_str_t                  value;
    ngx_list_part_t           *part;
    ngx_table_elt_t           *h;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!clcf->etag || hash == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("\"0123456789abcdef-\"") - 1
                             + NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "\"%016xL-%xO\"", hash,
                            r->headers_out.content_length_n)
                - p;

    if (ngx_http_ollama_header_add(r, "ETag", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    part = r->headers_out.headers.last;
    h = part->elts;

    r->headers_out.etag = &h[part->nelts - 1];

    /* by the ETag alone: there is no date to compare with (RFC 9110, 13.1) */

    r->disable_not_modified = 0;
    r->headers_in.if_modified_since = NULL;
    r->headers_in.if_unmodified_since = NULL;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_response_text(ngx_http_request_t *r, ngx_str_t *text,
    uint64_t hash)
{
    ngx_chain_t  *out;

    out = NULL;

    if (ngx_http_ollama_response_add(r->pool, &out, text) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_response(r, out, hash);
}


ngx_int_t
ngx_http_ollama_response_walk(ngx_http_request_t *r,
    ngx_http_ollama_emit_pt walk, void *data)
{
    ngx_str_t  text;

    if (ngx_http_ollama_emit_make(r->pool, walk, data, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_response_text(r, &text,
                                         ngx_http_ollama_emit_hash(&text));
}


ngx_chain_t **
ngx_http_ollama_response_add(ngx_pool_t *pool, ngx_chain_t **last,
    ngx_str_t *text)
{
    ngx_chain_t  *cl;

    cl = ngx_http_ollama_chain_text(pool, text->data, text->len);
    if (cl == NULL) {
        return NULL;
    }

    *last = cl;

    return &cl->next;
}
