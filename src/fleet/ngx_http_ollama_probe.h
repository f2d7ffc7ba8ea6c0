
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PROBE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PROBE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fetch.h"
#include "fleet/ngx_http_ollama_report.h"
#include "fleet/ngx_http_ollama_server.h"
#include "util/ngx_http_ollama_timer.h"


typedef struct ngx_http_ollama_probe_s  ngx_http_ollama_probe_t;

typedef void (*ngx_http_ollama_probe_handler_pt)(
    ngx_http_ollama_probe_t *probe);


typedef enum {
    NGX_HTTP_OLLAMA_PROBE_VERSION = 0,
    NGX_HTTP_OLLAMA_PROBE_TAGS,
    NGX_HTTP_OLLAMA_PROBE_PS,
    NGX_HTTP_OLLAMA_PROBE_STEPS
} ngx_http_ollama_probe_step_e;


/*
 * A probe of a server: /api/version, /api/tags and /api/ps, one after the
 * other.  The first one decides whether the server is up.
 */

struct ngx_http_ollama_probe_s {

    /* set by the caller, the rest zeroed */

    ngx_pool_t                       *pool;      /* for all it needs */
    ngx_log_t                        *log;
    ngx_http_ollama_upstream_t       *up;
    ngx_http_ollama_view_t            view;      /* of the server */
    ngx_http_ollama_probe_handler_pt  handler;   /* may destroy the pool */
    void                             *data;
    ngx_http_ollama_probe_step_e      brief;     /* from this step on a list
                                                    that is slow is not waited
                                                    for; 0: all are */

    /* for the handler */

    ngx_http_ollama_fetch_result_e    result;    /* OK: the server is up */
    ngx_http_ollama_probe_step_e      step;      /* the last one; unless the
                                                    result is OK it failed */
    ngx_str_t                         error;     /* and why */
    ngx_str_t                         note;      /* what is wrong with a server
                                                    that is up, or len 0 */
    ngx_http_ollama_probe_step_e      noted;     /* the step of the note */
    ngx_uint_t                        again;     /* a list failed that may be
                                                    had soon */
    int64_t                           connected; /* us it took to connect; -1:
                                                    didn't */
    int64_t                           elapsed[NGX_HTTP_OLLAMA_PROBE_STEPS];
    ngx_http_ollama_report_t          report;
    ngx_uint_t                        ntags;     /* models in /api/tags */

    /* its own */

    ngx_http_ollama_fetch_t           fetch;
    ngx_http_ollama_timer_t           event;     /* posted: a reply is read */
    ngx_uint_t                        unversioned; /* the server has no
                                                      /api/version */
};


/*
 * Starts a probe.  After NGX_OK its handler is called once, later, from the
 * event loop, unless ngx_http_ollama_probe_cancel() is called before; after
 * NGX_ERROR, which is out of memory, it never is.
 */
ngx_int_t ngx_http_ollama_probe(ngx_http_ollama_probe_t *probe);

/* Ends a probe without calling its handler; harmless if it wasn't started. */
void ngx_http_ollama_probe_cancel(ngx_http_ollama_probe_t *probe);


#endif /* _NGX_HTTP_OLLAMA_PROBE_H_INCLUDED_ */
