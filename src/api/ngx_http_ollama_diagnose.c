
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Diagnostics: a look at a server because a client asks for it, told step by
 * step.  The picture of the fleet is left as it is: that is the poller's.
 *
 * A check lies in the request's pool.  It ends with its look, or, when the
 * client goes first, with the request, whose cleanup cancels the look.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_diagnose.h"
#include "core/ngx_http_ollama_response.h"
#include "core/ngx_http_ollama_error.h"
#include "api/ngx_http_ollama_models_json.h"
#include "fleet/ngx_http_ollama_probe.h"
#include "util/ngx_http_ollama_emit.h"


/* at once, in a worker: what clients cause is bounded */
#define NGX_HTTP_OLLAMA_DIAGNOSE_MAX    16

/* looks, if the first one ends without telling anything of the server */
#define NGX_HTTP_OLLAMA_DIAGNOSE_TRIES  2

/* ms beyond what the requests of a look may take together */
#define NGX_HTTP_OLLAMA_DIAGNOSE_GRACE  1000


typedef struct {
    void                    *dummy[3];
    ngx_int_t                ident;    /* -1: where nginx's debug log has the
                                          descriptor behind an event */
    ngx_http_request_t      *request;
    ngx_http_cleanup_t      *cleanup;
    ngx_uint_t               tries;
    ngx_event_t              event;    /* the end of the look, at the latest */
    ngx_http_ollama_probe_t  look;
} ngx_http_ollama_diagnose_t;


static ngx_int_t ngx_http_ollama_diagnose_probe(
    ngx_http_ollama_diagnose_t *check);
static void ngx_http_ollama_diagnose_handler(ngx_http_ollama_probe_t *look);
static void ngx_http_ollama_diagnose_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_diagnose_end(ngx_http_ollama_diagnose_t *check);
static void ngx_http_ollama_diagnose_cleanup(void *data);
static void ngx_http_ollama_diagnose_walk(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_uint_t ngx_http_ollama_diagnose_failed(ngx_http_ollama_probe_t *look,
    ngx_str_t *error);
static void ngx_http_ollama_diagnose_walk_step(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_probe_t *look, ngx_uint_t step, ngx_str_t *error);
static int64_t ngx_http_ollama_diagnose_elapsed(ngx_http_ollama_probe_t *look,
    ngx_uint_t step);


/* connecting comes before the steps of a look, which count from 0 */

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


/* this worker's */
static ngx_uint_t  ngx_http_ollama_diagnose_running;


/* A content handler's work for a view of the server. */

ngx_int_t
ngx_http_ollama_diagnose(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_upstream_t *up, ngx_http_ollama_view_t *view)
{
    ngx_http_cleanup_t          *cln;
    ngx_http_ollama_diagnose_t  *check;

    if (ngx_http_ollama_diagnose_running == NGX_HTTP_OLLAMA_DIAGNOSE_MAX) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                     "too many checks are running, please "
                                     "try again later");
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_diagnose_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    check = cln->data;
    ngx_memzero(check, sizeof(ngx_http_ollama_diagnose_t));

    check->ident = -1;
    check->request = r;
    check->cleanup = cln;
    check->look.up = up;
    check->look.view = *view;

    if (ngx_http_ollama_diagnose_probe(check) != NGX_OK) {
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
ngx_http_ollama_diagnose_probe(ngx_http_ollama_diagnose_t *check)
{
    ngx_http_ollama_probe_t     *look;
    ngx_http_ollama_view_t       view;
    ngx_http_ollama_upstream_t  *up;

    look = &check->look;

    up = look->up;
    view = look->view;

    ngx_memzero(look, sizeof(ngx_http_ollama_probe_t));

    look->pool = check->request->pool;
    look->log = check->request->connection->log;
    look->up = up;
    look->view = view;
    look->handler = ngx_http_ollama_diagnose_handler;
    look->data = check;

    check->tries++;

    if (ngx_http_ollama_probe(look) != NGX_OK) {
        return NGX_ERROR;
    }

    /* this timer, unlike a look's own, also keeps a worker that shuts down */

    check->event.handler = ngx_http_ollama_diagnose_timer_handler;
    check->event.data = check;
    check->event.log = look->log;

    ngx_add_timer(&check->event, up->timeout * NGX_HTTP_OLLAMA_PROBE_STEPS
                                 + NGX_HTTP_OLLAMA_DIAGNOSE_GRACE);

    return NGX_OK;
}


static void
ngx_http_ollama_diagnose_handler(ngx_http_ollama_probe_t *look)
{
    ngx_http_ollama_diagnose_t  *check;

    check = look->data;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, look->log, 0,
                   "ollama check: result %d at step %d",
                   look->result, look->step);

    if (look->result == NGX_HTTP_OLLAMA_FETCH_LATE
        && check->tries < NGX_HTTP_OLLAMA_DIAGNOSE_TRIES)
    {
        if (ngx_http_ollama_diagnose_probe(check) == NGX_OK) {
            return;
        }

        look->result = NGX_HTTP_OLLAMA_FETCH_LATE;
        ngx_str_set(&look->error, "nginx is out of memory");
    }

    ngx_http_ollama_diagnose_end(check);
}


/* Each request of a look has a time limit: it is this process that is late. */

static void
ngx_http_ollama_diagnose_timer_handler(ngx_event_t *ev)
{
    ngx_http_ollama_diagnose_t  *check;

    check = ev->data;

    ngx_http_ollama_probe_cancel(&check->look);

    check->look.result = NGX_HTTP_OLLAMA_FETCH_LATE;
    ngx_str_set(&check->look.error, "timed out");

    ngx_http_ollama_diagnose_handler(&check->look);
}


/* Answers; the check may be gone then. */

static void
ngx_http_ollama_diagnose_end(ngx_http_ollama_diagnose_t *check)
{
    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = check->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    check->cleanup->handler = NULL;
    ngx_http_ollama_diagnose_running--;

    if (check->event.timer_set) {
        ngx_del_timer(&check->event);
    }

    /* what was measured a moment ago isn't what a client has from before */
    r->disable_not_modified = 1;

    rc = ngx_http_ollama_response_walk(r, ngx_http_ollama_diagnose_walk,
                                       &check->look);

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_diagnose_cleanup(void *data)
{
    ngx_http_ollama_diagnose_t *check = data;

    ngx_http_ollama_diagnose_running--;

    if (check->event.timer_set) {
        ngx_del_timer(&check->event);
    }

    ngx_http_ollama_probe_cancel(&check->look);
}


static void
ngx_http_ollama_diagnose_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_probe_t *look = data;

    ngx_str_t   error;
    ngx_uint_t  i, failed;

    failed = ngx_http_ollama_diagnose_failed(look, &error);

    ngx_http_ollama_emit_add(t, "{\"server_url\":");
    ngx_http_ollama_models_json_url(t, look->up, &look->view);

    ngx_http_ollama_emit_add(t, failed == NGX_HTTP_OLLAMA_DIAGNOSE_STEPS
                                ? ",\"ok\":true,\"steps\":["
                                : ",\"ok\":false,\"steps\":[");

    for (i = 0; i < NGX_HTTP_OLLAMA_DIAGNOSE_STEPS; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        ngx_http_ollama_diagnose_walk_step(t, look, i,
                                           i == failed ? &error : NULL);
        if (i == failed) {
            break;
        }
    }

    ngx_http_ollama_emit_add(t, "]}");
}


/*
 * The first step that failed, and why, or NGX_HTTP_OLLAMA_DIAGNOSE_STEPS.  A
 * server that is good enough to be up may fail here.
 */

static ngx_uint_t
ngx_http_ollama_diagnose_failed(ngx_http_ollama_probe_t *look, ngx_str_t *error)
{
    if (look->note.len) {
        *error = look->note;
        return (ngx_uint_t) look->noted + 1;
    }

    *error = look->error;

    if (look->result == NGX_HTTP_OLLAMA_FETCH_OK) {
        return NGX_HTTP_OLLAMA_DIAGNOSE_STEPS;
    }

    return look->connected < 0 ? NGX_HTTP_OLLAMA_DIAGNOSE_CONNECT
                               : (ngx_uint_t) look->step + 1;
}


/* error is NULL in a step that went well. */

static void
ngx_http_ollama_diagnose_walk_step(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_probe_t *look, ngx_uint_t step, ngx_str_t *error)
{
    ngx_http_ollama_emit_add(t, "{\"step\":\"");
    ngx_http_ollama_emit_add(t, ngx_http_ollama_diagnose_steps[step]);
    ngx_http_ollama_emit_add(t, error ? "\",\"ok\":false,\"ms\":"
                                      : "\",\"ok\":true,\"ms\":");
    ngx_http_ollama_emit_ms(t, ngx_http_ollama_diagnose_elapsed(look, step));

    if (error) {
        ngx_http_ollama_emit_add(t, ",\"error\":");
        ngx_http_ollama_emit_string(t, error);

    } else if (step == NGX_HTTP_OLLAMA_DIAGNOSE_TAGS) {
        ngx_http_ollama_emit_add(t, ",\"models\":");
        ngx_http_ollama_emit_number(t, look->ntags);
    }

    ngx_http_ollama_emit_add(t, "}");
}


/* Microseconds; connecting is not counted to the request after it, too. */

static int64_t
ngx_http_ollama_diagnose_elapsed(ngx_http_ollama_probe_t *look, ngx_uint_t step)
{
    int64_t  us;

    if (step == NGX_HTTP_OLLAMA_DIAGNOSE_CONNECT) {
        return look->connected < 0
               ? look->elapsed[NGX_HTTP_OLLAMA_PROBE_VERSION]
               : look->connected;
    }

    us = look->elapsed[step - 1];

    return step == NGX_HTTP_OLLAMA_DIAGNOSE_VERSION ? us - look->connected : us;
}
