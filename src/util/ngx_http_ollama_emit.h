
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_EMIT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_EMIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a JSON text that is written, or measured */

typedef struct {
    u_char  *pos;         /* NULL: it is measured */
    size_t   len;         /* so far */
} ngx_http_ollama_emit_t;


typedef void (*ngx_http_ollama_emit_pt)(ngx_http_ollama_emit_t *t,
    void *data);


ngx_int_t ngx_http_ollama_emit_make(ngx_pool_t *pool,
    ngx_http_ollama_emit_pt walk, void *data, ngx_str_t *text);
void ngx_http_ollama_emit_add(ngx_http_ollama_emit_t *t, const char *s);
void ngx_http_ollama_emit_raw(ngx_http_ollama_emit_t *t, ngx_str_t *s);
void ngx_http_ollama_emit_escape(ngx_http_ollama_emit_t *t, ngx_str_t *s);
void ngx_http_ollama_emit_string(ngx_http_ollama_emit_t *t, ngx_str_t *s);
void ngx_http_ollama_emit_number(ngx_http_ollama_emit_t *t, int64_t n);
void ngx_http_ollama_emit_ms(ngx_http_ollama_emit_t *t, int64_t us);
void ngx_http_ollama_emit_time(ngx_http_ollama_emit_t *t, int64_t ms);
uint64_t ngx_http_ollama_emit_hash(ngx_str_t *text);
uint64_t ngx_http_ollama_emit_mix(uint64_t hash, uint64_t more);


#endif /* _NGX_HTTP_OLLAMA_EMIT_H_INCLUDED_ */
