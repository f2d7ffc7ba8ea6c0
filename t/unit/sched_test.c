
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The scheduler on some servers that are played by hand: who is granted which
 * server, and who waits.  Times are in ms; models have 10 GB, so that a load
 * takes 12 s as long as nothing is learned.
 */


#include "unit.h"

#include <math.h>

#include "balancer/ngx_http_ollama_sched.h"
#include "balancer/ngx_http_ollama_sched_cost.h"
#include "balancer/ngx_http_ollama_sched_dispatch.h"
#include "balancer/ngx_http_ollama_sched_state.h"


#define SERVERS  4
#define TICKETS  64

#define SIZE     10.0f


typedef struct {
    ngx_http_ollama_sched_t      sched;
    ngx_http_ollama_capacity_t   server[SERVERS];
    ngx_uint_t                   lacks[SERVERS];   /* bits of models */
    ngx_uint_t                   limit[SERVERS];
    ngx_uint_t                   n;                /* of servers */
    ngx_http_ollama_ticket_t     ticket[TICKETS];
    ngx_int_t                    granted[TICKETS]; /* -1: not, -2: refused */
    float                        cached[TICKETS][SERVERS];
    ngx_http_ollama_option_t    *option[SERVERS];  /* of the last list */
    ngx_uint_t                   servers[SERVERS];
    ngx_msec_t                   now;
    ngx_uint_t                   arrived;
} world_t;


static ngx_uint_t
world_options(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_option_t *o, ngx_uint_t max, void *data)
{
    world_t *w = data;

    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < w->n && n < max; i++) {

        if (w->lacks[i] & (1 << t->model)) {
            continue;
        }

        memset(&o[n], 0, sizeof(ngx_http_ollama_option_t));

        o[n].capacity = &w->server[i];
        o[n].weights = t->model;
        o[n].size = SIZE;
        o[n].limit = w->limit[i];
        o[n].in_flight = w->server[i].in_flight;
        o[n].weight = 1;

        w->servers[n++] = i;
    }

    return n;
}


static float
world_cached(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner, float *back,
    void *data)
{
    world_t *w = data;

    return w->cached[t - w->ticket][o->capacity - w->server];
}


static ngx_int_t
world_grant(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_uint_t i, void *data)
{
    world_t *w = data;

    w->granted[t - w->ticket] = w->servers[i];

    return NGX_OK;
}


static void
world_refuse(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    void *data)
{
    world_t *w = data;

    w->granted[t - w->ticket] = -2;
}


static ngx_http_ollama_capacity_t *
world_next(ngx_http_ollama_sched_t *s, ngx_http_ollama_capacity_t *c,
    void *data)
{
    world_t *w = data;

    c = c ? c + 1 : w->server;

    return (c < w->server + w->n) ? c : NULL;
}


static const ngx_http_ollama_sched_ops_t  world_ops = {
    world_options,
    world_cached,
    world_grant,
    world_refuse,
    world_next
};


static world_t *
world_create(ngx_uint_t servers)
{
    world_t  *w;

    w = calloc(1, sizeof(world_t));
    assert_non_null(w);

    w->n = servers;
    w->now = 1000000;

    return w;
}


/* A request for a model, whose line it is; returns its number. */

static ngx_uint_t
world_ask(world_t *w, uint64_t model, uint64_t owner)
{
    ngx_uint_t                 i;
    ngx_http_ollama_ticket_t  *t;

    i = w->arrived++;
    assert_true(i < TICKETS);

    t = &w->ticket[i];

    t->line = model;
    t->model = model;
    t->owner = owner;
    t->bytes = 4000;

    w->granted[i] = -1;

    assert_int_equal(ngx_http_ollama_sched_arrive(&w->sched, t, w->now),
                     NGX_OK);

    ngx_http_ollama_sched_dispatch(&w->sched, t, &world_ops, w, w->now);

    return i;
}


static void
world_wait(world_t *w, ngx_msec_t ms)
{
    ngx_msec_t  end;

    for (end = w->now + ms; w->now < end; w->now += 1000) {
        ngx_http_ollama_sched_dispatch(&w->sched, NULL, &world_ops, w, w->now);
    }
}


static void
world_first(world_t *w, ngx_uint_t i)
{
    ngx_http_ollama_sched_first(&w->sched, &w->ticket[i], w->now);
    ngx_http_ollama_sched_dispatch(&w->sched, NULL, &world_ops, w, w->now);
}


/* Ends a reply well; 1,000 tokens at 1,000/s, 100 tokens at 50/s. */

static void
world_end(world_t *w, ngx_uint_t i)
{
    ngx_http_ollama_figures_t  f;

    memset(&f, 0, sizeof(f));
    f.ok = 1;
    f.load = w->ticket[i].cold ? 7 : 0.01f;
    f.prompt = 1;
    f.prompt_tokens = 1000;
    f.generate = 2;
    f.generated_tokens = 100;

    (void) ngx_http_ollama_sched_end(&w->sched, &w->ticket[i], &f, w->now);
    ngx_http_ollama_sched_dispatch(&w->sched, NULL, &world_ops, w, w->now);
}


static void
world_leave(world_t *w, ngx_uint_t i)
{
    (void) ngx_http_ollama_sched_end(&w->sched, &w->ticket[i], NULL, w->now);
    ngx_http_ollama_sched_dispatch(&w->sched, NULL, &world_ops, w, w->now);
}


/* Model m is loaded at a server, and has served a request there. */

static void
world_load(world_t *w, uint64_t model, ngx_uint_t server)
{
    ngx_uint_t                 i, lacks[SERVERS];
    ngx_http_ollama_ticket_t  *t;

    for (i = 0; i < SERVERS; i++) {
        lacks[i] = w->lacks[i];

        if (i != server) {
            w->lacks[i] |= 1 << model;
        }
    }

    i = world_ask(w, model, 1);
    t = &w->ticket[i];
    assert_int_equal(w->granted[i], (ngx_int_t) server);
    assert_true(t->cold);

    world_wait(w, 7000);
    world_first(w, i);
    world_wait(w, 2000);
    world_end(w, i);
    world_wait(w, 2000);

    memcpy(w->lacks, lacks, sizeof(lacks));
}


static void
sched_first_request_test(void **state)
{
    world_t  *w;

    w = world_create(2);

    world_ask(w, 1, 1);

    assert_true(w->granted[0] >= 0);
    assert_int_equal(w->ticket[0].cold, 1);
    assert_int_equal(w->sched.waiting, 0);
    assert_ptr_equal(w->ticket[0].capacity->loading, w->ticket[0].runner);

    world_first(w, 0);
    assert_null(w->ticket[0].capacity->loading);
    assert_int_equal(w->ticket[0].runner->streaming, 1);

    world_end(w, 0);
    assert_int_equal(w->server[0].in_flight + w->server[1].in_flight, 0);

    free(w);
}


/* A short wait for a server that has the model is better than a load. */

static void
sched_hold_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(2);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    assert_int_equal(w->granted[a], 0);

    b = world_ask(w, 1, 1);
    assert_int_equal(w->granted[b], -1);
    assert_true(w->ticket[b].wait > 0);
    assert_int_equal(ngx_http_ollama_sched_position(&w->sched,
                                                    &w->ticket[b]), 1);

    world_end(w, a);
    assert_int_equal(w->granted[b], 0);
    assert_int_equal(w->ticket[b].cold, 0);

    free(w);
}


/* But many that wait are worth a load elsewhere. */

static void
sched_replica_test(void **state)
{
    world_t     *w;
    ngx_int_t    cold;
    ngx_uint_t   i, k;

    w = world_create(2);
    world_load(w, 1, 0);

    cold = -1;

    for (i = 0; i < 12; i++) {
        k = world_ask(w, 1, 1);

        if (w->granted[k] == 1) {
            cold = k;
        }
    }

    assert_true(cold >= 0);
    assert_int_equal(w->ticket[cold].cold, 1);

    /* the first of them has got the server where the model was loaded */
    assert_int_equal(w->granted[1], 0);
    assert_int_equal(w->sched.waiting, 10);

    free(w);
}


/* A model in use isn't unloaded, one that is idle is. */

static void
sched_eviction_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    assert_int_equal(w->granted[a], 0);
    world_first(w, a);

    b = world_ask(w, 2, 1);
    assert_int_equal(w->granted[b], -1);
    world_wait(w, 5000);
    assert_int_equal(w->granted[b], -1);

    world_end(w, a);
    assert_int_equal(w->granted[b], -1);
    world_wait(w, 2000);
    assert_int_equal(w->granted[b], 0);
    assert_int_equal(w->ticket[b].cold, 1);

    free(w);
}


/* The longer a stream is than was expected, the longer it is expected to be. */

static void
sched_long_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(2);
    w->limit[0] = 1;
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    world_first(w, a);

    b = world_ask(w, 1, 1);
    assert_int_equal(w->granted[b], -1);

    world_wait(w, 60000);
    assert_int_equal(w->granted[a], 0);
    assert_int_equal(w->granted[b], 1);
    assert_int_equal(w->ticket[b].cold, 1);

    free(w);
}


/* Two models that were seen loaded together do fit, and load at once. */

static void
sched_memory_test(void **state)
{
    world_t                     *w;
    ngx_uint_t                   a, b;
    ngx_http_ollama_resident_t   r[2] = { { 2, SIZE, 0 }, { 3, SIZE, 0 } };

    w = world_create(1);

    ngx_http_ollama_sched_look(&w->server[0], r, 2, w->now);
    ngx_http_ollama_sched_look(&w->server[0], r, 1, w->now + 1000);
    w->now += 2000;

    assert_int_equal(w->server[0].n_max, 2);

    a = world_ask(w, 2, 1);
    assert_int_equal(w->granted[a], 0);
    assert_int_equal(w->ticket[a].cold, 0);

    b = world_ask(w, 1, 1);
    assert_int_equal(w->granted[b], 0);
    assert_int_equal(w->ticket[b].cold, 1);

    free(w);
}


/* A server in use by one model for ever is drained for another. */

static void
sched_starvation_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b, next, i, n;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    world_first(w, a);
    b = world_ask(w, 2, 1);

    for (n = 0; w->granted[b] == -1 && n < 40; n++) {

        next = world_ask(w, 1, 1);
        world_wait(w, 5000);
        world_end(w, a);

        if (w->granted[next] == 0) {
            a = next;
            world_first(w, a);
        }

        for (i = 0; i < 3 && w->granted[b] == -1
                    && w->server[0].in_flight == 0; i++)
        {
            world_wait(w, 1000);
        }
    }

    assert_int_equal(w->granted[b], 0);
    assert_true(n > 10);
    assert_true(n < 40);

    free(w);
}


/* That of short replies is idle when it had no request for a part of one. */

static void
sched_short_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(1);
    world_load(w, 1, 0);
    ngx_http_ollama_sched_model(&w->sched, 1)->svc = 0.5f;

    a = world_ask(w, 1, 1);
    b = world_ask(w, 2, 1);
    world_leave(w, a);
    assert_int_equal(w->granted[b], -1);

    w->now += 40;
    ngx_http_ollama_sched_dispatch(&w->sched, NULL, &world_ops, w, w->now);
    assert_int_equal(w->granted[b], -1);

    w->now += 20;
    ngx_http_ollama_sched_dispatch(&w->sched, NULL, &world_ops, w, w->now);
    assert_int_equal(w->granted[b], 0);
    assert_int_equal(w->ticket[b].cold, 1);

    free(w);
}


/* Expected to take what it took, also where that is short. */

static void
sched_load_test(void **state)
{
    float        load[] = { 0.2f, 1.5f, 4, 30 };
    world_t     *w;
    ngx_uint_t   i, n, a;

    ngx_http_ollama_figures_t  f;

    for (n = 0; n < 4; n++) {

        w = world_create(1);

        for (i = 1; i < 60; i++) {

            a = world_ask(w, i, 1);
            assert_int_equal(w->granted[a], 0);
            assert_int_equal(w->ticket[a].cold, 1);
            world_first(w, a);

            memset(&f, 0, sizeof(f));
            f.ok = 1;
            f.load = load[n];
            f.prompt = f.generate = 1;
            f.prompt_tokens = f.generated_tokens = 100;

            (void) ngx_http_ollama_sched_end(&w->sched, &w->ticket[a], &f,
                                             w->now);
            w->now += 1200000;
            ngx_http_ollama_sched_look(&w->server[0], NULL, 0, w->now);
            w->now += 1000;
        }

        assert_true(fabsf(ngx_http_ollama_sched_load(&w->server[0], SIZE)
                          - load[n]) < 0.05f * load[n]);
        free(w);
    }
}


/* An owner with one request is not behind all those of another. */

static void
sched_fair_test(void **state)
{
    world_t     *w;
    ngx_uint_t   i, a, light;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 7);

    for (i = 0; i < 20; i++) {
        world_ask(w, 1, 7);
    }

    light = world_ask(w, 1, 8);

    assert_int_equal(w->granted[light], -1);
    assert_true(ngx_http_ollama_sched_position(&w->sched, &w->ticket[light])
                <= 2);

    for (i = 0; w->granted[light] == -1 && i < 3; i++) {
        world_end(w, a + i);
    }

    assert_int_equal(w->granted[light], 0);

    free(w);
}


/* As many as stream at once. */

static void
sched_places_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b, c;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    b = world_ask(w, 1, 1);
    c = world_ask(w, 1, 1);

    assert_int_equal(w->granted[a], 0);
    assert_int_equal(w->granted[b], -1);

    /* one more is sent when one streams and others wait */

    world_first(w, a);
    assert_int_equal(w->granted[b], 0);
    assert_int_equal(w->ticket[b].probe, 1);
    assert_int_equal(w->granted[c], -1);

    world_first(w, b);
    assert_int_equal(w->ticket[b].runner->places, 2);
    assert_int_equal(w->granted[c], 0);
    assert_int_equal(w->ticket[c].probe, 1);
    assert_int_equal(w->server[0].probing, 1);

    world_leave(w, c);
    assert_int_equal(w->server[0].probing, 0);

    free(w);
}


/* What has waited for long enough takes a worse server. */

static void
sched_due_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(2);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    assert_int_equal(w->granted[a], 0);

    b = world_ask(w, 1, 1);
    assert_int_equal(w->granted[b], -1);

    w->ticket[b].due = 1;
    ngx_http_ollama_sched_dispatch(&w->sched, &w->ticket[b], &world_ops, w,
                                   w->now);
    assert_int_equal(w->granted[b], 1);

    /* if there is one */

    a = world_ask(w, 1, 1);
    w->ticket[a].due = 1;
    ngx_http_ollama_sched_dispatch(&w->sched, &w->ticket[a], &world_ops, w,
                                   w->now);
    assert_int_equal(w->granted[a], -1);

    free(w);
}


/* A place that is known to be free is better than one that may be there. */

static void
sched_places_known_test(void **state)
{
    world_t     *w;
    ngx_uint_t   i, a, b;

    w = world_create(2);
    world_load(w, 1, 0);
    world_load(w, 1, 1);

    a = world_ask(w, 1, 1);
    world_first(w, a);

    for (i = 0; i < 4; i++) {
        b = world_ask(w, 1, 1);
        assert_int_equal(w->granted[b], 1 - w->granted[a]);
        assert_int_equal(w->ticket[b].probe, 0);
        world_leave(w, b);
    }

    free(w);
}


/* A server that works on one at once is asked again later and later. */

static void
sched_places_one_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b, c;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    b = world_ask(w, 1, 1);
    world_first(w, a);
    assert_int_equal(w->granted[b], 0);

    world_wait(w, 20000);
    world_end(w, a);
    world_first(w, b);

    assert_int_equal(ngx_http_ollama_sched_places(&w->server[0],
                                                  w->ticket[b].runner), 1);
    assert_int_equal(w->server[0].backoff, 5000);

    c = world_ask(w, 1, 1);
    assert_int_equal(w->granted[c], -1);
    world_wait(w, 4000);
    assert_int_equal(w->granted[c], -1);
    world_wait(w, 2000);
    assert_int_equal(w->granted[c], 0);
    assert_int_equal(w->ticket[c].probe, 1);

    free(w);
}


/* A server that answers nothing any more costs one request of many. */

static void
sched_stuck_test(void **state)
{
    world_t     *w;
    ngx_uint_t   i, k, at[2];

    w = world_create(2);
    world_load(w, 1, 0);

    at[0] = 0;
    at[1] = 0;

    for (i = 0; i < 6; i++) {
        world_ask(w, 1, 1);
    }

    for (i = 0; i < 60; i++) {

        world_wait(w, 1000);

        for (k = 1; k < 7; k++) {
            if (w->granted[k] == 1 && w->ticket[k].capacity) {
                world_first(w, k);
                world_end(w, k);
            }
        }
    }

    for (k = 1; k < 7; k++) {
        assert_true(w->granted[k] >= 0);
        at[w->granted[k]]++;
    }

    assert_int_equal(at[0], 1);
    assert_int_equal(at[1], 5);

    k = world_ask(w, 1, 1);
    assert_int_equal(w->granted[k], 1);
    assert_int_equal(w->server[0].stuck, 1);

    free(w);
}


/* max_conns is a ceiling. */

static void
sched_limit_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(1);
    w->limit[0] = 1;
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    world_first(w, a);
    b = world_ask(w, 1, 1);
    world_wait(w, 60000);
    assert_int_equal(w->granted[b], -1);

    world_end(w, a);
    assert_int_equal(w->granted[b], 0);

    free(w);
}


/* Other options need a load, which waits until the runner is idle. */

static void
sched_options_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    assert_int_equal(w->ticket[a].cold, 0);

    b = w->arrived++;
    w->ticket[b] = w->ticket[a];
    w->ticket[b].line = 77;
    w->ticket[b].options = 5;
    w->ticket[b].capacity = NULL;
    w->granted[b] = -1;

    assert_int_equal(ngx_http_ollama_sched_arrive(&w->sched, &w->ticket[b],
                                                  w->now), NGX_OK);
    world_wait(w, 3000);
    assert_int_equal(w->granted[b], -1);

    world_end(w, a);
    assert_int_equal(w->granted[b], 0);
    assert_int_equal(w->ticket[b].cold, 1);

    free(w);
}


/* What leaves is nowhere any more, wherever it was. */

static void
sched_leave_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b, c;

    w = world_create(1);

    a = world_ask(w, 1, 1);
    b = world_ask(w, 1, 1);
    c = world_ask(w, 1, 1);

    world_leave(w, b);
    assert_int_equal(w->sched.waiting, 1);

    /* the load is given up: the next one begins it anew */

    world_leave(w, a);
    assert_int_equal(w->granted[c], 0);
    assert_int_equal(w->ticket[c].cold, 1);

    world_first(w, c);
    world_leave(w, c);

    assert_int_equal(w->sched.waiting, 0);
    assert_int_equal(w->server[0].in_flight, 0);
    assert_int_equal(w->ticket[c].runner->streaming, 0);
    assert_int_equal(w->ticket[c].runner->in_flight, 0);

    free(w);
}


static void
sched_refuse_test(void **state)
{
    world_t     *w;
    ngx_uint_t   a, b;

    w = world_create(1);
    world_load(w, 1, 0);

    a = world_ask(w, 1, 1);
    b = world_ask(w, 1, 1);
    assert_int_equal(w->granted[b], -1);

    w->lacks[0] = ~0;
    world_wait(w, 1000);

    assert_int_equal(w->granted[b], -2);
    assert_int_equal(w->sched.waiting, 0);
    assert_int_equal(w->granted[a], 0);

    free(w);
}


/* The server that has the prompt in its cache is worth a short wait. */

static void
sched_prefix_test(void **state)
{
    world_t     *w;
    ngx_uint_t   i, a;

    w = world_create(2);
    world_load(w, 1, 0);
    world_load(w, 1, 1);

    for (i = 0; i < 4; i++) {
        w->cached[w->arrived][1] = 900;
        a = world_ask(w, 1, 1);
        assert_int_equal(w->granted[a], 1);
        world_first(w, a);
        world_end(w, a);
    }

    free(w);
}


/* What cannot wait gets the best server, whether it is free or not. */

static void
sched_choose_test(void **state)
{
    world_t                   *w;
    ngx_int_t                  k;
    ngx_uint_t                 i, n, at[2];
    ngx_http_ollama_cost_t     cost;
    ngx_http_ollama_option_t   o[SERVERS];

    w = world_create(2);
    world_load(w, 1, 0);
    world_load(w, 1, 1);

    at[0] = 0;
    at[1] = 0;

    for (i = 0; i < 12; i++) {
        w->ticket[w->arrived] = w->ticket[0];
        w->ticket[w->arrived].capacity = NULL;

        ngx_http_ollama_sched_count(&w->sched, &w->ticket[w->arrived], w->now);

        n = world_options(&w->sched, &w->ticket[0], o, SERVERS, w);

        k = ngx_http_ollama_sched_choose(&w->sched, &w->ticket[w->arrived], o,
                                         n, &cost, &world_ops, w, w->now);
        assert_true(k >= 0);

        assert_int_equal(ngx_http_ollama_sched_grant(&w->sched,
                             &w->ticket[w->arrived], &o[k], &cost, w->now),
                         NGX_OK);
        at[k]++;
        w->arrived++;
    }

    assert_int_equal(at[0], 6);
    assert_int_equal(at[1], 6);

    free(w);
}


/* Speeds are those of the replies. */

static void
sched_learn_test(void **state)
{
    world_t                   *w;
    ngx_uint_t                 i, a;
    ngx_http_ollama_runner_t  *runner;

    w = world_create(1);
    world_load(w, 1, 0);

    for (i = 0; i < 20; i++) {
        a = world_ask(w, 1, 1);
        world_first(w, a);
        world_end(w, a);
    }

    runner = ngx_http_ollama_sched_runner(&w->server[0], 1);

    assert_true(fabsf(runner->prompt - 1000) < 1);
    assert_true(fabsf(runner->generate - 50) < 1);
    assert_true(fabsf(w->server[0].prompt - 10000) < 10);
    assert_true(fabsf(ngx_http_ollama_sched_load(&w->server[0], SIZE) - 7)
                < 0.1f);

    free(w);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "the first request", sched_first_request_test, NULL);
    unit_add(&suite, "a short wait for a server that has the model",
             sched_hold_test, NULL);
    unit_add(&suite, "many that wait are worth a load",
             sched_replica_test, NULL);
    unit_add(&suite, "a model in use stays", sched_eviction_test, NULL);
    unit_add(&suite, "a stream that is long", sched_long_test, NULL);
    unit_add(&suite, "models that fit", sched_memory_test, NULL);
    unit_add(&suite, "a model that is starved", sched_starvation_test, NULL);
    unit_add(&suite, "a model of short replies", sched_short_test, NULL);
    unit_add(&suite, "the time of a load", sched_load_test, NULL);
    unit_add(&suite, "owners", sched_fair_test, NULL);
    unit_add(&suite, "places are learned", sched_places_test, NULL);
    unit_add(&suite, "the end of a wait", sched_due_test, NULL);
    unit_add(&suite, "a place that is known", sched_places_known_test, NULL);
    unit_add(&suite, "a single place", sched_places_one_test, NULL);
    unit_add(&suite, "a stuck server", sched_stuck_test, NULL);
    unit_add(&suite, "max_conns", sched_limit_test, NULL);
    unit_add(&suite, "other runner options", sched_options_test, NULL);
    unit_add(&suite, "leaving", sched_leave_test, NULL);
    unit_add(&suite, "no server any more", sched_refuse_test, NULL);
    unit_add(&suite, "a prompt in the cache", sched_prefix_test, NULL);
    unit_add(&suite, "what cannot wait", sched_choose_test, NULL);
    unit_add(&suite, "speeds", sched_learn_test, NULL);

    return unit_run(&suite, "sched");
}
