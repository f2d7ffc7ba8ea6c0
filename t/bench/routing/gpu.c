
/*
 * Copyright (C) the nginx-ollama authors
 */


#include "server.h"


/*
 * The runners that have something to do share the GPU evenly.  Within one,
 * prompts share what it has, and generations run as a batch: each one more
 * makes all of them slower, and so does a prompt.
 */


#define GPU_BATCH   0.85
#define GPU_PROMPT  0.35


static void gpu_speed(server_t *s, runner_t *r, double share);


void
gpu_advance(server_t *s)
{
    int        i, busy;
    double     done, time;
    job_t     *job;
    runner_t  *r;

    time = s->heap->now - s->updated;
    s->updated = s->heap->now;
    busy = 0;

    for (r = s->runners; r; r = r->next) {

        for (i = 0; i < r->njobs; i++) {
            job = r->jobs[i];
            done = job->rate * time;

            if (done > job->left) {
                done = job->left;
            }

            job->left -= done;

            if (job->stage == JOB_GEN) {
                s->tokens += done;
            }

            busy = 1;
        }
    }

    if (busy) {
        s->busy += time;
    }
}


void
gpu_plan(server_t *s)
{
    int        running;
    double     at;
    job_t     *job;
    runner_t  *r;

    running = 0;

    for (r = s->runners; r; r = r->next) {
        running += (r->njobs != 0);
    }

    s->step++;

    if (running == 0) {
        return;
    }

    for (r = s->runners; r; r = r->next) {
        gpu_speed(s, r, 1.0 / running);
    }

    job = gpu_done(s);
    at = s->heap->now + job->left / job->rate;

    heap_add(s->heap, at, server_step_handler, s, s->step);
}


job_t *
gpu_done(server_t *s)
{
    int        i;
    double     time, least;
    job_t     *done;
    runner_t  *r;

    done = NULL;
    least = 0;

    for (r = s->runners; r; r = r->next) {

        for (i = 0; i < r->njobs; i++) {
            time = r->jobs[i]->left / r->jobs[i]->rate;

            if (done == NULL || time < least) {
                done = r->jobs[i];
                least = time;
            }
        }
    }

    return done;
}


static void
gpu_speed(server_t *s, runner_t *r, double share)
{
    int     i, prompts;
    double  prompt, gen;

    prompts = 0;

    prompt = share * s->machine->prompt / s->fleet->models[r->model].size;
    gen = share * s->machine->gen / s->fleet->models[r->model].size;

    for (i = 0; i < r->njobs; i++) {
        prompts += (r->jobs[i]->stage == JOB_PROMPT);
    }

    for (i = prompts + 1; i < r->njobs; i++) {
        gen *= GPU_BATCH;
    }

    if (prompts) {
        prompt /= prompts;
        gen *= GPU_PROMPT;
    }

    for (i = 0; i < r->njobs; i++) {
        r->jobs[i]->rate = r->jobs[i]->stage == JOB_PROMPT ? prompt : gen;
    }
}
