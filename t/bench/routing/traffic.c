
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>
#include <string.h>

#include "traffic.h"


#define TRAFFIC_TURNS      5        /* mean */
#define TRAFFIC_TURNS_MAX  20
#define TRAFFIC_PROMPT     8192     /* no longer ones are sent */
#define TRAFFIC_FIRST      300      /* tokens of the first message, mean */
#define TRAFFIC_MESSAGE    100
#define TRAFFIC_REPLY      300
#define TRAFFIC_REPLY_MAX  2000
#define TRAFFIC_GUESS      0.1      /* how wrong tokens by bytes are */
#define TRAFFIC_PREFIX     128      /* tokens of 512 bytes */
#define TRAFFIC_OTHERS     20       /* owners */

#define TRAFFIC_TIMES      3.0
#define TRAFFIC_PERIOD     600.0
#define TRAFFIC_PEAK       120.0

#define TRAFFIC_EVERY      40.0     /* seconds between requests of that user */
#define TRAFFIC_FLOOD_N    200
#define TRAFFIC_FLOOD_IN   10.0
#define TRAFFIC_SELDOM     240.0


/* what a number is drawn for */

enum {
    DRAW_TIMES = 1,
    DRAW_CONV,
    DRAW_THINNING,
    DRAW_SINGLE,
    DRAW_FLOOD
};


static const int  traffic_system[] = { 150, 300, 500, 800, 1200, 2000 };


static void traffic_next(traffic_t *t);
static void traffic_conv_handler(void *data, uint64_t number);
static conv_t *traffic_conv(traffic_t *t, uint64_t kind, uint64_t number);
static void traffic_single_handler(void *data, uint64_t number);
static void traffic_flood_handler(void *data, uint64_t number);
static void traffic_flooded_handler(void *data, uint64_t number);
static void traffic_turn_handler(void *data, uint64_t number);
static void traffic_turn(traffic_t *t, conv_t *conv);
static void traffic_mark(conv_t *conv, uint64_t hash, int tokens);
static req_t *traffic_req(traffic_t *t, const mark_t *marks, int nmarks,
    double guess);
static void traffic_trace(traffic_t *t);
static void traffic_trace_handler(void *data, uint64_t number);


void
traffic_init(traffic_t *t, heap_t *heap, const scenario_t *scenario,
    trace_t *trace, double load, uint64_t seed)
{
    t->heap = heap;
    t->scenario = scenario;
    t->trace = trace;
    t->seed = seed;
    t->rate = scenario->rate * load;
    t->end = scenario->length;
    t->convs = 0;
    t->reqs = 0;
    t->line = 0;
    t->all = NULL;
    t->nall = 0;

    draw_seed(&t->draw, seed, DRAW_TIMES);

    switch (scenario->traffic) {

    case TRAFFIC_TRACE:
        traffic_trace(t);
        return;

    case TRAFFIC_FLOOD:
        heap_add(heap, TRAFFIC_PERIOD / 2, traffic_flood_handler, t, 0);
        /* fall through */

    case TRAFFIC_LIGHT:
    case TRAFFIC_RARE:
        heap_add(heap, TRAFFIC_EVERY, traffic_single_handler, t, 0);
        /* fall through */

    default:
        traffic_next(t);
    }
}


void
traffic_free(traffic_t *t)
{
    int  i;

    for (i = 0; i < t->nall; i++) {
        free(t->all[i]->marks);
        free(t->all[i]);
    }

    free(t->all);
}


void
traffic_replied(traffic_t *t, req_t *req)
{
    double   at;
    conv_t  *conv;

    if (t->scenario->traffic == TRAFFIC_TRACE) {
        return;
    }

    conv = t->all[req->conv];

    if (conv->turn == conv->turns) {
        return;
    }

    conv->tokens += req->out;
    traffic_mark(conv, req->reply, conv->tokens);

    at = t->heap->now + 3 + 40 * draw_unit(&conv->draw);

    if (at < t->end) {
        heap_add(t->heap, at, traffic_turn_handler, t, conv->id);
    }
}


void
traffic_req_free(req_t *req)
{
    free(req->marks);
    free(req->ask.marks);
    free(req);
}


/*
 * The rate of bursts is such that the mean is the same.  Times are those of
 * another rate, stretched: they don't depend on what else is drawn.
 */

static void
traffic_next(traffic_t *t)
{
    double  at, rate, low;

    at = t->heap->now;
    rate = t->rate;

    if (t->scenario->traffic == TRAFFIC_BURST) {
        low = rate / (1 + (TRAFFIC_TIMES - 1) * TRAFFIC_PEAK / TRAFFIC_PERIOD);

        /* drawn at the peak's rate; some are left out at other times */

        rate = low * TRAFFIC_TIMES;

        for ( ;; ) {
            at += draw_exp(&t->draw, 1 / rate);

            if (at - TRAFFIC_PERIOD * (int) (at / TRAFFIC_PERIOD)
                < TRAFFIC_PEAK)
            {
                break;
            }

            if (draw_unit(&t->draw) < 1 / TRAFFIC_TIMES) {
                break;
            }
        }

    } else {
        at += draw_exp(&t->draw, 1 / rate);
    }

    if (at < t->end) {
        heap_add(t->heap, at, traffic_conv_handler, t, 0);
    }
}


static void
traffic_conv_handler(void *data, uint64_t number)
{
    traffic_t *t = data;

    conv_t  *conv;

    conv = traffic_conv(t, DRAW_CONV, t->convs++);

    conv->owner = OWNER_OTHER + (scenario_has_owners(t->scenario)
                                 ? draw_below(&conv->draw, TRAFFIC_OTHERS)
                                 : 0);
    conv->turns = 1;

    while (conv->turns < TRAFFIC_TURNS_MAX
           && draw_unit(&conv->draw) > 1.0 / TRAFFIC_TURNS)
    {
        conv->turns++;
    }

    if (t->scenario->traffic == TRAFFIC_RARE) {
        conv->model = 0;
    }

    traffic_turn(t, conv);
    traffic_next(t);
}


/* Its model, and the system prompt, of which there are few. */

static conv_t *
traffic_conv(traffic_t *t, uint64_t kind, uint64_t number)
{
    int      n, models;
    conv_t  *conv;

    conv = sim_alloc(sizeof(conv_t));

    t->all = sim_realloc(t->all, (t->nall + 1) * sizeof(conv_t *));

    conv->id = t->nall;
    t->all[t->nall++] = conv;

    draw_seed(&conv->draw, draw_mix(t->seed, kind), number);

    models = t->scenario->fleet.nmodels;

    if (t->scenario->context) {
        models /= 2;
    }

    conv->model = draw_zipf(&conv->draw, models, t->scenario->zipf);

    if (draw_unit(&conv->draw) < t->scenario->context) {
        conv->model += models;
    }

    n = draw_below(&conv->draw,
                   sizeof(traffic_system) / sizeof(traffic_system[0]));

    conv->guess = 1 + TRAFFIC_GUESS * (2 * draw_unit(&conv->draw) - 1);
    conv->hash = draw_mix(t->seed, n);
    conv->tokens = traffic_system[n];
    traffic_mark(conv, conv->hash, conv->tokens);

    conv->hash = draw_bits(&conv->draw);

    return conv;
}


/* A request that nothing follows: of the light user, or for the rare model. */

static void
traffic_single_handler(void *data, uint64_t number)
{
    traffic_t *t = data;

    int      rare;
    double   at;
    conv_t  *conv;

    rare = (t->scenario->traffic == TRAFFIC_RARE);

    conv = traffic_conv(t, DRAW_SINGLE, number);
    conv->owner = OWNER_LIGHT;
    conv->turns = 1;

    if (rare) {
        conv->model = t->scenario->fleet.nmodels - 1;
    }

    at = t->heap->now
         + draw_exp(&conv->draw, rare ? TRAFFIC_SELDOM : TRAFFIC_EVERY);

    traffic_turn(t, conv);

    if (at < t->end) {
        heap_add(t->heap, at, traffic_single_handler, t, number + 1);
    }
}


static void
traffic_flood_handler(void *data, uint64_t number)
{
    traffic_t *t = data;

    int     i;
    double  at;

    for (i = 0; i < TRAFFIC_FLOOD_N; i++) {
        at = t->heap->now + i * TRAFFIC_FLOOD_IN / TRAFFIC_FLOOD_N;

        heap_add(t->heap, at, traffic_flooded_handler, t,
                 number * TRAFFIC_FLOOD_N + i);
    }

    at = t->heap->now + TRAFFIC_PERIOD;

    if (at < t->end) {
        heap_add(t->heap, at, traffic_flood_handler, t, number + 1);
    }
}


/* All are for the model that is asked for the most. */

static void
traffic_flooded_handler(void *data, uint64_t number)
{
    traffic_t *t = data;

    conv_t  *conv;

    conv = traffic_conv(t, DRAW_FLOOD, number);
    conv->model = 0;
    conv->owner = OWNER_FLOOD;
    conv->turns = 1;

    traffic_turn(t, conv);
}


static void
traffic_turn_handler(void *data, uint64_t number)
{
    traffic_t *t = data;

    traffic_turn(t, t->all[number]);
}


static void
traffic_turn(traffic_t *t, conv_t *conv)
{
    int      tokens, out;
    req_t   *req;
    double   leaves;

    tokens = conv->turn
             ? 1 + draw_lognormal(&conv->draw, TRAFFIC_MESSAGE, 1.0)
             : 1 + draw_lognormal(&conv->draw, TRAFFIC_FIRST, 1.2);

    if (tokens > TRAFFIC_PROMPT / 2) {
        tokens = TRAFFIC_PROMPT / 2;
    }

    out = 1 + draw_lognormal(&conv->draw, TRAFFIC_REPLY, 0.9);

    if (out > TRAFFIC_REPLY_MAX) {
        out = TRAFFIC_REPLY_MAX;
    }

    leaves = SIM_NEVER;

    if (draw_unit(&conv->draw) < t->scenario->leave) {
        leaves = t->heap->now + 1 + draw_exp(&conv->draw, 20);
    }

    conv->tokens += tokens;
    conv->turn++;

    traffic_mark(conv, draw_mix(conv->hash, 2 * conv->turn), conv->tokens);

    req = traffic_req(t, conv->marks, conv->nmarks, conv->guess);

    req->conv = conv->id;
    req->turn = conv->turn;
    req->out = out;
    req->reply = draw_mix(conv->hash, 2 * conv->turn + 1);
    req->ask.model = conv->model;
    req->ask.owner = conv->owner;
    req->ask.session = conv->hash;

    if (conv->tokens + out + 500 > TRAFFIC_PROMPT) {
        conv->turns = conv->turn;
    }

    t->arrive(t->data, req, leaves);
}


static void
traffic_mark(conv_t *conv, uint64_t hash, int tokens)
{
    conv->marks = sim_realloc(conv->marks,
                              (conv->nmarks + 1) * sizeof(mark_t));

    conv->marks[conv->nmarks].hash = hash;
    conv->marks[conv->nmarks].tokens = tokens;
    conv->nmarks++;
}


static req_t *
traffic_req(traffic_t *t, const mark_t *marks, int nmarks, double guess)
{
    int     i;
    req_t  *req;

    req = sim_alloc(sizeof(req_t));

    req->marks = sim_alloc(nmarks * sizeof(mark_t));
    memcpy(req->marks, marks, nmarks * sizeof(mark_t));

    req->ask.marks = sim_alloc(nmarks * sizeof(mark_t));

    for (i = 0; i < nmarks; i++) {
        req->ask.marks[i].hash = marks[i].hash;
        req->ask.marks[i].tokens = 1 + marks[i].tokens * guess;
    }

    req->ask.id = t->reqs++;
    req->ask.nmarks = nmarks;
    req->ask.tokens = req->ask.marks[nmarks - 1].tokens;
    req->ask.prefix = marks[0].hash;

    for (i = 0; i < nmarks && marks[i].tokens < TRAFFIC_PREFIX; i++) {
        req->ask.prefix = marks[i].hash;
    }

    req->prompt = marks[nmarks - 1].tokens;
    req->server = -1;
    req->arrived = t->heap->now;
    req->first = SIM_NEVER;
    req->ended = SIM_NEVER;

    return req;
}


/* Whole conversations are kept, or left out, by the seed. */

static void
traffic_trace(traffic_t *t)
{
    draw_t        d;
    trace_req_t  *line;

    for ( /* void */ ; t->line < t->trace->n; t->line++) {
        line = &t->trace->reqs[t->line];

        draw_seed(&d, draw_mix(t->seed, DRAW_THINNING), line->conv);

        if (draw_unit(&d) < t->rate) {
            heap_add(t->heap, line->at, traffic_trace_handler, t, 0);
            return;
        }
    }
}


static void
traffic_trace_handler(void *data, uint64_t number)
{
    traffic_t *t = data;

    req_t        *req;
    draw_t        d;
    trace_req_t  *line;

    line = &t->trace->reqs[t->line++];

    draw_seed(&d, draw_mix(t->seed, DRAW_CONV), line->conv);

    req = traffic_req(t, line->marks, line->nmarks,
                      1 + TRAFFIC_GUESS * (2 * draw_unit(&d) - 1));

    req->conv = line->conv;
    req->out = line->out;
    req->ask.owner = OWNER_OTHER;
    req->ask.session = draw_mix(t->seed, line->conv);

    t->arrive(t->data, req, SIM_NEVER);

    traffic_trace(t);
}
