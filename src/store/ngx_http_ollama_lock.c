
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Renews the lock of a session.  It expires in Redis, so that a worker that
 * dies doesn't leave its sessions locked.  Acquiring and releasing it are
 * operations of the store.
 *
 * A lock lives in its holder's memory, from ..._begin() to ..._end().  Knows no
 * HTTP.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "store/ngx_http_ollama_lock.h"


/* how often it is renewed, ms */
#define NGX_HTTP_OLLAMA_LOCK_RENEW  2000


static void ngx_http_ollama_lock_renew_handler(ngx_event_t *ev);
static void ngx_http_ollama_lock_renewed(ngx_http_ollama_store_t *store);


void
ngx_http_ollama_lock_begin(ngx_http_ollama_lock_t *lock, ngx_str_t *session,
    ngx_str_t *holder, int64_t ttl, ngx_log_t *log)
{
    lock->session = *session;
    lock->holder = *holder;

    lock->store.handler = ngx_http_ollama_lock_renewed;
    lock->store.data = lock;
    lock->store.log = log;
    lock->store.ttl = ttl;

    ngx_http_ollama_timer_init(&lock->timer,
                               ngx_http_ollama_lock_renew_handler, lock, log);

    ngx_add_timer(&lock->timer.event, NGX_HTTP_OLLAMA_LOCK_RENEW);
}


void
ngx_http_ollama_lock_end(ngx_http_ollama_lock_t *lock)
{
    ngx_http_ollama_timer_stop(&lock->timer);
    ngx_http_ollama_store_forget(&lock->store);
}


static void
ngx_http_ollama_lock_renew_handler(ngx_event_t *ev)
{
    ngx_http_ollama_lock_t  *lock;

    lock = ngx_http_ollama_timer_data(ev);

    ngx_http_ollama_store_forget(&lock->store);

    (void) ngx_http_ollama_store_renew(&lock->store, &lock->session,
                                       &lock->holder,
                                       NGX_HTTP_OLLAMA_LOCK_TIME, lock->n);

    ngx_add_timer(ev, NGX_HTTP_OLLAMA_LOCK_RENEW);
}


static void
ngx_http_ollama_lock_renewed(ngx_http_ollama_store_t *store)
{
    /* if it failed it is tried again, or a save will tell */
}
