
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


/* of a request; in its pool */

struct ngx_http_ollama_queued_s {
    ngx_http_request_t              *request;
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_upstream_t      *up;
    ngx_http_ollama_queue_ticket_t  *ticket;    /* NULL: it has none */
    ngx_http_ollama_queue_done_pt    done;
    ngx_queue_t                      queue;     /* while it waits */
    ngx_msec_t                       began;
    ngx_msec_t                       time;      /* for which it has waited */
    ngx_http_ollama_figures_t        figures;
    unsigned                         waiting:1;
    unsigned                         taken:1;   /* its server was tried */
};


/* of this process */

typedef struct {
    ngx_http_ollama_timer_t          timer;
    ngx_event_t                      wake;      /* posted when this process has
                                                   granted something */
    ngx_queue_t                      waiting;
    ngx_atomic_t                     mail;      /* that was seen */
} ngx_http_ollama_queue_t;


static ngx_http_ollama_queued_t *ngx_http_ollama_queue_make(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up);
static ngx_int_t ngx_http_ollama_queue_enter_locked(
    ngx_http_ollama_queued_t *qd, ngx_http_ollama_candidates_t *search,
    uint64_t owner);
static ngx_http_ollama_queue_ticket_t *ngx_http_ollama_queue_ticket_locked(
    ngx_http_ollama_queued_t *qd, ngx_http_ollama_candidates_t *search);
static ngx_int_t ngx_http_ollama_queue_busy(ngx_http_ollama_queued_t *qd,
    ngx_uint_t full);
static ngx_http_ollama_queue_t *ngx_http_ollama_queue_state(void);
static void ngx_http_ollama_queue_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_queue_wake_handler(ngx_event_t *ev);
static void ngx_http_ollama_queue_check(ngx_http_ollama_queue_t *state);
static void ngx_http_ollama_queue_check_one(ngx_http_ollama_queued_t *qd);
static void ngx_http_ollama_queue_run(ngx_http_ollama_queued_t *qd,
    ngx_int_t rc);
static void ngx_http_ollama_queue_cleanup(void *data);
static void ngx_http_ollama_queue_drop(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_figures_t *f);
static void ngx_http_ollama_queue_wake(void);


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


static ngx_http_ollama_queued_t *
ngx_http_ollama_queue_make(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up)
{
    ngx_http_cleanup_t        *cln;
    ngx_http_ollama_queued_t  *qd;

    if (ctx->queued) {
        /* a ticket that it has is of a try that did not begin */
        ngx_http_ollama_queue_drop(ctx->queued, NULL);
        ctx->queued->up = up;
        return ctx->queued;
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_queued_t));
    if (cln == NULL) {
        return NULL;
    }

    qd = cln->data;
    ngx_memzero(qd, sizeof(ngx_http_ollama_queued_t));

    qd->request = r;
    qd->ctx = ctx;
    qd->up = up;

    cln->handler = ngx_http_ollama_queue_cleanup;

    ctx->queued = qd;

    return qd;
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

    if (qt->queue->sched.waiting >= qd->up->queue
        || ngx_http_ollama_queue_arrive_locked(qd->up, qt) != NGX_OK)
    {
        qd->ticket = NULL;
        qd->ctx->retry_after = ngx_http_ollama_sched_retry(&qt->queue->sched,
                                                           &qt->ticket);
        ngx_http_ollama_queue_free_locked(qt, NULL);
        return NGX_BUSY;
    }

    switch (qt->state) {

    case NGX_HTTP_OLLAMA_QUEUE_WAITS:
        return NGX_DECLINED;

    case NGX_HTTP_OLLAMA_QUEUE_REFUSED:
        qd->ticket = NULL;
        ngx_http_ollama_queue_free_locked(qt, NULL);
        return NGX_OK;

    default: /* NGX_HTTP_OLLAMA_QUEUE_GRANTED */
        return NGX_OK;
    }
}


/* Makes the ticket of a request; its line is of those that need the same. */

static ngx_http_ollama_queue_ticket_t *
ngx_http_ollama_queue_ticket_locked(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_candidates_t *search)
{
    size_t                           bytes;
    ngx_uint_t                       n;
    ngx_http_ollama_mark_t          *mark, session;
    ngx_http_ollama_scan_t          *scan;
    ngx_http_ollama_ticket_t        *t;
    ngx_http_ollama_queue_sh_t      *queue;
    ngx_http_ollama_queue_ticket_t  *qt;

    queue = ngx_http_ollama_queue_get_locked(qd->up);

    if (queue == NULL) {
        return NULL;
    }

    scan = qd->ctx->scan;
    mark = scan->marks;
    n = scan->nmarks;

    bytes = ngx_http_ollama_queue_text(qd->ctx);

    if (scan->session_id.len) {
        /* its history isn't scanned: where it was is where most of it is */
        ngx_http_ollama_marks_session(&session, &scan->session_id, bytes);
        mark = &session;
        n = 1;
    }

    qt = ngx_http_ollama_queue_create_locked(queue, search, mark, n);

    if (qt == NULL) {
        return NULL;
    }

    t = &qt->ticket;

    t->model = search->wanted.hash;
    t->options = scan->runner;
    t->context = scan->num_ctx;
    t->bytes = bytes;
    t->whole = ngx_http_ollama_queue_is_whole(qd->ctx);

    t->line = ngx_http_ollama_queue_line(t, search);

    qd->ticket = qt;
    qd->taken = 0;

    ngx_memzero(&qd->figures, sizeof(ngx_http_ollama_figures_t));
    qd->figures.load = -1;
    qd->figures.prompt = -1;
    qd->figures.generate = -1;
    qd->figures.prompt_tokens = -1;
    qd->figures.generated_tokens = -1;

    return qt;
}


/* Returns the status of the refusal. */

static ngx_int_t
ngx_http_ollama_queue_busy(ngx_http_ollama_queued_t *qd, ngx_uint_t full)
{
    if (full) {
        return ngx_http_ollama_error(qd->request, qd->ctx,
                                     NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "server busy, please try again: %ui "
                                     "requests wait already", qd->up->queue);
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
ngx_http_ollama_queue_stop(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_queued_t  *qd;

    qd = ctx->queued;

    if (qd && qd->waiting && qd->done) {
        ngx_http_ollama_queue_drop(qd, NULL);
        ngx_http_ollama_queue_run(qd, NGX_HTTP_SERVICE_UNAVAILABLE);
    }
}


static ngx_http_ollama_queue_t *
ngx_http_ollama_queue_state(void)
{
    return *ngx_http_ollama_fleet_queue();
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
    ngx_int_t  rc;

    if (qd->ctx->cancelled) {
        /* it has been answered */
        ngx_queue_remove(&qd->queue);
        qd->waiting = 0;
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

    ngx_http_ollama_fleet_lock();

    qd->ctx->retry_after = ngx_http_ollama_sched_retry(
                                                  &qd->ticket->queue->sched,
                                                  &qd->ticket->ticket);
    ngx_http_ollama_fleet_unlock();

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


ngx_http_ollama_server_t *
ngx_http_ollama_queue_server_locked(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up)
{
    ngx_http_ollama_queued_t  *qd;

    qd = ctx ? ctx->queued : NULL;

    if (qd == NULL || qd->ticket == NULL || qd->taken || qd->up != up
        || qd->ticket->state != NGX_HTTP_OLLAMA_QUEUE_GRANTED)
    {
        return NULL;
    }

    return qd->ticket->server;
}


ngx_http_ollama_slot_t *
ngx_http_ollama_queue_take_locked(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_slot_t  *slot;

    slot = ctx->queued->ticket->slot;

    ctx->queued->ticket->slot = NULL;
    ctx->queued->taken = 1;

    return slot;
}


ngx_http_ollama_candidate_t *
ngx_http_ollama_queue_bind_locked(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_queue_set_t *set,
    ngx_http_ollama_slot_t **slot)
{
    ngx_uint_t                       i;
    ngx_http_ollama_queued_t        *qd;
    ngx_http_ollama_candidate_t     *c;
    ngx_http_ollama_queue_ticket_t  *qt;

    if (ctx == NULL || !ngx_http_ollama_queue_is_wanted(&set->search)) {
        return NULL;
    }

    for (i = 0; i < set->n; i++) {
        if (set->c[i].server == NULL) {
            return NULL;
        }
    }

    qd = ctx->queued;

    if (qd == NULL) {
        qd = ngx_http_ollama_queue_make(r, ctx, set->up);

        if (qd == NULL) {
            return NULL;
        }

        qd->began = ngx_current_msec;
    }

    if (qd->ticket) {
        return NULL;
    }

    qd->up = set->up;

    qt = ngx_http_ollama_queue_ticket_locked(qd, &set->search);

    if (qt == NULL) {
        return NULL;
    }

    c = ngx_http_ollama_queue_choose_locked(set, qt);

    if (c == NULL) {
        qd->ticket = NULL;
        ngx_http_ollama_queue_free_locked(qt, NULL);
        return NULL;
    }

    *slot = qt->slot;

    qt->slot = NULL;
    qd->taken = 1;

    return c;
}


void
ngx_http_ollama_queue_first(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_queued_t      *qd;
    ngx_http_ollama_queue_sh_t    *queue;
    ngx_http_upstream_rr_peers_t  *peers;

    qd = ctx->queued;

    if (qd == NULL || qd->ticket == NULL || !qd->taken) {
        return;
    }

    queue = qd->ticket->queue;
    peers = qd->up->uscf->peer.data;

    ngx_http_ollama_fleet_lock_peers(peers);

    ngx_http_ollama_sched_first(&queue->sched, &qd->ticket->ticket,
                                ngx_current_msec);

    if (queue->sched.waiting && qd->ticket->ticket.capacity) {
        ngx_http_ollama_queue_dispatch_locked(qd->up, queue,
                                              qd->ticket->ticket.capacity);
    }

    ngx_http_ollama_fleet_unlock_peers(peers);

    ngx_http_ollama_queue_wake();
}


void
ngx_http_ollama_queue_figures(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_figures_t *figures)
{
    if (ctx->queued) {
        ctx->queued->figures = *figures;
    }
}


void
ngx_http_ollama_queue_end(ngx_http_ollama_ctx_t *ctx, ngx_uint_t ok)
{
    ngx_http_ollama_queued_t  *qd;

    qd = ctx->queued;

    if (qd == NULL || qd->ticket == NULL || !qd->taken) {
        return;
    }

    qd->figures.ok = ok;

    ngx_http_ollama_queue_drop(qd, ok ? &qd->figures : NULL);
}


ngx_msec_t
ngx_http_ollama_queue_time(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->queued ? ctx->queued->time : 0;
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

    queue = ngx_http_ollama_queue_get_locked(up);
    n = queue ? queue->sched.waiting : 0;

    ngx_http_ollama_fleet_unlock();

    return n;
}


/* The client has gone, or the request has ended before it was tried. */

static void
ngx_http_ollama_queue_cleanup(void *data)
{
    ngx_http_ollama_queued_t *qd = data;

    if (qd->waiting && qd->done) {
        ngx_queue_remove(&qd->queue);

        /* the log is written after this */
        qd->time = ngx_current_msec - qd->began;
    }

    ngx_http_ollama_queue_drop(qd, NULL);
}


/* Gives up the ticket, and grants its place to another request. */

static void
ngx_http_ollama_queue_drop(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_figures_t *f)
{
    ngx_http_ollama_slot_t          *slot;
    ngx_http_ollama_limits_t         limits;
    ngx_http_ollama_capacity_t      *c;
    ngx_http_ollama_queue_sh_t      *queue;
    ngx_http_upstream_rr_peers_t    *peers;

    if (qd->ticket == NULL) {
        return;
    }

    slot = qd->ticket->slot;

    if (slot) {
        ngx_memzero(&limits, sizeof(ngx_http_ollama_limits_t));
        ngx_http_ollama_slot_release(slot, NGX_HTTP_OLLAMA_TRY_NEUTRAL,
                                     &limits);
    }

    queue = qd->ticket->queue;
    peers = qd->up->uscf->peer.data;

    ngx_http_ollama_fleet_lock_peers(peers);

    c = qd->ticket->ticket.capacity;

    ngx_http_ollama_queue_free_locked(qd->ticket, f);
    qd->ticket = NULL;

    if (c && queue->sched.waiting) {
        ngx_http_ollama_queue_dispatch_locked(qd->up, queue, c);
    }

    ngx_http_ollama_fleet_unlock_peers(peers);

    ngx_http_ollama_queue_wake();
}


/* Has the requests of this process continued that were granted a server. */

static void
ngx_http_ollama_queue_wake(void)
{
    ngx_http_ollama_queue_t  *state;

    state = ngx_http_ollama_queue_state();

    if (state->mail != ngx_http_ollama_slot_proc()->mail) {
        state->mail = ngx_http_ollama_slot_proc()->mail;
        ngx_post_event(&state->wake, &ngx_posted_events);
    }
}
