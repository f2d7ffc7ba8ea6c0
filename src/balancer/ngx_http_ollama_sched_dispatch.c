
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which waiting ticket gets which server.  Lines take turns by the tag of their
 * first ticket.  A ticket takes a free server only if no busy one would serve
 * it much sooner; the next ones of its line are then looked at, too, as there
 * may be more of them than that server can take.
 *
 * Pure functions; the memory is the caller's, who also holds its lock.
 */


#include <math.h>

#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_dispatch.h"
#include "balancer/ngx_http_ollama_sched.h"
#include "balancer/ngx_http_ollama_sched_cost.h"
#include "balancer/ngx_http_ollama_sched_state.h"
#include "balancer/ngx_http_ollama_sched_survey.h"


#define NGX_HTTP_OLLAMA_DISPATCH_OPTIONS  NGX_HTTP_OLLAMA_SCHED_SERVERS

/* tickets of a line that are looked at */
#define NGX_HTTP_OLLAMA_DISPATCH_AHEAD    16

/*
 * Costs that are computed before the event loop goes on: less than a
 * millisecond, in which no other process can have the lock
 */
#define NGX_HTTP_OLLAMA_DISPATCH_COSTS    8192

/*
 * A free server may cost so much more than the best one: little if the model
 * has to be loaded there, which also costs those who come later.
 */
#define NGX_HTTP_OLLAMA_DISPATCH_FACTOR       1.1f
#define NGX_HTTP_OLLAMA_DISPATCH_FACTOR_WARM  1.6f
#define NGX_HTTP_OLLAMA_DISPATCH_SECONDS      0.2f

/* so much more than the best of the free ones is equal */
#define NGX_HTTP_OLLAMA_DISPATCH_EQUAL_FACTOR   1.02f
#define NGX_HTTP_OLLAMA_DISPATCH_EQUAL_SECONDS  0.05f

/* a model that has waited for so many loads gets a server drained for it */
#define NGX_HTTP_OLLAMA_DISPATCH_STARVED  16


typedef struct {
    ngx_http_ollama_sched_t            *sched;
    const ngx_http_ollama_sched_ops_t  *ops;
    void                               *data;
    ngx_msec_t                          now;
    ngx_http_ollama_capacity_t         *server;  /* NULL: any */
    ngx_uint_t                          costs;   /* computed so far */
    ngx_uint_t                          bind;    /* none waits */
    ngx_http_ollama_option_t           *option;
    ngx_uint_t                          n;
    ngx_http_ollama_cost_t              cost[NGX_HTTP_OLLAMA_DISPATCH_OPTIONS];
} ngx_http_ollama_dispatch_t;


static void ngx_http_ollama_dispatch_init(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_t *s, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now);
static void ngx_http_ollama_dispatch_case(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_sched_case_t *cs);
static void ngx_http_ollama_dispatch_all(ngx_http_ollama_dispatch_t *d);
static ngx_uint_t ngx_http_ollama_dispatch_is_served(
    ngx_http_ollama_sched_line_t *line, ngx_http_ollama_capacity_t *c);
static void ngx_http_ollama_dispatch_set_served(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line);
static ngx_uint_t ngx_http_ollama_dispatch_order(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_sched_line_t **lines);
static double ngx_http_ollama_dispatch_tag(ngx_http_ollama_sched_line_t *line);
static ngx_uint_t ngx_http_ollama_dispatch_line(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line);
static void ngx_http_ollama_dispatch_refuse(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line);
static ngx_int_t ngx_http_ollama_dispatch_best(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_case_t *cs);
static ngx_int_t ngx_http_ollama_dispatch_next(ngx_http_ollama_dispatch_t *d,
    float least);
static ngx_uint_t ngx_http_ollama_dispatch_is_known(
    ngx_http_ollama_dispatch_t *d, float limit);
static void ngx_http_ollama_dispatch_drain(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line);
static ngx_uint_t ngx_http_ollama_dispatch_is_settled(
    ngx_http_ollama_capacity_t *c, float load, ngx_msec_t now);


void
ngx_http_ollama_sched_dispatch(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now)
{
    ngx_http_ollama_option_t       option[NGX_HTTP_OLLAMA_DISPATCH_OPTIONS];
    ngx_http_ollama_dispatch_t     d;
    ngx_http_ollama_sched_line_t  *line;

    if (s->waiting == 0) {
        return;
    }

    ngx_http_ollama_dispatch_init(&d, s, ops, data, now);

    d.option = option;

    if (t == NULL) {
        ngx_http_ollama_dispatch_all(&d);
        return;
    }

    while (t->waiting) {

        line = ngx_http_ollama_sched_line(s, t->line);

        if (!ngx_http_ollama_dispatch_line(&d, line)) {
            break;
        }
    }
}


void
ngx_http_ollama_sched_dispatch_server(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now)
{
    ngx_http_ollama_option_t    option[NGX_HTTP_OLLAMA_DISPATCH_OPTIONS];
    ngx_http_ollama_dispatch_t  d;

    if (s->waiting == 0) {
        return;
    }

    ngx_http_ollama_dispatch_init(&d, s, ops, data, now);

    d.option = option;
    d.server = c;

    ngx_http_ollama_dispatch_all(&d);
}


/* The caller sets the options. */

static void
ngx_http_ollama_dispatch_init(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_t *s, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now)
{
    ngx_http_ollama_sched_survey(s, ops, data, now);

    d->sched = s;
    d->ops = ops;
    d->data = data;
    d->now = now;
    d->server = NULL;
    d->costs = 0;
    d->bind = s->bind;
    d->n = 0;
}


/* What is the same for all options; of the first ticket of a line. */

static void
ngx_http_ollama_dispatch_case(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_sched_case_t *cs)
{
    cs->sched = d->sched;
    cs->model = ngx_http_ollama_sched_model(d->sched, t->model);
    cs->ticket = t;
    cs->ahead = 0;
    cs->now = d->now;
    cs->bind = d->bind;

    ngx_http_ollama_sched_cost_init(cs, d->option, d->n);
}


/*
 * In the order of their tags, from the first one again when one was granted.
 * What is too much for one step is left for the next dispatch of all, which
 * begins there.
 */

static void
ngx_http_ollama_dispatch_all(ngx_http_ollama_dispatch_t *d)
{
    ngx_uint_t                      i, n, from, again;
    ngx_http_ollama_sched_t        *s;
    ngx_http_ollama_sched_line_t   *line[NGX_HTTP_OLLAMA_SCHED_LINES];

    s = d->sched;
    from = 0;

    n = ngx_http_ollama_dispatch_order(s, line);

    if (d->server == NULL) {

        while (from < n && ngx_http_ollama_dispatch_tag(line[from]) < s->resume)
        {
            from++;
        }

        s->resume = 0;
    }

    for (i = from; i < n; i++) {

        if (d->server
            && !ngx_http_ollama_dispatch_is_served(line[i], d->server))
        {
            continue;
        }

        if (d->costs > NGX_HTTP_OLLAMA_DISPATCH_COSTS) {
            s->resume = ngx_http_ollama_dispatch_tag(line[i]);
            return;
        }

        again = ngx_http_ollama_dispatch_line(d, line[i]);

        if (again) {
            n = ngx_http_ollama_dispatch_order(s, line);
            i = (ngx_uint_t) -1;
            continue;
        }

        if (line[i]->key && d->server == NULL) {
            ngx_http_ollama_dispatch_drain(d, line[i]);
        }
    }
}


/* Whether the server could take the line's tickets when it was looked at. */

static ngx_uint_t
ngx_http_ollama_dispatch_is_served(ngx_http_ollama_sched_line_t *line,
    ngx_http_ollama_capacity_t *c)
{
    return (line->servers[c->number / 64] >> c->number % 64) & 1;
}


static void
ngx_http_ollama_dispatch_set_served(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line)
{
    ngx_uint_t  i, number;

    ngx_memzero(line->servers, sizeof(line->servers));

    for (i = 0; i < d->n; i++) {
        number = d->option[i].capacity->number;
        line->servers[number / 64] |= (uint64_t) 1 << number % 64;
    }
}


/* Writes the lines with tickets by the tag of their first one. */

static ngx_uint_t
ngx_http_ollama_dispatch_order(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_sched_line_t **lines)
{
    double                         tag;
    ngx_uint_t                     i, j, n;
    ngx_http_ollama_sched_line_t  *line;

    n = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_SCHED_LINES; i++) {

        line = &s->line[i];

        if (line->key == 0 || ngx_queue_empty(&line->tickets)) {
            continue;
        }

        tag = ngx_http_ollama_dispatch_tag(line);

        for (j = n++; j > 0; j--) {

            if (ngx_http_ollama_dispatch_tag(lines[j - 1]) <= tag) {
                break;
            }

            lines[j] = lines[j - 1];
        }

        lines[j] = line;
    }

    return n;
}


static double
ngx_http_ollama_dispatch_tag(ngx_http_ollama_sched_line_t *line)
{
    ngx_http_ollama_ticket_t  *t;

    t = ngx_queue_data(ngx_queue_head(&line->tickets),
                       ngx_http_ollama_ticket_t, queue);

    return t->tag;
}


/* Returns 1 if a ticket of the line was granted a server. */

static ngx_uint_t
ngx_http_ollama_dispatch_line(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line)
{
    ngx_int_t                      i;
    ngx_queue_t                   *q;
    ngx_http_ollama_ticket_t      *t;
    ngx_http_ollama_sched_case_t   cs;

    q = ngx_queue_head(&line->tickets);
    t = ngx_queue_data(q, ngx_http_ollama_ticket_t, queue);

    d->n = d->ops->options(d->sched, t, d->option,
                           NGX_HTTP_OLLAMA_DISPATCH_OPTIONS, d->data);
    if (d->n == NGX_HTTP_OLLAMA_SCHED_OTHERS) {
        d->n = 0;
        return 0;
    }

    if (d->n == 0) {
        ngx_http_ollama_dispatch_refuse(d, line);
        return 0;
    }

    ngx_http_ollama_dispatch_set_served(d, line);

    ngx_http_ollama_dispatch_case(d, t, &cs);

    for ( /* void */ ;
         cs.ahead < NGX_HTTP_OLLAMA_DISPATCH_AHEAD
         && q != ngx_queue_sentinel(&line->tickets);
         cs.ahead++, q = ngx_queue_next(q))
    {
        t = ngx_queue_data(q, ngx_http_ollama_ticket_t, queue);

        cs.ticket = t;

        i = ngx_http_ollama_dispatch_best(d, &cs);

        if (i == NGX_DECLINED
            || ngx_http_ollama_sched_make_runner(d->option[i].capacity,
                                                 d->option[i].weights)
               == NULL)
        {
            /* or more models are in use there than are counted */
            continue;
        }

        if (d->ops->grant(d->sched, t, i, d->data) != NGX_OK) {
            continue;
        }

        (void) ngx_http_ollama_sched_grant(d->sched, t, &d->option[i],
                                           &d->cost[i], d->now);
        return 1;
    }

    return 0;
}


/* No server can take them any more. */

static void
ngx_http_ollama_dispatch_refuse(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line)
{
    ngx_http_ollama_ticket_t  *t;

    while (line->key) {
        t = ngx_queue_data(ngx_queue_head(&line->tickets),
                           ngx_http_ollama_ticket_t, queue);

        (void) ngx_http_ollama_sched_end(d->sched, t, NULL, d->now);

        d->ops->refuse(d->sched, t, d->data);
    }
}


/*
 * Returns the option that the ticket takes now.  NGX_DECLINED: it waits, for
 * cs->ticket->wait s as far as is known.
 */

static ngx_int_t
ngx_http_ollama_dispatch_best(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_case_t *cs)
{
    float                      best, least, cached, back, factor;
    ngx_uint_t                 i;
    ngx_http_ollama_cost_t    *cost;
    ngx_http_ollama_runner_t  *runner;

    d->costs += d->n;

    best = INFINITY;     /* of all */
    least = INFINITY;    /* of those that are free */
    factor = 0;

    for (i = 0; i < d->n; i++) {

        cost = &d->cost[i];

        runner = d->option[i].runner;
        cached = 0;
        back = 0;

        if (runner) {
            cached = d->ops->cached(d->sched, cs->ticket, &d->option[i],
                                    runner, &back, d->data);
        }

        ngx_http_ollama_sched_cost(cs, &d->option[i], cached, cost);
        cost->back = back;

        if (!cost->usable) {
            continue;
        }

        if (cost->seconds < best) {
            best = cost->seconds;
            cs->ticket->wait = cost->wait;
        }

        if (cost->free && cost->seconds < least) {
            least = cost->seconds;
            factor = cost->cold ? NGX_HTTP_OLLAMA_DISPATCH_FACTOR
                                : NGX_HTTP_OLLAMA_DISPATCH_FACTOR_WARM;
        }
    }

    if (best == INFINITY) {
        return NGX_DECLINED;
    }

    if (d->bind) {
        return ngx_http_ollama_dispatch_next(d, best);
    }

    if (!cs->ticket->due
        && least > best * factor + NGX_HTTP_OLLAMA_DISPATCH_SECONDS)
    {
        return NGX_DECLINED;
    }

    return ngx_http_ollama_dispatch_next(d, least);
}


/*
 * Among those that cost little more than the least, the weighted round robin of
 * ngx_http_upstream_get_peer(); of those that are free, if the ticket may wait.
 * A place beyond those that are known is only used if there is none of these.
 */

static ngx_int_t
ngx_http_ollama_dispatch_next(ngx_http_ollama_dispatch_t *d, float least)
{
    ngx_int_t                   best, total;
    ngx_uint_t                  i, known;
    ngx_http_ollama_option_t   *o;
    ngx_http_ollama_capacity_t *c;

    best = NGX_DECLINED;
    total = 0;

    least = least * NGX_HTTP_OLLAMA_DISPATCH_EQUAL_FACTOR
            + NGX_HTTP_OLLAMA_DISPATCH_EQUAL_SECONDS;

    known = ngx_http_ollama_dispatch_is_known(d, least);

    for (i = 0; i < d->n; i++) {

        if (!d->cost[i].usable || !(d->bind || d->cost[i].free)
            || d->cost[i].seconds > least
            || (known && d->cost[i].probe))
        {
            continue;
        }

        o = &d->option[i];
        c = o->capacity;

        c->current += o->weight;
        total += o->weight;

        if (best == NGX_DECLINED
            || c->current > d->option[best].capacity->current)
        {
            best = i;
        }
    }

    if (best != NGX_DECLINED) {
        d->option[best].capacity->current -= total;
    }

    return best;
}


/* Whether one has a free place that need not be found out first. */

static ngx_uint_t
ngx_http_ollama_dispatch_is_known(ngx_http_ollama_dispatch_t *d, float limit)
{
    ngx_uint_t  i;

    for (i = 0; i < d->n; i++) {

        if (d->cost[i].free
            && !d->cost[i].probe
            && d->cost[i].seconds <= limit)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * A model that is loaded nowhere, as all servers are in use by others: after
 * some time one of these takes no other models until it is loaded there.
 */

static void
ngx_http_ollama_dispatch_drain(ngx_http_ollama_dispatch_t *d,
    ngx_http_ollama_sched_line_t *line)
{
    float                       load, rest, least;
    ngx_uint_t                  i;
    ngx_http_ollama_ticket_t   *t;
    ngx_http_ollama_runner_t   *runner;
    ngx_http_ollama_capacity_t *c, *best;

    best = NULL;
    least = INFINITY;

    t = ngx_queue_data(ngx_queue_head(&line->tickets),
                       ngx_http_ollama_ticket_t, queue);

    for (i = 0; i < d->n; i++) {

        c = d->option[i].capacity;

        if (c->reserve == line->key) {
            return;
        }

        runner = d->option[i].runner;

        if (ngx_http_ollama_sched_is_loaded(runner)
            && ngx_http_ollama_sched_is_same(runner, t))
        {
            return;
        }

        load = ngx_http_ollama_sched_load(c, d->option[i].size);

        if (c->reserve
            || ngx_http_ollama_sched_seconds(t->arrived, d->now)
               < load * NGX_HTTP_OLLAMA_DISPATCH_STARVED
            || !ngx_http_ollama_dispatch_is_settled(c, load, d->now))
        {
            continue;
        }

        rest = ngx_http_ollama_sched_residual(d->sched, c, d->now) + load;

        if (rest < least) {
            least = rest;
            best = c;
        }
    }

    if (best) {
        best->reserve = line->key;
    }
}


/* Whether every model in use has been there for some time. */

static ngx_uint_t
ngx_http_ollama_dispatch_is_settled(ngx_http_ollama_capacity_t *c, float load,
    ngx_msec_t now)
{
    ngx_uint_t                 i;
    ngx_http_ollama_runner_t  *runner;

    for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {

        runner = &c->runner[i];

        if (runner->in_flight == 0) {
            continue;
        }

        if (c->loading == runner
            || ngx_http_ollama_sched_seconds(runner->loaded_at, now)
               < load * NGX_HTTP_OLLAMA_DISPATCH_STARVED)
        {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_ollama_sched_choose(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o, ngx_uint_t n,
    ngx_http_ollama_cost_t *cost, const ngx_http_ollama_sched_ops_t *ops,
    void *data, ngx_msec_t now)
{
    ngx_int_t                     i;
    ngx_http_ollama_dispatch_t    d;
    ngx_http_ollama_sched_case_t  cs;

    ngx_http_ollama_dispatch_init(&d, s, ops, data, now);

    d.option = o;
    d.n = ngx_min(n, NGX_HTTP_OLLAMA_DISPATCH_OPTIONS);
    d.bind = 1;

    ngx_http_ollama_dispatch_case(&d, t, &cs);

    i = ngx_http_ollama_dispatch_best(&d, &cs);

    if (i == NGX_DECLINED) {
        return NGX_ERROR;
    }

    *cost = d.cost[i];

    return i;
}
