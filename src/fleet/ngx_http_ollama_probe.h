
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PROBE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PROBE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fetch.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_report.h"


typedef struct ngx_http_ollama_probe_s  ngx_http_ollama_probe_t;

typedef void (*ngx_http_ollama_probe_handler_pt)(ngx_http_ollama_probe_t *look);


typedef enum {
    NGX_HTTP_OLLAMA_PROBE_VERSION = 0,
    NGX_HTTP_OLLAMA_PROBE_TAGS,
    NGX_HTTP_OLLAMA_PROBE_PS,
    NGX_HTTP_OLLAMA_PROBE_STEPS
} ngx_http_ollama_probe_step_e;


/*
 * One look at a server: /api/version, /api/tags and /api/ps, one after the
 * other, until one fails.
 */

struct ngx_http_ollama_probe_s {

    /* set by the caller, the rest zeroed */

    ngx_pool_t                       *pool;      /* for all it needs */
    ngx_log_t                        *log;
    ngx_http_ollama_upstream_t       *up;
    ngx_http_ollama_view_t            view;      /* of the server */
    ngx_http_ollama_probe_handler_pt  handler;   /* may destroy the pool */
    void                             *data;

    /* for the handler */

    ngx_http_ollama_fetch_result_e    result;    /* OK: the server is up */
    ngx_http_ollama_probe_step_e      step;      /* the last one; unless the
                                                    result is OK it failed */
    ngx_str_t                         error;     /* and why */
    ngx_str_t                         note;      /* what else is wrong, or
                                                    len 0 */
    ngx_http_ollama_probe_step_e      noted;     /* the step that is then */
    int64_t                           connected; /* us; -1: never did */
    int64_t                           elapsed[NGX_HTTP_OLLAMA_PROBE_STEPS];
    ngx_http_ollama_report_t          report;
    ngx_uint_t                        ntags;     /* models in /api/tags */

    /* its own */

    ngx_http_ollama_fetch_t           fetch;
    ngx_event_t                       event;     /* posted: a reply is read */
};


ngx_int_t ngx_http_ollama_probe(ngx_http_ollama_probe_t *look);
void ngx_http_ollama_probe_cancel(ngx_http_ollama_probe_t *look);


#endif /* _NGX_HTTP_OLLAMA_PROBE_H_INCLUDED_ */
