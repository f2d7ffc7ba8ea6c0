
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "trace.h"


static int trace_line(trace_t *t, const char *line);
static trace_req_t *trace_add(trace_t *t);


trace_t *
trace_read(const char *name)
{
    int       n;
    char      line[256];
    FILE     *file;
    trace_t  *t;

    file = fopen(name, "r");

    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        return NULL;
    }

    t = sim_alloc(sizeof(trace_t));

    for (n = 1; fgets(line, sizeof(line), file); n++) {

        if (line[0] == '#' || trace_line(t, line)) {
            continue;
        }

        fprintf(stderr, "%s:%d: not \"MS IN OUT BACK SHARED\"\n", name, n);
        trace_free(t);
        t = NULL;
        break;
    }

    fclose(file);

    return t;
}


void
trace_free(trace_t *t)
{
    int  i;

    if (t == NULL) {
        return;
    }

    for (i = 0; i < t->n; i++) {
        free(t->reqs[i].marks);
    }

    free(t->reqs);
    free(t);
}


static int
trace_line(trace_t *t, const char *line)
{
    int           ms, in, out, back, shared, i;
    trace_req_t  *r, *before;

    if (sscanf(line, "%d %d %d %d %d", &ms, &in, &out, &back, &shared) != 5
        || ms < 0 || in <= 0 || out <= 0 || back < 0 || back > t->n
        || shared < 0)
    {
        return 0;
    }

    r = trace_add(t);
    before = back ? r - back : NULL;

    r->at = ms / 1000.0 + (t->n > 1 ? (r - 1)->at : 0);
    r->in = in;
    r->out = out;
    r->nmarks = (in + TRACE_BLOCK - 1) / TRACE_BLOCK;
    r->marks = sim_alloc(r->nmarks * sizeof(mark_t));

    if (before && (shared > before->nmarks || shared > r->nmarks)) {
        return 0;
    }

    /* all begin with the same block: more in common makes a conversation */

    r->conv = before && shared > 1 ? before->conv : t->convs++;

    for (i = 0; i < r->nmarks; i++) {

        if (before && i < shared) {
            r->marks[i] = before->marks[i];
            continue;
        }

        r->marks[i].hash = draw_mix(t->n, i);
        r->marks[i].tokens = (i + 1) * TRACE_BLOCK;
    }

    r->marks[r->nmarks - 1].tokens = in;

    return 1;
}


static trace_req_t *
trace_add(trace_t *t)
{
    if (t->n == t->size) {
        t->size = t->size ? t->size * 2 : 4096;
        t->reqs = sim_realloc(t->reqs, t->size * sizeof(trace_req_t));
    }

    memset(&t->reqs[t->n], 0, sizeof(trace_req_t));

    return &t->reqs[t->n++];
}
