
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Running generations (tasks): a table in shared memory, so that any worker can
 * have any generation stopped.  A task lives from the moment its request is to
 * go to a server until its reply is complete, was stopped, or the request is
 * gone for another reason.  Tasks of a killed process are freed by the next one
 * that looks for its own.
 *
 * A stop is a flag on the task.  The worker that has the task checks its mail
 * counter every 10 ms, as long as it has any tasks, stops what can still be
 * stopped, and leaves the outcome in a ring, where the worker that asked finds
 * it: only the worker that has a stream knows if the stop came before its end.
 * Other gateways know the task through remote.
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
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_procs.h"
#include "util/ngx_http_ollama_timer.h"


/* how often a worker with tasks checks its mail, ms */
#define NGX_HTTP_OLLAMA_TASK_TICK   10

/* outcomes that are kept for those that asked */
#define NGX_HTTP_OLLAMA_TASK_RING   1024


struct ngx_http_ollama_task_s {
    ngx_str_node_t                 by_id;       /* must be first */
    ngx_str_node_t                 by_session;  /* str.len 0: not in there */
    ngx_queue_t                    queue;       /* of its process */
    ngx_http_ollama_proc_t        *proc;
    ngx_uint_t                     cancel;      /* number of the stop that was
                                                   asked for; 0: none */
    size_t                         session_len; /* 0: it has none */
    u_char                         id[NGX_HTTP_OLLAMA_ID_MAX];
    u_char                         session[NGX_HTTP_OLLAMA_ID_MAX];
    u_char                         owner[NGX_HTTP_OLLAMA_OWNER_SIZE];
};


typedef struct {
    ngx_uint_t                     number;
    ngx_http_ollama_cancel_e       outcome;
} ngx_http_ollama_task_outcome_t;


typedef struct {
    ngx_rbtree_t                   ids;
    ngx_rbtree_node_t              ids_sentinel;
    ngx_rbtree_t                   sessions;
    ngx_rbtree_node_t              sessions_sentinel;
    ngx_http_ollama_procs_t        procs;       /* hold tasks */
    ngx_uint_t                     cancels;
    ngx_http_ollama_task_outcome_t ring[NGX_HTTP_OLLAMA_TASK_RING];
    ngx_uint_t                     full;        /* that it is was logged */
} ngx_http_ollama_task_sh_t;


/* the zone's data: what a process knows of it */

typedef struct {
    ngx_http_ollama_task_sh_t     *sh;
    ngx_slab_pool_t               *shpool;
    ngx_http_ollama_proc_t        *proc;        /* this one */
} ngx_http_ollama_task_zone_t;


/* of this worker */

typedef struct {
    ngx_http_ollama_task_zone_t   *zone;        /* NULL: no upstream block has
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
static ngx_http_ollama_task_t *ngx_http_ollama_task_create_locked(
    ngx_http_ollama_running_t *run, uint32_t hash);
static ngx_http_ollama_task_t *ngx_http_ollama_task_in_session_locked(
    ngx_str_t *session);
static void ngx_http_ollama_task_enter_session_locked(
    ngx_http_ollama_task_t *task);
static void ngx_http_ollama_task_leave_session_locked(
    ngx_http_ollama_task_t *task);
static void ngx_http_ollama_task_cleanup(void *data);
static void ngx_http_ollama_task_settle_locked(ngx_http_ollama_task_t *task,
    ngx_http_ollama_cancel_e outcome);
static void ngx_http_ollama_task_free_locked(ngx_http_ollama_task_t *task);
static void ngx_http_ollama_task_dead_locked(ngx_queue_t *q);
static void ngx_http_ollama_task_flag_locked(ngx_http_ollama_task_t *task);
static ngx_http_ollama_task_t *ngx_http_ollama_task_find_locked(
    ngx_str_t *id, u_char *owner);
static ngx_int_t ngx_http_ollama_task_stop_remote(
    ngx_http_ollama_remote_t *remote);
static void ngx_http_ollama_task_tick_handler(ngx_event_t *ev);
static void ngx_http_ollama_task_deliver(void);


static ngx_http_ollama_task_worker_t  ngx_http_ollama_tasks;


void *
ngx_http_ollama_task_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, sizeof(ngx_http_ollama_task_zone_t));
}


ngx_int_t
ngx_http_ollama_task_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_ollama_task_sh_t    *sh;
    ngx_http_ollama_task_zone_t  *zone;

    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(zone->shpool, sizeof(ngx_http_ollama_task_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&sh->ids, &sh->ids_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&sh->sessions, &sh->sessions_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_http_ollama_procs_init(&sh->procs);

    zone->sh = sh;
    zone->shpool->data = sh;

    /* it is logged once that the zone is full, see below */
    zone->shpool->log_nomem = 0;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_task_init_worker(ngx_shm_zone_t *shm_zone)
{
    ngx_http_ollama_task_zone_t  *zone;

    zone = shm_zone->data;
    ngx_http_ollama_tasks.zone = zone;

    ngx_queue_init(&ngx_http_ollama_tasks.running);

    ngx_http_ollama_timer_init(&ngx_http_ollama_tasks.tick,
                               ngx_http_ollama_task_tick_handler, NULL,
                               ngx_cycle->log);

    ngx_shmtx_lock(&zone->shpool->mutex);

    ngx_http_ollama_procs_reap_locked(&zone->sh->procs,
                                      ngx_http_ollama_task_dead_locked);
    zone->proc = ngx_http_ollama_procs_take_locked(&zone->sh->procs,
                                          ngx_http_ollama_task_dead_locked);

    ngx_shmtx_unlock(&zone->shpool->mutex);

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
    ngx_http_ollama_task_zone_t  *zone;

    zone = ngx_http_ollama_tasks.zone;

    if (zone == NULL) {
        return;
    }

    ngx_http_ollama_remote_exit_worker();

    ngx_shmtx_lock(&zone->shpool->mutex);
    ngx_http_ollama_procs_leave_locked(zone->proc,
                                       ngx_http_ollama_task_dead_locked);
    ngx_shmtx_unlock(&zone->shpool->mutex);

    ngx_http_ollama_tasks.zone = NULL;
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
    uint32_t                    hash;
    ngx_int_t                   rc;
    ngx_uint_t                  full;
    ngx_http_ollama_scan_t     *scan;
    ngx_http_ollama_task_sh_t  *sh;

    scan = run->ctx->scan;
    sh = ngx_http_ollama_tasks.zone->sh;

    rc = NGX_OK;
    full = 0;
    hash = ngx_crc32_short(scan->task_id.data, scan->task_id.len);

    ngx_shmtx_lock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    if (ngx_str_rbtree_lookup(&sh->ids, &scan->task_id, hash)) {
        ngx_http_ollama_procs_reap_locked(&sh->procs,
                                          ngx_http_ollama_task_dead_locked);
    }

    if (ngx_str_rbtree_lookup(&sh->ids, &scan->task_id, hash)) {
        rc = NGX_DECLINED;

    } else {
        run->task = ngx_http_ollama_task_create_locked(run, hash);

        if (run->task == NULL) {
            full = !sh->full;
            sh->full = 1;
            rc = NGX_ERROR;
        }
    }

    ngx_shmtx_unlock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    ngx_http_ollama_unlock_send();

    if (full) {
        ngx_log_error(NGX_LOG_WARN, run->request->connection->log, 0,
                      "ollama: no room for another running generation, it "
                      "can't be stopped by its id: ollama_zone is too small");
    }

    return rc;
}


static ngx_http_ollama_task_t *
ngx_http_ollama_task_create_locked(ngx_http_ollama_running_t *run,
    uint32_t hash)
{
    ngx_http_ollama_scan_t     *scan;
    ngx_http_ollama_task_t     *task;
    ngx_http_ollama_task_sh_t  *sh;

    scan = run->ctx->scan;
    sh = ngx_http_ollama_tasks.zone->sh;

    if (scan->task_id.len > NGX_HTTP_OLLAMA_ID_MAX) {
        return NULL;
    }

    task = ngx_slab_calloc_locked(ngx_http_ollama_tasks.zone->shpool,
                                  sizeof(ngx_http_ollama_task_t));
    if (task == NULL) {
        return NULL;
    }

    task->by_id.node.key = hash;
    task->by_id.str.len = scan->task_id.len;
    task->by_id.str.data = task->id;
    ngx_memcpy(task->id, scan->task_id.data, scan->task_id.len);

    ngx_rbtree_insert(&sh->ids, &task->by_id.node);

    /* an invalid one can't be asked for, nor be shown safely */

    if (ngx_http_ollama_id_is_valid(&scan->session_id)) {
        task->session_len = scan->session_id.len;
        ngx_memcpy(task->session, scan->session_id.data,
                   scan->session_id.len);

        /* another one may have the session: this one will be refused then */

        if (ngx_http_ollama_task_in_session_locked(&scan->session_id) == NULL) {
            ngx_http_ollama_task_enter_session_locked(task);
        }
    }

    ngx_memcpy(task->owner, run->owner, sizeof(task->owner));

    task->proc = ngx_http_ollama_tasks.zone->proc;

    ngx_queue_insert_tail(&task->proc->held, &task->queue);

    return task;
}


/* The task that a stop of this session is for, or NULL. */

static ngx_http_ollama_task_t *
ngx_http_ollama_task_in_session_locked(ngx_str_t *session)
{
    ngx_str_node_t  *node;

    node = ngx_str_rbtree_lookup(&ngx_http_ollama_tasks.zone->sh->sessions,
                                 session, ngx_crc32_short(session->data,
                                                          session->len));
    if (node == NULL) {
        return NULL;
    }

    return (ngx_http_ollama_task_t *)
               ((u_char *) node
                - offsetof(ngx_http_ollama_task_t, by_session));
}


static void
ngx_http_ollama_task_enter_session_locked(ngx_http_ollama_task_t *task)
{
    task->by_session.node.key = ngx_crc32_short(task->session,
                                                task->session_len);
    task->by_session.str.len = task->session_len;
    task->by_session.str.data = task->session;

    ngx_rbtree_insert(&ngx_http_ollama_tasks.zone->sh->sessions,
                      &task->by_session.node);
}


static void
ngx_http_ollama_task_leave_session_locked(ngx_http_ollama_task_t *task)
{
    if (task->by_session.str.len) {
        ngx_rbtree_delete(&ngx_http_ollama_tasks.zone->sh->sessions,
                          &task->by_session.node);
        task->by_session.str.len = 0;
    }
}


void
ngx_http_ollama_task_has_session(ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_task_t  *task, *other;

    if (ctx->running == NULL) {
        return;
    }

    task = ctx->running->task;

    ngx_shmtx_lock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    if (task->session_len && task->by_session.str.len == 0
        && task->cancel == 0)
    {
        other = ngx_http_ollama_task_in_session_locked(&ctx->scan->session_id);

        if (other) {
            ngx_http_ollama_task_leave_session_locked(other);
        }

        ngx_http_ollama_task_enter_session_locked(task);
    }

    ngx_shmtx_unlock(&ngx_http_ollama_tasks.zone->shpool->mutex);
}


void
ngx_http_ollama_task_end(ngx_http_ollama_ctx_t *ctx, ngx_uint_t stopped)
{
    ngx_http_ollama_running_t  *run;

    run = ctx->running;

    if (run == NULL) {
        return;
    }

    ctx->running = NULL;

    ngx_queue_remove(&run->queue);

    ngx_http_ollama_remote_leave(&run->remote, stopped);

    ngx_shmtx_lock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    ngx_http_ollama_task_settle_locked(run->task,
                                       stopped ? NGX_HTTP_OLLAMA_CANCEL_DONE
                                               : NGX_HTTP_OLLAMA_CANCEL_LATE);
    ngx_http_ollama_task_free_locked(run->task);

    ngx_shmtx_unlock(&ngx_http_ollama_tasks.zone->shpool->mutex);
}


static void
ngx_http_ollama_task_cleanup(void *data)
{
    ngx_http_ollama_running_t *run = data;

    if (run->ctx->running == run) {
        ngx_http_ollama_task_end(run->ctx, 0);
    }
}


static void
ngx_http_ollama_task_settle_locked(ngx_http_ollama_task_t *task,
    ngx_http_ollama_cancel_e outcome)
{
    ngx_http_ollama_task_outcome_t  *o;

    if (task->cancel) {
        /* a much later one may have taken its element */
        o = &ngx_http_ollama_tasks.zone->sh->ring[task->cancel
                                                  % NGX_HTTP_OLLAMA_TASK_RING];

        if (o->number < task->cancel) {
            o->number = task->cancel;
            o->outcome = outcome;
        }
    }
}


static void
ngx_http_ollama_task_free_locked(ngx_http_ollama_task_t *task)
{
    ngx_http_ollama_task_sh_t  *sh;

    sh = ngx_http_ollama_tasks.zone->sh;

    ngx_queue_remove(&task->queue);
    ngx_rbtree_delete(&sh->ids, &task->by_id.node);

    ngx_http_ollama_task_leave_session_locked(task);

    ngx_slab_free_locked(ngx_http_ollama_tasks.zone->shpool, task);
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

    ngx_http_ollama_task_settle_locked(task, NGX_HTTP_OLLAMA_CANCEL_LATE);
    ngx_http_ollama_task_free_locked(task);
}


ngx_int_t
ngx_http_ollama_task_cancel(ngx_str_t *id, u_char *owner, ngx_pool_t *pool,
    ngx_http_ollama_cancel_t *cancel)
{
    u_char                     *p;
    ngx_int_t                   rc;
    ngx_uint_t                  own;
    ngx_http_ollama_task_t     *task;
    ngx_http_ollama_task_sh_t  *sh;

    p = ngx_pnalloc(pool, 2 * NGX_HTTP_OLLAMA_ID_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;
    own = 0;
    sh = ngx_http_ollama_tasks.zone->sh;

    ngx_shmtx_lock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    ngx_http_ollama_procs_reap_locked(&sh->procs,
                                      ngx_http_ollama_task_dead_locked);

    task = ngx_http_ollama_task_find_locked(id, owner);

    if (task && task->cancel) {
        rc = NGX_BUSY;

    } else if (task) {
        cancel->task_id.data = p;
        cancel->task_id.len = task->by_id.str.len;
        p = ngx_cpymem(p, task->id, task->by_id.str.len);

        cancel->session_id.data = p;
        cancel->session_id.len = task->session_len;
        ngx_memcpy(p, task->session, task->session_len);

        ngx_http_ollama_task_flag_locked(task);

        cancel->number = task->cancel;
        own = (task->proc == ngx_http_ollama_tasks.zone->proc);
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    ngx_http_ollama_unlock_send();

    if (own) {
        ngx_http_ollama_task_deliver();
    }

    return rc;
}


/* From now on it is to be stopped, and its worker has mail. */

static void
ngx_http_ollama_task_flag_locked(ngx_http_ollama_task_t *task)
{
    ngx_http_ollama_task_sh_t  *sh;

    sh = ngx_http_ollama_tasks.zone->sh;

    task->cancel = ++sh->cancels;

    /* a worker that reads the counter without the lock must see the flag */
    ngx_memory_barrier();
    task->proc->mail++;

    /* the next stop of the session is for its next task */
    ngx_http_ollama_task_leave_session_locked(task);
}


/* A generation of this worker: see ngx_http_ollama_remote_stop_pt. */

static ngx_int_t
ngx_http_ollama_task_stop_remote(ngx_http_ollama_remote_t *remote)
{
    ngx_int_t                   rc;
    ngx_http_ollama_running_t  *run;

    run = (ngx_http_ollama_running_t *)
              ((u_char *) remote - offsetof(ngx_http_ollama_running_t, remote));

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    if (run->task->cancel == 0) {
        ngx_http_ollama_task_flag_locked(run->task);
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    if (rc == NGX_OK) {
        ngx_http_ollama_task_deliver();
    }

    return rc;
}


static ngx_http_ollama_task_t *
ngx_http_ollama_task_find_locked(ngx_str_t *id, u_char *owner)
{
    uint32_t                    hash;
    ngx_str_node_t             *node;
    ngx_http_ollama_task_t     *task;
    ngx_http_ollama_task_sh_t  *sh;

    sh = ngx_http_ollama_tasks.zone->sh;
    hash = ngx_crc32_short(id->data, id->len);

    node = ngx_str_rbtree_lookup(&sh->ids, id, hash);

    if (node) {
        task = (ngx_http_ollama_task_t *) node;

        if (ngx_memcmp(task->owner, owner, sizeof(task->owner)) == 0) {
            return task;
        }
    }

    task = ngx_http_ollama_task_in_session_locked(id);

    if (task) {
        if (ngx_memcmp(task->owner, owner, sizeof(task->owner)) == 0) {
            return task;
        }
    }

    return NULL;
}


ngx_http_ollama_cancel_e
ngx_http_ollama_task_cancelled(ngx_http_ollama_cancel_t *cancel)
{
    ngx_http_ollama_cancel_e         outcome;
    ngx_http_ollama_task_outcome_t  *o;

    o = &ngx_http_ollama_tasks.zone->sh->ring[cancel->number
                                              % NGX_HTTP_OLLAMA_TASK_RING];

    ngx_shmtx_lock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    if (o->number == cancel->number) {
        outcome = o->outcome;

    } else if (o->number > cancel->number) {
        outcome = NGX_HTTP_OLLAMA_CANCEL_DONE;

    } else {
        outcome = NGX_HTTP_OLLAMA_CANCEL_PENDING;
    }

    ngx_shmtx_unlock(&ngx_http_ollama_tasks.zone->shpool->mutex);

    return outcome;
}


static void
ngx_http_ollama_task_tick_handler(ngx_event_t *ev)
{
    if (ngx_http_ollama_tasks.zone->proc->mail != ngx_http_ollama_tasks.mail) {
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

    ngx_http_ollama_tasks.mail = ngx_http_ollama_tasks.zone->proc->mail;
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
