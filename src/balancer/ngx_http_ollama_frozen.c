
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request that waits for the first byte of a server that has frozen is moved
 * to another one; for that the requests of the worker that hold slots are on a
 * queue, which a timer checks.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_frozen.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_slot.h"
#include "util/ngx_http_ollama_timer.h"


/* how often it is checked whether a server has frozen, ms */
#define NGX_HTTP_OLLAMA_FROZEN_TICK  100


typedef struct {
    ngx_http_ollama_timer_t            timer;
    ngx_queue_t                        requests; /* that hold a slot */
    ngx_queue_t                        unchecked; /* of these, in the timer */
    ngx_uint_t                         epoch;    /* slot_frozen_epoch() that
                                                    was handled */
    ngx_uint_t                         again;    /* no other server could take
                                                    one of them */
} ngx_http_ollama_frozen_t;


static void ngx_http_ollama_frozen_timer_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_ollama_frozen_is_movable(
    ngx_http_ollama_balancer_t *b);


static ngx_http_ollama_frozen_t  ngx_http_ollama_frozen;


void
ngx_http_ollama_frozen_watch(ngx_http_ollama_balancer_t *b)
{
    ngx_http_ollama_frozen_t  *state;

    if (b->slot == NULL) {
        return;
    }

    state = &ngx_http_ollama_frozen;

    if (state->requests.next == NULL) {
        ngx_queue_init(&state->requests);
        ngx_queue_init(&state->unchecked);
        ngx_http_ollama_timer_init(&state->timer,
                                   ngx_http_ollama_frozen_timer_handler,
                                   state, ngx_cycle->log);
    }

    ngx_queue_insert_tail(&state->requests, &b->queue);

    if (state->timer.event.timer_set) {
        return;
    }

    /* without a master the cycle may be another one now */
    state->timer.event.log = ngx_cycle->log;

    ngx_add_timer(&state->timer.event, NGX_HTTP_OLLAMA_FROZEN_TICK);
}


/*
 * If a server has frozen since the last time, its requests that have received
 * nothing of a reply get the event of a timeout, after which nginx tries the
 * next server.  That may end this request and others: a request is put back to
 * the queue before.
 */

static void
ngx_http_ollama_frozen_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                         epoch;
    ngx_queue_t                       *q;
    ngx_event_t                       *rev;
    ngx_connection_t                  *c;
    ngx_http_upstream_t               *u;
    ngx_http_ollama_balancer_t        *b;
    ngx_http_ollama_frozen_t  *state;

    state = ngx_http_ollama_timer_data(ev);

    epoch = ngx_http_ollama_slot_frozen_epoch();

    if (epoch != state->epoch || state->again) {
        state->epoch = epoch;
        state->again = 0;

        ngx_queue_add(&state->unchecked, &state->requests);
        ngx_queue_init(&state->requests);
    }

    while (!ngx_queue_empty(&state->unchecked)) {

        q = ngx_queue_head(&state->unchecked);
        b = ngx_queue_data(q, ngx_http_ollama_balancer_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&state->requests, q);

        if (!ngx_http_ollama_frozen_is_movable(b)) {
            continue;
        }

        c = b->request->connection;
        ngx_http_set_log_request(c->log, b->request);

        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "ollama server does not answer any more, the request "
                      "moves to another one");

        b->moved = 1;

        /* the time limit of tries starts again, and there is one more */

        u = b->request->upstream;
        u->peer.start_time = ngx_current_msec;
        u->peer.tries = ngx_max(u->peer.tries, 2);

        rev = u->peer.connection->read;
        rev->timedout = 1;
        rev->handler(rev);

        ngx_http_run_posted_requests(c);
    }

    if (!ngx_queue_empty(&state->requests)) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_FROZEN_TICK);
    }
}


/*
 * Whether the request waits for the first byte of a frozen server, and can be
 * tried at another one, and may by proxy_next_upstream.
 */

static ngx_uint_t
ngx_http_ollama_frozen_is_movable(ngx_http_ollama_balancer_t *b)
{
    ngx_uint_t                     n, ft, any;
    ngx_http_request_t            *r;
    ngx_http_upstream_t           *u;
    ngx_http_upstream_rr_peers_t  *peers;

    r = b->request;
    u = r->upstream;

    if (b->moved
        || b->search.first
        || u->peer.connection == NULL
        || u->header_sent
        || u->headers_in.status_n
        || r->request_body_no_buffering
        || !ngx_http_ollama_slot_is_frozen(b->slot))
    {
        return 0;
    }

    ft = NGX_HTTP_UPSTREAM_FT_TIMEOUT;

    if (r->method & (NGX_HTTP_POST|NGX_HTTP_LOCK|NGX_HTTP_PATCH)) {
        ft |= NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;
    }

    if ((u->conf->next_upstream & ft) != ft) {
        return 0;
    }

    n = 0;
    peers = b->search.up->uscf->peer.data;

    /* one that is slow, too, is not better */

    any = b->search.any;
    b->search.any = 0;

    ngx_http_ollama_fleet_lock_peers(peers);

    if (!ngx_http_ollama_peers_is_changed(b)) {
        n = ngx_http_ollama_candidates_find_locked(&b->search, b->rrp.peers,
                                                   b->rrp.tried, NULL);
        if (n == 0 && b->rrp.peers->next) {
            n = ngx_http_ollama_candidates_find_locked(&b->search,
                                                       b->rrp.peers->next, NULL,
                                                       NULL);
        }
    }

    ngx_http_ollama_fleet_unlock_peers(peers);

    b->search.any = any;

    if (n == 0) {
        ngx_http_ollama_frozen.again = 1;
    }

    return n;
}
