
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CODING_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CODING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <zlib.h>

#if (NGX_HTTP_OLLAMA_ZSTD)
#include <zstd.h>
#endif


/* of Accept-Encoding: what is understood */
#if (NGX_HTTP_OLLAMA_ZSTD)
#define NGX_HTTP_OLLAMA_CODINGS  "gzip, zstd"
#else
#define NGX_HTTP_OLLAMA_CODINGS  "gzip"
#endif


typedef enum {
    NGX_HTTP_OLLAMA_CODING_NONE = 0,
    NGX_HTTP_OLLAMA_CODING_GZIP,
    NGX_HTTP_OLLAMA_CODING_ZSTD,
    NGX_HTTP_OLLAMA_CODING_OTHER       /* one that is not understood */
} ngx_http_ollama_coding_e;


typedef struct {
    ngx_http_ollama_coding_e  coding;
    z_stream                  gzip;
#if (NGX_HTTP_OLLAMA_ZSTD)
    ZSTD_DStream             *zstd;
#endif
    unsigned                  open:1;  /* in a member or a frame */
} ngx_http_ollama_coding_t;


/*
 * The coding that a value of Content-Encoding names; none for what says nothing
 * about a coding: no value, "identity", a charset.
 */
ngx_http_ollama_coding_e ngx_http_ollama_coding(ngx_str_t *value);

/*
 * Prepares to decode gzip or zstd.  The memory is in the pool, or is freed with
 * it.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_coding_init(ngx_http_ollama_coding_t *c,
    ngx_http_ollama_coding_e coding, ngx_pool_t *pool);

/*
 * Decodes from *in to *out, and moves both, until there is no more of either.
 * If "out" is full it must be called again, also without input.  NGX_DECLINED:
 * the data are damaged; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_coding_decode(ngx_http_ollama_coding_t *c,
    u_char **in, u_char *in_last, u_char **out, u_char *out_last);


#endif /* _NGX_HTTP_OLLAMA_CODING_H_INCLUDED_ */
