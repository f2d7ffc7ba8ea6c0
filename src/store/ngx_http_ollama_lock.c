
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Keeps the lock of a session, which Redis lets go after a while, so that a
 * worker that dies doesn't leave its sessions locked.  Taking the lock and
 * giving it back are operations of the store.
 *
 * A lock lives in its holder's memory.  Knows no HTTP.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "store/ngx_http_ollama_lock.h"


/* it is renewed so often, ms */
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

    lock->dummy.fd = (ngx_socket_t) -1;
    lock->dummy.data = lock;

    ngx_memzero(&lock->event, sizeof(ngx_event_t));

    lock->event.handler = ngx_http_ollama_lock_renew_handler;
    lock->event.data = &lock->dummy;
    lock->event.log = log;
    lock->event.cancelable = 1;

    ngx_add_timer(&lock->event, NGX_HTTP_OLLAMA_LOCK_RENEW);
}


void
ngx_http_ollama_lock_end(ngx_http_ollama_lock_t *lock)
{
    if (lock->event.timer_set) {
        ngx_del_timer(&lock->event);
    }

    ngx_http_ollama_store_forget(&lock->store);
}


static void
ngx_http_ollama_lock_renew_handler(ngx_event_t *ev)
{
    ngx_connection_t        *c;
    ngx_http_ollama_lock_t  *lock;

    c = ev->data;
    lock = c->data;

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
