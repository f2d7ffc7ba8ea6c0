
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>

#include "draw.h"
#include "policy.h"


/*
 * Policies that give each server a score, made of what it has loaded, of how
 * much of the prompt it may still have, and of what it has to do.
 */


#define SCORE_BUCKETS  32768

/* tokens sent to a server since: older prompts are taken for lost; llm-d's
 * default is as many */
#define SCORE_KEPT     500000.0

/* the weights of llm-d's scorers; Ollama reports no use of the KV cache, in
 * its place is whether the model is loaded; of 0.5, 0.75 and 1 the best */
#define SCORE_PREFIX   2.0
#define SCORE_QUEUE    1.0
#define SCORE_WARM     0.75

/* as much as for the choice that there is today */
#define SCORE_LOAD     8

/* a reply whose length nobody knows */
#define SCORE_OUT      300


typedef struct {
    uint64_t    hash;
    double      sent[SIM_SERVERS];      /* of the server's tokens, 0: never */
} score_entry_t;


/* a request that was sent */

typedef struct {
    double      tokens;                 /* to be evaluated; 0: they were */
    double      prompt;                 /* seconds for them */
    double      load;
    double      gen;
    double      first;
    int         started;
} score_sent_t;


typedef struct {
    view_t         *view;
    double          sent[SIM_SERVERS];          /* tokens, ever */
    score_sent_t   *flying[SIM_SERVERS][1024];
    int             nflying[SIM_SERVERS];
    score_entry_t   entries[SCORE_BUCKETS];
} score_t;


static score_entry_t *score_entry(score_t *ctx, ask_t *ask, int mark);
static int score_cached(score_t *ctx, ask_t *ask, int server);
static void score_send(score_t *ctx, ask_t *ask, int server);
static double score_load(view_t *v, int server, int model);
static double score_backlog(score_t *ctx, int server);


void *
score_create(const policy_t *p, view_t *v, uint64_t seed)
{
    score_t  *ctx;

    ctx = sim_alloc(sizeof(score_t));
    ctx->view = v;

    return ctx;
}


void
score_destroy(void *data)
{
    score_t *ctx = data;

    int  k;

    for (k = 0; k < SIM_SERVERS; k++) {
        while (ctx->nflying[k]) {
            free(ctx->flying[k][--ctx->nflying[k]]);
        }
    }

    free(ctx);
}


void
score_first(void *data, ask_t *ask, int server)
{
    score_t *ctx = data;

    score_sent_t  *sent;

    sent = ask->held;

    if (sent) {
        sent->tokens = 0;
        sent->started = 1;
        sent->first = ctx->view->now;
    }
}


void
score_end(void *data, ask_t *ask, int server, figures_t *f)
{
    score_left(data, ask, server);
}


void
score_left(void *data, ask_t *ask, int server)
{
    score_t *ctx = data;

    int  i;

    for (i = 0; i < ctx->nflying[server]; i++) {

        if (ctx->flying[server][i] == ask->held) {
            ctx->flying[server][i] =
                            ctx->flying[server][--ctx->nflying[server]];
            break;
        }
    }

    free(ask->held);
    ask->held = NULL;
}


void
score_sum(void *data, ask_t *ask)
{
    score_t *ctx = data;

    int      k, best, most, least;
    double   score, highest;
    view_t  *v;

    v = ctx->view;
    most = -1;
    least = -1;

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][ask->model]) {
            continue;
        }

        if (most < 0 || v->in_flight[k] > most) {
            most = v->in_flight[k];
        }

        if (least < 0 || v->in_flight[k] < least) {
            least = v->in_flight[k];
        }
    }

    best = -1;
    highest = 0;

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][ask->model]) {
            continue;
        }

        score = SCORE_PREFIX * score_cached(ctx, ask, k) / ask->tokens
                + SCORE_WARM * view_warm(v, k, ask->model)
                + SCORE_QUEUE * (most == least ? 1
                      : (double) (most - v->in_flight[k]) / (most - least));

        if (best < 0 || score > highest) {
            best = k;
            highest = score;
        }
    }

    score_send(ctx, ask, best);
}


/*
 * The tokens to be evaluated, those that wait included, times the requests
 * there.  A load is that of as many requests as the product doesn't know of.
 */

void
score_product(void *data, ask_t *ask)
{
    score_t *ctx = data;

    int      k, i, best;
    double   score, least, tokens;
    view_t  *v;

    v = ctx->view;
    best = -1;
    least = 0;

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][ask->model]) {
            continue;
        }

        tokens = ask->tokens - score_cached(ctx, ask, k);

        for (i = 0; i < ctx->nflying[k]; i++) {
            tokens += ctx->flying[k][i]->tokens;
        }

        score = tokens * (v->in_flight[k] + 1
                        + (view_warm(v, k, ask->model) ? 0 : SCORE_LOAD));

        if (best < 0 || score < least) {
            best = k;
            least = score;
        }
    }

    score_send(ctx, ask, best);
}


/* The seconds until the reply ends; how fast the servers are is given. */

void
score_completion(void *data, ask_t *ask)
{
    score_t *ctx = data;

    int               k, best;
    double            score, least, size;
    view_t           *v;
    const machine_t  *machine;

    v = ctx->view;
    best = -1;
    least = 0;
    size = v->fleet->models[ask->model].size;

    for (k = 0; k < v->nservers; k++) {

        if (!v->has[k][ask->model]) {
            continue;
        }

        machine = &v->fleet->machines[k];

        score = score_backlog(ctx, k) + score_load(v, k, ask->model)
                + (ask->tokens - score_cached(ctx, ask, k))
                  * size / machine->prompt
                + SCORE_OUT * size / machine->gen;

        if (best < 0 || score < least) {
            best = k;
            least = score;
        }
    }

    score_send(ctx, ask, best);
}


static score_entry_t *
score_entry(score_t *ctx, ask_t *ask, int mark)
{
    uint64_t        hash;
    score_entry_t  *entry;

    hash = draw_mix(ask->marks[mark].hash, ask->model);
    entry = &ctx->entries[hash % SCORE_BUCKETS];

    if (entry->hash != hash) {
        *entry = (score_entry_t) { .hash = hash };
    }

    return entry;
}


/* Tokens of the prompt that were sent to the server, not long ago. */

static int
score_cached(score_t *ctx, ask_t *ask, int server)
{
    int      i;
    double   sent;
    uint64_t hash;

    for (i = ask->nmarks - 1; i >= 0; i--) {
        hash = draw_mix(ask->marks[i].hash, ask->model);

        if (ctx->entries[hash % SCORE_BUCKETS].hash != hash) {
            continue;
        }

        sent = ctx->entries[hash % SCORE_BUCKETS].sent[server];

        if (sent && ctx->sent[server] - sent <= SCORE_KEPT) {
            return ask->marks[i].tokens;
        }
    }

    return 0;
}


static void
score_send(score_t *ctx, ask_t *ask, int k)
{
    int               i;
    double            size;
    view_t           *v;
    score_sent_t     *sent;
    const machine_t  *machine;

    v = ctx->view;
    machine = &v->fleet->machines[k];
    size = v->fleet->models[ask->model].size;

    sent = sim_alloc(sizeof(score_sent_t));
    sent->tokens = ask->tokens - score_cached(ctx, ask, k);
    sent->load = score_load(v, k, ask->model);
    sent->prompt = sent->tokens * size / machine->prompt;
    sent->gen = SCORE_OUT * size / machine->gen;

    ctx->sent[k] += ask->tokens;

    for (i = 0; i < ask->nmarks; i++) {
        score_entry(ctx, ask, i)->sent[k] = ctx->sent[k];
    }

    if (ctx->nflying[k] < 1024) {
        ctx->flying[k][ctx->nflying[k]++] = sent;
    }

    ask->held = sent;

    v->send(v, ask, k);
}


static double
score_load(view_t *v, int server, int model)
{
    if (view_warm(v, server, model)) {
        return 0;
    }

    return 2 + v->fleet->models[model].size
               / v->fleet->machines[server].disk;
}


static double
score_backlog(score_t *ctx, int server)
{
    int            i;
    double         sum, left;
    score_sent_t  *sent;

    sum = 0;

    for (i = 0; i < ctx->nflying[server]; i++) {
        sent = ctx->flying[server][i];

        if (!sent->started) {
            sum += sent->load + sent->prompt + sent->gen;
            continue;
        }

        left = sent->gen - (ctx->view->now - sent->first);
        sum += left > sent->gen / 2 ? left : sent->gen / 2;
    }

    return sum / ctx->view->fleet->places;
}
