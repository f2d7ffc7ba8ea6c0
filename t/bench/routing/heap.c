
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "draw.h"


static int heap_before(event_t *one, event_t *two);


void
heap_init(heap_t *h)
{
    memset(h, 0, sizeof(heap_t));
}


void
heap_free(heap_t *h)
{
    free(h->events);
    heap_init(h);
}


void
heap_add(heap_t *h, double at, event_pt handler, void *data, uint64_t number)
{
    int      i, up;
    event_t  ev;

    if (h->n == h->size) {
        h->size = h->size ? h->size * 2 : 1024;
        h->events = sim_realloc(h->events, h->size * sizeof(event_t));
    }

    ev.at = at > h->now ? at : h->now;
    ev.order = h->order++;
    ev.handler = handler;
    ev.data = data;
    ev.number = number;

    for (i = h->n++; i > 0; i = up) {
        up = (i - 1) / 2;

        if (!heap_before(&ev, &h->events[up])) {
            break;
        }

        h->events[i] = h->events[up];
    }

    h->events[i] = ev;
}


int
heap_run(heap_t *h, double until)
{
    int      i, down;
    event_t  ev, last;

    if (h->n == 0 || h->events[0].at > until) {
        return 0;
    }

    ev = h->events[0];
    last = h->events[--h->n];

    for (i = 0; (down = 2 * i + 1) < h->n; i = down) {

        if (down + 1 < h->n
            && heap_before(&h->events[down + 1], &h->events[down]))
        {
            down++;
        }

        if (!heap_before(&h->events[down], &last)) {
            break;
        }

        h->events[i] = h->events[down];
    }

    h->events[i] = last;

    h->now = ev.at;
    ev.handler(ev.data, ev.number);

    return 1;
}


static int
heap_before(event_t *one, event_t *two)
{
    if (one->at != two->at) {
        return one->at < two->at;
    }

    return one->order < two->order;
}
