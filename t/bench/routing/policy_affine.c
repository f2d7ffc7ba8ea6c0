
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <math.h>
#include <stdlib.h>

#include "draw.h"
#include "policy.h"


/*
 * Policies that send what belongs together to the same server: the turns of a
 * session, or prompts that begin alike.
 */


#define AFFINE_BUCKETS  65536
#define AFFINE_POINTS   64
#define AFFINE_BOUND    1.25


typedef struct {
    uint64_t    key;            /* 0: empty */
    int         server;
} affine_entry_t;


typedef struct {
    uint64_t    hash;
    int         server;
} affine_point_t;


typedef struct {
    view_t         *view;
    affine_point_t  ring[SIM_SERVERS * AFFINE_POINTS];
    int             npoints;
    affine_entry_t  entries[AFFINE_BUCKETS];
} affine_t;


static void affine_send(affine_t *ctx, ask_t *ask, uint64_t key);
static int affine_compare(const void *one, const void *two);


void *
affine_create(const policy_t *p, view_t *v, uint64_t seed)
{
    int              k, i;
    affine_t        *ctx;
    affine_point_t  *point;

    ctx = sim_alloc(sizeof(affine_t));
    ctx->view = v;

    for (k = 0; k < v->nservers; k++) {
        for (i = 0; i < AFFINE_POINTS; i++) {
            point = &ctx->ring[ctx->npoints++];
            point->hash = draw_mix(k + 1, i);
            point->server = k;
        }
    }

    qsort(ctx->ring, ctx->npoints, sizeof(affine_point_t), affine_compare);

    return ctx;
}


void
affine_destroy(void *data)
{
    free(data);
}


void
affine_session(void *data, ask_t *ask)
{
    affine_send(data, ask, ask->session);
}


void
affine_prefix(void *data, ask_t *ask)
{
    affine_send(data, ask, draw_mix(ask->prefix, ask->model));
}


/*
 * Consistent hashing with bounded loads: the next server on the ring that has
 * no more than 1.25 times the mean, over those with the model.
 */

void
affine_bounded(void *data, ask_t *ask)
{
    affine_t *ctx = data;

    int       i, k, n, sum;
    double    bound;
    view_t   *v;
    uint64_t  hash;

    v = ctx->view;
    n = 0;
    sum = 1;

    for (k = 0; k < v->nservers; k++) {
        if (v->has[k][ask->model]) {
            sum += v->in_flight[k];
            n++;
        }
    }

    bound = AFFINE_BOUND * sum / n;
    hash = draw_mix(ask->session, ask->model);

    for (i = 0; i < ctx->npoints; i++) {
        if (ctx->ring[i].hash >= hash) {
            break;
        }
    }

    for (n = 0; n < ctx->npoints; n++) {
        k = ctx->ring[(i + n) % ctx->npoints].server;

        if (v->has[k][ask->model] && v->in_flight[k] + 1 <= ceil(bound)) {
            v->send(v, ask, k);
            return;
        }
    }

    v->send(v, ask, view_least(v, ask->model));
}


/* Where the same went before; the least loaded, if it is new. */

static void
affine_send(affine_t *ctx, ask_t *ask, uint64_t key)
{
    view_t          *v;
    affine_entry_t  *entry;

    v = ctx->view;
    entry = &ctx->entries[draw_mix(key, 1) % AFFINE_BUCKETS];

    if (entry->key != key || !v->has[entry->server][ask->model]) {
        entry->key = key;
        entry->server = view_least(v, ask->model);
    }

    v->send(v, ask, entry->server);
}


static int
affine_compare(const void *one, const void *two)
{
    const affine_point_t *p1 = one;
    const affine_point_t *p2 = two;

    return p1->hash < p2->hash ? -1 : p1->hash > p2->hash;
}
