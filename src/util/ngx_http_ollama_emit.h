
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_EMIT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_EMIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a JSON text that is written, or only measured */

typedef struct {
    u_char  *pos;         /* NULL: it is only measured */
    size_t   len;         /* so far, in bytes */
} ngx_http_ollama_emit_t;


/*
 * Calls the functions below for one piece of the text after another.  It is
 * called twice and must emit the same both times.
 */

typedef void (*ngx_http_ollama_emit_pt)(ngx_http_ollama_emit_t *t,
    void *data);


/*
 * Sets "text" to what the walk emits, in memory of just that size from the
 * pool; "data" is handed to the walk.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_emit_make(ngx_pool_t *pool,
    ngx_http_ollama_emit_pt walk, void *data, ngx_str_t *text);

/* JSON as it is: a C string, and any text */
void ngx_http_ollama_emit_add(ngx_http_ollama_emit_t *t, const char *s);
void ngx_http_ollama_emit_raw(ngx_http_ollama_emit_t *t, ngx_str_t *s);

/* A string: only what is between its quotes, and with these. */
void ngx_http_ollama_emit_escape(ngx_http_ollama_emit_t *t, ngx_str_t *s);
void ngx_http_ollama_emit_string(ngx_http_ollama_emit_t *t, ngx_str_t *s);

/*
 * Numbers: a plain one; microseconds as milliseconds with one decimal, null if
 * they are negative; milliseconds since 1970 as a string of RFC 3339 in UTC,
 * null if they are not positive.  The year 9999 is the last one.
 */
void ngx_http_ollama_emit_number(ngx_http_ollama_emit_t *t, int64_t n);
void ngx_http_ollama_emit_ms(ngx_http_ollama_emit_t *t, int64_t us);
void ngx_http_ollama_emit_time(ngx_http_ollama_emit_t *t, int64_t ms);

/*
 * A hash for ETags, the same in all processes of a machine; not for tables
 * that an attacker may fill.
 */
uint64_t ngx_http_ollama_emit_hash(ngx_str_t *text);

/* Returns the hash of what "hash" is of, with "more" added to it. */
uint64_t ngx_http_ollama_emit_mix(uint64_t hash, uint64_t more);


#endif /* _NGX_HTTP_OLLAMA_EMIT_H_INCLUDED_ */
