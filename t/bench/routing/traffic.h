
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _TRAFFIC_H_INCLUDED_
#define _TRAFFIC_H_INCLUDED_


/*
 * The requests of a scenario.  Conversations begin by chance, and what is said
 * in them, and how long it is, is drawn from the seed and their number alone:
 * they are the same whatever the policy.  A turn follows the reply before it.
 * Those of a trace come when it says.
 */


#include "draw.h"
#include "heap.h"
#include "scenario.h"
#include "sim.h"
#include "trace.h"


/* whose request it is, for the figures */

enum {
    OWNER_LIGHT = 0,            /* the light user; the rare model */
    OWNER_FLOOD,
    OWNER_OTHER                 /* and above */
};


typedef struct {
    draw_t              draw;
    uint64_t            hash;
    int                 id;
    int                 model;
    int                 owner;
    int                 turn;
    int                 turns;
    int                 tokens;
    int                 nmarks;
    mark_t             *marks;
    double              guess;  /* tokens by its bytes to tokens */
} conv_t;


typedef struct {
    heap_t             *heap;
    const scenario_t   *scenario;
    trace_t            *trace;
    uint64_t            seed;
    double              rate;
    double              end;    /* no request begins after that */
    draw_t              draw;
    int                 convs;
    int                 reqs;
    int                 line;   /* of the trace */

    void              (*arrive)(void *data, req_t *req, double leaves);
    void               *data;
    conv_t            **all;    /* by their id */
    int                 nall;
} traffic_t;


void traffic_init(traffic_t *t, heap_t *heap, const scenario_t *scenario,
    trace_t *trace, double load, uint64_t seed);
void traffic_free(traffic_t *t);

/* A reply has ended: the next turn of its conversation will follow. */
void traffic_replied(traffic_t *t, req_t *req);

void traffic_req_free(req_t *req);


#endif /* _TRAFFIC_H_INCLUDED_ */
