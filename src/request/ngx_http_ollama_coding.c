
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Decodes gzip by zlib, and zstd if that was there when the module was built.
 * Several gzip members, or zstd frames, one behind the other are one text (RFC
 * 1952, 2.2; RFC 8878, 3.1).  A decoder takes 40 KB for gzip, and for zstd up
 * to 8 MB and some, the window that RFC 8878, 3.1.1.1.2 recommends to support;
 * frames with a larger one are refused as damaged.
 *
 * It has no request, so that unit tests can run it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_coding.h"


/* a gzip header, and the largest window */
#define NGX_HTTP_OLLAMA_CODING_GZIP_BITS  (16 + 15)
#define NGX_HTTP_OLLAMA_CODING_ZSTD_BITS  23


static void *ngx_http_ollama_coding_alloc(void *data, u_int items,
    u_int size);
static void ngx_http_ollama_coding_free(void *data, void *p);
static ngx_int_t ngx_http_ollama_coding_gzip(ngx_http_ollama_coding_t *c,
    u_char **in, u_char *in_last, u_char **out, u_char *out_last);

#if (NGX_HTTP_OLLAMA_ZSTD)
static void ngx_http_ollama_coding_cleanup(void *data);
static ngx_int_t ngx_http_ollama_coding_zstd(ngx_http_ollama_coding_t *c,
    u_char **in, u_char *in_last, u_char **out, u_char *out_last);
#endif


/* beginnings of names of charsets, which some clients put there */

static ngx_str_t  ngx_http_ollama_coding_charsets[] = {
    ngx_string("utf"),
    ngx_string("us-ascii"),
    ngx_string("ascii"),
    ngx_string("iso-8859-"),
    ngx_string("iso8859-"),
    ngx_string("latin"),
    ngx_string("windows-125"),
    ngx_null_string
};


ngx_http_ollama_coding_e
ngx_http_ollama_coding(ngx_str_t *value)
{
    ngx_str_t  *name;

    if (value->len == 0
        || (value->len == 8
            && ngx_strncasecmp(value->data, (u_char *) "identity", 8) == 0))
    {
        return NGX_HTTP_OLLAMA_CODING_NONE;
    }

    if ((value->len == 4
         && ngx_strncasecmp(value->data, (u_char *) "gzip", 4) == 0)
        || (value->len == 6
            && ngx_strncasecmp(value->data, (u_char *) "x-gzip", 6) == 0))
    {
        return NGX_HTTP_OLLAMA_CODING_GZIP;
    }

#if (NGX_HTTP_OLLAMA_ZSTD)

    if (value->len == 4
        && ngx_strncasecmp(value->data, (u_char *) "zstd", 4) == 0)
    {
        return NGX_HTTP_OLLAMA_CODING_ZSTD;
    }

#endif

    if (ngx_strlchr(value->data, value->data + value->len, ',')) {
        return NGX_HTTP_OLLAMA_CODING_OTHER;
    }

    for (name = ngx_http_ollama_coding_charsets; name->len; name++) {
        if (value->len >= name->len
            && ngx_strncasecmp(value->data, name->data, name->len) == 0)
        {
            return NGX_HTTP_OLLAMA_CODING_NONE;
        }
    }

    return NGX_HTTP_OLLAMA_CODING_OTHER;
}


ngx_int_t
ngx_http_ollama_coding_init(ngx_http_ollama_coding_t *c,
    ngx_http_ollama_coding_e coding, ngx_pool_t *pool)
{
#if (NGX_HTTP_OLLAMA_ZSTD)
    ngx_pool_cleanup_t  *cln;
#endif

    ngx_memzero(c, sizeof(ngx_http_ollama_coding_t));

    c->coding = coding;

    if (coding == NGX_HTTP_OLLAMA_CODING_GZIP) {

        c->gzip.zalloc = ngx_http_ollama_coding_alloc;
        c->gzip.zfree = ngx_http_ollama_coding_free;
        c->gzip.opaque = pool;

        return inflateInit2(&c->gzip, NGX_HTTP_OLLAMA_CODING_GZIP_BITS) == Z_OK
               ? NGX_OK : NGX_ERROR;
    }

#if (NGX_HTTP_OLLAMA_ZSTD)

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    c->zstd = ZSTD_createDStream();
    if (c->zstd == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_ollama_coding_cleanup;
    cln->data = c->zstd;

    if (ZSTD_isError(ZSTD_DCtx_setParameter(c->zstd, ZSTD_d_windowLogMax,
                                         NGX_HTTP_OLLAMA_CODING_ZSTD_BITS)))
    {
        return NGX_ERROR;
    }

#endif

    return NGX_OK;
}


static void *
ngx_http_ollama_coding_alloc(void *data, u_int items, u_int size)
{
    return ngx_palloc(data, items * size);
}


static void
ngx_http_ollama_coding_free(void *data, void *p)
{
    /* it is in the pool until its end */
}


ngx_int_t
ngx_http_ollama_coding_decode(ngx_http_ollama_coding_t *c, u_char **in,
    u_char *in_last, u_char **out, u_char *out_last)
{
    ngx_int_t  rc;

    do {

        if (*in == in_last && !c->open) {
            return NGX_OK;
        }

#if (NGX_HTTP_OLLAMA_ZSTD)
        if (c->coding == NGX_HTTP_OLLAMA_CODING_ZSTD) {
            rc = ngx_http_ollama_coding_zstd(c, in, in_last, out, out_last);

        } else
#endif
        {
            rc = ngx_http_ollama_coding_gzip(c, in, in_last, out, out_last);
        }

        if (rc != NGX_OK) {
            return rc;
        }

    } while (*in < in_last && *out < out_last);

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_coding_gzip(ngx_http_ollama_coding_t *c, u_char **in,
    u_char *in_last, u_char **out, u_char *out_last)
{
    int  rc;

    if (!c->open) {
        (void) inflateReset(&c->gzip);
        c->open = 1;
    }

    c->gzip.next_in = *in;
    c->gzip.avail_in = in_last - *in;
    c->gzip.next_out = *out;
    c->gzip.avail_out = out_last - *out;

    rc = inflate(&c->gzip, Z_NO_FLUSH);

    *in = c->gzip.next_in;
    *out = c->gzip.next_out;

    switch (rc) {

    case Z_STREAM_END:
        c->open = 0;
        return NGX_OK;

    case Z_OK:
    case Z_BUF_ERROR:
        return NGX_OK;

    case Z_MEM_ERROR:
        return NGX_ERROR;

    default:
        return NGX_DECLINED;
    }
}


#if (NGX_HTTP_OLLAMA_ZSTD)

static void
ngx_http_ollama_coding_cleanup(void *data)
{
    (void) ZSTD_freeDStream(data);
}


static ngx_int_t
ngx_http_ollama_coding_zstd(ngx_http_ollama_coding_t *c, u_char **in,
    u_char *in_last, u_char **out, u_char *out_last)
{
    size_t          rc;
    ZSTD_inBuffer   src;
    ZSTD_outBuffer  dst;

    src.src = *in;
    src.size = in_last - *in;
    src.pos = 0;

    dst.dst = *out;
    dst.size = out_last - *out;
    dst.pos = 0;

    rc = ZSTD_decompressStream(c->zstd, &dst, &src);

    *in += src.pos;
    *out += dst.pos;

    if (ZSTD_isError(rc)) {
        return NGX_DECLINED;
    }

    /* 0: a frame has ended, and is decoded */
    c->open = (rc != 0);

    return NGX_OK;
}

#endif
