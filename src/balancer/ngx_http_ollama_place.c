
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request's place at a server: granted, taken by the balancer for a try, and
 * what the reply tells of the server until the try ends.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_place.h"
#include "balancer/ngx_http_ollama_queue_key.h"
#include "balancer/ngx_http_ollama_queue_ticket.h"
#include "balancer/ngx_http_ollama_sched.h"
#include "fleet/ngx_http_ollama_fleet.h"


ngx_http_ollama_server_t *
ngx_http_ollama_place_server_locked(ngx_http_ollama_ctx_t *ctx,
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


void
ngx_http_ollama_place_lose_locked(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_queue_drop_locked(ctx->queued, NULL);
}


ngx_http_ollama_slot_t *
ngx_http_ollama_place_take_locked(ngx_http_ollama_ctx_t *ctx,
    ngx_uint_t *servers)
{
    ngx_http_ollama_slot_t          *slot;
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ctx->queued->ticket;

    slot = qt->slot;
    *servers = qt->servers;

    qt->slot = NULL;
    ctx->queued->taken = 1;

    return slot;
}


ngx_http_ollama_candidate_t *
ngx_http_ollama_place_bind_locked(ngx_http_request_t *r,
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
        ngx_http_ollama_queue_drop_locked(qd, NULL);
        return NULL;
    }

    *slot = qt->slot;

    qt->slot = NULL;
    qd->taken = 1;

    return c;
}


void
ngx_http_ollama_place_first(ngx_http_ollama_ctx_t *ctx)
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
ngx_http_ollama_place_figures(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_figures_t *figures)
{
    if (ctx->queued) {
        ctx->queued->figures = *figures;
    }
}


ngx_uint_t
ngx_http_ollama_place_end(ngx_http_ollama_ctx_t *ctx, ngx_uint_t ok)
{
    ngx_http_ollama_queued_t  *qd;

    qd = ctx ? ctx->queued : NULL;

    if (qd == NULL || qd->ticket == NULL || !qd->taken) {
        return 0;
    }

    qd->figures.ok = ok;

    ngx_http_ollama_queue_drop(qd, ok ? &qd->figures : NULL);

    return 1;
}


ngx_uint_t
ngx_http_ollama_place_is_loading(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_queued_t  *qd;

    qd = ctx->queued;

    return qd && qd->ticket && qd->taken
           && qd->ticket->ticket.cold
           && !qd->ticket->ticket.first;
}


ngx_uint_t
ngx_http_ollama_place_is_awaited(ngx_http_ollama_ctx_t *ctx)
{
    ngx_uint_t                       awaited;
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ctx->queued->ticket;

    if (qt == NULL) {
        return 0;
    }

    ngx_http_ollama_fleet_lock();
    awaited = ngx_http_ollama_sched_is_awaited(&qt->queue->sched, &qt->ticket);
    ngx_http_ollama_fleet_unlock();

    return awaited;
}


ngx_msec_t
ngx_http_ollama_place_time(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->queued ? ctx->queued->time : 0;
}
