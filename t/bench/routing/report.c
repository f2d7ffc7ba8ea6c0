
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdio.h>

#include "report.h"


static void report_table(plan_t *plan, int first, int last);
static void report_each(plan_t *plan, int first, int last);


void
report_tables(plan_t *plan, int each)
{
    int      first, last;
    cell_t  *cell;

    for (first = 0; first < plan->ncells; first = last) {
        cell = &plan->cells[first];

        for (last = first; last < plan->ncells; last++) {

            if (plan->cells[last].scenario != cell->scenario
                || plan->cells[last].load != cell->load)
            {
                break;
            }
        }

        printf("\n#### %s, load %.2g: %s\n\n", cell->scenario->name,
               cell->load, cell->scenario->title);

        report_table(plan, first, last);

        if (each) {
            report_each(plan, first, last);
        }
    }
}


int
report_wrong(plan_t *plan)
{
    int        i, seed, n;
    cell_t    *cell;
    result_t  *result;

    n = 0;

    for (i = 0; i < plan->ncells; i++) {
        cell = &plan->cells[i];

        for (seed = 0; seed < plan->nseeds; seed++) {
            result = &cell->results[seed];

            if (result->wrong == NULL) {
                continue;
            }

            printf("wrong: %s, load %.2g, %s, seed %d: %s",
                   cell->scenario->name, cell->load, cell->policy->name,
                   plan->seed + seed, result->wrong);

            if (result->unfinished) {
                printf(" (%d of %d)", result->unfinished, result->reqs);
            }

            printf("\n");
            n++;
        }
    }

    return n;
}


static void
report_table(plan_t *plan, int first, int last)
{
    int      i, owners;
    cell_t  *cell;

    owners = scenario_has_owners(plan->cells[first].scenario);

    printf("| | loads | hit %% | p50 | p95 | p99 | mean | longest"
           " | max/mean work | CPU, us |%s\n",
           owners ? " light p99 | others' p99 |" : "");
    printf("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---:"
           " | ---: |%s\n", owners ? " ---: | ---: |" : "");

    for (i = first; i < last; i++) {
        cell = &plan->cells[i];

        printf("| %s | %.0f | %.0f | %.2g | %.3g | %.3g | %.3g | %.0f | %.2f"
               " | %.2g |",
               cell->policy->title,
               plan_mean(plan, cell, figure_loads),
               100 * plan_mean(plan, cell, figure_hits),
               plan_mean(plan, cell, figure_p50),
               plan_mean(plan, cell, figure_p95),
               plan_mean(plan, cell, figure_p99),
               plan_mean(plan, cell, figure_mean),
               plan_mean(plan, cell, figure_longest),
               plan_mean(plan, cell, figure_spread),
               plan_mean(plan, cell, figure_cpu));

        if (owners) {
            printf(" %.3g | %.3g |", plan_mean(plan, cell, figure_light),
                   plan_mean(plan, cell, figure_others));
        }

        printf("\n");
    }
}


static void
report_each(plan_t *plan, int first, int last)
{
    int      i, seed;
    cell_t  *cell;

    printf("\np99 of each seed from %d:\n\n", plan->seed);

    for (i = first; i < last; i++) {
        cell = &plan->cells[i];

        printf("    %-10s", cell->policy->name);

        for (seed = 0; seed < plan->nseeds; seed++) {
            printf(" %6.3g", cell->results[seed].all.p99);
        }

        printf("\n");
    }
}
