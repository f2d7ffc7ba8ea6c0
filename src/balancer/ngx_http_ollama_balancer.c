
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * ollama_balance: sends a request to a server that can serve it best.  nginx's
 * round robin keeps the list of peers, their tried bits and its own counts;
 * which peer is taken is decided here, of what the fleet knows and in the
 * steps of policy.c.
 *
 * The lock of the fleet is held from looking at the servers to taking a place
 * at one.
 *
 * A request that waits for the first byte of a server which has frozen is
 * moved to another one; the worker's requests hang on a queue for that.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_balancer.h"
#include "balancer/ngx_http_ollama_policy.h"
#include "core/ngx_http_ollama_ctx.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "core/ngx_http_ollama_conf.h"
#include "fleet/ngx_http_ollama_slot.h"
#include "balancer/ngx_http_ollama_candidates.h"


/* how often is looked for requests at frozen servers, ms */
#define NGX_HTTP_OLLAMA_BALANCER_TICK  100


/* before nginx 1.27.3 peers live as long as the configuration */

#ifndef ngx_http_upstream_rr_peer_ref
#define ngx_http_upstream_rr_peer_ref(peers, peer)
#endif


typedef struct {
    ngx_http_upstream_rr_peer_data_t   rrp;      /* must be first */
    ngx_http_request_t                *request;
    ngx_http_ollama_candidates_t       search;
    ngx_http_ollama_slot_t            *place;    /* NULL: has none */
    ngx_queue_t                        queue;    /* while it has one */
    unsigned                           moved:1;  /* from a frozen server */
} ngx_http_ollama_balancer_t;


static ngx_int_t ngx_http_ollama_balancer_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_ollama_balancer_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_ollama_balancer_get_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_ollama_balancer_is_changed(
    ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_tries_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc, ngx_uint_t n);
static void ngx_http_ollama_balancer_backup_locked(
    ngx_http_ollama_balancer_t *b);
static ngx_int_t ngx_http_ollama_balancer_take_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc,
    ngx_http_upstream_rr_peer_t *peer);
static void ngx_http_ollama_balancer_forget_name(
    ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_name_locked(
    ngx_http_ollama_balancer_t *b, ngx_http_ollama_server_t *server);
static void ngx_http_ollama_balancer_mark(ngx_http_ollama_balancer_t *b,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t tried);
static void ngx_http_ollama_balancer_free_peer(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static ngx_http_ollama_try_e ngx_http_ollama_balancer_outcome(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc,
    ngx_uint_t state);
static ngx_http_ollama_try_e ngx_http_ollama_balancer_ended(
    ngx_http_ollama_balancer_t *b, ngx_uint_t status);
static ngx_uint_t ngx_http_ollama_balancer_is_json(ngx_http_upstream_t *u);
static void ngx_http_ollama_balancer_watch(ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_tick_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_ollama_balancer_is_movable(
    ngx_http_ollama_balancer_t *b);


/* this worker's requests that have a place, and when to look at them */

static ngx_queue_t       ngx_http_ollama_balancer_requests;
static ngx_queue_t       ngx_http_ollama_balancer_unseen;
static ngx_uint_t        ngx_http_ollama_balancer_freezes;
static ngx_uint_t        ngx_http_ollama_balancer_again;  /* one waits that no
                                                   other server could take */
static ngx_event_t       ngx_http_ollama_balancer_tick;
static ngx_connection_t  ngx_http_ollama_balancer_dummy;


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

        /* where a variable led here it was not known before */

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

    /* after a try the end is 502, and that is nginx's word */

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

            return ngx_http_ollama_balancer_take_locked(b, pc,
                                             ngx_http_ollama_policy(c, n));
        }

        if (b->rrp.peers->next == NULL) {
            return NGX_BUSY;
        }

        ngx_http_ollama_balancer_backup_locked(b);
    }
}


/*
 * Whether names were resolved anew since the request began: what it knows of
 * the peers, as which it has tried, is of another list then.
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
 * As many tries are left as there are servers that can take the request: what
 * the last of them answers, whatever it is, then goes to the client.
 */

static void
ngx_http_ollama_balancer_tries_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_uint_t n)
{
    ngx_http_upstream_rr_peers_t  *backup;

    backup = b->rrp.peers->next;

    if (backup) {
        n += ngx_http_ollama_candidates_find_locked(&b->search, backup, NULL,
                                                  NULL);
    }

    pc->tries = ngx_min(pc->tries, n);
}


/* The servers that are marked as backup have their own tried bits. */

static void
ngx_http_ollama_balancer_backup_locked(ngx_http_ollama_balancer_t *b)
{
    ngx_uint_t  i, n;

    b->rrp.peers = b->rrp.peers->next;

    n = (b->rrp.peers->number + (8 * sizeof(uintptr_t) - 1))
        / (8 * sizeof(uintptr_t));

    for (i = 0; i < n; i++) {
        b->rrp.tried[i] = 0;
    }
}


static ngx_int_t
ngx_http_ollama_balancer_take_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_http_upstream_rr_peer_t *peer)
{
    ngx_http_ollama_server_t  *server;

    server = ngx_http_ollama_fleet_find_locked(b->search.up, &peer->server,
                                               &peer->name);
    if (server) {
        b->place = ngx_http_ollama_slot_acquire_locked(server,
                                                       &b->search.wanted);
        if (b->place == NULL && peer->max_conns) {
            /* it can't be counted: there is no memory */
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

    /* nginx takes these back without the fleet's lock */

    ngx_http_upstream_rr_peer_lock(b->rrp.peers, peer);

    peer->conns++;
    ngx_http_upstream_rr_peer_ref(b->rrp.peers, peer);

    ngx_http_upstream_rr_peer_unlock(b->rrp.peers, peer);

    ngx_http_ollama_balancer_mark(b, peer, 1);

    return NGX_OK;
}


/* A server that is not in the table is named by the tap. */

static void
ngx_http_ollama_balancer_forget_name(ngx_http_ollama_balancer_t *b)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(b->request);

    if (ctx) {
        ctx->server_of = NULL;
    }
}


/* Notes the name of the server for X-Ollama-Server and for logs. */

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
ngx_http_ollama_balancer_mark(ngx_http_ollama_balancer_t *b,
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
 * A failure is never told to the round robin: whether a server is out is the
 * fleet's to say, and a request that was stopped is not the server's fault.
 */

static void
ngx_http_ollama_balancer_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_ollama_balancer_t *b = data;

    ngx_http_ollama_try_e      outcome;
    ngx_http_ollama_limits_t   limits;

    if (b->place) {
        outcome = ngx_http_ollama_balancer_outcome(b, pc, state);

        ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                       "ollama balancer: free peer, state: %ui, outcome: %d",
                       state, (int) outcome);

        limits.max_fails = b->rrp.current->max_fails;
        limits.fail_timeout = b->rrp.current->fail_timeout;

        ngx_queue_remove(&b->queue);
        ngx_http_ollama_slot_release(b->place, outcome, &limits);
        b->place = NULL;
    }

    if ((state & NGX_PEER_FAILED) && pc->cached) {

        /* the server had closed a connection that was kept: it itself may
           well be there */

        ngx_http_ollama_fleet_lock_peers(b->rrp.peers);

        if (!ngx_http_ollama_balancer_is_changed(b)) {
            ngx_http_ollama_balancer_mark(b, b->rrp.current, 0);
        }

        ngx_http_ollama_fleet_unlock_peers(b->rrp.peers);
    }

    ngx_http_upstream_free_round_robin_peer(pc, &b->rrp,
                                            state & ~NGX_PEER_FAILED);
}


static ngx_http_ollama_try_e
ngx_http_ollama_balancer_outcome(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_uint_t state)
{
    ngx_uint_t            status;
    ngx_http_upstream_t  *u;

    u = b->request->upstream;
    status = u->headers_in.status_n;

    if (status == NGX_HTTP_TOO_MANY_REQUESTS
        || (status >= NGX_HTTP_INTERNAL_SERVER_ERROR
            && status <= NGX_HTTP_GATEWAY_TIME_OUT
            && status != NGX_HTTP_NOT_IMPLEMENTED))
    {
        return NGX_HTTP_OLLAMA_TRY_REFUSED;
    }

    if (status == NGX_HTTP_NOT_FOUND) {

        /* a server that has no such path says so in plain text */

        return (b->search.wanted.key.len
                && ngx_http_ollama_balancer_is_json(u))
               ? NGX_HTTP_OLLAMA_TRY_NO_MODEL
               : NGX_HTTP_OLLAMA_TRY_ANSWERED;
    }

    if (!(state & NGX_PEER_FAILED)) {
        return ngx_http_ollama_balancer_ended(b, status);
    }

    if (pc->cached) {
        /* the server had closed a connection that was kept */
        return NGX_HTTP_OLLAMA_TRY_NEUTRAL;
    }

    if (pc->connection && pc->connection->read->timedout) {
        /* slow is not gone: the looks tell which it is */
        return NGX_HTTP_OLLAMA_TRY_NEUTRAL;
    }

    if (pc->connection && u->request_sent) {
        return NGX_HTTP_OLLAMA_TRY_TRUNCATED;
    }

    return NGX_HTTP_OLLAMA_TRY_UNREACHABLE;
}


/* Of a try that nginx holds for a good one. */

static ngx_http_ollama_try_e
ngx_http_ollama_balancer_ended(ngx_http_ollama_balancer_t *b,
    ngx_uint_t status)
{
    ngx_http_ollama_ctx_t  *ctx;

    if (status == 0) {
        /* the client didn't wait for an answer */
        return NGX_HTTP_OLLAMA_TRY_NEUTRAL;
    }

    ctx = ngx_http_ollama_get_ctx(b->request);

    if (ctx && ctx->finalized && !ctx->cancelled
        && (ctx->finalize_rc == NGX_ERROR
            || ctx->finalize_rc == NGX_HTTP_BAD_GATEWAY
            || ctx->finalize_rc == NGX_HTTP_GATEWAY_TIME_OUT))
    {
        return NGX_HTTP_OLLAMA_TRY_TRUNCATED;
    }

    return (status < NGX_HTTP_SPECIAL_RESPONSE)
           ? NGX_HTTP_OLLAMA_TRY_OK : NGX_HTTP_OLLAMA_TRY_ANSWERED;
}


static ngx_uint_t
ngx_http_ollama_balancer_is_json(ngx_http_upstream_t *u)
{
    ngx_table_elt_t  *type;

    type = u->headers_in.content_type;

    return type
           && type->value.len >= sizeof("application/json") - 1
           && ngx_strncasecmp(type->value.data, (u_char *) "application/json",
                              sizeof("application/json") - 1)
              == 0;
}


/* Puts the request on the queue of those that a server may freeze under. */

static void
ngx_http_ollama_balancer_watch(ngx_http_ollama_balancer_t *b)
{
    ngx_event_t  *tick;

    if (b->place == NULL) {
        return;
    }

    if (ngx_http_ollama_balancer_requests.next == NULL) {
        ngx_queue_init(&ngx_http_ollama_balancer_requests);
        ngx_queue_init(&ngx_http_ollama_balancer_unseen);
        ngx_http_ollama_balancer_dummy.fd = (ngx_socket_t) -1;
    }

    ngx_queue_insert_tail(&ngx_http_ollama_balancer_requests, &b->queue);

    tick = &ngx_http_ollama_balancer_tick;

    if (tick->timer_set) {
        return;
    }

    tick->handler = ngx_http_ollama_balancer_tick_handler;
    tick->data = &ngx_http_ollama_balancer_dummy;
    tick->log = ngx_cycle->log;
    tick->cancelable = 1;

    ngx_add_timer(tick, NGX_HTTP_OLLAMA_BALANCER_TICK);
}


/*
 * If a server has frozen since the last time, its requests that have seen
 * nothing of a reply are made to look like timed out, whereupon nginx tries
 * the next server.  That may end this request and others: a request is put
 * back to the queue before it is touched.
 */

static void
ngx_http_ollama_balancer_tick_handler(ngx_event_t *ev)
{
    ngx_uint_t                   freezes;
    ngx_queue_t                 *q;
    ngx_event_t                 *rev;
    ngx_connection_t            *c;
    ngx_http_upstream_t         *u;
    ngx_http_ollama_balancer_t  *b;

    freezes = ngx_http_ollama_slot_frozen_epoch();

    if (freezes != ngx_http_ollama_balancer_freezes
        || ngx_http_ollama_balancer_again)
    {
        ngx_http_ollama_balancer_freezes = freezes;
        ngx_http_ollama_balancer_again = 0;

        ngx_queue_add(&ngx_http_ollama_balancer_unseen,
                      &ngx_http_ollama_balancer_requests);
        ngx_queue_init(&ngx_http_ollama_balancer_requests);
    }

    while (!ngx_queue_empty(&ngx_http_ollama_balancer_unseen)) {

        q = ngx_queue_head(&ngx_http_ollama_balancer_unseen);
        b = ngx_queue_data(q, ngx_http_ollama_balancer_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_http_ollama_balancer_requests, q);

        if (!ngx_http_ollama_balancer_is_movable(b)) {
            continue;
        }

        c = b->request->connection;
        ngx_http_set_log_request(c->log, b->request);

        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "ollama server does not answer any more, the request "
                      "moves to another one");

        b->moved = 1;

        /* the time for tries begins anew, and there is one more */

        u = b->request->upstream;
        u->peer.start_time = ngx_current_msec;
        u->peer.tries = ngx_max(u->peer.tries, 2);

        rev = u->peer.connection->read;
        rev->timedout = 1;
        rev->handler(rev);

        ngx_http_run_posted_requests(c);
    }

    if (!ngx_queue_empty(&ngx_http_ollama_balancer_requests)) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_BALANCER_TICK);
    }
}


/*
 * Whether the request waits for a frozen server's first byte, and may and can
 * be tried at another one.
 */

static ngx_uint_t
ngx_http_ollama_balancer_is_movable(ngx_http_ollama_balancer_t *b)
{
    ngx_uint_t                     n, ft;
    ngx_http_request_t            *r;
    ngx_http_upstream_t           *u;
    ngx_http_upstream_rr_peers_t  *peers;

    r = b->request;
    u = r->upstream;

    if (b->moved
        || u->peer.connection == NULL
        || u->header_sent
        || u->headers_in.status_n
        || r->request_body_no_buffering
        || !ngx_http_ollama_slot_is_frozen(b->place))
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

    if (n == 0) {
        ngx_http_ollama_balancer_again = 1;
    }

    return n;
}
