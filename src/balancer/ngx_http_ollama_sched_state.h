
/*
 * Copyright (C) the nginx-ollama authors
 */


/* Tables of the scheduler, for sched*.c only. */


#ifndef _NGX_HTTP_OLLAMA_SCHED_STATE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_types.h"


/* The runner with those weights, or NULL. */
ngx_http_ollama_runner_t *ngx_http_ollama_sched_runner(
    ngx_http_ollama_capacity_t *c, uint64_t weights);

/*
 * The same; takes an entry for it if there is none: a free one, or of the
 * runner that has been idle the longest.  NULL: all are in use.
 */
ngx_http_ollama_runner_t *ngx_http_ollama_sched_make_runner(
    ngx_http_ollama_capacity_t *c, uint64_t weights);

/* Whether the model is loaded, or being loaded; "runner" may be NULL. */
ngx_uint_t ngx_http_ollama_sched_is_loaded(ngx_http_ollama_runner_t *runner);

/* Whether the runner's options are those that the ticket needs. */
ngx_uint_t ngx_http_ollama_sched_is_same(ngx_http_ollama_runner_t *runner,
    ngx_http_ollama_ticket_t *t);

/* The model with that key, or NULL. */
ngx_http_ollama_sched_model_t *ngx_http_ollama_sched_model(
    ngx_http_ollama_sched_t *s, uint64_t key);

/* The same; takes an entry for it if there is none. */
ngx_http_ollama_sched_model_t *ngx_http_ollama_sched_make_model(
    ngx_http_ollama_sched_t *s, uint64_t key, ngx_msec_t now);

/* Counts a request for a model; their rate is a second's. */
void ngx_http_ollama_sched_arrived(ngx_http_ollama_sched_model_t *m,
    ngx_msec_t now);
float ngx_http_ollama_sched_rate(ngx_http_ollama_sched_model_t *m,
    ngx_msec_t now);

/* Tokens of a model's reply; s from a place to its end; "m" may be NULL. */
float ngx_http_ollama_sched_out(ngx_http_ollama_sched_model_t *m);
float ngx_http_ollama_sched_svc(ngx_http_ollama_sched_model_t *m);

/* Seconds between two times, of which the second may be the earlier one. */
float ngx_http_ollama_sched_seconds(ngx_msec_t from, ngx_msec_t to);

/* GB of a model, or what is assumed if that isn't known. */
float ngx_http_ollama_sched_size(float size);

/*
 * The start tag of an owner's next request, which is so many seconds of work;
 * start-time fair queueing.
 */
double ngx_http_ollama_sched_tag(ngx_http_ollama_sched_t *s, uint64_t owner,
    float work, ngx_msec_t now);

/* The ticket's line, or NULL. */
ngx_http_ollama_sched_line_t *ngx_http_ollama_sched_line(
    ngx_http_ollama_sched_t *s, uint64_t key);


#endif /* _NGX_HTTP_OLLAMA_SCHED_STATE_H_INCLUDED_ */
