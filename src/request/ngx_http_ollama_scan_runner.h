
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCAN_RUNNER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCAN_RUNNER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_OLLAMA_SCAN_RUNNER_OPTIONS  7


/* What a body says of the runner of its model; zeroed for a new body. */

typedef struct {
    ngx_uint_t   key;          /* the current member; 0: another one */
    ngx_uint_t   given;        /* bits of options */
    int64_t      value[NGX_HTTP_OLLAMA_SCAN_RUNNER_OPTIONS];
} ngx_http_ollama_scan_runner_t;


/* A member of the body begins, or one of its "options" if "option" is set. */
void ngx_http_ollama_scan_runner_key(ngx_http_ollama_scan_runner_t *runner,
    const u_char *p, size_t len, ngx_uint_t option);

/* Its value: a number, a boolean, null, or something else. */
void ngx_http_ollama_scan_runner_number(ngx_http_ollama_scan_runner_t *runner,
    const u_char *p, size_t len);
void ngx_http_ollama_scan_runner_boolean(ngx_http_ollama_scan_runner_t *runner,
    ngx_uint_t value);
void ngx_http_ollama_scan_runner_null(ngx_http_ollama_scan_runner_t *runner);

/* The hash of all that is given; 0: nothing is. */
uint64_t ngx_http_ollama_scan_runner_hash(
    ngx_http_ollama_scan_runner_t *runner);

/* The "num_ctx"; 0: it isn't given, or others are, too. */
ngx_uint_t ngx_http_ollama_scan_runner_num_ctx(
    ngx_http_ollama_scan_runner_t *runner);


#endif /* _NGX_HTTP_OLLAMA_SCAN_RUNNER_H_INCLUDED_ */
