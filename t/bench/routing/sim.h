
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _SIM_H_INCLUDED_
#define _SIM_H_INCLUDED_


/*
 * What the parts of the simulator of routing share: requests as a client makes
 * them, as a gateway sees them and as a server reports them, and the machines
 * and models of a scenario.  Times are seconds, sizes gigabytes.
 */


#include <stddef.h>
#include <stdint.h>


#define SIM_SERVERS  16
#define SIM_MODELS   24
#define SIM_PLACES   8

#define SIM_NEVER    1e18


/* a place in a prompt, with what identifies all up to there */

typedef struct {
    uint64_t    hash;
    int         tokens;
} mark_t;


/* A request as a gateway sees it; tokens are guessed from its bytes. */

typedef struct {
    int         id;
    int         model;
    int         owner;
    int         tokens;
    int         nmarks;
    mark_t     *marks;
    uint64_t    session;        /* the conversation that it is a turn of */
    uint64_t    prefix;         /* the first 512 bytes of its prompt */
    void       *held;           /* of the policy */
} ask_t;


/* What the last frame of a reply reports; not ok: there was none. */

typedef struct {
    int         ok;
    int         prompt_eval_count;
    int         eval_count;
    double      load_duration;
    double      prompt_eval_duration;
    double      eval_duration;
    double      total_duration;
} figures_t;


/* a request */

typedef struct req_s  req_t;

struct req_s {
    ask_t       ask;
    mark_t     *marks;          /* with the true tokens */
    uint64_t    reply;          /* the hash after the reply; 0: no turn follows
                                   that repeats it */
    int         prompt;
    int         out;
    int         cached;
    int         conv;
    int         turn;
    int         server;         /* -1: not sent yet */
    int         left;           /* its client left before the end */
    void       *job;            /* of the server */
    double      arrived;
    double      first;          /* SIM_NEVER: no token came */
    double      ended;
};


/* Speeds are those of a model of one gigabyte. */

typedef struct {
    const char *name;
    double      prompt;         /* tokens/s */
    double      gen;            /* tokens/s */
    double      disk;           /* GB/s when a model is loaded */
    double      memory;         /* GB */
} machine_t;


typedef struct {
    int         weights;        /* equal: the same, with another num_ctx */
    double      size;           /* GB */
    double      token;          /* bytes of cache a token */
} model_t;


typedef struct {
    int         nservers;
    int         nmodels;
    int         places;         /* OLLAMA_NUM_PARALLEL */
    int         loaded;         /* OLLAMA_MAX_LOADED_MODELS */
    double      store;          /* bytes of the host's store of prompts */
    machine_t   machines[SIM_SERVERS];
    model_t     models[SIM_MODELS];
} fleet_t;


#endif /* _SIM_H_INCLUDED_ */
