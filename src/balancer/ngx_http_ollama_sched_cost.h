
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCHED_COST_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_COST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_types.h"


/* what is the same for all options of a ticket */

typedef struct {
    ngx_http_ollama_sched_t        *sched;
    ngx_http_ollama_sched_model_t  *model;   /* NULL: nothing is known */
    ngx_http_ollama_ticket_t       *ticket;
    ngx_uint_t                      ahead;   /* tickets of its line before it
                                                that wait, too */
    ngx_uint_t                      places;  /* at options where the model is
                                                loaded; >= 1 */
    float                           out;     /* tokens of a reply; */
    float                           busy;    /* factor of the time of a prompt's
                                                evaluation, as it is that of
                                                others, too */
    ngx_msec_t                      now;
    unsigned                        bind:1;  /* it gets a server that is not
                                                free rather than to wait */
} ngx_http_ollama_sched_case_t;


/*
 * Expected seconds of the case's ticket at a server, of which "cached" tokens
 * of its prompt are in the cache there: the wait for a place or a load, what an
 * eviction costs others, and its share of the work.
 */
void ngx_http_ollama_sched_cost(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, float cached, ngx_http_ollama_cost_t *cost);

/* Fills in the rest of a case, and the runners of the options; comes first. */
void ngx_http_ollama_sched_cost_init(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_uint_t n);

/*
 * Speeds in tokens/s of a model of "size" GB at a server, alone; "runner" may
 * be NULL.
 */
float ngx_http_ollama_sched_prompt_speed(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner,
    float size);
float ngx_http_ollama_sched_generate_speed(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner,
    float size);

/* The same of a model of 1 GB at a server of which nothing is known. */
float ngx_http_ollama_sched_mean_prompt(ngx_http_ollama_sched_t *s);
float ngx_http_ollama_sched_mean_generate(ngx_http_ollama_sched_t *s);

/* Expected seconds of a load of "size" GB. */
float ngx_http_ollama_sched_load(ngx_http_ollama_capacity_t *c, float size);

/* Models that a request of this one would share the server with, and itself. */
float ngx_http_ollama_sched_share(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_runner_t *runner);

/* Requests that a runner works on at once. */
ngx_uint_t ngx_http_ollama_sched_places(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_runner_t *runner);

/* Whether a ticket got nothing for much longer than was expected. */
ngx_uint_t ngx_http_ollama_sched_is_stuck(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now);

/* Seconds until a server has served what it has. */
float ngx_http_ollama_sched_residual(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_msec_t now);


#endif /* _NGX_HTTP_OLLAMA_SCHED_COST_H_INCLUDED_ */
