
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Stops that other gateways are asked for, until their outcome is known.  The
 * keys and messages are described in remote.c.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "task/ngx_http_ollama_remote_stop.h"
#include "task/ngx_http_ollama_remote_script.h"


/* how long a worker may be without Redis and still find a flag, ms */
#define NGX_HTTP_OLLAMA_REMOTE_FLAG  "300000"


static void ngx_http_ollama_remote_found(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);


void
ngx_http_ollama_remote_stop_init(ngx_http_ollama_remote_stops_t *stops,
    ngx_str_t *channel)
{
    stops->channel = channel;

    if (channel) {
        ngx_queue_init(&stops->queue);
    }
}


void
ngx_http_ollama_remote_stop_ended(ngx_http_ollama_remote_stops_t *stops,
    ngx_str_t *id, ngx_str_t *owner, ngx_int_t outcome)
{
    ngx_queue_t                    *q, *next;
    ngx_http_ollama_remote_stop_t  *stop;

    for (q = ngx_queue_head(&stops->queue);
         q != ngx_queue_sentinel(&stops->queue);
         q = next)
    {
        next = ngx_queue_next(q);

        stop = ngx_queue_data(q, ngx_http_ollama_remote_stop_t, queue);

        if (stop->task_id.len == id->len
            && ngx_memcmp(stop->task_id.data, id->data, id->len) == 0
            && ngx_http_ollama_remote_script_owner(stop->owner, owner))
        {
            stop->outcome = outcome;

            ngx_queue_remove(q);
            stop->waiting = 0;
        }
    }
}


ngx_int_t
ngx_http_ollama_remote_stop_ask(ngx_http_ollama_remote_stops_t *stops,
    ngx_http_ollama_remote_stop_t *stop, ngx_pool_t *pool, ngx_str_t *id,
    u_char *owner)
{
    u_char                                hex[2 * NGX_HTTP_OLLAMA_OWNER_SIZE];
    ngx_str_t                             digest;
    ngx_http_ollama_remote_script_args_t  args;

    if (stops->channel == NULL || id->len > NGX_HTTP_OLLAMA_ID_MAX) {
        return NGX_ERROR;
    }

    stop->stops = stops;
    stop->outcome = NGX_AGAIN;
    stop->pool = pool;

    ngx_memcpy(stop->owner, owner, NGX_HTTP_OLLAMA_OWNER_SIZE);

    digest.data = hex;
    digest.len = ngx_hex_dump(hex, owner, NGX_HTTP_OLLAMA_OWNER_SIZE) - hex;

    ngx_http_ollama_remote_script_init(&args);

    ngx_http_ollama_remote_script_key(&args, "task:{", id, "}");
    ngx_http_ollama_remote_script_key(&args, "{", id, "}:task");

    ngx_http_ollama_remote_script_str(&args, ngx_http_ollama_redis_prefix());
    ngx_http_ollama_remote_script_str(&args, id);
    ngx_http_ollama_remote_script_str(&args, &digest);
    ngx_http_ollama_remote_script_str(&args, stops->channel);
    ngx_http_ollama_remote_script_word(&args, NGX_HTTP_OLLAMA_REMOTE_FLAG);

    stop->call.handler = ngx_http_ollama_remote_found;
    stop->call.data = stop;

    return ngx_http_ollama_redis_script(&stop->call,
                                        &ngx_http_ollama_remote_script_stop,
                                        2, args.n, args.argv);
}


/*
 * The message of its end may come before this reply, as that has a connection
 * of its own: then the caller's time limit ends the wait.
 */

static void
ngx_http_ollama_remote_found(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_http_ollama_remote_stop_t  *stop;

    stop = call->data;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        stop->outcome = NGX_ERROR;
        return;
    }

    if (reply->elements != 2) {
        stop->outcome = NGX_DECLINED;
        return;
    }

    if (ngx_http_ollama_remote_script_id(stop->pool, reply->element[0],
                                         &stop->task_id)
        != NGX_OK
        || ngx_http_ollama_remote_script_id(stop->pool, reply->element[1],
                                            &stop->session_id)
           != NGX_OK)
    {
        stop->outcome = NGX_ERROR;
        return;
    }

    stop->found = 1;
    stop->waiting = 1;

    ngx_queue_insert_tail(&stop->stops->queue, &stop->queue);
}


void
ngx_http_ollama_remote_forget(ngx_http_ollama_remote_stop_t *stop)
{
    ngx_http_ollama_redis_forget(&stop->call);

    if (stop->waiting) {
        ngx_queue_remove(&stop->queue);
        stop->waiting = 0;
    }
}
