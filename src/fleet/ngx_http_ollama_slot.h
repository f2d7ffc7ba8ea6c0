
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SLOT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_policy.h"
#include "fleet/ngx_http_ollama_fleet.h"


/* whether a server can take a request */

typedef enum {
    NGX_HTTP_OLLAMA_CAN_TAKE = 0,
    NGX_HTTP_OLLAMA_IS_FULL,          /* it has the model, and no place */
    NGX_HTTP_OLLAMA_IS_DOWN,          /* it may have the model */
    NGX_HTTP_OLLAMA_LACKS_MODEL
} ngx_http_ollama_can_e;


/* how a request's try of a server ended, for the picture of that server */

typedef enum {
    NGX_HTTP_OLLAMA_TRY_NEUTRAL = 0,  /* tells nothing of the server */
    NGX_HTTP_OLLAMA_TRY_OK,           /* it answered, with the model */
    NGX_HTTP_OLLAMA_TRY_ANSWERED,     /* it answered something else */
    NGX_HTTP_OLLAMA_TRY_REFUSED,      /* 429, 500, 502, 503, 504 */
    NGX_HTTP_OLLAMA_TRY_NO_MODEL,     /* it answered that it has no such */
    NGX_HTTP_OLLAMA_TRY_CUT,          /* it broke off its answer */
    NGX_HTTP_OLLAMA_TRY_UNREACHABLE   /* it could not be reached */
} ngx_http_ollama_try_e;


/* A model that is asked for, in the form servers' models are compared with. */

typedef struct {
    ngx_str_t                      key;       /* len 0: any will do */
    uint64_t                       hash;
    unsigned                       loads:1;   /* the request needs it loaded */
} ngx_http_ollama_wanted_t;


/* what makes a server unreachable, from its line in the upstream block */

typedef struct {
    ngx_uint_t                     max_fails;
    time_t                         fail_timeout;
} ngx_http_ollama_limits_t;


typedef struct ngx_http_ollama_slot_s  ngx_http_ollama_slot_t;


ngx_int_t ngx_http_ollama_model_state_want(ngx_pool_t *pool, ngx_str_t *model,
    ngx_http_ollama_wanted_t *wanted);
ngx_http_ollama_can_e ngx_http_ollama_model_state_can_serve_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
ngx_uint_t ngx_http_ollama_model_state_may_have_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
void ngx_http_ollama_model_state_fill_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted, ngx_http_ollama_candidate_t *c);
ngx_http_ollama_slot_t *ngx_http_ollama_slot_acquire_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
void ngx_http_ollama_slot_release(ngx_http_ollama_slot_t *place,
    ngx_http_ollama_try_e outcome, ngx_http_ollama_limits_t *limits);
ngx_uint_t ngx_http_ollama_slot_is_frozen(ngx_http_ollama_slot_t *place);
ngx_uint_t ngx_http_ollama_slot_frozen_epoch(void);


#endif /* _NGX_HTTP_OLLAMA_SLOT_H_INCLUDED_ */
