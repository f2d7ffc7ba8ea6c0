
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FETCH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FETCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fetch_http.h"
#include "util/ngx_http_ollama_timer.h"


#define NGX_HTTP_OLLAMA_FETCH_ERROR  96      /* the longest error */


typedef struct ngx_http_ollama_fetch_s  ngx_http_ollama_fetch_t;

typedef void (*ngx_http_ollama_fetch_handler_pt)(ngx_http_ollama_fetch_t *f);


/* how a fetch ended */

typedef enum {
    NGX_HTTP_OLLAMA_FETCH_OK = 0,       /* a whole reply, of any status */
    NGX_HTTP_OLLAMA_FETCH_UNREACHABLE,  /* no connection */
    NGX_HTTP_OLLAMA_FETCH_TIMEOUT,      /* no connection or no reply in time */
    NGX_HTTP_OLLAMA_FETCH_LATE,         /* it shows nothing about the server:
                                           this process did not run meanwhile,
                                           or is out of resources */
    NGX_HTTP_OLLAMA_FETCH_INVALID       /* no valid reply, or too big a one */
} ngx_http_ollama_fetch_result_e;


struct ngx_http_ollama_fetch_s {

    /* set by the caller, the rest zeroed; all must live as long as this */

    ngx_pool_t                        *pool;      /* for all it needs */
    ngx_log_t                         *log;
    struct sockaddr                   *sockaddr;
    socklen_t                          socklen;
    ngx_str_t                          name;      /* the address, for logs */
    ngx_str_t                          uri;
    ngx_array_t                       *headers;   /* ngx_keyval_t */
    ngx_msec_t                         timeout;   /* for the whole of it */
    size_t                             max_size;  /* of a reply's body */
    ngx_ssl_t                         *ssl;       /* NULL: no TLS */
    ngx_str_t                          ssl_name;  /* for SNI and verification;
                                                     len 0: neither */
    ngx_flag_t                         ssl_verify;
    ngx_http_ollama_fetch_handler_pt   handler;   /* may destroy the pool */
    void                              *data;

    /* for the handler */

    ngx_http_ollama_fetch_result_e     result;
    ngx_str_t                          error;     /* unless it is OK: as
                                                     "connection refused" */
    ngx_uint_t                         status;
    ngx_str_t                          body;
    int64_t                            connected; /* us it took to connect,
                                                     with TLS; -1: didn't */
    int64_t                            elapsed;   /* us of the whole fetch */

    /* its own */

    u_char                             text[NGX_HTTP_OLLAMA_FETCH_ERROR];
    ngx_log_t                          quiet;     /* the connection's */
    ngx_peer_connection_t              peer;
    ngx_http_ollama_timer_t            timer;     /* and then posted */
    ngx_buf_t                         *request;
    ngx_http_ollama_fetch_http_t       http;      /* the reply */
    int64_t                            started;   /* us, on one clock */
    int64_t                            deadline;
    int64_t                            expected;  /* when the timer fires */
    ngx_uint_t                         reads;     /* in this event */
    ngx_int_t                        (*process)(ngx_http_ollama_fetch_t *f);
    unsigned                           late:1;    /* the timer once was */
    unsigned                           grace:1;   /* the deadline has passed */
};


/*
 * Starts a fetch.  The handler is called later, from the event loop, however
 * the fetch ends, unless ngx_http_ollama_fetch_cancel() is called before.
 */
void ngx_http_ollama_fetch(ngx_http_ollama_fetch_t *f);

/*
 * Ends a fetch without calling its handler.  Harmless for one that was not
 * started, or whose handler was called.
 */
void ngx_http_ollama_fetch_cancel(ngx_http_ollama_fetch_t *f);


#endif /* _NGX_HTTP_OLLAMA_FETCH_H_INCLUDED_ */
