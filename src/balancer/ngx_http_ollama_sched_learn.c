
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the scheduler learns from replies: speeds, from their own figures, and
 * how many requests a runner works on at once, from those that have their first
 * token at the same time.  Means are of logarithms: one reply that is ten times
 * slower counts as much as one that is ten times faster.
 *
 * Pure functions; the memory is the caller's.
 */


#include <math.h>

#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_sched_learn.h"
#include "balancer/ngx_http_ollama_sched_cost.h"
#include "balancer/ngx_http_ollama_sched_state.h"


/* weights of a reply in the means */
#define NGX_HTTP_OLLAMA_LEARN_SPEED      0.2f
#define NGX_HTTP_OLLAMA_LEARN_SERVER     0.1f
#define NGX_HTTP_OLLAMA_LEARN_DOUBTFUL   0.01f
#define NGX_HTTP_OLLAMA_LEARN_OUT        0.05f
#define NGX_HTTP_OLLAMA_LEARN_SVC        0.1f

/* tokens that a figure must be of */
#define NGX_HTTP_OLLAMA_LEARN_PROMPT     128
#define NGX_HTTP_OLLAMA_LEARN_GENERATED  8

/* the share of a prompt that must be cached to tell a hit from a miss */
#define NGX_HTTP_OLLAMA_LEARN_CACHED     0.4f

/* ms between two requests beyond the places that are known */
#define NGX_HTTP_OLLAMA_LEARN_BACKOFF    5000
#define NGX_HTTP_OLLAMA_LEARN_BACKOFF_MAX  3600000

/* late first tokens in a row that show that there are fewer places */
#define NGX_HTTP_OLLAMA_LEARN_LATE       4

/* no reply takes, or has, more */
#define NGX_HTTP_OLLAMA_LEARN_SECONDS    86400.0f
#define NGX_HTTP_OLLAMA_LEARN_TOKENS     1000000

/* speeds, in tokens/s and GB/s, are no less and no more */
#define NGX_HTTP_OLLAMA_LEARN_SLOWEST    0.001f
#define NGX_HTTP_OLLAMA_LEARN_FASTEST    1e9f

/* no server works on more at once */
#define NGX_HTTP_OLLAMA_LEARN_PLACES     64


static void ngx_http_ollama_learn_bound(ngx_http_ollama_figures_t *f);
static void ngx_http_ollama_learn_model(ngx_http_ollama_sched_model_t *m,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_figures_t *f, ngx_msec_t now);
static void ngx_http_ollama_learn_prompt(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, float tokens, float seconds);
static void ngx_http_ollama_learn_reach(ngx_http_ollama_ticket_t *t,
    ngx_uint_t hit);
static ngx_uint_t ngx_http_ollama_learn_load(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, float load);
static float ngx_http_ollama_learn_mean(float mean, float value, float weight);


ngx_uint_t
ngx_http_ollama_sched_learn(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_figures_t *f, ngx_msec_t now)
{
    float                           load, prompt, generate, size, g;
    ngx_uint_t                      probe;
    ngx_http_ollama_runner_t       *runner;
    ngx_http_ollama_sched_model_t  *m;

    runner = t->runner;
    size = ngx_http_ollama_sched_size(runner->size);
    m = ngx_http_ollama_sched_model(s, t->model);

    ngx_http_ollama_learn_bound(f);

    load = f->load;
    prompt = f->prompt;
    generate = f->generate;

    if (generate < 0 && t->first) {
        generate = ngx_http_ollama_sched_seconds(t->first_at, now);
    }

    if (prompt < 0 && t->first && !t->cold) {
        prompt = ngx_http_ollama_sched_seconds(t->granted, t->first_at);
    }

    if (f->generated_tokens >= NGX_HTTP_OLLAMA_LEARN_GENERATED
        && generate > 0)
    {
        g = f->generated_tokens / generate * t->share;

        runner->generate = ngx_http_ollama_learn_mean(runner->generate, g,
                                                NGX_HTTP_OLLAMA_LEARN_SPEED);
        t->capacity->generate =
               ngx_http_ollama_learn_mean(t->capacity->generate, g * size,
                                          NGX_HTTP_OLLAMA_LEARN_SERVER);
    }

    if (f->prompt_tokens > 0) {
        runner->used += f->prompt_tokens;

        if (prompt > 0) {
            ngx_http_ollama_learn_prompt(s, t, f->prompt_tokens, prompt);
        }
    }

    if (f->generated_tokens > 0) {
        runner->used += f->generated_tokens;
    }

    probe = 0;

    if (load >= 0) {
        probe = ngx_http_ollama_learn_load(s, t, load);
    }

    if (m) {
        ngx_http_ollama_learn_model(m, t, f, now);
    }

    return probe;
}


/* A server that lies spoils no more than what is known of it. */

static void
ngx_http_ollama_learn_bound(ngx_http_ollama_figures_t *f)
{
    f->load = ngx_min(f->load, NGX_HTTP_OLLAMA_LEARN_SECONDS);
    f->prompt = ngx_min(f->prompt, NGX_HTTP_OLLAMA_LEARN_SECONDS);
    f->generate = ngx_min(f->generate, NGX_HTTP_OLLAMA_LEARN_SECONDS);

    f->prompt_tokens = ngx_min(f->prompt_tokens, NGX_HTTP_OLLAMA_LEARN_TOKENS);
    f->generated_tokens = ngx_min(f->generated_tokens,
                                  NGX_HTTP_OLLAMA_LEARN_TOKENS);
}


/* What is known of the model in the whole fleet. */

static void
ngx_http_ollama_learn_model(ngx_http_ollama_sched_model_t *m,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_figures_t *f, ngx_msec_t now)
{
    float  svc;

    if (f->prompt_tokens > 0 && t->bytes) {
        m->bytes = ngx_http_ollama_learn_mean(m->bytes,
                                          (float) t->bytes / f->prompt_tokens,
                                          NGX_HTTP_OLLAMA_LEARN_SPEED);
    }

    if (f->generated_tokens > 0) {
        m->out = (m->out > 0)
                 ? m->out + NGX_HTTP_OLLAMA_LEARN_OUT
                            * (f->generated_tokens - m->out)
                 : ngx_http_ollama_sched_out(NULL) * 0.9f
                   + 0.1f * f->generated_tokens;
    }

    svc = ngx_http_ollama_sched_seconds(t->granted, now)
        - ((t->cold && f->load > 0) ? f->load : 0);

    if (svc > 0 && (!t->cold || f->load > 0)) {
        m->svc = ngx_http_ollama_learn_mean(m->svc, svc,
                                            NGX_HTTP_OLLAMA_LEARN_SVC);
    }
}


/*
 * Replies count cached tokens, too, but do not say how many these are.  Where
 * some were expected in the cache, the speed tells whether they were: it is a
 * hit or a miss, whichever is nearer to the speed that is known.
 */

static void
ngx_http_ollama_learn_prompt(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, float tokens, float seconds)
{
    float                      hit, miss, p, known, weight;
    ngx_uint_t                 is_hit;
    ngx_http_ollama_runner_t  *runner;

    runner = t->runner;
    weight = NGX_HTTP_OLLAMA_LEARN_SPEED;

    miss = tokens / seconds * t->share;
    p = miss;

    known = ngx_http_ollama_sched_prompt_speed(s, t->capacity, runner,
                                               runner->size);

    if (t->cached > 0 && tokens > t->cached) {

        hit = (tokens - t->cached) / seconds * t->share;
        is_hit = fabsf(logf(hit / known)) < fabsf(logf(miss / known));

        if (t->cached > NGX_HTTP_OLLAMA_LEARN_PROMPT
            && t->cached > tokens * NGX_HTTP_OLLAMA_LEARN_CACHED)
        {
            ngx_http_ollama_learn_reach(t, is_hit);
        }

        if (is_hit) {
            p = hit;
            tokens -= t->cached;
        }

    } else if (runner->prompt > 0 && p > 3 * runner->prompt) {
        /* most of it was in the cache all the same */
        weight = NGX_HTTP_OLLAMA_LEARN_DOUBTFUL;
    }

    if (tokens < NGX_HTTP_OLLAMA_LEARN_PROMPT) {
        return;
    }

    runner->prompt = ngx_http_ollama_learn_mean(runner->prompt, p, weight);

    t->capacity->prompt = ngx_http_ollama_learn_mean(t->capacity->prompt,
                              p * ngx_http_ollama_sched_size(runner->size),
                              weight / 2);
}


/* How far back the cache goes: beyond where a hit was, short of a miss. */

static void
ngx_http_ollama_learn_reach(ngx_http_ollama_ticket_t *t, ngx_uint_t hit)
{
    float                      back;
    ngx_http_ollama_runner_t  *runner;

    runner = t->runner;
    back = t->back;

    if (back <= 0 || hit == (back <= runner->reach)) {
        return;
    }

    runner->reach += 0.3f * (back - runner->reach);
}


/*
 * The time of a load shows the bandwidth.  A reply that had to wait for a load
 * where the model was loaded, as far as was known, shows that it was unloaded.
 */

static ngx_uint_t
ngx_http_ollama_learn_load(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, float load)
{
    float                       size, expected, rest;
    ngx_http_ollama_capacity_t *c;

    c = t->capacity;
    size = ngx_http_ollama_sched_size(t->runner->size);
    expected = ngx_http_ollama_sched_load(c, size);

    if (!t->cold) {
        return load > ngx_max(1, 0.3f * expected);
    }

    /* the fixed part is not known better than to a half of all */

    rest = ngx_max(load - 2, load / 2);

    if (rest > 0.01f) {
        c->bandwidth = ngx_http_ollama_learn_mean(c->bandwidth, size / rest,
                                                NGX_HTTP_OLLAMA_LEARN_SPEED);
    }

    return 0;
}


void
ngx_http_ollama_sched_learn_places(ngx_http_ollama_ticket_t *t, ngx_msec_t now)
{
    ngx_uint_t                  places, late;
    ngx_http_ollama_runner_t   *runner;
    ngx_http_ollama_capacity_t *c;

    c = t->capacity;
    runner = t->runner;
    places = ngx_http_ollama_sched_places(c, runner);

    /* it came later than expected, when others had ended */

    late = runner->streaming < t->at
           && ngx_http_ollama_sched_seconds(t->granted, now)
              > 2 * t->expected + 0.5f;

    if (t->probe) {
        c->probing--;
    }

    if (runner->streaming > places
        && runner->streaming <= NGX_HTTP_OLLAMA_LEARN_PLACES)
    {
        runner->places = runner->streaming;
        runner->late = 0;
        c->places = runner->places;
        c->backoff = 0;
        c->probe_at = now;
        return;
    }

    if (t->probe) {

        if (late) {
            c->backoff = c->backoff ? ngx_min(c->backoff * 5,
                                          NGX_HTTP_OLLAMA_LEARN_BACKOFF_MAX)
                                    : NGX_HTTP_OLLAMA_LEARN_BACKOFF;
            c->probe_at = now + c->backoff;
        }

        return;
    }

    if (t->at != places || places == 1) {
        return;
    }

    if (!late) {
        runner->late = 0;
        return;
    }

    if (++runner->late >= NGX_HTTP_OLLAMA_LEARN_LATE) {
        runner->late = 0;
        runner->places = places - 1;
        c->places = runner->places;
    }
}


static float
ngx_http_ollama_learn_mean(float mean, float value, float weight)
{
    value = ngx_max(value, NGX_HTTP_OLLAMA_LEARN_SLOWEST);
    value = ngx_min(value, NGX_HTTP_OLLAMA_LEARN_FASTEST);

    return (mean > 0) ? mean * powf(value / mean, weight) : value;
}
