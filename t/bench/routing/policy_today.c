
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_policy.h"

#include "draw.h"
#include "policy.h"


/* The gateway's own choice without a queue: the module's function. */


typedef struct {
    view_t     *view;
    ngx_int_t   current[SIM_SERVERS];
} today_t;


void *
today_create(const policy_t *p, view_t *v, uint64_t seed)
{
    today_t  *ctx;

    ctx = sim_alloc(sizeof(today_t));
    ctx->view = v;

    return ctx;
}


void
today_destroy(void *data)
{
    free(data);
}


void
today_arrive(void *data, ask_t *ask)
{
    today_t *ctx = data;

    int                           k;
    view_t                       *v;
    ngx_int_t                    *peer;
    ngx_uint_t                    n;
    ngx_http_ollama_candidate_t   c[SIM_SERVERS];

    v = ctx->view;
    n = 0;

    ngx_memzero(c, sizeof(c));

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][ask->model]) {
            continue;
        }

        c[n].peer = &ctx->current[k];
        c[n].weight = 1;
        c[n].current = &ctx->current[k];
        c[n].state.in_flight = v->in_flight[k];
        c[n].state.known = 1;
        c[n].state.warm = view_warm(v, k, ask->model);
        n++;
    }

    peer = ngx_http_ollama_policy(c, n);

    v->send(v, ask, peer - ctx->current);
}
