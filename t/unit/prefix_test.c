
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The table of prefixes: who has the longest one of a prompt, as far as that is
 * still in its cache, within a fixed size.
 */


#include "unit.h"

#include "balancer/ngx_http_ollama_prefix.h"


#define MODEL  7
#define REACH  1e6


typedef struct {
    void                            *memory;
    size_t                           size;
    ngx_http_ollama_prefix_t        *prefix;
    ngx_http_ollama_prefix_found_t   found;
} prefix_t;


static void
prefix_start(prefix_t *t, ngx_uint_t n)
{
    t->size = ngx_http_ollama_prefix_size(n);
    t->memory = malloc(t->size);
    assert_non_null(t->memory);

    memset(t->memory, 0xa5, t->size);
    memset(&t->found, 0xa5, sizeof(t->found));

    t->prefix = ngx_http_ollama_prefix_init(t->memory, t->size);
    assert_ptr_equal(t->prefix, t->memory);
}


static void
prefix_end(prefix_t *t)
{
    free(t->memory);
}


/* "n" marks, 100 bytes apart, of the prompt that "prompt" stands for */

static void
prefix_marks(ngx_http_ollama_mark_t *mark, ngx_uint_t n, ngx_uint_t prompt)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        mark[i].hash = ngx_http_ollama_hash_mix(1000 * prompt + i + 1);
        mark[i].text = 100 * (i + 1);
    }
}


/* What is cached, and since how many tokens: as often as "used" says. */

static size_t
prefix_query(ngx_http_ollama_prefix_found_t *found, ngx_uint_t server,
    uint64_t since, double used, double reach)
{
    double  back;
    size_t  text;

    text = ngx_http_ollama_prefix_cached(found, server, since, used, reach,
                                         &back);

    assert_true(back <= reach);
    assert_true(text || back == 0);

    return text;
}


static size_t
prefix_cached(prefix_t *t, ngx_http_ollama_mark_t *mark, ngx_uint_t n,
    ngx_uint_t server)
{
    ngx_http_ollama_prefix_lookup(t->prefix, mark, n, MODEL, &t->found);

    return prefix_query(&t->found, server, 0, 0, REACH);
}


static void
prefix_size_test(void **state)
{
    size_t      size;
    prefix_t    t;
    ngx_uint_t  n;

    for (n = 1; n <= 4096; n *= 2) {

        size = ngx_http_ollama_prefix_size(n);

        assert_true(ngx_http_ollama_prefix_size(n + 1) >= size);
        assert_true(size < 80 * ngx_max(n, 8) + 64);
    }

    assert_true(ngx_http_ollama_prefix_size(32768) < 2400000);
    assert_true(ngx_http_ollama_prefix_size(32767)
                == ngx_http_ollama_prefix_size(32768));

    /* nothing behind its size is written, and too little is refused */

    for (size = 0; size < ngx_http_ollama_prefix_size(64) + 100; size++) {

        t.memory = malloc(size + 1);
        memset(t.memory, 0xa5, size + 1);

        t.prefix = ngx_http_ollama_prefix_init(t.memory, size);

        assert_true((t.prefix == NULL)
                    == (size < ngx_http_ollama_prefix_size(1)));
        assert_int_equal(((u_char *) t.memory)[size], 0xa5);

        free(t.memory);
    }
}


static void
prefix_longest_test(void **state)
{
    prefix_t                t;
    ngx_http_ollama_mark_t  mark[64];

    prefix_start(&t, 1024);
    prefix_marks(mark, 64, 1);

    assert_int_equal(prefix_cached(&t, mark, 64, 3), 0);
    assert_int_equal(prefix_cached(&t, mark, 0, 3), 0);

    ngx_http_ollama_prefix_add(t.prefix, mark, 64, MODEL, 3, 10, 1);
    ngx_http_ollama_prefix_add(t.prefix, mark, 5, MODEL, 4, 10, 2);
    ngx_http_ollama_prefix_add(t.prefix, mark, 9, MODEL, 255, 10, 3);
    ngx_http_ollama_prefix_add(t.prefix, mark, 7, MODEL, 0, 10, 4);

    assert_int_equal(prefix_cached(&t, mark, 64, 3), 6400);
    assert_int_equal(prefix_cached(&t, mark, 64, 4), 500);
    assert_int_equal(prefix_cached(&t, mark, 64, 255), 900);
    assert_int_equal(prefix_cached(&t, mark, 64, 0), 700);
    assert_int_equal(prefix_cached(&t, mark, 64, 5), 0);

    /* a shorter prompt has no longer prefix */
    assert_int_equal(prefix_cached(&t, mark, 6, 3), 600);

    /* the text is that of the prompt that asks */
    mark[4].text = 12345;
    assert_int_equal(prefix_cached(&t, mark, 64, 4), 12345);

    /* another prompt, and another model */

    prefix_marks(mark, 64, 2);
    assert_int_equal(prefix_cached(&t, mark, 64, 3), 0);

    prefix_marks(mark, 64, 1);
    ngx_http_ollama_prefix_lookup(t.prefix, mark, 64, MODEL + 1, &t.found);
    assert_int_equal(prefix_query(&t.found, 3, 0, 0, REACH),
                     0);

    prefix_end(&t);
}


/* Servers that the table has no numbers for. */

static void
prefix_number_test(void **state)
{
    prefix_t                t;
    ngx_http_ollama_mark_t  mark[64];

    prefix_start(&t, 64);
    prefix_marks(mark, 64, 1);

    ngx_http_ollama_prefix_add(t.prefix, mark, 64, MODEL, 256, 0, 1);
    ngx_http_ollama_prefix_add(t.prefix, mark, 64, MODEL, 65536, 0, 1);

    assert_int_equal(prefix_cached(&t, mark, 64, 256), 0);
    assert_int_equal(prefix_cached(&t, mark, 64, 65536), 0);
    assert_int_equal(prefix_cached(&t, mark, 64, 0), 0);

    prefix_end(&t);
}


/* The four last servers are noted. */

static void
prefix_places_test(void **state)
{
    prefix_t                t;
    ngx_uint_t              i;
    ngx_http_ollama_mark_t  mark[2];

    prefix_start(&t, 1024);
    prefix_marks(mark, 2, 1);

    for (i = 0; i < 6; i++) {
        ngx_http_ollama_prefix_add(t.prefix, mark, 1, MODEL, i, 0, i + 1);
    }

    ngx_http_ollama_prefix_add(t.prefix, mark, 1, MODEL, 2, 0, 7);
    ngx_http_ollama_prefix_add(t.prefix, mark, 1, MODEL, 6, 0, 8);

    assert_int_equal(prefix_cached(&t, mark, 2, 0), 0);
    assert_int_equal(prefix_cached(&t, mark, 2, 1), 0);
    assert_int_equal(prefix_cached(&t, mark, 2, 2), 100);
    assert_int_equal(prefix_cached(&t, mark, 2, 3), 0);
    assert_int_equal(prefix_cached(&t, mark, 2, 4), 100);
    assert_int_equal(prefix_cached(&t, mark, 2, 5), 100);
    assert_int_equal(prefix_cached(&t, mark, 2, 6), 100);

    prefix_end(&t);
}


/* What a server has forgotten. */

static void
prefix_forgotten_test(void **state)
{
    prefix_t                         t;
    ngx_http_ollama_mark_t           mark[9];
    ngx_http_ollama_prefix_found_t  *found;

    prefix_start(&t, 1024);
    prefix_marks(mark, 9, 1);
    found = &t.found;

    ngx_http_ollama_prefix_add(t.prefix, mark, 9, MODEL, 1, 1000, 50);
    ngx_http_ollama_prefix_add(t.prefix, mark, 4, MODEL, 1, 9000, 60);

    ngx_http_ollama_prefix_lookup(t.prefix, mark, 9, MODEL, found);

    /* loaded again: what was evaluated before is gone, at the time itself */

    assert_int_equal(prefix_query(found, 1, 49, 9000, 1e5),
                     900);
    assert_int_equal(prefix_query(found, 1, 50, 9000, 1e5),
                     400);
    assert_int_equal(prefix_query(found, 1, 59, 9000, 1e5),
                     400);
    assert_int_equal(prefix_query(found, 1, 60, 9000, 1e5),
                     0);

    /* too much was evaluated since */

    assert_int_equal(prefix_query(found, 1, 0, 11000, 10000),
                     900);
    assert_int_equal(prefix_query(found, 1, 0, 11001, 10000),
                     400);
    assert_int_equal(prefix_query(found, 1, 0, 19000, 10000),
                     400);
    assert_int_equal(prefix_query(found, 1, 0, 19001, 10000),
                     0);

    /* another server with the same number, from 70 on */

    assert_int_equal(prefix_query(found, 1, 70, 0, 1e5), 0);

    ngx_http_ollama_prefix_add(t.prefix, mark, 2, MODEL, 1, 5, 71);
    ngx_http_ollama_prefix_lookup(t.prefix, mark, 9, MODEL, found);

    assert_int_equal(prefix_query(found, 1, 70, 5, 1e5),
                     200);

    prefix_end(&t);
}


/* The oldest entry of a set goes, and only one for each that comes. */

static void
prefix_oldest_test(void **state)
{
    prefix_t                t;
    ngx_uint_t              i;
    ngx_http_ollama_mark_t  mark[20];

    prefix_start(&t, 8);
    prefix_marks(mark, 20, 1);

    for (i = 0; i < 8; i++) {
        ngx_http_ollama_prefix_add(t.prefix, &mark[i], 1, MODEL, 1, 0, i + 1);
    }

    for (i = 0; i < 8; i++) {
        assert_int_equal(prefix_cached(&t, &mark[i], 1, 1), mark[i].text);
    }

    /* the first is evaluated again, so the second is the oldest */

    ngx_http_ollama_prefix_add(t.prefix, &mark[0], 1, MODEL, 2, 0, 9);
    ngx_http_ollama_prefix_add(t.prefix, &mark[8], 1, MODEL, 1, 0, 10);

    for (i = 0; i < 9; i++) {
        assert_int_equal(prefix_cached(&t, &mark[i], 1, 1),
                         (i == 1) ? 0 : mark[i].text);
    }

    /* an entry taken anew has none of the servers it had */

    for (i = 9; i < 20; i++) {
        ngx_http_ollama_prefix_add(t.prefix, &mark[i], 1, MODEL, 5, 0, i + 2);
    }

    for (i = 0; i < 20; i++) {
        assert_int_equal(prefix_cached(&t, &mark[i], 1, 1), 0);
        assert_int_equal(prefix_cached(&t, &mark[i], 1, 2), 0);
        assert_int_equal(prefix_cached(&t, &mark[i], 1, 5),
                         (i < 12) ? 0 : mark[i].text);
    }

    prefix_end(&t);
}


/* A table that is half full has nearly all of what it was given. */

static void
prefix_spread_test(void **state)
{
    prefix_t                t;
    ngx_uint_t              i, n;
    ngx_http_ollama_mark_t  mark[1];

    prefix_start(&t, 4096);

    for (i = 0; i < 2048; i++) {
        prefix_marks(mark, 1, i);
        ngx_http_ollama_prefix_add(t.prefix, mark, 1, MODEL, 9, 0, i + 1);
    }

    for (i = 0, n = 0; i < 2048; i++) {
        prefix_marks(mark, 1, i);
        n += (prefix_cached(&t, mark, 1, 9) != 0);
    }

    assert_true(n > 2000);

    prefix_end(&t);
}


/* Against a list of all that was added, in a table that is large enough. */

static void
prefix_random_test(void **state)
{
    size_t                  want;
    double                  used[8], count[8][40];
    prefix_t                t;
    ngx_uint_t              i, k, n, s, misses, len[8][40], time[8][40];
    ngx_http_ollama_mark_t  mark[64];

    prefix_start(&t, 65536);

    ngx_memzero(len, sizeof(len));
    ngx_memzero(time, sizeof(time));
    ngx_memzero(count, sizeof(count));
    ngx_memzero(used, sizeof(used));

    unit_seed(15);
    misses = 0;

    for (i = 1; i < 20000; i++) {

        /* prompts share no marks; each one has up to 4 servers of 8 */

        k = unit_random(40);
        s = (k + unit_random(4)) % 8;
        n = 1 + unit_random(64);

        prefix_marks(mark, 64, k);

        ngx_http_ollama_prefix_lookup(t.prefix, mark, 64, MODEL, &t.found);

        want = (time[s][k] + 300 > i && used[s] - count[s][k] <= 1500)
               ? 100 * len[s][k] : 0;

        misses += (want == 0);

        assert_int_equal(prefix_query(&t.found, s,
                                      i > 300 ? i - 300 : 0, used[s], 1500),
                         want);

        /* never less than it has */

        n = ngx_max(n, len[s][k]);
        used[s] += unit_random(100);

        ngx_http_ollama_prefix_add(t.prefix, mark, n, MODEL, s, used[s], i);

        len[s][k] = n;
        time[s][k] = i;
        count[s][k] = used[s];
    }

    assert_true(misses > 2000 && misses < 18000);

    prefix_end(&t);
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add(&suite, "how large it is", prefix_size_test, NULL);
    unit_add(&suite, "the longest prefix of a server", prefix_longest_test,
             NULL);
    unit_add(&suite, "servers without a number", prefix_number_test, NULL);
    unit_add(&suite, "more than four servers", prefix_places_test, NULL);
    unit_add(&suite, "what a server has forgotten", prefix_forgotten_test,
             NULL);
    unit_add(&suite, "the oldest entry goes", prefix_oldest_test, NULL);
    unit_add(&suite, "entries are spread", prefix_spread_test, NULL);
    unit_add(&suite, "random prompts", prefix_random_test, NULL);

    return unit_run(&suite, "prefix");
}
