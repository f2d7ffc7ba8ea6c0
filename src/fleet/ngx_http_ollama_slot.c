
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Places: which requests are at which server.  A place is in shared memory
 * from the moment a server is chosen until nginx lets go of it; it hangs on
 * the slot of the process that has it, so that the places of a process that
 * died are found and given back.  nginx's own count of connections isn't used:
 * it is wrong for good after a worker was killed, and begins at zero after a
 * reload.
 *
 * What a request found out about its server is noted here, too, as it ends.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_slot.h"
#include "fleet/ngx_http_ollama_fleet_shm.h"
#include "fleet/ngx_http_ollama_name.h"


/* a server that refuses is spared for so long, doubled each time, ms */
#define NGX_HTTP_OLLAMA_SLOT_SPARE      1000
#define NGX_HTTP_OLLAMA_SLOT_SPARE_MAX  10000


struct ngx_http_ollama_slot_s {
    ngx_queue_t                     queue;        /* of its process */
    ngx_http_ollama_server_t       *server;
    ngx_http_ollama_model_state_t  *model_state;  /* NULL: no model, or there
                                                     was no room */
};


static void ngx_http_ollama_slot_lost_locked(ngx_queue_t *q);
static ngx_http_ollama_model_state_t *ngx_http_ollama_model_state_find_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
static ngx_http_ollama_model_state_t *ngx_http_ollama_model_state_use_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
static void ngx_http_ollama_slot_free_locked(ngx_http_ollama_slot_t *place);
static void ngx_http_ollama_slot_answered_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_model_state_t *hot);
static void ngx_http_ollama_slot_refused_locked(
    ngx_http_ollama_server_t *server);
static ngx_uint_t ngx_http_ollama_slot_is_refusing_locked(
    ngx_http_ollama_server_t *server);
static ngx_msec_t ngx_http_ollama_slot_spare(ngx_uint_t refusals);
static ngx_uint_t ngx_http_ollama_slot_failed_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_limits_t *limits);


/* With the lock held: takes a slot for this process. */

void
ngx_http_ollama_slot_init_worker(void)
{
    ngx_http_ollama_fleet->slot =
        ngx_http_ollama_procs_take_locked(&ngx_http_ollama_fleet->sh->slots,
                                          ngx_http_ollama_slot_lost_locked);
}


/* With the lock held. */

void
ngx_http_ollama_slot_exit_worker(void)
{
    ngx_http_ollama_procs_leave_locked(ngx_http_ollama_fleet->slot,
                                       ngx_http_ollama_slot_lost_locked);
}


/* Gives back the places of processes that have died. */

void
ngx_http_ollama_slot_reap_locked(void)
{
    ngx_http_ollama_procs_reap_locked(&ngx_http_ollama_fleet->sh->slots,
                                      ngx_http_ollama_slot_lost_locked);
}


static void
ngx_http_ollama_slot_lost_locked(ngx_queue_t *q)
{
    ngx_http_ollama_slot_free_locked(
                          ngx_queue_data(q, ngx_http_ollama_slot_t, queue));
}


/* What a request for the model looks for.  The pool has it. */

ngx_int_t
ngx_http_ollama_model_state_want(ngx_pool_t *pool, ngx_str_t *model,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_str_null(&wanted->key);
    wanted->hash = 0;

    if (model == NULL || model->len == 0) {
        return NGX_OK;
    }

    wanted->key.data = ngx_pnalloc(pool,
                                   model->len + NGX_HTTP_OLLAMA_NAME_MORE);
    if (wanted->key.data == NULL) {
        return NGX_ERROR;
    }

    wanted->key.len = ngx_http_ollama_name_model(wanted->key.data, model);

    wanted->hash = ((uint64_t) ngx_crc32_long(wanted->key.data,
                                              wanted->key.len) << 32)
                   | ngx_murmur_hash2(wanted->key.data, wanted->key.len);

    return NGX_OK;
}


/* Whether the server can take a request for what is wanted, now. */

ngx_http_ollama_can_e
ngx_http_ollama_model_state_can_serve_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    if (!ngx_http_ollama_model_state_may_have_locked(server, wanted)) {
        return NGX_HTTP_OLLAMA_LACKS_MODEL;
    }

    if (server->status == NGX_HTTP_OLLAMA_DOWN || server->disabled) {
        return NGX_HTTP_OLLAMA_IS_DOWN;
    }

    if (server->max_conns && server->in_flight >= server->max_conns) {
        return NGX_HTTP_OLLAMA_IS_FULL;
    }

    return NGX_HTTP_OLLAMA_CAN_TAKE;
}


/* Whether the server has the model, or may have it, for all that is known. */

ngx_uint_t
ngx_http_ollama_model_state_may_have_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_http_ollama_model_state_t  *hot;
    ngx_http_ollama_snapshot_t     *s;

    s = server->snapshot;

    /* one that was never looked at may have any model */

    if (wanted->key.len && s) {

        /* so may one with more models than there was room for, then or now */

        if (!s->dropped
            && !server->unfit
            && ngx_http_ollama_report_find(s->models, s->nmodels,
                                           &wanted->key)
               == NULL)
        {
            return 0;
        }

        hot = ngx_http_ollama_model_state_find_locked(server, wanted);

        if (hot && hot->absent) {
            return 0;
        }
    }

    return 1;
}


/* What the choice among servers needs to know of one that can. */

void
ngx_http_ollama_model_state_fill_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted, ngx_http_ollama_candidate_t *c)
{
    ngx_http_ollama_model_state_t  *hot;
    ngx_http_ollama_model_t        *model;

    c->in_flight = server->in_flight;

    c->refusing = ngx_http_ollama_slot_is_refusing_locked(server);

    if (wanted->key.len == 0) {
        c->known = 1;
        c->warm = 0;
        return;
    }

    model = server->snapshot
            ? ngx_http_ollama_report_find(server->snapshot->models,
                                          server->snapshot->nmodels,
                                          &wanted->key)
            : NULL;

    hot = ngx_http_ollama_model_state_find_locked(server, wanted);

    c->known = (model != NULL);
    c->warm = (model && model->ps.len) || (hot && !hot->absent);
}


/* What requests told of the model there, or NULL. */

static ngx_http_ollama_model_state_t *
ngx_http_ollama_model_state_find_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_uint_t                      i;
    ngx_http_ollama_model_state_t  *hot;

    hot = server->model_states;

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (hot[i].used && hot[i].hash == wanted->hash) {
            return &hot[i];
        }
    }

    return NULL;
}


static ngx_http_ollama_model_state_t *
ngx_http_ollama_model_state_use_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_uint_t                      i;
    ngx_http_ollama_model_state_t  *hot;

    if (wanted->key.len == 0 || !wanted->loads) {
        return NULL;
    }

    hot = ngx_http_ollama_model_state_find_locked(server, wanted);
    if (hot) {
        return hot;
    }

    hot = server->model_states;

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (!hot[i].used) {
            ngx_memzero(&hot[i], sizeof(ngx_http_ollama_model_state_t));
            hot[i].used = 1;
            hot[i].hash = wanted->hash;
            return &hot[i];
        }
    }

    return NULL;
}


/*
 * A good look began at "began": what requests told before is known better
 * now.  A model that a request waits for is still being loaded, for all that
 * is known: the server doesn't tell.
 */

void
ngx_http_ollama_model_state_probed_locked(ngx_http_ollama_server_t *server,
    ngx_msec_t began)
{
    ngx_uint_t                      i;
    ngx_http_ollama_model_state_t  *hot;

    hot = server->model_states;

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (hot[i].used
            && hot[i].in_flight == 0
            && (ngx_msec_int_t) (hot[i].seen - began) <= 0)
        {
            hot[i].used = 0;
        }
    }
}


/* A place at the server for this process, or NULL: no memory is left. */

ngx_http_ollama_slot_t *
ngx_http_ollama_slot_acquire_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_http_ollama_slot_t  *place;

    place = ngx_slab_alloc_locked(ngx_http_ollama_fleet->shpool,
                                  sizeof(ngx_http_ollama_slot_t));
    if (place == NULL) {
        return NULL;
    }

    place->server = server;
    place->model_state = ngx_http_ollama_model_state_use_locked(server, wanted);

    server->in_flight++;

    if (place->model_state) {
        place->model_state->in_flight++;
    }

    ngx_queue_insert_tail(&ngx_http_ollama_fleet->slot->held,
                          &place->queue);

    return place;
}


static void
ngx_http_ollama_slot_free_locked(ngx_http_ollama_slot_t *place)
{
    ngx_http_ollama_model_state_t  *hot;

    ngx_queue_remove(&place->queue);

    place->server->in_flight--;

    hot = place->model_state;

    if (hot) {
        hot->in_flight--;

        if (hot->in_flight == 0 && !hot->loaded && !hot->absent) {
            /* whether it was loaded nobody knows */
            hot->used = 0;
        }
    }

    ngx_slab_free_locked(ngx_http_ollama_fleet->shpool, place);
}


/* Gives the place back, and notes how the try ended. */

void
ngx_http_ollama_slot_release(ngx_http_ollama_slot_t *place,
    ngx_http_ollama_try_e outcome, ngx_http_ollama_limits_t *limits)
{
    size_t                          len;
    u_char                          name[NGX_HTTP_OLLAMA_FLEET_NAME];
    ngx_uint_t                      down;
    ngx_http_ollama_model_state_t  *hot;
    ngx_http_ollama_server_t       *server;

    down = 0;
    len = 0;

    ngx_http_ollama_fleet_lock();

    server = place->server;
    hot = place->model_state;

    switch (outcome) {

    case NGX_HTTP_OLLAMA_TRY_OK:
        ngx_http_ollama_slot_answered_locked(server, hot);
        break;

    case NGX_HTTP_OLLAMA_TRY_REFUSED:
        ngx_http_ollama_slot_refused_locked(server);
        break;

    case NGX_HTTP_OLLAMA_TRY_NO_MODEL:
        if (hot) {
            hot->absent = 1;
            hot->loaded = 0;
            hot->seen = ngx_current_msec;
        }

        server->next = ngx_current_msec;
        break;

    case NGX_HTTP_OLLAMA_TRY_ANSWERED:
        server->connect_fails = 0;
        break;

    case NGX_HTTP_OLLAMA_TRY_CUT:
        ngx_http_ollama_slot_refused_locked(server);
        server->next = ngx_current_msec;
        break;

    case NGX_HTTP_OLLAMA_TRY_UNREACHABLE:
        if (limits->max_fails) {
            ngx_http_ollama_slot_refused_locked(server);
        }

        server->next = ngx_current_msec;
        down = ngx_http_ollama_slot_failed_locked(server, limits);
        len = ngx_http_ollama_fleet_name_locked(server, name);
        break;

    default: /* NGX_HTTP_OLLAMA_TRY_NEUTRAL */
        break;
    }

    ngx_http_ollama_slot_free_locked(place);

    ngx_http_ollama_fleet_unlock();

    if (down) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "ollama server \"%*s\" is down: a request could not "
                      "reach it", len, name);
    }
}


static void
ngx_http_ollama_slot_answered_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_model_state_t *hot)
{
    server->refusals = 0;
    server->connect_fails = 0;

    if (hot) {
        hot->loaded = 1;
        hot->absent = 0;
        hot->seen = ngx_current_msec;
    }
}


/*
 * A server that refuses answers sooner than one that works, and would draw
 * all requests.  Those that it refuses at a time count as one.
 */

static void
ngx_http_ollama_slot_refused_locked(ngx_http_ollama_server_t *server)
{
    if (ngx_http_ollama_slot_is_refusing_locked(server)) {
        return;
    }

    server->refusals++;
    server->refused = ngx_current_msec;
}


/* Another worker's clock may be ahead: the difference has a sign. */

static ngx_uint_t
ngx_http_ollama_slot_is_refusing_locked(ngx_http_ollama_server_t *server)
{
    ngx_msec_int_t  ago;

    if (server->refusals == 0) {
        return 0;
    }

    ago = (ngx_msec_int_t) (ngx_current_msec - server->refused);

    return ago < (ngx_msec_int_t)
                     ngx_http_ollama_slot_spare(server->refusals);
}


static ngx_msec_t
ngx_http_ollama_slot_spare(ngx_uint_t refusals)
{
    ngx_uint_t  doubled;

    doubled = ngx_min(refusals - 1, 4);

    return ngx_min((ngx_msec_t) NGX_HTTP_OLLAMA_SLOT_SPARE << doubled,
                   (ngx_msec_t) NGX_HTTP_OLLAMA_SLOT_SPARE_MAX);
}


/*
 * max_fails and fail_timeout as nginx has them, but that a server which is
 * out comes back with the next good look.  Returns 1 if it is out from now.
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


/* Whether the place's server has stopped answering looks. */

ngx_uint_t
ngx_http_ollama_slot_is_frozen(ngx_http_ollama_slot_t *place)
{
    ngx_uint_t  frozen;

    ngx_http_ollama_fleet_lock();
    frozen = place->server->probe_timeouts
             >= NGX_HTTP_OLLAMA_FLEET_PROBE_TIMEOUTS;
    ngx_http_ollama_fleet_unlock();

    return frozen;
}


/* Changes whenever a server becomes frozen; read without the lock. */

ngx_uint_t
ngx_http_ollama_slot_frozen_epoch(void)
{
    return ngx_http_ollama_fleet->sh->freezes;
}
