
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TASK_SHM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TASK_SHM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_owner.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_procs.h"


/* outcomes that are kept for those that asked */
#define NGX_HTTP_OLLAMA_TASK_SHM_RING   1024


/* A task; only its process and "cancel" are of interest to others. */

typedef struct {
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
} ngx_http_ollama_task_t;


typedef struct {
    ngx_uint_t                     number;
    ngx_uint_t                     stopped;     /* 0: it had ended before */
} ngx_http_ollama_task_outcome_t;


typedef struct {
    ngx_rbtree_t                   ids;
    ngx_rbtree_node_t              ids_sentinel;
    ngx_rbtree_t                   sessions;
    ngx_rbtree_node_t              sessions_sentinel;
    ngx_http_ollama_procs_t        procs;       /* hold tasks */
    ngx_uint_t                     cancels;
    ngx_http_ollama_task_outcome_t ring[NGX_HTTP_OLLAMA_TASK_SHM_RING];
    ngx_uint_t                     full;        /* that it is was logged */
} ngx_http_ollama_task_sh_t;


/* The zone's data: what a process knows of it. */

typedef struct {
    ngx_http_ollama_task_sh_t     *sh;
    ngx_slab_pool_t               *shpool;
    ngx_http_ollama_proc_t        *proc;        /* this one */
} ngx_http_ollama_task_shm_t;


/* The data for the zone, in the configuration's pool; NULL: no memory. */
void *ngx_http_ollama_task_shm_create(ngx_pool_t *pool);

/* The zone's init handler: a table of its own, or that of before a reload. */
ngx_int_t ngx_http_ollama_task_shm_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);

/* Whether there is a task with this id, whose hash is ngx_crc32_short(). */
ngx_uint_t ngx_http_ollama_task_shm_has_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_str_t *id, uint32_t hash);

/*
 * Adds a task of this process, whose id there isn't yet; all is copied.  A
 * session that is no valid id is left out, and one that another task has is
 * still that one's.  NULL: no room, or the id is too long.
 */
ngx_http_ollama_task_t *ngx_http_ollama_task_shm_add_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_str_t *id, uint32_t hash,
    ngx_str_t *session, u_char *owner);

/*
 * From now on a stop of the task's session is for it, unless it is being
 * stopped.
 */
void ngx_http_ollama_task_shm_has_session_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_http_ollama_task_t *task);

/*
 * The owner's task with this id, or the one that a stop of the session with
 * this id is for; NULL: none.
 */
ngx_http_ollama_task_t *ngx_http_ollama_task_shm_find_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_str_t *id, u_char *owner);

/*
 * Gives the task the number of a stop: from now on it is to be stopped, and its
 * worker has mail.
 */
void ngx_http_ollama_task_shm_flag_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task);

/* Frees a task; a stop that was asked for has its outcome then. */
void ngx_http_ollama_task_shm_remove_locked(ngx_http_ollama_task_shm_t *shm,
    ngx_http_ollama_task_t *task, ngx_uint_t stopped);

/*
 * The outcome of the stop with this number.  NGX_AGAIN: there is none yet;
 * NGX_OK: the task was stopped, or it is too long ago to be known;
 * NGX_DECLINED: it had ended before.
 */
ngx_int_t ngx_http_ollama_task_shm_outcome_locked(
    ngx_http_ollama_task_shm_t *shm, ngx_uint_t number);


#endif /* _NGX_HTTP_OLLAMA_TASK_SHM_H_INCLUDED_ */
