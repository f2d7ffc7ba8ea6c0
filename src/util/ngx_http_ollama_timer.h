
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TIMER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TIMER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/*
 * An event without a connection of its own.  nginx's debug log takes the data
 * of any event for a connection and prints its descriptor: so there is one.
 */

typedef struct {
    ngx_event_t        event;
    ngx_connection_t   dummy;
} ngx_http_ollama_timer_t;


/* the "data" that ngx_http_ollama_timer_init() was given, in a handler */

#define ngx_http_ollama_timer_data(ev)                                        \
    (((ngx_connection_t *) (ev)->data)->data)


/*
 * Prepares a timer, which may have any content but must not be set or posted.
 * Then ngx_add_timer(), ngx_post_event() and the like take &timer->event, and
 * "handler" is called with that.  "log" must outlive the timer.  It does not
 * keep a worker from exiting: clear event.cancelable for one that must.
 */
void ngx_http_ollama_timer_init(ngx_http_ollama_timer_t *timer,
    ngx_event_handler_pt handler, void *data, ngx_log_t *log);

/* Ends it, whether it is set, posted, or neither; zeroed memory will do. */
void ngx_http_ollama_timer_stop(ngx_http_ollama_timer_t *timer);


#endif /* _NGX_HTTP_OLLAMA_TIMER_H_INCLUDED_ */
