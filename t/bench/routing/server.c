
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "server.h"


#define SERVER_LOAD        1.5
#define SERVER_EVICT       0.75
#define SERVER_KEEP_ALIVE  300.0


static void server_line(server_t *s);
static int server_make_room(server_t *s, int model);
static int server_fits(server_t *s, int model);
static runner_t *server_victim(server_t *s, int model);
static runner_t *server_runner(server_t *s, int model);
static void server_load(server_t *s, job_t *job);
static void server_loaded_handler(void *data, uint64_t number);
static void server_unload(server_t *s, runner_t *r);
static void server_join(runner_t *r, job_t *job);
static void server_start(runner_t *r);
static void server_stop(job_t *job, int evaluated, int out);
static void server_idle(runner_t *r);
static void server_idle_handler(void *data, uint64_t number);
static void server_end(server_t *s, job_t *job);
static void queue_init(queue_t *q);
static void queue_push(queue_t *q, job_t *job);
static job_t *queue_pop(queue_t *q);
static void queue_remove(queue_t *q, job_t *job);


void
server_init(server_t *s, int id, const fleet_t *fleet, heap_t *heap,
    server_calls_t *calls)
{
    memset(s, 0, sizeof(server_t));

    s->id = id;
    s->fleet = fleet;
    s->machine = &fleet->machines[id];
    s->heap = heap;
    s->calls = *calls;

    queue_init(&s->line);
}


void
server_free(server_t *s)
{
    while (s->runners) {
        server_unload(s, s->runners);
    }
}


void
server_send(server_t *s, req_t *req)
{
    job_t     *job;
    runner_t  *r;

    job = sim_alloc(sizeof(job_t));

    job->req = req;
    job->sent = s->heap->now;

    req->job = job;
    req->server = s->id;

    r = server_runner(s, req->ask.model);

    if (r && !r->loading) {
        server_join(r, job);
        return;
    }

    queue_push(&s->line, job);

    server_line(s);
}


void
server_leave(server_t *s, req_t *req)
{
    job_t     *job;
    runner_t  *r;

    job = req->job;
    req->job = NULL;
    r = job->runner;

    switch (job->stage) {

    case JOB_LINE:

        if (job == s->line.head) {
            /* only when a runner has been unloaded is it looked at again */
            job->gone = 1;
            return;
        }

        queue_remove(&s->line, job);
        break;

    case JOB_LOADING:
        queue_pop(&s->line);
        s->load++;
        server_unload(s, r);
        server_line(s);
        break;

    case JOB_QUEUED:
        queue_remove(&r->queue, job);
        break;

    case JOB_PROMPT:
    case JOB_GEN:
        gpu_advance(s);
        server_stop(job, job->stage == JOB_GEN,
                    (int) (req->out - job->left));
        server_start(r);
        gpu_plan(s);
        server_idle(r);
        break;
    }

    free(job);
}


int
server_ps(server_t *s, int *models)
{
    int        n;
    runner_t  *r;

    n = 0;

    for (r = s->runners; r; r = r->next) {
        if (!r->loading) {
            models[n++] = r->model;
        }
    }

    return n;
}


int
server_jobs(server_t *s)
{
    int        n;
    runner_t  *r;

    n = s->line.n;

    for (r = s->runners; r; r = r->next) {
        n += r->njobs + r->queue.n;
    }

    return n;
}


void
server_step_handler(void *data, uint64_t number)
{
    server_t *s = data;

    int        prompted;
    job_t     *job;
    req_t     *req;
    runner_t  *r;

    if (number != s->step) {
        return;
    }

    gpu_advance(s);

    job = gpu_done(s);
    job->left = 0;

    req = job->req;
    r = job->runner;
    prompted = (job->stage == JOB_PROMPT);

    if (prompted) {
        job->stage = JOB_GEN;
        job->left = req->out;
        req->first = s->heap->now;

    } else {
        server_stop(job, 1, req->out);
        server_start(r);
    }

    gpu_plan(s);

    if (prompted) {
        s->calls.first(s->calls.data, req);
        return;
    }

    server_idle(r);
    server_end(s, job);
}


/* The head of the line goes to a runner, begins a load, or waits. */

static void
server_line(server_t *s)
{
    job_t     *job;
    runner_t  *r;

    while (s->line.head) {
        job = s->line.head;

        if (job->stage == JOB_LOADING) {
            return;
        }

        if (job->gone) {
            queue_pop(&s->line);
            free(job);
            continue;
        }

        r = server_runner(s, job->req->ask.model);

        if (r) {
            queue_pop(&s->line);
            server_join(r, job);
            continue;
        }

        if (!server_make_room(s, job->req->ask.model)) {
            return;
        }

        server_load(s, job);
        return;
    }
}


static int
server_make_room(server_t *s, int model)
{
    runner_t  *r;

    while (!server_fits(s, model)) {
        r = server_victim(s, model);

        if (r->njobs) {
            r->doomed = 1;
            return 0;
        }

        server_unload(s, r);
        s->evicted = 1;
    }

    return 1;
}


/* The same weights with another context don't fit beside themselves. */

static int
server_fits(server_t *s, int model)
{
    int        n;
    double     size;
    const model_t *models;
    runner_t  *r;

    models = s->fleet->models;
    size = models[model].size;
    n = 1;

    for (r = s->runners; r; r = r->next) {

        if (models[r->model].weights == models[model].weights) {
            return 0;
        }

        size += models[r->model].size;
        n++;
    }

    return n == 1 || (n <= s->fleet->loaded && size <= s->machine->memory);
}


/* That with the same weights; the first that is idle; the first. */

static runner_t *
server_victim(server_t *s, int model)
{
    const model_t *models;
    runner_t  *r;

    models = s->fleet->models;

    for (r = s->runners; r; r = r->next) {
        if (models[r->model].weights == models[model].weights) {
            return r;
        }
    }

    for (r = s->runners; r; r = r->next) {
        if (r->doomed || r->njobs == 0) {
            return r;
        }
    }

    return s->runners;
}


static runner_t *
server_runner(server_t *s, int model)
{
    runner_t  *r;

    for (r = s->runners; r; r = r->next) {
        if (r->model == model) {
            return r;
        }
    }

    return NULL;
}


static void
server_load(server_t *s, job_t *job)
{
    double      time;
    const model_t *model;
    runner_t   *r, **prev;

    model = &s->fleet->models[job->req->ask.model];

    r = sim_alloc(sizeof(runner_t));

    r->server = s;
    r->model = job->req->ask.model;
    r->loading = 1;

    queue_init(&r->queue);
    cache_init(&r->cache, s->fleet->places, s->fleet->store, model->token);

    for (prev = &s->runners; *prev; prev = &(*prev)->next) {
        if ((*prev)->model > r->model) {
            break;
        }
    }

    r->next = *prev;
    *prev = r;

    job->runner = r;
    job->stage = JOB_LOADING;

    time = SERVER_LOAD + model->size / s->machine->disk;

    if (s->evicted) {
        s->evicted = 0;
        time += SERVER_EVICT;
    }

    s->loads++;
    s->load++;

    heap_add(s->heap, s->heap->now + time, server_loaded_handler, s, s->load);
}


static void
server_loaded_handler(void *data, uint64_t number)
{
    server_t *s = data;

    job_t  *job;

    if (number != s->load) {
        return;
    }

    job = queue_pop(&s->line);

    job->runner->loading = 0;

    server_join(job->runner, job);
    server_line(s);
}


static void
server_unload(server_t *s, runner_t *r)
{
    runner_t  **prev;

    for (prev = &s->runners; *prev != r; prev = &(*prev)->next) {
        /* void */
    }

    *prev = r->next;

    cache_free(&r->cache);
    free(r);
}


static void
server_join(runner_t *r, job_t *job)
{
    server_t  *s;

    s = r->server;

    job->runner = r;
    job->stage = JOB_QUEUED;
    job->ready = s->heap->now;

    r->idle = 0;

    queue_push(&r->queue, job);

    gpu_advance(s);
    server_start(r);
    gpu_plan(s);
}


/* As many as there are places.  The caller plans the steps. */

static void
server_start(runner_t *r)
{
    job_t  *job;

    while (r->queue.head && r->njobs < r->server->fleet->places) {
        job = queue_pop(&r->queue);

        job->stage = JOB_PROMPT;
        job->started = r->server->heap->now;
        job->slot = cache_take(&r->cache, job->req, &job->req->cached);
        job->left = job->req->prompt - job->req->cached;

        r->jobs[r->njobs++] = job;
    }
}


/* A job no longer runs.  The caller plans the steps. */

static void
server_stop(job_t *job, int evaluated, int out)
{
    int        i;
    runner_t  *r;

    r = job->runner;

    for (i = 0; r->jobs[i] != job; i++) {
        /* void */
    }

    r->njobs--;

    for ( /* void */ ; i < r->njobs; i++) {
        r->jobs[i] = r->jobs[i + 1];
    }

    cache_give(&r->cache, job->slot, job->req, evaluated, out);
}


static void
server_idle(runner_t *r)
{
    server_t  *s;

    s = r->server;

    if (r->njobs) {
        return;
    }

    if (r->doomed) {
        server_unload(s, r);
        s->evicted = 1;
        server_line(s);
        return;
    }

    r->idle = ++s->idle;

    heap_add(s->heap, s->heap->now + SERVER_KEEP_ALIVE, server_idle_handler, s,
             r->idle);
}


static void
server_idle_handler(void *data, uint64_t number)
{
    server_t *s = data;

    runner_t  *r;

    for (r = s->runners; r; r = r->next) {

        if (r->idle == number) {
            server_unload(s, r);
            server_line(s);
            return;
        }
    }
}


static void
server_end(server_t *s, job_t *job)
{
    req_t      *req;
    figures_t   f;

    req = job->req;

    f.ok = 1;
    f.prompt_eval_count = req->prompt;
    f.eval_count = req->out;
    f.load_duration = job->ready - job->sent;
    f.prompt_eval_duration = req->first - job->started;
    f.eval_duration = s->heap->now - req->first;
    f.total_duration = s->heap->now - job->sent;

    req->job = NULL;
    free(job);

    s->calls.end(s->calls.data, req, &f);
}


static void
queue_init(queue_t *q)
{
    q->head = NULL;
    q->tail = &q->head;
    q->n = 0;
}


static void
queue_push(queue_t *q, job_t *job)
{
    job->next = NULL;
    *q->tail = job;
    q->tail = &job->next;
    q->n++;
}


static job_t *
queue_pop(queue_t *q)
{
    job_t  *job;

    job = q->head;
    queue_remove(q, job);

    return job;
}


static void
queue_remove(queue_t *q, job_t *job)
{
    job_t  **prev;

    for (prev = &q->head; *prev != job; prev = &(*prev)->next) {
        /* void */
    }

    *prev = job->next;
    q->n--;

    if (job->next == NULL) {
        q->tail = prev;
    }
}
