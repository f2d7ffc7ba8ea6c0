
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _HEAP_H_INCLUDED_
#define _HEAP_H_INCLUDED_


/*
 * The events of a simulation, in the order of their time; those of one time in
 * the order they were added.  An event can't be removed: its owner gives it the
 * number of his state, and ignores one whose number is no longer his.
 */


#include <stdint.h>


typedef void (*event_pt)(void *data, uint64_t number);

typedef struct {
    double      at;
    uint64_t    order;
    event_pt    handler;
    void       *data;
    uint64_t    number;
} event_t;

typedef struct {
    double      now;
    event_t    *events;
    int         n;
    int         size;
    uint64_t    order;
} heap_t;


void heap_init(heap_t *h);
void heap_free(heap_t *h);

void heap_add(heap_t *h, double at, event_pt handler, void *data,
    uint64_t number);

/* Runs the first event; returns 0 if there is none up to that time. */
int heap_run(heap_t *h, double until);


#endif /* _HEAP_H_INCLUDED_ */
