
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Whether a server can serve a request, and how well: by its snapshot, by the
 * number of slots in use, and by what requests found out between two probes
 * about a model there (it is being loaded, was there, or wasn't) and about the
 * server (it refuses requests).
 *
 * States of models lie in the server, in shared memory.  One is used from the
 * first request that needs the model loaded until a later probe knows better.
 * All functions but ngx_http_ollama_model_state_want() need the fleet's lock.
 * It may use what fleet_shm.h declares, report and model_name.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_fleet_shm.h"
#include "fleet/ngx_http_ollama_model_state.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "fleet/ngx_http_ollama_report.h"


/* a server that refuses is avoided for so long, doubled each time, ms */
#define NGX_HTTP_OLLAMA_MODEL_STATE_AVOID      1000
#define NGX_HTTP_OLLAMA_MODEL_STATE_AVOID_MAX  10000

/* bytes */
#define NGX_HTTP_OLLAMA_MODEL_STATE_GB         1e9f

/* Ollama keeps a model loaded for so long that isn't used, by default, ms */
#define NGX_HTTP_OLLAMA_MODEL_STATE_LOADED     300000


static uint64_t ngx_http_ollama_model_state_hash(ngx_str_t *key);
static ngx_http_ollama_model_state_t *ngx_http_ollama_model_state_find_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
static ngx_http_ollama_model_t *ngx_http_ollama_model_state_model_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted);
static ngx_uint_t ngx_http_ollama_model_state_is_used_locked(
    ngx_http_ollama_server_t *server, ngx_http_ollama_wanted_t *wanted,
    ngx_http_ollama_model_t *model);
static ngx_msec_t ngx_http_ollama_model_state_avoid(ngx_uint_t refusals);


ngx_int_t
ngx_http_ollama_model_state_want(ngx_pool_t *pool, ngx_str_t *model,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_str_null(&wanted->key);
    wanted->hash = 0;
    wanted->cloud = 0;
    wanted->slotless = 0;

    if (model == NULL || model->len == 0) {
        return NGX_OK;
    }

    wanted->key.data = ngx_pnalloc(pool, model->len
                                         + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
    if (wanted->key.data == NULL) {
        return NGX_ERROR;
    }

    wanted->key.len = ngx_http_ollama_model_name_key(wanted->key.data, model);
    wanted->cloud = ngx_http_ollama_model_name_is_cloud(model);
    wanted->slotless = wanted->cloud;

    wanted->hash = ngx_http_ollama_model_state_hash(&wanted->key);

    return NGX_OK;
}


/* Never 0. */

static uint64_t
ngx_http_ollama_model_state_hash(ngx_str_t *key)
{
    return ((uint64_t) ngx_crc32_long(key->data, key->len) << 32)
           | ngx_murmur_hash2(key->data, key->len)
           | 1;
}


ngx_http_ollama_can_e
ngx_http_ollama_model_state_can_serve_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_uint_t  full;

    if (!ngx_http_ollama_model_state_may_have_locked(server, wanted)) {
        return NGX_HTTP_OLLAMA_LACKS_MODEL;
    }

    full = (server->max_conns
            && server->in_flight >= server->max_conns
            && !wanted->slotless);

    if (server->status == NGX_HTTP_OLLAMA_DOWN || server->disabled) {
        return (server->slow && !server->disabled && !full)
               ? NGX_HTTP_OLLAMA_IS_SLOW : NGX_HTTP_OLLAMA_IS_DOWN;
    }

    return full ? NGX_HTTP_OLLAMA_IS_FULL : NGX_HTTP_OLLAMA_CAN_TAKE;
}


ngx_uint_t
ngx_http_ollama_model_state_may_have_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_http_ollama_model_state_t  *ms;
    ngx_http_ollama_snapshot_t     *s;

    s = server->snapshot;

    /* a server that was not probed yet may have any model */

    if (wanted->key.len && s && !wanted->cloud) {

        /* so may one with more models than there is or was room for */

        if (!s->dropped
            && !server->no_room
            && ngx_http_ollama_report_find(s->models, s->nmodels,
                                           &wanted->key)
               == NULL)
        {
            return 0;
        }

        ms = ngx_http_ollama_model_state_find_locked(server, wanted);

        if (ms && ms->absent) {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_ollama_model_state_fill_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted, ngx_http_ollama_server_state_t *state)
{
    ngx_http_ollama_model_t  *model;

    state->in_flight = server->in_flight;

    state->refusing = ngx_http_ollama_model_state_refusing_locked(server);

    state->full = 0;
    state->limit = server->max_conns;
    state->capacity = &server->capacity;
    state->probed = server->started;

    if (wanted->key.len == 0) {
        state->known = 1;
        state->warm = 0;
        return;
    }

    model = ngx_http_ollama_model_state_model_locked(server, wanted);

    state->weights = (model && model->digest) ? model->digest : wanted->hash;
    state->size = model ? (float) model->size / NGX_HTTP_OLLAMA_MODEL_STATE_GB
                        : 0;

    state->known = (model != NULL);
    state->warm = !wanted->cloud
                  && ((model && model->warm)
                      || ngx_http_ollama_model_state_is_used_locked(server,
                                                           wanted, model));
}


/* A model that is loaded under two names is there once. */

ngx_uint_t
ngx_http_ollama_model_state_residents_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_resident_t *r, ngx_uint_t max, ngx_msec_t *started)
{
    int64_t                   size;
    uint64_t                  weights;
    ngx_uint_t                i, j, n;
    ngx_http_ollama_model_t  *model;

    *started = server->started;

    if (server->snapshot == NULL) {
        return 0;
    }

    n = 0;
    model = server->snapshot->models;

    for (i = 0; i < server->snapshot->nmodels && n < max; i++) {

        if (model[i].ps.len == 0) {
            continue;
        }

        weights = model[i].loaded ? model[i].loaded
                                  : model[i].digest ? model[i].digest
                         : ngx_http_ollama_model_state_hash(&model[i].key);

        for (j = 0; j < n && r[j].weights != weights; j++) { /* void */ }

        if (j < n) {
            continue;
        }

        size = model[i].size_vram ? model[i].size_vram : model[i].size;

        r[n].weights = weights;
        r[n].size = (float) size / NGX_HTTP_OLLAMA_MODEL_STATE_GB;
        r[n].context = model[i].context_length;
        n++;
    }

    return n;
}


/* The model in the server's snapshot, or NULL. */

static ngx_http_ollama_model_t *
ngx_http_ollama_model_state_model_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    return server->snapshot
           ? ngx_http_ollama_report_find(server->snapshot->models,
                                         server->snapshot->nmodels,
                                         &wanted->key)
           : NULL;
}


/* Whether requests have it loaded, or load it, under this or another name. */

static ngx_uint_t
ngx_http_ollama_model_state_is_used_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted, ngx_http_ollama_model_t *model)
{
    ngx_uint_t                      i;
    ngx_http_ollama_model_state_t  *ms;

    ms = server->model_states;

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (ms[i].used && !ms[i].absent
            && (ms[i].hash == wanted->hash
                || (model && model->digest && ms[i].digest == model->digest)))
        {
            return 1;
        }
    }

    return 0;
}


/* The state of the model at the server, or NULL. */

static ngx_http_ollama_model_state_t *
ngx_http_ollama_model_state_find_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_uint_t                      i;
    ngx_http_ollama_model_state_t  *ms;

    ms = server->model_states;

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (ms[i].used && ms[i].hash == wanted->hash) {
            return &ms[i];
        }
    }

    return NULL;
}


ngx_http_ollama_model_state_t *
ngx_http_ollama_model_state_use_locked(ngx_http_ollama_server_t *server,
    ngx_http_ollama_wanted_t *wanted)
{
    ngx_uint_t                      i;
    ngx_http_ollama_model_t        *model;
    ngx_http_ollama_model_state_t  *ms;

    if (wanted->key.len == 0 || !wanted->loads || wanted->cloud) {
        return NULL;
    }

    ms = ngx_http_ollama_model_state_find_locked(server, wanted);
    if (ms) {
        ms->in_flight++;
        return ms;
    }

    ms = server->model_states;
    model = ngx_http_ollama_model_state_model_locked(server, wanted);

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (!ms[i].used) {
            ngx_memzero(&ms[i], sizeof(ngx_http_ollama_model_state_t));
            ms[i].used = 1;
            ms[i].hash = wanted->hash;
            ms[i].digest = model ? model->digest : 0;
            ms[i].cold = (model && !model->warm);
            ms[i].in_flight = 1;
            return &ms[i];
        }
    }

    return NULL;
}


void
ngx_http_ollama_model_state_release_locked(ngx_http_ollama_model_state_t *ms)
{
    ms->in_flight--;

    if (ms->in_flight == 0 && !ms->loaded && !ms->absent) {
        /* whether it was loaded isn't known */
        ms->used = 0;
    }
}


void
ngx_http_ollama_model_state_loaded_locked(ngx_http_ollama_model_state_t *ms)
{
    ms->loaded = 1;
    ms->absent = 0;
    ms->seen = ngx_current_msec;
}


void
ngx_http_ollama_model_state_absent_locked(ngx_http_ollama_model_state_t *ms)
{
    ms->absent = 1;
    ms->loaded = 0;
    ms->seen = ngx_current_msec;
}


/*
 * A model that a request waits for is still being loaded, as far as is known:
 * servers report it when it is loaded.
 */

void
ngx_http_ollama_model_state_probed_locked(ngx_http_ollama_server_t *server,
    ngx_msec_t started, ngx_uint_t all, ngx_uint_t loaded)
{
    ngx_uint_t                      i;
    ngx_msec_int_t                  age;
    ngx_http_ollama_model_state_t  *ms;

    ms = server->model_states;

    for (i = 0; i < NGX_HTTP_OLLAMA_MODEL_STATES; i++) {
        if (!ms[i].used || ms[i].in_flight) {
            continue;
        }

        age = (ngx_msec_int_t) (started - ms[i].seen);

        if (age < 0) {
            continue;
        }

        if (ms[i].absent ? all
                         : loaded || age > NGX_HTTP_OLLAMA_MODEL_STATE_LOADED)
        {
            ms[i].used = 0;
        }
    }
}


/* The clock of another worker may be ahead: the difference is signed. */

ngx_uint_t
ngx_http_ollama_model_state_refusing_locked(ngx_http_ollama_server_t *server)
{
    ngx_msec_int_t  ago;

    if (server->refusals == 0) {
        return 0;
    }

    ago = (ngx_msec_int_t) (ngx_current_msec - server->refused);

    return ago < (ngx_msec_int_t)
                     ngx_http_ollama_model_state_avoid(server->refusals);
}


static ngx_msec_t
ngx_http_ollama_model_state_avoid(ngx_uint_t refusals)
{
    ngx_uint_t  doubled;

    doubled = ngx_min(refusals - 1, 4);

    return ngx_min((ngx_msec_t) NGX_HTTP_OLLAMA_MODEL_STATE_AVOID << doubled,
                   (ngx_msec_t) NGX_HTTP_OLLAMA_MODEL_STATE_AVOID_MAX);
}
