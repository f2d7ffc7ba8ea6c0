
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Requests that wait for a place at a server, and those that have one.  A
 * request asks for a place before proxy_pass begins, and waits in the
 * precontent phase; the balancer then uses the server that it was granted.
 *
 * What a request has in the queue lies in its pool, with a cleanup that gives
 * up its ticket.  Requests of this process that wait are on a list; a timer
 * looks whether one of them was granted a server by another process, at its
 * time limit, and once a second whether time alone makes a difference.
 *
 * It may use the fleet, and nginx's round robin by candidates.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue.h"
#include "balancer/ngx_http_ollama_queue_key.h"
#include "balancer/ngx_http_ollama_sched.h"
#include "core/ngx_http_ollama_error.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_timer.h"


/* ms between two looks at what other processes have granted */
#define NGX_HTTP_OLLAMA_QUEUE_TICK      10

/* ms after which all that wait are looked at again */
#define NGX_HTTP_OLLAMA_QUEUE_DISPATCH  1000


static ngx_int_t ngx_http_ollama_queue_enter_locked(
    ngx_http_ollama_queued_t *qd, ngx_http_ollama_candidates_t *search,
    uint64_t owner);
static ngx_int_t ngx_http_ollama_queue_busy(ngx_http_ollama_queued_t *qd,
    ngx_uint_t full);
static void ngx_http_ollama_queue_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_queue_wake_handler(ngx_event_t *ev);
static void ngx_http_ollama_queue_check(ngx_http_ollama_queue_t *state);
static void ngx_http_ollama_queue_check_one(ngx_http_ollama_queued_t *qd);
static void ngx_http_ollama_queue_run(ngx_http_ollama_queued_t *qd,
    ngx_int_t rc);


ngx_int_t
ngx_http_ollama_queue_init_worker(ngx_cycle_t *cycle)
{
    ngx_http_ollama_queue_t  *state;

    state = ngx_pcalloc(cycle->pool, sizeof(ngx_http_ollama_queue_t));
    if (state == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&state->waiting);

    ngx_http_ollama_timer_init(&state->timer,
                               ngx_http_ollama_queue_timer_handler, state,
                               cycle->log);

    /* requests must be answered, also by a worker that exits gracefully */
    state->timer.event.cancelable = 0;

    state->wake.handler = ngx_http_ollama_queue_wake_handler;
    state->wake.data = state;
    state->wake.log = cycle->log;

    *ngx_http_ollama_fleet_queue() = state;

    ngx_http_ollama_queue_shm_init_worker();

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_queue_begin(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up)
{
    uint64_t                       owner;
    ngx_int_t                      rc;
    ngx_http_ollama_queued_t      *qd;
    ngx_http_upstream_rr_peers_t  *peers;
    ngx_http_ollama_candidates_t   search;

    if (!up->balanced || up->queue == 0) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_candidates_init(r, ctx, up, &search);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED || !ngx_http_ollama_queue_is_wanted(&search)) {
        return NGX_OK;
    }

    qd = ngx_http_ollama_queue_make(r, ctx, up);
    if (qd == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_queue_owner(r, &owner) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    qd->began = ngx_current_msec;

    peers = up->uscf->peer.data;

    ngx_http_ollama_fleet_lock_peers(peers);

    rc = ngx_http_ollama_queue_enter_locked(qd, &search, owner);

    ngx_http_ollama_fleet_unlock_peers(peers);

    if (rc == NGX_BUSY) {
        return ngx_http_ollama_queue_busy(qd, 1);
    }

    /* a server can take it: no other search is needed */
    ctx->servable = (qd->ticket
                     && qd->ticket->state == NGX_HTTP_OLLAMA_QUEUE_GRANTED);

    qd->waiting = (rc == NGX_DECLINED);

    return rc;
}


/* NGX_DECLINED: it has to wait; NGX_BUSY: it can't. */

static ngx_int_t
ngx_http_ollama_queue_enter_locked(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_candidates_t *search, uint64_t owner)
{
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ngx_http_ollama_queue_ticket_locked(qd, search);

    if (qt == NULL) {
        /* no memory is left in the zone: it is chosen for without a ticket */
        return NGX_OK;
    }

    qt->ticket.owner = owner;

    if (ngx_http_ollama_queue_arrive_locked(qd->up, qt) != NGX_OK
        || (qt->state == NGX_HTTP_OLLAMA_QUEUE_WAITS
            && qt->queue->sched.waiting > qd->up->queue))
    {
        qd->ctx->retry_after = ngx_http_ollama_sched_retry(&qt->queue->sched,
                                                           &qt->ticket);
        ngx_http_ollama_queue_drop_locked(qd, NULL);
        return NGX_BUSY;
    }

    switch (qt->state) {

    case NGX_HTTP_OLLAMA_QUEUE_WAITS:
        return NGX_DECLINED;

    case NGX_HTTP_OLLAMA_QUEUE_REFUSED:
        ngx_http_ollama_queue_drop_locked(qd, NULL);
        return NGX_OK;

    default: /* NGX_HTTP_OLLAMA_QUEUE_GRANTED */
        return NGX_OK;
    }
}


/* Returns the status of the refusal. */

static ngx_int_t
ngx_http_ollama_queue_busy(ngx_http_ollama_queued_t *qd, ngx_uint_t full)
{
    if (full) {
        return ngx_http_ollama_error(qd->request, qd->ctx,
                                     NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "server busy, please try again: too many "
                                     "requests wait already");
    }

    return ngx_http_ollama_error(qd->request, qd->ctx,
                                 NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "server busy, please try again: no server "
                                 "had a place within %M ms",
                                 qd->up->queue_timeout);
}


void
ngx_http_ollama_queue_wait(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_queue_done_pt done)
{
    ngx_http_ollama_queue_t   *state;
    ngx_http_ollama_queued_t  *qd;

    qd = ctx->queued;
    qd->done = done;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama queue: wait");

    state = ngx_http_ollama_queue_state();

    ngx_queue_insert_tail(&state->waiting, &qd->queue);

    if (!state->timer.event.timer_set) {
        /* without a master the cycle may be another one now */
        state->timer.event.log = ngx_cycle->log;
        state->wake.log = ngx_cycle->log;
        ngx_add_timer(&state->timer.event, NGX_HTTP_OLLAMA_QUEUE_TICK);
    }
}


void
ngx_http_ollama_queue_leave(ngx_http_ollama_ctx_t *ctx)
{
    ctx->queued->waiting = 0;

    ngx_http_ollama_queue_drop(ctx->queued, NULL);
}


void
ngx_http_ollama_queue_stop(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_queued_t  *qd;

    qd = ctx->queued;

    if (qd && qd->waiting && qd->done) {
        ngx_http_ollama_queue_drop(qd, NULL);
        ngx_http_ollama_queue_run(qd, NGX_HTTP_SERVICE_UNAVAILABLE);
    }
}


static void
ngx_http_ollama_queue_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_http_ollama_queue_t   *state;
    ngx_http_ollama_queued_t  *qd;

    state = ngx_http_ollama_timer_data(ev);

    for (q = ngx_queue_head(&state->waiting);
         q != ngx_queue_sentinel(&state->waiting);
         q = ngx_queue_next(q))
    {
        qd = ngx_queue_data(q, ngx_http_ollama_queued_t, queue);

        if ((ngx_msec_int_t) (ngx_current_msec
                              - qd->ticket->queue->dispatched)
            >= NGX_HTTP_OLLAMA_QUEUE_DISPATCH)
        {
            ngx_http_ollama_fleet_lock_peers(qd->up->uscf->peer.data);

            ngx_http_ollama_queue_dispatch_locked(qd->up, qd->ticket->queue,
                                                  NULL);

            ngx_http_ollama_fleet_unlock_peers(qd->up->uscf->peer.data);
        }
    }

    ngx_http_ollama_queue_check(state);

    if (!ngx_queue_empty(&state->waiting) && !ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_QUEUE_TICK);
    }
}


static void
ngx_http_ollama_queue_wake_handler(ngx_event_t *ev)
{
    ngx_http_ollama_queue_check(ev->data);
}


/*
 * Continues the requests that wait no more.  That may end this one and others,
 * and begin new ones: each is taken off the list before.
 */

static void
ngx_http_ollama_queue_check(ngx_http_ollama_queue_t *state)
{
    ngx_queue_t                unchecked, *q;
    ngx_http_ollama_queued_t  *qd;

    ngx_queue_init(&unchecked);
    ngx_queue_add(&unchecked, &state->waiting);
    ngx_queue_init(&state->waiting);

    while (!ngx_queue_empty(&unchecked)) {

        q = ngx_queue_head(&unchecked);
        qd = ngx_queue_data(q, ngx_http_ollama_queued_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&state->waiting, q);

        ngx_http_ollama_queue_check_one(qd);
    }
}


/* The request may be gone then. */

static void
ngx_http_ollama_queue_check_one(ngx_http_ollama_queued_t *qd)
{
    ngx_int_t                        rc;
    ngx_http_upstream_rr_peers_t    *peers;
    ngx_http_ollama_queue_ticket_t  *qt;

    if (qd->ctx->cancelled) {
        /* it has been answered */
        ngx_queue_remove(&qd->queue);
        qd->waiting = 0;
        qd->time = ngx_current_msec - qd->began;
        ngx_http_ollama_queue_drop(qd, NULL);
        return;
    }

    switch (qd->ticket->state) {

    case NGX_HTTP_OLLAMA_QUEUE_GRANTED:
        qd->ctx->servable = 1;
        ngx_http_ollama_queue_run(qd, NGX_OK);
        return;

    case NGX_HTTP_OLLAMA_QUEUE_REFUSED:
        /* why is found out as for a request that did not wait */
        ngx_http_ollama_queue_drop(qd, NULL);
        ngx_http_ollama_queue_run(qd, NGX_OK);
        return;

    default: /* NGX_HTTP_OLLAMA_QUEUE_WAITS */
        break;
    }

    if (ngx_current_msec - qd->began < qd->up->queue_timeout) {
        return;
    }

    qt = qd->ticket;
    peers = qd->up->uscf->peer.data;

    ngx_http_ollama_fleet_lock_peers(peers);

    ngx_http_ollama_queue_due_locked(qd->up, qt);

    qd->ctx->retry_after = ngx_http_ollama_sched_retry(&qt->queue->sched,
                                                       &qt->ticket);
    ngx_http_ollama_fleet_unlock_peers(peers);

    if (qt->state != NGX_HTTP_OLLAMA_QUEUE_WAITS) {
        /* it was held for a better server */
        ngx_http_ollama_queue_check_one(qd);
        return;
    }

    ngx_http_ollama_queue_drop(qd, NULL);

    rc = ngx_http_ollama_queue_busy(qd, 0);

    ngx_http_ollama_queue_run(qd, rc);
}


static void
ngx_http_ollama_queue_run(ngx_http_ollama_queued_t *qd, ngx_int_t rc)
{
    ngx_connection_t  *c;

    ngx_queue_remove(&qd->queue);
    qd->waiting = 0;
    qd->time = ngx_current_msec - qd->began;

    c = qd->request->connection;

    ngx_http_set_log_request(c->log, qd->request);

    qd->done(qd->request, qd->ctx, rc);

    ngx_http_run_posted_requests(c);
}


void
ngx_http_ollama_queue_freed(ngx_http_ollama_upstream_t *up)
{
    ngx_http_ollama_queue_sh_t  *queue;

    queue = up->sched;

    if (queue && queue->sched.waiting == 0) {
        return;
    }

    ngx_http_ollama_fleet_lock_peers(up->uscf->peer.data);

    queue = ngx_http_ollama_queue_known_locked(up);

    if (queue && queue->sched.waiting) {
        ngx_http_ollama_queue_dispatch_locked(up, queue, NULL);
    }

    ngx_http_ollama_fleet_unlock_peers(up->uscf->peer.data);

    ngx_http_ollama_queue_wake();
}


ngx_uint_t
ngx_http_ollama_queue_waiting(ngx_http_ollama_upstream_t *up)
{
    ngx_uint_t                   n;
    ngx_http_ollama_queue_sh_t  *queue;

    if (!up->balanced) {
        return 0;
    }

    ngx_http_ollama_fleet_lock();

    queue = ngx_http_ollama_queue_known_locked(up);
    n = queue ? queue->sched.waiting : 0;

    ngx_http_ollama_fleet_unlock();

    return n;
}
