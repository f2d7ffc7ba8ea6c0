
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * When servers are looked at, and by whom.
 *
 * Each worker has a timer with which it tries to be the poller; the fleet lets
 * one.  The poller asks the fleet which servers are due, and has one look for
 * each of them under way at most, so their number is bounded by that of the
 * servers.  When a look ends, the fleet gets what it found and when the next
 * one is due, and the look's pool, in which all of it lies, is destroyed.
 *
 * A worker that is no poller any more lets its looks end: until then the fleet
 * counts their servers as being looked at.  One that quits cancels them, and
 * another worker may begin again at once.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_poll.h"
#include "util/ngx_http_ollama_backoff.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_probe.h"
#include "core/ngx_http_ollama_conf.h"


/* ms: the poller's turns, and how often others try to become it */
#define NGX_HTTP_OLLAMA_POLL_TURN   100
#define NGX_HTTP_OLLAMA_POLL_TRY    250

/* looks begun in a turn, with a connect() each, before others get theirs */
#define NGX_HTTP_OLLAMA_POLL_BEGIN  16

/* ms before a server is due again that no memory was left to look at */
#define NGX_HTTP_OLLAMA_POLL_LATER  1000

#define NGX_HTTP_OLLAMA_POLL_POOL   4096


typedef struct {
    ngx_queue_t               queue;
    ngx_msec_t                began;
    ngx_http_ollama_probe_t   look;
} ngx_http_ollama_poll_probe_t;


/* nginx's debug log looks for a connection behind a timer */

typedef struct {
    ngx_event_t               event;
    ngx_connection_t          dummy;
    ngx_queue_t               looks;    /* ngx_http_ollama_poll_probe_t */
    ngx_uint_t                nlooks;
} ngx_http_ollama_poll_t;


static void ngx_http_ollama_poll_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_poll_upstream(ngx_http_ollama_upstream_t *up,
    ngx_uint_t *n);
static void ngx_http_ollama_poll_probe(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view, ngx_pool_t *pool);
static void ngx_http_ollama_poll_probe_done(ngx_http_ollama_probe_t *look);
static void ngx_http_ollama_poll_cancel(void);


/* this worker's; event.handler is NULL where there is nothing to poll */

static ngx_http_ollama_poll_t  ngx_http_ollama_poll;


/* Comes after the fleet has begun in this worker. */

ngx_int_t
ngx_http_ollama_poll_init_worker(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
    ngx_event_t                   *ev;
    ngx_http_ollama_poll_t        *poll;
    ngx_http_ollama_upstream_t   **up;
    ngx_http_ollama_main_conf_t   *omcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    omcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_ollama_module);

    if (omcf == NULL || omcf->zone == NULL) {
        return NGX_OK;
    }

    up = omcf->upstreams.elts;

    for (i = 0; i < omcf->upstreams.nelts; i++) {
        if (up[i]->poll) {
            break;
        }
    }

    if (i == omcf->upstreams.nelts) {
        return NGX_OK;
    }

    poll = &ngx_http_ollama_poll;

    ngx_queue_init(&poll->looks);

    poll->dummy.fd = (ngx_socket_t) -1;

    ev = &poll->event;

    ev->data = &poll->dummy;
    ev->handler = ngx_http_ollama_poll_timer_handler;
    ev->log = cycle->log;
    ev->cancelable = 1;

    /* in the event loop: of all workers one begins, a moment from now */

    ngx_add_timer(ev, 1);

    return NGX_OK;
}


/* Comes before the fleet ends in this worker, and may be called again. */

void
ngx_http_ollama_poll_exit_worker(ngx_cycle_t *cycle)
{
    ngx_event_t  *ev;

    ev = &ngx_http_ollama_poll.event;

    if (ev->handler == NULL) {
        return;
    }

    ev->handler = NULL;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_http_ollama_poll_cancel();
}


static void
ngx_http_ollama_poll_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                     i, n;
    ngx_msec_t                     delay;
    ngx_http_ollama_upstream_t   **up;
    ngx_http_ollama_main_conf_t   *omcf;

    if (ngx_exiting || ngx_terminate || ngx_quit) {
        ngx_http_ollama_poll_cancel();
        return;
    }

    delay = NGX_HTTP_OLLAMA_POLL_TRY;

    if (ngx_http_ollama_fleet_elect() == NGX_OK) {

        n = NGX_HTTP_OLLAMA_POLL_BEGIN;

        /* without a master the process sees a new configuration, unasked */

        omcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                                   ngx_http_ollama_module);
        up = omcf->upstreams.elts;

        for (i = 0; i < omcf->upstreams.nelts; i++) {
            if (up[i]->poll) {
                ngx_http_ollama_poll_upstream(up[i], &n);
            }
        }

        delay = n ? NGX_HTTP_OLLAMA_POLL_TURN : 1;
    }

    ngx_add_timer(ev, delay);
}


/* Begins looks at servers that are due, n at most; n goes down by these. */

static void
ngx_http_ollama_poll_upstream(ngx_http_ollama_upstream_t *up, ngx_uint_t *n)
{
    ngx_pool_t              *pool;
    ngx_http_ollama_view_t   view;

    ngx_http_ollama_fleet_register(up);

    while (*n && ngx_http_ollama_poll.nlooks < NGX_HTTP_OLLAMA_FLEET_SERVERS) {

        pool = ngx_create_pool(NGX_HTTP_OLLAMA_POLL_POOL, ngx_cycle->log);
        if (pool == NULL) {
            return;
        }

        if (ngx_http_ollama_fleet_next_due(up, pool, &view) != NGX_OK) {
            ngx_destroy_pool(pool);
            return;
        }

        ngx_http_ollama_poll_probe(up, &view, pool);
        (*n)--;
    }
}


/* The pool goes with the look. */

static void
ngx_http_ollama_poll_probe(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view, ngx_pool_t *pool)
{
    ngx_http_ollama_probe_t       *look;
    ngx_http_ollama_poll_probe_t  *pl;

    pl = ngx_pcalloc(pool, sizeof(ngx_http_ollama_poll_probe_t));
    if (pl == NULL) {
        goto failed;
    }

    pl->began = ngx_current_msec;

    look = &pl->look;

    look->pool = pool;
    look->log = ngx_cycle->log;
    look->up = up;
    look->view = *view;
    look->handler = ngx_http_ollama_poll_probe_done;
    look->data = pl;

    if (ngx_http_ollama_probe(look) != NGX_OK) {
        goto failed;
    }

    ngx_queue_insert_tail(&ngx_http_ollama_poll.looks, &pl->queue);
    ngx_http_ollama_poll.nlooks++;

    return;

failed:

    ngx_http_ollama_fleet_reschedule(view->id, ngx_current_msec
                                               + NGX_HTTP_OLLAMA_POLL_LATER);
    ngx_destroy_pool(pool);
}


static void
ngx_http_ollama_poll_probe_done(ngx_http_ollama_probe_t *look)
{
    ngx_uint_t                     failures;
    ngx_msec_t                     next;
    ngx_pool_t                    *pool;
    ngx_http_ollama_poll_probe_t  *pl;

    pl = look->data;

    ngx_queue_remove(&pl->queue);
    ngx_http_ollama_poll.nlooks--;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, look->log, 0,
                   "ollama poll \"%V\": result %ui, \"%V\"",
                   &look->view.name, (ngx_uint_t) look->result, &look->error);

    failures = (look->result == NGX_HTTP_OLLAMA_FETCH_OK)
               ? 0 : look->view.probe_fails + 1;

    next = ngx_current_msec
           + ngx_http_ollama_backoff_poll(look->up->interval, failures,
                                          (ngx_uint_t) ngx_random());

    switch (look->result) {

    case NGX_HTTP_OLLAMA_FETCH_OK:
        ngx_http_ollama_fleet_probe_ok(look->view.id, &look->report,
                               look->elapsed[NGX_HTTP_OLLAMA_PROBE_VERSION],
                               &look->note, pl->began, next);
        break;

    case NGX_HTTP_OLLAMA_FETCH_LATE:
        ngx_http_ollama_fleet_reschedule(look->view.id, next);
        break;

    default:
        ngx_http_ollama_fleet_probe_failed(look->view.id, &look->error,
                             look->result == NGX_HTTP_OLLAMA_FETCH_TIMEOUT,
                             next);
    }

    /* the look lies in it */

    pool = look->pool;

    ngx_destroy_pool(pool);
}


/* Gives up all looks, and the post of the poller if it is this worker's. */

static void
ngx_http_ollama_poll_cancel(void)
{
    ngx_queue_t                   *q;
    ngx_http_ollama_probe_t       *look;
    ngx_http_ollama_poll_probe_t  *pl;

    while (!ngx_queue_empty(&ngx_http_ollama_poll.looks)) {

        q = ngx_queue_head(&ngx_http_ollama_poll.looks);
        ngx_queue_remove(q);

        pl = ngx_queue_data(q, ngx_http_ollama_poll_probe_t, queue);
        look = &pl->look;

        ngx_http_ollama_probe_cancel(look);
        ngx_http_ollama_fleet_reschedule(look->view.id, ngx_current_msec);

        ngx_destroy_pool(look->pool);
    }

    ngx_http_ollama_poll.nlooks = 0;

    ngx_http_ollama_fleet_resign();
}
