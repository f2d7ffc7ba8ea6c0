
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The poller's part of the fleet: which worker is the poller, which server is
 * due for a probe, and what a probe returned.  It may use the fleet's memory,
 * fleet_view, slot and model_state.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"
#include "fleet/ngx_http_ollama_model_state.h"
#include "fleet/ngx_http_ollama_slot.h"
#include "fleet/ngx_http_ollama_snapshot.h"


/* a poller that was inactive for so long has lost its lease, ms */
#define NGX_HTTP_OLLAMA_FLEET_LEASE    2000

/* requests hurry the probe of a server that is down so often at most, ms */
#define NGX_HTTP_OLLAMA_FLEET_HURRY    250

/* requests for unknown models make a server be probed so often at most, ms */
#define NGX_HTTP_OLLAMA_FLEET_SEARCH   1000

/* a probe that has not ended after so many of its timeouts never will */
#define NGX_HTTP_OLLAMA_FLEET_TRIES    8


static void ngx_http_ollama_fleet_forget_probes_locked(void);
static ngx_http_ollama_server_t *ngx_http_ollama_fleet_next_due_locked(
    ngx_http_ollama_upstream_t *up, ngx_msec_t now);
static ngx_int_t ngx_http_ollama_fleet_complete(ngx_uint_t id,
    ngx_http_ollama_report_t *report);
static void ngx_http_ollama_fleet_forget_models_locked(
    ngx_http_ollama_server_t *server);
static void ngx_http_ollama_fleet_ended_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_status_e status,
    ngx_str_t *error, ngx_msec_t next);
static ngx_uint_t ngx_http_ollama_fleet_has_room_locked(
    ngx_slab_pool_t *shpool, size_t size);
static ngx_int_t ngx_http_ollama_fleet_replace_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_snapshot_t *built,
    uint64_t content);


/*
 * Another worker takes over if the poller has exited, if its lease has expired,
 * or if it has an older configuration.
 */

ngx_int_t
ngx_http_ollama_fleet_elect(void)
{
    ngx_int_t                    rc;
    ngx_http_ollama_fleet_t     *fleet;
    ngx_http_ollama_fleet_sh_t  *sh;

    fleet = ngx_http_ollama_fleet;
    sh = fleet->sh;

    ngx_http_ollama_fleet_lock();

    if (sh->leader == ngx_pid
        || sh->leader == 0
        || sh->leader_generation < fleet->generation
        || (ngx_msec_int_t) (ngx_current_msec - sh->lease) > 0
        || (kill(sh->leader, 0) == -1 && ngx_errno == ESRCH))
    {
        if (sh->leader != ngx_pid) {
            ngx_http_ollama_fleet_forget_probes_locked();
        }

        sh->leader = ngx_pid;
        sh->leader_generation = fleet->generation;
        sh->lease = ngx_current_msec + NGX_HTTP_OLLAMA_FLEET_LEASE;

        ngx_http_ollama_slot_reap_locked();
        ngx_http_ollama_fleet_expire_locked();

        rc = NGX_OK;

    } else {
        rc = NGX_DECLINED;
    }

    ngx_http_ollama_fleet_unlock();

    return rc;
}


/* Those of the previous poller, which may have died while it probed. */

static void
ngx_http_ollama_fleet_forget_probes_locked(void)
{
    ngx_queue_t                 *q;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_fleet_sh_t  *sh;

    sh = ngx_http_ollama_fleet->sh;

    for (q = ngx_queue_head(&sh->servers);
         q != ngx_queue_sentinel(&sh->servers);
         q = ngx_queue_next(q))
    {
        server = ngx_queue_data(q, ngx_http_ollama_server_t, queue);
        server->probing = 0;
    }
}


void
ngx_http_ollama_fleet_resign(void)
{
    ngx_http_ollama_fleet_lock();

    if (ngx_http_ollama_fleet->sh->leader == ngx_pid) {
        ngx_http_ollama_fleet->sh->leader = 0;
    }

    ngx_http_ollama_fleet_unlock();
}


ngx_int_t
ngx_http_ollama_fleet_next_due(ngx_http_ollama_upstream_t *up, ngx_pool_t *pool,
    ngx_http_ollama_view_t *view)
{
    u_char                    *p;
    ngx_msec_t                 now;
    ngx_http_ollama_server_t  *server;

    p = NULL;
    now = ngx_current_msec;

    ngx_http_ollama_fleet_lock();

    server = ngx_http_ollama_fleet_next_due_locked(up, now);

    if (server) {
        /*
         * memory is allocated with the lock held: few servers are due at a
         * time, and the pool is a small one
         */
        p = ngx_palloc(pool, ngx_http_ollama_fleet_view_size(server));
    }

    if (p) {
        (void) ngx_http_ollama_fleet_view_locked(server, view, p);

        server->probing = 1;
        server->probing_until = now
                                + up->timeout * NGX_HTTP_OLLAMA_FLEET_TRIES;
        server->begun = ngx_http_ollama_fleet->sh->tickets;
        server->settling = 0;
    }

    ngx_http_ollama_fleet_unlock();

    if (server == NULL) {
        return NGX_DECLINED;
    }

    return p ? NGX_OK : NGX_ERROR;
}


static ngx_http_ollama_server_t *
ngx_http_ollama_fleet_next_due_locked(ngx_http_ollama_upstream_t *up,
    ngx_msec_t now)
{
    ngx_http_ollama_server_t  *server;

    server = NULL;

    while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {

        /* a probe that never ended was one of a poller that has exited */

        if (server->probing
            && (ngx_msec_int_t) (now - server->probing_until) > 0)
        {
            server->probing = 0;
        }

        if (!server->probing
            && !server->disabled
            && ((ngx_msec_int_t) (now - server->next) >= 0
                || server->asked > server->begun))
        {
            return server;
        }
    }

    return NULL;
}


void
ngx_http_ollama_fleet_probe_ok(ngx_uint_t id, ngx_http_ollama_report_t *report,
    int64_t latency, ngx_str_t *error, ngx_msec_t started, ngx_msec_t next)
{
    size_t                       len;
    u_char                       name[NGX_HTTP_OLLAMA_FLEET_NAME];
    uint64_t                     content;
    ngx_int_t                    rc;
    ngx_uint_t                   dropped;
    ngx_http_ollama_status_e     status;
    ngx_http_ollama_server_t    *server;
    ngx_http_ollama_snapshot_t  *built;

    built = NULL;
    content = 0;

    rc = ngx_http_ollama_fleet_complete(id, report);

    if (rc == NGX_OK) {
        built = ngx_http_ollama_snapshot_build(report, &content);
    }

    if (rc == NGX_ERROR || (rc == NGX_OK && built == NULL)) {
        ngx_http_ollama_fleet_reschedule(id, next);
        return;
    }

    rc = NGX_OK;
    len = 0;
    dropped = 0;
    status = NGX_HTTP_OLLAMA_UP;

    ngx_http_ollama_fleet_lock();

    server = ngx_http_ollama_fleet_by_id_locked(id);

    if (server) {
        status = server->status;
        len = ngx_http_ollama_fleet_name_locked(server, name);

        server->probe_fails = 0;
        server->probe_timeouts = 0;
        server->slow = 0;
        server->connect_fails = 0;
        server->latency = latency;
        server->started = started;

        server->version_len = ngx_min(report->version.len,
                                 (size_t) NGX_HTTP_OLLAMA_REPORT_VERSION);

        if (server->version_len) {
            ngx_memcpy(server->version, report->version.data,
                       server->version_len);
        }

        ngx_http_ollama_fleet_ended_locked(server, NGX_HTTP_OLLAMA_UP, error,
                                           next);

        if (built) {
            rc = ngx_http_ollama_fleet_replace_locked(server, built, content);

            dropped = report->dropped && !server->dropped;
            server->dropped = (report->dropped > 0);

        } else if (report->denied) {
            ngx_http_ollama_fleet_forget_models_locked(server);
        }

        ngx_http_ollama_model_state_probed_locked(server, started,
                                 report->has_tags || server->snapshot == NULL,
                                 report->has_ps);
    }

    ngx_http_ollama_fleet_unlock();

    if (status != NGX_HTTP_OLLAMA_UP) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "ollama server \"%*s\" is up", len, name);
    }

    if (dropped) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "ollama server \"%*s\" has more models: %ui are too "
                      "many, too large or have no proper name", len, name,
                      report->dropped);
    }

    if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "ollama: no room for the models of server \"%*s\", "
                      "those known before are kept: ollama_zone is too small",
                      len, name);
    }
}


/*
 * Completes a report that lacks a list by what is known of the server.
 * NGX_DECLINED: the report is of no use for its models, which are unknown or
 * stay as they were.
 */

static ngx_int_t
ngx_http_ollama_fleet_complete(ngx_uint_t id, ngx_http_ollama_report_t *report)
{
    ngx_http_ollama_snapshot_t  *s;

    if (report->has_tags && report->has_ps) {
        return NGX_OK;
    }

    if (!report->has_tags && (report->denied || !report->has_ps)) {
        return NGX_DECLINED;
    }

    s = ngx_http_ollama_fleet_snapshot(id, report->pool);

    if (s == NULL) {
        return report->has_tags ? NGX_OK : NGX_DECLINED;
    }

    return ngx_http_ollama_report_keep(report, s->models, s->nmodels,
                                       s->dropped);
}


/* The server may have any model then. */

static void
ngx_http_ollama_fleet_forget_models_locked(ngx_http_ollama_server_t *server)
{
    if (server->snapshot) {
        ngx_slab_free_locked(ngx_http_ollama_fleet->shpool, server->snapshot);
        server->snapshot = NULL;
    }

    server->no_room = 0;
    server->dropped = 0;
}


void
ngx_http_ollama_fleet_probe_failed(ngx_uint_t id, ngx_str_t *error,
    ngx_uint_t timeout, ngx_uint_t connected, ngx_msec_t next)
{
    size_t                     len;
    u_char                     name[NGX_HTTP_OLLAMA_FLEET_NAME];
    ngx_http_ollama_status_e   status;
    ngx_http_ollama_server_t  *server;

    len = 0;
    status = NGX_HTTP_OLLAMA_DOWN;

    ngx_http_ollama_fleet_lock();

    server = ngx_http_ollama_fleet_by_id_locked(id);

    if (server) {
        status = server->status;
        len = ngx_http_ollama_fleet_name_locked(server, name);

        server->probe_fails++;
        server->probe_timeouts = timeout ? server->probe_timeouts + 1 : 0;
        server->slow = (timeout && connected);

        if (server->probe_timeouts == NGX_HTTP_OLLAMA_FLEET_PROBE_TIMEOUTS) {
            ngx_http_ollama_fleet->sh->freezes++;
        }

        ngx_http_ollama_fleet_ended_locked(server, NGX_HTTP_OLLAMA_DOWN,
                                           error, next);
    }

    ngx_http_ollama_fleet_unlock();

    if (status != NGX_HTTP_OLLAMA_DOWN) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "ollama server \"%*s\" is down: %V", len, name, error);
    }
}


static void
ngx_http_ollama_fleet_ended_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_status_e status, ngx_str_t *error, ngx_msec_t next)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    server->status = status;
    server->error_len = ngx_min(error->len,
                                (size_t) NGX_HTTP_OLLAMA_FLEET_ERROR);

    if (server->error_len) {
        ngx_memcpy(server->error, error->data, server->error_len);
    }

    server->answered = server->begun;
    server->checked = (int64_t) tp->sec * 1000 + tp->msec;
    server->ended = ngx_current_msec;
    server->next = next;
    server->probing = 0;
}


void
ngx_http_ollama_fleet_reschedule(ngx_uint_t id, ngx_msec_t next)
{
    ngx_http_ollama_server_t  *server;

    ngx_http_ollama_fleet_lock();

    server = ngx_http_ollama_fleet_by_id_locked(id);

    if (server) {
        server->probing = 0;
        server->next = next;
    }

    ngx_http_ollama_fleet_unlock();
}


/*
 * A probe that is running may have got its answers before what the ticket is
 * about has happened: only one that begins later counts.
 */

ngx_uint_t
ngx_http_ollama_fleet_ask(ngx_http_ollama_upstream_t *up, ngx_str_t *address)
{
    ngx_uint_t                 ticket;
    ngx_http_ollama_server_t  *server;

    if (!up->poll) {
        return 0;
    }

    ticket = 0;
    server = NULL;

    ngx_http_ollama_fleet_lock();

    while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {

        if (server->disabled
            || server->address.len != address->len
            || ngx_memcmp(server->address.data, address->data, address->len)
               != 0)
        {
            continue;
        }

        if (ticket == 0) {
            ticket = ++ngx_http_ollama_fleet->sh->tickets;
        }

        server->asked = ticket;
        server->settling = 1;
    }

    ngx_http_ollama_fleet_unlock();

    return ticket;
}


ngx_uint_t
ngx_http_ollama_fleet_ask_id(ngx_http_ollama_upstream_t *up, ngx_uint_t id)
{
    ngx_uint_t                 ticket;
    ngx_http_ollama_server_t  *server;

    if (!up->poll) {
        return 0;
    }

    ticket = 0;

    ngx_http_ollama_fleet_lock();

    server = ngx_http_ollama_fleet_by_id_locked(id);

    if (server && !server->disabled) {
        ticket = ++ngx_http_ollama_fleet->sh->tickets;
        server->asked = ticket;
        server->settling = 1;
    }

    ngx_http_ollama_fleet_unlock();

    return ticket;
}


ngx_uint_t
ngx_http_ollama_fleet_search(ngx_http_ollama_upstream_t *up)
{
    ngx_uint_t                 ticket, last;
    ngx_msec_int_t             ago;
    ngx_http_ollama_server_t  *server;

    if (!up->poll) {
        return 0;
    }

    last = 0;
    ticket = 0;
    server = NULL;

    ngx_http_ollama_fleet_lock();

    while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {

        if (server->status != NGX_HTTP_OLLAMA_UP || server->disabled) {
            continue;
        }

        ago = (ngx_msec_int_t) (ngx_current_msec - server->searched);

        if (server->searched == 0 || ago >= NGX_HTTP_OLLAMA_FLEET_SEARCH) {

            if (ticket == 0) {
                ticket = ++ngx_http_ollama_fleet->sh->tickets;
            }

            server->asked = ticket;
            server->searched = ngx_current_msec;
        }

        if (server->asked > server->answered) {
            last = ngx_max(last, server->asked);
        }
    }

    ngx_http_ollama_fleet_unlock();

    return last;
}


ngx_uint_t
ngx_http_ollama_fleet_is_probed(ngx_http_ollama_upstream_t *up,
    ngx_uint_t ticket)
{
    ngx_uint_t                 pending;
    ngx_http_ollama_server_t  *server;

    pending = 0;
    server = NULL;

    ngx_http_ollama_fleet_lock();

    while (!pending
           && (server = ngx_http_ollama_fleet_next_locked(up, server)))
    {
        pending = (server->asked >= ticket && server->answered < ticket
                   && !server->disabled);
    }

    ngx_http_ollama_fleet_unlock();

    return !pending;
}


void
ngx_http_ollama_fleet_hurry(ngx_http_ollama_upstream_t *up)
{
    ngx_http_ollama_server_t  *server;

    server = NULL;

    ngx_http_ollama_fleet_lock();

    while ((server = ngx_http_ollama_fleet_next_locked(up, server))) {

        if (server->status == NGX_HTTP_OLLAMA_DOWN
            && ngx_current_msec - server->ended > NGX_HTTP_OLLAMA_FLEET_HURRY)
        {
            server->next = ngx_current_msec;
        }
    }

    ngx_http_ollama_fleet_unlock();
}


/* An eighth of the zone is reserved for slots and servers. */

static ngx_uint_t
ngx_http_ollama_fleet_has_room_locked(ngx_slab_pool_t *shpool, size_t size)
{
    ngx_uint_t  pages;

    pages = shpool->last - shpool->pages;

    return shpool->pfree > (size >> ngx_pagesize_shift) + 1 + pages / 8;
}


/*
 * Replaces the server's snapshot by a copy of "built".  If there is no room the
 * old one is kept: NGX_ERROR the first time, NGX_DECLINED later.
 */

static ngx_int_t
ngx_http_ollama_fleet_replace_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_snapshot_t *built, uint64_t content)
{
    ngx_slab_pool_t             *shpool;
    ngx_http_ollama_snapshot_t  *s;

    if (server->snapshot && server->content == content) {
        return NGX_OK;
    }

    shpool = ngx_http_ollama_fleet->shpool;

    s = ngx_http_ollama_fleet_has_room_locked(shpool, built->size)
        ? ngx_slab_alloc_locked(shpool, built->size) : NULL;

    if (s == NULL) {
        if (server->no_room) {
            return NGX_DECLINED;
        }

        server->no_room = 1;
        return NGX_ERROR;
    }

    ngx_memcpy(s, built, built->size);
    ngx_http_ollama_snapshot_relocate(s, built);

    s->version = ++ngx_http_ollama_fleet->sh->versions;

    if (server->snapshot) {
        ngx_slab_free_locked(shpool, server->snapshot);
    }

    server->snapshot = s;
    server->content = content;
    server->no_room = 0;

    return NGX_OK;
}
