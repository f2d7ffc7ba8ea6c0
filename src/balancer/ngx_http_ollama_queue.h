
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_QUEUE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_shm.h"
#include "core/ngx_http_ollama_ctx.h"


/* Continues a request, whose state is "rc"; may end it. */

typedef void (*ngx_http_ollama_queue_done_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


/* Of a process, before it can hold slots.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_ollama_queue_init_worker(ngx_cycle_t *cycle);

/*
 * Asks for a place for a request that needs a model, in the precontent phase,
 * where proxy_pass always leads to this upstream.  NGX_OK: it has one, or needs
 * none, or none will do, which is found out later; NGX_DECLINED: it has to
 * wait; else the status of a refusal, whose text is set.
 */
ngx_int_t ngx_http_ollama_queue_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);

/*
 * Waits then.  "done" is called with NGX_OK, or the status of a refusal, unless
 * the request is stopped before.
 */
void ngx_http_ollama_queue_wait(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_queue_done_pt done);

/* Ends the wait of a request that was stopped; does nothing if it does not. */
void ngx_http_ollama_queue_stop(ngx_http_ollama_ctx_t *ctx);

/*
 * The server of the upstream that the request was granted.  NULL: it was
 * granted none, or has been tried at it.  "ctx" may be NULL.
 */
ngx_http_ollama_server_t *ngx_http_ollama_queue_server_locked(
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);

/* The slot there, which is the caller's now: the request is tried. */
ngx_http_ollama_slot_t *ngx_http_ollama_queue_take_locked(
    ngx_http_ollama_ctx_t *ctx);

/*
 * Chooses among the candidates of a set for a request that does not wait, as
 * one that is tried again; the slot is the caller's.  NULL: the queue does not
 * choose for such a request, or can't.
 */
ngx_http_ollama_candidate_t *ngx_http_ollama_queue_bind_locked(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_queue_set_t *set, ngx_http_ollama_slot_t **slot);

/*
 * The first token of the reply has come: it shows places, or ends a load, which
 * is what others may wait for.
 */
void ngx_http_ollama_queue_first(ngx_http_ollama_ctx_t *ctx);

/* What the reply's last frame tells; used when the try ends. */
void ngx_http_ollama_queue_figures(ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_figures_t *figures);

/*
 * The try has ended, well if "ok" is set, and its slot was released.  Grants
 * the place to another request.
 */
void ngx_http_ollama_queue_end(ngx_http_ollama_ctx_t *ctx, ngx_uint_t ok);

/* How long the request has waited, ms. */
ngx_msec_t ngx_http_ollama_queue_time(ngx_http_ollama_ctx_t *ctx);

/* How many requests wait for servers of an upstream. */
ngx_uint_t ngx_http_ollama_queue_waiting(ngx_http_ollama_upstream_t *up);


#endif /* _NGX_HTTP_OLLAMA_QUEUE_H_INCLUDED_ */
