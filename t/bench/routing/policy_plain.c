
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>

#include "draw.h"
#include "policy.h"


/* Policies that know neither what is loaded nor what was sent before. */


typedef struct {
    view_t     *view;
    draw_t      draw;
    int         turn;
} plain_t;


static int plain_rank(const view_t *v, int server);


void *
plain_create(const policy_t *p, view_t *v, uint64_t seed)
{
    plain_t  *ctx;

    ctx = sim_alloc(sizeof(plain_t));
    ctx->view = v;
    draw_seed(&ctx->draw, seed, 0);

    return ctx;
}


void
plain_destroy(void *data)
{
    free(data);
}


void
plain_round_robin(void *data, ask_t *ask)
{
    plain_t *ctx = data;

    view_t  *v;

    v = ctx->view;

    do {
        ctx->turn = (ctx->turn + 1) % v->nservers;
    } while (!v->has[ctx->turn][ask->model]);

    v->send(v, ask, ctx->turn);
}


void
plain_random(void *data, ask_t *ask)
{
    plain_t *ctx = data;

    int      k;
    view_t  *v;

    v = ctx->view;

    do {
        k = draw_below(&ctx->draw, v->nservers);
    } while (!v->has[k][ask->model]);

    v->send(v, ask, k);
}


/* Of equals one after the other, as with nginx's least_conn. */

void
plain_least(void *data, ask_t *ask)
{
    plain_t *ctx = data;

    int      i, k, best;
    view_t  *v;

    v = ctx->view;
    best = -1;

    for (i = 1; i <= v->nservers; i++) {
        k = (ctx->turn + i) % v->nservers;

        if (!v->has[k][ask->model]) {
            continue;
        }

        if (best < 0 || v->in_flight[k] < v->in_flight[best]) {
            best = k;
        }
    }

    ctx->turn = best;

    v->send(v, ask, best);
}


/*
 * An administrator has put the servers in an order, the fastest first.  Those
 * of the same kind are equal: the one with the fewest requests.
 */

void
plain_priority(void *data, ask_t *ask)
{
    plain_t *ctx = data;

    int      k, best, rank, least;
    view_t  *v;

    v = ctx->view;
    best = -1;
    least = 0;

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][ask->model]) {
            continue;
        }

        rank = plain_rank(v, k);

        if (best < 0 || rank < least
            || (rank == least && v->in_flight[k] < v->in_flight[best]))
        {
            best = k;
            least = rank;
        }
    }

    v->send(v, ask, best);
}


/* How many servers are faster. */

static int
plain_rank(const view_t *v, int server)
{
    int  k, n;

    n = 0;

    for (k = 0; k < v->nservers; k++) {
        n += v->fleet->machines[k].gen > v->fleet->machines[server].gen;
    }

    return n;
}
