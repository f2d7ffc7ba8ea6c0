
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The servers that routing is simulated with, against times worked out by hand.
 * A model of 1 GB takes 2.5 s to be loaded, evaluates 1,000 tokens of a prompt
 * in a second, and generates 100.
 */


#include "unit.h"

#include <math.h>

#include "../bench/routing/draw.h"
#include "../bench/routing/run.h"
#include "../bench/routing/server.h"


#define REQS  8


typedef struct {
    heap_t      heap;
    fleet_t     fleet;
    server_t    server;
    req_t       req[REQS];
    mark_t      marks[REQS][2];
    figures_t   figures[REQS];
    int         n;
} world_t;


static void
world_first(void *data, req_t *req)
{
}


static void
world_end(void *data, req_t *req, figures_t *f)
{
    world_t *w = data;

    req->ended = w->heap.now;
    w->figures[req - w->req] = *f;
}


static world_t *
world_create(int places, int loaded, double store)
{
    int              m;
    world_t         *w;
    server_calls_t   calls;

    w = calloc(1, sizeof(world_t));
    assert_non_null(w);

    heap_init(&w->heap);

    w->fleet.nservers = 1;
    w->fleet.nmodels = 4;
    w->fleet.places = places;
    w->fleet.loaded = loaded;
    w->fleet.store = store;
    w->fleet.machines[0] = (machine_t) { "one", 1000, 100, 1, 10 };

    for (m = 0; m < 4; m++) {
        /* the last one is the first with another context */
        w->fleet.models[m].weights = m % 3;
        w->fleet.models[m].size = 1;
        w->fleet.models[m].token = 1000;
    }

    calls.first = world_first;
    calls.end = world_end;
    calls.data = w;

    server_init(&w->server, 0, &w->fleet, &w->heap, &calls);

    return w;
}


static void
world_free(world_t *w)
{
    server_free(&w->server);
    heap_free(&w->heap);
    free(w);
}


static void
world_send_handler(void *data, uint64_t number)
{
    world_t *w = data;

    server_send(&w->server, &w->req[number]);
}


static void
world_leave_handler(void *data, uint64_t number)
{
    world_t *w = data;

    server_leave(&w->server, &w->req[number]);
}


/* A request with a prompt of 100 tokens of its own, and a reply of 50. */

static req_t *
world_ask(world_t *w, double at, int model)
{
    req_t  *req;

    req = &w->req[w->n];

    req->ask.model = model;
    req->ask.nmarks = 1;
    req->marks = w->marks[w->n];
    req->marks[0].hash = w->n + 1;
    req->marks[0].tokens = 100;
    req->prompt = 100;
    req->out = 50;
    req->first = SIM_NEVER;
    req->ended = SIM_NEVER;

    heap_add(&w->heap, at, world_send_handler, w, w->n++);

    return req;
}


static void
world_run(world_t *w, double until)
{
    while (heap_run(&w->heap, until)) {
        /* void */
    }
}


static void
world_is(double value, double expected)
{
    if (fabs(value - expected) > 1e-6) {
        fail_msg("%.6f is not %.6f", value, expected);
    }
}


static void
routing_load_test(void **state)
{
    req_t    *req;
    world_t  *w;

    w = world_create(1, 3, 0);
    req = world_ask(w, 0, 0);
    world_run(w, 100);

    world_is(req->first, 2.6);
    world_is(req->ended, 3.1);
    world_is(w->figures[0].load_duration, 2.5);
    world_is(w->figures[0].prompt_eval_duration, 0.1);
    world_is(w->figures[0].eval_duration, 0.5);
    world_is(w->figures[0].total_duration, 3.1);
    assert_int_equal(w->figures[0].prompt_eval_count, 100);
    assert_int_equal(w->server.loads, 1);

    world_free(w);
}


static void
routing_queue_test(void **state)
{
    req_t    *one, *two;
    world_t  *w;

    w = world_create(1, 3, 0);
    one = world_ask(w, 0, 0);
    two = world_ask(w, 3, 0);
    world_run(w, 100);

    world_is(one->ended, 3.1);
    world_is(two->first, 3.2);
    world_is(two->ended, 3.7);

    /* the wait for the runner is in none of its durations but all */
    world_is(w->figures[1].load_duration, 0);
    world_is(w->figures[1].total_duration, 0.7);

    world_free(w);
}


static void
routing_batch_test(void **state)
{
    req_t    *one, *two;
    world_t  *w;

    w = world_create(2, 3, 0);
    one = world_ask(w, 0, 0);
    two = world_ask(w, 0, 0);
    world_run(w, 100);

    /* two prompts share, two generations are slower by 15 % */

    world_is(one->first, 2.7);
    world_is(two->first, 2.7);
    world_is(two->ended, 2.7 + 50 / 85.0);

    world_free(w);
}


static void
routing_share_test(void **state)
{
    req_t    *one, *two;
    world_t  *w;

    w = world_create(1, 3, 0);
    one = world_ask(w, 0, 0);
    two = world_ask(w, 0.5, 1);
    one->out = 1000;
    world_run(w, 100);

    /* loads are one after the other; then both run at half speed */

    world_is(two->first, 5 + 0.2);
    world_is(two->ended, 5 + 0.2 + 1);
    world_is(one->ended, 12.6 + 1.2 / 2);

    world_free(w);
}


static void
routing_evict_test(void **state)
{
    req_t    *one, *two, *three, *four;
    world_t  *w;

    w = world_create(1, 1, 0);
    one = world_ask(w, 0, 0);
    two = world_ask(w, 2.7, 1);
    three = world_ask(w, 2.8, 0);
    four = world_ask(w, 2.9, 1);
    world_run(w, 100);

    /* the third passes those that wait until the model can be unloaded */

    world_is(one->ended, 3.1);
    world_is(three->ended, 3.7);
    world_is(two->first, 3.7 + 0.75 + 2.5 + 0.1);
    world_is(four->first, two->ended + 0.1);
    world_is(w->figures[1].load_duration, 4.25);
    assert_int_equal(w->server.loads, 2);

    world_free(w);
}


static void
routing_idle_victim_test(void **state)
{
    int       models[SIM_MODELS];
    world_t  *w;

    w = world_create(1, 2, 0);
    world_ask(w, 0, 1);
    world_ask(w, 10, 0);
    world_ask(w, 20, 2);
    world_run(w, 100);

    /* of two that are idle the first in their order goes, not the oldest */

    assert_int_equal(server_ps(&w->server, models), 2);
    assert_int_equal(models[0], 1);
    assert_int_equal(models[1], 2);
    world_is(w->req[2].first, 20 + 0.75 + 2.5 + 0.1);

    world_free(w);
}


static void
routing_abort_test(void **state)
{
    req_t    *one, *two;
    world_t  *w;

    w = world_create(1, 3, 0);
    one = world_ask(w, 0, 0);
    two = world_ask(w, 1, 0);
    heap_add(&w->heap, 2, world_leave_handler, w, 0);
    world_run(w, 100);

    /* the load begins anew for the next one */

    assert_true(one->ended == SIM_NEVER);
    world_is(two->first, 2 + 2.5 + 0.1);
    assert_int_equal(w->server.loads, 2);
    assert_int_equal(server_jobs(&w->server), 0);

    world_free(w);
}


static void
routing_leave_test(void **state)
{
    req_t    *two, *three;
    world_t  *w;

    w = world_create(1, 3, 0);
    world_ask(w, 0, 0);
    two = world_ask(w, 1, 0);
    three = world_ask(w, 1, 0);
    heap_add(&w->heap, 2.7, world_leave_handler, w, 0);
    heap_add(&w->heap, 2.7, world_leave_handler, w, 1);
    world_run(w, 100);

    /* one that ran, one that waited */

    assert_true(two->first == SIM_NEVER);
    world_is(three->first, 2.7 + 0.1);
    assert_int_equal(server_jobs(&w->server), 0);

    world_free(w);
}


static void
routing_context_test(void **state)
{
    int       models[SIM_MODELS];
    req_t    *one, *two;
    world_t  *w;

    w = world_create(1, 3, 0);
    one = world_ask(w, 0, 0);
    two = world_ask(w, 2.7, 3);
    world_run(w, 100);

    world_is(one->ended, 3.1);
    world_is(two->first, 3.1 + 0.75 + 2.5 + 0.1);
    assert_int_equal(server_ps(&w->server, models), 1);
    assert_int_equal(models[0], 3);

    world_free(w);
}


static void
routing_keep_alive_test(void **state)
{
    int       models[SIM_MODELS];
    world_t  *w;

    w = world_create(1, 3, 0);
    world_ask(w, 0, 0);
    world_ask(w, 200, 0);
    world_run(w, 500);

    assert_int_equal(server_ps(&w->server, models), 1);

    world_run(w, 501);
    assert_int_equal(server_ps(&w->server, models), 0);

    world_free(w);
}


/* The third begins as the first; between them the slot had another one. */

static void
routing_cache(double store, double cached)
{
    int       i;
    world_t  *w;

    w = world_create(1, 3, store);

    for (i = 0; i < 3; i++) {
        world_ask(w, 10 * i, 0);
    }

    w->req[2].marks[0].hash = w->req[0].marks[0].hash;
    w->req[2].marks[1].hash = 99;
    w->req[2].marks[1].tokens = 300;
    w->req[2].ask.nmarks = 2;
    w->req[2].prompt = 300;

    world_run(w, 100);

    world_is(w->req[2].cached, cached);
    world_is(w->req[2].first, 20 + (300 - cached) / 1000);
    assert_int_equal(w->figures[2].prompt_eval_count, 300);

    world_free(w);
}


static void
routing_cache_test(void **state)
{
    routing_cache(1e6, 100);

    /* prompts have 100 tokens, replies 50, each 1,000 bytes */

    routing_cache(150000, 0);
    routing_cache(0, 0);
}


/* What each run checks of itself holds for all policies. */

static void
routing_run_test(void **state)
{
    result_t         result, again;
    scenario_t       s;
    const policy_t  *p;

    s = *scenario_find("context");
    s.length = 600;
    s.leave = 0.1;

    for (p = policies; p->name; p++) {

        run(&s, NULL, 0.8, p, 1, &result);

        if (result.wrong) {
            fail_msg("%s: %s", p->name, result.wrong);
        }

        assert_true(result.reqs > 100);
        assert_true(result.left > 0);
        assert_true(result.loads > 0);
        assert_true(result.hits > 0 && result.hits < 1);
        assert_true(result.spread >= 1);

        run(&s, NULL, 0.8, p, 1, &again);
        assert_true(result.all.mean == again.all.mean);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "a load, a prompt, a reply", routing_load_test, NULL);
    unit_add(&suite, "a place is waited for", routing_queue_test, NULL);
    unit_add(&suite, "two places", routing_batch_test, NULL);
    unit_add(&suite, "two models", routing_share_test, NULL);
    unit_add(&suite, "a model in use is awaited", routing_evict_test, NULL);
    unit_add(&suite, "the order of victims", routing_idle_victim_test, NULL);
    unit_add(&suite, "a load is aborted", routing_abort_test, NULL);
    unit_add(&suite, "clients leave", routing_leave_test, NULL);
    unit_add(&suite, "another num_ctx", routing_context_test, NULL);
    unit_add(&suite, "keep_alive", routing_keep_alive_test, NULL);
    unit_add(&suite, "prompts in the cache", routing_cache_test, NULL);
    unit_add(&suite, "runs of all policies", routing_run_test, NULL);

    return unit_run(&suite, "routing");
}
