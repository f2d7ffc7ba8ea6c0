
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STRBUF_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STRBUF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a text that grows; zeroed, it is empty */

typedef struct {
    ngx_str_t    str;
    size_t       size;        /* of the memory at str.data */
} ngx_http_ollama_strbuf_text_t;


/* Texts that grow in one pool, and together not beyond a limit. */

typedef struct {
    ngx_pool_t  *pool;
    size_t       rest;        /* bytes that they may still take */

    uint16_t     unit;        /* of UTF-16, in a \u escape */
    uint16_t     high;        /* the first one of a pair; 0: none */
    u_char       state;       /* in the string being decoded */
    u_char       digits;

    unsigned     full:1;      /* the limit was reached: nothing is added */
    unsigned     failed:1;    /* so it is when there was no memory */
} ngx_http_ollama_strbuf_t;


void ngx_http_ollama_strbuf_init(ngx_http_ollama_strbuf_t *gather,
    ngx_pool_t *pool, size_t max);
void ngx_http_ollama_strbuf_add(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, size_t len);
void ngx_http_ollama_strbuf_cut(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, size_t len);

/* what stands between the quotes of a JSON string, in any pieces */

void ngx_http_ollama_strbuf_begin(ngx_http_ollama_strbuf_t *gather);
void ngx_http_ollama_strbuf_decode(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, u_char *last);
void ngx_http_ollama_strbuf_end(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text);


#endif /* _NGX_HTTP_OLLAMA_STRBUF_H_INCLUDED_ */
