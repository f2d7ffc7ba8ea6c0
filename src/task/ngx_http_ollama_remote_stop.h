
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REMOTE_STOP_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REMOTE_STOP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_owner.h"
#include "redis/ngx_http_ollama_redis.h"


/* Stops that a worker has asked for: private, except to its owner. */

typedef struct {
    ngx_str_t                      *channel;     /* NULL: nothing is done */
    ngx_queue_t                     queue;       /* of those that are pending */
} ngx_http_ollama_remote_stops_t;


/*
 * A stop that other gateways were asked for.  outcome:
 *
 *     NGX_AGAIN      not known yet; "found": a gateway has the generation, and
 *                    will find that it is to be stopped
 *     NGX_OK         it was stopped
 *     NGX_DECLINED   no gateway has it, or it is another owner's, or it had
 *                    ended
 *     NGX_ERROR      Redis failed
 */

typedef struct {
    ngx_int_t                      outcome;
    unsigned                       found:1;
    ngx_str_t                      task_id;      /* in the caller's pool */
    ngx_str_t                      session_id;   /* len 0: it has none */

    /* private */

    ngx_http_ollama_remote_stops_t  *stops;
    ngx_queue_t                    queue;
    ngx_http_ollama_redis_call_t   call;
    ngx_pool_t                    *pool;
    u_char                         owner[NGX_HTTP_OLLAMA_OWNER_SIZE];
    unsigned                       waiting:1;    /* in the queue */
} ngx_http_ollama_remote_stop_t;


/* Stops are asked for by this channel, which must last; NULL: not any more. */
void ngx_http_ollama_remote_stop_init(ngx_http_ollama_remote_stops_t *stops,
    ngx_str_t *channel);

/* Tells the stops that wait for the end of that generation. */
void ngx_http_ollama_remote_stop_ended(ngx_http_ollama_remote_stops_t *stops,
    ngx_str_t *id, ngx_str_t *owner, ngx_int_t outcome);

/* As ngx_http_ollama_remote_stop(), by these stops. */
ngx_int_t ngx_http_ollama_remote_stop_ask(ngx_http_ollama_remote_stops_t *stops,
    ngx_http_ollama_remote_stop_t *stop, ngx_pool_t *pool, ngx_str_t *id,
    u_char *owner);

/*
 * Its outcome is not wanted any more, and its memory may be freed; the
 * generation is stopped all the same.
 */
void ngx_http_ollama_remote_forget(ngx_http_ollama_remote_stop_t *stop);


#endif /* _NGX_HTTP_OLLAMA_REMOTE_STOP_H_INCLUDED_ */
