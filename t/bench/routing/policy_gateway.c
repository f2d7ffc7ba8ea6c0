
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdio.h>
#include <stdlib.h>

#include "balancer/ngx_http_ollama_prefix.h"
#include "balancer/ngx_http_ollama_sched.h"
#include "balancer/ngx_http_ollama_sched_dispatch.h"
#include "balancer/ngx_http_ollama_sched_state.h"

#include "draw.h"
#include "policy.h"


/*
 * The gateway's scheduler and its memory of prefixes: the module's functions.
 * Here is what the module has around them: tickets, marks, looks at servers.
 */


#define GATEWAY_BASE      1000000       /* ms at the begin */
#define GATEWAY_BYTES     4             /* of a guessed token */
#define GATEWAY_PREFIXES  32768         /* as in the module */
#define GATEWAY_NEVER     1000000000    /* ms */

/* num_ctx of models that are asked for with one, and without */
#define GATEWAY_CONTEXT   16384
#define GATEWAY_DEFAULT   4096


typedef struct {
    ngx_http_ollama_ticket_t    ticket;         /* must be first */
    ask_t                      *ask;
    ngx_uint_t                  nmarks;
    ngx_http_ollama_mark_t      mark[NGX_HTTP_OLLAMA_MARKS_MAX];
} gateway_held_t;


typedef struct {
    ngx_http_ollama_sched_t     sched;
    ngx_http_ollama_capacity_t  capacity[SIM_SERVERS];
    ngx_http_ollama_prefix_t   *prefix;
    ngx_http_ollama_ticket_t   *ticket; /* that was looked up last */
    ngx_http_ollama_prefix_found_t  found;
    int                         option[SIM_SERVERS];
                                        /* servers of the options given last */
    view_t                     *view;
    int                         variant;
} gateway_t;


static void gateway_dispatch(gateway_t *g, ngx_http_ollama_ticket_t *t);
static void gateway_dispatch_server(gateway_t *g, int server);
static void gateway_gone(gateway_t *g, ask_t *ask, int server,
    ngx_http_ollama_figures_t *f);
static void gateway_known(gateway_t *g);
static ngx_msec_t gateway_now(gateway_t *g);
static uint64_t gateway_weights(gateway_t *g, int model);
static int gateway_has_context(gateway_t *g, int model);
static void gateway_marks(gateway_held_t *held);
static ngx_uint_t gateway_options(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o, ngx_uint_t max,
    void *data);
static float gateway_cached(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o,
    ngx_http_ollama_runner_t *runner, float *back, void *data);
static ngx_int_t gateway_grant(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_uint_t i, void *data);
static void gateway_refuse(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, void *data);
static ngx_http_ollama_capacity_t *gateway_next(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, void *data);


static const ngx_http_ollama_sched_ops_t  gateway_ops = {
    gateway_options,
    gateway_cached,
    gateway_grant,
    gateway_refuse,
    gateway_next
};


void *
gateway_create(const policy_t *p, view_t *v, uint64_t seed)
{
    int         k;
    size_t      size;
    gateway_t  *g;

    g = sim_alloc(sizeof(gateway_t));

    size = ngx_http_ollama_prefix_size(GATEWAY_PREFIXES);

    g->prefix = ngx_http_ollama_prefix_init(sim_alloc(size), size);

    g->view = v;
    g->variant = p->variant;
    g->sched.bind = (p->variant == GATEWAY_BOUND);

    for (k = 0; k < SIM_SERVERS; k++) {
        g->capacity[k].number = k;
    }

    return g;
}


void
gateway_destroy(void *data)
{
    gateway_t *g = data;

    free(g->prefix);
    free(g);
}


void
gateway_arrive(void *data, ask_t *ask)
{
    gateway_t *g = data;

    gateway_held_t            *held;
    ngx_http_ollama_ticket_t  *t;

    held = sim_alloc(sizeof(gateway_held_t));
    held->ask = ask;
    ask->held = held;

    t = &held->ticket;

    t->line = ask->model + 1;
    t->model = gateway_weights(g, ask->model);
    t->owner = (g->variant == GATEWAY_ALIKE) ? 1 : ask->owner + 1;
    t->bytes = ask->tokens * GATEWAY_BYTES;

    if (gateway_has_context(g, ask->model)) {
        t->options = 1;
        t->context = GATEWAY_CONTEXT;
    }

    gateway_marks(held);

    if (ngx_http_ollama_sched_arrive(&g->sched, t, gateway_now(g)) != NGX_OK) {
        fprintf(stderr, "the gateway has no line for a model\n");
        exit(1);
    }

    gateway_dispatch(g, t);
}


void
gateway_first(void *data, ask_t *ask, int server)
{
    gateway_t *g = data;

    gateway_held_t  *held;

    held = ask->held;

    ngx_http_ollama_sched_first(&g->sched, &held->ticket, gateway_now(g));

    if (held->ticket.cold) {
        g->view->look(g->view, server);
    }

    gateway_dispatch_server(g, server);
}


void
gateway_end(void *data, ask_t *ask, int server, figures_t *f)
{
    gateway_t *g = data;

    ngx_http_ollama_figures_t  figures;

    figures.ok = f->ok;
    figures.load = f->load_duration;
    figures.prompt = f->prompt_eval_duration;
    figures.generate = f->eval_duration;
    figures.prompt_tokens = f->prompt_eval_count;
    figures.generated_tokens = f->eval_count;

    gateway_gone(g, ask, server, &figures);
}


void
gateway_left(void *data, ask_t *ask, int server)
{
    gateway_gone(data, ask, server, NULL);
}


void
gateway_look(void *data, int server, int *models, int n)
{
    gateway_t *g = data;

    int                          i;
    ngx_http_ollama_resident_t   r[SIM_MODELS];

    for (i = 0; i < n; i++) {
        r[i].weights = gateway_weights(g, models[i]);
        r[i].size = g->view->fleet->models[models[i]].size;
        r[i].context = gateway_has_context(g, models[i]) ? GATEWAY_CONTEXT
                                                         : GATEWAY_DEFAULT;
    }

    ngx_http_ollama_sched_look(&g->capacity[server], r, n, gateway_now(g));
}


void
gateway_tick(void *data)
{
    gateway_dispatch(data, NULL);
}


static void
gateway_dispatch(gateway_t *g, ngx_http_ollama_ticket_t *t)
{
    gateway_known(g);

    g->ticket = NULL;

    ngx_http_ollama_sched_dispatch(&g->sched, t, &gateway_ops, g,
                                   gateway_now(g));
}


/* A server has a place more. */

static void
gateway_dispatch_server(gateway_t *g, int server)
{
    gateway_known(g);

    g->ticket = NULL;

    ngx_http_ollama_sched_dispatch_server(&g->sched, &g->capacity[server],
                                          &gateway_ops, g, gateway_now(g));
}


static void
gateway_gone(gateway_t *g, ask_t *ask, int server,
    ngx_http_ollama_figures_t *f)
{
    ngx_uint_t                 probe;
    gateway_held_t            *held;
    ngx_http_ollama_ticket_t  *t;

    held = ask->held;
    t = &held->ticket;

    if (f && f->ok && t->capacity) {
        ngx_http_ollama_prefix_add(g->prefix, held->mark, held->nmarks,
                                   t->runner->weights, t->capacity->number,
                                   t->runner->used, gateway_now(g));
    }

    probe = ngx_http_ollama_sched_end(&g->sched, t, f, gateway_now(g));

    if (probe) {
        g->view->look(g->view, server);
    }

    free(held);
    ask->held = NULL;

    if (server >= 0) {
        gateway_dispatch_server(g, server);
    }
}


/* What OLLAMA_NUM_PARALLEL is, for the variants that are told it. */

static void
gateway_known(gateway_t *g)
{
    int  k, i;

    if (g->variant != GATEWAY_KNOWN && g->variant != GATEWAY_BOUND) {
        return;
    }

    for (k = 0; k < g->view->nservers; k++) {
        g->capacity[k].places = g->view->fleet->places;
        g->capacity[k].probe_at = gateway_now(g) + GATEWAY_NEVER;

        for (i = 0; i < NGX_HTTP_OLLAMA_RUNNERS; i++) {
            g->capacity[k].runner[i].places = 0;
        }
    }
}


static ngx_msec_t
gateway_now(gateway_t *g)
{
    return GATEWAY_BASE + (ngx_msec_t) (g->view->now * 1000);
}


static uint64_t
gateway_weights(gateway_t *g, int model)
{
    return g->view->fleet->models[model].weights + 1;
}


/* Whether requests for it set num_ctx: it is not the first with its weights. */

static int
gateway_has_context(gateway_t *g, int model)
{
    return g->view->fleet->models[model].weights != model;
}


/*
 * As many as the module has of a prompt: of more the first ones, the last ones,
 * and others at equal distances.
 */

static void
gateway_marks(gateway_held_t *held)
{
    int      i, n, step;
    mark_t  *mark;

    n = held->ask->nmarks;
    step = 1;

    while (n > NGX_HTTP_OLLAMA_MARKS_MAX
           && n / step >= NGX_HTTP_OLLAMA_MARKS_GRID)
    {
        step *= 2;
    }

    for (i = 0; i < n; i++) {

        if (i >= NGX_HTTP_OLLAMA_MARKS_FIRST
            && i < n - NGX_HTTP_OLLAMA_MARKS_LAST
            && i % step)
        {
            continue;
        }

        mark = &held->ask->marks[i];

        held->mark[held->nmarks].hash = mark->hash;
        held->mark[held->nmarks].text = (size_t) mark->tokens * GATEWAY_BYTES;
        held->nmarks++;
    }
}

static ngx_uint_t
gateway_options(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_option_t *o, ngx_uint_t max, void *data)
{
    gateway_t *g = data;

    int             k, model;
    view_t         *v;
    ngx_uint_t      n;

    v = g->view;
    model = ((gateway_held_t *) t)->ask->model;
    n = 0;

    for (k = 0; k < v->nservers && n < max; k++) {

        if (!v->has[k][model]) {
            continue;
        }

        ngx_memzero(&o[n], sizeof(ngx_http_ollama_option_t));

        o[n].capacity = &g->capacity[k];
        o[n].weights = t->model;
        o[n].size = v->fleet->models[model].size;
        o[n].in_flight = v->in_flight[k];
        o[n].weight = 1;

        g->option[n++] = k;
    }

    return n;
}


static float
gateway_cached(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner, float *back,
    void *data)
{
    gateway_t *g = data;

    double           ago;
    size_t           text;
    gateway_held_t  *held;

    if (g->variant == GATEWAY_BLIND) {
        return 0;
    }

    held = (gateway_held_t *) t;

    if (g->ticket != t) {
        ngx_http_ollama_prefix_lookup(g->prefix, held->mark, held->nmarks,
                                      o->weights, &g->found);
        g->ticket = t;
    }

    text = ngx_http_ollama_prefix_cached(&g->found, o->capacity->number,
                                         runner->cold_at, runner->used,
                                         runner->reach, &ago);
    *back = ago;

    return (text < t->bytes) ? text * t->tokens / t->bytes : t->tokens;
}


static ngx_int_t
gateway_grant(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_uint_t i, void *data)
{
    gateway_t *g = data;

    g->view->send(g->view, ((gateway_held_t *) t)->ask, g->option[i]);

    return NGX_OK;
}


static void
gateway_refuse(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    void *data)
{
    fprintf(stderr, "the gateway has no server for a model\n");
    exit(1);
}


static ngx_http_ollama_capacity_t *
gateway_next(ngx_http_ollama_sched_t *s, ngx_http_ollama_capacity_t *c,
    void *data)
{
    gateway_t *g = data;

    c = c ? c + 1 : g->capacity;

    return (c < g->capacity + g->view->nservers) ? c : NULL;
}
