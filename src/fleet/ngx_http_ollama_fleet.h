
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FLEET_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FLEET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"
#include "fleet/ngx_http_ollama_capacity.h"
#include "fleet/ngx_http_ollama_model_state.h"
#include "fleet/ngx_http_ollama_report.h"
#include "fleet/ngx_http_ollama_server.h"
#include "fleet/ngx_http_ollama_snapshot.h"


/*
 * Functions called *_locked() need the fleet's lock; all others that read or
 * change the fleet take it themselves, and must not be called with it.  They
 * may be called between ngx_http_ollama_fleet_init_worker() and
 * ngx_http_ollama_fleet_exit_worker() only.
 */


/* configuration and processes */

/* Allocates the data of the zone, from the configuration's pool.  Or NULL. */
void *ngx_http_ollama_fleet_create(ngx_pool_t *pool);

/* The zone's init handler.  The table outlives a reload, and a failed one. */
ngx_int_t ngx_http_ollama_fleet_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);

/*
 * Opens the fleet in this process; the next one is
 * ngx_http_ollama_slot_init_worker().
 */
void ngx_http_ollama_fleet_init_worker(ngx_shm_zone_t *shm_zone);

/* Closes the fleet, after the slots of this process were released. */
void ngx_http_ollama_fleet_exit_worker(void);

/*
 * Adds the servers of an upstream to the table, and drops those that it has no
 * more.  Cheap when nothing has changed since this process last did it.  Takes
 * the locks of the lists of peers that are resolved anew, and then the fleet's.
 * Servers for which there is no room are logged, and tried again next time.
 */
void ngx_http_ollama_fleet_register(ngx_http_ollama_upstream_t *up);


/* readers */

/*
 * Fills an array of ngx_http_ollama_view_t with the servers of an upstream, in
 * the order of its block.  All memory is from the pool.  NGX_ERROR: none left.
 */
ngx_int_t ngx_http_ollama_fleet_list(ngx_http_ollama_upstream_t *up,
    ngx_pool_t *pool, ngx_array_t *views);

/*
 * A copy, from the pool, of the snapshot of the server "id".  NULL: there is
 * no such server, or it has none, or no memory is left.
 */
ngx_http_ollama_snapshot_t *ngx_http_ollama_fleet_snapshot(ngx_uint_t id,
    ngx_pool_t *pool);

/* where a model is: bits for all servers together */

#define NGX_HTTP_OLLAMA_WHERE_UP          0x01  /* a server that is up has it */
#define NGX_HTTP_OLLAMA_WHERE_DOWN        0x02  /* one that is down has it */
#define NGX_HTTP_OLLAMA_WHERE_MAYBE_UP    0x04  /* the same, or may have it */
#define NGX_HTTP_OLLAMA_WHERE_MAYBE_DOWN  0x08
#define NGX_HTTP_OLLAMA_WHERE_SERVER      0x10  /* there is a server */

/*
 * Where the model is, among the servers of the upstream; among those with the
 * name "pin", unless that has len 0.
 */
ngx_uint_t ngx_http_ollama_fleet_where(ngx_http_ollama_upstream_t *up,
    ngx_str_t *pin, ngx_http_ollama_wanted_t *wanted);

/*
 * Writes the ids of the servers that are up and have the model loaded, or load
 * it, to "ids", which has room for NGX_HTTP_OLLAMA_FLEET_SERVERS; returns their
 * number.
 */
ngx_uint_t ngx_http_ollama_fleet_loaded(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_wanted_t *wanted, ngx_uint_t *ids);

/*
 * Whether lists can be made of what is known: a probe of any server of the
 * upstream has ended, and not all servers that are up have kept their models to
 * themselves.
 */
ngx_uint_t ngx_http_ollama_fleet_is_polled(ngx_http_ollama_upstream_t *up);


/* the poller */

/*
 * Makes this worker the poller, or extends its lease, if no other worker has
 * a valid one.  NGX_OK: it is the poller; NGX_DECLINED: another one is.
 */
ngx_int_t ngx_http_ollama_fleet_elect(void);

/* Gives the lease up, if this worker has it. */
void ngx_http_ollama_fleet_resign(void);

/*
 * Finds a server of the upstream that is due for a probe, marks it as being
 * probed and fills the view, with memory from the pool.  One of the following
 * three must be called then.  NGX_DECLINED: none is due; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_fleet_next_due(ngx_http_ollama_upstream_t *up,
    ngx_pool_t *pool, ngx_http_ollama_view_t *view);

/*
 * A probe that started at "started" succeeded: the server is up, the next probe
 * is due at "next" (both of ngx_current_msec).  "latency" is in us.  "error" is
 * what is wrong nevertheless, or len 0.  The report is copied; a list that it
 * lacks is left as it was known, unless it was denied.
 */
void ngx_http_ollama_fleet_probe_ok(ngx_uint_t id,
    ngx_http_ollama_report_t *report, int64_t latency, ngx_str_t *error,
    ngx_msec_t started, ngx_msec_t next);

/*
 * A probe failed; "timeout": because the server did not answer in time;
 * "connected": it was connected to.
 */
void ngx_http_ollama_fleet_probe_failed(ngx_uint_t id, ngx_str_t *error,
    ngx_uint_t timeout, ngx_uint_t connected, ngx_msec_t next);

/* A probe returned nothing about the server, and is to be repeated. */
void ngx_http_ollama_fleet_reschedule(ngx_uint_t id, ngx_msec_t next);

/*
 * Asks for a probe that begins from now on, of the upstream's servers with that
 * address.  Returns a ticket for ngx_http_ollama_fleet_is_probed(), or 0: there
 * is no such server, or it isn't probed.
 */
ngx_uint_t ngx_http_ollama_fleet_ask(ngx_http_ollama_upstream_t *up,
    ngx_str_t *address);

/* The same of the upstream's server "id". */
ngx_uint_t ngx_http_ollama_fleet_ask_id(ngx_http_ollama_upstream_t *up,
    ngx_uint_t id);

/*
 * The same of all servers that are up, as no server is known to have a model
 * that is wanted; once a second at most.  Returns the ticket of a probe that
 * was asked for within that time and has not ended; 0: all have.
 */
ngx_uint_t ngx_http_ollama_fleet_search(ngx_http_ollama_upstream_t *up);

/* Whether all probes that the ticket is for have ended. */
ngx_uint_t ngx_http_ollama_fleet_is_probed(ngx_http_ollama_upstream_t *up,
    ngx_uint_t ticket);

/*
 * A request waits for a server of the upstream: those that are down are due
 * for a probe now.
 */
void ngx_http_ollama_fleet_hurry(ngx_http_ollama_upstream_t *up);


/* the balancer */

/* The lock of the zone, which nginx's master releases if a worker dies. */
void ngx_http_ollama_fleet_lock(void);
void ngx_http_ollama_fleet_unlock(void);

/*
 * The same, and the upstream's lists of peers don't change meanwhile: "peers"
 * is the first one.
 */
void ngx_http_ollama_fleet_lock_peers(ngx_http_upstream_rr_peers_t *peers);
void ngx_http_ollama_fleet_unlock_peers(ngx_http_upstream_rr_peers_t *peers);

/* The server with that line in the upstream block and that address, or NULL. */
ngx_http_ollama_server_t *ngx_http_ollama_fleet_find_locked(
    ngx_http_ollama_upstream_t *up, ngx_str_t *line, ngx_str_t *address);

/*
 * Whether that is the name of the server.  "name" is in lower case, as
 * ngx_http_ollama_server_url() makes it.
 */
ngx_uint_t ngx_http_ollama_fleet_is_named_locked(
    ngx_http_ollama_server_t *server, ngx_str_t *name);

/* Returns the id of the server. */
ngx_uint_t ngx_http_ollama_fleet_id_locked(ngx_http_ollama_server_t *server);

/* Memory of the zone for the balancer.  NULL: none is left. */
void *ngx_http_ollama_fleet_alloc_locked(size_t size);
void ngx_http_ollama_fleet_free_locked(void *p);

/* The number of this process's configuration, which no other one has. */
ngx_uint_t ngx_http_ollama_fleet_generation(void);

/* Bytes of the zone. */
size_t ngx_http_ollama_fleet_size(void);

/* The balancer's list in the zone, and its pointer in this process. */
ngx_queue_t *ngx_http_ollama_fleet_queues_locked(void);
void **ngx_http_ollama_fleet_queue(void);

/* Counts a ticket that points to the server, which stays as long. */
void ngx_http_ollama_fleet_hold_locked(ngx_http_ollama_server_t *server);
void ngx_http_ollama_fleet_drop_locked(ngx_http_ollama_server_t *server);

/*
 * The capacity of the first server of the upstream, or the one after "c".
 * NULL: there is no other.
 */
ngx_http_ollama_capacity_t *ngx_http_ollama_fleet_capacity_next_locked(
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_capacity_t *c);

/* Asks for a probe of the server as soon as possible. */
void ngx_http_ollama_fleet_probe_locked(ngx_http_ollama_server_t *server);

/* Whether that is the server of the line and the address. */
ngx_uint_t ngx_http_ollama_fleet_is_peer_locked(
    ngx_http_ollama_server_t *server, ngx_str_t *line, ngx_str_t *address);

/* Copies the name of the server, truncated if too long; returns its length. */
size_t ngx_http_ollama_fleet_name_locked(ngx_http_ollama_server_t *server,
    u_char name[NGX_HTTP_OLLAMA_FLEET_NAME]);


#endif /* _NGX_HTTP_OLLAMA_FLEET_H_INCLUDED_ */
