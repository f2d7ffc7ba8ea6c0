
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
 * It may use the fleet, nginx's round robin and nginx's upstream.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_balancer.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_frozen.h"
#include "balancer/ngx_http_ollama_load.h"
#include "balancer/ngx_http_ollama_peers.h"
#include "balancer/ngx_http_ollama_policy.h"
#include "balancer/ngx_http_ollama_queue.h"
#include "balancer/ngx_http_ollama_place.h"
#include "balancer/ngx_http_ollama_try.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_slot.h"


/* before nginx 1.27.3 peers live as long as the configuration */

#ifndef ngx_http_upstream_rr_peer_ref
#define ngx_http_upstream_rr_peer_ref(peers, peer)
#endif


static ngx_int_t ngx_http_ollama_balancer_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_ollama_balancer_keep_not_found(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_balancer_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_ollama_balancer_get_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc);
static void ngx_http_ollama_balancer_tries_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc, ngx_uint_t n);
static ngx_int_t ngx_http_ollama_balancer_granted_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_ollama_balancer_choose_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc,
    ngx_http_ollama_queue_set_t *set);
static ngx_int_t ngx_http_ollama_balancer_use_locked(
    ngx_http_ollama_balancer_t *b, ngx_peer_connection_t *pc,
    ngx_http_upstream_rr_peer_t *peer, ngx_http_ollama_slot_t *slot);
static void ngx_http_ollama_balancer_forget_name(
    ngx_http_ollama_balancer_t *b);
static void ngx_http_ollama_balancer_name_locked(
    ngx_http_ollama_balancer_t *b, ngx_http_ollama_server_t *server);
static void ngx_http_ollama_balancer_free_peer(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);


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
        ngx_http_ollama_frozen_watch(b);
        ngx_http_ollama_load_watch(b->request,
                                   ngx_http_ollama_get_ctx(b->request));
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
    ngx_uint_t                    n;
    ngx_http_ollama_queue_set_t   set;

    if (ngx_http_ollama_peers_is_changed(b)) {
        return NGX_BUSY;
    }

    if (ngx_http_ollama_balancer_granted_locked(b, pc) == NGX_OK) {
        return NGX_OK;
    }

    for ( ;; ) {

        n = ngx_http_ollama_candidates_find_locked(&b->search, b->rrp.peers,
                                                   b->rrp.tried, set.c);
        if (n) {
            ngx_http_ollama_balancer_tries_locked(b, pc, n);

            set.n = n;

            return ngx_http_ollama_balancer_choose_locked(b, pc, &set);
        }

        if (b->rrp.peers->next && !(b->search.first && b->search.full)) {
            ngx_http_ollama_peers_list_locked(b, b->rrp.peers->next);
            continue;
        }

        if (b->rrp.current || b->search.any
            || !ngx_http_ollama_candidates_is_any_left(&b->search))
        {
            return NGX_BUSY;
        }

        /* nothing was tried so far */

        b->search.any = 1;
        ngx_http_ollama_peers_list_locked(b,
                                             b->search.up->uscf->peer.data);
    }
}


/* Uses the server that the request was granted; NGX_DECLINED: there is none. */

static ngx_int_t
ngx_http_ollama_balancer_granted_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc)
{
    ngx_uint_t                     n;
    ngx_http_ollama_ctx_t         *ctx;
    ngx_http_ollama_slot_t        *slot;
    ngx_http_ollama_server_t      *server;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    ctx = ngx_http_ollama_get_ctx(b->request);

    server = ngx_http_ollama_place_server_locked(ctx, b->search.up);

    if (server == NULL) {
        return NGX_DECLINED;
    }

    for (peers = b->search.up->uscf->peer.data; peers; peers = peers->next) {

        for (peer = peers->peer; peer; peer = peer->next) {

            if (!ngx_http_ollama_fleet_is_peer_locked(server, &peer->server,
                                                      &peer->name))
            {
                continue;
            }

            if (b->rrp.peers != peers) {
                ngx_http_ollama_peers_list_locked(b, peers);
            }

            slot = ngx_http_ollama_place_take_locked(ctx, &n);

            ngx_http_ollama_balancer_tries_locked(b, pc, n);

            return ngx_http_ollama_balancer_use_locked(b, pc, peer, slot);
        }
    }

    ngx_http_ollama_place_lose_locked(ctx);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_balancer_choose_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_http_ollama_queue_set_t *set)
{
    ngx_uint_t                    n;
    ngx_http_ollama_slot_t       *slot;
    ngx_http_ollama_candidate_t  *c;

    slot = NULL;
    n = set->n;

    set->up = b->search.up;
    set->search = b->search;
    set->n = ngx_http_ollama_policy_sound(set->c, set->n);
    set->n = ngx_http_ollama_policy_known(set->c, set->n);

    c = ngx_http_ollama_place_bind_locked(b->request,
                                        ngx_http_ollama_get_ctx(b->request),
                                        set, &slot);

    return ngx_http_ollama_balancer_use_locked(b, pc,
                               c ? c->peer : ngx_http_ollama_policy(set->c, n),
                               slot);
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


/* "slot" is that at the peer's server, or NULL. */

static ngx_int_t
ngx_http_ollama_balancer_use_locked(ngx_http_ollama_balancer_t *b,
    ngx_peer_connection_t *pc, ngx_http_upstream_rr_peer_t *peer,
    ngx_http_ollama_slot_t *slot)
{
    ngx_http_ollama_server_t  *server;

    server = ngx_http_ollama_fleet_find_locked(b->search.up, &peer->server,
                                               &peer->name);
    if (server) {
        b->slot = slot ? slot
                       : ngx_http_ollama_slot_acquire_locked(server,
                                                &b->search.wanted,
                                                ngx_http_ollama_slot_proc());
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

    ngx_http_ollama_peers_set_tried(b, peer, 1);

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


/*
 * A failure is never passed to the round robin: the fleet decides whether a
 * server is down, and a request that was stopped is not the server's fault.
 */

static void
ngx_http_ollama_balancer_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_ollama_balancer_t *b = data;

    ngx_http_ollama_ctx_t     *ctx;
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

    ctx = ngx_http_ollama_get_ctx(b->request);

    if (!ngx_http_ollama_place_end(ctx, outcome == NGX_HTTP_OLLAMA_TRY_OK)) {
        /* it has had a slot all the same */
        ngx_http_ollama_queue_freed(b->search.up);
    }

    if ((state & NGX_PEER_FAILED) && pc->cached) {

        /* the server had closed a keepalive connection, and may be up */

        ngx_http_ollama_fleet_lock_peers(b->rrp.peers);

        if (!ngx_http_ollama_peers_is_changed(b)) {
            ngx_http_ollama_peers_set_tried(b, b->rrp.current, 0);
        }

        ngx_http_ollama_fleet_unlock_peers(b->rrp.peers);
    }

    ngx_http_upstream_free_round_robin_peer(pc, &b->rrp,
                                            state & ~NGX_PEER_FAILED);
}


