
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _RUN_H_INCLUDED_
#define _RUN_H_INCLUDED_


/* One run: a scenario at a load with a policy and a seed, and its figures. */


#include "policy.h"
#include "scenario.h"
#include "trace.h"


/* seconds to the first token, of those that got one */

typedef struct {
    int         n;
    double      mean;
    double      p50;
    double      p95;
    double      p99;
    double      longest;
} waits_t;


typedef struct {
    waits_t     all;
    waits_t     light;          /* of the light user, or the rare model */
    waits_t     others;         /* of all owners but him and the flood */
    int         reqs;
    int         left;           /* clients left before the end */
    int         unfinished;
    int         loads;
    int         belady;         /* loads, had each request been answered at
                                   once, and it were known what comes */
    int         lru;            /* the same, the least recently used going */
    double      hits;           /* share of the prompts' tokens */
    double      spread;         /* busiest server to the mean */
    double      busy;           /* share of the time, all servers */
    double      cpu;            /* microseconds of the policy a request */
    const char *wrong;          /* what the world got wrong; NULL: nothing */
} result_t;


void run(const scenario_t *scenario, trace_t *trace, double load,
    const policy_t *policy, uint64_t seed, result_t *result);


#endif /* _RUN_H_INCLUDED_ */
