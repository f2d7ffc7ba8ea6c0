
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The bounds are those of OpenTelemetry's conventions for generative AI, with
 * more of them: its list ends at 10 s, and Ollama loads a model for 5 to 300.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "metrics/ngx_http_ollama_histogram.h"


static const ngx_uint_t  ngx_http_ollama_histogram_wait_bounds[] = {
    1000, 5000, 10000, 20000, 40000, 60000, 80000, 100000, 250000, 500000,
    750000, 1000000, 2500000, 5000000, 7500000, 10000000, 15000000, 30000000,
    60000000, 120000000, 300000000, 600000000
};

static const char  *ngx_http_ollama_histogram_wait_text[] = {
    "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25",
    "0.5", "0.75", "1.0", "2.5", "5.0", "7.5", "10.0", "15.0", "30.0", "60.0",
    "120.0", "300.0", "600.0"
};

static const ngx_uint_t  ngx_http_ollama_histogram_token_bounds[] = {
    1000, 2500, 5000, 10000, 25000, 50000, 75000, 100000, 150000, 200000,
    300000, 400000, 500000, 750000, 1000000, 2500000
};

static const char  *ngx_http_ollama_histogram_token_text[] = {
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1",
    "0.15", "0.2", "0.3", "0.4", "0.5", "0.75", "1.0", "2.5"
};

static const ngx_uint_t  ngx_http_ollama_histogram_duration_bounds[] = {
    10000, 20000, 40000, 80000, 160000, 320000, 640000, 1280000, 2560000,
    5120000, 10240000, 20480000, 40960000, 81920000, 163840000, 327680000,
    655360000, 1310720000
};

static const char  *ngx_http_ollama_histogram_duration_text[] = {
    "0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.28", "2.56",
    "5.12", "10.24", "20.48", "40.96", "81.92", "163.84", "327.68", "655.36",
    "1310.72"
};


const ngx_http_ollama_histogram_t  ngx_http_ollama_histogram_wait = {
    NGX_HTTP_OLLAMA_HISTOGRAM_WAIT,
    ngx_http_ollama_histogram_wait_bounds,
    ngx_http_ollama_histogram_wait_text
};

const ngx_http_ollama_histogram_t  ngx_http_ollama_histogram_token = {
    NGX_HTTP_OLLAMA_HISTOGRAM_TOKEN,
    ngx_http_ollama_histogram_token_bounds,
    ngx_http_ollama_histogram_token_text
};

const ngx_http_ollama_histogram_t  ngx_http_ollama_histogram_duration = {
    NGX_HTTP_OLLAMA_HISTOGRAM_DURATION,
    ngx_http_ollama_histogram_duration_bounds,
    ngx_http_ollama_histogram_duration_text
};


ngx_uint_t
ngx_http_ollama_histogram_index(const ngx_http_ollama_histogram_t *h,
    uint64_t value)
{
    ngx_uint_t  i;

    for (i = 0; i < h->n; i++) {
        if (value <= h->bound[i]) {
            break;
        }
    }

    return i;
}


uint64_t
ngx_http_ollama_histogram_count(const ngx_http_ollama_histogram_t *h,
    const uint64_t *words)
{
    uint64_t    count;
    ngx_uint_t  i;

    count = 0;

    for (i = 0; i <= h->n; i++) {
        count += words[i];
    }

    return count;
}


double
ngx_http_ollama_histogram_quantile(const ngx_http_ollama_histogram_t *h,
    const uint64_t *words, double q)
{
    double      rank, below, low, high;
    uint64_t    count;
    ngx_uint_t  i;

    count = ngx_http_ollama_histogram_count(h, words);

    if (count == 0) {
        return -1;
    }

    rank = q * count;
    below = 0;

    for (i = 0; i < h->n; i++) {

        if (words[i] && below + words[i] >= rank) {
            break;
        }

        below += words[i];
    }

    if (i == h->n) {
        return h->bound[h->n - 1] / 1e6;
    }

    low = i ? h->bound[i - 1] / 1e6 : 0;
    high = h->bound[i] / 1e6;

    return low + (high - low) * (rank - below) / words[i];
}
