
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


/* what is looked for, and what was found among the peers */

typedef struct {
    ngx_http_ollama_upstream_t        *up;
    ngx_http_ollama_wanted_t           wanted;
    ngx_str_t                          pin;      /* len 0: any server */
    ngx_uint_t                         tls;      /* of the pin */

    unsigned                           named:1;  /* a server is the pin's */
    unsigned                           enabled:1; /* one may be used at all */
    unsigned                           full:1;
    unsigned                           down:1;
} ngx_http_ollama_candidates_t;


ngx_int_t ngx_http_ollama_candidates_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_candidates_t *search);
ngx_int_t ngx_http_ollama_candidates_check(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);
ngx_int_t ngx_http_ollama_candidates_find(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_candidates_t *search);
ngx_uint_t ngx_http_ollama_candidates_find_locked(
    ngx_http_ollama_candidates_t *search, ngx_http_upstream_rr_peers_t *peers,
    uintptr_t *tried, ngx_http_ollama_candidate_t *c);
ngx_int_t ngx_http_ollama_candidates_refuse(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_candidates_t *search);


#endif /* _NGX_HTTP_OLLAMA_CANDIDATES_H_INCLUDED_ */
