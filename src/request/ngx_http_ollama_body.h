
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_BODY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "request/ngx_http_ollama_scan.h"


/*
 * Prepares to read a request's body: makes ctx->scan, zeroed, and ctx->pool,
 * which is freed when the body was read.  NGX_OK, or the status of a refusal:
 * the body has a coding that can't be unpacked.
 */
ngx_int_t ngx_http_ollama_body_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/*
 * Begins to read the body, which is in memory or in a file as a whole before
 * the parser gets it.  Returns what the phase is to return.
 *
 * Then parser->feed() is called for each piece and parser->end() after the
 * last one.  They return NGX_OK, NGX_ERROR or the status of a refusal; after
 * anything but NGX_OK no more is read.  That result goes to parser->done(),
 * which is called once, unless the request ends before, and must come to
 * ngx_http_ollama_body_finish(), at once or later.
 */
ngx_int_t ngx_http_ollama_body_read(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, const ngx_http_ollama_body_parser_t *parser);

/* The parser of a body that goes to a server: ctx->scan says what is in it. */
ngx_int_t ngx_http_ollama_body_scan_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
ngx_int_t ngx_http_ollama_body_scan_feed(ngx_http_ollama_ctx_t *ctx,
    u_char *p, size_t size);
ngx_int_t ngx_http_ollama_body_scan_end(ngx_http_ollama_ctx_t *ctx);

/*
 * For clients that can't add fields to a body the gateway's own may be header
 * lines: completes ctx->scan with these; fields of the body win.  NGX_OK, or
 * the status of a refusal.
 */
ngx_int_t ngx_http_ollama_body_headers(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/*
 * Rewrites the body, if "rc" is NGX_OK, and runs the phases again with the
 * result: on to a server, or the refusal whose status "rc" is; NGX_ERROR is
 * 500.  May end the request.
 */
void ngx_http_ollama_body_finish(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);

/*
 * Frees what reading took and is not in the request's pool; does nothing the
 * second time.  "data" is the ctx.
 */
void ngx_http_ollama_body_cleanup(void *data);

/*
 * The bytes of a part of the client's body, which is in memory or mapped: in
 * place if they lie in one buffer, else copied to the pool.  NULL: no memory.
 */
u_char *ngx_http_ollama_body_span(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_cut_t *span, ngx_pool_t *pool);

/* Ends the mapping of a body in a file; its bytes must not be used after. */
void ngx_http_ollama_body_unmap(ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_BODY_H_INCLUDED_ */
