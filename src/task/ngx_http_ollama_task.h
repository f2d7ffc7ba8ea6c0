
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TASK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TASK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/* how a stop ended */

typedef enum {
    NGX_HTTP_OLLAMA_CANCEL_PENDING = 0,
    NGX_HTTP_OLLAMA_CANCEL_DONE,        /* the task was stopped */
    NGX_HTTP_OLLAMA_CANCEL_LATE         /* it had ended before */
} ngx_http_ollama_cancel_e;


/* A stop that was asked for. */

typedef struct {
    ngx_uint_t  number;
    ngx_str_t   task_id;                /* these are in the caller's pool */
    ngx_str_t   session_id;             /* len 0: the task has none */
} ngx_http_ollama_cancel_t;


/*
 * Stops a generation of this worker, now or soon, which ends with a call of
 * ngx_http_ollama_task_end().  May free the request.
 */

typedef void (*ngx_http_ollama_task_stop_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


/* The outcome of a claim; may end the request. */

typedef void (*ngx_http_ollama_task_claim_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


/*
 * Enters the process in the table of this zone, see task_shm, and frees the
 * tasks of processes that died.  NGX_ERROR, as of
 * ngx_http_ollama_remote_init_worker().
 */
ngx_int_t ngx_http_ollama_task_init_worker(ngx_shm_zone_t *shm_zone);

/*
 * At the end of the process: its tasks have ended.  Does nothing if it wasn't
 * entered.
 */
void ngx_http_ollama_task_exit_worker(void);

/*
 * Enters the request's generation, in the precontent phase, with the id that
 * the client gave it or a random one, which is set in ctx->scan.  It ends with
 * the request at the latest.  "stop" is called at most once, from the event
 * loop or from ngx_http_ollama_task_cancel().
 *
 * NGX_OK: it was entered, or there was no room for it in the zone, which was
 * logged; NGX_DECLINED: the id is in use; NGX_ERROR: no memory, no random bytes
 * or no owner.
 */
ngx_int_t ngx_http_ollama_task_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_task_stop_pt stop);

/*
 * Enters a generation with an id that the client gave it, if other gateways can
 * be asked whether they have one with that id; else it is left to
 * ngx_http_ollama_task_begin().  NGX_AGAIN: they are asked, and "done" will be
 * called with NGX_OK, also if they can't tell, or with NGX_DECLINED, unless the
 * task ends before.  The others as of ngx_http_ollama_task_begin().
 */
ngx_int_t ngx_http_ollama_task_claim(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_task_stop_pt stop,
    ngx_http_ollama_task_claim_pt done);

/*
 * The generation has the lock of its session: from now on a stop of the session
 * is for it, and not for another one that waits for the session.
 */
void ngx_http_ollama_task_has_session(ngx_http_ollama_ctx_t *ctx);

/*
 * The generation is complete or was stopped: its id is free from now on, and a
 * stop that was asked for has its outcome.  Does nothing if it has ended.
 */
void ngx_http_ollama_task_end(ngx_http_ollama_ctx_t *ctx,
    ngx_uint_t stopped);

/*
 * Asks for the owner's generation with this id to be stopped, or for the one
 * that is running in the session with this id.  NGX_OK: "cancel" is set, and
 * the outcome will be known; a generation of this worker is stopped before this
 * returns.  NGX_BUSY: it is being stopped already; NGX_DECLINED: there is none
 * at this gateway; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_task_cancel(ngx_str_t *id, u_char *owner,
    ngx_pool_t *pool, ngx_http_ollama_cancel_t *cancel);

/* The outcome so far; of a stop that is too old to be known it is DONE. */
ngx_http_ollama_cancel_e ngx_http_ollama_task_cancelled(
    ngx_http_ollama_cancel_t *cancel);


#endif /* _NGX_HTTP_OLLAMA_TASK_H_INCLUDED_ */
