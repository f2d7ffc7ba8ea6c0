
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _CACHE_H_INCLUDED_
#define _CACHE_H_INCLUDED_


/*
 * The prompts that a runner keeps, as llama-server does: each slot its last
 * one, and those that gave way in a store in the host's memory, the oldest of
 * which goes first.  A prompt taken from the store is no longer in it.
 */


#include "sim.h"


typedef struct prompt_s  prompt_t;

struct prompt_s {
    prompt_t   *next;
    mark_t     *marks;
    int         nmarks;
    int         tokens;
};


typedef struct {
    prompt_t   *prompt;
    uint64_t    used;           /* greater: later */
    int         busy;
} slot_t;


typedef struct {
    slot_t      slots[SIM_PLACES];
    prompt_t   *stored;         /* the oldest first */
    uint64_t    clock;
    double      bytes;          /* of those stored */
    double      limit;
    double      token;
    int         nslots;
} cache_t;


void cache_init(cache_t *c, int nslots, double limit, double token);
void cache_free(cache_t *c);

/*
 * Takes a free slot for a request and returns it; there is one.  "cached" are
 * the tokens of the prompt that need no evaluation.
 */
int cache_take(cache_t *c, req_t *req, int *cached);

/*
 * Gives the slot back; it keeps the prompt and "out" tokens of the reply, or
 * nothing, if the prompt was not evaluated.
 */
void cache_give(cache_t *c, int slot, req_t *req, int evaluated, int out);


#endif /* _CACHE_H_INCLUDED_ */
