
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Slots of a zone: which process holds what there.  A process takes one when
 * it starts and leaves it when it exits; what a killed one held is given back
 * by whoever finds it dead.  The caller holds the zone's lock.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_procs.h"


void
ngx_http_ollama_procs_init(ngx_http_ollama_procs_t *slots)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        slots->slot[i].pid = 0;
        slots->slot[i].mail = 0;
        ngx_queue_init(&slots->slot[i].held);
    }
}


/*
 * A slot for this process; there are as many as nginx can have processes.
 * What one held that died and had this one's number is given back.
 */

ngx_http_ollama_proc_t *
ngx_http_ollama_procs_take_locked(ngx_http_ollama_procs_t *slots,
    ngx_http_ollama_procs_free_pt free)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        if (slots->slot[i].pid == ngx_pid) {
            ngx_http_ollama_procs_leave_locked(&slots->slot[i], free);
        }
    }

    for (i = 0; i < NGX_MAX_PROCESSES - 1; i++) {
        if (slots->slot[i].pid == 0) {
            break;
        }
    }

    slots->slot[i].pid = ngx_pid;

    return &slots->slot[i];
}


void
ngx_http_ollama_procs_leave_locked(ngx_http_ollama_proc_t *slot,
    ngx_http_ollama_procs_free_pt free)
{
    while (!ngx_queue_empty(&slot->held)) {
        free(ngx_queue_head(&slot->held));
    }

    slot->pid = 0;
}


/* Gives back what processes held that have died. */

void
ngx_http_ollama_procs_reap_locked(ngx_http_ollama_procs_t *slots,
    ngx_http_ollama_procs_free_pt free)
{
    ngx_uint_t               i;
    ngx_http_ollama_proc_t  *slot;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        slot = &slots->slot[i];

        if (slot->pid
            && slot->pid != ngx_pid
            && kill(slot->pid, 0) == -1
            && ngx_errno == ESRCH)
        {
            ngx_http_ollama_procs_leave_locked(slot, free);
        }
    }
}
