
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MODEL_STATE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODEL_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_capacity.h"
#include "fleet/ngx_http_ollama_server.h"


/* whether a server can take a request */

typedef enum {
    NGX_HTTP_OLLAMA_CAN_TAKE = 0,
    NGX_HTTP_OLLAMA_IS_FULL,          /* it has the model, but no free slot */
    NGX_HTTP_OLLAMA_IS_DOWN,          /* it may have the model */
    NGX_HTTP_OLLAMA_IS_SLOW,          /* the same, and could take it: it is
                                         down because an answer was late */
    NGX_HTTP_OLLAMA_LACKS_MODEL
} ngx_http_ollama_can_e;


/* A model that is asked for, in the form that servers' models have. */

typedef struct {
    ngx_str_t                      key;       /* len 0: any will do */
    uint64_t                       hash;
    unsigned                       loads:1;   /* the request needs it loaded */
    unsigned                       cloud:1;   /* it runs elsewhere: any server
                                                 may have it */
    unsigned                       slotless:1; /* the request takes no slot */
} ngx_http_ollama_wanted_t;


/* A server that can serve a request, for the choice among such servers. */

typedef struct {
    ngx_uint_t                     in_flight;  /* requests it is busy with */
    unsigned                       refusing:1; /* answered with an error a
                                                  short time ago */
    unsigned                       known:1;    /* certainly has the model; 0:
                                                  may have it */
    unsigned                       warm:1;     /* the model is loaded, or is
                                                  being loaded */
    unsigned                       full:1;     /* no slot is free */

    /* of a request that needs its model loaded */

    ngx_http_ollama_capacity_t    *capacity;
    uint64_t                       weights;    /* hash of the model's digest, or
                                                  of its name */
    float                          size;       /* GB on disk; 0: unknown */
    ngx_uint_t                     limit;      /* slots; 0: any number */
    ngx_msec_t                     probed;     /* the last good probe had begun;
                                                  0: there was none */
} ngx_http_ollama_server_state_t;


/*
 * Fills in, but for "loads", which model a request asks for; NULL or len 0:
 * none.  The key is from the pool.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_model_state_want(ngx_pool_t *pool, ngx_str_t *model,
    ngx_http_ollama_wanted_t *wanted);

/* Whether the server can take a request for that model, now. */
ngx_http_ollama_can_e ngx_http_ollama_model_state_can_serve_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);

/*
 * Whether the server has the model or may have it: 0 only if it is known not
 * to.
 */
ngx_uint_t ngx_http_ollama_model_state_may_have_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);

/* Fills in the state of a server that can serve the request. */
void ngx_http_ollama_model_state_fill_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted, ngx_http_ollama_server_state_t *state);

/*
 * Writes the models that are loaded, by the last good probe, to "r", at most
 * "max"; returns their number.  "started" is when that probe began.
 */
ngx_uint_t ngx_http_ollama_model_state_residents_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_resident_t *r,
    ngx_uint_t max, ngx_msec_t *started);

/* Whether the server refused a request so recently that it is avoided. */
ngx_uint_t ngx_http_ollama_model_state_refusing_locked(
    ngx_http_ollama_server_t *server);

/*
 * Counts a request with the model that it needs loaded, and returns what
 * ngx_http_ollama_model_state_release_locked() gets when the request has ended.
 * NULL: it needs none, or the server's table is full.
 */
ngx_http_ollama_model_state_t *ngx_http_ollama_model_state_use_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
void ngx_http_ollama_model_state_release_locked(
    ngx_http_ollama_model_state_t *ms);

/* A request found that the model is loaded there; that the server lacks it. */
void ngx_http_ollama_model_state_loaded_locked(
    ngx_http_ollama_model_state_t *ms);
void ngx_http_ollama_model_state_absent_locked(
    ngx_http_ollama_model_state_t *ms);

/*
 * A good probe started at "started": what requests found out before that is
 * obsolete, unless a request still waits for the model; which models are absent
 * if the probe has got the list of all, which are loaded if that of these, or
 * after the time that they stay so.
 */
void ngx_http_ollama_model_state_probed_locked(
    ngx_http_ollama_server_t *server, ngx_msec_t started, ngx_uint_t all,
    ngx_uint_t loaded);


#endif /* _NGX_HTTP_OLLAMA_MODEL_STATE_H_INCLUDED_ */
