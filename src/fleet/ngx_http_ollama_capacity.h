
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is learned of a server's capacity: how many requests of a model it works
 * on at once, how fast it is, what fits into its memory.  The types only: the
 * balancer fills them.  They are part of the server in shared memory, and as
 * old as that; zeros are the state of a server of which nothing is known.
 */


#ifndef _NGX_HTTP_OLLAMA_CAPACITY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CAPACITY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* models of a server of which something is known */
#define NGX_HTTP_OLLAMA_RUNNERS  16


/*
 * A model at a server, loaded or not.  A runner is what Ollama calls the
 * process that has a model loaded.  Speeds of 0 are unknown.
 */

typedef struct {
    uint64_t       weights;     /* hash of the model's digest, or of its name
                                   if that isn't known; 0: the entry is free */
    uint64_t       options;     /* hash of the runner options with which it was
                                   loaded; 0: of none */
    uint64_t       model;       /* key of what is known of the model in the
                                   whole fleet; 0: never asked for */
    ngx_queue_t    tickets;     /* of the requests that are there */
    ngx_uint_t     context;     /* its context in tokens, by the last probe;
                                   0: unknown */
    ngx_msec_t     cold_at;     /* a load of it began last; and ended */
    ngx_msec_t     loaded_at;
    ngx_msec_t     used_at;     /* a request began or ended last */
    ngx_msec_t     seen_at;     /* the last reply that showed it loaded */
    float          size;        /* GB that it takes, or 0 */
    float          prompt;      /* tokens/s of prompt evaluation, alone */
    float          generate;    /* tokens/s of generation, alone */
    float          reach;       /* so many tokens back the prompt cache goes */
    double         used;        /* tokens evaluated so far */
    ngx_uint_t     in_flight;
    ngx_uint_t     streaming;   /* of these, with their first token */
    ngx_uint_t     places;      /* requests that it works on at once, as far as
                                   is learned; 0: as the server */
    ngx_uint_t     late;        /* first tokens in a row that came only when
                                   another request had ended */
    unsigned       warm:1;      /* it is loaded, as far as is known */
    unsigned       listed:1;    /* the last probe has shown it loaded */
} ngx_http_ollama_runner_t;


typedef struct {
    ngx_uint_t                 number;     /* of the server in the fleet, from
                                              0; given anew when it is gone */
    ngx_msec_t                 born;       /* when it was given */
    ngx_http_ollama_runner_t   runner[NGX_HTTP_OLLAMA_RUNNERS];
    ngx_http_ollama_runner_t  *loading;    /* NULL: none is being loaded */
    ngx_msec_t                 load_end;   /* when that is expected to end */
    uint64_t                   reserve;    /* key of the line whose model is to
                                              be loaded next; 0: of none */
    ngx_msec_t                 probe_at;   /* when one request more than places
                                              may be sent */
    ngx_msec_t                 backoff;    /* ms until the next such time */
    ngx_uint_t                 probing;    /* such requests that have no first
                                              token so far */
    ngx_uint_t                 places;     /* of a model, learned from others;
                                              0: unknown */
    ngx_msec_t                 looked;     /* the probe that is known here had
                                              begun */
    ngx_uint_t                 in_flight;  /* of all runners */
    ngx_int_t                  current;    /* weight in the round robin of
                                              equals */
    ngx_uint_t                 n_max;      /* most models seen loaded together,
                                              and their GB */
    float                      mem_max;
    float                      prompt;     /* tokens/s x GB, for models that
                                              are not known there; */
    float                      generate;
    float                      bandwidth;  /* GB/s of loads */
    unsigned                   unsure:1;   /* what is loaded isn't known until
                                              the next probe */
    unsigned                   unseen:1;   /* the end of the load won't be seen
                                              before that of its reply */
    unsigned                   stuck:1;    /* a request there got nothing for
                                              much longer than expected */
} ngx_http_ollama_capacity_t;


/* A model that is loaded at a server, by a probe. */

typedef struct {
    uint64_t                   weights;
    float                      size;       /* GB in memory, or 0 */
    ngx_uint_t                 context;    /* tokens, or 0 */
} ngx_http_ollama_resident_t;


#endif /* _NGX_HTTP_OLLAMA_CAPACITY_H_INCLUDED_ */
