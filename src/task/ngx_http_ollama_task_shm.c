
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The table of running generations in shared memory: tasks by their ids, by the
 * sessions that a stop may name instead, and by the processes that run them;
 * and the outcomes of the last stops, in a ring.  A task is a block of the
 * zone, from add to remove.
 *
 * The caller has the lock, which is that of the zone's slab pool.  Knows no
 * request.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "task/ngx_http_ollama_task_shm.h"


static ngx_http_ollama_task_t *ngx_http_ollama_task_shm_in_session_locked(
    ngx_http_ollama_task_shm_t *shm, u_char *session, size_t len);
static void ngx_http_ollama_task_shm_enter_session_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_http_ollama_task_t *task);
static void ngx_http_ollama_task_shm_leave_session_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_http_ollama_task_t *task);


void *
ngx_http_ollama_task_shm_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, sizeof(ngx_http_ollama_task_shm_t));
}


ngx_int_t
ngx_http_ollama_task_shm_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_ollama_task_sh_t   *sh;
    ngx_http_ollama_task_shm_t  *shm;

    shm = shm_zone->data;
    shm->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        shm->sh = shm->shpool->data;
        return NGX_OK;
    }

    sh = ngx_slab_calloc(shm->shpool, sizeof(ngx_http_ollama_task_sh_t));
    if (sh == NULL) {
        return NGX_ERROR;
    }

    ngx_rbtree_init(&sh->ids, &sh->ids_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&sh->sessions, &sh->sessions_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_http_ollama_procs_init(&sh->procs);

    shm->sh = sh;
    shm->shpool->data = sh;

    /* it is logged once that the zone is full, by who adds to it */
    shm->shpool->log_nomem = 0;

    return NGX_OK;
}


ngx_uint_t
ngx_http_ollama_task_shm_has_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_str_t *id, uint32_t hash)
{
    return ngx_str_rbtree_lookup(&shm->sh->ids, id, hash) != NULL;
}


ngx_http_ollama_task_t *
ngx_http_ollama_task_shm_add_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_str_t *id, uint32_t hash, ngx_str_t *session, u_char *owner)
{
    ngx_http_ollama_task_t  *task;

    if (id->len > NGX_HTTP_OLLAMA_ID_MAX) {
        return NULL;
    }

    task = ngx_slab_calloc_locked(shm->shpool, sizeof(ngx_http_ollama_task_t));
    if (task == NULL) {
        return NULL;
    }

    task->by_id.node.key = hash;
    task->by_id.str.len = id->len;
    task->by_id.str.data = task->id;
    ngx_memcpy(task->id, id->data, id->len);

    ngx_rbtree_insert(&shm->sh->ids, &task->by_id.node);

    /* an invalid one can't be asked for, nor be shown safely */

    if (ngx_http_ollama_id_is_valid(session)) {
        task->session_len = session->len;
        ngx_memcpy(task->session, session->data, session->len);

        /* another one may have the session: this one will be refused then */

        if (ngx_http_ollama_task_shm_in_session_locked(shm, session->data,
                                                       session->len)
            == NULL)
        {
            ngx_http_ollama_task_shm_enter_session_locked(shm, task);
        }
    }

    ngx_memcpy(task->owner, owner, sizeof(task->owner));

    task->proc = shm->proc;

    ngx_queue_insert_tail(&task->proc->held, &task->queue);

    return task;
}


/* The task that a stop of this session is for, or NULL. */

static ngx_http_ollama_task_t *
ngx_http_ollama_task_shm_in_session_locked(ngx_http_ollama_task_shm_t *shm,
    u_char *session, size_t len)
{
    ngx_str_t        name;
    ngx_str_node_t  *node;

    name.data = session;
    name.len = len;

    node = ngx_str_rbtree_lookup(&shm->sh->sessions, &name,
                                 ngx_crc32_short(session, len));
    if (node == NULL) {
        return NULL;
    }

    return (ngx_http_ollama_task_t *)
               ((u_char *) node
                - offsetof(ngx_http_ollama_task_t, by_session));
}


static void
ngx_http_ollama_task_shm_enter_session_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task)
{
    task->by_session.node.key = ngx_crc32_short(task->session,
                                                task->session_len);
    task->by_session.str.len = task->session_len;
    task->by_session.str.data = task->session;

    ngx_rbtree_insert(&shm->sh->sessions, &task->by_session.node);
}


static void
ngx_http_ollama_task_shm_leave_session_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task)
{
    if (task->by_session.str.len) {
        ngx_rbtree_delete(&shm->sh->sessions, &task->by_session.node);
        task->by_session.str.len = 0;
    }
}


void
ngx_http_ollama_task_shm_has_session_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task)
{
    ngx_http_ollama_task_t  *other;

    if (task->session_len == 0 || task->by_session.str.len || task->cancel) {
        return;
    }

    other = ngx_http_ollama_task_shm_in_session_locked(shm, task->session,
                                                       task->session_len);
    if (other) {
        ngx_http_ollama_task_shm_leave_session_locked(shm, other);
    }

    ngx_http_ollama_task_shm_enter_session_locked(shm, task);
}


ngx_http_ollama_task_t *
ngx_http_ollama_task_shm_find_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_str_t *id, u_char *owner)
{
    uint32_t                 hash;
    ngx_str_node_t          *node;
    ngx_http_ollama_task_t  *task;

    hash = ngx_crc32_short(id->data, id->len);

    node = ngx_str_rbtree_lookup(&shm->sh->ids, id, hash);

    if (node) {
        task = (ngx_http_ollama_task_t *) node;

        if (ngx_memcmp(task->owner, owner, sizeof(task->owner)) == 0) {
            return task;
        }
    }

    task = ngx_http_ollama_task_shm_in_session_locked(shm, id->data, id->len);

    if (task) {
        if (ngx_memcmp(task->owner, owner, sizeof(task->owner)) == 0) {
            return task;
        }
    }

    return NULL;
}


void
ngx_http_ollama_task_shm_flag_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task)
{
    task->cancel = ++shm->sh->cancels;

    /* a worker that reads the counter without the lock must see the flag */
    ngx_memory_barrier();
    task->proc->mail++;

    /* the next stop of the session is for its next task */
    ngx_http_ollama_task_shm_leave_session_locked(shm, task);
}


void
ngx_http_ollama_task_shm_remove_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task, ngx_uint_t stopped)
{
    ngx_http_ollama_task_outcome_t  *o;

    if (task->cancel) {
        /* a much later one may have taken its element */
        o = &shm->sh->ring[task->cancel % NGX_HTTP_OLLAMA_TASK_SHM_RING];

        if (o->number < task->cancel) {
            o->number = task->cancel;
            o->stopped = stopped;
        }
    }

    ngx_queue_remove(&task->queue);
    ngx_rbtree_delete(&shm->sh->ids, &task->by_id.node);

    ngx_http_ollama_task_shm_leave_session_locked(shm, task);

    ngx_slab_free_locked(shm->shpool, task);
}


ngx_int_t
ngx_http_ollama_task_shm_outcome_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_uint_t number)
{
    ngx_http_ollama_task_outcome_t  *o;

    o = &shm->sh->ring[number % NGX_HTTP_OLLAMA_TASK_SHM_RING];

    if (o->number < number) {
        return NGX_AGAIN;
    }

    return (o->number > number || o->stopped) ? NGX_OK : NGX_DECLINED;
}
