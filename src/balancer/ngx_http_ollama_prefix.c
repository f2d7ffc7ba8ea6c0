
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which server evaluated which prefixes of prompts last, and so may have them
 * in its cache: a table from hashes to servers, of a fixed size.
 *
 * A hash belongs to one set of entries, where it takes the place of the one
 * that was not evaluated for the longest time; the servers of an entry are in
 * order, the last one first.  Nothing is ever removed: what a server forgot,
 * because the model was unloaded or because other prompts came since, is told
 * from the times and counts noted.
 *
 * Pure functions over memory of the caller, who has its lock if it is shared;
 * times are of the caller, too, in any unit.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "balancer/ngx_http_ollama_prefix.h"
#include "util/ngx_http_ollama_hash.h"


/* entries of a set: their hashes are in one line of the processor's cache */
#define NGX_HTTP_OLLAMA_PREFIX_SET  8


typedef struct {
    uint64_t                        time[NGX_HTTP_OLLAMA_PREFIX_PLACES];
    float                           used[NGX_HTTP_OLLAMA_PREFIX_PLACES];
    uint16_t                        server[NGX_HTTP_OLLAMA_PREFIX_PLACES];
    uint16_t                        n;
} ngx_http_ollama_prefix_entry_t;


typedef struct {
    uint64_t                        hash[NGX_HTTP_OLLAMA_PREFIX_SET];
    ngx_http_ollama_prefix_entry_t  entry[NGX_HTTP_OLLAMA_PREFIX_SET];
} ngx_http_ollama_prefix_set_t;


struct ngx_http_ollama_prefix_s {
    uint64_t                        mask;      /* of the number of sets */
    u_char                          pad[56];   /* to the end of the line */
    ngx_http_ollama_prefix_set_t    set[1];
};


static ngx_http_ollama_prefix_entry_t *ngx_http_ollama_prefix_find(
    ngx_http_ollama_prefix_set_t *set, uint64_t hash);
static ngx_http_ollama_prefix_entry_t *ngx_http_ollama_prefix_take(
    ngx_http_ollama_prefix_set_t *set, uint64_t hash);
static void ngx_http_ollama_prefix_put(ngx_http_ollama_prefix_entry_t *entry,
    ngx_uint_t server, double used, uint64_t now);
static uint64_t ngx_http_ollama_prefix_hash(uint64_t hash, uint64_t model);


size_t
ngx_http_ollama_prefix_size(ngx_uint_t n)
{
    size_t  sets;

    sets = 1;

    while (sets * NGX_HTTP_OLLAMA_PREFIX_SET < n) {
        sets *= 2;
    }

    return offsetof(ngx_http_ollama_prefix_t, set)
           + sets * sizeof(ngx_http_ollama_prefix_set_t);
}


ngx_http_ollama_prefix_t *
ngx_http_ollama_prefix_init(void *memory, size_t size)
{
    size_t                     n;
    ngx_http_ollama_prefix_t  *prefix;

    if (size < ngx_http_ollama_prefix_size(1)) {
        return NULL;
    }

    n = NGX_HTTP_OLLAMA_PREFIX_SET;

    while (ngx_http_ollama_prefix_size(2 * n) <= size) {
        n *= 2;
    }

    prefix = memory;

    ngx_memzero(prefix, ngx_http_ollama_prefix_size(n));

    prefix->mask = n / NGX_HTTP_OLLAMA_PREFIX_SET - 1;

    return prefix;
}


void
ngx_http_ollama_prefix_add(ngx_http_ollama_prefix_t *prefix,
    ngx_http_ollama_mark_t *mark, ngx_uint_t n, uint64_t model,
    ngx_uint_t server, double used, uint64_t now)
{
    uint64_t                         hash;
    ngx_uint_t                       i;
    ngx_http_ollama_prefix_set_t    *set;
    ngx_http_ollama_prefix_entry_t  *entry;

    if (server >= NGX_HTTP_OLLAMA_PREFIX_SERVERS) {
        return;
    }

    for (i = 0; i < n; i++) {

        hash = ngx_http_ollama_prefix_hash(mark[i].hash, model);
        set = &prefix->set[hash & prefix->mask];

        entry = ngx_http_ollama_prefix_find(set, hash);

        if (entry == NULL) {
            entry = ngx_http_ollama_prefix_take(set, hash);
        }

        ngx_http_ollama_prefix_put(entry, server, used, now);
    }
}


static ngx_http_ollama_prefix_entry_t *
ngx_http_ollama_prefix_find(ngx_http_ollama_prefix_set_t *set, uint64_t hash)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_OLLAMA_PREFIX_SET; i++) {

        if (set->hash[i] == hash) {
            return &set->entry[i];
        }
    }

    return NULL;
}


/* An entry without servers: one never used, or else the oldest one. */

static ngx_http_ollama_prefix_entry_t *
ngx_http_ollama_prefix_take(ngx_http_ollama_prefix_set_t *set, uint64_t hash)
{
    ngx_uint_t  i, oldest;

    oldest = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_PREFIX_SET; i++) {

        if (set->hash[i] == 0) {
            oldest = i;
            break;
        }

        if (set->entry[i].time[0] < set->entry[oldest].time[0]) {
            oldest = i;
        }
    }

    set->hash[oldest] = hash;
    set->entry[oldest].n = 0;

    return &set->entry[oldest];
}


/* The server becomes the first one; if there is no place, the last one goes. */

static void
ngx_http_ollama_prefix_put(ngx_http_ollama_prefix_entry_t *entry,
    ngx_uint_t server, double used, uint64_t now)
{
    ngx_uint_t  i;

    for (i = 0; i < entry->n; i++) {
        if (entry->server[i] == server) {
            break;
        }
    }

    if (i == entry->n) {

        if (entry->n < NGX_HTTP_OLLAMA_PREFIX_PLACES) {
            entry->n++;

        } else {
            i--;
        }
    }

    for ( /* void */ ; i; i--) {
        entry->server[i] = entry->server[i - 1];
        entry->used[i] = entry->used[i - 1];
        entry->time[i] = entry->time[i - 1];
    }

    entry->server[0] = server;
    entry->used[0] = used;
    entry->time[0] = now;
}


void
ngx_http_ollama_prefix_lookup(ngx_http_ollama_prefix_t *prefix,
    ngx_http_ollama_mark_t *mark, ngx_uint_t n, uint64_t model,
    ngx_http_ollama_prefix_found_t *found)
{
    uint64_t                         hash;
    uint16_t                        *longest;
    ngx_uint_t                       i, k, nplaces;
    ngx_http_ollama_prefix_entry_t  *entry;
    ngx_http_ollama_prefix_place_t  *place;

    ngx_memzero(found->longest, sizeof(found->longest));

    n = ngx_min(n, NGX_HTTP_OLLAMA_MARKS_MAX);
    nplaces = 0;

    /* each place goes in front of the shorter ones of its server */

    for (i = 0; i < n; i++) {

        hash = ngx_http_ollama_prefix_hash(mark[i].hash, model);

        entry = ngx_http_ollama_prefix_find(&prefix->set[hash & prefix->mask],
                                            hash);
        if (entry == NULL) {
            continue;
        }

        for (k = 0; k < entry->n; k++) {

            longest = &found->longest[entry->server[k]];
            place = &found->place[++nplaces];

            place->time = entry->time[k];
            place->used = entry->used[k];
            place->text = mark[i].text;
            place->next = *longest;

            *longest = nplaces;
        }
    }
}


size_t
ngx_http_ollama_prefix_cached(ngx_http_ollama_prefix_found_t *found,
    ngx_uint_t server, uint64_t since, double used, double reach,
    double *back)
{
    ngx_uint_t                       i;
    ngx_http_ollama_prefix_place_t  *place;

    *back = 0;

    if (server >= NGX_HTTP_OLLAMA_PREFIX_SERVERS) {
        return 0;
    }

    for (i = found->longest[server]; i; i = place->next) {

        place = &found->place[i];

        if (place->time > since && used - place->used <= reach) {
            *back = used - place->used;
            return place->text;
        }
    }

    return 0;
}


/* The hash for both; 0 is that of an empty entry. */

static uint64_t
ngx_http_ollama_prefix_hash(uint64_t hash, uint64_t model)
{
    hash = ngx_http_ollama_hash_mix(hash + ngx_http_ollama_hash_mix(model));

    return hash ? hash : 1;
}
