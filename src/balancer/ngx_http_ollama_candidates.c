
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which servers of an upstream can take a request, and the error that the
 * client gets if none can.  They are searched at each try, and once before the
 * first one: a refusal before proxy_pass has begun is handled as any error of
 * a phase.
 *
 * A search is a struct of the caller's, its strings are from the request's
 * pool.  It may use the fleet, nginx's lists of peers, and what the body's scan
 * has found.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_candidates.h"
#include "core/ngx_http_ollama_error.h"
#include "fleet/ngx_http_ollama_server_url.h"
#include "fleet/ngx_http_ollama_slot.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_int_t ngx_http_ollama_candidates_check_plain(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_candidates_t *search);
static ngx_uint_t ngx_http_ollama_candidates_exist(
    ngx_http_ollama_candidates_t *search);
static ngx_uint_t ngx_http_ollama_candidates_lack_model(
    ngx_http_ollama_candidates_t *search);
static ngx_uint_t ngx_http_ollama_candidates_is_pinned_locked(
    ngx_http_ollama_candidates_t *search, ngx_http_ollama_server_t *server);
static ngx_uint_t ngx_http_ollama_candidates_consider_locked(
    ngx_http_ollama_candidates_t *search, ngx_http_upstream_rr_peer_t *peer,
    ngx_http_ollama_candidate_t *c);


ngx_int_t
ngx_http_ollama_candidates_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_candidates_t *search)
{
    u_char                  *p;
    ngx_http_ollama_scan_t  *scan;

    ngx_memzero(search, sizeof(ngx_http_ollama_candidates_t));

    scan = ctx ? ctx->scan : NULL;

    search->up = up;
    search->scan = scan;

    /*
     * What is managed need not be there.  All such requests go to one server,
     * so that the second finds what the first has left.
     */

    search->first = ctx && ctx->endpoint
              && (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT
                  || ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD);

    if (ngx_http_ollama_model_state_want(r->pool,
                                         scan && !search->first ? &scan->model
                                                                : NULL,
                                         &search->wanted)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* /api/show is scanned in the same way, but loads no model */

    search->wanted.loads = scan && ctx->endpoint
                           && !ctx->unloads
                           && !(ctx->endpoint->scan
                                & NGX_HTTP_OLLAMA_SCAN_NAME);

    if (ctx && ctx->unloads) {
        /* a server that is full would never be told */
        search->wanted.slotless = 1;
        search->only = ctx->only;
    }

    if (scan == NULL || scan->server_url.len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, scan->server_url.len + sizeof(":443") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_server_url(p, &scan->server_url, &search->pin,
                                    &search->tls)
        != NGX_OK)
    {
        /* the name of no server */
        search->pin = scan->server_url;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_candidates_check(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up)
{
    ngx_http_ollama_candidates_t  search;

    if (ctx->servable) {
        /* to walk all servers once more is not worth it */
        ctx->servable = 0;
        return NGX_DECLINED;
    }

    return ngx_http_ollama_candidates_find(r, ctx, up, &search);
}


ngx_int_t
ngx_http_ollama_candidates_find(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_candidates_t *search)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_candidates_init(r, ctx, up, search);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_candidates_refuse(r, ctx, search);
    }

    if (!up->balanced) {
        return ngx_http_ollama_candidates_check_plain(r, ctx, search);
    }

    /* it waits for a place, or is refused by the balancer */
    search->busy = up->queue && search->wanted.loads && !search->first;

    return ngx_http_ollama_candidates_exist(search)
           ? NGX_DECLINED : ngx_http_ollama_candidates_refuse(r, ctx, search);
}


ngx_uint_t
ngx_http_ollama_candidates_is_unknown(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up)
{
    ngx_http_ollama_candidates_t  search;

    if (!up->balanced
        || ngx_http_ollama_candidates_init(r, ctx, up, &search) != NGX_OK)
    {
        return 0;
    }

    ctx->servable = ngx_http_ollama_candidates_exist(&search);

    return !ctx->servable && ngx_http_ollama_candidates_lack_model(&search);
}


static ngx_uint_t
ngx_http_ollama_candidates_exist(ngx_http_ollama_candidates_t *search)
{
    ngx_uint_t                     n;
    ngx_http_upstream_rr_peers_t  *peers, *p;

    n = 0;
    peers = search->up->uscf->peer.data;

    search->one = 1;

    ngx_http_ollama_fleet_lock_peers(peers);

    for (p = peers; p && n == 0 && !(search->first && search->full);
         p = p->next)
    {
        n = ngx_http_ollama_candidates_find_locked(search, p, NULL, NULL);
    }

    ngx_http_ollama_fleet_unlock_peers(peers);

    return n || ngx_http_ollama_candidates_is_any_left(search);
}


/* After a search that found nothing: whether it is because of the model. */

static ngx_uint_t
ngx_http_ollama_candidates_lack_model(ngx_http_ollama_candidates_t *search)
{
    return search->wanted.key.len && search->enabled
           && !search->full && !search->down
           && (search->pin.len == 0 || search->named);
}


ngx_uint_t
ngx_http_ollama_candidates_is_any_left(ngx_http_ollama_candidates_t *search)
{
    return search->slow && !search->full;
}


/* The same with another balancing method, which doesn't support server_url. */

static ngx_int_t
ngx_http_ollama_candidates_check_plain(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_candidates_t *search)
{
    ngx_uint_t                   i, j, n;
    ngx_http_ollama_server_t    *server;
    ngx_http_upstream_server_t  *line;

    if (search->pin.len == 0) {
        return NGX_DECLINED;
    }

    n = 0;
    line = search->up->uscf->servers->elts;

    ngx_http_ollama_fleet_lock();

    for (i = 0; i < search->up->uscf->servers->nelts; i++) {
        for (j = 0; j < line[i].naddrs; j++) {

            server = ngx_http_ollama_fleet_find_locked(search->up,
                                                       &line[i].name,
                                                       &line[i].addrs[j].name);

            if (server
                && ngx_http_ollama_candidates_is_pinned_locked(search, server))
            {
                search->named = 1;
            }

            n++;
        }
    }

    ngx_http_ollama_fleet_unlock();

    if (!search->named) {
        return ngx_http_ollama_candidates_refuse(r, ctx, search);
    }

    if (n > 1) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_IMPLEMENTED,
                                     "server_url needs \"ollama_balance\" in "
                                     "upstream \"%V\"",
                                     &search->up->uscf->host);
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_http_ollama_candidates_is_pinned_locked(
    ngx_http_ollama_candidates_t *search, ngx_http_ollama_server_t *server)
{
    return ngx_http_ollama_fleet_is_named_locked(server, &search->pin)
           && (search->tls == NGX_HTTP_OLLAMA_SERVER_URL_EITHER
               || search->tls == (search->up->ssl != NULL));
}


ngx_uint_t
ngx_http_ollama_candidates_find_locked(ngx_http_ollama_candidates_t *search,
    ngx_http_upstream_rr_peers_t *peers, uintptr_t *tried,
    ngx_http_ollama_candidate_t *c)
{
    uintptr_t                      m;
    ngx_uint_t                     i, n, found;
    ngx_http_ollama_candidate_t    one;
    ngx_http_upstream_rr_peer_t   *peer;

    found = 0;

    for (peer = peers->peer, i = 0; peer; peer = peer->next, i++) {

        if (tried) {
            n = i / (8 * sizeof(uintptr_t));
            m = (uintptr_t) 1 << i % (8 * sizeof(uintptr_t));

            if (tried[n] & m) {
                continue;
            }
        }

        if (found == NGX_HTTP_OLLAMA_FLEET_SERVERS) {
            break;
        }

        found += ngx_http_ollama_candidates_consider_locked(search, peer,
                                                    c ? &c[found] : &one);

        if ((search->one && found)
            || (search->first && (found || search->full)))
        {
            break;
        }
    }

    return found;
}


/* Whether the peer can take a request; then it is a candidate. */

static ngx_uint_t
ngx_http_ollama_candidates_consider_locked(ngx_http_ollama_candidates_t *search,
    ngx_http_upstream_rr_peer_t *peer, ngx_http_ollama_candidate_t *c)
{
    ngx_http_ollama_server_t  *server;

    server = ngx_http_ollama_fleet_find_locked(search->up, &peer->server,
                                               &peer->name);

    if (search->pin.len) {

        if (server == NULL
            || !ngx_http_ollama_candidates_is_pinned_locked(search, server))
        {
            return 0;
        }

        search->named = 1;
    }

    if (search->only
        && (server == NULL
            || ngx_http_ollama_fleet_id_locked(server) != search->only))
    {
        return 0;
    }

    if (peer->down) {
        search->down |= server
                        && ngx_http_ollama_model_state_may_have_locked(server,
                                                           &search->wanted);
        return 0;
    }

    search->enabled = 1;

    c->peer = peer;
    c->server = server;
    c->weight = peer->weight;
    c->current = &peer->current_weight;

    if (server == NULL) {
        /* the fleet had no room for it: it may have any model */
        if (peer->max_conns
            && peer->conns >= peer->max_conns
            && !search->wanted.slotless)
        {
            search->full = 1;
            return 0;
        }

        c->state.in_flight = peer->conns;
        c->state.refusing = 0;
        c->state.known = (search->wanted.key.len == 0);
        c->state.warm = 0;
        return 1;
    }

    switch (ngx_http_ollama_model_state_can_serve_locked(server,
                                                         &search->wanted))
    {

    case NGX_HTTP_OLLAMA_CAN_TAKE:
        ngx_http_ollama_model_state_fill_locked(server, &search->wanted,
                                                &c->state);
        return 1;

    case NGX_HTTP_OLLAMA_IS_FULL:
        search->full = 1;

        if (!search->busy) {
            return 0;
        }

        ngx_http_ollama_model_state_fill_locked(server, &search->wanted,
                                                &c->state);
        c->state.full = 1;
        return 1;

    case NGX_HTTP_OLLAMA_IS_DOWN:
        search->down = 1;
        return 0;

    case NGX_HTTP_OLLAMA_IS_SLOW:
        search->down = 1;
        search->slow = 1;

        if (!search->any) {
            return 0;
        }

        ngx_http_ollama_model_state_fill_locked(server, &search->wanted,
                                                &c->state);

        /* one that is up meanwhile is better */
        c->state.refusing = 1;
        return 1;

    default: /* NGX_HTTP_OLLAMA_LACKS_MODEL */
        return 0;
    }
}


ngx_int_t
ngx_http_ollama_candidates_refuse(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_candidates_t *search)
{
    ngx_str_t  *model;

    if (search->pin.len && !search->named) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                     "server_url \"%V\" is not a configured "
                                     "server", &search->scan->server_url);
    }

    model = search->wanted.key.len ? &search->scan->model : NULL;

    if (search->full) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "server busy, please try again: all "
                                     "slots of the servers that could "
                                     "answer are in use");
    }

    if (ngx_http_ollama_candidates_lack_model(search)) {

        /* the next request for it may find it */
        (void) ngx_http_ollama_fleet_search(search->up);

        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                     "model '%V' not found", model);
    }

    ngx_http_ollama_fleet_hurry(search->up);

    if (search->pin.len) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "server \"%V\" is down, please try again "
                                     "later", &search->pin);
    }

    if (model) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "model '%V' is on no server that is up, "
                                     "please try again later", model);
    }

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "no server is up, please try again later");
}
