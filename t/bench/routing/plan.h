
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _PLAN_H_INCLUDED_
#define _PLAN_H_INCLUDED_


/*
 * The runs of a report: each scenario, load and policy, with all seeds.  They
 * run in processes of their own, which take one after the other.
 */


#include "run.h"


typedef struct {
    const scenario_t *scenario;
    const policy_t   *policy;
    double            load;
    result_t         *results;  /* one a seed */
} cell_t;


typedef struct {
    cell_t           *cells;
    int               ncells;
    int               seed;     /* the first one */
    int               nseeds;
} plan_t;


typedef double (*figure_pt)(const result_t *result);


/* Does nothing if it is there already. */
void plan_add(plan_t *plan, const scenario_t *scenario, double load,
    const policy_t *policy);
void plan_run(plan_t *plan, trace_t *trace, int processes);
void plan_free(plan_t *plan);

/* NULL: it is not in the plan. */
cell_t *plan_find(plan_t *plan, const char *scenario, double load,
    const char *policy);

/* The geometric mean over the seeds. */
double plan_mean(const plan_t *plan, const cell_t *cell, figure_pt figure);

double figure_p50(const result_t *result);
double figure_p95(const result_t *result);
double figure_p99(const result_t *result);
double figure_mean(const result_t *result);
double figure_longest(const result_t *result);
double figure_loads(const result_t *result);
double figure_belady(const result_t *result);
double figure_lru(const result_t *result);
double figure_hits(const result_t *result);
double figure_spread(const result_t *result);
double figure_light(const result_t *result);
double figure_others(const result_t *result);
double figure_cpu(const result_t *result);


#endif /* _PLAN_H_INCLUDED_ */
