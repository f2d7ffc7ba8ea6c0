
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_QUEUE_SHM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_QUEUE_SHM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_prefix.h"
#include "balancer/ngx_http_ollama_sched_types.h"
#include "fleet/ngx_http_ollama_slot.h"


typedef enum {
    NGX_HTTP_OLLAMA_QUEUE_WAITS = 0,
    NGX_HTTP_OLLAMA_QUEUE_GRANTED,
    NGX_HTTP_OLLAMA_QUEUE_REFUSED     /* no server can take it any more */
} ngx_http_ollama_queue_state_e;


/* the queue of an upstream */

typedef struct {
    ngx_queue_t                     queue;     /* of all upstreams */
    ngx_str_t                       name;      /* lies behind the struct */
    ngx_msec_t                      dispatched; /* all lines */
    ngx_http_ollama_prefix_t       *prefix;    /* NULL: there was no room */
    ngx_http_ollama_sched_t         sched;
} ngx_http_ollama_queue_sh_t;


/*
 * A request, from its arrival to the end of a try.  It belongs to its process,
 * but any process may grant it a server while it waits.
 */

typedef struct {
    ngx_http_ollama_held_t          held;      /* must be first */
    ngx_http_ollama_ticket_t        ticket;
    ngx_http_ollama_queue_sh_t     *queue;
    ngx_http_ollama_proc_t         *proc;

    ngx_uint_t                      generation; /* of its configuration, whose
                                                  processes alone know which
                                                  servers it may have */
    ngx_http_ollama_queue_state_e   state;
    ngx_http_ollama_server_t       *server;    /* NULL: none so far */
    ngx_http_ollama_slot_t         *slot;      /* there; NULL: none, or the
                                                  balancer has taken it */
    ngx_uint_t                      servers;   /* that could take it then */

    ngx_http_ollama_wanted_t        wanted;    /* strings lie behind the
                                                  struct */
    ngx_str_t                       pin;
    ngx_uint_t                      tls;
    ngx_http_ollama_mark_t         *mark;      /* of its prompt */
    ngx_uint_t                      nmarks;
} ngx_http_ollama_queue_ticket_t;


/* servers that may take a ticket; large */

typedef struct {
    ngx_http_ollama_upstream_t     *up;
    ngx_http_ollama_candidates_t    search;
    ngx_http_ollama_ticket_t       *ticket;    /* whose marks were found; NULL:
                                                  none so far */
    ngx_http_ollama_prefix_found_t  found;
    ngx_uint_t                      free;      /* servers that have a slot, and
                                                  may be tried */
    ngx_uint_t                      n;
    ngx_http_ollama_candidate_t     c[NGX_HTTP_OLLAMA_FLEET_SERVERS];
} ngx_http_ollama_queue_set_t;


/*
 * Functions called *_locked() need ngx_http_ollama_fleet_lock_peers() of the
 * upstream, but for the first four, to which the fleet's lock will do.
 */

/* The queue of the upstream; NULL: no request has needed one. */
ngx_http_ollama_queue_sh_t *ngx_http_ollama_queue_known_locked(
    ngx_http_ollama_upstream_t *up);

/* The same, made if there is none; NULL: no memory is left in the zone. */
ngx_http_ollama_queue_sh_t *ngx_http_ollama_queue_get_locked(
    ngx_http_ollama_upstream_t *up);

/*
 * Makes a ticket of this process for what is searched for, with the marks of
 * its prompt; the caller fills in the rest of ->ticket.  NULL: no memory is
 * left.
 */
ngx_http_ollama_queue_ticket_t *ngx_http_ollama_queue_create_locked(
    ngx_http_ollama_queue_sh_t *queue, ngx_http_ollama_candidates_t *search,
    ngx_http_ollama_mark_t *mark, ngx_uint_t n);

/*
 * Ends a ticket and frees it, but for its slot.  "f" is what its reply has
 * shown, or NULL.
 */
void ngx_http_ollama_queue_free_locked(ngx_http_ollama_queue_ticket_t *qt,
    ngx_http_ollama_figures_t *f);

/* Puts a ticket into its line; NGX_DECLINED: there are too many lines. */
ngx_int_t ngx_http_ollama_queue_arrive_locked(
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_queue_ticket_t *qt);

/*
 * Grants what can be granted: where the server with that capacity can take it,
 * or, with NULL, anywhere.
 */
void ngx_http_ollama_queue_dispatch_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_queue_sh_t *queue, ngx_http_ollama_capacity_t *c);

/* Grants a ticket whose time is up any server that is free. */
void ngx_http_ollama_queue_due_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_queue_ticket_t *qt);

/*
 * Puts a ticket that does not wait at the best of the set's servers, whose
 * candidate is returned.  NULL: none can be used, or no memory is left.
 */
ngx_http_ollama_candidate_t *ngx_http_ollama_queue_choose_locked(
    ngx_http_ollama_queue_set_t *set, ngx_http_ollama_queue_ticket_t *qt);

/* Of a process: has its tickets freed when it dies. */
void ngx_http_ollama_queue_shm_init_worker(void);


#endif /* _NGX_HTTP_OLLAMA_QUEUE_SHM_H_INCLUDED_ */
