
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_LOCK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_LOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "store/ngx_http_ollama_store.h"
#include "util/ngx_http_ollama_timer.h"


/* a session's lock expires so long after its holder died, ms */
#define NGX_HTTP_OLLAMA_LOCK_TIME  6000


/* The lock that a task has on a session; zeroed there is none. */

typedef struct {
    ngx_http_ollama_store_t    store;
    int64_t                    n;         /* of the last message to be saved;
                                             0: not known. Set by the holder */
    ngx_str_t                  session;
    ngx_str_t                  holder;    /* the task, as the store names it */
    ngx_http_ollama_timer_t    timer;     /* when to renew it */
} ngx_http_ollama_lock_t;


/*
 * Renews a lock that was acquired, with LOCK_TIME, until it ends.  The strings
 * and the log must last until then.  ttl of the session in ms, 0: for ever.
 */
void ngx_http_ollama_lock_begin(ngx_http_ollama_lock_t *lock,
    ngx_str_t *session, ngx_str_t *holder, int64_t ttl, ngx_log_t *log);

/* Renews it no more; releases nothing.  Also for one that hasn't begun. */
void ngx_http_ollama_lock_end(ngx_http_ollama_lock_t *lock);


#endif /* _NGX_HTTP_OLLAMA_LOCK_H_INCLUDED_ */
