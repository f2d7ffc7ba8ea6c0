
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UNPACK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UNPACK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "request/ngx_http_ollama_coding.h"


/* A compressed body on its way in. */

struct ngx_http_ollama_unpack_s {
    ngx_http_ollama_coding_t   coding;
    off_t                      size;      /* unpacked so far */
    off_t                      max;       /* 0: no limit */
    size_t                     buffered;  /* of the buffers */
    ngx_chain_t               *bufs;      /* what isn't in the file */
    ngx_chain_t              **last;
    ngx_buf_t                 *buf;       /* the last one of them */
    ngx_temp_file_t           *file;      /* NULL: it fits into memory */
};


/*
 * Makes ctx->unpack, if the body is compressed; what only unpacking needs is in
 * ctx->pool.  NGX_OK, or the status of a refusal.
 */
ngx_int_t ngx_http_ollama_unpack_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/*
 * Unpacks from *in on, moves it, and feeds ctx->parser.  *left is how many
 * bytes may be read or written now, and becomes less.  NGX_OK: all was taken;
 * NGX_AGAIN: nothing is left; else the result of the parser, or NGX_ERROR, or
 * the status of a refusal.
 */
ngx_int_t ngx_http_ollama_unpack(ngx_http_ollama_ctx_t *ctx, u_char **in,
    u_char *last, size_t *left);

/*
 * Ends the body.  What was unpacked is then in unpack->bufs, or as a whole in
 * unpack->file; the request's Content-Encoding is gone.  The same results.
 */
ngx_int_t ngx_http_ollama_unpack_end(ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_UNPACK_H_INCLUDED_ */
