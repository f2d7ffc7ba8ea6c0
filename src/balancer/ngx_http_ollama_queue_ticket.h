
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_QUEUE_TICKET_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_QUEUE_TICKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_shm.h"
#include "core/ngx_http_ollama_ctx.h"
#include "util/ngx_http_ollama_timer.h"


/* Continues a request, whose state is "rc"; may end it. */

typedef void (*ngx_http_ollama_queue_done_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);


/* of a request; in its pool */

struct ngx_http_ollama_queued_s {
    ngx_http_request_t              *request;
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_upstream_t      *up;
    ngx_http_ollama_queue_ticket_t  *ticket;    /* NULL: it has none */
    ngx_http_ollama_queue_done_pt    done;
    ngx_queue_t                      queue;     /* while it waits */
    ngx_msec_t                       began;
    ngx_msec_t                       time;      /* for which it has waited */
    ngx_http_ollama_figures_t        figures;
    unsigned                         waiting:1;
    unsigned                         taken:1;   /* its server was tried */
};


/* of this process */

typedef struct {
    ngx_http_ollama_timer_t          timer;
    ngx_event_t                      wake;      /* posted when this process has
                                                   granted something */
    ngx_queue_t                      waiting;
    ngx_atomic_t                     mail;      /* that was seen */
} ngx_http_ollama_queue_t;


/*
 * What the request has in the queue of the upstream; made the first time, else
 * without the ticket that it had.  NULL: no memory.
 */
ngx_http_ollama_queued_t *ngx_http_ollama_queue_make(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up);

/*
 * Gives the request a ticket for what is searched for.  NULL: no memory is left
 * in the zone.
 */
ngx_http_ollama_queue_ticket_t *ngx_http_ollama_queue_ticket_locked(
    ngx_http_ollama_queued_t *qd, ngx_http_ollama_candidates_t *search);

/*
 * Gives up the request's ticket, if it has one, and grants its place to another
 * request.  "f" is what the reply has shown, or NULL.
 */
void ngx_http_ollama_queue_drop(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_figures_t *f);

/* Gives up the ticket, and the slot that it may have. */
void ngx_http_ollama_queue_drop_locked(ngx_http_ollama_queued_t *qd,
    ngx_http_ollama_figures_t *f);

/* Has the requests of this process continued that were granted a server. */
void ngx_http_ollama_queue_wake(void);

/* What this process has. */
ngx_http_ollama_queue_t *ngx_http_ollama_queue_state(void);


#endif /* _NGX_HTTP_OLLAMA_QUEUE_TICKET_H_INCLUDED_ */
