
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the unit tests have in common: a suite made of the rows of tables, and
 * numbers that look random but are the same in each run.
 */


#include "unit.h"


static uint64_t  unit_random_state;


void
unit_add(unit_suite_t *suite, const char *title, CMUnitTestFunction test,
    void *state)
{
    struct CMUnitTest  *tests;

    tests = realloc(suite->tests, (suite->n + 1) * sizeof(struct CMUnitTest));
    if (tests == NULL) {
        abort();
    }

    suite->tests = tests;
    tests += suite->n++;

    ngx_memzero(tests, sizeof(struct CMUnitTest));

    tests->name = title;
    tests->test_func = test;
    tests->initial_state = state;
}


void
unit_add_rows(unit_suite_t *suite, CMUnitTestFunction test, void *rows,
    size_t size, ngx_uint_t n)
{
    u_char      *p;
    unit_row_t  *row;

    for (p = rows; n; n--, p += size) {
        row = (unit_row_t *) p;
        unit_add(suite, row->title, test, row);
    }
}


int
unit_run(unit_suite_t *suite, const char *name)
{
    int  failed;

    failed = _cmocka_run_group_tests(name, suite->tests, suite->n, NULL, NULL);

    free(suite->tests);

    return failed ? 1 : 0;
}


/* UNIT_SEED in the environment gives other numbers. */

void
unit_seed(ngx_uint_t seed)
{
    char  *value;

    value = getenv("UNIT_SEED");

    unit_random_state = seed + 1
                        + (value ? strtoull(value, NULL, 10) * 1000003 : 0);
}


/* 0 to n - 1 (splitmix64) */

ngx_uint_t
unit_random(ngx_uint_t n)
{
    uint64_t  z;

    unit_random_state += 0x9e3779b97f4a7c15ULL;

    z = unit_random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;

    return (z ^ (z >> 31)) % n;
}
