
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REMOTE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REMOTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/ngx_http_ollama_redis.h"


/*
 * A generation of this worker that other gateways may know of; its memory is
 * the caller's, who zeroes it and sets the first ones, which stay his.
 */

typedef struct {
    ngx_str_t                      id;
    ngx_str_t                      session;   /* len 0: none */
    u_char                        *owner;     /* digest */

    /* its own */

    ngx_str_node_t                 node;
    ngx_queue_t                    queue;
    ngx_http_ollama_redis_call_t   call;
    unsigned                       entered:1;
    unsigned                       told:1;    /* Redis may know of it */
    unsigned                       asked:1;   /* another gateway waits to hear
                                                 how it ends */
} ngx_http_ollama_remote_t;


/*
 * A stop that is asked of other gateways.  outcome:
 *
 *     NGX_AGAIN      not known yet; "found": one has the generation, and will
 *                    find that it is to stop
 *     NGX_OK         it was stopped
 *     NGX_DECLINED   none has it, or not the caller's, or it had ended
 *     NGX_ERROR      Redis failed
 */

typedef struct {
    ngx_int_t                      outcome;
    unsigned                       found:1;
    ngx_str_t                      task_id;      /* in the caller's pool */
    ngx_str_t                      session_id;   /* len 0: it has none */

    /* its own */

    ngx_queue_t                    queue;
    ngx_http_ollama_redis_call_t   call;
    ngx_pool_t                    *pool;
    unsigned                       waiting:1;    /* for word of its end */
} ngx_http_ollama_remote_stop_t;


/*
 * Another gateway wants it stopped.  NGX_OK: it will be, and leave;
 * NGX_DECLINED: it is being stopped already.  May free it.
 */

typedef ngx_int_t (*ngx_http_ollama_remote_stop_pt)(
    ngx_http_ollama_remote_t *remote);


/* Nothing is done where there is no "ollama_redis". */

ngx_int_t ngx_http_ollama_remote_init_worker(
    ngx_http_ollama_remote_stop_pt stop);
void ngx_http_ollama_remote_exit_worker(void);

/* The generation has begun; it has ended, and was stopped or not. */

void ngx_http_ollama_remote_enter(ngx_http_ollama_remote_t *remote);
void ngx_http_ollama_remote_leave(ngx_http_ollama_remote_t *remote,
    ngx_uint_t stopped);

/*
 * Asks the other gateways to stop the generation of this id, or the one that
 * runs in the session of this id.  NGX_OK: see the outcome, until it is known
 * or forgotten; NGX_ERROR: they can't be asked.
 */

ngx_int_t ngx_http_ollama_remote_stop(ngx_http_ollama_remote_stop_t *stop,
    ngx_pool_t *pool, ngx_str_t *id, u_char *owner);
void ngx_http_ollama_remote_forget(ngx_http_ollama_remote_stop_t *stop);


#endif /* _NGX_HTTP_OLLAMA_REMOTE_H_INCLUDED_ */
