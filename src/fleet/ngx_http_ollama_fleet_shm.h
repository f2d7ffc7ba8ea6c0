
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The fleet in shared memory, for fleet*.c, slot.c and model_state.c only.  All
 * of it is guarded by the mutex of the zone's slab pool, which the master
 * releases when a worker dies with it; "freezes" is read without.
 */


#ifndef _NGX_HTTP_OLLAMA_FLEET_SHM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FLEET_SHM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_capacity.h"
#include "fleet/ngx_http_ollama_model.h"
#include "fleet/ngx_http_ollama_server.h"
#include "fleet/ngx_http_ollama_snapshot.h"
#include "util/ngx_http_ollama_procs.h"


/* models of a server about which something is known from requests */
#define NGX_HTTP_OLLAMA_MODEL_STATES  16


/*
 * What requests found out about a model at a server: it is being loaded, or
 * was there, or wasn't.  Valid until the end of a probe that started later.
 */

struct ngx_http_ollama_model_state_s {
    uint64_t                     hash;
    uint64_t                     digest;    /* of the model; 0: unknown */
    ngx_uint_t                   in_flight;
    ngx_msec_t                   seen;      /* when the last request ended */
    unsigned                     used:1;
    unsigned                     loaded:1;
    unsigned                     absent:1;
    unsigned                     cold:1;    /* it was not loaded by the last
                                               probe before */
};


struct ngx_http_ollama_server_s {
    ngx_rbtree_node_t            node;      /* must be first; key: see
                                               ngx_http_ollama_fleet_key() */
    ngx_queue_t                  queue;     /* of all servers */
    ngx_uint_t                   id;
    ngx_uint_t                   generation; /* last one configured with it */
    ngx_uint_t                   seen;      /* registration that found it */
    ngx_uint_t                   order;     /* in its upstream block */

    ngx_str_t                    upstream;  /* these lie behind the struct */
    ngx_str_t                    line;
    ngx_str_t                    address;
    ngx_str_t                    name;
    ngx_sockaddr_t               sockaddr;
    socklen_t                    socklen;

    ngx_uint_t                   max_conns;
    unsigned                     several:1;
    unsigned                     disabled:1; /* "down" in the configuration */
    unsigned                     probing:1;
    unsigned                     no_room:1; /* these were logged: no memory
                                               was left for its models; */
    unsigned                     dropped:1; /* some were left out */
    unsigned                     slow:1;    /* it is down, but connections are
                                               accepted: only its answer to
                                               the last probe was late */

    ngx_http_ollama_status_e     status;
    u_char                       error[NGX_HTTP_OLLAMA_FLEET_ERROR];
    size_t                       error_len;
    u_char                       version[NGX_HTTP_OLLAMA_REPORT_VERSION];
    size_t                       version_len;
    int64_t                      checked;
    int64_t                      latency;

    ngx_msec_t                   started;   /* the last good probe */
    ngx_msec_t                   ended;     /* the last probe */
    ngx_msec_t                   next;      /* when one is due */
    ngx_msec_t                   probing_until;
    ngx_uint_t                   asked;     /* tickets, see fleet_ask(): the
                                               last one that a probe is wanted
                                               for; */
    ngx_uint_t                   begun;     /* when the last probe began; */
    ngx_uint_t                   answered;  /* when the last one that ended
                                               had begun */
    ngx_uint_t                   settling;  /* what is loaded there changes */
    ngx_msec_t                   searched;  /* for an unknown model */
    ngx_uint_t                   probe_fails;    /* in a row */
    ngx_uint_t                   probe_timeouts; /* of these, the last ones */

    ngx_http_ollama_snapshot_t  *snapshot;  /* NULL: no good probe yet */
    uint64_t                     content;   /* hash of it */

    /* of slot.c and model_state.c */

    ngx_uint_t                     in_flight;
    ngx_uint_t                     slotless;  /* requests beside these that
                                                 take no slot of it */
    ngx_http_ollama_model_state_t  model_states[NGX_HTTP_OLLAMA_MODEL_STATES];
    ngx_uint_t                     refusals;  /* in a row */
    ngx_msec_t                     refused;   /* when the last one was */
    ngx_uint_t                     connect_fails; /* of requests */
    time_t                         first_fail;    /* when these began */

    ngx_http_ollama_capacity_t     capacity;  /* of the balancer; and its */
    ngx_uint_t                     tickets;   /* tickets that point to it */
};


typedef struct {
    ngx_rbtree_t                 rbtree;
    ngx_rbtree_node_t            sentinel;
    ngx_queue_t                  servers;
    ngx_uint_t                   nservers;

    ngx_uint_t                   generation;
    ngx_uint_t                   ids;       /* the last one used; and below */
    ngx_uint_t                   versions;
    ngx_uint_t                   registrations;
    ngx_uint_t                   tickets;

    ngx_pid_t                    leader;    /* the poller; 0: none */
    ngx_uint_t                   leader_generation;
    ngx_msec_t                   lease;     /* the leader's, ends then */

    ngx_atomic_t                 freezes;   /* times a server froze */
    ngx_uint_t                   full;      /* it was logged that the table
                                               is full */
    ngx_http_ollama_procs_t      procs;     /* hold slots and tickets */
    ngx_queue_t                  queues;    /* of the balancer, of upstreams */
} ngx_http_ollama_fleet_sh_t;


/* what a process knows of the zone; made for each configuration */

typedef struct {
    ngx_http_ollama_fleet_sh_t  *sh;
    ngx_slab_pool_t             *shpool;
    ngx_uint_t                   generation;
    ngx_http_ollama_proc_t      *proc;      /* this process */

    void                        *queue;     /* the balancer's in this process */
    ngx_http_ollama_held_pt      dead;      /* frees its tickets */
} ngx_http_ollama_fleet_t;


/* the worker's; NULL in other processes */
extern ngx_http_ollama_fleet_t  *ngx_http_ollama_fleet;


/*
 * Frees servers that no configuration has, or only older ones, and where
 * nothing is in flight.
 */
void ngx_http_ollama_fleet_expire_locked(void);

/*
 * The first server of the table that belongs to the upstream now, or the one
 * after "server".  NULL: there is no other.
 */
ngx_http_ollama_server_t *ngx_http_ollama_fleet_next_locked(
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_server_t *server);

/* The server with that id, or NULL. */
ngx_http_ollama_server_t *ngx_http_ollama_fleet_by_id_locked(ngx_uint_t id);

/* Bytes that ngx_http_ollama_fleet_view_locked() may write. */
size_t ngx_http_ollama_fleet_view_size(ngx_http_ollama_server_t *server);

/*
 * Fills the view of a server; what it points to is written from "p" on, which
 * needs no alignment.  Returns the end of that.
 */
u_char *ngx_http_ollama_fleet_view_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_view_t *view, u_char *p);

/* Copies a string to "p" and sets "dst" to it; returns the end of the copy. */
u_char *ngx_http_ollama_fleet_copy(ngx_str_t *dst, u_char *p, u_char *src,
    size_t len);


#endif /* _NGX_HTTP_OLLAMA_FLEET_SHM_H_INCLUDED_ */
