
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SLOT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_model_state.h"
#include "fleet/ngx_http_ollama_server.h"
#include "util/ngx_http_ollama_procs.h"


/* how a request's try of a server ended, and what that shows of the server */

typedef enum {
    NGX_HTTP_OLLAMA_TRY_NEUTRAL = 0,  /* it shows nothing */
    NGX_HTTP_OLLAMA_TRY_OK,           /* it answered, with the model */
    NGX_HTTP_OLLAMA_TRY_ANSWERED,     /* it answered something else */
    NGX_HTTP_OLLAMA_TRY_REFUSED,      /* 429, 500, 502, 503, 504 */
    NGX_HTTP_OLLAMA_TRY_NO_MODEL,     /* it answered that it lacks the model */
    NGX_HTTP_OLLAMA_TRY_TRUNCATED,    /* its reply ended too early */
    NGX_HTTP_OLLAMA_TRY_UNREACHABLE   /* no connection */
} ngx_http_ollama_try_e;


/* when a server is unreachable, from its line in the upstream block */

typedef struct {
    ngx_uint_t                     max_fails;
    time_t                         fail_timeout;
} ngx_http_ollama_limits_t;


typedef struct ngx_http_ollama_slot_s  ngx_http_ollama_slot_t;


/*
 * Makes this process one that can hold slots, once the fleet is open, and
 * releases those of processes that have died.
 */
void ngx_http_ollama_slot_init_worker(void);

/* Releases all slots of this process; harmless where the fleet isn't open. */
void ngx_http_ollama_slot_exit_worker(void);

/* Releases the slots of processes that have died. */
void ngx_http_ollama_slot_reap_locked(void);

/*
 * A slot at the server, held by a process, as slot_proc() returns it; whether
 * one is free is not checked.  NULL: no memory is left.
 */
ngx_http_ollama_slot_t *ngx_http_ollama_slot_acquire_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted,
    ngx_http_ollama_proc_t *proc);

/* This process, as one that holds slots. */
ngx_http_ollama_proc_t *ngx_http_ollama_slot_proc(void);

/*
 * Puts a ticket of the balancer on the list of this process, until it is
 * removed from that.  If the process dies another one calls the function that
 * the balancer has set in it.
 */
void ngx_http_ollama_slot_hold_locked(ngx_http_ollama_held_t *held);
void ngx_http_ollama_slot_set_dead(ngx_http_ollama_held_pt dead);

/*
 * Frees the slot and records how the try ended, which may set the server down
 * and log that.  Takes the fleet's lock.
 */
void ngx_http_ollama_slot_release(ngx_http_ollama_slot_t *slot,
    ngx_http_ollama_try_e outcome, ngx_http_ollama_limits_t *limits);

/* Gives up a slot that was never used. */
void ngx_http_ollama_slot_cancel_locked(ngx_http_ollama_slot_t *slot);

/*
 * Whether the slot's server is frozen: it has stopped answering probes.  Takes
 * the fleet's lock.
 */
ngx_uint_t ngx_http_ollama_slot_is_frozen(ngx_http_ollama_slot_t *slot);

/* A number that changes when a server freezes; takes no lock. */
ngx_uint_t ngx_http_ollama_slot_frozen_epoch(void);


#endif /* _NGX_HTTP_OLLAMA_SLOT_H_INCLUDED_ */
