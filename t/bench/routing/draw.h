
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _DRAW_H_INCLUDED_
#define _DRAW_H_INCLUDED_


/*
 * Chance that is the same in each run: a state is a number, and what is drawn
 * from it depends on nothing else.  And memory, or the end.
 */


#include <stddef.h>
#include <stdint.h>


typedef struct {
    uint64_t    state;
} draw_t;


/* Mixes two numbers; the same two always give the same. */
uint64_t draw_mix(uint64_t one, uint64_t two);

void draw_seed(draw_t *d, uint64_t one, uint64_t two);
uint64_t draw_bits(draw_t *d);

/* From 0 up to, but without, 1. */
double draw_unit(draw_t *d);
int draw_below(draw_t *d, int n);
double draw_exp(draw_t *d, double mean);

/* A log-normal value with that mean; sigma is that of its logarithm. */
double draw_lognormal(draw_t *d, double mean, double sigma);

/* A rank from 0 up to, but without, n; of weight 1 / (rank + 1) ^ s. */
int draw_zipf(draw_t *d, int n, double s);

void *sim_alloc(size_t size);
void *sim_realloc(void *p, size_t size);


#endif /* _DRAW_H_INCLUDED_ */
