
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCAN_UNLOAD_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCAN_UNLOAD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Whether a body asks to unload a model; zeroed for a new body. */

typedef struct {
    ngx_uint_t   key;          /* the current member; 0: another one */
    unsigned     at_once:1;    /* "keep_alive" is 0 */
    unsigned     prompt:1;     /* "prompt" is not empty */
} ngx_http_ollama_scan_unload_t;


/* A member of the body begins. */
void ngx_http_ollama_scan_unload_key(ngx_http_ollama_scan_unload_t *u,
    const u_char *p, size_t len);

/* Its value: a number, a string, or something else. */
void ngx_http_ollama_scan_unload_number(ngx_http_ollama_scan_unload_t *u,
    const u_char *p, size_t len);
void ngx_http_ollama_scan_unload_string(ngx_http_ollama_scan_unload_t *u,
    const u_char *p, size_t len);
void ngx_http_ollama_scan_unload_other(ngx_http_ollama_scan_unload_t *u);


#endif /* _NGX_HTTP_OLLAMA_SCAN_UNLOAD_H_INCLUDED_ */
