
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCHED_DISPATCH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_DISPATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_types.h"


/*
 * Grants what can be granted: of the line of "t" only, unless it is NULL.  With
 * s->bind set a ticket gets the server with the least cost, free or not.
 */
void ngx_http_ollama_sched_dispatch(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now);

/*
 * The same of those lines that a server can serve, which has a place more now:
 * what time alone changes is left for the next dispatch of all.
 */
void ngx_http_ollama_sched_dispatch_server(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now);

/*
 * Chooses among "n" options for a ticket that does not wait, as one that is
 * tried again: the least cost, free or not.  Returns the option's index, or
 * NGX_ERROR: none can be used.  "cost" is its cost.
 */
ngx_int_t ngx_http_ollama_sched_choose(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o, ngx_uint_t n,
    ngx_http_ollama_cost_t *cost, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now);


#endif /* _NGX_HTTP_OLLAMA_SCHED_DISPATCH_H_INCLUDED_ */
