
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * When servers are probed, and by which worker.
 *
 * Each worker has a timer with which it tries to become the poller; the fleet
 * elects one.  The poller asks the fleet which servers are due, and has at most
 * one probe of each running, so that the number of probes is bounded by that of
 * servers.  When a probe ends, the fleet gets the report and when the next one
 * is due, and the probe's pool, in which all of it is, is destroyed.
 *
 * A worker that is no poller any more lets its probes end: until then their
 * servers count as being probed.  A worker that is to exit cancels them, and
 * another one may start again at once.  If there is none, as all are to exit,
 * it may become the poller again: what its last requests wait for may be known
 * by a probe only.
 *
 * It may use the fleet, probe, and the configuration.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_conf.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_poll.h"
#include "fleet/ngx_http_ollama_probe.h"
#include "util/ngx_http_ollama_backoff.h"
#include "util/ngx_http_ollama_timer.h"


/* ms: how often the poller's timer fires, and that of the other workers */
#define NGX_HTTP_OLLAMA_POLL_TICK   100
#define NGX_HTTP_OLLAMA_POLL_TRY    250

/* probes, each a connect(), that are started before other events are handled */
#define NGX_HTTP_OLLAMA_POLL_START  16

/* a server that was changed is probed again as after so many failures: 1 s */
#define NGX_HTTP_OLLAMA_POLL_SETTLE 3

/* ms before a server is due again if there was no memory to probe it */
#define NGX_HTTP_OLLAMA_POLL_LATER  1000

#define NGX_HTTP_OLLAMA_POLL_POOL   4096


typedef struct {
    ngx_queue_t               queue;
    ngx_msec_t                started;
    ngx_http_ollama_probe_t   probe;
} ngx_http_ollama_poll_probe_t;


typedef struct {
    ngx_http_ollama_timer_t   timer;    /* handler NULL: nothing to poll */
    ngx_queue_t               probes;   /* ngx_http_ollama_poll_probe_t */
    ngx_uint_t                nprobes;
    ngx_uint_t                resigned; /* it is to exit */
} ngx_http_ollama_poll_t;


static void ngx_http_ollama_poll_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_poll_upstream(ngx_http_ollama_upstream_t *up,
    ngx_uint_t *n);
static void ngx_http_ollama_poll_probe(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view, ngx_pool_t *pool);
static void ngx_http_ollama_poll_probe_done(ngx_http_ollama_probe_t *probe);
static void ngx_http_ollama_poll_cancel(void);


/* this worker's */

static ngx_http_ollama_poll_t  ngx_http_ollama_poll;


ngx_int_t
ngx_http_ollama_poll_init_worker(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
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

    ngx_queue_init(&poll->probes);

    ngx_http_ollama_timer_init(&poll->timer,
                               ngx_http_ollama_poll_timer_handler, poll,
                               cycle->log);

    /* one of the workers starts, a moment from now, from the event loop */

    ngx_add_timer(&poll->timer.event, 1);

    return NGX_OK;
}


void
ngx_http_ollama_poll_exit_worker(ngx_cycle_t *cycle)
{
    ngx_http_ollama_timer_t  *timer;

    timer = &ngx_http_ollama_poll.timer;

    if (timer->event.handler == NULL) {
        return;
    }

    timer->event.handler = NULL;

    ngx_http_ollama_timer_stop(timer);
    ngx_http_ollama_poll_cancel();
}


static void
ngx_http_ollama_poll_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                     i, n;
    ngx_msec_t                     delay;
    ngx_http_ollama_upstream_t   **up;
    ngx_http_ollama_main_conf_t   *omcf;

    delay = NGX_HTTP_OLLAMA_POLL_TRY;

    if ((ngx_exiting || ngx_terminate || ngx_quit)
        && !ngx_http_ollama_poll.resigned)
    {
        ngx_http_ollama_poll.resigned = 1;
        ngx_http_ollama_poll_cancel();

    } else if (ngx_http_ollama_fleet_elect() == NGX_OK) {

        n = NGX_HTTP_OLLAMA_POLL_START;

        /* without a master the process may have got a new configuration */

        omcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                                   ngx_http_ollama_module);
        up = omcf->upstreams.elts;

        for (i = 0; i < omcf->upstreams.nelts; i++) {
            if (up[i]->poll) {
                ngx_http_ollama_poll_upstream(up[i], &n);
            }
        }

        delay = n ? NGX_HTTP_OLLAMA_POLL_TICK : 1;
    }

    ngx_add_timer(ev, delay);
}


/* Starts probes of servers that are due, at most n, which it decrements. */

static void
ngx_http_ollama_poll_upstream(ngx_http_ollama_upstream_t *up, ngx_uint_t *n)
{
    ngx_pool_t              *pool;
    ngx_http_ollama_view_t   view;

    ngx_http_ollama_fleet_register(up);

    while (*n && ngx_http_ollama_poll.nprobes < NGX_HTTP_OLLAMA_FLEET_SERVERS) {

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


/* The pool is destroyed with the probe. */

static void
ngx_http_ollama_poll_probe(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view, ngx_pool_t *pool)
{
    ngx_http_ollama_probe_t       *probe;
    ngx_http_ollama_poll_probe_t  *pp;

    pp = ngx_pcalloc(pool, sizeof(ngx_http_ollama_poll_probe_t));
    if (pp == NULL) {
        goto failed;
    }

    pp->started = ngx_current_msec;

    probe = &pp->probe;

    probe->pool = pool;
    probe->log = ngx_cycle->log;
    probe->up = up;
    probe->view = *view;

    /* a server that is back is used soon, a request doesn't wait for long */

    if (view->status == NGX_HTTP_OLLAMA_DOWN) {
        probe->brief = NGX_HTTP_OLLAMA_PROBE_TAGS;

    } else if (view->asked) {
        probe->brief = NGX_HTTP_OLLAMA_PROBE_PS;
    }

    probe->handler = ngx_http_ollama_poll_probe_done;
    probe->data = pp;

    if (ngx_http_ollama_probe(probe) != NGX_OK) {
        goto failed;
    }

    ngx_queue_insert_tail(&ngx_http_ollama_poll.probes, &pp->queue);
    ngx_http_ollama_poll.nprobes++;

    return;

failed:

    ngx_http_ollama_fleet_reschedule(view->id, ngx_current_msec
                                               + NGX_HTTP_OLLAMA_POLL_LATER);
    ngx_destroy_pool(pool);
}


static void
ngx_http_ollama_poll_probe_done(ngx_http_ollama_probe_t *probe)
{
    ngx_uint_t                     failures;
    ngx_msec_t                     next;
    ngx_pool_t                    *pool;
    ngx_http_ollama_poll_probe_t  *pp;

    pp = probe->data;

    ngx_queue_remove(&pp->queue);
    ngx_http_ollama_poll.nprobes--;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, probe->log, 0,
                   "ollama poll \"%V\": result %ui, \"%V\"",
                   &probe->view.name, (ngx_uint_t) probe->result,
                   &probe->error);

    if (probe->result != NGX_HTTP_OLLAMA_FETCH_OK) {
        failures = probe->view.probe_fails + 1;

    } else if (probe->again) {
        failures = 1;

    } else {
        /* a model that is unloaded may be listed for a moment */
        failures = probe->view.settling ? NGX_HTTP_OLLAMA_POLL_SETTLE : 0;
    }

    next = ngx_current_msec
           + ngx_http_ollama_backoff_poll(probe->up->interval, failures,
                                          (ngx_uint_t) ngx_random());

    switch (probe->result) {

    case NGX_HTTP_OLLAMA_FETCH_OK:
        ngx_http_ollama_fleet_probe_ok(probe->view.id, &probe->report,
                               probe->elapsed[NGX_HTTP_OLLAMA_PROBE_VERSION],
                               &probe->note, pp->started, next);
        break;

    case NGX_HTTP_OLLAMA_FETCH_LATE:
        ngx_http_ollama_fleet_reschedule(probe->view.id, next);
        break;

    default:
        ngx_http_ollama_fleet_probe_failed(probe->view.id, &probe->error,
                             probe->result == NGX_HTTP_OLLAMA_FETCH_TIMEOUT,
                             probe->connected != -1, next);
    }

    /* the probe is in it */

    pool = probe->pool;

    ngx_destroy_pool(pool);
}


/* Cancels all probes, and gives up the lease if this worker has it. */

static void
ngx_http_ollama_poll_cancel(void)
{
    ngx_queue_t                   *q;
    ngx_http_ollama_probe_t       *probe;
    ngx_http_ollama_poll_probe_t  *pp;

    while (!ngx_queue_empty(&ngx_http_ollama_poll.probes)) {

        q = ngx_queue_head(&ngx_http_ollama_poll.probes);
        ngx_queue_remove(q);

        pp = ngx_queue_data(q, ngx_http_ollama_poll_probe_t, queue);
        probe = &pp->probe;

        ngx_http_ollama_probe_cancel(probe);
        ngx_http_ollama_fleet_reschedule(probe->view.id, ngx_current_msec);

        ngx_destroy_pool(probe->pool);
    }

    ngx_http_ollama_poll.nprobes = 0;

    ngx_http_ollama_fleet_resign();
}
