
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "draw.h"
#include "heap.h"
#include "offline.h"
#include "run.h"
#include "server.h"
#include "traffic.h"


#define RUN_LOOK  5.0           /* seconds between two looks at /api/ps */
#define RUN_SOON  0.05          /* until one that is asked for */
#define RUN_CAP   172800.0      /* a run that lasts longer hangs */


typedef struct {
    heap_t           heap;
    view_t           view;
    traffic_t        traffic;
    server_t         servers[SIM_SERVERS];
    const policy_t  *policy;
    void            *ctx;       /* of the policy */
    req_t          **reqs;
    int              nreqs;
    int              size;
    int              open;      /* requests that have neither ended nor left */
    double           changed;   /* when "open" last did */
    double           stayed;    /* its integral */
    double           cpu;
} run_t;


static void run_begin(run_t *r, const scenario_t *scenario, trace_t *trace,
    double load, uint64_t seed);
static void run_arrive(void *data, req_t *req, double leaves);
static void run_send(view_t *v, ask_t *ask, int server);
static void run_first(void *data, req_t *req);
static void run_end(void *data, req_t *req, figures_t *f);
static void run_leave_handler(void *data, uint64_t number);
static void run_look_soon(view_t *v, int server);
static void run_look_soon_handler(void *data, uint64_t number);
static void run_look_handler(void *data, uint64_t number);
static void run_look(run_t *r, int k);
static void run_tick_handler(void *data, uint64_t number);
static void run_open(run_t *r, int change);
static void run_forget(run_t *r, req_t *req);
static double run_enter(run_t *r);
static void run_leave(run_t *r, double entered);
static void run_figures(run_t *r, result_t *result);
static void run_waits(run_t *r, waits_t *w, int first, int last);
static void run_servers(run_t *r, result_t *result);
static void run_check(run_t *r, result_t *result);
static int run_compare(const void *one, const void *two);


void
run(const scenario_t *scenario, trace_t *trace, double load,
    const policy_t *policy, uint64_t seed, result_t *result)
{
    int     i;
    run_t  *r;

    r = sim_alloc(sizeof(run_t));
    r->policy = policy;

    run_begin(r, scenario, trace, load, seed);

    while (heap_run(&r->heap, RUN_CAP)) {
        r->view.now = r->heap.now;

        if (r->open == 0 && r->heap.now > scenario->length) {
            break;
        }
    }

    run_figures(r, result);
    run_check(r, result);

    policy->destroy(r->ctx);
    traffic_free(&r->traffic);

    for (i = 0; i < r->view.nservers; i++) {
        server_free(&r->servers[i]);
    }

    for (i = 0; i < r->nreqs; i++) {
        traffic_req_free(r->reqs[i]);
    }

    heap_free(&r->heap);
    free(r->reqs);
    free(r);
}


static void
run_begin(run_t *r, const scenario_t *scenario, trace_t *trace, double load,
    uint64_t seed)
{
    int              k, m;
    view_t          *v;
    const fleet_t   *fleet;
    server_calls_t   calls;

    v = &r->view;
    fleet = &scenario->fleet;

    heap_init(&r->heap);

    v->fleet = fleet;
    v->nservers = fleet->nservers;
    v->nmodels = fleet->nmodels;
    v->send = run_send;
    v->look = run_look_soon;
    v->data = r;

    calls.first = run_first;
    calls.end = run_end;
    calls.data = r;

    for (k = 0; k < v->nservers; k++) {
        server_init(&r->servers[k], k, fleet, &r->heap, &calls);

        for (m = 0; m < v->nmodels; m++) {
            v->has[k][m] = fleet->models[m].size <= fleet->machines[k].memory;
        }

        heap_add(&r->heap, RUN_LOOK * (k + 1) / v->nservers,
                 run_look_handler, r, k);
    }

    heap_add(&r->heap, 1, run_tick_handler, r, 0);

    r->ctx = r->policy->create(r->policy, v, seed);

    r->traffic.arrive = run_arrive;
    r->traffic.data = r;

    traffic_init(&r->traffic, &r->heap, scenario, trace, load, seed);
}


static void
run_arrive(void *data, req_t *req, double leaves)
{
    run_t *r = data;

    double  entered;

    if (r->nreqs == r->size) {
        r->size = r->size ? r->size * 2 : 4096;
        r->reqs = sim_realloc(r->reqs, r->size * sizeof(req_t *));
    }

    r->reqs[r->nreqs] = req;

    if (leaves < SIM_NEVER) {
        heap_add(&r->heap, leaves, run_leave_handler, r, r->nreqs);
    }

    r->nreqs++;

    run_open(r, 1);

    entered = run_enter(r);
    r->policy->arrive(r->ctx, &req->ask);
    run_leave(r, entered);
}


static void
run_send(view_t *v, ask_t *ask, int server)
{
    req_t  *req;
    run_t  *r;

    r = v->data;
    req = (req_t *) ((char *) ask - offsetof(req_t, ask));

    v->in_flight[server]++;
    v->running[server][ask->model]++;

    server_send(&r->servers[server], req);
}


static void
run_first(void *data, req_t *req)
{
    run_t *r = data;

    double  entered;

    r->view.now = r->heap.now;

    if (r->policy->first) {
        entered = run_enter(r);
        r->policy->first(r->ctx, &req->ask, req->server);
        run_leave(r, entered);
    }
}


static void
run_end(void *data, req_t *req, figures_t *f)
{
    run_t *r = data;

    double  entered;

    r->view.now = r->heap.now;
    r->view.seen[req->server][req->ask.model] = 1;

    run_forget(r, req);
    traffic_replied(&r->traffic, req);

    if (r->policy->end) {
        entered = run_enter(r);
        r->policy->end(r->ctx, &req->ask, req->server, f);
        run_leave(r, entered);
    }
}


static void
run_leave_handler(void *data, uint64_t number)
{
    run_t *r = data;

    req_t   *req;
    double   entered;

    req = r->reqs[number];

    if (req->ended < SIM_NEVER) {
        return;
    }

    r->view.now = r->heap.now;
    req->left = 1;

    if (req->server >= 0) {
        server_leave(&r->servers[req->server], req);
    }

    run_forget(r, req);

    if (r->policy->left) {
        entered = run_enter(r);
        r->policy->left(r->ctx, &req->ask, req->server);
        run_leave(r, entered);
    }
}


static void
run_look_soon(view_t *v, int server)
{
    run_t  *r;

    r = v->data;

    heap_add(&r->heap, r->heap.now + RUN_SOON, run_look_soon_handler, r,
             server);
}


static void
run_look_soon_handler(void *data, uint64_t number)
{
    run_look(data, number);
}


static void
run_look_handler(void *data, uint64_t number)
{
    run_t *r = data;

    run_look(r, number);

    heap_add(&r->heap, r->heap.now + RUN_LOOK, run_look_handler, r, number);
}


static void
run_look(run_t *r, int k)
{
    int     i, n, models[SIM_MODELS];
    double  entered;

    r->view.now = r->heap.now;

    n = server_ps(&r->servers[k], models);

    memset(r->view.seen[k], 0, sizeof(r->view.seen[k]));

    for (i = 0; i < n; i++) {
        r->view.seen[k][models[i]] = 1;
    }

    if (r->policy->look) {
        entered = run_enter(r);
        r->policy->look(r->ctx, k, models, n);
        run_leave(r, entered);
    }
}


static void
run_tick_handler(void *data, uint64_t number)
{
    run_t *r = data;

    double  entered;

    r->view.now = r->heap.now;

    if (r->policy->tick) {
        entered = run_enter(r);
        r->policy->tick(r->ctx);
        run_leave(r, entered);
        heap_add(&r->heap, r->heap.now + 1, run_tick_handler, r, 0);
    }
}


static void
run_open(run_t *r, int change)
{
    r->view.now = r->heap.now;
    r->stayed += r->open * (r->heap.now - r->changed);
    r->changed = r->heap.now;
    r->open += change;
}


static void
run_forget(run_t *r, req_t *req)
{
    req->ended = r->heap.now;
    run_open(r, -1);

    if (req->server >= 0) {
        r->view.in_flight[req->server]--;
        r->view.running[req->server][req->ask.model]--;
    }
}


/* The time that the policy computes; servers are simulated within it. */

static double
run_enter(run_t *r)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static void
run_leave(run_t *r, double entered)
{
    r->cpu += run_enter(r) - entered;
}


static void
run_figures(run_t *r, result_t *result)
{
    int      i, *models;
    req_t   *req;
    double   prompt, cached;

    memset(result, 0, sizeof(result_t));

    models = sim_alloc((r->nreqs + 1) * sizeof(int));
    prompt = 0;
    cached = 0;

    for (i = 0; i < r->nreqs; i++) {
        req = r->reqs[i];
        models[i] = req->ask.model;

        if (req->ended == SIM_NEVER) {
            result->unfinished++;
        }

        result->left += req->left;

        if (req->first < SIM_NEVER) {
            prompt += req->prompt;
            cached += req->cached;
        }
    }

    result->reqs = r->nreqs;
    result->hits = cached / prompt;
    result->belady = offline_loads(r->view.fleet, models, r->nreqs,
                                   OFFLINE_BELADY);
    result->lru = offline_loads(r->view.fleet, models, r->nreqs, OFFLINE_LRU);
    result->cpu = r->cpu * 1e6 / r->nreqs;

    free(models);

    run_waits(r, &result->all, OWNER_LIGHT, 1 << 30);
    run_waits(r, &result->light, OWNER_LIGHT, OWNER_LIGHT);
    run_waits(r, &result->others, OWNER_OTHER, 1 << 30);
    run_servers(r, result);
}


static void
run_waits(run_t *r, waits_t *w, int first, int last)
{
    int      i;
    req_t   *req;
    double  *all, sum;

    memset(w, 0, sizeof(waits_t));

    all = sim_alloc((r->nreqs + 1) * sizeof(double));
    sum = 0;

    for (i = 0; i < r->nreqs; i++) {
        req = r->reqs[i];

        if (req->first < SIM_NEVER && req->ask.owner >= first
            && req->ask.owner <= last)
        {
            all[w->n] = req->first - req->arrived;
            sum += all[w->n++];
        }
    }

    if (w->n) {
        qsort(all, w->n, sizeof(double), run_compare);

        w->mean = sum / w->n;
        w->p50 = all[(int) (0.50 * (w->n - 1) + 0.5)];
        w->p95 = all[(int) (0.95 * (w->n - 1) + 0.5)];
        w->p99 = all[(int) (0.99 * (w->n - 1) + 0.5)];
        w->longest = all[w->n - 1];
    }

    free(all);
}


static void
run_servers(run_t *r, result_t *result)
{
    int     k;
    double  most, sum;

    most = 0;
    sum = 0;

    for (k = 0; k < r->view.nservers; k++) {
        result->loads += r->servers[k].loads;
        sum += r->servers[k].busy;

        if (r->servers[k].busy > most) {
            most = r->servers[k].busy;
        }
    }

    result->spread = most * r->view.nservers / sum;
    result->busy = sum / r->view.nservers / r->heap.now;
}


/* What holds in any run, whatever the policy. */

static void
run_check(run_t *r, result_t *result)
{
    int      i, k, m;
    req_t   *req;
    double   stayed, tokens, least, most;

    stayed = 0;
    tokens = 0;
    least = 0;
    most = 0;

    for (i = 0; i < r->nreqs; i++) {
        req = r->reqs[i];

        if (req->ended == SIM_NEVER) {
            result->wrong = "a request has not ended";
            return;
        }

        stayed += req->ended - req->arrived;
        least += req->left ? 0 : req->out;
        most += req->first < SIM_NEVER ? req->out : 0;

        if (req->job) {
            result->wrong = "a request is still at a server";
            return;
        }
    }

    if (fabs(stayed - r->stayed) > 1e-6 * stayed) {
        result->wrong = "requests in the system times their time there";
    }

    for (k = 0; k < r->view.nservers; k++) {
        tokens += r->servers[k].tokens;

        if (server_jobs(&r->servers[k]) || r->view.in_flight[k]) {
            result->wrong = "a server is still in use";
        }

        for (m = 0; m < r->view.nmodels; m++) {
            if (r->view.running[k][m]) {
                result->wrong = "a model is still in use";
            }
        }

        if (r->servers[k].busy > r->heap.now) {
            result->wrong = "a server worked longer than the run";
        }
    }

    /* those of requests whose client left are between none and all */

    if (tokens < least * (1 - 1e-6) || tokens > most * (1 + 1e-6)) {
        result->wrong = "tokens that were generated";
    }
}


static int
run_compare(const void *one, const void *two)
{
    const double *d1 = one;
    const double *d2 = two;

    return *d1 < *d2 ? -1 : *d1 > *d2;
}
