
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A chat in a session, on its way in: the session is locked, its history read
 * page by page and put in front of the new messages, and these are stored,
 * before a server is asked; with a history of one page all that is one command.
 * The stored messages are texts that are copied as they are; none of them is
 * parsed again.
 *
 * Who wasn't told whether its messages are stored may send them again: if they
 * are those at the end of the history, and got no reply, they are the same.
 *
 * Meanwhile the request waits in the precontent phase.  A refusal on the way
 * leaves the session as it was; save.c gives the lock back.  As long as it
 * isn't known whether there is one, that is done here.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_history.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_error.h"
#include "reply/ngx_http_ollama_stop.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_insert.h"
#include "session/ngx_http_ollama_open.h"
#include "session/ngx_http_ollama_save.h"
#include "store/ngx_http_ollama_lock.h"
#include "store/ngx_http_ollama_outbox.h"
#include "store/ngx_http_ollama_store.h"
#include "task/ngx_http_ollama_task.h"


/* a chat by which a history would become longer is refused */
#define NGX_HTTP_OLLAMA_HISTORY_MESSAGES  10000
#define NGX_HTTP_OLLAMA_HISTORY_SIZE      (50 * 1024 * 1024)

/* read at once: some 0.1 ms of copying */
#define NGX_HTTP_OLLAMA_HISTORY_PAGE      500
#define NGX_HTTP_OLLAMA_HISTORY_BYTES     (256 * 1024)

/* what is new is stored with the first question, if it is not more */
#define NGX_HTTP_OLLAMA_HISTORY_NEW       (64 * 1024)


typedef struct {
    ngx_http_request_t          *request;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_history_pt   done;
    ngx_http_ollama_store_t      store;
    ngx_str_t                    owner;
    int64_t                      last;      /* n of the last message stored */
    int64_t                      read;      /* n of the last one read */

    ngx_uint_t                   total;     /* messages stored, */
    ngx_uint_t                   seen;      /* those read of them, */
    ngx_uint_t                   unanswered; /* and those at the end that the
                                               new ones may be the same as */
    ngx_http_ollama_insert_t     text;      /* that is put in; its mark: where
                                               these begin */

    ngx_str_t                   *messages;  /* what is new, in the scan's
                                               pool, and its bytes */
    off_t                        size;

    unsigned                     locking:1;  /* there may be a lock */
    unsigned                     stands_in:1;  /* the session's model */
    unsigned                     stored:1;  /* what is new is, already */
} ngx_http_ollama_history_t;


static ngx_int_t ngx_http_ollama_history_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_history_ask(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_begun(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_history_check(ngx_http_ollama_history_t *h);
static ngx_int_t ngx_http_ollama_history_servers(
    ngx_http_ollama_history_t *h);
static ngx_int_t ngx_http_ollama_history_fits(ngx_http_ollama_history_t *h,
    ngx_uint_t n, off_t size);
static ngx_int_t ngx_http_ollama_history_model(ngx_http_ollama_history_t *h,
    ngx_str_t *model);
static ngx_int_t ngx_http_ollama_history_put_model(
    ngx_http_ollama_history_t *h);
static ngx_int_t ngx_http_ollama_history_system(ngx_http_ollama_history_t *h,
    ngx_str_t *system);
static void ngx_http_ollama_history_take(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_next(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_paged(ngx_http_ollama_store_t *store);
static void ngx_http_ollama_history_read(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_added(ngx_http_ollama_store_t *store);
static void ngx_http_ollama_history_unavailable(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_end(ngx_http_ollama_history_t *h,
    ngx_int_t rc);
static void ngx_http_ollama_history_cleanup(void *data);


/* Whether the request goes on with a session. */

ngx_uint_t
ngx_http_ollama_history_is_wanted(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->scan->session_id.len
           && (ctx->endpoint->scan & NGX_HTTP_OLLAMA_SCAN_MESSAGES)
           && ctx->endpoint->last != NGX_HTTP_OLLAMA_END_MESSAGE;
}


/* NGX_AGAIN: "done" will be called; else the status of a refusal. */

ngx_int_t
ngx_http_ollama_history_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_history_pt done)
{
    ngx_int_t                   rc;
    ngx_http_cleanup_t         *cln;
    ngx_http_ollama_history_t  *h;

    rc = ngx_http_ollama_history_messages(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_history_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    h = cln->data;
    ngx_memzero(h, sizeof(ngx_http_ollama_history_t));

    cln->handler = ngx_http_ollama_history_cleanup;

    h->request = r;
    h->ctx = ctx;
    h->done = done;

    ngx_http_ollama_insert_init(&h->text, r->pool);

    rc = ngx_http_ollama_open_init(r, ctx, &h->store, h, &h->owner);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_task_begin(r, ctx, ngx_http_ollama_stop);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_task_in_use(r, ctx,
                                                 &ctx->scan->task_id);
    }

    rc = ngx_http_ollama_history_ask(h);

    if (rc != NGX_OK) {
        return rc;
    }

    h->locking = 1;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


/* Whether the new messages can be stored. */

static ngx_int_t
ngx_http_ollama_history_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->scan->messages_start == 0) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "\"messages\" is required in a session");
    }

    if (ctx->scan->messages_null >= ctx->scan->messages_start) {
        /* there is nothing to store, and it isn't alone in the list */
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "invalid request body at byte %O: "
                                     "\"messages\" has a null",
                                     ctx->scan->messages_null);
    }

    if (ctx->scan->messages_more) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                     "no more than %d messages at once can be "
                                     "added to a session",
                                     NGX_HTTP_OLLAMA_SCAN_LIST);
    }

    return NGX_OK;
}


/*
 * What is new is stored at once if it can't be refused any more, and isn't so
 * large that it should go to Redis once only.
 */

static ngx_int_t
ngx_http_ollama_history_ask(ngx_http_ollama_history_t *h)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, n;
    ngx_http_ollama_ctx_t         *ctx;
    ngx_http_ollama_store_page_t   page;

    ctx = h->ctx;
    n = ctx->scan->messages.nelts;

    h->messages = ngx_http_ollama_insert_messages(h->request, ctx);

    if (h->messages == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < n; i++) {
        h->size += h->messages[i].len + 1;
    }

    if (ctx->scan->model.len) {
        rc = ngx_http_ollama_history_servers(h);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_http_ollama_outbox_flush(&ctx->scan->session_id);

    page.limit = NGX_HTTP_OLLAMA_HISTORY_PAGE;
    page.bytes = NGX_HTTP_OLLAMA_HISTORY_BYTES;

    if (ctx->scan->model.len == 0 || h->size > NGX_HTTP_OLLAMA_HISTORY_NEW) {
        n = 0;
    }

    h->store.handler = ngx_http_ollama_history_begun;

    if (ngx_http_ollama_store_turn(&h->store, &ctx->scan->session_id,
                                   &h->owner, &ctx->scan->task_id,
                                   NGX_HTTP_OLLAMA_LOCK_TIME, &page,
                                   NGX_HTTP_OLLAMA_HISTORY_MESSAGES,
                                   h->messages, n)
        != NGX_OK)
    {
        return ngx_http_ollama_error_no_history(h->request, ctx);
    }

    return NGX_OK;
}


static void
ngx_http_ollama_history_cleanup(void *data)
{
    ngx_http_ollama_history_t *h = data;

    ngx_http_ollama_store_forget(&h->store);

    if (h->locking) {
        ngx_http_ollama_outbox_add(&h->ctx->scan->session_id,
                                   &h->ctx->scan->task_id, 0, 0, NULL);
    }
}


static void
ngx_http_ollama_history_begun(ngx_http_ollama_store_t *store)
{
    ngx_int_t                   rc;
    ngx_http_request_t         *r;
    ngx_http_ollama_ctx_t      *ctx;
    ngx_http_ollama_history_t  *h;

    h = store->data;
    r = h->request;
    ctx = h->ctx;

    ngx_http_set_log_request(r->connection->log, r);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {

        if (store->result != NGX_HTTP_OLLAMA_STORE_UNAVAILABLE) {
            h->locking = 0;
        }

        ngx_http_ollama_history_end(h,
                                    ngx_http_ollama_open_refuse(r, ctx, store));
        return;
    }

    if (ngx_http_ollama_open_holder(r, ctx, store) != NGX_OK
        || ngx_http_ollama_save_begin(r, ctx, store->ttl) != NGX_OK)
    {
        ngx_http_ollama_history_end(h, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    h->locking = 0;

    if (ctx->cancelled) {
        return;
    }

    h->last = store->last;
    h->total = store->total;
    h->stored = store->added;

    if (!h->stored && store->unanswered == ctx->scan->messages.nelts) {
        h->unanswered = store->unanswered;
    }

    if (ngx_http_ollama_history_model(h, &store->session.model) != NGX_OK
        || ngx_http_ollama_history_system(h, &store->session.system)
           != NGX_OK)
    {
        ngx_http_ollama_history_end(h, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    rc = ngx_http_ollama_history_check(h);

    if (rc != NGX_OK) {
        ngx_http_ollama_history_end(h, rc);
        return;
    }

    ngx_http_ollama_history_take(h);
}


/* Whether the chat can be had at all; else the status of a refusal. */

static ngx_int_t
ngx_http_ollama_history_check(ngx_http_ollama_history_t *h)
{
    ngx_int_t               rc;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = h->ctx;

    if (ctx->scan->model.len == 0) {
        return ngx_http_ollama_error(h->request, ctx, NGX_HTTP_BAD_REQUEST,
                                     "\"model\" is required: the session has "
                                     "none");
    }

    /* before much is read, in vain; it isn't known yet if they are new */

    rc = ngx_http_ollama_history_fits(h, h->unanswered
                                         ? 0 : ctx->scan->messages.nelts, 0);

    if (rc != NGX_OK) {
        return rc;
    }

    return h->stands_in ? ngx_http_ollama_history_servers(h) : NGX_OK;
}


/* Whether a server can have the chat; else the status of a refusal. */

static ngx_int_t
ngx_http_ollama_history_servers(ngx_http_ollama_history_t *h)
{
    ngx_int_t                    rc;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(h->request, ngx_http_ollama_module);

    if (!olcf->fixed) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_candidates_check(h->request, h->ctx, olcf->up);

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


/* Whether there is room for so many messages more, and for the reply. */

static ngx_int_t
ngx_http_ollama_history_fits(ngx_http_ollama_history_t *h, ngx_uint_t n,
    off_t size)
{
    if (h->total + n + 1 > NGX_HTTP_OLLAMA_HISTORY_MESSAGES) {
        return ngx_http_ollama_error(h->request, h->ctx,
                                     NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                     "session \"%V\" has %ui messages, with "
                                     "%ui new ones and a reply these are more "
                                     "than %d",
                                     &h->ctx->scan->session_id, h->total, n,
                                     NGX_HTTP_OLLAMA_HISTORY_MESSAGES);
    }

    if (h->text.size + size > NGX_HTTP_OLLAMA_HISTORY_SIZE) {
        return ngx_http_ollama_error(h->request, h->ctx,
                                     NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                     "the messages of session \"%V\" have, "
                                     "with the new ones, more than 50 MB",
                                     &h->ctx->scan->session_id);
    }

    return NGX_OK;
}


/* The session's model stands in for a missing one. */

static ngx_int_t
ngx_http_ollama_history_model(ngx_http_ollama_history_t *h, ngx_str_t *model)
{
    ngx_http_ollama_scan_t  *scan;

    scan = h->ctx->scan;

    if (scan->model.len || model->len == 0) {
        return NGX_OK;
    }

    scan->model.data = ngx_pstrdup(h->request->pool, model);
    if (scan->model.data == NULL) {
        return NGX_ERROR;
    }

    scan->model.len = model->len;
    h->stands_in = 1;

    return NGX_OK;
}


/* As the body's last member: there may be one that is null, or empty. */

static ngx_int_t
ngx_http_ollama_history_put_model(ngx_http_ollama_history_t *h)
{
    u_char     *p;
    size_t      size;
    ngx_str_t  *model;

    model = &h->ctx->scan->model;

    size = sizeof(",\"model\":\"\"") - 1 + model->len
           + ngx_escape_json(NULL, model->data, model->len);

    p = ngx_http_ollama_insert_put(&h->text, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(p, ",\"model\":\"", sizeof(",\"model\":\"") - 1);
    p = (u_char *) ngx_escape_json(p, model->data, model->len);
    *p = '"';

    ngx_http_ollama_insert_into_body(&h->text, h->ctx, h->ctx->scan->close);

    return NGX_OK;
}


/* The session's own instructions are the first message. */

static ngx_int_t
ngx_http_ollama_history_system(ngx_http_ollama_history_t *h,
    ngx_str_t *system)
{
    u_char  *p;
    size_t   size;

    if (system->len == 0) {
        return NGX_OK;
    }

    size = sizeof("{\"role\":\"system\",\"content\":\"\"},") - 1
           + system->len
           + ngx_escape_json(NULL, system->data, system->len);

    p = ngx_http_ollama_insert_put(&h->text, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(p, "{\"role\":\"system\",\"content\":\"",
                   sizeof("{\"role\":\"system\",\"content\":\"") - 1);
    p = (u_char *) ngx_escape_json(p, system->data, system->len);
    ngx_memcpy(p, "\"},", 3);

    return NGX_OK;
}


/* Asks for the next page of what is stored. */

static void
ngx_http_ollama_history_next(ngx_http_ollama_history_t *h)
{
    h->store.handler = ngx_http_ollama_history_paged;

    if (ngx_http_ollama_store_page(&h->store, &h->ctx->scan->session_id,
                                   h->read, NGX_HTTP_OLLAMA_HISTORY_PAGE,
                                   NGX_HTTP_OLLAMA_HISTORY_BYTES)
        != NGX_OK)
    {
        ngx_http_ollama_history_unavailable(h);
    }
}


static void
ngx_http_ollama_history_paged(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_history_t  *h;

    h = store->data;

    ngx_http_set_log_request(h->request->connection->log, h->request);

    if (h->ctx->cancelled) {
        return;
    }

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {
        ngx_http_ollama_history_end(h,
                                    ngx_http_ollama_open_refuse(h->request,
                                                                h->ctx, store));
        return;
    }

    ngx_http_ollama_history_take(h);
}


/* A page has come. */

static void
ngx_http_ollama_history_take(ngx_http_ollama_history_t *h)
{
    u_char                   *p;
    size_t                    size;
    ngx_int_t                 rc;
    ngx_str_t                 json;
    ngx_uint_t                i;
    ngx_http_ollama_store_t  *store;

    store = &h->store;
    size = 0;

    for (i = 0; i < store->n; i++) {
        ngx_http_ollama_store_get_json(store, i, &json);
        size += json.len + 1;
    }

    rc = ngx_http_ollama_history_fits(h, 0, size);

    if (rc != NGX_OK) {
        ngx_http_ollama_history_end(h, rc);
        return;
    }

    if (size) {
        p = ngx_http_ollama_insert_put(&h->text, size);
        if (p == NULL) {
            ngx_http_ollama_history_end(h, NGX_HTTP_INTERNAL_SERVER_ERROR);
            return;
        }

        for (i = 0; i < store->n; i++) {
            ngx_http_ollama_store_get_json(store, i, &json);

            if (++h->seen + h->unanswered > h->total
                && h->text.mark == NULL)
            {
                ngx_http_ollama_insert_mark(&h->text, p);
            }

            p = ngx_cpymem(p, json.data, json.len);
            *p++ = ',';
        }
    }

    h->read = store->paged;

    if (store->more && store->n) {
        ngx_http_ollama_history_next(h);
        return;
    }

    ngx_http_ollama_history_read(h);
}


/* All is read: stores what is new. */

static void
ngx_http_ollama_history_read(ngx_http_ollama_history_t *h)
{
    ngx_int_t               rc;
    ngx_uint_t              n;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = h->ctx;
    n = ctx->scan->messages.nelts;

    if (ngx_http_ollama_insert_ends_with(&h->text, h->messages, n)) {
        ngx_http_ollama_insert_truncate(&h->text);
        h->total -= n;
        h->last -= n;
        h->stored = 1;
    }

    rc = ngx_http_ollama_history_fits(h, n, h->size);

    if (rc != NGX_OK) {
        ngx_http_ollama_history_end(h, rc);
        return;
    }

    if (h->text.chain) {

        if (n == 0) {
            ngx_http_ollama_insert_drop_comma(&h->text);
        }

        ngx_http_ollama_insert_into_body(&h->text, ctx,
                                         ctx->scan->messages_start);
    }

    if (h->stands_in && ngx_http_ollama_history_put_model(h) != NGX_OK) {
        ngx_http_ollama_history_end(h, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_ollama_save_set_number(ctx, h->last + n + 1);

    if (n == 0 || h->stored) {
        ngx_http_ollama_history_end(h, NGX_OK);
        return;
    }

    h->store.handler = ngx_http_ollama_history_added;

    if (ngx_http_ollama_store_add(&h->store, &ctx->scan->session_id,
                                  &ctx->holder, h->last + 1, h->messages, n)
        != NGX_OK)
    {
        ngx_http_ollama_save_set_number(ctx, 0);
        ngx_http_ollama_history_unavailable(h);
    }
}


static void
ngx_http_ollama_history_added(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_history_t  *h;

    h = store->data;

    ngx_http_set_log_request(h->request->connection->log, h->request);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {
        ngx_http_ollama_save_set_number(h->ctx, 0);
        ngx_http_ollama_history_end(h,
                                    ngx_http_ollama_open_refuse(h->request,
                                                                h->ctx, store));
        return;
    }

    ngx_http_ollama_history_end(h, NGX_OK);
}


/* Redis can't be asked. */

static void
ngx_http_ollama_history_unavailable(ngx_http_ollama_history_t *h)
{
    ngx_http_ollama_history_end(h,
                                ngx_http_ollama_error_no_history(h->request,
                                                                 h->ctx));
}


/* Goes on with the request, which may end by that, unless it was stopped. */

static void
ngx_http_ollama_history_end(ngx_http_ollama_history_t *h, ngx_int_t rc)
{
    ngx_connection_t  *c;

    if (h->ctx->cancelled) {
        return;
    }

    c = h->request->connection;

    h->done(h->request, h->ctx, rc);

    ngx_http_run_posted_requests(c);
}
