
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Unpacks a compressed body: in memory up to client_body_buffer_size, larger
 * ones into a temporary file, as nginx does with plain bodies.  The parser gets
 * each piece when it is unpacked.  The buffers and the file are the request's;
 * the rest is in ctx->pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "request/ngx_http_ollama_unpack.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"


/* sizes of the first buffer, and of the largest: a short body takes little */
#define NGX_HTTP_OLLAMA_UNPACK_FIRST  4096
#define NGX_HTTP_OLLAMA_UNPACK_MAX    (32 * 1024)


static ngx_int_t ngx_http_ollama_unpack_coding(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_coding_e *coding);
static ngx_int_t ngx_http_ollama_unpack_damaged(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_unpack_room(ngx_http_request_t *r,
    ngx_http_ollama_unpack_t *unpack);
static ngx_int_t ngx_http_ollama_unpack_write(ngx_http_request_t *r,
    ngx_http_ollama_unpack_t *unpack);


static ngx_int_t
ngx_http_ollama_unpack_coding(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_coding_e *coding)
{
    ngx_str_t   value;
    ngx_uint_t  n;

    *coding = NGX_HTTP_OLLAMA_CODING_NONE;

    n = ngx_http_ollama_header_find(r, "content-encoding", &value);

    if (n == 0) {
        return NGX_OK;
    }

    *coding = (n == 1) ? ngx_http_ollama_coding(&value)
                       : NGX_HTTP_OLLAMA_CODING_OTHER;

    if (*coding != NGX_HTTP_OLLAMA_CODING_OTHER) {
        return NGX_OK;
    }

    ngx_str_set(&value, NGX_HTTP_OLLAMA_CODINGS);

    if (ngx_http_ollama_header_add(r, "Accept-Encoding", &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_ollama_header_find(r, "content-encoding", &value);

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                 "a request body with Content-Encoding \"%V\" "
                                 "is not supported: send it plain, or as one "
                                 "of " NGX_HTTP_OLLAMA_CODINGS, &value);
}


ngx_int_t
ngx_http_ollama_unpack_init(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_ollama_coding_e   coding;
    ngx_http_ollama_unpack_t  *unpack;
    ngx_http_core_loc_conf_t  *clcf;

    rc = ngx_http_ollama_unpack_coding(r, ctx, &coding);

    if (rc != NGX_OK || coding == NGX_HTTP_OLLAMA_CODING_NONE) {
        return rc;
    }

    unpack = ngx_pcalloc(ctx->pool, sizeof(ngx_http_ollama_unpack_t));
    if (unpack == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_coding_init(&unpack->coding, coding, ctx->pool)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    unpack->max = clcf->client_max_body_size;
    unpack->last = &unpack->bufs;

    ctx->unpack = unpack;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_unpack(ngx_http_ollama_ctx_t *ctx, u_char **in, u_char *last,
    size_t *left)
{
    size_t                     n, full;
    u_char                    *start, *end, *p;
    ngx_int_t                  rc;
    ngx_http_ollama_unpack_t  *unpack;

    unpack = ctx->unpack;

    for ( ;; ) {

        if (ngx_http_ollama_unpack_room(ctx->request, unpack) != NGX_OK) {
            return NGX_ERROR;
        }

        p = *in;
        start = unpack->buf->last;

        n = ngx_min((size_t) (unpack->buf->end - start), *left);
        end = start + n;

        rc = ngx_http_ollama_coding_decode(&unpack->coding, in,
                                  p + ngx_min((size_t) (last - p), *left),
                                  &unpack->buf->last, end);

        if (rc == NGX_DECLINED) {
            return ngx_http_ollama_unpack_damaged(ctx->request, ctx);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        n = unpack->buf->last - start;
        full = (unpack->buf->last == end);

        unpack->size += n;

        if (unpack->max && unpack->size > unpack->max) {
            return ngx_http_ollama_error(ctx->request, ctx,
                                         NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                         "the request body is larger than %O "
                                         "bytes, unpacked", unpack->max);
        }

        if (n) {
            rc = ctx->parser->feed(ctx, start, n);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        n = ngx_max(n, (size_t) (*in - p));
        *left -= n;

        if (*in == last && !full) {
            return NGX_OK;
        }

        if (*left == 0) {
            return NGX_AGAIN;
        }
    }
}


/* Makes sure that the last buffer has room. */

static ngx_int_t
ngx_http_ollama_unpack_room(ngx_http_request_t *r,
    ngx_http_ollama_unpack_t *unpack)
{
    size_t                     size;
    ngx_chain_t               *cl;
    ngx_http_core_loc_conf_t  *clcf;

    if (unpack->buf && unpack->buf->last < unpack->buf->end) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (unpack->file || unpack->buffered >= clcf->client_body_buffer_size) {

        if (unpack->buf) {
            return ngx_http_ollama_unpack_write(r, unpack);
        }
    }

    size = unpack->buf ? 2 * (size_t) (unpack->buf->end - unpack->buf->start)
                       : NGX_HTTP_OLLAMA_UNPACK_FIRST;

    size = ngx_min(size, NGX_HTTP_OLLAMA_UNPACK_MAX);

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = ngx_create_temp_buf(r->pool, size);
    if (cl->buf == NULL) {
        return NGX_ERROR;
    }

    cl->next = NULL;

    *unpack->last = cl;
    unpack->last = &cl->next;
    unpack->buf = cl->buf;
    unpack->buffered += size;

    return NGX_OK;
}


/* Writes the buffers to the file; the last one is used again. */

static ngx_int_t
ngx_http_ollama_unpack_write(ngx_http_request_t *r,
    ngx_http_ollama_unpack_t *unpack)
{
    ssize_t                    n;
    ngx_chain_t               *cl, *next;
    ngx_temp_file_t           *tf;
    ngx_http_core_loc_conf_t  *clcf;

    tf = unpack->file;

    if (tf == NULL) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        tf = ngx_pcalloc(r->pool, sizeof(ngx_temp_file_t));
        if (tf == NULL) {
            return NGX_ERROR;
        }

        tf->file.fd = NGX_INVALID_FILE;
        tf->file.log = r->connection->log;
        tf->path = clcf->client_body_temp_path;
        tf->pool = r->pool;
        tf->warn = "an unpacked request body is buffered to a temporary file";
        tf->log_level = r->request_body_file_log_level;
        tf->clean = 1;

        unpack->file = tf;
    }

    n = ngx_write_chain_to_temp_file(tf, unpack->bufs);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    tf->offset += n;

    for (cl = unpack->bufs; cl->next; cl = next) {
        next = cl->next;
        (void) ngx_pfree(r->pool, cl->buf->start);
        ngx_free_chain(r->pool, cl);
    }

    cl->buf->pos = cl->buf->start;
    cl->buf->last = cl->buf->start;

    unpack->bufs = cl;
    unpack->last = &cl->next;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_unpack_end(ngx_http_ollama_ctx_t *ctx)
{
    ngx_buf_t                 *b;
    ngx_chain_t              **ll;
    ngx_http_request_t        *r;
    ngx_http_ollama_unpack_t  *unpack;

    r = ctx->request;
    unpack = ctx->unpack;

    if (unpack->coding.open) {
        return ngx_http_ollama_unpack_damaged(r, ctx);
    }

    if (ngx_http_ollama_header_remove(r, "content-encoding") != NGX_OK) {
        return NGX_ERROR;
    }

    if (unpack->file == NULL) {

        /* a buffer without a byte can't be sent */

        for (ll = &unpack->bufs; *ll; ll = &(*ll)->next) {
            if ((*ll)->buf->pos == (*ll)->buf->last) {
                *ll = NULL;
                break;
            }
        }

        return NGX_OK;
    }

    if (ngx_http_ollama_unpack_write(r, unpack) != NGX_OK) {
        return NGX_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->in_file = 1;
    b->file_last = unpack->size;
    b->file = &unpack->file->file;

    (void) ngx_pfree(r->pool, unpack->buf->start);

    unpack->bufs->buf = b;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_unpack_damaged(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_str_t  value;

    ngx_str_null(&value);
    (void) ngx_http_ollama_header_find(r, "content-encoding", &value);

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                 "invalid request body: its %V data are "
                                 "damaged", &value);
}
