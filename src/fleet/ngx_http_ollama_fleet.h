
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FLEET_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FLEET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"
#include "fleet/ngx_http_ollama_report.h"
#include "fleet/ngx_http_ollama_snapshot.h"


#define NGX_HTTP_OLLAMA_FLEET_SERVERS   256

/* the longest reason that is kept for a server's state */
#define NGX_HTTP_OLLAMA_FLEET_ERROR     96

/* of a server, with its port; what is longer is cut where it is shown */
#define NGX_HTTP_OLLAMA_FLEET_NAME      288

/* so many looks without an answer, and a server is frozen */
#define NGX_HTTP_OLLAMA_FLEET_PROBE_TIMEOUTS  2


/*
 * An upstream block that is known here: it has ollama_balance or ollama_poll,
 * or ollama_api names it.  Lies in the configuration.
 */

struct ngx_http_ollama_upstream_s {
    ngx_http_upstream_srv_conf_t  *uscf;
    uint32_t                       hash;      /* of its name */
    ngx_uint_t                     config;    /* of its peers, registered */

    ngx_flag_t                     balance;
    ngx_flag_t                     poll;

    ngx_msec_t                     interval;  /* between two looks */
    ngx_msec_t                     timeout;   /* of each request of a look */
    ngx_ssl_t                     *ssl;       /* NULL: no TLS */
    ngx_str_t                      ssl_name;  /* len 0: the server line's */
    ngx_flag_t                     ssl_verify;

    unsigned                       configured:1; /* has ollama_poll */
    unsigned                       registered:1;
    unsigned                       balanced:1; /* its peers are ours to pick */
};


typedef enum {
    NGX_HTTP_OLLAMA_CHECKING = 0,     /* never looked at */
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
    ngx_uint_t                     probe_fails; /* one after another */
    struct sockaddr               *sockaddr;
    socklen_t                      socklen;
} ngx_http_ollama_view_t;


typedef struct ngx_http_ollama_server_s  ngx_http_ollama_server_t;


/* configuration and processes */

void *ngx_http_ollama_fleet_create(ngx_pool_t *pool);
ngx_int_t ngx_http_ollama_fleet_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
ngx_int_t ngx_http_ollama_fleet_init_worker(ngx_shm_zone_t *shm_zone);
void ngx_http_ollama_fleet_exit_worker(void);
ngx_int_t ngx_http_ollama_fleet_register(ngx_http_ollama_upstream_t *up);

/* readers */

ngx_int_t ngx_http_ollama_fleet_list(ngx_http_ollama_upstream_t *up,
    ngx_pool_t *pool, ngx_array_t *views);
ngx_http_ollama_snapshot_t *ngx_http_ollama_fleet_snapshot(ngx_uint_t id,
    ngx_pool_t *pool);
ngx_uint_t ngx_http_ollama_fleet_is_polled(ngx_http_ollama_upstream_t *up);

/* the poller */

ngx_int_t ngx_http_ollama_fleet_elect(void);
void ngx_http_ollama_fleet_resign(void);
ngx_int_t ngx_http_ollama_fleet_next_due(ngx_http_ollama_upstream_t *up,
    ngx_pool_t *pool, ngx_http_ollama_view_t *view);
void ngx_http_ollama_fleet_probe_ok(ngx_uint_t id,
    ngx_http_ollama_report_t *report, int64_t latency, ngx_str_t *error,
    ngx_msec_t began, ngx_msec_t next);
void ngx_http_ollama_fleet_probe_failed(ngx_uint_t id, ngx_str_t *error,
    ngx_uint_t silent, ngx_msec_t next);
void ngx_http_ollama_fleet_reschedule(ngx_uint_t id, ngx_msec_t next);

/* the balancer; slot has the rest of it */

void ngx_http_ollama_fleet_lock(void);
void ngx_http_ollama_fleet_unlock(void);
void ngx_http_ollama_fleet_lock_peers(ngx_http_upstream_rr_peers_t *peers);
void ngx_http_ollama_fleet_unlock_peers(ngx_http_upstream_rr_peers_t *peers);
ngx_http_ollama_server_t *ngx_http_ollama_fleet_find_locked(
    ngx_http_ollama_upstream_t *up, ngx_str_t *line, ngx_str_t *address);
ngx_uint_t ngx_http_ollama_fleet_is_named_locked(
    ngx_http_ollama_server_t *server, ngx_str_t *name);
size_t ngx_http_ollama_fleet_name_locked(ngx_http_ollama_server_t *server,
    u_char name[NGX_HTTP_OLLAMA_FLEET_NAME]);
void ngx_http_ollama_fleet_hurry(ngx_http_ollama_upstream_t *up);


#endif /* _NGX_HTTP_OLLAMA_FLEET_H_INCLUDED_ */
