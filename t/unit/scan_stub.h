
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _SCAN_STUB_H_INCLUDED_
#define _SCAN_STUB_H_INCLUDED_


#include "unit.h"

#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_id.h"


/* what bodies are scanned for: see the route table */

#define SCAN_CHAT      (NGX_HTTP_OLLAMA_SCAN_STREAM                           \
                        |NGX_HTTP_OLLAMA_SCAN_OWN                             \
                        |NGX_HTTP_OLLAMA_SCAN_OPTIONS                         \
                        |NGX_HTTP_OLLAMA_SCAN_MESSAGES                        \
                        |NGX_HTTP_OLLAMA_SCAN_TEXT)
#define SCAN_SHOW      (NGX_HTTP_OLLAMA_SCAN_NAME                             \
                        |NGX_HTTP_OLLAMA_SCAN_OWN                             \
                        |NGX_HTTP_OLLAMA_SCAN_OPTIONS)
#define SCAN_V1        (NGX_HTTP_OLLAMA_SCAN_STREAM                           \
                        |NGX_HTTP_OLLAMA_SCAN_MESSAGES)


typedef struct {
    const char                *title;      /* must be first */
    ngx_uint_t                 flags;
    const char                *forbid;     /* "keep_alive options.num_ctx" */
    ngx_str_t                  body;

    /* what is found; no data: nothing of the kind */

    ngx_str_t                  model;
    ngx_str_t                  server_url;
    ngx_str_t                  session_id;
    ngx_str_t                  task_id;
    ngx_http_ollama_stream_e   stream;
    const char                *messages;   /* each, and where the first may
                                              go: "a|b|...@rest"; NULL: isn't
                                              looked at */

    ngx_str_t                  sent;       /* no data: the body as it is */
    const char                *removed;    /* of forbid[], the same form */

    /* or what is wrong */

    const char                *error;
    off_t                      at;
} scan_case_t;


/* a run of the scanner over a body, and what came of it */

typedef struct {
    ngx_pool_t                *pool;
    ngx_pool_t                *temp;
    ngx_http_ollama_scan_t     scan;
    ngx_int_t                  rc;
} scan_run_t;


void scan_start(scan_run_t *run, ngx_uint_t flags, const char *forbid);
void scan_feed(scan_run_t *run, u_char *p, size_t size);
void scan_release(scan_run_t *run);
void scan_finish(scan_run_t *run);
size_t scan_peak(scan_run_t *run);
size_t scan_sent(scan_run_t *run, u_char *body, size_t len, u_char *sent);

void scan_check(scan_case_t *c, size_t first, size_t step);
void scan_case_test(void **state);


#endif /* _SCAN_STUB_H_INCLUDED_ */
