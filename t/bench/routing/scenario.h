
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _SCENARIO_H_INCLUDED_
#define _SCENARIO_H_INCLUDED_


/*
 * The fleets and the traffic that policies are compared on.  "rate" is load 1
 * of a scenario, conversations a second (of a trace: the share of it that is
 * kept), where the mean time to the first token with the gateway's policy is 60
 * seconds in two hours.  Found once, by "routing --calibrate".
 */


#include "sim.h"


typedef enum {
    TRAFFIC_POISSON = 0,
    TRAFFIC_BURST,              /* three times as much in a fifth of the time */
    TRAFFIC_TRACE,
    TRAFFIC_FLOOD,              /* an owner sends 200 requests at once */
    TRAFFIC_LIGHT,              /* the same without him */
    TRAFFIC_RARE                /* the last model is asked for rarely */
} traffic_e;


typedef struct {
    const char   *name;
    const char   *title;
    traffic_e     traffic;
    double        zipf;
    double        rate;
    double        length;       /* seconds in which conversations begin */
    double        context;      /* share with another num_ctx */
    double        leave;        /* share of requests whose client may leave */
    fleet_t       fleet;
} scenario_t;


/* Ends with a null name. */
extern const scenario_t  scenarios[];

const scenario_t *scenario_find(const char *name);

/* Requests have different owners; else all are of one. */
int scenario_has_owners(const scenario_t *s);


#endif /* _SCENARIO_H_INCLUDED_ */
