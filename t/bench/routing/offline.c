
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "offline.h"


typedef struct {
    const fleet_t  *fleet;
    int             kept[SIM_SERVERS][SIM_MODELS];
    double          value[SIM_MODELS];  /* greater: sooner needed */
} offline_t;


static int offline_hit(offline_t *o, int model);
static void offline_load(offline_t *o, int model);
static double offline_make_room(offline_t *o, int server, int model,
    int *kept);
static int *offline_next(const int *models, int n);


int
offline_loads(const fleet_t *fleet, const int *models, int n, offline_e kind)
{
    int         i, m, loads, *next;
    offline_t   o;

    memset(&o, 0, sizeof(offline_t));

    o.fleet = fleet;
    loads = 0;
    next = offline_next(models, n);

    /* before its first request a model is as one that was used last */

    for (m = 0; m < SIM_MODELS; m++) {
        o.value[m] = -2.0 * n;
    }

    for (i = 0; i < n; i++) {

        if (!offline_hit(&o, models[i])) {
            offline_load(&o, models[i]);
            loads++;
        }

        o.value[models[i]] = kind == OFFLINE_BELADY ? -next[i] : i;
    }

    free(next);

    return loads;
}


static int
offline_hit(offline_t *o, int model)
{
    int  k;

    for (k = 0; k < o->fleet->nservers; k++) {
        if (o->kept[k][model]) {
            return 1;
        }
    }

    return 0;
}


/* At the server where the most valuable one that goes is worth least. */

static void
offline_load(offline_t *o, int model)
{
    int     k, best, kept[SIM_MODELS], least[SIM_MODELS];
    double  worth, lowest;

    best = -1;
    lowest = 0;

    for (k = 0; k < o->fleet->nservers; k++) {

        if (o->fleet->models[model].size > o->fleet->machines[k].memory) {
            continue;
        }

        worth = offline_make_room(o, k, model, kept);

        if (best < 0 || worth < lowest) {
            best = k;
            lowest = worth;
            memcpy(least, kept, sizeof(kept));
        }
    }

    memcpy(o->kept[best], least, sizeof(least));
    o->kept[best][model] = 1;
}


/* What stays there, and the value of the best that doesn't. */

static double
offline_make_room(offline_t *o, int server, int model, int *kept)
{
    int      m, n, least;
    double   size, worth;

    memcpy(kept, o->kept[server], SIM_MODELS * sizeof(int));
    worth = -1e9;

    for ( ;; ) {
        n = 1;
        least = -1;
        size = o->fleet->models[model].size;

        for (m = 0; m < o->fleet->nmodels; m++) {

            if (!kept[m]) {
                continue;
            }

            n++;
            size += o->fleet->models[m].size;

            if (least < 0 || o->value[m] < o->value[least]) {
                least = m;
            }
        }

        if (n <= o->fleet->loaded
            && size <= o->fleet->machines[server].memory)
        {
            return worth;
        }

        kept[least] = 0;
        worth = o->value[least];
    }
}


/* For each request the index of the next one for the same model. */

static int *
offline_next(const int *models, int n)
{
    int  i, m, *next, last[SIM_MODELS];

    next = sim_alloc((n + 1) * sizeof(int));

    for (m = 0; m < SIM_MODELS; m++) {
        last[m] = 2 * n;
    }

    for (i = n - 1; i >= 0; i--) {
        next[i] = last[models[i]];
        last[models[i]] = i;
    }

    return next;
}
