
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Types of the scheduler of an upstream.  Their memory is the caller's, and may
 * be shared.
 *
 * A request is a ticket.  It waits in the line of those that can be served by
 * the same servers in the same way, until it is granted a server; then it is at
 * a runner until it ends:
 *
 *     arrive -> dispatch ... grant -> first (token) -> end
 *        \-----> leave                   \------------/
 */


#ifndef _NGX_HTTP_OLLAMA_SCHED_TYPES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCHED_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_capacity.h"


#define NGX_HTTP_OLLAMA_SCHED_MODELS  128
#define NGX_HTTP_OLLAMA_SCHED_LINES   256
#define NGX_HTTP_OLLAMA_SCHED_OWNERS  1024
#define NGX_HTTP_OLLAMA_SCHED_OTHERS  ((ngx_uint_t) -1)
#define NGX_HTTP_OLLAMA_SCHED_SERVERS  256   /* numbered from 0 */


/* A model as requests name it, in the whole fleet. */

typedef struct {
    uint64_t      key;         /* 0: the entry is free */
    ngx_msec_t    born;
    ngx_msec_t    seen;        /* the last request */
    float         arrivals;    /* weighted by their age: rate x 300 s */
    float         out;         /* tokens of a reply */
    float         svc;         /* s from a place to the end of the reply */
    float         bytes;       /* of a prompt's text, a token */
    float         size;        /* GB; 0: unknown */
    ngx_uint_t    places;      /* at servers where it is loaded; of the last
                                  survey */
} ngx_http_ollama_sched_model_t;


/* An owner's requests so far. */

typedef struct {
    uint64_t      key;         /* 0: the entry is free */
    double        finish;      /* tag with which the last one would end */
    ngx_msec_t    seen;
} ngx_http_ollama_sched_owner_t;


/* A request that waits, or is at a server. */

typedef struct {
    ngx_queue_t                 queue;     /* of its line, or its runner */
    uint64_t                    line;      /* key: what it needs; */
    uint64_t                    model;     /* key; */
    uint64_t                    options;   /* hash of the runner options that it
                                              sets; 0: none */
    uint64_t                    owner;     /* key */
    ngx_uint_t                  context;   /* num_ctx that it sets; 0: none */
    ngx_uint_t                  bytes;     /* text of its prompt */
    double                      tag;       /* start tag among owners */
    ngx_msec_t                  arrived;
    ngx_msec_t                  granted;
    ngx_msec_t                  first_at;  /* the first token */

    ngx_http_ollama_capacity_t *capacity;  /* of its server; NULL: it waits */
    ngx_http_ollama_runner_t   *runner;
    float                       tokens;    /* of its prompt, as estimated */
    float                       cached;    /* of these, expected in the cache */
    float                       back;      /* tokens that were evaluated there
                                              since these were */
    float                       expected;  /* s from the grant to the first
                                              token */
    float                       share;     /* models that run there at once */
    float                       wait;      /* s until it has a place, while it
                                              waits */
    ngx_uint_t                  at;        /* requests of the model there when
                                              it was granted, with this one */

    unsigned                    waiting:1;
    unsigned                    due:1;     /* it has waited for long enough: any
                                              server that is free will do */
    unsigned                    cold:1;    /* it has begun a load */
    unsigned                    first:1;   /* it has its first token */
    unsigned                    probe:1;   /* sent beyond the known places */
    unsigned                    whole:1;   /* its reply comes in one piece: its
                                              first token isn't seen */
} ngx_http_ollama_ticket_t;


/* A line of waiting tickets, by their tags. */

typedef struct {
    uint64_t                    key;       /* 0: the entry is free */
    ngx_queue_t                 tickets;
    ngx_uint_t                  n;
    uint64_t                    servers[NGX_HTTP_OLLAMA_SCHED_SERVERS / 64];
                                           /* bits of those that could take
                                              them, by their numbers */
} ngx_http_ollama_sched_line_t;


/* A server that may take a ticket, now or later. */

typedef struct {
    ngx_http_ollama_capacity_t *capacity;
    uint64_t                    weights;   /* see runner */
    float                       size;      /* GB of the model; 0: unknown */
    ngx_uint_t                  limit;     /* requests at the server; 0: any */
    ngx_uint_t                  in_flight; /* at the server, of all kinds */
    ngx_int_t                   weight;    /* >= 1 */
    unsigned                    warm:1;    /* requests show that it is loaded */

    ngx_http_ollama_runner_t   *runner;    /* of the scheduler: with these
                                              weights; NULL: there is none */
} ngx_http_ollama_option_t;


/* What a server would cost a ticket, see ngx_http_ollama_sched_cost(). */

typedef struct {
    float                       seconds;   /* all, as compared */
    float                       wait;      /* for a place, or a load */
    float                       cached;    /* tokens in the prompt cache; */
    float                       back;      /* that many tokens ago */
    unsigned                    usable:1;
    unsigned                    free:1;    /* it can take it now */
    unsigned                    cold:1;    /* the model has to be loaded */
    unsigned                    probe:1;   /* beyond the known places */
} ngx_http_ollama_cost_t;


typedef struct ngx_http_ollama_sched_s  ngx_http_ollama_sched_t;


/* What the scheduler needs of its caller. */

typedef struct {

    /*
     * Writes the servers that may take tickets of the line of "t", at most
     * "max", to "o"; returns their number.  NGX_HTTP_OLLAMA_SCHED_OTHERS:
     * others have to decide on that line.
     */
    ngx_uint_t (*options)(ngx_http_ollama_sched_t *s,
                          ngx_http_ollama_ticket_t *t,
                          ngx_http_ollama_option_t *o, ngx_uint_t max,
                          void *data);

    /*
     * Tokens of the ticket's prompt that the server has in its cache; "back" is
     * how many were evaluated there since.
     */
    float (*cached)(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
                    ngx_http_ollama_option_t *o,
                    ngx_http_ollama_runner_t *runner, float *back, void *data);

    /*
     * The ticket is to be granted the server of option "i".  NGX_OK;
     * NGX_DECLINED: it can't be used now.
     */
    ngx_int_t (*grant)(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
                       ngx_uint_t i, void *data);

    /* No server can take tickets of its line any more. */
    void (*refuse)(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
                   void *data);

    /*
     * The first server of the upstream, or the one after "c".  NULL: there is
     * no other.
     */
    ngx_http_ollama_capacity_t *(*next)(ngx_http_ollama_sched_t *s,
                                        ngx_http_ollama_capacity_t *c,
                                        void *data);
} ngx_http_ollama_sched_ops_t;


/* zeros are the state at the beginning */

struct ngx_http_ollama_sched_s {
    ngx_http_ollama_sched_model_t   model[NGX_HTTP_OLLAMA_SCHED_MODELS];
    ngx_http_ollama_sched_line_t    line[NGX_HTTP_OLLAMA_SCHED_LINES];
    ngx_http_ollama_sched_owner_t   owner[NGX_HTTP_OLLAMA_SCHED_OWNERS];

    double                          virtual;   /* tag granted last */
    ngx_uint_t                      nlines;    /* with tickets */
    double                          resume;    /* tag of the line with which the
                                                  next dispatch of all begins */
    ngx_uint_t                      waiting;   /* tickets in all lines */

    /* of the last survey of all servers */

    ngx_msec_t                      surveyed;
    float                           busy;      /* share of servers with
                                                  requests, over a minute */
    float                           prompt;    /* mean speeds, for servers of
                                                  which nothing is known */
    float                           generate;

    ngx_uint_t                      bind;      /* nothing waits here: a ticket
                                                  gets a server at once */
};


/* what a reply tells at its end; what it doesn't tell is < 0 */

typedef struct {
    float                           load;      /* s, with the wait for it */
    float                           prompt;    /* s */
    float                           generate;  /* s */
    ngx_int_t                       prompt_tokens;  /* cached ones, too */
    ngx_int_t                       generated_tokens;
    unsigned                        ok:1;      /* it is complete */
} ngx_http_ollama_figures_t;


#endif /* _NGX_HTTP_OLLAMA_SCHED_TYPES_H_INCLUDED_ */
