
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdio.h>
#include <string.h>

#include "report.h"


#define TARGETS_GATEWAY  "gateway"


/* A figure of the gateway's policy, in relation to that of others. */

typedef struct {
    const char   *what;
    const char   *scenarios;    /* names, each followed by a blank */
    const char   *others;       /* the same: the best of these policies; NULL:
                                   the figure alone */
    figure_pt     figure;
    figure_pt     other;        /* of the others; NULL: the same figure */
    double        target;
    int           least;        /* the target is the least, not the most */
} target_t;


static const char  published[] =
    "rr random least priority sticky olla chwbl llm-d ";
static const char  baselines[] =
    "rr random least priority sticky olla chwbl llm-d today ";
static const char  fitting[] = "home lab office farm lab4 burst context ";
static const char  synthetic[] =
    "home lab office farm lab4 burst context zoo ";
static const char  bound[] = "lab zoo office lab4 farm burst context ";
static const char  traces[] = "trace4090 trace8 trace64 trace0 ";
static const char  equal[] = "zoo trace4090 trace8 trace64 trace0 ";


static const target_t  targets[] = {

    { "p99 / best of the published", fitting, published,
      figure_p99, NULL, 0.5, 0 },

    { "p99 / best of the published", "zoo ", published,
      figure_p99, NULL, 0.65, 0 },

    { "p99 / best, today's choice among them", synthetic, baselines,
      figure_p99, NULL, 0.65, 0 },

    { "mean / best, today's choice among them", synthetic, baselines,
      figure_mean, NULL, 0.7, 0 },

    { "p99 / LMetric's product", synthetic, "lmetric ",
      figure_p99, NULL, 0.65, 0 },

    { "mean / LMetric's product", synthetic, "lmetric ",
      figure_mean, NULL, 0.7, 0 },

    { "p99 / the same cost, bound at arrival", bound, "bound ",
      figure_p99, NULL, 0.6, 0 },

    { "p99 / the same cost, bound at arrival", "home ", "bound ",
      figure_p99, NULL, 0.95, 0 },

    { "mean / best baseline", traces, baselines, figure_mean, NULL, 0.9, 0 },

    { "p99 / best baseline", traces, baselines, figure_p99, NULL, 1.0, 0 },

    { "mean / LMetric's product", traces, "lmetric ",
      figure_mean, NULL, 0.9, 0 },

    { "p99 / LMetric's product", traces, "lmetric ",
      figure_p99, NULL, 1.0, 0 },

    { "loads / Belady", "zoo ", TARGETS_GATEWAY " ",
      figure_loads, figure_belady, 2.5, 0 },

    { "loads / LRU", "zoo ", TARGETS_GATEWAY " ",
      figure_loads, figure_lru, 1.35, 0 },

    { "loads / round robin", "home lab office farm lab4 burst ", "rr ",
      figure_loads, NULL, 0.2, 0 },

    { "loads / round robin", "zoo ", "rr ",
      figure_loads, NULL, 1 / 2.2, 0 },

    { "prefix hits / least connections", "trace8 trace64 ", "least ",
      figure_hits, NULL, 2.5, 1 },

    { "prefix hits / session-sticky", "trace8 trace64 ", "sticky ",
      figure_hits, NULL, 0.85, 1 },

    { "max/mean work, equal servers", equal, NULL,
      figure_spread, NULL, 1.25, 0 },

    { "rare model's p99, s", "rare ", NULL, figure_light, NULL, 300, 0 },

    { "p99, learned / known places", synthetic, "known ",
      figure_p99, NULL, 1.1, 0 },

    { NULL, NULL, NULL, NULL, NULL, 0, 0 }
};


static int targets_cell(plan_t *plan, const target_t *t, cell_t *cell);
static cell_t *targets_best(plan_t *plan, const target_t *t, cell_t *cell);
static double targets_worst(plan_t *plan, const target_t *t, cell_t *cell,
    cell_t *best);
static int targets_light(plan_t *plan);
static int targets_line(const char *what, const cell_t *cell,
    const char *other, double value, double target, int least, double worst);
static int targets_has(const char *list, const char *name);


int
targets_print(plan_t *plan)
{
    int              i, missed;
    cell_t          *cell;
    const target_t  *t;

    missed = 0;

    printf("\n#### Targets: geometric means over seeds %d to %d\n\n",
           plan->seed, plan->seed + plan->nseeds - 1);
    printf("| | scenario | load | to | is | worst seed | target | |\n");
    printf("| --- | --- | ---: | --- | ---: | ---: | ---: | --- |\n");

    for (t = targets; t->what; t++) {

        for (i = 0; i < plan->ncells; i++) {
            cell = &plan->cells[i];

            if (strcmp(cell->policy->name, TARGETS_GATEWAY) == 0
                && targets_has(t->scenarios, cell->scenario->name))
            {
                missed += targets_cell(plan, t, cell);
            }
        }
    }

    return missed + targets_light(plan);
}


static int
targets_cell(plan_t *plan, const target_t *t, cell_t *cell)
{
    double   value;
    cell_t  *best;

    value = plan_mean(plan, cell, t->figure);

    if (t->others == NULL) {
        return targets_line(t->what, cell, "", value, t->target, t->least,
                            targets_worst(plan, t, cell, NULL));
    }

    best = targets_best(plan, t, cell);

    if (best == NULL) {
        return 0;
    }

    value /= plan_mean(plan, best, t->other ? t->other : t->figure);

    return targets_line(t->what, cell, best->policy->name, value, t->target,
                        t->least, targets_worst(plan, t, cell, best));
}


/* The policy with the least figure, of those in the plan. */

static cell_t *
targets_best(plan_t *plan, const target_t *t, cell_t *cell)
{
    int      i;
    double   value, least;
    cell_t  *other, *best;

    best = NULL;
    least = 0;

    for (i = 0; i < plan->ncells; i++) {
        other = &plan->cells[i];

        if (other->scenario != cell->scenario || other->load != cell->load
            || !targets_has(t->others, other->policy->name))
        {
            continue;
        }

        value = plan_mean(plan, other, t->figure);

        if (best == NULL || value < least) {
            best = other;
            least = value;
        }
    }

    return best;
}


static double
targets_worst(plan_t *plan, const target_t *t, cell_t *cell, cell_t *best)
{
    int     seed;
    double  value, worst;

    worst = 0;

    for (seed = 0; seed < plan->nseeds; seed++) {
        value = t->figure(&cell->results[seed]);

        if (best) {
            value /= t->other ? t->other(&best->results[seed])
                              : t->figure(&best->results[seed]);
        }

        if (seed == 0 || (t->least ? value < worst : value > worst)) {
            worst = value;
        }
    }

    return worst;
}


/* The light user beside a flood, to the same without it. */

static int
targets_light(plan_t *plan)
{
    int      i, seed, missed;
    cell_t  *cell, *alone;
    double   value, one, worst;

    missed = 0;

    for (i = 0; i < plan->ncells; i++) {
        cell = &plan->cells[i];

        if (strcmp(cell->scenario->name, "flood") != 0
            || strcmp(cell->policy->name, TARGETS_GATEWAY) != 0)
        {
            continue;
        }

        alone = plan_find(plan, "light", cell->load, TARGETS_GATEWAY);

        if (alone == NULL) {
            continue;
        }

        value = plan_mean(plan, cell, figure_light)
                / plan_mean(plan, alone, figure_light);
        worst = 0;

        for (seed = 0; seed < plan->nseeds; seed++) {
            one = cell->results[seed].light.p99
                  / alone->results[seed].light.p99;
            worst = one > worst ? one : worst;
        }

        missed += targets_line("light user's p99 / the same alone", cell, "",
                               value, 1.5, 0, worst);
    }

    return missed;
}


static int
targets_line(const char *what, const cell_t *cell, const char *other,
    double value, double target, int least, double worst)
{
    int  missed;

    missed = least ? value < target : value > target;

    printf("| %s | %s | %.2g | %s | %.2f | %.2f | %s %.3g | %s |\n",
           what, cell->scenario->name, cell->load, other, value, worst,
           least ? "at least" : "at most", target,
           missed ? "**missed**" : "met");

    return missed;
}


static int
targets_has(const char *list, const char *name)
{
    size_t       len;
    const char  *p, *end;

    len = strlen(name);

    for (p = list; *p; p = end + 1) {
        end = strchr(p, ' ');

        if ((size_t) (end - p) == len && strncmp(p, name, len) == 0) {
            return 1;
        }
    }

    return 0;
}
