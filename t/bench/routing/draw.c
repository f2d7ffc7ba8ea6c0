
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"


uint64_t
draw_mix(uint64_t one, uint64_t two)
{
    uint64_t  x;

    /* the finalizer of splitmix64, over each of the two */

    x = one + 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    x ^= x >> 31;

    x += two + 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;

    return x ^ (x >> 31);
}


void
draw_seed(draw_t *d, uint64_t one, uint64_t two)
{
    d->state = draw_mix(one, two);
}


uint64_t
draw_bits(draw_t *d)
{
    d->state += 0x9e3779b97f4a7c15ULL;

    return draw_mix(d->state, 0);
}


double
draw_unit(draw_t *d)
{
    return (draw_bits(d) >> 11) * 0x1p-53;
}


int
draw_below(draw_t *d, int n)
{
    return (int) (draw_unit(d) * n);
}


double
draw_exp(draw_t *d, double mean)
{
    return -mean * log(1 - draw_unit(d));
}


double
draw_lognormal(draw_t *d, double mean, double sigma)
{
    double  one, two, normal;

    one = draw_unit(d);
    two = draw_unit(d);

    normal = sqrt(-2 * log(1 - one)) * cos(2 * M_PI * two);

    return mean * exp(sigma * normal - sigma * sigma / 2);
}


int
draw_zipf(draw_t *d, int n, double s)
{
    int     i;
    double  sum, x;

    sum = 0;

    for (i = 0; i < n; i++) {
        sum += pow(i + 1, -s);
    }

    x = draw_unit(d) * sum;

    for (i = 0; i < n - 1; i++) {
        x -= pow(i + 1, -s);

        if (x < 0) {
            break;
        }
    }

    return i;
}


void *
sim_alloc(size_t size)
{
    return memset(sim_realloc(NULL, size), 0, size);
}


void *
sim_realloc(void *p, size_t size)
{
    p = realloc(p, size);

    if (p == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", size);
        exit(1);
    }

    return p;
}
