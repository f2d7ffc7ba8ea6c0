
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The tables of the scheduler.  All are bounded; the entry that was used the
 * longest ago is given up for a new one.
 *
 * Pure functions; the memory is the caller's, who also holds its lock.
 */


#include <math.h>

#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_state.h"


/* s over which arrivals are averaged */
#define NGX_HTTP_OLLAMA_SCHED_TAU    300.0f

/* of a model of which nothing is known: GB, tokens of a reply, s */
#define NGX_HTTP_OLLAMA_SCHED_SIZE   4.0f
#define NGX_HTTP_OLLAMA_SCHED_REPLY  300.0f
#define NGX_HTTP_OLLAMA_SCHED_SVC    5.0f

/* GB: what a server says beyond that isn't so */
#define NGX_HTTP_OLLAMA_SCHED_SIZE_MIN  0.01f
#define NGX_HTTP_OLLAMA_SCHED_SIZE_MAX  4000.0f

/* tokens that a prompt cache goes back: any, until it is known */
#define NGX_HTTP_OLLAMA_SCHED_REACH  1e6f


static float ngx_http_ollama_sched_decay(ngx_msec_t from, ngx_msec_t to,
    float tau);


ngx_http_ollama_runner_t *
ngx_http_ollama_sched_runner(ngx_http_ollama_capacity_t *c, uint64_t weights)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {
        if (c->runner[i].weights == weights) {
            return &c->runner[i];
        }
    }

    return NULL;
}


ngx_http_ollama_runner_t *
ngx_http_ollama_sched_make_runner(ngx_http_ollama_capacity_t *c,
    uint64_t weights)
{
    ngx_uint_t                 i;
    ngx_http_ollama_runner_t  *runner, *one;

    runner = ngx_http_ollama_sched_runner(c, weights);

    if (runner) {
        return runner;
    }

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {

        one = &c->runner[i];

        if (one->weights == 0) {
            runner = one;
            break;
        }

        if (one->in_flight || one == c->loading) {
            continue;
        }

        if (runner == NULL
            || (runner->warm && !one->warm)
            || (runner->warm == one->warm
                && (ngx_msec_int_t) (one->used_at - runner->used_at) < 0))
        {
            runner = one;
        }
    }

    if (runner) {
        ngx_memzero(runner, sizeof(ngx_http_ollama_runner_t));
        ngx_queue_init(&runner->tickets);
        runner->weights = weights;
        runner->reach = NGX_HTTP_OLLAMA_SCHED_REACH;
    }

    return runner;
}


ngx_uint_t
ngx_http_ollama_sched_is_loaded(ngx_http_ollama_runner_t *runner)
{
    return runner && (runner->warm || runner->in_flight);
}


ngx_uint_t
ngx_http_ollama_sched_is_same(ngx_http_ollama_runner_t *runner,
    ngx_http_ollama_ticket_t *t)
{
    return runner->options == t->options
           || (t->context && runner->context == t->context);
}


ngx_http_ollama_sched_model_t *
ngx_http_ollama_sched_model(ngx_http_ollama_sched_t *s, uint64_t key)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_OLLAMA_SCHED_MODELS && s->model[i].key; i++) {
        if (s->model[i].key == key) {
            return &s->model[i];
        }
    }

    return NULL;
}


ngx_http_ollama_sched_model_t *
ngx_http_ollama_sched_make_model(ngx_http_ollama_sched_t *s, uint64_t key,
    ngx_msec_t now)
{
    ngx_uint_t                      i;
    ngx_http_ollama_sched_model_t  *m, *one;

    m = NULL;

    for (i = 0; i < NGX_HTTP_OLLAMA_SCHED_MODELS; i++) {

        one = &s->model[i];

        if (one->key == key) {
            return one;
        }

        if (one->key == 0) {
            m = one;
            break;
        }

        if (m == NULL || (ngx_msec_int_t) (one->seen - m->seen) < 0) {
            m = one;
        }
    }

    ngx_memzero(m, sizeof(ngx_http_ollama_sched_model_t));
    m->key = key;
    m->born = now;
    m->seen = now;

    return m;
}


void
ngx_http_ollama_sched_arrived(ngx_http_ollama_sched_model_t *m, ngx_msec_t now)
{
    m->arrivals = m->arrivals
                  * ngx_http_ollama_sched_decay(m->seen, now,
                                                NGX_HTTP_OLLAMA_SCHED_TAU)
                  + 1;
    m->seen = now;
}


/*
 * The weighted count of a model that is young is divided by the weight of the
 * time since.
 */

float
ngx_http_ollama_sched_rate(ngx_http_ollama_sched_model_t *m, ngx_msec_t now)
{
    float  seen;

    seen = 1 - ngx_http_ollama_sched_decay(m->born, now + 1000,
                                           NGX_HTTP_OLLAMA_SCHED_TAU);

    return m->arrivals
           * ngx_http_ollama_sched_decay(m->seen, now,
                                         NGX_HTTP_OLLAMA_SCHED_TAU)
           / NGX_HTTP_OLLAMA_SCHED_TAU / seen;
}


float
ngx_http_ollama_sched_out(ngx_http_ollama_sched_model_t *m)
{
    return (m && m->out > 0) ? m->out : NGX_HTTP_OLLAMA_SCHED_REPLY;
}


float
ngx_http_ollama_sched_svc(ngx_http_ollama_sched_model_t *m)
{
    return (m && m->svc > 0) ? m->svc : NGX_HTTP_OLLAMA_SCHED_SVC;
}


double
ngx_http_ollama_sched_tag(ngx_http_ollama_sched_t *s, uint64_t owner,
    float work, ngx_msec_t now)
{
    double                          tag;
    ngx_uint_t                      i, n;
    ngx_http_ollama_sched_owner_t  *o, *one;

    o = NULL;

    /* an owner is in one of eight entries */

    n = owner % NGX_HTTP_OLLAMA_SCHED_OWNERS;

    for (i = 0; i < 8; i++) {

        one = &s->owner[(n + i) % NGX_HTTP_OLLAMA_SCHED_OWNERS];

        if (one->key == owner) {
            o = one;
            break;
        }

        if (o == NULL || (ngx_msec_int_t) (one->seen - o->seen) < 0) {
            o = one;
        }
    }

    if (o->key != owner) {
        o->key = owner;
        o->finish = 0;
    }

    tag = ngx_max(s->virtual, o->finish);

    o->finish = tag + work;
    o->seen = now;

    return tag;
}


ngx_http_ollama_sched_line_t *
ngx_http_ollama_sched_line(ngx_http_ollama_sched_t *s, uint64_t key)
{
    ngx_uint_t  i, seen;

    seen = 0;

    for (i = 0; seen < s->nlines; i++) {

        if (s->line[i].key == key) {
            return &s->line[i];
        }

        seen += (s->line[i].key != 0);
    }

    return NULL;
}


float
ngx_http_ollama_sched_size(float size)
{
    if (!(size > 0)) {
        return NGX_HTTP_OLLAMA_SCHED_SIZE;
    }

    return ngx_max(NGX_HTTP_OLLAMA_SCHED_SIZE_MIN,
                   ngx_min(size, NGX_HTTP_OLLAMA_SCHED_SIZE_MAX));
}


/* The clock of another worker may be ahead: the difference is signed. */

float
ngx_http_ollama_sched_seconds(ngx_msec_t from, ngx_msec_t to)
{
    return (float) (ngx_msec_int_t) (to - from) / 1000;
}


static float
ngx_http_ollama_sched_decay(ngx_msec_t from, ngx_msec_t to, float tau)
{
    float  seconds;

    seconds = ngx_http_ollama_sched_seconds(from, to);

    return (seconds > 0) ? expf(-seconds / tau) : 1;
}
