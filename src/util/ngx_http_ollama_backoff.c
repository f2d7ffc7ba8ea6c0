
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * How often a server is looked at: poll's schedule as a pure function.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_poll.h"


/* ms before a server is looked at again that has failed so often */

static ngx_msec_t  ngx_http_ollama_poll_delays[] = { 250, 500, 1000, 1500 };


/*
 * How many milliseconds after the end of a look the next one begins: a tenth
 * more or less, as "random" has it, so that servers don't all come at once.
 * One that doesn't answer is asked at short intervals, so that it is used soon
 * after it is back, whatever the interval of those that do.
 */

ngx_msec_t
ngx_http_ollama_poll_delay(ngx_msec_t interval, ngx_uint_t failures,
    ngx_uint_t random)
{
    ngx_uint_t  n;
    ngx_msec_t  delay, spread;

    delay = interval;

    if (failures) {
        n = sizeof(ngx_http_ollama_poll_delays) / sizeof(ngx_msec_t);
        n = ngx_min(failures, n) - 1;

        delay = ngx_min(interval, ngx_http_ollama_poll_delays[n]);
    }

    spread = delay / 10;

    return delay - spread + random % (2 * spread + 1);
}
