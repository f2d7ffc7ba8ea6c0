
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _UNIT_H_INCLUDED_
#define _UNIT_H_INCLUDED_


#include "ngx_stub.h"


#define unit_nelts(a)  (sizeof(a) / sizeof((a)[0]))


/* a table's rows, each as a test of its own */

typedef struct {
    struct CMUnitTest     *tests;
    ngx_uint_t             n;
} unit_suite_t;


/* the first member of a row */

typedef struct {
    const char            *title;
} unit_row_t;


void unit_add(unit_suite_t *suite, const char *title, CMUnitTestFunction test,
    void *state);
void unit_add_rows(unit_suite_t *suite, CMUnitTestFunction test, void *rows,
    size_t size, ngx_uint_t n);
int unit_run(unit_suite_t *suite, const char *name);

void unit_seed(ngx_uint_t seed);
ngx_uint_t unit_random(ngx_uint_t n);


#endif /* _UNIT_H_INCLUDED_ */
