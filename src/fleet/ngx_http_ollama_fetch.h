
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


#define NGX_HTTP_OLLAMA_FETCH_ERROR  96      /* the longest error */


typedef struct ngx_http_ollama_fetch_s  ngx_http_ollama_fetch_t;

typedef void (*ngx_http_ollama_fetch_handler_pt)(ngx_http_ollama_fetch_t *f);


/* why a fetch failed */

typedef enum {
    NGX_HTTP_OLLAMA_FETCH_OK = 0,       /* a whole reply, of any status */
    NGX_HTTP_OLLAMA_FETCH_UNREACHABLE,  /* no connection */
    NGX_HTTP_OLLAMA_FETCH_TIMEOUT,      /* no connection or no reply in time */
    NGX_HTTP_OLLAMA_FETCH_LATE,         /* it tells nothing of the server:
                                           this process did not run meanwhile,
                                           or is out of resources */
    NGX_HTTP_OLLAMA_FETCH_INVALID       /* what came is no reply, or too big */
} ngx_http_ollama_fetch_result_e;


struct ngx_http_ollama_fetch_s {

    /* set by the caller, the rest zeroed; all must live as long as this */

    ngx_pool_t                        *pool;      /* for all it needs */
    ngx_log_t                         *log;
    struct sockaddr                   *sockaddr;
    socklen_t                          socklen;
    ngx_str_t                          name;      /* the address, for logs */
    ngx_str_t                          uri;
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

    /* the fetch's own */

    u_char                             text[NGX_HTTP_OLLAMA_FETCH_ERROR];
    ngx_log_t                          quiet;     /* the connection's */
    ngx_peer_connection_t              peer;
    ngx_event_t                        event;     /* timer, then posted */
    ngx_connection_t                   dummy;     /* behind it */
    ngx_buf_t                         *request;
    ngx_buf_t                         *in;        /* header, then of the body
                                                     what just came */
    ngx_http_request_t                *parser;    /* state of nginx's parser */
    ngx_http_status_t                  line;
    ngx_http_chunked_t                 chunked;
    off_t                              length;    /* promised; -1: isn't */
    size_t                             size;      /* of the body's buffer */
    int64_t                            started;   /* us, on one clock */
    int64_t                            deadline;
    int64_t                            expected;  /* when the timer fires */
    ngx_uint_t                         interim;   /* 1xx so far */
    ngx_uint_t                         reads;     /* in this turn */
    ngx_int_t                        (*process)(ngx_http_ollama_fetch_t *f);
    unsigned                           chunks:1;
    unsigned                           late:1;    /* the timer once was */
    unsigned                           grace:1;   /* the last turn */
};


void ngx_http_ollama_fetch(ngx_http_ollama_fetch_t *f);
void ngx_http_ollama_fetch_cancel(ngx_http_ollama_fetch_t *f);


#endif /* _NGX_HTTP_OLLAMA_FETCH_H_INCLUDED_ */
