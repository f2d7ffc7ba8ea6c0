
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "draw.h"


/* llama-server's: a slot is similar, a prompt in it is as good as lost, a
 * stored one is worth to be taken */
#define CACHE_SIMILAR  0.1
#define CACHE_LOST     0.5
#define CACHE_WORTH    0.25


static int cache_common(prompt_t *p, req_t *req);
static slot_t *cache_slot(cache_t *c, req_t *req, int *common);
static void cache_load(cache_t *c, slot_t *slot, req_t *req, int *common);
static void cache_store(cache_t *c, prompt_t *p);
static prompt_t *cache_copy(mark_t *marks, int nmarks, int tokens);
static void cache_prompt_free(prompt_t *p);


void
cache_init(cache_t *c, int nslots, double limit, double token)
{
    memset(c, 0, sizeof(cache_t));

    c->nslots = nslots;
    c->limit = limit;
    c->token = token;
}


void
cache_free(cache_t *c)
{
    int        i;
    prompt_t  *p;

    for (i = 0; i < c->nslots; i++) {
        cache_prompt_free(c->slots[i].prompt);
    }

    while (c->stored) {
        p = c->stored;
        c->stored = p->next;
        cache_prompt_free(p);
    }
}


int
cache_take(cache_t *c, req_t *req, int *cached)
{
    int      common;
    slot_t  *slot;

    slot = cache_slot(c, req, &common);

    if (slot->prompt && common < CACHE_LOST * slot->prompt->tokens) {
        cache_load(c, slot, req, &common);
    }

    slot->busy = 1;
    slot->used = ++c->clock;

    /* the last token is always evaluated */

    *cached = common < req->prompt ? common : req->prompt - 1;

    return slot - c->slots;
}


void
cache_give(cache_t *c, int i, req_t *req, int evaluated, int out)
{
    slot_t    *slot;
    prompt_t  *p;

    slot = &c->slots[i];
    slot->busy = 0;
    slot->used = ++c->clock;

    cache_prompt_free(slot->prompt);
    slot->prompt = NULL;

    if (!evaluated) {
        return;
    }

    p = cache_copy(req->marks, req->ask.nmarks, req->prompt + out);

    if (req->reply && out == req->out) {
        p->marks[p->nmarks].hash = req->reply;
        p->marks[p->nmarks].tokens = p->tokens;
        p->nmarks++;
    }

    slot->prompt = p;
}


/* Marks are chained: where one is equal, all before it are. */

static int
cache_common(prompt_t *p, req_t *req)
{
    int  low, high, middle;

    if (p == NULL) {
        return 0;
    }

    low = 0;
    high = p->nmarks < req->ask.nmarks ? p->nmarks : req->ask.nmarks;

    while (low < high) {
        middle = (low + high + 1) / 2;

        if (p->marks[middle - 1].hash == req->marks[middle - 1].hash) {
            low = middle;

        } else {
            high = middle - 1;
        }
    }

    return low ? req->marks[low - 1].tokens : 0;
}


/* The free slot with the most in common, or the one not used for longest. */

static slot_t *
cache_slot(cache_t *c, req_t *req, int *common)
{
    int      i, n, most;
    slot_t  *s, *best, *oldest;

    best = NULL;
    oldest = NULL;
    most = CACHE_SIMILAR * req->prompt;

    for (i = 0; i < c->nslots; i++) {
        s = &c->slots[i];

        if (s->busy) {
            continue;
        }

        if (oldest == NULL || s->used < oldest->used) {
            oldest = s;
        }

        n = cache_common(s->prompt, req);

        if (n > most) {
            most = n;
            best = s;
        }
    }

    if (best == NULL) {
        best = oldest;
    }

    *common = cache_common(best->prompt, req);

    return best;
}


/*
 * What the slot has is stored, before it is overwritten; a stored prompt that
 * has more in common takes its place.
 */

static void
cache_load(cache_t *c, slot_t *slot, req_t *req, int *common)
{
    int        n;
    prompt_t  *p, **prev, **best;

    if (c->limit == 0) {
        return;
    }

    cache_store(c, cache_copy(slot->prompt->marks, slot->prompt->nmarks,
                              slot->prompt->tokens));

    best = NULL;

    for (prev = &c->stored; *prev; prev = &(*prev)->next) {
        n = cache_common(*prev, req);

        if (n > *common && n >= CACHE_WORTH * (*prev)->tokens) {
            *common = n;
            best = prev;
        }
    }

    if (best) {
        p = *best;
        *best = p->next;
        c->bytes -= p->tokens * c->token;

        cache_prompt_free(slot->prompt);
        slot->prompt = p;
    }
}


static void
cache_store(cache_t *c, prompt_t *new)
{
    prompt_t  *p, **prev;

    c->bytes += new->tokens * c->token;

    /* one that the new one begins with is contained in it */

    for (prev = &c->stored; *prev; /* void */ ) {
        p = *prev;

        if (p->nmarks && p->nmarks <= new->nmarks
            && p->marks[p->nmarks - 1].hash == new->marks[p->nmarks - 1].hash)
        {
            *prev = p->next;
            c->bytes -= p->tokens * c->token;
            cache_prompt_free(p);
            continue;
        }

        prev = &p->next;
    }

    *prev = new;

    while (c->bytes > c->limit && c->stored != NULL) {
        p = c->stored;
        c->stored = p->next;
        c->bytes -= p->tokens * c->token;
        cache_prompt_free(p);
    }
}


/* There is room for one mark more. */

static prompt_t *
cache_copy(mark_t *marks, int nmarks, int tokens)
{
    prompt_t  *p;

    p = sim_alloc(sizeof(prompt_t));

    p->marks = sim_alloc((nmarks + 1) * sizeof(mark_t));
    memcpy(p->marks, marks, nmarks * sizeof(mark_t));
    p->nmarks = nmarks;
    p->tokens = tokens;

    return p;
}


static void
cache_prompt_free(prompt_t *p)
{
    if (p) {
        free(p->marks);
        free(p);
    }
}
