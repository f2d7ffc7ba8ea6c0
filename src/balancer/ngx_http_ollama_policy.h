
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_POLICY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_POLICY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* A server that can serve a request now, as the choice among them sees it. */

typedef struct {
    void        *peer;         /* whose it is; nothing here looks into it */
    ngx_uint_t   in_flight;    /* requests that it is busy with */
    ngx_int_t    weight;       /* > 0 */
    ngx_int_t   *current;      /* state of the round robin, kept by the owner;
                                  changed by ngx_http_ollama_policy() only */
    unsigned     refusing:1;   /* answered with an error a short time ago */
    unsigned     known:1;      /* surely has the model; 0: may have it */
    unsigned     warm:1;       /* the model is loaded, or being loaded */
} ngx_http_ollama_candidate_t;


/*
 * Each step moves those that it prefers to the front, where they keep their
 * order, and returns how many they are: at least one, if there is one.  The
 * next step looks at no others.
 *
 *   sound  A server that answers errors is done with each request at once, so
 *          that it always looks idle; whatever else speaks for it, it would
 *          draw all requests.  Hence first.
 *   known  Whether a server has the model decides whether it can answer at
 *          all; asking one in vain costs a try.  Before the steps that only
 *          weigh how long an answer takes.
 *   warm   To load a model takes seconds to minutes, longer than most answers
 *          take, and may push out another model: better to wait behind others.
 *   idle   Fewest requests for its weight.
 *   next   Those left are equal; each is served in turn.
 *
 * The two steps to come go between warm and idle: who has the conversation's
 * prefix in its cache saves evaluating it, which is less than a load and more
 * than a place in a line; then the expected waiting time, a finer measure of
 * what idle counts.
 */

ngx_uint_t ngx_http_ollama_policy_sound(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_known(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_warm(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_idle(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_next(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
void *ngx_http_ollama_policy(ngx_http_ollama_candidate_t *c, ngx_uint_t n);


#endif /* _NGX_HTTP_OLLAMA_POLICY_H_INCLUDED_ */
