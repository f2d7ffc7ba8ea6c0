
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TASK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TASK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/* of the client's own name for a generation, and of a session's */
#define NGX_HTTP_OLLAMA_TASK_ID  64


typedef struct ngx_http_ollama_task_s  ngx_http_ollama_task_t;


/* how a request to stop a generation ended */

typedef enum {
    NGX_HTTP_OLLAMA_CANCEL_PENDING = 0,
    NGX_HTTP_OLLAMA_CANCEL_DONE,        /* it was stopped */
    NGX_HTTP_OLLAMA_CANCEL_LATE         /* it had come to its end */
} ngx_http_ollama_cancel_e;


/* A stop that was asked for. */

typedef struct {
    ngx_uint_t  number;
    ngx_str_t   task_id;                /* these are in the caller's pool */
    ngx_str_t   session_id;             /* len 0: the task has none */
} ngx_http_ollama_cancel_t;


/*
 * Stops a generation of this worker, now or soon; ends with a call of
 * ngx_http_ollama_task_end().  May free the request.
 */

typedef void (*ngx_http_ollama_task_stop_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


void *ngx_http_ollama_task_create(ngx_pool_t *pool);
ngx_int_t ngx_http_ollama_task_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
ngx_int_t ngx_http_ollama_task_init_worker(ngx_shm_zone_t *shm_zone);
void ngx_http_ollama_task_exit_worker(void);

ngx_int_t ngx_http_ollama_task_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_task_stop_pt stop);
void ngx_http_ollama_task_end(ngx_http_ollama_ctx_t *ctx,
    ngx_uint_t stopped);

ngx_int_t ngx_http_ollama_task_cancel(ngx_str_t *id, u_char *owner,
    ngx_pool_t *pool, ngx_http_ollama_cancel_t *cancel);
ngx_http_ollama_cancel_e ngx_http_ollama_task_cancelled(
    ngx_http_ollama_cancel_t *cancel);


#endif /* _NGX_HTTP_OLLAMA_TASK_H_INCLUDED_ */
