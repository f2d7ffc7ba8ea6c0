
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * When a server is probed again: at the interval while it answers, soon while
 * it doesn't, never more than a tenth off.  And when Redis is connected to
 * again: each time twice as late, up to a limit, and up to a quarter sooner.
 */


#include "unit.h"

#include "util/ngx_http_ollama_backoff.h"


typedef struct {
    const char  *title;
    ngx_msec_t   interval;
    ngx_uint_t   failures;
    ngx_msec_t   low;
    ngx_msec_t   high;
} delay_case_t;


typedef struct {
    const char  *title;
    ngx_uint_t   failures;
    ngx_msec_t   low;
    ngx_msec_t   high;
} redis_case_t;


static delay_case_t  delay_cases[] = {

    { "it answers", 5000, 0, 4500, 5500 },
    { "at a long interval", 3600000, 0, 3240000, 3960000 },
    { "at a short one", 100, 0, 90, 110 },
    { "too short to be spread", 9, 0, 9, 9 },
    { "none at all", 0, 0, 0, 0 },

    { "one failure", 5000, 1, 225, 275 },
    { "two", 5000, 2, 450, 550 },
    { "three", 5000, 3, 900, 1100 },
    { "four", 5000, 4, 1350, 1650 },
    { "five", 5000, 5, 1350, 1650 },
    { "very many", 5000, NGX_MAX_UINT32_VALUE, 1350, 1650 },
    { "however long the interval", 3600000, 9, 1350, 1650 },

    { "never later than one that answers", 1000, 9, 900, 1100 },
    { "not even the first time", 100, 1, 90, 110 },
};


static redis_case_t  redis_cases[] = {

    { "Redis, no failure", 0, 75, 100 },
    { "Redis, one failure", 1, 150, 200 },
    { "Redis, two", 2, 300, 400 },
    { "Redis, three", 3, 600, 800 },
    { "Redis, four", 4, 1200, 1600 },
    { "Redis, five", 5, 2400, 3200 },
    { "Redis, six", 6, 3750, NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX },
    { "Redis, seven", 7, 3750, NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX },
    { "Redis, more than an integer has bits", 64, 3750,
      NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX },
    { "Redis, very many", NGX_MAX_UINT32_VALUE, 3750,
      NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX },
};


static void
delay_test(void **state)
{
    delay_case_t  *c = *state;

    ngx_uint_t  i, spread;
    ngx_msec_t  delay;

    spread = c->high - c->low;

    assert_int_equal(ngx_http_ollama_backoff_poll(c->interval, c->failures, 0),
                     c->low);
    assert_int_equal(ngx_http_ollama_backoff_poll(c->interval, c->failures,
                                                spread),
                     c->high);
    assert_int_equal(ngx_http_ollama_backoff_poll(c->interval, c->failures,
                                                spread + 1),
                     c->low);

    for (i = 0; i < 1000; i++) {
        delay = ngx_http_ollama_backoff_poll(c->interval, c->failures,
                                     unit_random(NGX_MAX_UINT32_VALUE));

        assert_true(delay >= c->low && delay <= c->high);
    }

    /* ngx_random() is a long, and its cast may be as large as this */

    delay = ngx_http_ollama_backoff_poll(c->interval, c->failures,
                                       (ngx_uint_t) -1);
    assert_true(delay >= c->low && delay <= c->high);
}


static void
redis_test(void **state)
{
    redis_case_t  *c = *state;

    ngx_uint_t  i, spread;
    ngx_msec_t  delay;

    spread = c->high - c->low;

    assert_int_equal(ngx_http_ollama_backoff_redis(c->failures, 0), c->high);
    assert_int_equal(ngx_http_ollama_backoff_redis(c->failures, spread),
                     c->low);
    assert_int_equal(ngx_http_ollama_backoff_redis(c->failures, spread + 1),
                     c->high);

    for (i = 0; i < 1000; i++) {
        delay = ngx_http_ollama_backoff_redis(c->failures,
                                        unit_random(NGX_MAX_UINT32_VALUE));

        assert_true(delay >= c->low && delay <= c->high);
    }

    delay = ngx_http_ollama_backoff_redis(c->failures, (ngx_uint_t) -1);
    assert_true(delay >= c->low && delay <= c->high);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_seed(5);

    unit_add_rows(&suite, delay_test, delay_cases, sizeof(delay_case_t),
                  unit_nelts(delay_cases));
    unit_add_rows(&suite, redis_test, redis_cases, sizeof(redis_case_t),
                  unit_nelts(redis_cases));

    return unit_run(&suite, "backoff");
}
