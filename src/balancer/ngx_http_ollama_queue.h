
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_QUEUE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_QUEUE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_ticket.h"
#include "core/ngx_http_ollama_ctx.h"


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

/* Instead of waiting: gives its place in the queue up. */
void ngx_http_ollama_queue_leave(ngx_http_ollama_ctx_t *ctx);

/* Ends the wait of a request that was stopped; does nothing if it does not. */
void ngx_http_ollama_queue_stop(ngx_http_ollama_ctx_t *ctx);

/* A slot is free of a request that had no place: others may wait for it. */
void ngx_http_ollama_queue_freed(ngx_http_ollama_upstream_t *up);

/* How many requests wait for servers of an upstream. */
ngx_uint_t ngx_http_ollama_queue_waiting(ngx_http_ollama_upstream_t *up);


#endif /* _NGX_HTTP_OLLAMA_QUEUE_H_INCLUDED_ */
