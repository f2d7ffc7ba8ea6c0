
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The expected seconds of a request at a server.  Costs of all servers are
 * compared, those of servers that are busy, too: a short wait for a server
 * that has the model loaded, or much of the prompt in its cache, is better than
 * a long load at an idle one.
 *
 * Pure functions; the memory is the caller's.
 */


#include <math.h>

#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_cost.h"
#include "balancer/ngx_http_ollama_sched_state.h"


/* speeds of which nothing is known: tokens/s x GB, GB/s */
#define NGX_HTTP_OLLAMA_SCHED_PROMPT     15000.0f
#define NGX_HTTP_OLLAMA_SCHED_GENERATE   400.0f
#define NGX_HTTP_OLLAMA_SCHED_BANDWIDTH  1.0f

/* s of each load beside its bandwidth; at most as much once that is known */
#define NGX_HTTP_OLLAMA_SCHED_LOAD       2.0f
#define NGX_HTTP_OLLAMA_SCHED_LOAD_MAX   3600.0f

/*
 * A busy server is often so much later than expected: what waits is granted the
 * first place that is free, the one that was expected or not.
 */
#define NGX_HTTP_OLLAMA_SCHED_BUSY       1.2f

/* the share of the generation that counts: it is as long at most servers */
#define NGX_HTTP_OLLAMA_SCHED_OUT        0.3f

/* s for which an unloaded model's requests are counted, and how many at most */
#define NGX_HTTP_OLLAMA_SCHED_MISSED     90.0f
#define NGX_HTTP_OLLAMA_SCHED_MISSED_MAX 32.0f

/*
 * s without a request after which a model may be unloaded for another: a part
 * of what a request of it takes, else one of short replies is never idle
 */
#define NGX_HTTP_OLLAMA_SCHED_IDLE       1.0f
#define NGX_HTTP_OLLAMA_SCHED_IDLE_PART  0.1f

/* the factor and the s beyond what was expected that make a request stuck */
#define NGX_HTTP_OLLAMA_SCHED_STUCK      4.0f
#define NGX_HTTP_OLLAMA_SCHED_STUCK_MIN  10.0f

/* s until a request ends of which nothing is known */
#define NGX_HTTP_OLLAMA_SCHED_UNKNOWN_END     1.0f

/* s that a server with a stuck request costs */
#define NGX_HTTP_OLLAMA_SCHED_LAST       1000.0f


/* the models that are loaded at a server */

typedef struct {
    ngx_uint_t  n;
    float       mem;      /* GB */
    ngx_uint_t  idle;     /* of these, those that may be unloaded; */
    float       idle_mem;
    float       loss;     /* s that this costs others, all together */
} ngx_http_ollama_sched_resident_t;


static void ngx_http_ollama_sched_cost_warm(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner,
    ngx_http_ollama_cost_t *cost);
static void ngx_http_ollama_sched_cost_reload(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner,
    ngx_http_ollama_cost_t *cost);
static float ngx_http_ollama_sched_cost_cold(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_http_ollama_cost_t *cost);
static float ngx_http_ollama_sched_cost_queue(ngx_http_ollama_sched_case_t *cs);
static ngx_uint_t ngx_http_ollama_sched_is_loading(
    ngx_http_ollama_sched_case_t *cs, ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_runner_t *runner);
static ngx_uint_t ngx_http_ollama_sched_fits(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, float *loss);
static void ngx_http_ollama_sched_residents(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_sched_resident_t *res);
static ngx_uint_t ngx_http_ollama_sched_is_idle(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_runner_t *runner, ngx_msec_t now);
static float ngx_http_ollama_sched_loss(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *victim,
    ngx_msec_t now);
static ngx_uint_t ngx_http_ollama_sched_is_closed(
    ngx_http_ollama_sched_case_t *cs, ngx_http_ollama_option_t *o);
static float ngx_http_ollama_sched_speed(float known, float server, float mean,
    float size);
static float ngx_http_ollama_sched_first_end(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_msec_t now);
static float ngx_http_ollama_sched_first_place(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner,
    ngx_msec_t now);
static float ngx_http_ollama_sched_rest(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now);
static float ngx_http_ollama_sched_reply(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t);


void
ngx_http_ollama_sched_cost(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, float cached, ngx_http_ollama_cost_t *cost)
{
    float                       p, g, loss, tokens;
    ngx_http_ollama_runner_t   *runner;
    ngx_http_ollama_ticket_t   *t;
    ngx_http_ollama_capacity_t *c;

    ngx_memzero(cost, sizeof(ngx_http_ollama_cost_t));

    c = o->capacity;
    t = cs->ticket;
    loss = 0;

    runner = o->runner;

    if (o->warm || ngx_http_ollama_sched_is_loaded(runner)) {

        if (runner && !ngx_http_ollama_sched_is_same(runner, t)) {
            ngx_http_ollama_sched_cost_reload(cs, o, runner, cost);
            loss = ngx_http_ollama_sched_loss(cs->sched, c, runner, cs->now);

        } else {
            ngx_http_ollama_sched_cost_warm(cs, o, runner, cost);
        }

    } else {
        loss = ngx_http_ollama_sched_cost_cold(cs, o, cost);
    }

    if (!cost->usable) {
        return;
    }

    if (cost->free && ngx_http_ollama_sched_is_closed(cs, o)) {
        cost->free = 0;
        cost->probe = 0;
        cost->wait += NGX_HTTP_OLLAMA_SCHED_BUSY
                      * (ngx_http_ollama_sched_first_end(cs->sched, c, cs->now)
                         + ngx_http_ollama_sched_cost_queue(cs));
    }

    p = ngx_http_ollama_sched_prompt_speed(cs->sched, c, runner, o->size);
    g = ngx_http_ollama_sched_generate_speed(cs->sched, c, runner, o->size);

    cost->cached = cost->cold ? 0 : ngx_min(cached, t->tokens);

    tokens = t->tokens - cost->cached;

    /* other models that run there slow it down, and are slowed down by it */

    cost->seconds = cost->wait + loss
                    + (2 * ngx_http_ollama_sched_share(c, runner) - 1)
                      * (cs->busy * tokens / p + cs->out / g);

    if (c->stuck) {
        cost->seconds += NGX_HTTP_OLLAMA_SCHED_LAST;
    }
}


/* Whether its limit, or another model that is to be loaded, keeps it out. */

static ngx_uint_t
ngx_http_ollama_sched_is_closed(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o)
{
    return (o->capacity->reserve && o->capacity->reserve != cs->ticket->line)
           || (o->limit && o->in_flight >= o->limit);
}


/* The model is loaded, or is being loaded, in the way that is needed. */

static void
ngx_http_ollama_sched_cost_warm(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner,
    ngx_http_ollama_cost_t *cost)
{
    float                       wait;
    ngx_uint_t                  places, in_flight;
    ngx_http_ollama_capacity_t *c;

    c = o->capacity;
    in_flight = runner ? runner->in_flight : 0;
    places = ngx_http_ollama_sched_places(c, runner);

    cost->usable = 1;

    if (ngx_http_ollama_sched_is_loading(cs, c, runner)
        || (c->unsure && in_flight == 0))
    {
        wait = ngx_http_ollama_sched_seconds(cs->now, c->load_end);
        cost->wait = ngx_max(wait, 1) + ngx_http_ollama_sched_cost_queue(cs);
        return;
    }

    if (in_flight < places) {
        cost->free = 1;
        return;
    }

    if (in_flight == places
        && runner->streaming
        && cs->sched->waiting
        && !c->probing
        && (ngx_msec_int_t) (cs->now - c->probe_at) >= 0)
    {
        cost->free = 1;
        cost->probe = 1;
        return;
    }

    wait = ngx_http_ollama_sched_first_place(cs->sched, c, runner, cs->now);

    if (in_flight > places) {
        /* requests that did not wait here do so there */
        wait += (in_flight - places) * ngx_http_ollama_sched_svc(cs->model)
                / places;
    }

    cost->wait = NGX_HTTP_OLLAMA_SCHED_BUSY
                 * (wait + ngx_http_ollama_sched_cost_queue(cs));
}


/* It is loaded with other options: its requests have to end before. */

static void
ngx_http_ollama_sched_cost_reload(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner,
    ngx_http_ollama_cost_t *cost)
{
    ngx_http_ollama_capacity_t *c;

    c = o->capacity;

    cost->usable = 1;
    cost->cold = 1;
    cost->wait = ngx_http_ollama_sched_load(c, o->size);

    if (c->loading == NULL && runner->in_flight == 0) {
        cost->free = 1;
        return;
    }

    cost->wait += NGX_HTTP_OLLAMA_SCHED_BUSY
                  * (ngx_http_ollama_sched_residual(cs->sched, c, cs->now)
                     + ngx_http_ollama_sched_cost_queue(cs));
}


/* Returns the s that it costs others. */

static float
ngx_http_ollama_sched_cost_cold(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_http_ollama_cost_t *cost)
{
    float                       loss;
    ngx_http_ollama_capacity_t *c;

    c = o->capacity;
    loss = 0;

    cost->cold = 1;
    cost->wait = ngx_http_ollama_sched_load(c, o->size);

    if (c->loading == NULL && ngx_http_ollama_sched_fits(cs, o, &loss)) {
        cost->usable = 1;
        cost->free = 1;
        return loss;
    }

    if (cs->bind) {
        cost->usable = 1;
        cost->wait += ngx_http_ollama_sched_residual(cs->sched, c, cs->now);
    }

    return loss;
}


/* Seconds until those before it in its line have got places. */

static float
ngx_http_ollama_sched_cost_queue(ngx_http_ollama_sched_case_t *cs)
{
    return cs->ahead * ngx_http_ollama_sched_svc(cs->model) / cs->places;
}


static ngx_uint_t
ngx_http_ollama_sched_is_loading(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner)
{
    if (runner == NULL || c->loading != runner) {
        return 0;
    }

    return !c->unseen || (ngx_msec_int_t) (c->load_end - cs->now) > 0;
}


void
ngx_http_ollama_sched_cost_init(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, ngx_uint_t n)
{
    float                      u;
    ngx_uint_t                 i;
    ngx_http_ollama_runner_t  *runner;

    u = cs->sched->busy;

    cs->busy = 1 + u / (1 - ngx_min(u, 0.85f));
    cs->out = NGX_HTTP_OLLAMA_SCHED_OUT * ngx_http_ollama_sched_out(cs->model);
    cs->places = 0;

    for (i = 0; i < n; i++) {
        runner = ngx_http_ollama_sched_runner(o[i].capacity, o[i].weights);
        o[i].runner = runner;

        if (ngx_http_ollama_sched_is_loaded(runner)) {
            cs->places += ngx_http_ollama_sched_places(o[i].capacity, runner);
        }
    }

    cs->places = ngx_max(cs->places, 1);
}


/*
 * Whether the model can be loaded at the server without unloading one that is
 * in use, as far as is known; "loss" is what unloading others costs.  Ollama
 * chooses which, hence the mean of those that are idle.
 */

static ngx_uint_t
ngx_http_ollama_sched_fits(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_option_t *o, float *loss)
{
    float                              size, mem, n;
    ngx_http_ollama_capacity_t        *c;
    ngx_http_ollama_sched_resident_t   res;

    c = o->capacity;

    ngx_http_ollama_sched_residents(cs, c, &res);

    if (res.n == 0) {
        return 1;
    }

    size = ngx_http_ollama_sched_size(o->size);

    /* what has to go, by number and by memory */

    n = (float) res.n + 1 - c->n_max;
    mem = res.mem + size - c->mem_max * 1.02f;

    if (n <= 0 && mem <= 0) {
        return 1;
    }

    /* where all are idle their memory will do, whatever is known of it */

    if (res.idle < res.n
        && (n > res.idle || mem > res.idle_mem + size * 0.02f))
    {
        return 0;
    }

    if (res.idle == 0) {
        return 1;
    }

    if (mem > 0) {
        n = ngx_max(n, ceilf(mem / (res.idle_mem / res.idle)));
    }

    *loss = res.loss / res.idle * ngx_max(1, ngx_min(n, res.idle));

    return 1;
}


static void
ngx_http_ollama_sched_residents(ngx_http_ollama_sched_case_t *cs,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_sched_resident_t *res)
{
    float                      size;
    ngx_uint_t                 i;
    ngx_http_ollama_runner_t  *runner;

    ngx_memzero(res, sizeof(ngx_http_ollama_sched_resident_t));

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {

        runner = &c->runner[i];

        if (!ngx_http_ollama_sched_is_loaded(runner)) {
            continue;
        }

        size = ngx_http_ollama_sched_size(runner->size);

        res->n++;
        res->mem += size;

        if (ngx_http_ollama_sched_is_idle(cs->sched, runner, cs->now)) {
            res->idle++;
            res->idle_mem += size;
            res->loss += ngx_http_ollama_sched_loss(cs->sched, c, runner,
                                                    cs->now);
        }
    }
}


static ngx_uint_t
ngx_http_ollama_sched_is_idle(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_runner_t *runner, ngx_msec_t now)
{
    float                           least;
    ngx_http_ollama_sched_model_t  *m;

    if (runner->in_flight) {
        return 0;
    }

    m = runner->model ? ngx_http_ollama_sched_model(s, runner->model) : NULL;

    least = ngx_min(NGX_HTTP_OLLAMA_SCHED_IDLE,
                    NGX_HTTP_OLLAMA_SCHED_IDLE_PART
                    * ngx_http_ollama_sched_svc(m));

    return ngx_http_ollama_sched_seconds(runner->used_at, now) >= least;
}


/*
 * What it costs others that a model is unloaded: those that come in the next
 * time load it again, unless it is loaded elsewhere, where places are enough.
 */

static float
ngx_http_ollama_sched_loss(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *victim,
    ngx_msec_t now)
{
    float                           rate, f, n;
    ngx_uint_t                      places, own;
    ngx_http_ollama_sched_model_t  *m;

    m = victim->model ? ngx_http_ollama_sched_model(s, victim->model) : NULL;

    if (m == NULL) {
        return 0;
    }

    rate = ngx_http_ollama_sched_rate(m, now);
    own = ngx_http_ollama_sched_places(c, victim);
    places = (m->places > own) ? m->places - own : 0;

    f = 1;

    if (places) {
        f = (rate * ngx_http_ollama_sched_svc(m) / places - 0.4f) / 0.5f;
        f = ngx_max(0.1f, ngx_min(f, 1));
    }

    n = ngx_min(rate * NGX_HTTP_OLLAMA_SCHED_MISSED,
                NGX_HTTP_OLLAMA_SCHED_MISSED_MAX);

    return n * ngx_http_ollama_sched_load(c, victim->size) * f;
}


float
ngx_http_ollama_sched_prompt_speed(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner,
    float size)
{
    return ngx_http_ollama_sched_speed(runner ? runner->prompt : 0, c->prompt,
                                       ngx_http_ollama_sched_mean_prompt(s),
                                       size);
}


float
ngx_http_ollama_sched_generate_speed(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner,
    float size)
{
    return ngx_http_ollama_sched_speed(runner ? runner->generate : 0,
                                       c->generate,
                                       ngx_http_ollama_sched_mean_generate(s),
                                       size);
}


/* Of the model there, else as of others there, else as of other servers. */

static float
ngx_http_ollama_sched_speed(float known, float server, float mean, float size)
{
    if (known > 0) {
        return known;
    }

    return ((server > 0) ? server : mean) / ngx_http_ollama_sched_size(size);
}


float
ngx_http_ollama_sched_mean_prompt(ngx_http_ollama_sched_t *s)
{
    return (s->prompt > 0) ? s->prompt : NGX_HTTP_OLLAMA_SCHED_PROMPT;
}


float
ngx_http_ollama_sched_mean_generate(ngx_http_ollama_sched_t *s)
{
    return (s->generate > 0) ? s->generate : NGX_HTTP_OLLAMA_SCHED_GENERATE;
}


float
ngx_http_ollama_sched_load(ngx_http_ollama_capacity_t *c, float size)
{
    float  load;

    size = ngx_http_ollama_sched_size(size);

    if (c->bandwidth > 0) {
        load = size / c->bandwidth;
        load += ngx_min(load, NGX_HTTP_OLLAMA_SCHED_LOAD);

    } else {
        load = size / NGX_HTTP_OLLAMA_SCHED_BANDWIDTH
               + NGX_HTTP_OLLAMA_SCHED_LOAD;
    }

    return ngx_min(load, NGX_HTTP_OLLAMA_SCHED_LOAD_MAX);
}


float
ngx_http_ollama_sched_share(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_runner_t *runner)
{
    float       share;
    ngx_uint_t  i;

    share = 1;

    if (c->in_flight == 0) {
        return share;
    }

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {
        if (c->runner[i].in_flight && &c->runner[i] != runner) {
            share++;
        }
    }

    return share;
}


ngx_uint_t
ngx_http_ollama_sched_places(ngx_http_ollama_capacity_t *c,
    ngx_http_ollama_runner_t *runner)
{
    if (runner && runner->places) {
        return runner->places;
    }

    return c->places ? c->places : 1;
}


float
ngx_http_ollama_sched_residual(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_msec_t now)
{
    float         rest, one;
    ngx_uint_t    i;
    ngx_queue_t  *q;

    rest = 0;

    for (i = 0; c->in_flight && i < NGX_HTTP_OLLAMA_RUNNERS; i++) {

        if (c->runner[i].in_flight == 0) {
            continue;
        }

        for (q = ngx_queue_head(&c->runner[i].tickets);
             q != ngx_queue_sentinel(&c->runner[i].tickets);
             q = ngx_queue_next(q))
        {
            one = ngx_http_ollama_sched_rest(s,
                          ngx_queue_data(q, ngx_http_ollama_ticket_t, queue),
                          now);
            rest = ngx_max(rest, one);
        }
    }

    return rest;
}


/* Seconds until the first of a server's requests ends. */

static float
ngx_http_ollama_sched_first_end(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_msec_t now)
{
    float       rest, one;
    ngx_uint_t  i;

    rest = INFINITY;

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {
        if (c->runner[i].in_flight) {
            one = ngx_http_ollama_sched_first_place(s, c, &c->runner[i], now);
            rest = ngx_min(rest, one);
        }
    }

    /* those that have its slots are of other kinds */

    return (rest == INFINITY) ? NGX_HTTP_OLLAMA_SCHED_UNKNOWN_END : rest;
}


/* Seconds until the first of a runner's requests ends. */

static float
ngx_http_ollama_sched_first_place(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, ngx_http_ollama_runner_t *runner,
    ngx_msec_t now)
{
    float         rest, one;
    ngx_queue_t  *q;

    rest = 0;

    for (q = ngx_queue_head(&runner->tickets);
         q != ngx_queue_sentinel(&runner->tickets);
         q = ngx_queue_next(q))
    {
        one = ngx_http_ollama_sched_rest(s,
                          ngx_queue_data(q, ngx_http_ollama_ticket_t, queue),
                          now);

        if (q == ngx_queue_head(&runner->tickets) || one < rest) {
            rest = one;
        }
    }

    return rest;
}


/*
 * Seconds until a request at a server ends.  The longer it is later than was
 * expected, the longer it is expected to be.
 */

static float
ngx_http_ollama_sched_rest(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    float  left, reply;

    reply = ngx_http_ollama_sched_reply(s, t);

    if (t->first) {
        left = reply - ngx_http_ollama_sched_seconds(t->first_at, now);
        return ngx_max(left, ngx_max(reply, -left) / 2);
    }

    left = t->expected - ngx_http_ollama_sched_seconds(t->granted, now);

    if (t->whole) {
        left += reply;
        return (left > 0) ? left : -left;
    }

    return reply + ((left > 0) ? left : -left);
}


/* Seconds of the generation of a ticket's reply. */

static float
ngx_http_ollama_sched_reply(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t)
{
    return t->share
           * ngx_http_ollama_sched_out(ngx_http_ollama_sched_model(s, t->model))
           / ngx_http_ollama_sched_generate_speed(s, t->capacity, t->runner,
                                                  t->runner->size);
}


ngx_uint_t
ngx_http_ollama_sched_is_stuck(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    float  expected;

    if (t->first) {
        return 0;
    }

    expected = t->expected;

    if (t->whole) {
        expected += ngx_http_ollama_sched_reply(s, t);
    }

    return ngx_http_ollama_sched_seconds(t->granted, now)
           > NGX_HTTP_OLLAMA_SCHED_STUCK * expected
             + NGX_HTTP_OLLAMA_SCHED_STUCK_MIN;
}
