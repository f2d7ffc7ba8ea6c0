
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCHED_LEARN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_LEARN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_types.h"


/*
 * Learns from the first token of a ticket how many requests its runner works on
 * at once.
 */
void ngx_http_ollama_sched_learn_places(ngx_http_ollama_ticket_t *t,
    ngx_msec_t now);

/*
 * Learns speeds from the figures of a ticket's reply.  Returns 1 if they show
 * that another model was loaded than was known.
 */
ngx_uint_t ngx_http_ollama_sched_learn(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_figures_t *f, ngx_msec_t now);


#endif /* _NGX_HTTP_OLLAMA_SCHED_LEARN_H_INCLUDED_ */
