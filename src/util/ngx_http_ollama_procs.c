
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which process holds what in a zone.  The table is in the zone's memory and
 * has no lock of its own: the caller holds the zone's.  A process takes an
 * entry when it starts and leaves it when it exits; what a process held that
 * was killed is released by any other that finds it dead.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_procs.h"


void
ngx_http_ollama_procs_init(ngx_http_ollama_procs_t *procs)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        procs->proc[i].pid = 0;
        procs->proc[i].mail = 0;
        ngx_queue_init(&procs->proc[i].held);
    }
}


ngx_http_ollama_proc_t *
ngx_http_ollama_procs_take_locked(ngx_http_ollama_procs_t *procs,
    ngx_http_ollama_procs_free_pt free)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        if (procs->proc[i].pid == ngx_pid) {
            ngx_http_ollama_procs_leave_locked(&procs->proc[i], free);
        }
    }

    for (i = 0; i < NGX_MAX_PROCESSES - 1; i++) {
        if (procs->proc[i].pid == 0) {
            break;
        }
    }

    procs->proc[i].pid = ngx_pid;

    return &procs->proc[i];
}


void
ngx_http_ollama_procs_leave_locked(ngx_http_ollama_proc_t *proc,
    ngx_http_ollama_procs_free_pt free)
{
    while (!ngx_queue_empty(&proc->held)) {
        free(ngx_queue_head(&proc->held));
    }

    proc->pid = 0;
}


void
ngx_http_ollama_procs_reap_locked(ngx_http_ollama_procs_t *procs,
    ngx_http_ollama_procs_free_pt free)
{
    ngx_uint_t               i;
    ngx_http_ollama_proc_t  *proc;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        proc = &procs->proc[i];

        if (proc->pid
            && proc->pid != ngx_pid
            && kill(proc->pid, 0) == -1
            && ngx_errno == ESRCH)
        {
            ngx_http_ollama_procs_leave_locked(proc, free);
        }
    }
}
