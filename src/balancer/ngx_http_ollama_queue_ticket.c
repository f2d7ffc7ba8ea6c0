
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request's ticket in this process.  What the request has lies in its pool,
 * with a cleanup that gives up its ticket.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_ticket.h"
#include "balancer/ngx_http_ollama_queue_key.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "request/ngx_http_ollama_scan.h"


static void ngx_http_ollama_queue_cleanup(void *data);


ngx_http_ollama_queued_t *
ngx_http_ollama_queue_make(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up)
{
    ngx_http_cleanup_t        *cln;
    ngx_http_ollama_queued_t  *qd;

    if (ctx->queued) {
        /* a ticket that it has is of a try that did not begin */
        ngx_http_ollama_queue_drop(ctx->queued, NULL);
        ctx->queued->up = up;
        ctx->queued->done = NULL;
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


ngx_http_ollama_queue_ticket_t *
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


void
ngx_http_ollama_queue_drop(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_figures_t *f)
{
    ngx_http_ollama_capacity_t    *c;
    ngx_http_ollama_queue_sh_t    *queue;
    ngx_http_upstream_rr_peers_t  *peers;

    if (qd->ticket == NULL) {
        return;
    }

    queue = qd->ticket->queue;
    peers = qd->up->uscf->peer.data;

    ngx_http_ollama_fleet_lock_peers(peers);

    c = qd->ticket->ticket.capacity;

    ngx_http_ollama_queue_drop_locked(qd, f);

    if (c && queue->sched.waiting) {
        ngx_http_ollama_queue_dispatch_locked(qd->up, queue, c);
    }

    ngx_http_ollama_fleet_unlock_peers(peers);

    ngx_http_ollama_queue_wake();
}


/* Until the lock is held another process may grant it a slot. */

void
ngx_http_ollama_queue_drop_locked(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_figures_t *f)
{
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = qd->ticket;
    qd->ticket = NULL;

    if (qt->slot) {
        ngx_http_ollama_slot_cancel_locked(qt->slot);
    }

    ngx_http_ollama_queue_free_locked(qt, f);
}


void
ngx_http_ollama_queue_wake(void)
{
    ngx_http_ollama_queue_t  *state;

    state = ngx_http_ollama_queue_state();

    if (state->mail != ngx_http_ollama_slot_proc()->mail) {
        state->mail = ngx_http_ollama_slot_proc()->mail;
        ngx_post_event(&state->wake, &ngx_posted_events);
    }
}


ngx_http_ollama_queue_t *
ngx_http_ollama_queue_state(void)
{
    return *ngx_http_ollama_fleet_queue();
}
