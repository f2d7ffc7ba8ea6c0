
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <string.h>

#include "policy.h"


const policy_t  policies[] = {

    { "rr", "round robin", 0,
      plain_create, plain_destroy, plain_round_robin,
      NULL, NULL, NULL, NULL, NULL },

    { "random", "random", 0,
      plain_create, plain_destroy, plain_random,
      NULL, NULL, NULL, NULL, NULL },

    { "least", "least connections", 0,
      plain_create, plain_destroy, plain_least,
      NULL, NULL, NULL, NULL, NULL },

    { "priority", "priority by hand", 0,
      plain_create, plain_destroy, plain_priority,
      NULL, NULL, NULL, NULL, NULL },

    { "sticky", "session-sticky", 0,
      affine_create, affine_destroy, affine_session,
      NULL, NULL, NULL, NULL, NULL },

    { "olla", "Olla-like, 512 B prefix", 0,
      affine_create, affine_destroy, affine_prefix,
      NULL, NULL, NULL, NULL, NULL },

    { "chwbl", "CHWBL 1.25", 0,
      affine_create, affine_destroy, affine_bounded,
      NULL, NULL, NULL, NULL, NULL },

    { "llm-d", "llm-d-like score", 0,
      score_create, score_destroy, score_sum,
      score_first, score_end, NULL, NULL, score_left },

    { "lmetric", "LMetric's product", 0,
      score_create, score_destroy, score_product,
      score_first, score_end, NULL, NULL, score_left },

    { "today", "today: a load is 8 requests", 0,
      today_create, today_destroy, today_arrive,
      NULL, NULL, NULL, NULL, NULL },

    { "ect", "expected completion, at arrival", 0,
      score_create, score_destroy, score_completion,
      score_first, score_end, NULL, NULL, score_left },

    { "gateway", "gateway", GATEWAY_LEARNS,
      gateway_create, gateway_destroy, gateway_arrive, gateway_first,
      gateway_end, gateway_look, gateway_tick, gateway_left },

    { "known", "gateway, places known", GATEWAY_KNOWN,
      gateway_create, gateway_destroy, gateway_arrive, gateway_first,
      gateway_end, gateway_look, gateway_tick, gateway_left },

    { "bound", "gateway, bound at arrival", GATEWAY_BOUND,
      gateway_create, gateway_destroy, gateway_arrive, gateway_first,
      gateway_end, gateway_look, gateway_tick, gateway_left },

    { "alike", "gateway, one owner", GATEWAY_ALIKE,
      gateway_create, gateway_destroy, gateway_arrive, gateway_first,
      gateway_end, gateway_look, gateway_tick, gateway_left },

    { "blind", "gateway, no prefixes", GATEWAY_BLIND,
      gateway_create, gateway_destroy, gateway_arrive, gateway_first,
      gateway_end, gateway_look, gateway_tick, gateway_left },

    { NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }
};


const policy_t *
policy_find(const char *name)
{
    const policy_t  *p;

    for (p = policies; p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }

    return NULL;
}


int
view_warm(const view_t *v, int server, int model)
{
    return v->seen[server][model] || v->running[server][model];
}


int
view_least(const view_t *v, int model)
{
    int  k, best;

    best = -1;

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][model]) {
            continue;
        }

        if (best < 0 || v->in_flight[k] < v->in_flight[best]) {
            best = k;
        }
    }

    return best;
}
