
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Timers and posted events without a connection.  The memory is the caller's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "util/ngx_http_ollama_timer.h"


void
ngx_http_ollama_timer_init(ngx_http_ollama_timer_t *timer,
    ngx_event_handler_pt handler, void *data, ngx_log_t *log)
{
    ngx_memzero(timer, sizeof(ngx_http_ollama_timer_t));

    timer->dummy.fd = (ngx_socket_t) -1;
    timer->dummy.data = data;

    timer->event.handler = handler;
    timer->event.data = &timer->dummy;
    timer->event.log = log;
    timer->event.cancelable = 1;
}


void
ngx_http_ollama_timer_stop(ngx_http_ollama_timer_t *timer)
{
    if (timer->event.timer_set) {
        ngx_del_timer(&timer->event);
    }

    if (timer->event.posted) {
        ngx_delete_posted_event(&timer->event);
    }
}
