
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is counted, and where it lies in a series: an array of words of 64 bits,
 * in pages.  Each worker process has an array of its own of each series that it
 * has counted something of, and of that only the pages with something in them;
 * readers get the sum of all in one piece.
 *
 * The numbers are part of what is stored in Redis, see metrics_report.h: a
 * change needs another version there.
 */


#ifndef _NGX_HTTP_OLLAMA_METRICS_TYPES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_METRICS_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "metrics/ngx_http_ollama_histogram.h"


/* how a request ended */

typedef enum {
    NGX_HTTP_OLLAMA_OUTCOME_OK = 0,
    NGX_HTTP_OLLAMA_OUTCOME_ERROR,
    NGX_HTTP_OLLAMA_OUTCOME_INTERRUPTED,
    NGX_HTTP_OLLAMA_OUTCOME_CANCELLED,
    NGX_HTTP_OLLAMA_OUTCOME_CLIENT_CLOSED,
    NGX_HTTP_OLLAMA_OUTCOME_REJECTED,

    NGX_HTTP_OLLAMA_OUTCOMES
} ngx_http_ollama_outcome_e;


typedef enum {
    NGX_HTTP_OLLAMA_OPERATION_CHAT = 0,
    NGX_HTTP_OLLAMA_OPERATION_TEXT,
    NGX_HTTP_OLLAMA_OPERATION_EMBEDDINGS,
    NGX_HTTP_OLLAMA_OPERATION_SHOW,
    NGX_HTTP_OLLAMA_OPERATION_IMAGE,
    NGX_HTTP_OLLAMA_OPERATION_TRANSCRIPTION,

    NGX_HTTP_OLLAMA_OPERATIONS,
    NGX_HTTP_OLLAMA_OPERATION_NONE = NGX_HTTP_OLLAMA_OPERATIONS
} ngx_http_ollama_operation_e;


/* what is told of a request's load of its model */

typedef enum {
    NGX_HTTP_OLLAMA_LOAD_COLD = 0,
    NGX_HTTP_OLLAMA_LOAD_CONTEXT,    /* it was loaded with other options */
    NGX_HTTP_OLLAMA_LOAD_UNKNOWN,

    NGX_HTTP_OLLAMA_LOADS,
    NGX_HTTP_OLLAMA_LOAD_NONE = NGX_HTTP_OLLAMA_LOADS
} ngx_http_ollama_load_e;


/* why a request was tried at another server */

typedef enum {
    NGX_HTTP_OLLAMA_RETRY_CONNECT = 0,
    NGX_HTTP_OLLAMA_RETRY_STATUS,
    NGX_HTTP_OLLAMA_RETRY_BROKEN,
    NGX_HTTP_OLLAMA_RETRY_FROZEN,

    NGX_HTTP_OLLAMA_RETRIES
} ngx_http_ollama_retry_e;


/* how a message was saved in its session */

typedef enum {
    NGX_HTTP_OLLAMA_SAVE_SAVED = 0,
    NGX_HTTP_OLLAMA_SAVE_LATE,
    NGX_HTTP_OLLAMA_SAVE_LOST,

    NGX_HTTP_OLLAMA_SAVES
} ngx_http_ollama_save_e;


/* what a series is of */

typedef enum {
    NGX_HTTP_OLLAMA_SERIES_PAIR = 0, /* a model and a server, each may be "-" */
    NGX_HTTP_OLLAMA_SERIES_SERVER,
    NGX_HTTP_OLLAMA_SERIES_GATEWAY   /* the only one of its kind */
} ngx_http_ollama_series_e;


/* words of a page: 256 bytes */
#define NGX_HTTP_OLLAMA_PAGE_WORDS     32

#define NGX_HTTP_OLLAMA_WAIT_WORDS                                            \
    ngx_http_ollama_histogram_words(NGX_HTTP_OLLAMA_HISTOGRAM_WAIT)
#define NGX_HTTP_OLLAMA_TOKEN_WORDS                                           \
    ngx_http_ollama_histogram_words(NGX_HTTP_OLLAMA_HISTOGRAM_TOKEN)
#define NGX_HTTP_OLLAMA_DURATION_WORDS                                        \
    ngx_http_ollama_histogram_words(NGX_HTTP_OLLAMA_HISTOGRAM_DURATION)


/*
 * A pair: two pages, and six of each operation.  "outcome" of a duration is
 * that of the request for those that failed, and OK for all others.
 */

#define NGX_HTTP_OLLAMA_PAIR_PAGES     (2 + 6 * NGX_HTTP_OLLAMA_OPERATIONS)
#define NGX_HTTP_OLLAMA_PAIR_WORDS                                            \
    (NGX_HTTP_OLLAMA_PAIR_PAGES * NGX_HTTP_OLLAMA_PAGE_WORDS)

/* tokens: as the server tells them, and as frames were counted */
#define NGX_HTTP_OLLAMA_WORD_PROMPT            0   /* + 1: by frames */
#define NGX_HTTP_OLLAMA_WORD_GENERATED         2   /* + 1: by frames */
#define NGX_HTTP_OLLAMA_WORD_IN_FLIGHT         4   /* gauges */
#define NGX_HTTP_OLLAMA_WORD_QUEUED            5
#define NGX_HTTP_OLLAMA_WORD_QUEUE             8   /* histogram: wait */

#define NGX_HTTP_OLLAMA_WORD_LOADS             32  /* + load */
#define NGX_HTTP_OLLAMA_WORD_LOAD              40  /* histogram: wait */

#define ngx_http_ollama_word_operation(op)                                    \
    (NGX_HTTP_OLLAMA_PAGE_WORDS * (2 + 6 * (op)))

#define ngx_http_ollama_word_requests(op)      /* + outcome */                \
    ngx_http_ollama_word_operation(op)

#define ngx_http_ollama_word_first(op)         /* histogram: wait */          \
    (ngx_http_ollama_word_operation(op) + 8)

#define ngx_http_ollama_word_token(op)         /* histogram: token */         \
    (ngx_http_ollama_word_operation(op) + NGX_HTTP_OLLAMA_PAGE_WORDS)

#define ngx_http_ollama_word_duration(op, failed) /* histogram: duration; */  \
    (ngx_http_ollama_word_operation(op)        /* 0: not failed, 1: error,    \
                                                  2: interrupted,             \
                                                  3: rejected */              \
     + NGX_HTTP_OLLAMA_PAGE_WORDS * (2 + (failed)))


/* a server: one page */

#define NGX_HTTP_OLLAMA_SERVER_PAGES           1

#define NGX_HTTP_OLLAMA_WORD_RETRIES           0   /* + reason */
#define NGX_HTTP_OLLAMA_WORD_CHECK_FAILURES    4
#define NGX_HTTP_OLLAMA_WORD_CHECK             8   /* histogram: wait */


/* the gateway: one page */

#define NGX_HTTP_OLLAMA_GATEWAY_PAGES          1

#define NGX_HTTP_OLLAMA_WORD_SAVES             0   /* + how */
#define NGX_HTTP_OLLAMA_WORD_REDIS_ERRORS      4
#define NGX_HTTP_OLLAMA_WORD_DROPPED           5


/* A request that has ended; times in microseconds, -1: there is none. */

typedef struct {
    ngx_str_t                     model;     /* as a server lists it, or "-" */
    ngx_str_t                     server;    /* as its line names it, or "-" */
    ngx_http_ollama_operation_e   operation;
    ngx_http_ollama_outcome_e     outcome;
    int64_t                       duration;
    int64_t                       queue;     /* -1: it got to no server */
    int64_t                       first;     /* token */
    int64_t                       token;     /* per output token */
    int64_t                       load;      /* -1: unknown */
    ngx_http_ollama_load_e        loaded;
    ngx_int_t                     prompt;    /* tokens, -1: unknown */
    ngx_int_t                     generated;
    unsigned                      frames:1;  /* tokens are counted frames */
} ngx_http_ollama_sample_t;


#endif /* _NGX_HTTP_OLLAMA_METRICS_TYPES_H_INCLUDED_ */
