
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Diagnosis of a server: a probe on request, whose answer has the result of
 * each step.  The state of the fleet is not changed: only the poller does that.
 *
 * A diagnosis is allocated in the pool of its request.  It ends with its probe,
 * or with the request if the client leaves first: then a cleanup handler
 * cancels the probe.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_diagnose.h"
#include "api/ngx_http_ollama_models_json.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_response.h"
#include "fleet/ngx_http_ollama_probe.h"
#include "util/ngx_http_ollama_emit.h"
#include "util/ngx_http_ollama_timer.h"


/* at the same time in a worker: limits the load that clients can cause */
#define NGX_HTTP_OLLAMA_DIAGNOSE_MAX    16

/* probes, if the first one ends without a result that concerns the server */
#define NGX_HTTP_OLLAMA_DIAGNOSE_TRIES  2

/* ms beyond what all requests of a probe may take */
#define NGX_HTTP_OLLAMA_DIAGNOSE_GRACE  1000


typedef struct {
    ngx_http_request_t       *request;
    ngx_http_cleanup_t       *cleanup;
    ngx_uint_t                tries;
    ngx_http_ollama_timer_t   timer;    /* ends the probe at the latest */
    ngx_http_ollama_probe_t   probe;
} ngx_http_ollama_diagnose_t;


static ngx_int_t ngx_http_ollama_diagnose_probe(
    ngx_http_ollama_diagnose_t *diag);
static void ngx_http_ollama_diagnose_handler(ngx_http_ollama_probe_t *probe);
static void ngx_http_ollama_diagnose_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_diagnose_end(ngx_http_ollama_diagnose_t *diag);
static void ngx_http_ollama_diagnose_cleanup(void *data);
static void ngx_http_ollama_diagnose_walk(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_uint_t ngx_http_ollama_diagnose_failed(
    ngx_http_ollama_probe_t *probe, ngx_str_t *error);
static void ngx_http_ollama_diagnose_walk_step(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_probe_t *probe, ngx_uint_t step, ngx_str_t *error);
static int64_t ngx_http_ollama_diagnose_elapsed(ngx_http_ollama_probe_t *probe,
    ngx_uint_t step);


/* connecting, and then the steps of a probe, which count from 0 */

static const char  *ngx_http_ollama_diagnose_steps[] = {
    "connect",
    "version",
    "tags",
    "ps"
};

#define NGX_HTTP_OLLAMA_DIAGNOSE_CONNECT  0
#define NGX_HTTP_OLLAMA_DIAGNOSE_VERSION  (NGX_HTTP_OLLAMA_PROBE_VERSION + 1)
#define NGX_HTTP_OLLAMA_DIAGNOSE_TAGS     (NGX_HTTP_OLLAMA_PROBE_TAGS + 1)
#define NGX_HTTP_OLLAMA_DIAGNOSE_STEPS    (NGX_HTTP_OLLAMA_PROBE_STEPS + 1)


/* in this worker */
static ngx_uint_t  ngx_http_ollama_diagnose_running;


ngx_int_t
ngx_http_ollama_diagnose_server(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_view_t *view)
{
    ngx_http_cleanup_t          *cln;
    ngx_http_ollama_diagnose_t  *diag;

    if (ngx_http_ollama_diagnose_running == NGX_HTTP_OLLAMA_DIAGNOSE_MAX) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "too many checks are running, please "
                                     "try again later");
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_diagnose_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    diag = cln->data;
    ngx_memzero(diag, sizeof(ngx_http_ollama_diagnose_t));

    diag->request = r;
    diag->cleanup = cln;
    diag->probe.up = up;
    diag->probe.view = *view;

    ngx_http_ollama_timer_init(&diag->timer,
                               ngx_http_ollama_diagnose_timer_handler, diag,
                               r->connection->log);

    /* the answer must be sent, also by a worker that exits gracefully */
    diag->timer.event.cancelable = 0;

    if (ngx_http_ollama_diagnose_probe(diag) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ollama_diagnose_running++;
    cln->handler = ngx_http_ollama_diagnose_cleanup;

    r->main->count++;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_http_ollama_diagnose_probe(ngx_http_ollama_diagnose_t *diag)
{
    ngx_http_ollama_probe_t     *probe;
    ngx_http_ollama_view_t       view;
    ngx_http_ollama_upstream_t  *up;

    probe = &diag->probe;

    up = probe->up;
    view = probe->view;

    ngx_memzero(probe, sizeof(ngx_http_ollama_probe_t));

    probe->pool = diag->request->pool;
    probe->log = diag->request->connection->log;
    probe->up = up;
    probe->view = view;
    probe->handler = ngx_http_ollama_diagnose_handler;
    probe->data = diag;

    diag->tries++;

    if (ngx_http_ollama_probe(probe) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_add_timer(&diag->timer.event,
                  up->timeout * NGX_HTTP_OLLAMA_PROBE_STEPS
                  + NGX_HTTP_OLLAMA_DIAGNOSE_GRACE);

    return NGX_OK;
}


static void
ngx_http_ollama_diagnose_handler(ngx_http_ollama_probe_t *probe)
{
    ngx_http_ollama_diagnose_t  *diag;

    diag = probe->data;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, probe->log, 0,
                   "ollama diagnose: result %d at step %d",
                   probe->result, probe->step);

    if (probe->result == NGX_HTTP_OLLAMA_FETCH_LATE
        && diag->tries < NGX_HTTP_OLLAMA_DIAGNOSE_TRIES)
    {
        if (ngx_http_ollama_diagnose_probe(diag) == NGX_OK) {
            return;
        }

        probe->result = NGX_HTTP_OLLAMA_FETCH_LATE;
        ngx_str_set(&probe->error, "nginx is out of memory");
    }

    ngx_http_ollama_diagnose_end(diag);
}


/*
 * Each request of a probe has a time limit of its own, so when this timer fires
 * it is this process that was slow.
 */

static void
ngx_http_ollama_diagnose_timer_handler(ngx_event_t *ev)
{
    ngx_http_ollama_diagnose_t  *diag;

    diag = ngx_http_ollama_timer_data(ev);

    ngx_http_ollama_probe_cancel(&diag->probe);

    diag->probe.result = NGX_HTTP_OLLAMA_FETCH_LATE;
    ngx_str_set(&diag->probe.error, "timed out");

    ngx_http_ollama_diagnose_handler(&diag->probe);
}


/* Sends the answer; the diagnosis may be freed then. */

static void
ngx_http_ollama_diagnose_end(ngx_http_ollama_diagnose_t *diag)
{
    ngx_int_t            rc;
    ngx_str_t            text;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = diag->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    diag->cleanup->handler = NULL;
    ngx_http_ollama_diagnose_running--;

    ngx_http_ollama_timer_stop(&diag->timer);

    rc = ngx_http_ollama_emit_make(r->pool, ngx_http_ollama_diagnose_walk,
                                   &diag->probe, &text);

    /* even an equal result is a new one: no ETag, and never 304 */

    rc = (rc == NGX_OK) ? ngx_http_ollama_response_text(r, &text, 0)
                        : NGX_HTTP_INTERNAL_SERVER_ERROR;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_diagnose_cleanup(void *data)
{
    ngx_http_ollama_diagnose_t *diag = data;

    ngx_http_ollama_diagnose_running--;

    ngx_http_ollama_timer_stop(&diag->timer);

    ngx_http_ollama_probe_cancel(&diag->probe);
}


static void
ngx_http_ollama_diagnose_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_probe_t *probe = data;

    ngx_str_t   error;
    ngx_uint_t  i, failed;

    failed = ngx_http_ollama_diagnose_failed(probe, &error);

    ngx_http_ollama_emit_add(t, "{\"server_url\":");
    ngx_http_ollama_models_json_url(t, probe->up, &probe->view);

    ngx_http_ollama_emit_add(t, failed == NGX_HTTP_OLLAMA_DIAGNOSE_STEPS
                                ? ",\"ok\":true,\"steps\":["
                                : ",\"ok\":false,\"steps\":[");

    for (i = 0; i < NGX_HTTP_OLLAMA_DIAGNOSE_STEPS; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        ngx_http_ollama_diagnose_walk_step(t, probe, i,
                                           i == failed ? &error : NULL);
        if (i == failed) {
            break;
        }
    }

    ngx_http_ollama_emit_add(t, "]}");
}


/*
 * Returns the first step that failed, with the reason, or
 * NGX_HTTP_OLLAMA_DIAGNOSE_STEPS.  A step may fail at a server that is up.
 */

static ngx_uint_t
ngx_http_ollama_diagnose_failed(ngx_http_ollama_probe_t *probe,
    ngx_str_t *error)
{
    if (probe->note.len) {
        *error = probe->note;
        return (ngx_uint_t) probe->noted + 1;
    }

    *error = probe->error;

    if (probe->result == NGX_HTTP_OLLAMA_FETCH_OK) {
        return NGX_HTTP_OLLAMA_DIAGNOSE_STEPS;
    }

    return probe->connected < 0 ? NGX_HTTP_OLLAMA_DIAGNOSE_CONNECT
                                : (ngx_uint_t) probe->step + 1;
}


/* "error" is NULL for a step that succeeded. */

static void
ngx_http_ollama_diagnose_walk_step(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_probe_t *probe, ngx_uint_t step, ngx_str_t *error)
{
    ngx_http_ollama_emit_add(t, "{\"step\":\"");
    ngx_http_ollama_emit_add(t, ngx_http_ollama_diagnose_steps[step]);
    ngx_http_ollama_emit_add(t, error ? "\",\"ok\":false,\"ms\":"
                                      : "\",\"ok\":true,\"ms\":");
    ngx_http_ollama_emit_ms(t, ngx_http_ollama_diagnose_elapsed(probe, step));

    if (error) {
        ngx_http_ollama_emit_add(t, ",\"error\":");
        ngx_http_ollama_emit_string(t, error);

    } else if (step == NGX_HTTP_OLLAMA_DIAGNOSE_TAGS) {
        ngx_http_ollama_emit_add(t, ",\"models\":");
        ngx_http_ollama_emit_number(t, probe->ntags);
    }

    ngx_http_ollama_emit_add(t, "}");
}


/* Microseconds; the time of the first request leaves out connecting. */

static int64_t
ngx_http_ollama_diagnose_elapsed(ngx_http_ollama_probe_t *probe,
    ngx_uint_t step)
{
    int64_t  us;

    if (step == NGX_HTTP_OLLAMA_DIAGNOSE_CONNECT) {
        return probe->connected < 0
               ? probe->elapsed[NGX_HTTP_OLLAMA_PROBE_VERSION]
               : probe->connected;
    }

    us = probe->elapsed[step - 1];

    if (step == NGX_HTTP_OLLAMA_DIAGNOSE_VERSION) {
        us -= probe->connected;
    }

    return us;
}
