
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Slots: which requests are at which server.  A slot is in shared memory from
 * the moment a server is chosen until nginx frees the peer; it is on the list
 * of the process that holds it, so that the slots of a process that died are
 * found and released.  nginx's own count of connections isn't used: it is wrong
 * for good after a worker was killed, and begins at zero after a reload.
 *
 * What a request found out about its server is recorded here, too, when it
 * ends.  It may use the fleet's memory and model_state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"
#include "fleet/ngx_http_ollama_model_state.h"
#include "fleet/ngx_http_ollama_slot.h"


/* loads make a server be probed so often at most, ms */
#define NGX_HTTP_OLLAMA_SLOT_SHOW  1000


struct ngx_http_ollama_slot_s {
    ngx_http_ollama_held_t          held;         /* must be first */
    ngx_http_ollama_server_t       *server;
    ngx_http_ollama_model_state_t  *model_state;  /* NULL: no model, or there
                                                     was no room */
    ngx_uint_t                     *count;        /* of the server, that it is
                                                     part of */
};


static void ngx_http_ollama_slot_dead_locked(ngx_queue_t *q);
static void ngx_http_ollama_slot_free_locked(ngx_http_ollama_slot_t *slot);
static void ngx_http_ollama_slot_answered_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_model_state_t *ms);
static void ngx_http_ollama_slot_show_locked(
    ngx_http_ollama_server_t *server);
static void ngx_http_ollama_slot_refused_locked(
    ngx_http_ollama_server_t *server);
static ngx_uint_t ngx_http_ollama_slot_failed_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_limits_t *limits);


void
ngx_http_ollama_slot_init_worker(void)
{
    ngx_http_ollama_fleet_lock();

    ngx_http_ollama_slot_reap_locked();

    ngx_http_ollama_fleet->proc =
        ngx_http_ollama_procs_take_locked(&ngx_http_ollama_fleet->sh->procs,
                                          ngx_http_ollama_slot_dead_locked);

    ngx_http_ollama_fleet_unlock();
}


void
ngx_http_ollama_slot_exit_worker(void)
{
    if (ngx_http_ollama_fleet == NULL) {
        return;
    }

    ngx_http_ollama_fleet_lock();

    ngx_http_ollama_procs_leave_locked(ngx_http_ollama_fleet->proc,
                                       ngx_http_ollama_slot_dead_locked);

    ngx_http_ollama_fleet_unlock();
}


void
ngx_http_ollama_slot_reap_locked(void)
{
    ngx_http_ollama_procs_reap_locked(&ngx_http_ollama_fleet->sh->procs,
                                      ngx_http_ollama_slot_dead_locked);
}


ngx_http_ollama_proc_t *
ngx_http_ollama_slot_proc(void)
{
    return ngx_http_ollama_fleet->proc;
}


void
ngx_http_ollama_slot_hold_locked(ngx_http_ollama_held_t *held)
{
    held->ticket = 1;

    ngx_queue_insert_tail(&ngx_http_ollama_fleet->proc->held, &held->queue);
}


void
ngx_http_ollama_slot_set_dead(ngx_http_ollama_held_pt dead)
{
    ngx_http_ollama_fleet->dead = dead;
}


/* A slot, or a ticket of the balancer. */

static void
ngx_http_ollama_slot_dead_locked(ngx_queue_t *q)
{
    ngx_http_ollama_held_t  *held;

    held = ngx_queue_data(q, ngx_http_ollama_held_t, queue);

    if (held->ticket) {
        ngx_http_ollama_fleet->dead(held);
        return;
    }

    ngx_http_ollama_slot_free_locked((ngx_http_ollama_slot_t *) held);
}


ngx_http_ollama_slot_t *
ngx_http_ollama_slot_acquire_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted, ngx_http_ollama_proc_t *proc)
{
    ngx_http_ollama_slot_t  *slot;

    slot = ngx_slab_alloc_locked(ngx_http_ollama_fleet->shpool,
                                 sizeof(ngx_http_ollama_slot_t));
    if (slot == NULL) {
        return NULL;
    }

    slot->held.ticket = 0;
    slot->server = server;
    slot->model_state = ngx_http_ollama_model_state_use_locked(server, wanted);

    slot->count = wanted->slotless ? &server->slotless : &server->in_flight;

    (*slot->count)++;

    ngx_queue_insert_tail(&proc->held, &slot->held.queue);

    return slot;
}


static void
ngx_http_ollama_slot_free_locked(ngx_http_ollama_slot_t *slot)
{
    ngx_queue_remove(&slot->held.queue);

    (*slot->count)--;

    if (slot->model_state) {
        ngx_http_ollama_model_state_release_locked(slot->model_state);
    }

    ngx_slab_free_locked(ngx_http_ollama_fleet->shpool, slot);
}


void
ngx_http_ollama_slot_cancel_locked(ngx_http_ollama_slot_t *slot)
{
    ngx_http_ollama_slot_free_locked(slot);
}


void
ngx_http_ollama_slot_release(ngx_http_ollama_slot_t *slot,
    ngx_http_ollama_try_e outcome, ngx_http_ollama_limits_t *limits)
{
    size_t                          len;
    u_char                          name[NGX_HTTP_OLLAMA_FLEET_NAME];
    ngx_uint_t                      down;
    ngx_http_ollama_model_state_t  *ms;
    ngx_http_ollama_server_t       *server;

    down = 0;
    len = 0;

    ngx_http_ollama_fleet_lock();

    server = slot->server;
    ms = slot->model_state;

    switch (outcome) {

    case NGX_HTTP_OLLAMA_TRY_OK:
        ngx_http_ollama_slot_answered_locked(server, ms);
        break;

    case NGX_HTTP_OLLAMA_TRY_REFUSED:
        ngx_http_ollama_slot_refused_locked(server);
        break;

    case NGX_HTTP_OLLAMA_TRY_NO_MODEL:
        if (ms) {
            ngx_http_ollama_model_state_absent_locked(ms);
        }

        server->next = ngx_current_msec;
        break;

    case NGX_HTTP_OLLAMA_TRY_ANSWERED:
        server->connect_fails = 0;
        break;

    case NGX_HTTP_OLLAMA_TRY_TRUNCATED:
        ngx_http_ollama_slot_refused_locked(server);
        server->next = ngx_current_msec;
        break;

    case NGX_HTTP_OLLAMA_TRY_UNREACHABLE:
        if (limits->max_fails) {
            ngx_http_ollama_slot_refused_locked(server);
        }

        server->next = ngx_current_msec;
        server->slow = 0;
        down = ngx_http_ollama_slot_failed_locked(server, limits);
        len = ngx_http_ollama_fleet_name_locked(server, name);
        break;

    default: /* NGX_HTTP_OLLAMA_TRY_NEUTRAL */
        break;
    }

    ngx_http_ollama_slot_free_locked(slot);

    ngx_http_ollama_fleet_unlock();

    if (down) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "ollama server \"%*s\" is down: a request could not "
                      "reach it", len, name);
    }
}


static void
ngx_http_ollama_slot_answered_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_model_state_t *ms)
{
    server->refusals = 0;
    server->connect_fails = 0;

    if (ms) {
        ngx_http_ollama_model_state_loaded_locked(ms);

        if (ms->cold) {
            ms->cold = 0;
            ngx_http_ollama_slot_show_locked(server);
        }
    }
}


/* The lists are to show soon what a request has loaded. */

static void
ngx_http_ollama_slot_show_locked(ngx_http_ollama_server_t *server)
{
    ngx_msec_t  soon;

    soon = server->ended + NGX_HTTP_OLLAMA_SLOT_SHOW;

    if ((ngx_msec_int_t) (soon - server->next) < 0) {
        server->next = soon;
    }
}


/*
 * A server that refuses answers sooner than one that works, and would get all
 * requests.  What it refuses while it is avoided does not count.
 */

static void
ngx_http_ollama_slot_refused_locked(ngx_http_ollama_server_t *server)
{
    if (ngx_http_ollama_model_state_refusing_locked(server)) {
        return;
    }

    server->refusals++;
    server->refused = ngx_current_msec;
}


/*
 * max_fails and fail_timeout as in nginx, except that a server which is down
 * is up again after the next good probe.  Returns 1 if it is down from now on.
 */

static ngx_uint_t
ngx_http_ollama_slot_failed_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_limits_t *limits)
{
    time_t  now;

    now = ngx_time();

    if (server->connect_fails == 0
        || now - server->first_fail > limits->fail_timeout)
    {
        server->connect_fails = 0;
        server->first_fail = now;
    }

    server->connect_fails++;

    if (limits->max_fails == 0
        || server->connect_fails < limits->max_fails
        || server->status == NGX_HTTP_OLLAMA_DOWN)
    {
        return 0;
    }

    server->status = NGX_HTTP_OLLAMA_DOWN;
    server->error_len = ngx_cpymem(server->error, "connection failed",
                                   sizeof("connection failed") - 1)
                        - server->error;

    return 1;
}


ngx_uint_t
ngx_http_ollama_slot_is_frozen(ngx_http_ollama_slot_t *slot)
{
    ngx_uint_t  frozen;

    ngx_http_ollama_fleet_lock();
    frozen = slot->server->probe_timeouts
             >= NGX_HTTP_OLLAMA_FLEET_PROBE_TIMEOUTS;
    ngx_http_ollama_fleet_unlock();

    return frozen;
}


ngx_uint_t
ngx_http_ollama_slot_frozen_epoch(void)
{
    return ngx_http_ollama_fleet->sh->freezes;
}
