
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_LOCK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_LOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "store/ngx_http_ollama_store.h"


/* the lock of a session lasts so long if its holder is gone, ms */
#define NGX_HTTP_OLLAMA_LOCK_TIME  6000


/* The lock of a session that a task has; zeroed, it is none. */

typedef struct {
    ngx_http_ollama_store_t    store;
    int64_t                    n;         /* of the last message to be saved;
                                             0: not known. Set by the holder */
    ngx_str_t                  session;
    ngx_str_t                  holder;    /* as the store names its task */
    ngx_event_t                event;     /* when to renew */
    ngx_connection_t           dummy;     /* nginx's debug log looks for one */
} ngx_http_ollama_lock_t;


/* From now on it is renewed; the strings must last until the end. */
void ngx_http_ollama_lock_begin(ngx_http_ollama_lock_t *lock,
    ngx_str_t *session, ngx_str_t *holder, int64_t ttl, ngx_log_t *log);

/* No more; also if it hasn't begun. */
void ngx_http_ollama_lock_end(ngx_http_ollama_lock_t *lock);


#endif /* _NGX_HTTP_OLLAMA_LOCK_H_INCLUDED_ */
