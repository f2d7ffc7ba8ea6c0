
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FETCH_HTTP_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FETCH_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct ngx_http_ollama_fetch_http_s  ngx_http_ollama_fetch_http_t;


/* A reply that is being parsed. */

struct ngx_http_ollama_fetch_http_s {

    /* set by the caller, the rest zeroed; all must live as long as this */

    ngx_pool_t            *pool;
    ngx_log_t             *log;       /* of nginx's parsers, when they debug */
    size_t                 max_size;  /* of the body */

    /* the reply, after NGX_DONE */

    ngx_uint_t             status;
    ngx_str_t              body;
    const char            *error;     /* after NGX_ERROR; NULL: no memory */

    /* what was received: the caller writes to in->last, up to in->end */

    ngx_buf_t             *in;

    /* its own */

    ngx_http_request_t    *parser;    /* state of nginx's parsers */
    ngx_http_status_t      line;
    ngx_http_chunked_t     chunked;
    off_t                  length;    /* Content-Length; -1: none */
    size_t                 size;      /* of the body's buffer */
    ngx_uint_t             interim;   /* number of 1xx replies */
    ngx_int_t            (*process)(ngx_http_ollama_fetch_http_t *h);
    unsigned               chunks:1;  /* Transfer-Encoding: chunked */
};


/* Makes a struct ready to parse a reply.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_ollama_fetch_http_init(ngx_http_ollama_fetch_http_t *h);

/*
 * Parses what was added to h->in.  NGX_AGAIN: the reply goes on, and there is
 * room in h->in for more; NGX_DONE: that was all of it; NGX_ERROR: it is
 * invalid, or no memory is left, see h->error.
 */
ngx_int_t ngx_http_ollama_fetch_http_parse(ngx_http_ollama_fetch_http_t *h);

/*
 * The server closed the connection after NGX_AGAIN, or before anything was
 * received.  NGX_DONE: that was the end of the reply; NGX_ERROR: it is
 * truncated.
 */
ngx_int_t ngx_http_ollama_fetch_http_eof(ngx_http_ollama_fetch_http_t *h);

/* Frees h->in; harmless before init and if called again. */
void ngx_http_ollama_fetch_http_free(ngx_http_ollama_fetch_http_t *h);


#endif /* _NGX_HTTP_OLLAMA_FETCH_HTTP_H_INCLUDED_ */
