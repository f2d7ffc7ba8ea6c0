
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PROCS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PROCS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* A process, and what it holds in the zone. */

typedef struct {
    ngx_pid_t       pid;      /* 0: the entry is free */
    uint64_t        start;    /* when it started, as the system counts time;
                                 0: unknown */
    ngx_queue_t     held;
    ngx_atomic_t    mail;     /* changes when another process changed something
                                 that this one waits for */
} ngx_http_ollama_proc_t;


/* is in a zone */

typedef struct {
    ngx_http_ollama_proc_t  proc[NGX_MAX_PROCESSES];
    ngx_uint_t              next;     /* whose start is compared next, and
                                         when that was done last */
    ngx_msec_t              compared;
} ngx_http_ollama_procs_t;


/* Releases what a process held, and must remove it from its queue. */

typedef void (*ngx_http_ollama_procs_free_pt)(ngx_queue_t *q);


/* Prepares memory of a new zone: all entries are free. */
void ngx_http_ollama_procs_init(ngx_http_ollama_procs_t *procs);

/*
 * Returns a free entry, which is this process's from now on; there are as many
 * as nginx can have processes.  Releases first what a dead process held that
 * had the same pid.
 */
ngx_http_ollama_proc_t *ngx_http_ollama_procs_take_locked(
    ngx_http_ollama_procs_t *procs, ngx_http_ollama_procs_free_pt free);

/* Releases what the process held, and frees its entry. */
void ngx_http_ollama_procs_leave_locked(ngx_http_ollama_proc_t *proc,
    ngx_http_ollama_procs_free_pt free);

/*
 * The same of all processes that died without it.  That a pid is now that of
 * another process is found out by and by, as it costs more: one is compared
 * every 100 ms at most.
 */
void ngx_http_ollama_procs_reap_locked(ngx_http_ollama_procs_t *procs,
    ngx_http_ollama_procs_free_pt free);


#endif /* _NGX_HTTP_OLLAMA_PROCS_H_INCLUDED_ */
