
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Types of the fleet: an upstream block in the configuration, and its servers
 * as readers see them.  What shared memory has of a server is in fleet_shm.h.
 */


#ifndef _NGX_HTTP_OLLAMA_SERVER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SERVER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"


#define NGX_HTTP_OLLAMA_FLEET_SERVERS   256

/* the longest reason for a server's state */
#define NGX_HTTP_OLLAMA_FLEET_ERROR     96

/* of a server, with its port; a longer one is truncated where it is shown */
#define NGX_HTTP_OLLAMA_FLEET_NAME      288

/* a server that did not answer so many probes in a row is frozen */
#define NGX_HTTP_OLLAMA_FLEET_PROBE_TIMEOUTS  2


/*
 * An upstream block that the module knows: it has ollama_balance or
 * ollama_poll, or ollama_api names it.  Lies in the configuration.
 */

struct ngx_http_ollama_upstream_s {
    ngx_http_upstream_srv_conf_t  *uscf;
    uint32_t                       hash;      /* of its name */
    ngx_uint_t                     config;    /* version of its list of peers
                                                 that is registered */

    ngx_flag_t                     balance;
    ngx_flag_t                     poll;

    ngx_uint_t                     queue;     /* requests that may wait; 0:
                                                 none does */
    ngx_msec_t                     queue_timeout;
    void                          *sched;     /* the scheduler's memory in the
                                                 zone; NULL: not yet */

    ngx_msec_t                     interval;  /* between two probes */
    ngx_msec_t                     timeout;   /* of each request of a probe */
    ngx_ssl_t                     *ssl;       /* NULL: no TLS */
    ngx_str_t                      ssl_name;  /* len 0: the server line's */
    ngx_flag_t                     ssl_verify;
    ngx_array_t                    headers;   /* of each request of a probe:
                                                 ngx_keyval_t */

    unsigned                       configured:1; /* has ollama_poll */
    unsigned                       has_headers:1; /* ollama_poll_header */
    unsigned                       registered:1;
    unsigned                       balanced:1;   /* by ollama_balance */
};


typedef enum {
    NGX_HTTP_OLLAMA_CHECKING = 0,     /* not probed yet */
    NGX_HTTP_OLLAMA_UP,
    NGX_HTTP_OLLAMA_DOWN
} ngx_http_ollama_status_e;


/* A server as readers see it: a copy, in their own memory. */

typedef struct {
    ngx_uint_t                     id;        /* never used again */
    ngx_uint_t                     order;     /* in the upstream block */
    ngx_str_t                      name;      /* "gpu1:11434", as its line in
                                                 the upstream block has it */
    ngx_str_t                      address;   /* "10.0.0.1:11434" */
    ngx_str_t                      error;     /* len 0: none */
    ngx_str_t                      version;   /* of its Ollama, or len 0 */
    ngx_http_ollama_status_e       status;
    ngx_uint_t                     several;   /* the line has more addresses */
    int64_t                        checked;   /* ms since 1970; 0: never */
    int64_t                        latency;   /* us; -1: unknown */
    ngx_uint_t                     in_flight;
    ngx_uint_t                     max_conns; /* 0: any number */
    ngx_uint_t                     models;    /* version of the snapshot;
                                                 0: none */
    ngx_uint_t                     probe_fails; /* in a row */
    ngx_uint_t                     asked;     /* a request waits for a probe */
    ngx_uint_t                     settling;  /* what it has was changed, and
                                                 may not be visible yet */
    struct sockaddr               *sockaddr;
    socklen_t                      socklen;
} ngx_http_ollama_view_t;


typedef struct ngx_http_ollama_server_s       ngx_http_ollama_server_t;
typedef struct ngx_http_ollama_model_state_s  ngx_http_ollama_model_state_t;


/* what a process holds in the zone, on its list; the first member of it */

typedef struct {
    ngx_queue_t                    queue;
    ngx_uint_t                     ticket;    /* of the balancer; 0: a slot */
} ngx_http_ollama_held_t;


/*
 * Frees a ticket of the balancer whose process has died.  Needs the fleet's
 * lock.
 */

typedef void (*ngx_http_ollama_held_pt)(ngx_http_ollama_held_t *held);


#endif /* _NGX_HTTP_OLLAMA_SERVER_H_INCLUDED_ */
