
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_METRICS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "metrics/ngx_http_ollama_metrics_types.h"


/* pairs of model and server at most; all others are counted as _other */
#define NGX_HTTP_OLLAMA_METRICS_PAIRS    1024

/* of all kinds: pairs, servers, _other, the gateway */
#define NGX_HTTP_OLLAMA_METRICS_SERIES                                        \
    (NGX_HTTP_OLLAMA_METRICS_PAIRS + 256 + 4)

/* minutes that are kept */
#define NGX_HTTP_OLLAMA_METRICS_MINUTES  60


/* The zone: kept over a reload. */
void *ngx_http_ollama_metrics_create(ngx_pool_t *pool);
ngx_int_t ngx_http_ollama_metrics_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);

/*
 * Makes this process one that counts: it goes on with the counters of one that
 * has ended, if there is one.  Nothing is counted before, or if no memory is
 * left, which was logged then.
 */
void ngx_http_ollama_metrics_init_worker(ngx_shm_zone_t *shm_zone);
void ngx_http_ollama_metrics_exit_worker(void);


/* counting: no lock, unless a series is new */

/* A request, or a turn, has ended. */
void ngx_http_ollama_metrics_count(ngx_http_ollama_sample_t *sample);

/* A gauge of a pair (NGX_HTTP_OLLAMA_WORD_IN_FLIGHT, _QUEUED): + 1 or - 1. */
void ngx_http_ollama_metrics_gauge(ngx_str_t *model, ngx_str_t *server,
    ngx_uint_t word, ngx_int_t delta);

/* A request is tried again elsewhere, because of that server. */
void ngx_http_ollama_metrics_retry(ngx_str_t *server,
    ngx_http_ollama_retry_e reason);

/* A probe of a server has ended, after so many microseconds, or failed. */
void ngx_http_ollama_metrics_check(ngx_str_t *server, int64_t us,
    ngx_uint_t failed);

/* A message was saved in its session, or wasn't. */
void ngx_http_ollama_metrics_save(ngx_http_ollama_save_e how);

/* Redis answered a command with an error, or not at all. */
void ngx_http_ollama_metrics_redis_error(void);


/* reading: takes the zone's lock for one series at a time */

/* A series as it is read; what it points to is the caller's. */

typedef struct {
    ngx_http_ollama_series_e  kind;
    ngx_str_t                 model;     /* of a pair */
    ngx_str_t                 server;    /* of a pair, and of a server */
    uint64_t                  words[NGX_HTTP_OLLAMA_PAIR_WORDS];
    ngx_uint_t                pages;     /* of its kind */
    uint64_t                  used[(NGX_HTTP_OLLAMA_PAIR_PAGES + 63) / 64];
                                         /* bits of pages with something */
    u_char                    names[2 * 512];
} ngx_http_ollama_series_t;

/*
 * Reads series number i, from 0 to NGX_HTTP_OLLAMA_METRICS_SERIES - 1; model
 * and server point into series->names.  NGX_DECLINED: there is none (others may
 * follow).
 */
ngx_int_t ngx_http_ollama_metrics_read(ngx_uint_t i,
    ngx_http_ollama_series_t *series);

/* What was counted in series that are forgotten: it is in no other. */
void ngx_http_ollama_metrics_read_forgotten(ngx_http_ollama_series_t *series);

/* ms since 1970: when counting began */
int64_t ngx_http_ollama_metrics_since(void);

/* Bytes of the zone of which metrics are: used and free. */
void ngx_http_ollama_metrics_memory(size_t *used, size_t *free);

/* A name of 128 bits that no other zone has, in hex: of this gateway. */
ngx_str_t *ngx_http_ollama_metrics_id(void);


/* minutes */

/* What a minute has of a series; see BRIEF in docs/metrics.md. */

typedef struct {
    uint32_t                  requests[NGX_HTTP_OLLAMA_OUTCOMES];
    uint32_t                  prompt;
    uint32_t                  generated;
    uint32_t                  first[NGX_HTTP_OLLAMA_HISTOGRAM_WAIT + 1];
    uint32_t                  token[NGX_HTTP_OLLAMA_HISTOGRAM_TOKEN + 1];
} ngx_http_ollama_minute_t;

/*
 * Reads what series number i, or all together (NGX_HTTP_OLLAMA_METRICS_SERIES),
 * counted in the minute that began at "at" (s since 1970, a multiple of 60).
 * NGX_DECLINED: nothing, or it is too long ago.
 */
ngx_int_t ngx_http_ollama_metrics_minute(ngx_uint_t i, time_t at,
    ngx_http_ollama_minute_t *minute);


#endif /* _NGX_HTTP_OLLAMA_METRICS_H_INCLUDED_ */
