
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "draw.h"
#include "plan.h"


/* a geometric mean has no zeros */
#define PLAN_LEAST  1e-3


static void plan_process(plan_t *plan, trace_t *trace, int *next);
static void *plan_shared(size_t size);


void
plan_add(plan_t *plan, const scenario_t *scenario, double load,
    const policy_t *policy)
{
    cell_t  *cell;

    if (plan_find(plan, scenario->name, load, policy->name)) {
        return;
    }

    plan->cells = sim_realloc(plan->cells,
                              (plan->ncells + 1) * sizeof(cell_t));

    cell = &plan->cells[plan->ncells++];

    cell->scenario = scenario;
    cell->load = load;
    cell->policy = policy;
    cell->results = plan_shared(plan->nseeds * sizeof(result_t));
}


void
plan_run(plan_t *plan, trace_t *trace, int processes)
{
    int    i, status, failed, *next;
    pid_t  pid;

    next = plan_shared(sizeof(int));
    failed = 0;

    fflush(stdout);

    for (i = 0; i < processes; i++) {
        pid = fork();

        if (pid < 0) {
            perror("fork");
            exit(1);
        }

        if (pid == 0) {
            plan_process(plan, trace, next);
            _exit(0);
        }
    }

    for (i = 0; i < processes; i++) {
        if (wait(&status) < 0 || status != 0) {
            failed = 1;
        }
    }

    munmap(next, sizeof(int));

    if (failed) {
        fprintf(stderr, "a process of the simulation failed\n");
        exit(1);
    }
}


void
plan_free(plan_t *plan)
{
    int  i;

    for (i = 0; i < plan->ncells; i++) {
        munmap(plan->cells[i].results, plan->nseeds * sizeof(result_t));
    }

    free(plan->cells);
}


cell_t *
plan_find(plan_t *plan, const char *scenario, double load, const char *policy)
{
    int      i;
    cell_t  *cell;

    for (i = 0; i < plan->ncells; i++) {
        cell = &plan->cells[i];

        if (strcmp(cell->scenario->name, scenario) == 0
            && strcmp(cell->policy->name, policy) == 0
            && cell->load == load)
        {
            return cell;
        }
    }

    return NULL;
}


double
plan_mean(const plan_t *plan, const cell_t *cell, figure_pt figure)
{
    int     i;
    double  sum;

    sum = 0;

    for (i = 0; i < plan->nseeds; i++) {
        sum += log(fmax(figure(&cell->results[i]), PLAN_LEAST));
    }

    return exp(sum / plan->nseeds);
}


/* The next run that no other process has taken. */

static void
plan_process(plan_t *plan, trace_t *trace, int *next)
{
    int      i, seed;
    cell_t  *cell;

    for ( ;; ) {
        i = __sync_fetch_and_add(next, 1);

        if (i >= plan->ncells * plan->nseeds) {
            return;
        }

        cell = &plan->cells[i / plan->nseeds];
        seed = i % plan->nseeds;

        run(cell->scenario, trace, cell->load, cell->policy,
            plan->seed + seed, &cell->results[seed]);
    }
}


static void *
plan_shared(size_t size)
{
    void  *p;

    p = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }

    return p;
}


double
figure_p50(const result_t *result)
{
    return result->all.p50;
}


double
figure_p95(const result_t *result)
{
    return result->all.p95;
}


double
figure_p99(const result_t *result)
{
    return result->all.p99;
}


double
figure_mean(const result_t *result)
{
    return result->all.mean;
}


double
figure_longest(const result_t *result)
{
    return result->all.longest;
}


double
figure_loads(const result_t *result)
{
    return result->loads;
}


double
figure_belady(const result_t *result)
{
    return result->belady;
}


double
figure_lru(const result_t *result)
{
    return result->lru;
}


double
figure_hits(const result_t *result)
{
    return result->hits;
}


double
figure_spread(const result_t *result)
{
    return result->spread;
}


double
figure_light(const result_t *result)
{
    return result->light.p99;
}


double
figure_others(const result_t *result)
{
    return result->others.p99;
}


double
figure_cpu(const result_t *result)
{
    return result->cpu;
}
