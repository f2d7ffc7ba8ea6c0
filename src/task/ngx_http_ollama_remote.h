
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REMOTE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REMOTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_owner.h"
#include "redis/ngx_http_ollama_redis.h"
#include "task/ngx_http_ollama_remote_stop.h"


/*
 * A generation of this worker that other gateways may know of.  Its memory
 * belongs to the caller, who zeroes it and sets the first fields; what they
 * point to must last until it leaves.
 */

typedef struct ngx_http_ollama_remote_s  ngx_http_ollama_remote_t;

struct ngx_http_ollama_remote_s {
    ngx_str_t                      id;
    ngx_str_t                      session;   /* len 0: none */
    u_char                        *owner;     /* digest */

    /*
     * after a claim: NGX_OK, the id is free, or Redis failed; NGX_DECLINED,
     * another worker has it; may free it
     */

    void                         (*claimed)(ngx_http_ollama_remote_t *remote,
                                            ngx_int_t rc);

    /* private */

    ngx_str_node_t                 node;
    ngx_queue_t                    queue;
    ngx_http_ollama_redis_call_t   call;
    unsigned                       entered:1;
    unsigned                       announced:1; /* Redis may know of it */
    unsigned                       claiming:1;
    unsigned                       asked:1;   /* another gateway waits for its
                                                 end */
};


/*
 * Another gateway wants a generation of this worker stopped.  NGX_OK: it will
 * be, and leave; NGX_DECLINED: it is being stopped already.  May free it.
 */

typedef ngx_int_t (*ngx_http_ollama_remote_stop_pt)(
    ngx_http_ollama_remote_t *remote);


/*
 * Begins to listen for stops, for each of which "stop" is called from the event
 * loop.  Without an "ollama_redis" neither this nor what follows does anything.
 * NGX_ERROR: no random bytes, which was logged, or no subscription.
 */
ngx_int_t ngx_http_ollama_remote_init_worker(
    ngx_http_ollama_remote_stop_pt stop);

/* At the end of the process: nothing is sent to Redis from now on. */
void ngx_http_ollama_remote_exit_worker(void);

/* A generation begins: Redis is told soon. */
void ngx_http_ollama_remote_enter(ngx_http_ollama_remote_t *remote);

/*
 * Asks whether another gateway has a generation with the id of one that has
 * entered.  NGX_OK: remote->claimed() will be called, from the event loop,
 * unless it leaves before; NGX_DECLINED: Redis can't be asked.
 */
ngx_int_t ngx_http_ollama_remote_claim(ngx_http_ollama_remote_t *remote);

/*
 * It has ended, and was stopped or not, which a gateway that waits for it is
 * told.  Its memory isn't used any more.  Also for one that didn't enter.
 */
void ngx_http_ollama_remote_leave(ngx_http_ollama_remote_t *remote,
    ngx_uint_t stopped);

/*
 * Asks the other gateways to stop the owner's generation with this id, or the
 * one that is running in the session with this id; copies both.  NGX_OK: the
 * outcome will be known, and "stop", which is zeroed, and the pool must last
 * until then or until it is forgotten.  NGX_ERROR: they can't be asked.
 */
ngx_int_t ngx_http_ollama_remote_stop(ngx_http_ollama_remote_stop_t *stop,
    ngx_pool_t *pool, ngx_str_t *id, u_char *owner);


#endif /* _NGX_HTTP_OLLAMA_REMOTE_H_INCLUDED_ */
