
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CANDIDATES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CANDIDATES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_policy.h"
#include "core/ngx_http_ollama_ctx.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_slot.h"


/* what a request needs, and what was found among the peers */

typedef struct {
    ngx_http_ollama_upstream_t        *up;
    ngx_http_ollama_wanted_t           wanted;
    ngx_str_t                          pin;      /* of server_url; len 0: any
                                                    server */
    ngx_uint_t                         tls;      /* of server_url */
    ngx_uint_t                         only;     /* id of the server; 0: any */

    ngx_http_ollama_scan_t            *scan;     /* NULL: no body was read */

    unsigned                           first:1;  /* only the first one that is
                                                    up */
    unsigned                           named:1;  /* pin is a server's name */
    unsigned                           enabled:1; /* some peer is not marked
                                                     as down */
    unsigned                           full:1;   /* some server that may have
                                                    the model is full; */
    unsigned                           down:1;   /* is down; */
    unsigned                           slow:1;   /* is down only because an
                                                    answer was late */
    unsigned                           any:1;    /* set by the caller: such a
                                                    server will do; */
    unsigned                           busy:1;   /* so will one that is full; */
    unsigned                           one:1;    /* the first one found is
                                                    enough */
} ngx_http_ollama_candidates_t;


/*
 * Fills in what the request needs, with memory from its pool.  "ctx" may be
 * NULL.  NGX_DECLINED: its server_url can't be the name of any server;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_candidates_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_candidates_t *search);

/*
 * Whether a server can take the request, or will soon, for the precontent phase
 * and where proxy_pass always leads to this upstream.  NGX_DECLINED: yes; else
 * the status of a refusal, whose text is set.
 */
ngx_int_t ngx_http_ollama_candidates_check(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);

/* The same; "search" is filled in and shows why there is none. */
ngx_int_t ngx_http_ollama_candidates_find(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_candidates_t *search);

/*
 * Whether it would be refused, 404, because no server is known to have its
 * model, though a probe might find one.  Sets ctx->servable, which spares the
 * next ngx_http_ollama_candidates_check().
 */
ngx_uint_t ngx_http_ollama_candidates_is_unknown(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);

/*
 * Finds the peers of one list that can take a request now and writes them to
 * "c", which has room for NGX_HTTP_OLLAMA_FLEET_SERVERS, unless it is NULL.
 * Those with a bit set in "tried" are left out; NULL: none is.  Returns the
 * number of candidates; sets in "search" why others are none.  Needs the lock
 * of ngx_http_ollama_fleet_lock_peers().
 */
ngx_uint_t ngx_http_ollama_candidates_find_locked(
    ngx_http_ollama_candidates_t *search, ngx_http_upstream_rr_peers_t *peers,
    uintptr_t *tried, ngx_http_ollama_candidate_t *c);

/*
 * After a search of all lists has found nothing: whether it is worth searching
 * again with "any" set.
 */
ngx_uint_t ngx_http_ollama_candidates_is_any_left(
    ngx_http_ollama_candidates_t *search);

/*
 * Sets the text of the error that no server can take the request; returns the
 * status.
 */
ngx_int_t ngx_http_ollama_candidates_refuse(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_candidates_t *search);


#endif /* _NGX_HTTP_OLLAMA_CANDIDATES_H_INCLUDED_ */
