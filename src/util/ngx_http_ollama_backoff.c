
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * How long to wait until the next attempt: pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_backoff.h"


/* ms until the first attempt to connect to Redis again */
#define NGX_HTTP_OLLAMA_BACKOFF_REDIS_FIRST  100


/* ms until a server is probed that failed once, twice, ... */

static ngx_msec_t  ngx_http_ollama_backoff_probe[] = { 250, 500, 1000, 1500 };


ngx_msec_t
ngx_http_ollama_backoff_poll(ngx_msec_t interval, ngx_uint_t failures,
    ngx_uint_t random)
{
    ngx_uint_t  n;
    ngx_msec_t  delay, spread;

    delay = interval;

    if (failures) {
        n = sizeof(ngx_http_ollama_backoff_probe) / sizeof(ngx_msec_t);
        n = ngx_min(failures, n) - 1;

        delay = ngx_min(interval, ngx_http_ollama_backoff_probe[n]);
    }

    spread = delay / 10;

    return delay - spread + random % (2 * spread + 1);
}


ngx_msec_t
ngx_http_ollama_backoff_redis(ngx_uint_t failures, ngx_uint_t random)
{
    ngx_msec_t  delay;

    delay = NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX;

    if (failures < 6) {
        delay = ngx_min(delay,
                        (ngx_msec_t) NGX_HTTP_OLLAMA_BACKOFF_REDIS_FIRST
                        << failures);
    }

    return delay - random % (delay / 4 + 1);
}
