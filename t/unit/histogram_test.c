
/*
 * Copyright (C) the nginx-ollama authors
 */


/* Histograms: bounds, counting, and quantiles. */


#include "unit.h"

#include <math.h>
#include <stdlib.h>

#include "metrics/ngx_http_ollama_histogram.h"


static const ngx_http_ollama_histogram_t  *all[] = {
    &ngx_http_ollama_histogram_wait,
    &ngx_http_ollama_histogram_token,
    &ngx_http_ollama_histogram_duration
};


/* The texts are the bounds, which ascend. */

static void
histogram_bounds_test(void **state)
{
    ngx_uint_t  i, j;

    for (i = 0; i < 3; i++) {
        for (j = 0; j < all[i]->n; j++) {

            assert_true(fabs(atof(all[i]->text[j]) * 1e6 - all[i]->bound[j])
                        < 0.5);
            assert_true(j == 0 || all[i]->bound[j] > all[i]->bound[j - 1]);
        }
    }
}


/* A value that is a bound is below it. */

static void
histogram_index_test(void **state)
{
    ngx_uint_t                          j;
    const ngx_http_ollama_histogram_t  *h;

    h = &ngx_http_ollama_histogram_wait;

    assert_int_equal(ngx_http_ollama_histogram_index(h, 0), 0);

    for (j = 0; j < h->n; j++) {
        assert_int_equal(ngx_http_ollama_histogram_index(h, h->bound[j]), j);
        assert_int_equal(ngx_http_ollama_histogram_index(h, h->bound[j] + 1),
                         j + 1);
    }

    assert_int_equal(ngx_http_ollama_histogram_index(h, UINT64_MAX), h->n);
}


static void
histogram_quantile_test(void **state)
{
    uint64_t                            words[32] = { 0 };
    const ngx_http_ollama_histogram_t  *h;

    h = &ngx_http_ollama_histogram_wait;

    assert_true(ngx_http_ollama_histogram_quantile(h, words, 0.5) < 0);

    /* 10 of 10 to 20 ms, 10 of 20 to 40 ms */

    words[3] = 10;
    words[4] = 10;
    words[h->n + 1] = 12345;

    assert_int_equal(ngx_http_ollama_histogram_count(h, words), 20);
    assert_true(fabs(ngx_http_ollama_histogram_quantile(h, words, 0.25)
                     - 0.015) < 1e-9);
    assert_true(fabs(ngx_http_ollama_histogram_quantile(h, words, 0.5)
                     - 0.02) < 1e-9);
    assert_true(fabs(ngx_http_ollama_histogram_quantile(h, words, 0.95)
                     - 0.038) < 1e-9);
    assert_true(fabs(ngx_http_ollama_histogram_quantile(h, words, 0) - 0.01)
                < 1e-9);

    /* above all bounds */

    words[h->n] = 80;

    assert_true(fabs(ngx_http_ollama_histogram_quantile(h, words, 0.99)
                     - 600) < 1e-9);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "bounds", histogram_bounds_test, NULL);
    unit_add(&suite, "where a value counts", histogram_index_test, NULL);
    unit_add(&suite, "quantiles", histogram_quantile_test, NULL);

    return unit_run(&suite, "histogram");
}
