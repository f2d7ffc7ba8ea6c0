
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The life of a ticket in the scheduler of an upstream: which waiting request
 * gets a place, when, and at which server.  Pure functions on memory of the
 * caller's: they use no request, lock, clock or allocation.  "now" is in ms.
 */


#ifndef _NGX_HTTP_OLLAMA_SCHED_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_types.h"


/*
 * Puts a ticket into its line; the caller has filled in what it needs: line,
 * model, options, context, owner, bytes.  NGX_DECLINED: there are too many
 * lines.
 */
ngx_int_t ngx_http_ollama_sched_arrive(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now);

/* Counts the arrival of a ticket that does not wait; arrive() does so, too. */
void ngx_http_ollama_sched_count(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now);

/* The ticket's first token came. */
void ngx_http_ollama_sched_first(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now);

/*
 * Takes a ticket out, whether it waits or is at a server.  "f" is what its
 * reply shows, or NULL: it had none.  Returns 1 if the server should be probed
 * at once.
 */
ngx_uint_t ngx_http_ollama_sched_end(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_figures_t *f, ngx_msec_t now);

/* What a probe found loaded that began at "started"; "r" has "n" entries. */
void ngx_http_ollama_sched_look(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_resident_t *r, ngx_uint_t n, ngx_msec_t started);

/*
 * Puts a ticket at the server of an option that was chosen for it.
 * NGX_DECLINED: too many models are in use there, it can't be counted.
 */
ngx_int_t ngx_http_ollama_sched_grant(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o,
    ngx_http_ollama_cost_t *cost, ngx_msec_t now);

/*
 * Seconds after which a request that needs the same as the ticket, which waits
 * no more, should come again: 1 to an hour.
 */
ngx_uint_t ngx_http_ollama_sched_retry(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t);

/* Whether tickets wait in the line of a ticket that does no more. */
ngx_uint_t ngx_http_ollama_sched_is_awaited(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t);

/* The position of a ticket that waits in its line, from 1; 0: it doesn't. */
ngx_uint_t ngx_http_ollama_sched_position(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t);


#endif /* _NGX_HTTP_OLLAMA_SCHED_H_INCLUDED_ */
