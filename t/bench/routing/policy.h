
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _POLICY_H_INCLUDED_
#define _POLICY_H_INCLUDED_


/*
 * A policy decides which server gets a request, and when.  It is called with
 * what a gateway sees, and calls view->send(), once for each request, at once
 * or later.
 */


#include "sim.h"


typedef struct view_s    view_t;
typedef struct policy_s  policy_t;


/* What every gateway knows, whatever its policy. */

struct view_s {
    double            now;
    const fleet_t    *fleet;    /* sizes of models; not how fast they are */
    int               nservers;
    int               nmodels;
    uint8_t           has[SIM_SERVERS][SIM_MODELS];
    uint8_t           seen[SIM_SERVERS][SIM_MODELS];
                                /* loaded, by the last look or a reply since */
    int               in_flight[SIM_SERVERS];
    int               running[SIM_SERVERS][SIM_MODELS];
                                /* of "in_flight", those of a model */

    void            (*send)(view_t *v, ask_t *ask, int server);
    void            (*look)(view_t *v, int server);     /* soon */
    void             *data;
};


struct policy_s {
    const char       *name;
    const char       *title;
    int               variant;  /* of policies that share their functions */

    void           *(*create)(const policy_t *p, view_t *v, uint64_t seed);
    void            (*destroy)(void *ctx);
    void            (*arrive)(void *ctx, ask_t *ask);

    /* those below may be NULL */
    void            (*first)(void *ctx, ask_t *ask, int server);
    void            (*end)(void *ctx, ask_t *ask, int server, figures_t *f);
    void            (*look)(void *ctx, int server, int *models, int n);
    void            (*tick)(void *ctx);         /* each second */

    /* The client left; server < 0: the request was not sent yet. */
    void            (*left)(void *ctx, ask_t *ask, int server);
};


/* Ends with a null name. */
extern const policy_t  policies[];

const policy_t *policy_find(const char *name);

/* The model is loaded there, or on its way. */
int view_warm(const view_t *v, int server, int model);

/* The server with the model and the fewest requests; the first of equals. */
int view_least(const view_t *v, int model);


/* policy_plain.c */

void *plain_create(const policy_t *p, view_t *v, uint64_t seed);
void plain_destroy(void *ctx);
void plain_round_robin(void *ctx, ask_t *ask);
void plain_random(void *ctx, ask_t *ask);
void plain_least(void *ctx, ask_t *ask);
void plain_priority(void *ctx, ask_t *ask);

/* policy_affine.c */

void *affine_create(const policy_t *p, view_t *v, uint64_t seed);
void affine_destroy(void *ctx);
void affine_session(void *ctx, ask_t *ask);
void affine_prefix(void *ctx, ask_t *ask);
void affine_bounded(void *ctx, ask_t *ask);

/* policy_score.c */

void *score_create(const policy_t *p, view_t *v, uint64_t seed);
void score_destroy(void *ctx);
void score_first(void *ctx, ask_t *ask, int server);
void score_end(void *ctx, ask_t *ask, int server, figures_t *f);
void score_left(void *ctx, ask_t *ask, int server);
void score_sum(void *ctx, ask_t *ask);
void score_product(void *ctx, ask_t *ask);
void score_completion(void *ctx, ask_t *ask);

/* policy_today.c */

void *today_create(const policy_t *p, view_t *v, uint64_t seed);
void today_destroy(void *ctx);
void today_arrive(void *ctx, ask_t *ask);

/* policy_gateway.c */

enum {
    GATEWAY_LEARNS = 0,
    GATEWAY_KNOWN,              /* places are told */
    GATEWAY_BOUND,              /* the same, and nothing waits */
    GATEWAY_ALIKE,              /* all owners are one */
    GATEWAY_BLIND               /* prefixes are not remembered */
};

void *gateway_create(const policy_t *p, view_t *v, uint64_t seed);
void gateway_destroy(void *ctx);
void gateway_arrive(void *ctx, ask_t *ask);
void gateway_first(void *ctx, ask_t *ask, int server);
void gateway_end(void *ctx, ask_t *ask, int server, figures_t *f);
void gateway_look(void *ctx, int server, int *models, int n);
void gateway_tick(void *ctx);
void gateway_left(void *ctx, ask_t *ask, int server);


#endif /* _POLICY_H_INCLUDED_ */
