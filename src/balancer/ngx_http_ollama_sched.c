
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The life of a ticket, and what a probe tells the scheduler.
 *
 * A process may be killed at any place, and what it has not done is done by the
 * one that ends its tickets: a ticket that is on no list is linked to itself,
 * and no count goes below zero.
 *
 * Pure functions; the memory is the caller's, who also holds its lock.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched.h"
#include "balancer/ngx_http_ollama_sched_cost.h"
#include "balancer/ngx_http_ollama_sched_learn.h"
#include "balancer/ngx_http_ollama_sched_state.h"


/* of a model of which nothing is known: bytes a token */
#define NGX_HTTP_OLLAMA_SCHED_BYTES  4.0f

/* s */
#define NGX_HTTP_OLLAMA_SCHED_RETRY_MAX  3600


static void ngx_http_ollama_sched_line_leave(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t);
static double ngx_http_ollama_sched_least_tag(ngx_http_ollama_sched_t *s,
    double tag);
static void ngx_http_ollama_sched_loaded(ngx_http_ollama_ticket_t *t,
    ngx_msec_t now);
static void ngx_http_ollama_sched_aborted(ngx_http_ollama_ticket_t *t);
static void ngx_http_ollama_sched_load_begin(ngx_http_ollama_ticket_t *t,
    float size, ngx_msec_t now);
static ngx_http_ollama_runner_t *ngx_http_ollama_sched_listed(
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_resident_t *r,
    ngx_msec_t started);


ngx_int_t
ngx_http_ollama_sched_arrive(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    float                           work, size;
    ngx_uint_t                      i;
    ngx_queue_t                    *q;
    ngx_http_ollama_ticket_t       *other;
    ngx_http_ollama_sched_line_t   *line;
    ngx_http_ollama_sched_model_t  *m;

    ngx_http_ollama_sched_count(s, t, now);

    line = ngx_http_ollama_sched_line(s, t->line);

    for (i = 0; line == NULL && i < NGX_HTTP_OLLAMA_SCHED_LINES; i++) {

        if (s->line[i].key == 0) {
            line = &s->line[i];
            s->nlines++;
            line->key = t->line;
            line->n = 0;
            ngx_queue_init(&line->tickets);
        }
    }

    if (line == NULL) {
        return NGX_DECLINED;
    }

    m = ngx_http_ollama_sched_model(s, t->model);
    size = ngx_http_ollama_sched_size(m->size);

    work = size * (t->tokens / ngx_http_ollama_sched_mean_prompt(s)
                   + ngx_http_ollama_sched_out(m)
                     / ngx_http_ollama_sched_mean_generate(s));

    t->tag = ngx_http_ollama_sched_tag(s, t->owner, work, now);
    t->waiting = 1;

    for (q = ngx_queue_last(&line->tickets);
         q != ngx_queue_sentinel(&line->tickets);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_http_ollama_ticket_t, queue);

        if (other->tag <= t->tag) {
            break;
        }
    }

    ngx_queue_insert_after(q, &t->queue);

    line->n++;
    s->waiting++;

    return NGX_OK;
}


void
ngx_http_ollama_sched_count(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    ngx_http_ollama_sched_model_t  *m;

    m = ngx_http_ollama_sched_make_model(s, t->model, now);

    ngx_http_ollama_sched_arrived(m, now);

    t->arrived = now;
    t->tokens = t->bytes / ((m->bytes > 0) ? m->bytes
                                           : NGX_HTTP_OLLAMA_SCHED_BYTES);
}


static void
ngx_http_ollama_sched_line_leave(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t)
{
    ngx_http_ollama_sched_line_t  *line;

    line = ngx_http_ollama_sched_line(s, t->line);

    ngx_queue_remove(&t->queue);
    ngx_queue_init(&t->queue);

    t->waiting = 0;
    s->waiting -= (s->waiting != 0);

    if (line == NULL) {
        return;
    }

    line->n -= (line->n != 0);

    if (ngx_queue_empty(&line->tickets)) {
        line->key = 0;
        s->nlines--;
    }
}


/*
 * The least tag of those that wait, and of one that does no more: it may have
 * been granted a server that others can't use, and is not the time of these.
 */

static double
ngx_http_ollama_sched_least_tag(ngx_http_ollama_sched_t *s, double tag)
{
    ngx_uint_t                 i, seen;
    ngx_http_ollama_ticket_t  *t;

    seen = 0;

    for (i = 0; seen < s->nlines; i++) {

        if (s->line[i].key == 0) {
            continue;
        }

        seen++;

        if (ngx_queue_empty(&s->line[i].tickets)) {
            continue;
        }

        t = ngx_queue_data(ngx_queue_head(&s->line[i].tickets),
                           ngx_http_ollama_ticket_t, queue);
        tag = ngx_min(tag, t->tag);
    }

    return tag;
}


ngx_int_t
ngx_http_ollama_sched_grant(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o,
    ngx_http_ollama_cost_t *cost, ngx_msec_t now)
{
    float                           p;
    ngx_http_ollama_runner_t       *runner;
    ngx_http_ollama_capacity_t     *c;
    ngx_http_ollama_sched_model_t  *m;

    c = o->capacity;

    runner = ngx_http_ollama_sched_make_runner(c, o->weights);

    if (t->waiting) {
        ngx_http_ollama_sched_line_leave(s, t);
        s->virtual = ngx_max(s->virtual,
                             ngx_http_ollama_sched_least_tag(s, t->tag));
    }

    t->granted = now;
    t->runner = runner;

    if (runner == NULL) {
        t->capacity = NULL;
        return NGX_DECLINED;
    }

    t->cached = cost->cached;
    t->back = cost->back;
    t->share = ngx_http_ollama_sched_share(c, runner);
    t->probe = cost->probe;
    t->cold = cost->cold;
    t->first = 0;

    runner->model = t->model;
    runner->used_at = now;

    if (runner->size == 0) {
        runner->size = o->size;
    }

    m = ngx_http_ollama_sched_model(s, t->model);

    if (m && o->size > 0) {
        m->size = o->size;
    }

    runner->in_flight++;
    c->in_flight++;

    t->capacity = c;
    ngx_queue_insert_tail(&runner->tickets, &t->queue);

    t->at = runner->in_flight;

    if (t->probe) {
        c->probing++;
    }

    if (t->cold) {
        ngx_http_ollama_sched_load_begin(t, o->size, now);
    }

    if (c->reserve == t->line) {
        c->reserve = 0;
    }

    p = ngx_http_ollama_sched_prompt_speed(s, c, runner, o->size);

    t->expected = cost->wait + t->share * (t->tokens - t->cached) / p;

    return NGX_OK;
}


/* What is loaded is sure again after a probe that begins after the load. */

static void
ngx_http_ollama_sched_load_begin(ngx_http_ollama_ticket_t *t, float size,
    ngx_msec_t now)
{
    float                       mem;
    ngx_uint_t                  i, n;
    ngx_http_ollama_runner_t   *runner;
    ngx_http_ollama_capacity_t *c;

    c = t->capacity;

    n = 0;
    mem = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {
        runner = &c->runner[i];

        if (ngx_http_ollama_sched_is_loaded(runner)) {
            n++;
            mem += ngx_http_ollama_sched_size(runner->size);
        }
    }

    if (n > 1 && (n > c->n_max || mem > c->mem_max * 1.02f)) {
        c->unsure = 1;
    }

    runner = t->runner;

    runner->cold_at = now;
    runner->options = t->options;
    runner->context = t->context;
    runner->warm = 1;
    runner->listed = 0;

    c->loading = runner;
    c->unseen = t->whole;
    c->load_end = now + (ngx_msec_t) (1000
                                  * ngx_http_ollama_sched_load(c, size));
}


void
ngx_http_ollama_sched_first(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    if (t->capacity == NULL || t->first) {
        return;
    }

    t->first = 1;
    t->first_at = now;
    t->runner->streaming++;

    ngx_http_ollama_sched_learn_places(t, now);
    ngx_http_ollama_sched_loaded(t, now);
}


static void
ngx_http_ollama_sched_loaded(ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    ngx_http_ollama_runner_t   *runner;
    ngx_http_ollama_capacity_t *c;

    c = t->capacity;
    runner = t->runner;

    runner->warm = 1;
    runner->seen_at = now;

    if (c->loading == runner) {
        c->loading = NULL;
        runner->loaded_at = now;
    }
}


ngx_uint_t
ngx_http_ollama_sched_end(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_figures_t *f, ngx_msec_t now)
{
    ngx_uint_t                  probe;
    ngx_http_ollama_runner_t   *runner;
    ngx_http_ollama_capacity_t *c;

    if (t->waiting) {
        ngx_http_ollama_sched_line_leave(s, t);
        return 0;
    }

    c = t->capacity;
    runner = t->runner;

    if (c == NULL) {
        return 0;
    }

    probe = 0;

    if (f && f->ok) {
        probe = ngx_http_ollama_sched_learn(s, t, f, now);
        ngx_http_ollama_sched_loaded(t, now);
    }

    ngx_queue_remove(&t->queue);
    ngx_queue_init(&t->queue);

    runner->in_flight -= (runner->in_flight != 0);
    runner->used_at = now;
    c->in_flight -= (c->in_flight != 0);

    if (t->first) {
        runner->streaming -= (runner->streaming != 0);

    } else if (t->probe) {
        c->probing -= (c->probing != 0);
    }

    if (t->cold && !t->first && !(f && f->ok)) {
        ngx_http_ollama_sched_aborted(t);
        probe = 1;
    }

    t->capacity = NULL;

    return probe;
}


/* Whether a load goes on whose request has ended isn't known. */

static void
ngx_http_ollama_sched_aborted(ngx_http_ollama_ticket_t *t)
{
    if (t->capacity->loading == t->runner) {
        t->capacity->loading = NULL;
    }

    if (t->runner->in_flight == 0 && !t->runner->listed) {
        t->runner->warm = 0;
    }
}


void
ngx_http_ollama_sched_look(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_resident_t *r, ngx_uint_t n, ngx_msec_t started)
{
    float                      mem;
    ngx_uint_t                 i, gone;
    ngx_http_ollama_runner_t  *runner;

    gone = 0;
    mem = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {
        c->runner[i].listed = 0;
    }

    for (i = 0; i < n; i++) {
        (void) ngx_http_ollama_sched_listed(c, &r[i], started);
        mem += ngx_http_ollama_sched_size(r[i].size);
    }

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {

        runner = &c->runner[i];

        if (runner->warm && !runner->listed && runner->in_flight == 0
            && (ngx_msec_int_t) (started - runner->seen_at) > 0)
        {
            runner->warm = 0;
            gone = 1;
        }
    }

    if (c->loading == NULL || n > c->n_max) {

        if (gone && c->unsure) {
            /* these do not fit beside the one that was loaded */
            c->n_max = n;
            c->mem_max = mem;
        }

        c->n_max = ngx_max(c->n_max, n);
        c->mem_max = ngx_max(c->mem_max, mem);
    }

    if (c->loading == NULL) {
        c->unsure = 0;
    }
}


/* A model that was loaded by others has options that aren't known. */

static ngx_http_ollama_runner_t *
ngx_http_ollama_sched_listed(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_resident_t *r, ngx_msec_t started)
{
    ngx_http_ollama_runner_t  *runner;

    runner = ngx_http_ollama_sched_make_runner(c, r->weights);

    if (runner == NULL) {
        return NULL;
    }

    if (!runner->warm) {
        runner->cold_at = started;
        runner->loaded_at = started;
        runner->options = 0;
    }

    runner->warm = 1;
    runner->listed = 1;
    runner->context = r->context;

    if (r->size > 0) {
        runner->size = r->size;
    }

    return runner;
}


ngx_uint_t
ngx_http_ollama_sched_retry(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t)
{
    float                           seconds;
    ngx_uint_t                      n, places;
    ngx_http_ollama_sched_line_t   *line;
    ngx_http_ollama_sched_model_t  *m;

    line = ngx_http_ollama_sched_line(s, t->line);
    m = ngx_http_ollama_sched_model(s, t->model);

    n = line ? line->n : 1;
    places = m ? ngx_max(m->places, 1) : 1;

    seconds = n * ngx_http_ollama_sched_svc(m) / places + 0.5f;

    return (ngx_uint_t) ngx_max(1, ngx_min(seconds,
                                           NGX_HTTP_OLLAMA_SCHED_RETRY_MAX));
}


ngx_uint_t
ngx_http_ollama_sched_is_awaited(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t)
{
    return ngx_http_ollama_sched_line(s, t->line) != NULL;
}


ngx_uint_t
ngx_http_ollama_sched_position(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t)
{
    ngx_uint_t                     n;
    ngx_queue_t                   *q;
    ngx_http_ollama_sched_line_t  *line;

    if (!t->waiting) {
        return 0;
    }

    line = ngx_http_ollama_sched_line(s, t->line);
    n = 1;

    for (q = ngx_queue_head(&line->tickets);
         q != &t->queue && q != ngx_queue_sentinel(&line->tickets);
         q = ngx_queue_next(q))
    {
        n++;
    }

    return n;
}
