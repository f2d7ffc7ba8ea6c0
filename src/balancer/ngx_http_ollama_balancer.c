
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * ollama_balance: sends a request to the server that can serve it best.  The
 * list of peers, their tried bits and nginx's own counts are in nginx's round
 * robin; which peer is used is decided here, by what the fleet knows and by the
 * policy.
 *
 * The peer data of a try is in the request's pool.  It holds a slot from the
 * get handler to the free handler; the fleet's lock is held from reading the
 * servers' state to acquiring the slot.
 *
 * A request that waits for the first byte of a server that has frozen is moved
 * to another one; for that the requests of the worker that hold slots are on a
 * queue, which a timer checks.
 *
 * It may use the fleet, nginx's round robin and nginx's upstream.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_balancer.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_policy.h"
#include "balancer/ngx_http_ollama_try.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_slot.h"
#include "util/ngx_http_ollama_timer.h"


/* how often it is checked whether a server has frozen, ms */
#define NGX_HTTP_OLLAMA_BALANCER_TICK  100


/* before nginx 1.27.3 peers live as long as the configuration */

#ifndef ngx_http_upstream_rr_peer_ref
#define ngx_http_upstream_rr_peer_ref(peers, peer)
#endif


typedef struct {
    ngx_http_upstream_rr_peer_data_t   rrp;      /* must be first */
    ngx_http_request_t                *request;
    ngx_http_ollama_candidates_t       search;
    ngx_http_ollama_slot_t            *slot;     /* NULL: it holds none */
    ngx_queue_t                        queue;    /* while it holds one */
    ngx_uint_t                         reserve;  /* tries for the case that the
                                                    first server that is up
                                                    can't be reached */
    unsigned                           moved:1;  /* from a frozen server */
} ngx_http_ollama_balancer_t;


typedef struct {
    ngx_http_ollama_timer_t            timer;
    ngx_queue_t                        requests; /* that hold a slot */
    ngx_queue_t                        unchecked; /* of these, in the timer */
    ngx_uint_t                         epoch;    /* slot_frozen_epoch() that
                                                    was handled */
    ngx_uint_t                         again;    /* no other server could take
                                                    one of them */
} ngx_http_ollama_balancer_state_t;


static ngx_int_t ngx_http_ollama_balancer_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_ollama_balancer_keep_not_found(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_balancer_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_ollama_balancer_get_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_ollama_balancer_is_changed(
    ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_tries_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc, ngx_uint_t n);
static void ngx_http_ollama_balancer_list_locked(
    ngx_http_ollama_balancer_t *b, ngx_http_upstream_rr_peers_t *peers);
static ngx_int_t ngx_http_ollama_balancer_use_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc,
    ngx_http_upstream_rr_peer_t *peer);
static void ngx_http_ollama_balancer_forget_name(
    ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_name_locked(
    ngx_http_ollama_balancer_t *b, ngx_http_ollama_server_t *server);
static void ngx_http_ollama_balancer_set_tried(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t tried);
static void ngx_http_ollama_balancer_free_peer(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static void ngx_http_ollama_balancer_watch(ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_timer_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_ollama_balancer_is_movable(
    ngx_http_ollama_balancer_t *b);


static ngx_http_ollama_balancer_state_t  ngx_http_ollama_balancer;


ngx_int_t
ngx_http_ollama_balancer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_ollama_srv_conf_t  *oscf;

#if (NGX_HTTP_UPSTREAM_ZONE)

    if (us->shm_zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ollama_balance\" needs a \"zone\" in upstream "
                      "\"%V\" in %s:%ui, as \"zone %V 1m;\"",
                      &us->host, us->file_name, (ngx_uint_t) us->line,
                      &us->host);
        return NGX_ERROR;
    }

#endif

    if (ngx_http_upstream_init_round_robin(cf, us) != NGX_OK) {
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_ollama_balancer_init_peer;

    oscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_ollama_module);
    oscf->up->balanced = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_balancer_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_balancer_t  *b;
    ngx_http_ollama_srv_conf_t  *oscf;
    ngx_http_ollama_loc_conf_t  *olcf;

    oscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_ollama_module);
    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx) {
        ctx->no_server = 0;

        /* where a variable chose this upstream it was not known before */

        if (!olcf->fixed
            && ngx_http_ollama_candidates_check(r, ctx, oscf->up)
               != NGX_DECLINED)
        {
            ctx->no_server = 1;
            return NGX_ERROR;
        }
    }

    b = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_balancer_t));
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->request = r;

    if (ngx_http_ollama_candidates_init(r, ctx, oscf->up, &b->search)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    r->upstream->peer.data = &b->rrp;

    if (ngx_http_upstream_init_round_robin_peer(r, us) != NGX_OK) {
        return NGX_ERROR;
    }

    r->upstream->peer.get = ngx_http_ollama_balancer_get_peer;
    r->upstream->peer.free = ngx_http_ollama_balancer_free_peer;

    if (ctx && ctx->endpoint
        && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_FURTHER)
    {
        return ngx_http_ollama_balancer_keep_not_found(r);
    }

    return NGX_OK;
}


/*
 * A 404 to a path of ollama_pass need not be about the model, and no other
 * server is asked then.  proxy's configuration belongs to all requests: this
 * one gets a copy.
 */

static ngx_int_t
ngx_http_ollama_balancer_keep_not_found(ngx_http_request_t *r)
{
    ngx_http_upstream_conf_t  *conf;

    if (!(r->upstream->conf->next_upstream & NGX_HTTP_UPSTREAM_FT_HTTP_404)) {
        return NGX_OK;
    }

    conf = ngx_palloc(r->pool, sizeof(ngx_http_upstream_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    *conf = *r->upstream->conf;
    conf->next_upstream &= ~NGX_HTTP_UPSTREAM_FT_HTTP_404;

    r->upstream->conf = conf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_balancer_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_ollama_balancer_t *b = data;

    ngx_int_t                      rc;
    ngx_uint_t                     tried;
    ngx_http_ollama_ctx_t         *ctx;
    ngx_http_upstream_rr_peers_t  *peers;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "ollama balancer: get peer, try: %ui", pc->tries);

    pc->cached = 0;
    pc->connection = NULL;

    /* nginx resets it only after a connect that did not fail at once */
    b->request->upstream->headers_in.status_n = 0;

    tried = (b->rrp.current != NULL);

    peers = b->search.up->uscf->peer.data;

    ngx_http_ollama_fleet_lock_peers(peers);

    rc = ngx_http_ollama_balancer_get_locked(b, pc);

    ngx_http_ollama_fleet_unlock_peers(peers);

    if (rc == NGX_OK) {
        ngx_http_ollama_balancer_watch(b);
        return NGX_OK;
    }

    pc->name = peers->name;

    /* after a try the reply is nginx's own 502 */

    ctx = ngx_http_ollama_get_ctx(b->request);

    if (!tried && ctx) {
        (void) ngx_http_ollama_candidates_refuse(b->request, ctx, &b->search);
        ctx->no_server = 1;
    }

    return NGX_BUSY;
}


static ngx_int_t
ngx_http_ollama_balancer_get_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc)
{
    ngx_uint_t                     n;
    ngx_http_ollama_candidate_t    c[NGX_HTTP_OLLAMA_FLEET_SERVERS];

    if (ngx_http_ollama_balancer_is_changed(b)) {
        return NGX_BUSY;
    }

    for ( ;; ) {

        n = ngx_http_ollama_candidates_find_locked(&b->search, b->rrp.peers,
                                                   b->rrp.tried, c);
        if (n) {
            ngx_http_ollama_balancer_tries_locked(b, pc, n);

            return ngx_http_ollama_balancer_use_locked(b, pc,
                                              ngx_http_ollama_policy(c, n));
        }

        if (b->rrp.peers->next && !(b->search.first && b->search.full)) {
            ngx_http_ollama_balancer_list_locked(b, b->rrp.peers->next);
            continue;
        }

        if (b->rrp.current || b->search.any
            || !ngx_http_ollama_candidates_is_any_left(&b->search))
        {
            return NGX_BUSY;
        }

        /* nothing was tried so far */

        b->search.any = 1;
        ngx_http_ollama_balancer_list_locked(b,
                                             b->search.up->uscf->peer.data);
    }
}


/*
 * Whether names were resolved anew since the request began: its tried bits are
 * those of another list then.
 */

static ngx_uint_t
ngx_http_ollama_balancer_is_changed(ngx_http_ollama_balancer_t *b)
{
#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
    ngx_uint_t  *config;

    config = b->rrp.peers->config;

    return config && b->rrp.config != *config;
#else
    return 0;
#endif
}


/*
 * Limits the tries left to the number of servers that can take the request:
 * whatever the last of them answers is sent to the client.  What the first
 * server that is up answers is final.
 */

static void
ngx_http_ollama_balancer_tries_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_uint_t n)
{
    ngx_http_upstream_rr_peers_t  *backup;

    if (b->search.first) {
        b->reserve = pc->tries - 1;
        pc->tries = 1;
        return;
    }

    backup = b->rrp.peers->next;

    if (backup) {
        n += ngx_http_ollama_candidates_find_locked(&b->search, backup, NULL,
                                                    NULL);
    }

    pc->tries = ngx_min(pc->tries, n);
}


/* Servers that are marked as backup are another list, with own tried bits. */

static void
ngx_http_ollama_balancer_list_locked(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peers_t *peers)
{
    ngx_uint_t  i, n;

    b->rrp.peers = peers;

    n = (peers->number + (8 * sizeof(uintptr_t) - 1))
        / (8 * sizeof(uintptr_t));

    for (i = 0; i < n; i++) {
        b->rrp.tried[i] = 0;
    }
}


static ngx_int_t
ngx_http_ollama_balancer_use_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_http_upstream_rr_peer_t *peer)
{
    ngx_http_ollama_server_t  *server;

    server = ngx_http_ollama_fleet_find_locked(b->search.up, &peer->server,
                                               &peer->name);
    if (server) {
        b->slot = ngx_http_ollama_slot_acquire_locked(server,
                                                      &b->search.wanted);
        if (b->slot == NULL && peer->max_conns) {
            /* no memory is left to count the request */
            b->search.full = 1;
            return NGX_BUSY;
        }

        ngx_http_ollama_balancer_name_locked(b, server);

    } else {
        ngx_http_ollama_balancer_forget_name(b);
    }

    pc->sockaddr = peer->sockaddr;
    pc->socklen = peer->socklen;
    pc->name = &peer->name;

    b->rrp.current = peer;

    /* nginx decrements these without the fleet's lock */

    ngx_http_upstream_rr_peer_lock(b->rrp.peers, peer);

    peer->conns++;
    ngx_http_upstream_rr_peer_ref(b->rrp.peers, peer);

    ngx_http_upstream_rr_peer_unlock(b->rrp.peers, peer);

    ngx_http_ollama_balancer_set_tried(b, peer, 1);

    return NGX_OK;
}


/* The tap sets the name of a server that is not in the table. */

static void
ngx_http_ollama_balancer_forget_name(ngx_http_ollama_balancer_t *b)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(b->request);

    if (ctx) {
        ctx->server_of = NULL;
        ctx->server_id = 0;
    }
}


/* Stores the name of the server for X-Ollama-Server and for logs. */

static void
ngx_http_ollama_balancer_name_locked(ngx_http_ollama_balancer_t *b,
    ngx_http_ollama_server_t *server)
{
    size_t                  len;
    u_char                 *p;
    u_char                  name[NGX_HTTP_OLLAMA_FLEET_NAME];
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(b->request);

    if (ctx == NULL) {
        return;
    }

    ctx->server_id = ngx_http_ollama_fleet_id_locked(server);

    len = ngx_http_ollama_fleet_name_locked(server, name);

    p = ngx_pnalloc(b->request->pool, len);
    if (p == NULL) {
        return;
    }

    ngx_memcpy(p, name, len);

    ctx->server.data = p;
    ctx->server.len = len;
    ctx->server_of = b->request->upstream;
}


/* Sets or clears the peer's tried bit. */

static void
ngx_http_ollama_balancer_set_tried(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t tried)
{
    uintptr_t                     *bits, m;
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peer_t   *p;

    i = 0;

    for (p = b->rrp.peers->peer; p != peer; p = p->next) {

        if (p == NULL) {
            return;
        }

        i++;
    }

    bits = &b->rrp.tried[i / (8 * sizeof(uintptr_t))];
    m = (uintptr_t) 1 << i % (8 * sizeof(uintptr_t));

    if (tried) {
        *bits |= m;

    } else {
        *bits &= ~m;
    }
}


/*
 * A failure is never passed to the round robin: the fleet decides whether a
 * server is down, and a request that was stopped is not the server's fault.
 */

static void
ngx_http_ollama_balancer_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_ollama_balancer_t *b = data;

    ngx_http_ollama_try_e      outcome;
    ngx_http_ollama_limits_t   limits;

    outcome = ngx_http_ollama_try_outcome(b->request, pc, state);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "ollama balancer: free peer, state: %ui, outcome: %d",
                   state, (int) outcome);

    if (outcome == NGX_HTTP_OLLAMA_TRY_UNREACHABLE) {
        pc->tries += b->reserve;
    }

    if (b->slot) {
        limits.max_fails = b->rrp.current->max_fails;
        limits.fail_timeout = b->rrp.current->fail_timeout;

        ngx_queue_remove(&b->queue);
        ngx_http_ollama_slot_release(b->slot, outcome, &limits);
        b->slot = NULL;
    }

    if ((state & NGX_PEER_FAILED) && pc->cached) {

        /* the server had closed a keepalive connection, and may be up */

        ngx_http_ollama_fleet_lock_peers(b->rrp.peers);

        if (!ngx_http_ollama_balancer_is_changed(b)) {
            ngx_http_ollama_balancer_set_tried(b, b->rrp.current, 0);
        }

        ngx_http_ollama_fleet_unlock_peers(b->rrp.peers);
    }

    ngx_http_upstream_free_round_robin_peer(pc, &b->rrp,
                                            state & ~NGX_PEER_FAILED);
}


/* Adds the request to the queue of those that the timer checks. */

static void
ngx_http_ollama_balancer_watch(ngx_http_ollama_balancer_t *b)
{
    ngx_http_ollama_balancer_state_t  *state;

    if (b->slot == NULL) {
        return;
    }

    state = &ngx_http_ollama_balancer;

    if (state->requests.next == NULL) {
        ngx_queue_init(&state->requests);
        ngx_queue_init(&state->unchecked);
        ngx_http_ollama_timer_init(&state->timer,
                                   ngx_http_ollama_balancer_timer_handler,
                                   state, ngx_cycle->log);
    }

    ngx_queue_insert_tail(&state->requests, &b->queue);

    if (state->timer.event.timer_set) {
        return;
    }

    /* without a master the cycle may be another one now */
    state->timer.event.log = ngx_cycle->log;

    ngx_add_timer(&state->timer.event, NGX_HTTP_OLLAMA_BALANCER_TICK);
}


/*
 * If a server has frozen since the last time, its requests that have received
 * nothing of a reply get the event of a timeout, after which nginx tries the
 * next server.  That may end this request and others: a request is put back to
 * the queue before.
 */

static void
ngx_http_ollama_balancer_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                         epoch;
    ngx_queue_t                       *q;
    ngx_event_t                       *rev;
    ngx_connection_t                  *c;
    ngx_http_upstream_t               *u;
    ngx_http_ollama_balancer_t        *b;
    ngx_http_ollama_balancer_state_t  *state;

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

        if (!ngx_http_ollama_balancer_is_movable(b)) {
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
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_BALANCER_TICK);
    }
}


/*
 * Whether the request waits for the first byte of a frozen server, and can be
 * tried at another one, and may by proxy_next_upstream.
 */

static ngx_uint_t
ngx_http_ollama_balancer_is_movable(ngx_http_ollama_balancer_t *b)
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

    if (!ngx_http_ollama_balancer_is_changed(b)) {
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
        ngx_http_ollama_balancer.again = 1;
    }

    return n;
}
