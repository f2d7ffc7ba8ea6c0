
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * POST /api/chat/cancel/{id}: stops the running generation with that task or
 * session id, and answers when the outcome is known.  If another worker or
 * another gateway has the generation, that takes some milliseconds.  A process
 * that doesn't react is not waited for long: it will see the stop request as
 * soon as it goes on.
 *
 * What a waiting request needs is allocated with a cleanup of its pool.  The
 * cleanup stops the timer and ends the call to other gateways.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_cancel.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_owner.h"
#include "core/ngx_http_ollama_response.h"
#include "task/ngx_http_ollama_remote.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_timer.h"


/* the outcome is checked this often, in ms, and at most so many times */
#define NGX_HTTP_OLLAMA_CANCEL_INTERVAL  5
#define NGX_HTTP_OLLAMA_CANCEL_TRIES     200


typedef struct {
    ngx_http_request_t             *request;
    ngx_http_ollama_cancel_t        cancel;
    ngx_http_ollama_cancel_e        outcome;
    ngx_http_ollama_remote_stop_t   remote;
    ngx_uint_t                      tries;
    ngx_http_ollama_timer_t         timer;
    unsigned                        is_remote:1;  /* other gateways were
                                                     asked */
} ngx_http_ollama_cancel_wait_t;


static void ngx_http_ollama_cancel_id(ngx_http_request_t *r, ngx_str_t *id);
static ngx_int_t ngx_http_ollama_cancel_begin(ngx_http_request_t *r,
    ngx_http_ollama_cancel_wait_t *wait, ngx_str_t *id);
static ngx_int_t ngx_http_ollama_cancel_wait(ngx_http_request_t *r,
    ngx_http_ollama_cancel_wait_t *wait);
static void ngx_http_ollama_cancel_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_cancel_cleanup(void *data);
static ngx_uint_t ngx_http_ollama_cancel_is_pending(
    ngx_http_ollama_cancel_wait_t *wait);
static ngx_uint_t ngx_http_ollama_cancel_is_remote_pending(
    ngx_http_ollama_cancel_wait_t *wait);
static ngx_int_t ngx_http_ollama_cancel_answer(ngx_http_request_t *r,
    ngx_http_ollama_cancel_wait_t *wait);
static ngx_int_t ngx_http_ollama_cancel_not_found(ngx_http_request_t *r);


ngx_int_t
ngx_http_ollama_cancel_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       id;
    ngx_pool_cleanup_t             *cln;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_ollama_cancel_wait_t  *wait;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ollama_cancel_id(r, &id);

    if (!ngx_http_ollama_id_is_valid(&id)) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "the id of a task or session must be 1 "
                                     "to 64 characters of A-Z a-z 0-9 _ -, "
                                     "not \"%V\"", &id);
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_ollama_cancel_wait_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    wait = cln->data;
    ngx_memzero(wait, sizeof(ngx_http_ollama_cancel_wait_t));

    wait->request = r;

    cln->handler = ngx_http_ollama_cancel_cleanup;

    rc = ngx_http_ollama_cancel_begin(r, wait, &id);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_ollama_cancel_not_found(r);
    }

    if (ngx_http_ollama_cancel_is_pending(wait)) {
        return ngx_http_ollama_cancel_wait(r, wait);
    }

    return ngx_http_ollama_cancel_answer(r, wait);
}


/* The id is the last element of the path. */

static void
ngx_http_ollama_cancel_id(ngx_http_request_t *r, ngx_str_t *id)
{
    u_char  *p, *last;

    last = r->uri.data + r->uri.len;

    for (p = last; p > r->uri.data && p[-1] != '/'; p--) { /* void */ }

    id->data = p;
    id->len = last - p;
}


/*
 * Requests the stop.  NGX_OK: the outcome is known, or will be; NGX_DECLINED:
 * there is no such generation; NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_http_ollama_cancel_begin(ngx_http_request_t *r,
    ngx_http_ollama_cancel_wait_t *wait, ngx_str_t *id)
{
    u_char     owner[NGX_HTTP_OLLAMA_OWNER_SIZE];
    ngx_int_t  rc;

    if (ngx_http_ollama_owner_digest(r, owner) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_ollama_task_cancel(id, owner, r->pool, &wait->cancel);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_ollama_remote_stop(&wait->remote, r->pool, id, owner)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    wait->is_remote = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_cancel_wait(ngx_http_request_t *r,
    ngx_http_ollama_cancel_wait_t *wait)
{
    ngx_http_ollama_timer_init(&wait->timer,
                               ngx_http_ollama_cancel_timer_handler, wait,
                               r->connection->log);

    /* the answer must be sent, also by a worker that exits gracefully */
    wait->timer.event.cancelable = 0;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_add_timer(&wait->timer.event, NGX_HTTP_OLLAMA_CANCEL_INTERVAL);

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_ollama_cancel_timer_handler(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_ollama_cancel_wait_t  *wait;

    wait = ngx_http_ollama_timer_data(ev);
    r = wait->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    wait->tries++;

    if (ngx_http_ollama_cancel_is_pending(wait)) {
        ngx_add_timer(ev, NGX_HTTP_OLLAMA_CANCEL_INTERVAL);
        return;
    }

    ngx_http_finalize_request(r, ngx_http_ollama_cancel_answer(r, wait));
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_cancel_cleanup(void *data)
{
    ngx_http_ollama_cancel_wait_t *wait = data;

    if (wait->is_remote) {
        ngx_http_ollama_remote_forget(&wait->remote);
    }

    ngx_http_ollama_timer_stop(&wait->timer);
}


/* Whether the outcome is not known yet, and there is time left to wait. */

static ngx_uint_t
ngx_http_ollama_cancel_is_pending(ngx_http_ollama_cancel_wait_t *wait)
{
    if (wait->is_remote) {
        return ngx_http_ollama_cancel_is_remote_pending(wait);
    }

    wait->outcome = ngx_http_ollama_task_cancelled(&wait->cancel);

    return wait->outcome == NGX_HTTP_OLLAMA_CANCEL_PENDING
           && wait->tries < NGX_HTTP_OLLAMA_CANCEL_TRIES;
}


/*
 * The same if other gateways were asked.  Until one is found that has the
 * generation, the wait is limited by the time limit of the Redis command.
 */

static ngx_uint_t
ngx_http_ollama_cancel_is_remote_pending(ngx_http_ollama_cancel_wait_t *wait)
{
    ngx_http_ollama_remote_stop_t  *remote;

    remote = &wait->remote;

    switch (remote->outcome) {

    case NGX_AGAIN:

        if (!remote->found || wait->tries < NGX_HTTP_OLLAMA_CANCEL_TRIES) {
            return 1;
        }

        wait->outcome = NGX_HTTP_OLLAMA_CANCEL_PENDING;
        break;

    case NGX_OK:
        wait->outcome = NGX_HTTP_OLLAMA_CANCEL_DONE;
        break;

    default: /* NGX_DECLINED, NGX_ERROR */
        wait->outcome = NGX_HTTP_OLLAMA_CANCEL_LATE;
        return 0;
    }

    wait->cancel.task_id = remote->task_id;
    wait->cancel.session_id = remote->session_id;

    return 0;
}


static ngx_int_t
ngx_http_ollama_cancel_answer(ngx_http_request_t *r,
    ngx_http_ollama_cancel_wait_t *wait)
{
    u_char                    *p;
    size_t                     len;
    ngx_str_t                  text;
    ngx_http_ollama_cancel_t  *cancel;

    cancel = &wait->cancel;

    if (wait->outcome == NGX_HTTP_OLLAMA_CANCEL_LATE) {
        return ngx_http_ollama_cancel_not_found(r);
    }

    /* it has stopped, or it will: the stop flag is set */

    len = sizeof("{\"cancelled\":true,\"task_id\":\"\",\"session_id\":\"\"}")
          + cancel->task_id.len + cancel->session_id.len + sizeof("null");

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;

    /* an id has no character that must be escaped in JSON */

    p = ngx_sprintf(p, "{\"cancelled\":true,\"task_id\":\"%V\","
                    "\"session_id\":", &cancel->task_id);

    p = cancel->session_id.len
        ? ngx_sprintf(p, "\"%V\"}", &cancel->session_id)
        : ngx_cpymem(p, "null}", sizeof("null}") - 1);

    text.len = p - text.data;

    return ngx_http_ollama_response_text(r, &text, 0);
}


static ngx_int_t
ngx_http_ollama_cancel_not_found(ngx_http_request_t *r)
{
    ngx_str_t               id;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ollama_cancel_id(r, &id);

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                 "nothing is running under \"%V\"", &id);
}
