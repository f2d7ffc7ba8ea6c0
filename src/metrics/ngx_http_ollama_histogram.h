
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_HISTOGRAM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_HISTOGRAM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Histograms with fixed bounds.  A histogram is an array of words: one for each
 * bound (how many values are at most that, and above the bound before), one for
 * those above all bounds, and the sum of all values in microseconds.
 *
 * Pure functions; the memory is the caller's.
 */


typedef struct {
    ngx_uint_t        n;          /* bounds; */
    const ngx_uint_t *bound;      /* microseconds, ascending; */
    const char      **text;       /* the same in seconds, as they are shown */
} ngx_http_ollama_histogram_t;


/* words of a histogram with n bounds */
#define ngx_http_ollama_histogram_words(n)  ((n) + 2)

#define NGX_HTTP_OLLAMA_HISTOGRAM_WAIT      22
#define NGX_HTTP_OLLAMA_HISTOGRAM_TOKEN     16
#define NGX_HTTP_OLLAMA_HISTOGRAM_DURATION  18


/* first token, queue, load, check; per output token; a whole request */
extern const ngx_http_ollama_histogram_t  ngx_http_ollama_histogram_wait;
extern const ngx_http_ollama_histogram_t  ngx_http_ollama_histogram_token;
extern const ngx_http_ollama_histogram_t  ngx_http_ollama_histogram_duration;


/* The word that a value in microseconds counts in. */
ngx_uint_t ngx_http_ollama_histogram_index(
    const ngx_http_ollama_histogram_t *h, uint64_t value);

/* How many values the histogram has. */
uint64_t ngx_http_ollama_histogram_count(const ngx_http_ollama_histogram_t *h,
    const uint64_t *words);

/*
 * The value in seconds that the part q (0 to 1) of all values is at most,
 * interpolated within its bucket, as Prometheus' histogram_quantile() does; the
 * last bound for what is above it.  Negative: there are no values.
 */
double ngx_http_ollama_histogram_quantile(const ngx_http_ollama_histogram_t *h,
    const uint64_t *words, double q);


#endif /* _NGX_HTTP_OLLAMA_HISTOGRAM_H_INCLUDED_ */
