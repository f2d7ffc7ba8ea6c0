
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _REPORT_H_INCLUDED_
#define _REPORT_H_INCLUDED_


/* What a plan that has run says. */


#include "plan.h"


/* A table for each scenario and load; each: with the p99 of each seed. */
void report_tables(plan_t *plan, int each);

/* What the world got wrong; returns how often. */
int report_wrong(plan_t *plan);

/* The targets that the plan has the runs of; returns how many are missed. */
int targets_print(plan_t *plan);


#endif /* _REPORT_H_INCLUDED_ */
