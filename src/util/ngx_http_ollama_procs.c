
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


/* ms between two comparisons of a process's start */
#define NGX_HTTP_OLLAMA_PROCS_COMPARE  100

/*
 * In /proc/PID/stat: how many fields after the name the start is, and bytes
 * that certainly have it.
 */
#define NGX_HTTP_OLLAMA_PROCS_FIELD    20
#define NGX_HTTP_OLLAMA_PROCS_STAT     512


static ngx_http_ollama_proc_t *ngx_http_ollama_procs_next_locked(
    ngx_http_ollama_procs_t *procs);
static uint64_t ngx_http_ollama_procs_start(ngx_pid_t pid);


void
ngx_http_ollama_procs_init(ngx_http_ollama_procs_t *procs)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        procs->proc[i].pid = 0;
        procs->proc[i].start = 0;
        procs->proc[i].mail = 0;
        ngx_queue_init(&procs->proc[i].held);
    }

    procs->next = 0;
    procs->compared = ngx_current_msec;
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
    procs->proc[i].start = ngx_http_ollama_procs_start(ngx_pid);

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
    uint64_t                 start;
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

    proc = ngx_http_ollama_procs_next_locked(procs);

    if (proc == NULL || proc->start == 0) {
        return;
    }

    start = ngx_http_ollama_procs_start(proc->pid);

    if (start && start != proc->start) {
        /* it died, and its pid was given to another process */
        ngx_http_ollama_procs_leave_locked(proc, free);
    }
}


/* The other process whose start is to be compared now, or NULL. */

static ngx_http_ollama_proc_t *
ngx_http_ollama_procs_next_locked(ngx_http_ollama_procs_t *procs)
{
    ngx_uint_t               i;
    ngx_http_ollama_proc_t  *proc;

    if ((ngx_msec_int_t) (ngx_current_msec - procs->compared)
        < NGX_HTTP_OLLAMA_PROCS_COMPARE)
    {
        return NULL;
    }

    procs->compared = ngx_current_msec;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        proc = &procs->proc[procs->next];
        procs->next = (procs->next + 1) % NGX_MAX_PROCESSES;

        if (proc->pid && proc->pid != ngx_pid) {
            return proc;
        }
    }

    return NULL;
}


/* When a process started.  0: it is gone, or the system doesn't tell. */

static uint64_t
ngx_http_ollama_procs_start(ngx_pid_t pid)
{
    u_char      *p, *last, path[sizeof("/proc//stat") + NGX_INT64_LEN];
    u_char       text[NGX_HTTP_OLLAMA_PROCS_STAT];
    ssize_t      n;
    uint64_t     start;
    ngx_fd_t     fd;
    ngx_uint_t   field;

    p = ngx_sprintf(path, "/proc/%L/stat", (int64_t) pid);
    *p = '\0';

    fd = ngx_open_file(path, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return 0;
    }

    n = ngx_read_fd(fd, text, sizeof(text));

    (void) ngx_close_file(fd);

    if (n <= 0) {
        return 0;
    }

    /* the name of the process may have any characters; a ")" ends it */

    last = text + n;

    for (p = last; p > text && p[-1] != ')'; p--) { /* void */ }

    if (p == text) {
        return 0;
    }

    for (field = 0; p < last && field < NGX_HTTP_OLLAMA_PROCS_FIELD; p++) {
        field += (*p == ' ');
    }

    start = 0;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {
        start = start * 10 + (*p - '0');
    }

    return start;
}
