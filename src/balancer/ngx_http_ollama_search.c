
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A search for a model that no server is known to have: it may have come to a
 * server since the last probe, on another way than through this nginx.  The
 * request waits, for a second at most, until the servers that are up have been
 * probed.
 *
 * The poller may be another worker, so a timer looks at the fleet.  What a
 * waiting request needs is allocated with a cleanup of the request, which stops
 * the timer.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_search.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "util/ngx_http_ollama_timer.h"


/* ms: how often it is checked whether probes have ended; the longest wait */
#define NGX_HTTP_OLLAMA_SEARCH_INTERVAL  10
#define NGX_HTTP_OLLAMA_SEARCH_MAX       1000


typedef struct {
    ngx_http_request_t          *request;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_upstream_t  *up;
    ngx_http_ollama_search_pt    done;
    ngx_uint_t                   ticket;
    ngx_msec_t                   until;
    ngx_http_ollama_timer_t      timer;
} ngx_http_ollama_search_t;


static void ngx_http_ollama_search_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_search_cleanup(void *data);


ngx_int_t
ngx_http_ollama_search(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_search_pt done)
{
    ngx_uint_t                 ticket;
    ngx_http_cleanup_t        *cln;
    ngx_http_ollama_search_t  *search;

    ticket = ngx_http_ollama_fleet_search(up);

    if (ticket == 0) {
        return NGX_DECLINED;
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_search_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    search = cln->data;
    ngx_memzero(search, sizeof(ngx_http_ollama_search_t));

    search->request = r;
    search->ctx = ctx;
    search->up = up;
    search->done = done;
    search->ticket = ticket;
    search->until = ngx_current_msec + NGX_HTTP_OLLAMA_SEARCH_MAX;

    ngx_http_ollama_timer_init(&search->timer,
                               ngx_http_ollama_search_timer_handler, search,
                               r->connection->log);

    /* the request must be answered, also by a worker that exits gracefully */
    search->timer.event.cancelable = 0;

    cln->handler = ngx_http_ollama_search_cleanup;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_add_timer(&search->timer.event, NGX_HTTP_OLLAMA_SEARCH_INTERVAL);

    return NGX_AGAIN;
}


static void
ngx_http_ollama_search_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_ollama_search_t  *search;

    search = ngx_http_ollama_timer_data(ev);

    if (search->ctx->cancelled) {
        /* it has been answered */
        return;
    }

    if (!ngx_http_ollama_fleet_is_probed(search->up, search->ticket)
        && (ngx_msec_int_t) (search->until - ngx_current_msec) > 0)
    {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_SEARCH_INTERVAL);
        return;
    }

    r = search->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    search->done(r, search->ctx, NGX_OK);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_search_cleanup(void *data)
{
    ngx_http_ollama_search_t *search = data;

    ngx_http_ollama_timer_stop(&search->timer);
}
