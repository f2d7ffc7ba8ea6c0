
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The choice of a server among those that can serve a request: each is up, has
 * the model or may have it, and has a free slot.  The header describes the
 * steps, and why they are in this order.
 *
 * Pure functions without memory of their own: they may use no request, no lock
 * and no clock.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_policy.h"


/* so many requests ahead are as long a wait as the load of a model */
#define NGX_HTTP_OLLAMA_POLICY_LOAD    8

/* the highest weight that counts */
#define NGX_HTTP_OLLAMA_POLICY_WEIGHT  (1 << 24)


typedef ngx_uint_t (*ngx_http_ollama_policy_pt)(
    ngx_http_ollama_candidate_t *c);


static ngx_uint_t ngx_http_ollama_policy_prefer(
    ngx_http_ollama_candidate_t *c, ngx_uint_t n,
    ngx_http_ollama_policy_pt has);
static ngx_uint_t ngx_http_ollama_policy_is_sound(
    ngx_http_ollama_candidate_t *c);
static ngx_uint_t ngx_http_ollama_policy_is_known(
    ngx_http_ollama_candidate_t *c);
static ngx_uint_t ngx_http_ollama_policy_is_warm(
    ngx_http_ollama_candidate_t *c);
static void ngx_http_ollama_policy_front(ngx_http_ollama_candidate_t *c,
    ngx_uint_t i, ngx_uint_t *front);
static ngx_int_t ngx_http_ollama_policy_weight(ngx_http_ollama_candidate_t *c);
static uint64_t ngx_http_ollama_policy_product(
    ngx_http_ollama_candidate_t *c, ngx_http_ollama_candidate_t *other);


void *
ngx_http_ollama_policy(ngx_http_ollama_candidate_t *c, ngx_uint_t n)
{
    if (n == 0) {
        return NULL;
    }

    n = ngx_http_ollama_policy_sound(c, n);
    n = ngx_http_ollama_policy_known(c, n);
    n = ngx_http_ollama_policy_least(c, n);
    n = ngx_http_ollama_policy_warm(c, n);

    (void) ngx_http_ollama_policy_next(c, n);

    return c[0].peer;
}


ngx_uint_t
ngx_http_ollama_policy_sound(ngx_http_ollama_candidate_t *c, ngx_uint_t n)
{
    return ngx_http_ollama_policy_prefer(c, n,
                                         ngx_http_ollama_policy_is_sound);
}


ngx_uint_t
ngx_http_ollama_policy_known(ngx_http_ollama_candidate_t *c, ngx_uint_t n)
{
    return ngx_http_ollama_policy_prefer(c, n,
                                         ngx_http_ollama_policy_is_known);
}


/*
 * The sums in_flight / weight + cost of a load are compared by their cross
 * products.
 */

ngx_uint_t
ngx_http_ollama_policy_least(ngx_http_ollama_candidate_t *c, ngx_uint_t n)
{
    uint64_t    one, least;
    ngx_uint_t  i, front;

    front = 0;

    for (i = 0; i < n; i++) {

        if (front) {
            one = ngx_http_ollama_policy_product(&c[i], &c[0]);
            least = ngx_http_ollama_policy_product(&c[0], &c[i]);

            if (one > least) {
                continue;
            }

            if (one < least) {
                front = 0;
            }
        }

        ngx_http_ollama_policy_front(c, i, &front);
    }

    return front;
}


ngx_uint_t
ngx_http_ollama_policy_warm(ngx_http_ollama_candidate_t *c, ngx_uint_t n)
{
    return ngx_http_ollama_policy_prefer(c, n,
                                         ngx_http_ollama_policy_is_warm);
}


/* The smooth weighted round robin of ngx_http_upstream_get_peer(). */

ngx_uint_t
ngx_http_ollama_policy_next(ngx_http_ollama_candidate_t *c, ngx_uint_t n)
{
    ngx_int_t   weight, total;
    ngx_uint_t  i, best, front;

    if (n == 0) {
        return 0;
    }

    best = 0;
    total = 0;

    for (i = 0; i < n; i++) {

        weight = ngx_http_ollama_policy_weight(&c[i]);

        *c[i].current += weight;
        total += weight;

        if (*c[i].current > *c[best].current) {
            best = i;
        }
    }

    *c[best].current -= total;

    front = 0;
    ngx_http_ollama_policy_front(c, best, &front);

    return front;
}


/* Prefers those that have a property; all, if none has it. */

static ngx_uint_t
ngx_http_ollama_policy_prefer(ngx_http_ollama_candidate_t *c, ngx_uint_t n,
    ngx_http_ollama_policy_pt has)
{
    ngx_uint_t  i, front;

    front = 0;

    for (i = 0; i < n; i++) {
        if (has(&c[i])) {
            ngx_http_ollama_policy_front(c, i, &front);
        }
    }

    return front ? front : n;
}


static ngx_uint_t
ngx_http_ollama_policy_is_sound(ngx_http_ollama_candidate_t *c)
{
    return !c->state.refusing;
}


static ngx_uint_t
ngx_http_ollama_policy_is_known(ngx_http_ollama_candidate_t *c)
{
    return c->state.known;
}


static ngx_uint_t
ngx_http_ollama_policy_is_warm(ngx_http_ollama_candidate_t *c)
{
    return c->state.warm;
}


/*
 * Moves c[i] behind those that are in front already.  These keep their order,
 * so that the first of equals is chosen; the others may lose theirs.
 */

static void
ngx_http_ollama_policy_front(ngx_http_ollama_candidate_t *c, ngx_uint_t i,
    ngx_uint_t *front)
{
    ngx_http_ollama_candidate_t  one;

    if (i != *front) {
        one = c[i];
        c[i] = c[*front];
        c[*front] = one;
    }

    (*front)++;
}


/* Bounded, so that neither a product nor a sum can overflow. */

static ngx_int_t
ngx_http_ollama_policy_weight(ngx_http_ollama_candidate_t *c)
{
    return ngx_max(1, ngx_min(c->weight, NGX_HTTP_OLLAMA_POLICY_WEIGHT));
}


/* What a candidate has to do, multiplied by the weights of both. */

static uint64_t
ngx_http_ollama_policy_product(ngx_http_ollama_candidate_t *c,
    ngx_http_ollama_candidate_t *other)
{
    uint64_t  n;

    n = ngx_min(c->state.in_flight, NGX_MAX_UINT32_VALUE);

    if (!c->state.warm) {
        n += (uint64_t) NGX_HTTP_OLLAMA_POLICY_LOAD
             * ngx_http_ollama_policy_weight(c);
    }

    return n * ngx_http_ollama_policy_weight(other);
}
