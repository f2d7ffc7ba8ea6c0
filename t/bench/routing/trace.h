
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _TRACE_H_INCLUDED_
#define _TRACE_H_INCLUDED_


/*
 * A trace of real requests, one a line:
 *
 *     MS IN OUT BACK SHARED
 *
 * MS after the line before it; prompt and reply in tokens; the prompt begins
 * with SHARED blocks, of 512 tokens each, of that BACK lines before.  Lines
 * that begin with # are comments.
 */


#include <stdint.h>

#include "sim.h"


typedef struct {
    double      at;
    int         in;
    int         out;
    int         conv;           /* requests that share more than one block */
    int         nmarks;
    mark_t     *marks;
} trace_req_t;


typedef struct {
    int          n;
    int          size;
    int          convs;
    trace_req_t *reqs;
} trace_t;


#define TRACE_BLOCK  512


/* Prints what is wrong and returns NULL if the file can't be read. */
trace_t *trace_read(const char *name);
void trace_free(trace_t *t);


#endif /* _TRACE_H_INCLUDED_ */
