
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the scheduler sums up over all servers: how busy they are, how fast in
 * the mean, where models are loaded, and which have a request that is stuck.
 *
 * Pure functions; the memory is the caller's, who also holds its lock.
 */


#include <math.h>

#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_survey.h"
#include "balancer/ngx_http_ollama_sched_cost.h"
#include "balancer/ngx_http_ollama_sched_state.h"


/* ms between two surveys of all servers */
#define NGX_HTTP_OLLAMA_SURVEY_INTERVAL   200

/* s over which it is averaged how many servers are busy */
#define NGX_HTTP_OLLAMA_SURVEY_BUSY     60.0f


/* sums of a survey */

typedef struct {
    ngx_uint_t  n;
    ngx_uint_t  busy;
    ngx_uint_t  nprompt;
    ngx_uint_t  ngenerate;
    float       prompt;      /* of logarithms */
    float       generate;
} ngx_http_ollama_survey_t;


static void ngx_http_ollama_survey_server(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_survey_t *sum,
    ngx_msec_t now);
static ngx_uint_t ngx_http_ollama_survey_is_stuck(
    ngx_http_ollama_sched_t *s, ngx_http_ollama_runner_t *runner,
    ngx_msec_t now);


void
ngx_http_ollama_sched_survey(ngx_http_ollama_sched_t *s,
    const ngx_http_ollama_sched_ops_t *ops, void *data, ngx_msec_t now)
{
    float                        busy, dt;
    ngx_uint_t                   i;
    ngx_http_ollama_survey_t     sum;
    ngx_http_ollama_capacity_t  *c;

    if (s->surveyed
        && (ngx_msec_int_t) (now - s->surveyed)
           < NGX_HTTP_OLLAMA_SURVEY_INTERVAL)
    {
        return;
    }

    dt = s->surveyed ? ngx_http_ollama_sched_seconds(s->surveyed, now) : 0;
    s->surveyed = now;

    for (i = 0; i < NGX_HTTP_OLLAMA_SCHED_MODELS; i++) {
        s->model[i].places = 0;
    }

    ngx_memzero(&sum, sizeof(ngx_http_ollama_survey_t));

    for (c = ops->next(s, NULL, data); c; c = ops->next(s, c, data)) {
        ngx_http_ollama_survey_server(s, c, &sum, now);
    }

    busy = sum.n ? (float) sum.busy / sum.n : 0;

    s->busy += (busy - s->busy)
               * (1 - expf(-dt / NGX_HTTP_OLLAMA_SURVEY_BUSY));

    s->prompt = sum.nprompt ? expf(sum.prompt / sum.nprompt) : 0;
    s->generate = sum.ngenerate ? expf(sum.generate / sum.ngenerate) : 0;
}


static void
ngx_http_ollama_survey_server(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_survey_t *sum,
    ngx_msec_t now)
{
    ngx_uint_t                      i;
    ngx_http_ollama_runner_t       *runner;
    ngx_http_ollama_sched_model_t  *m;

    sum->n++;
    sum->busy += (c->in_flight != 0);

    if (c->prompt > 0) {
        sum->nprompt++;
        sum->prompt += logf(c->prompt);
    }

    if (c->generate > 0) {
        sum->ngenerate++;
        sum->generate += logf(c->generate);
    }

    if (c->reserve && ngx_http_ollama_sched_line(s, c->reserve) == NULL) {
        c->reserve = 0;
    }

    c->stuck = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {

        runner = &c->runner[i];

        if (runner->model == 0 || !ngx_http_ollama_sched_is_loaded(runner)) {
            continue;
        }

        m = ngx_http_ollama_sched_model(s, runner->model);

        if (m) {
            m->places += ngx_http_ollama_sched_places(c, runner);
        }

        if (runner->in_flight
            && ngx_http_ollama_survey_is_stuck(s, runner, now))
        {
            c->stuck = 1;
        }
    }
}


static ngx_uint_t
ngx_http_ollama_survey_is_stuck(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_runner_t *runner, ngx_msec_t now)
{
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&runner->tickets);
         q != ngx_queue_sentinel(&runner->tickets);
         q = ngx_queue_next(q))
    {
        if (ngx_http_ollama_sched_is_stuck(s,
                          ngx_queue_data(q, ngx_http_ollama_ticket_t, queue),
                          now))
        {
            return 1;
        }
    }

    return 0;
}
