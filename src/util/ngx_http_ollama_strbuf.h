
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STRBUF_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STRBUF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a text that grows; zeroed, it is empty */

typedef struct {
    ngx_str_t    str;         /* str.data moves when the text grows */
    size_t       size;        /* of the memory at str.data */
} ngx_http_ollama_strbuf_text_t;


/* Texts that grow in one pool, and together not beyond a limit. */

typedef struct {
    ngx_pool_t  *pool;
    size_t       rest;        /* bytes left of the limit */

    uint16_t     unit;        /* of UTF-16, in a \u escape */
    uint16_t     high;        /* the first one of a pair; 0: none */
    u_char       state;       /* in the string that is decoded */
    u_char       digits;

    unsigned     full:1;      /* nothing is added any more */
    unsigned     failed:1;    /* the reason was lack of memory */
} ngx_http_ollama_strbuf_t;


/* Prepares for texts of "max" bytes together; need not be zeroed. */
void ngx_http_ollama_strbuf_init(ngx_http_ollama_strbuf_t *strbuf,
    ngx_pool_t *pool, size_t max);

/*
 * Adds bytes as they are.  If they don't fit, those of whole characters are
 * added that do, and strbuf->full is set.
 */
void ngx_http_ollama_strbuf_add(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, size_t len);

/* Cuts a text to "len" bytes; what it had more is available again. */
void ngx_http_ollama_strbuf_cut(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, size_t len);

/*
 * Decoding what is between the quotes of a JSON string: begin(), decode() for
 * pieces of any size, end().  Whether the string is valid is not checked; of an
 * invalid one comes some text, which is to be cut off.
 */
void ngx_http_ollama_strbuf_begin(ngx_http_ollama_strbuf_t *strbuf);
void ngx_http_ollama_strbuf_decode(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, u_char *last);
void ngx_http_ollama_strbuf_end(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text);


#endif /* _NGX_HTTP_OLLAMA_STRBUF_H_INCLUDED_ */
