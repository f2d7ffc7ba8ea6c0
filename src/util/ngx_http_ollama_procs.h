
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PROCS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PROCS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* A process, and what it holds in the zone that the slot is in. */

typedef struct {
    ngx_pid_t       pid;      /* 0: the slot is free */
    ngx_queue_t     held;
    ngx_atomic_t    mail;     /* changes when somebody else changed something
                                 that the process waits for */
} ngx_http_ollama_proc_t;


typedef struct {
    ngx_http_ollama_proc_t  slot[NGX_MAX_PROCESSES];
} ngx_http_ollama_procs_t;


/* Gives back what a process held; takes it off the queue. */

typedef void (*ngx_http_ollama_procs_free_pt)(ngx_queue_t *q);


void ngx_http_ollama_procs_init(ngx_http_ollama_procs_t *slots);
ngx_http_ollama_proc_t *ngx_http_ollama_procs_take_locked(
    ngx_http_ollama_procs_t *slots, ngx_http_ollama_procs_free_pt free);
void ngx_http_ollama_procs_leave_locked(ngx_http_ollama_proc_t *slot,
    ngx_http_ollama_procs_free_pt free);
void ngx_http_ollama_procs_reap_locked(ngx_http_ollama_procs_t *slots,
    ngx_http_ollama_procs_free_pt free);


#endif /* _NGX_HTTP_OLLAMA_PROCS_H_INCLUDED_ */
