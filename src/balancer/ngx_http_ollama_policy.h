
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_POLICY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_POLICY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_model_state.h"


/* A server that can serve a request now. */

typedef struct {
    void                            *peer;      /* of the caller; only
                                                   returned */
    void                            *server;    /* of the fleet, of the caller;
                                                   or NULL */
    ngx_int_t                        weight;    /* > 0 */
    ngx_int_t                       *current;   /* state of the round robin,
                                                   in the caller's memory;
                                                   changed by the step "next"
                                                   only */
    ngx_http_ollama_server_state_t   state;
} ngx_http_ollama_candidate_t;


/*
 * Returns the peer of the candidate that is chosen among "n", which are put in
 * another order.  NULL: n is 0.  Nobody else may change the round robin's state
 * meanwhile.
 */
void *ngx_http_ollama_policy(ngx_http_ollama_candidate_t *c, ngx_uint_t n);

/*
 * The steps of the policy, in their order.  Each moves the candidates that it
 * prefers to the front, where they keep their order, and returns how many they
 * are: at least one, if n isn't 0.  The next step gets only these.
 *
 *   sound  A server that answers with errors ends each request at once and
 *          always appears idle: it would get all requests, whatever the other
 *          steps prefer.  Hence first.
 *   known  Whether a server has the model decides whether it can answer at
 *          all; asking one that lacks it costs a try.  Before the steps that
 *          only compare how long an answer takes.
 *   least  Fewest requests for its weight, where to load the model counts as
 *          eight requests more.  A load takes seconds to minutes, longer than
 *          most answers take, and may unload another model: it is better to
 *          wait behind some requests, but not behind any number of them.
 *   warm   A load that is worth no more than the requests ahead is none.
 *   next   Those left are equal; each is chosen in turn.
 */
ngx_uint_t ngx_http_ollama_policy_sound(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_known(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_least(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_warm(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);
ngx_uint_t ngx_http_ollama_policy_next(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);


#endif /* _NGX_HTTP_OLLAMA_POLICY_H_INCLUDED_ */
