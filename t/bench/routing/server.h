
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _SERVER_H_INCLUDED_
#define _SERVER_H_INCLUDED_


/*
 * An Ollama server.  A loaded model has a runner with OLLAMA_NUM_PARALLEL
 * places and a queue without a bound.  Requests for models that are not loaded
 * wait in one line, whose head blocks it: one load at a time.  Where there is
 * no room the first idle runner is unloaded, in the order of the models (all
 * have the same keep_alive); if none is idle the first in that order is
 * awaited, while requests go on joining it.  A load ends if the client that
 * caused it leaves.
 *
 * server.c has the line and the runners, gpu.c how fast they compute.
 */


#include "cache.h"
#include "heap.h"
#include "sim.h"


typedef struct job_s     job_t;
typedef struct runner_s  runner_t;
typedef struct server_s  server_t;


typedef enum {
    JOB_LINE = 0,               /* its model is not loaded */
    JOB_LOADING,                /* it is, for this request */
    JOB_QUEUED,                 /* all places of the runner are taken */
    JOB_PROMPT,
    JOB_GEN
} job_stage_e;


/* a request at a server */

struct job_s {
    job_t        *next;         /* in the line or the queue */
    req_t        *req;
    runner_t     *runner;
    job_stage_e   stage;
    int           slot;
    int           gone;         /* the client left, while at the line's head */
    double        sent;
    double        ready;        /* it got to a runner */
    double        started;
    double        left;         /* tokens, in this stage */
    double        rate;         /* tokens/s */
};


typedef struct {
    job_t        *head;
    job_t       **tail;
    int           n;
} queue_t;


struct runner_s {
    runner_t     *next;
    server_t     *server;
    job_t        *jobs[SIM_PLACES];   /* that run, in "njobs" */
    queue_t       queue;
    cache_t       cache;
    int           njobs;
    int           model;
    int           loading;
    int           doomed;       /* to be unloaded when it is idle */
    uint64_t      idle;         /* the event that unloads it; 0: in use */
};


/* What a server calls when it is in a state to be called itself. */

typedef struct {
    void        (*first)(void *data, req_t *req);
    void        (*end)(void *data, req_t *req, figures_t *f);
    void         *data;
} server_calls_t;


struct server_s {
    heap_t       *heap;
    const fleet_t *fleet;
    const machine_t *machine;
    server_calls_t  calls;
    runner_t     *runners;      /* in the order of their models */
    queue_t       line;
    int           id;
    int           evicted;      /* a runner gave way to the load to come */
    int           loads;
    uint64_t      load;         /* the last events of each kind */
    uint64_t      step;
    uint64_t      idle;
    double        updated;
    double        busy;         /* seconds with a request that runs */
    double        tokens;       /* generated */
};


void server_init(server_t *s, int id, const fleet_t *fleet, heap_t *heap,
    server_calls_t *calls);
void server_free(server_t *s);

void server_send(server_t *s, req_t *req);

/* The client of a request that has not ended leaves; nothing is called. */
void server_leave(server_t *s, req_t *req);

/* What /api/ps lists: puts the models into "models" and returns how many. */
int server_ps(server_t *s, int *models);

/* Requests that are there. */
int server_jobs(server_t *s);


/* gpu.c */

/* What runs has run on until now.  To be called before a change of it. */
void gpu_advance(server_t *s);

/* The speed of all that runs, and an event for the first that gets done. */
void gpu_plan(server_t *s);

/* The job that the planned event is for. */
job_t *gpu_done(server_t *s);

/* The planned event happened: the next stage, or the end, of a job. */
void server_step_handler(void *data, uint64_t number);


#endif /* _SERVER_H_INCLUDED_ */
