
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PLACE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PLACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_shm.h"
#include "core/ngx_http_ollama_ctx.h"


/*
 * The server of the upstream that the request was granted.  NULL: it was
 * granted none, or has been tried at it.  "ctx" may be NULL.
 */
ngx_http_ollama_server_t *ngx_http_ollama_place_server_locked(
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);

/* Gives that up: it is no peer any more. */
void ngx_http_ollama_place_lose_locked(ngx_http_ollama_ctx_t *ctx);

/*
 * The slot there, which is the caller's now: the request is tried.  "servers"
 * is how many could take it, with this one.
 */
ngx_http_ollama_slot_t *ngx_http_ollama_place_take_locked(
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t *servers);

/*
 * Chooses among the candidates of a set for a request that does not wait, as
 * one that is tried again; the slot is the caller's.  NULL: the queue does not
 * choose for such a request, or can't.
 */
ngx_http_ollama_candidate_t *ngx_http_ollama_place_bind_locked(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_queue_set_t *set, ngx_http_ollama_slot_t **slot);

/*
 * The first token of the reply has come: it shows places, or ends a load, which
 * is what others may wait for.
 */
void ngx_http_ollama_place_first(ngx_http_ollama_ctx_t *ctx);

/* What the reply's last frame tells; used when the try ends. */
void ngx_http_ollama_place_figures(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_figures_t *figures);

/*
 * The try has ended, well if "ok" is set, and its slot was released.  Grants
 * the place to another request.  Returns 0 if it had no place; "ctx" may be
 * NULL.
 */
ngx_uint_t ngx_http_ollama_place_end(ngx_http_ollama_ctx_t *ctx, ngx_uint_t ok);

/* Whether the request's server loads the model because of it. */
ngx_uint_t ngx_http_ollama_place_is_loading(ngx_http_ollama_ctx_t *ctx);

/* Whether requests wait that need what this one, which has a ticket, needs. */
ngx_uint_t ngx_http_ollama_place_is_awaited(ngx_http_ollama_ctx_t *ctx);

/* How long the request has waited, ms. */
ngx_msec_t ngx_http_ollama_place_time(ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_PLACE_H_INCLUDED_ */
