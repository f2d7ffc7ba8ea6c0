
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Running generations (tasks).  A task lives from the moment its request is to
 * go to a server until its reply is complete, was stopped, or the request is
 * gone for another reason.  Any worker can have any of them stopped, as they
 * are in a table in shared memory, see task_shm; here is what a worker does
 * with its own, and who takes the table's lock.  Tasks of a killed process are
 * freed by the next one that looks for its own.
 *
 * A stop is a flag on the task.  The worker that has the task checks its mail
 * counter every 10 ms, as long as it has any tasks, stops what can still be
 * stopped, and leaves the outcome in the table, where the worker that asked
 * finds it: only the worker that has a stream knows if the stop came before its
 * end.  Other gateways know the task through remote.
 *
 * How a request is stopped is up to the caller.  Uses util, core, request,
 * store.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "task/ngx_http_ollama_task.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_owner.h"
#include "request/ngx_http_ollama_scan.h"
#include "store/ngx_http_ollama_unlock.h"
#include "task/ngx_http_ollama_remote.h"
#include "task/ngx_http_ollama_task_shm.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_procs.h"
#include "util/ngx_http_ollama_timer.h"


/* how often a worker with tasks checks its mail, ms */
#define NGX_HTTP_OLLAMA_TASK_TICK   10


/* of this worker */

typedef struct {
    ngx_http_ollama_task_shm_t    *shm;         /* NULL: no upstream block has
                                                   an Ollama server */
    ngx_queue_t                    running;
    ngx_atomic_uint_t              mail;        /* the counter when it was last
                                                   checked */
    ngx_http_ollama_timer_t        tick;
} ngx_http_ollama_task_worker_t;


/* a task of this worker, in its request's pool */

struct ngx_http_ollama_running_s {
    ngx_queue_t                    queue;
    ngx_http_request_t            *request;
    ngx_http_ollama_ctx_t         *ctx;
    ngx_http_ollama_task_t        *task;
    ngx_http_ollama_task_stop_pt   stop;
    ngx_http_ollama_task_claim_pt  claimed;
    ngx_http_ollama_remote_t       remote;
    u_char                         owner[NGX_HTTP_OLLAMA_OWNER_SIZE];
    unsigned                       stopping:1;
};


static void ngx_http_ollama_task_claimed(ngx_http_ollama_remote_t *remote,
    ngx_int_t rc);
static ngx_int_t ngx_http_ollama_task_random_id(ngx_http_request_t *r,
    ngx_str_t *id);
static ngx_int_t ngx_http_ollama_task_enter(ngx_http_ollama_running_t *run);
static void ngx_http_ollama_task_cleanup(void *data);
static void ngx_http_ollama_task_dead_locked(ngx_queue_t *q);
static ngx_int_t ngx_http_ollama_task_stop_remote(
    ngx_http_ollama_remote_t *remote);
static void ngx_http_ollama_task_tick_handler(ngx_event_t *ev);
static void ngx_http_ollama_task_deliver(void);


static ngx_http_ollama_task_worker_t  ngx_http_ollama_tasks;


ngx_int_t
ngx_http_ollama_task_init_worker(ngx_shm_zone_t *shm_zone)
{
    ngx_http_ollama_task_shm_t  *shm;

    shm = shm_zone->data;
    ngx_http_ollama_tasks.shm = shm;

    ngx_queue_init(&ngx_http_ollama_tasks.running);

    ngx_http_ollama_timer_init(&ngx_http_ollama_tasks.tick,
                               ngx_http_ollama_task_tick_handler, NULL,
                               ngx_cycle->log);

    ngx_shmtx_lock(&shm->shpool->mutex);

    ngx_http_ollama_procs_reap_locked(&shm->sh->procs,
                                      ngx_http_ollama_task_dead_locked);
    shm->proc = ngx_http_ollama_procs_take_locked(&shm->sh->procs,
                                          ngx_http_ollama_task_dead_locked);

    ngx_shmtx_unlock(&shm->shpool->mutex);

    if (ngx_http_ollama_remote_init_worker(ngx_http_ollama_task_stop_remote)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_ollama_unlock_send();

    return NGX_OK;
}


void
ngx_http_ollama_task_exit_worker(void)
{
    ngx_http_ollama_task_shm_t  *shm;

    shm = ngx_http_ollama_tasks.shm;

    if (shm == NULL) {
        return;
    }

    ngx_http_ollama_remote_exit_worker();

    ngx_shmtx_lock(&shm->shpool->mutex);
    ngx_http_ollama_procs_leave_locked(shm->proc,
                                       ngx_http_ollama_task_dead_locked);
    ngx_shmtx_unlock(&shm->shpool->mutex);

    ngx_http_ollama_tasks.shm = NULL;
}


ngx_int_t
ngx_http_ollama_task_begin(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_task_stop_pt stop)
{
    ngx_int_t                   rc;
    ngx_event_t                *ev;
    ngx_pool_cleanup_t         *cln;
    ngx_http_ollama_running_t  *run;

    if (ctx->scan->task_id.len == 0
        && ngx_http_ollama_task_random_id(r, &ctx->scan->task_id) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_ollama_running_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    run = cln->data;
    ngx_memzero(run, sizeof(ngx_http_ollama_running_t));

    run->request = r;
    run->ctx = ctx;
    run->stop = stop;

    if (ngx_http_ollama_owner_digest(r, run->owner) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_ollama_task_enter(run);

    if (rc != NGX_OK) {
        /* without a task it goes on, but can't be stopped by its id */
        return (rc == NGX_DECLINED) ? NGX_DECLINED : NGX_OK;
    }

    cln->handler = ngx_http_ollama_task_cleanup;
    ctx->running = run;
    ctx->has_task = 1;

    ngx_queue_insert_tail(&ngx_http_ollama_tasks.running, &run->queue);

    run->remote.id = ctx->scan->task_id;
    run->remote.owner = run->owner;
    run->remote.session.data = run->task->session;
    run->remote.session.len = run->task->session_len;

    ngx_http_ollama_remote_enter(&run->remote);

    ev = &ngx_http_ollama_tasks.tick.event;

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_TASK_TICK);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_task_claim(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_task_stop_pt stop, ngx_http_ollama_task_claim_pt done)
{
    ngx_int_t                   rc;
    ngx_http_ollama_running_t  *run;

    if (ctx->scan->task_id.len == 0 || !ngx_http_ollama_redis_available()) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_task_begin(r, ctx, stop);

    run = ctx->running;

    if (rc != NGX_OK || run == NULL) {
        return rc;
    }

    run->remote.claimed = ngx_http_ollama_task_claimed;

    if (ngx_http_ollama_remote_claim(&run->remote) != NGX_OK) {
        return NGX_OK;
    }

    run->claimed = done;

    return NGX_AGAIN;
}


static void
ngx_http_ollama_task_claimed(ngx_http_ollama_remote_t *remote, ngx_int_t rc)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_ollama_running_t      *run;

    run = (ngx_http_ollama_running_t *)
              ((u_char *) remote - offsetof(ngx_http_ollama_running_t, remote));

    r = run->request;
    c = r->connection;
    ctx = run->ctx;

    ngx_http_set_log_request(c->log, r);

    if (rc == NGX_DECLINED) {
        ngx_http_ollama_task_end(ctx, 0);
    }

    run->claimed(r, ctx, rc);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_ollama_task_random_id(ngx_http_request_t *r, ngx_str_t *id)
{
    id->len = NGX_HTTP_OLLAMA_ID_RANDOM;

    id->data = ngx_pnalloc(r->pool, id->len);
    if (id->data == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_ollama_id_random(id->data, id->len, r->connection->log);
}


/* NGX_DECLINED: there is one with this id; NGX_ERROR: there is no room. */

static ngx_int_t
ngx_http_ollama_task_enter(ngx_http_ollama_running_t *run)
{
    uint32_t                     hash;
    ngx_int_t                    rc;
    ngx_uint_t                   full;
    ngx_http_ollama_scan_t      *scan;
    ngx_http_ollama_task_shm_t  *shm;

    scan = run->ctx->scan;
    shm = ngx_http_ollama_tasks.shm;

    rc = NGX_OK;
    full = 0;
    hash = ngx_crc32_short(scan->task_id.data, scan->task_id.len);

    ngx_shmtx_lock(&shm->shpool->mutex);

    if (ngx_http_ollama_task_shm_has_locked(shm, &scan->task_id, hash)) {
        ngx_http_ollama_procs_reap_locked(&shm->sh->procs,
                                          ngx_http_ollama_task_dead_locked);
    }

    if (ngx_http_ollama_task_shm_has_locked(shm, &scan->task_id, hash)) {
        rc = NGX_DECLINED;

    } else {
        run->task = ngx_http_ollama_task_shm_add_locked(shm, &scan->task_id,
                                                        hash, &scan->session_id,
                                                        run->owner);

        if (run->task == NULL) {
            full = !shm->sh->full;
            shm->sh->full = 1;
            rc = NGX_ERROR;
        }
    }

    ngx_shmtx_unlock(&shm->shpool->mutex);

    ngx_http_ollama_unlock_send();

    if (full) {
        ngx_log_error(NGX_LOG_WARN, run->request->connection->log, 0,
                      "ollama: no room for another running generation, it "
                      "can't be stopped by its id: ollama_zone is too small");
    }

    return rc;
}


void
ngx_http_ollama_task_has_session(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_task_shm_t  *shm;

    if (ctx->running == NULL) {
        return;
    }

    shm = ngx_http_ollama_tasks.shm;

    ngx_shmtx_lock(&shm->shpool->mutex);
    ngx_http_ollama_task_shm_has_session_locked(shm, ctx->running->task);
    ngx_shmtx_unlock(&shm->shpool->mutex);
}


void
ngx_http_ollama_task_end(ngx_http_ollama_ctx_t *ctx, ngx_uint_t stopped)
{
    ngx_http_ollama_running_t   *run;
    ngx_http_ollama_task_shm_t  *shm;

    run = ctx->running;

    if (run == NULL) {
        return;
    }

    shm = ngx_http_ollama_tasks.shm;

    ctx->running = NULL;

    ngx_queue_remove(&run->queue);

    ngx_http_ollama_remote_leave(&run->remote, stopped);

    ngx_shmtx_lock(&shm->shpool->mutex);
    ngx_http_ollama_task_shm_remove_locked(shm, run->task, stopped);
    ngx_shmtx_unlock(&shm->shpool->mutex);
}


static void
ngx_http_ollama_task_cleanup(void *data)
{
    ngx_http_ollama_running_t *run = data;

    if (run->ctx->running == run) {
        ngx_http_ollama_task_end(run->ctx, 0);
    }
}


/* The task of a process that died: it has ended with that. */

static void
ngx_http_ollama_task_dead_locked(ngx_queue_t *q)
{
    ngx_str_t                id, session;
    ngx_http_ollama_task_t  *task;

    task = ngx_queue_data(q, ngx_http_ollama_task_t, queue);

    if (task->session_len) {
        id = task->by_id.str;

        session.data = task->session;
        session.len = task->session_len;

        ngx_http_ollama_unlock_note(&id, &session);
    }

    ngx_http_ollama_task_shm_remove_locked(ngx_http_ollama_tasks.shm, task, 0);
}


ngx_int_t
ngx_http_ollama_task_cancel(ngx_str_t *id, u_char *owner, ngx_pool_t *pool,
    ngx_http_ollama_cancel_t *cancel)
{
    u_char                      *p;
    ngx_int_t                    rc;
    ngx_uint_t                   own;
    ngx_http_ollama_task_t      *task;
    ngx_http_ollama_task_shm_t  *shm;

    p = ngx_pnalloc(pool, 2 * NGX_HTTP_OLLAMA_ID_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;
    own = 0;
    shm = ngx_http_ollama_tasks.shm;

    ngx_shmtx_lock(&shm->shpool->mutex);

    ngx_http_ollama_procs_reap_locked(&shm->sh->procs,
                                      ngx_http_ollama_task_dead_locked);

    task = ngx_http_ollama_task_shm_find_locked(shm, id, owner);

    if (task && task->cancel) {
        rc = NGX_BUSY;

    } else if (task) {
        cancel->task_id.data = p;
        cancel->task_id.len = task->by_id.str.len;
        p = ngx_cpymem(p, task->id, task->by_id.str.len);

        cancel->session_id.data = p;
        cancel->session_id.len = task->session_len;
        ngx_memcpy(p, task->session, task->session_len);

        ngx_http_ollama_task_shm_flag_locked(shm, task);

        cancel->number = task->cancel;
        own = (task->proc == shm->proc);
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&shm->shpool->mutex);

    ngx_http_ollama_unlock_send();

    if (own) {
        ngx_http_ollama_task_deliver();
    }

    return rc;
}


/* A generation of this worker: see ngx_http_ollama_remote_stop_pt. */

static ngx_int_t
ngx_http_ollama_task_stop_remote(ngx_http_ollama_remote_t *remote)
{
    ngx_int_t                    rc;
    ngx_http_ollama_running_t   *run;
    ngx_http_ollama_task_shm_t  *shm;

    run = (ngx_http_ollama_running_t *)
              ((u_char *) remote - offsetof(ngx_http_ollama_running_t, remote));

    rc = NGX_DECLINED;
    shm = ngx_http_ollama_tasks.shm;

    ngx_shmtx_lock(&shm->shpool->mutex);

    if (run->task->cancel == 0) {
        ngx_http_ollama_task_shm_flag_locked(shm, run->task);
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&shm->shpool->mutex);

    if (rc == NGX_OK) {
        ngx_http_ollama_task_deliver();
    }

    return rc;
}


ngx_http_ollama_cancel_e
ngx_http_ollama_task_cancelled(ngx_http_ollama_cancel_t *cancel)
{
    ngx_int_t                    rc;
    ngx_http_ollama_task_shm_t  *shm;

    shm = ngx_http_ollama_tasks.shm;

    ngx_shmtx_lock(&shm->shpool->mutex);
    rc = ngx_http_ollama_task_shm_outcome_locked(shm, cancel->number);
    ngx_shmtx_unlock(&shm->shpool->mutex);

    if (rc == NGX_AGAIN) {
        return NGX_HTTP_OLLAMA_CANCEL_PENDING;
    }

    return (rc == NGX_OK) ? NGX_HTTP_OLLAMA_CANCEL_DONE
                          : NGX_HTTP_OLLAMA_CANCEL_LATE;
}


static void
ngx_http_ollama_task_tick_handler(ngx_event_t *ev)
{
    if (ngx_http_ollama_tasks.shm->proc->mail != ngx_http_ollama_tasks.mail) {
        ngx_http_ollama_task_deliver();
    }

    if (!ngx_queue_empty(&ngx_http_ollama_tasks.running)) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_TASK_TICK);
    }
}


/*
 * Stops what is to be stopped.  That may free its request and end others, so
 * the queue is begun anew after each.  The flag is read without the lock: it is
 * set once, and the counter is changed after that.
 */

static void
ngx_http_ollama_task_deliver(void)
{
    ngx_queue_t                *q;
    ngx_http_ollama_running_t  *run;

    ngx_http_ollama_tasks.mail = ngx_http_ollama_tasks.shm->proc->mail;
    ngx_memory_barrier();

again:

    for (q = ngx_queue_head(&ngx_http_ollama_tasks.running);
         q != ngx_queue_sentinel(&ngx_http_ollama_tasks.running);
         q = ngx_queue_next(q))
    {
        run = ngx_queue_data(q, ngx_http_ollama_running_t, queue);

        if (run->task->cancel && !run->stopping) {
            run->stopping = 1;
            run->stop(run->request, run->ctx);
            goto again;
        }
    }
}
