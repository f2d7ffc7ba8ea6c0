
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Between fetch.c and fetch_http.c alone.  A step returns NGX_OK for another
 * one, f->process, NGX_AGAIN when an event must come first, and NGX_DONE at
 * the end, good or bad.
 */


#ifndef _NGX_HTTP_OLLAMA_FETCH_HTTP_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FETCH_HTTP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fetch.h"


/* for fetch.c: once, and the first step when there is a connection */

ngx_int_t ngx_http_ollama_fetch_create(ngx_http_ollama_fetch_t *f);
ngx_int_t ngx_http_ollama_fetch_send(ngx_http_ollama_fetch_t *f);

/* for fetch_http.c: what a step that failed returns */

ngx_int_t ngx_http_ollama_fetch_broken(ngx_http_ollama_fetch_t *f,
    ngx_err_t err, ngx_http_ollama_fetch_result_e result);
ngx_int_t ngx_http_ollama_fetch_short_of(ngx_http_ollama_fetch_t *f);
ngx_int_t ngx_http_ollama_fetch_fail(ngx_http_ollama_fetch_t *f,
    ngx_http_ollama_fetch_result_e result, const char *fmt, ...);


#endif /* _NGX_HTTP_OLLAMA_FETCH_HTTP_H_INCLUDED_ */
