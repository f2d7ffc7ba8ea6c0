
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A chat in a session, on its way in: before a server gets it, the session is
 * locked, its history is read page by page and inserted before the new
 * messages, and these are stored; if the history fits in one page, all that is
 * one Redis command.  Stored messages are copied as they are, never parsed
 * again.
 *
 * A client that wasn't told whether its messages are stored may send them
 * again: if they equal the last ones of the history, and those have no reply,
 * they are not stored twice.
 *
 * Meanwhile the request waits in the precontent phase.  A refusal leaves the
 * session unchanged.  The lock is released by save.c; but until it is known
 * whether the session was locked, by the cleanup here.
 *
 * The state is in memory of the request's pool, until the request is cleaned
 * up.  Uses the store, the task, and the balancer's check for candidates.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_history.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_names.h"
#include "balancer/ngx_http_ollama_search.h"
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


/* a chat that would make a history longer is refused */
#define NGX_HTTP_OLLAMA_HISTORY_MESSAGES  10000
#define NGX_HTTP_OLLAMA_HISTORY_SIZE      (50 * 1024 * 1024)

/* a page: about 0.1 ms of copying */
#define NGX_HTTP_OLLAMA_HISTORY_PAGE      500
#define NGX_HTTP_OLLAMA_HISTORY_BYTES     (256 * 1024)

/* bytes of new messages that are made UTF-8 at once: some milliseconds */
#define NGX_HTTP_OLLAMA_HISTORY_MEND      (1024 * 1024)

/* at most so many bytes of new messages go along with the first command */
#define NGX_HTTP_OLLAMA_HISTORY_NEW       (64 * 1024)


struct ngx_http_ollama_history_s {
    ngx_http_request_t          *request;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_history_pt   done;
    ngx_http_ollama_store_t      store;
    ngx_str_t                    owner;
    int64_t                      last;      /* n of the last message stored */
    int64_t                      read;      /* n of the last one read */

    ngx_uint_t                   total;     /* messages stored */
    ngx_uint_t                   seen;      /* of these, read so far */
    ngx_uint_t                   unanswered; /* of these, the last ones that
                                               may be equal to the new ones */
    ngx_http_ollama_insert_t     text;      /* the history; its mark is where
                                               the unanswered ones begin */

    ngx_str_t                   *messages;  /* the new ones, in ctx->pool */
    off_t                        size;      /* of these, with commas */

    unsigned                     locking:1; /* the session may be locked */
    unsigned                     model_added:1; /* it is the session's */
    unsigned                     unknown:1; /* no server is known to have it */
    unsigned                     stored:1;  /* the new messages are stored */
    unsigned                     paging:1;  /* pages follow the first command */
};


static ngx_int_t ngx_http_ollama_history_check_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_history_lock(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_lock_done(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_history_check(ngx_http_ollama_history_t *h);
static ngx_int_t ngx_http_ollama_history_check_servers(
    ngx_http_ollama_history_t *h);
static ngx_int_t ngx_http_ollama_history_check_size(
    ngx_http_ollama_history_t *h, ngx_uint_t n, off_t size);
static ngx_int_t ngx_http_ollama_history_set_model(ngx_http_ollama_history_t *h,
    ngx_str_t *model);
static ngx_int_t ngx_http_ollama_history_insert_model(
    ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_add_page(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_search(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_searched(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_history_read(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_read_done(ngx_http_ollama_store_t *store);
static void ngx_http_ollama_history_store(ngx_http_ollama_history_t *h);
static void ngx_http_ollama_history_store_done(ngx_http_ollama_store_t *store);
static void ngx_http_ollama_history_end(ngx_http_ollama_history_t *h,
    ngx_int_t rc);
static void ngx_http_ollama_history_cleanup(void *data);


ngx_uint_t
ngx_http_ollama_history_is_wanted(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->scan->session_id.len
           && (ctx->endpoint->scan & NGX_HTTP_OLLAMA_SCAN_MESSAGES)
           && ctx->endpoint->last != NGX_HTTP_OLLAMA_END_MESSAGE;
}


ngx_int_t
ngx_http_ollama_history_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_history_pt done)
{
    ngx_int_t                   rc;
    ngx_http_cleanup_t         *cln;
    ngx_http_ollama_history_t  *h;

    rc = ngx_http_ollama_history_check_messages(r, ctx);

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

    ctx->history = h;

    ngx_http_ollama_insert_init(&h->text, r->pool);

    rc = ngx_http_ollama_open_init(r, ctx, &h->store, h, &h->owner);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ctx->has_task ? NGX_OK
                       : ngx_http_ollama_task_begin(r, ctx,
                                                    ngx_http_ollama_stop);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_task_in_use(r, ctx,
                                                 &ctx->scan->task_id);
    }

    rc = ngx_http_ollama_history_lock(h);

    if (rc != NGX_OK) {
        return rc;
    }

    h->locking = 1;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


/* Checks if the new messages can be stored. */

static ngx_int_t
ngx_http_ollama_history_check_messages(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_uint_t              n;
    ngx_http_ollama_cut_t  *span;

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

    span = ctx->scan->messages.elts;
    n = ctx->scan->messages.nelts;

    if (ctx->scan->json.invalid
        && n && span[n - 1].end - span[0].start > NGX_HTTP_OLLAMA_HISTORY_MEND)
    {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "invalid request body: messages of more "
                                     "than 1 MB that are not UTF-8 can't be "
                                     "stored");
    }

    return NGX_OK;
}


/*
 * Locks the session, and reads the first page in the same command.  New
 * messages go along if they can't be refused later, and are not so large that
 * they should be sent to Redis only once.
 */

static ngx_int_t
ngx_http_ollama_history_lock(ngx_http_ollama_history_t *h)
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
        rc = ngx_http_ollama_history_check_servers(h);

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

    h->store.handler = ngx_http_ollama_history_lock_done;

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
ngx_http_ollama_history_lock_done(ngx_http_ollama_store_t *store)
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

    ngx_http_ollama_task_has_session(ctx);

    h->last = store->last;
    h->total = store->total;
    h->stored = store->added;

    if (!h->stored && store->unanswered == ctx->scan->messages.nelts) {
        h->unanswered = store->unanswered;
    }

    rc = ngx_http_ollama_history_set_model(h, &store->session.model);

    if (rc == NGX_OK
        && ngx_http_ollama_insert_system(&h->text, &store->session.system)
           != NGX_OK)
    {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_history_check(h);
    }

    if (rc != NGX_OK) {
        ngx_http_ollama_history_end(h, rc);
        return;
    }

    ngx_http_ollama_history_add_page(h);
}


/* NGX_OK, or the status of a refusal, before more of the history is read. */

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

    /* it may turn out later that unanswered messages are not new */

    rc = ngx_http_ollama_history_check_size(h, h->unanswered
                                         ? 0 : ctx->scan->messages.nelts, 0);

    if (rc != NGX_OK) {
        return rc;
    }

    return (h->model_added && !h->unknown)
           ? ngx_http_ollama_history_check_servers(h) : NGX_OK;
}


/* NGX_OK: a server can take the chat; else the status of a refusal. */

static ngx_int_t
ngx_http_ollama_history_check_servers(ngx_http_ollama_history_t *h)
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


/* NGX_OK: there is room for n more messages of that size, and for the reply. */

static ngx_int_t
ngx_http_ollama_history_check_size(ngx_http_ollama_history_t *h, ngx_uint_t n,
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


/*
 * A chat without a model gets the session's.  NGX_OK, or the status of an
 * error.
 */

static ngx_int_t
ngx_http_ollama_history_set_model(ngx_http_ollama_history_t *h,
    ngx_str_t *model)
{
    ngx_int_t                    rc;
    ngx_http_ollama_scan_t      *scan;
    ngx_http_ollama_loc_conf_t  *olcf;

    scan = h->ctx->scan;

    if (scan->model.len || model->len == 0) {
        return NGX_OK;
    }

    scan->model.data = ngx_pstrdup(h->request->pool, model);
    if (scan->model.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    scan->model.len = model->len;
    h->model_added = 1;

    rc = ngx_http_ollama_names_apply(h->request, h->ctx);

    olcf = ngx_http_get_module_loc_conf(h->request, ngx_http_ollama_module);

    h->unknown = olcf->fixed
                 && (h->ctx->unresolved
                     || ngx_http_ollama_candidates_is_unknown(h->request,
                                                              h->ctx,
                                                              olcf->up));

    return rc;
}


/*
 * Inserts the model as the last member of the body, so that it replaces one
 * that is null or empty.
 */

static ngx_int_t
ngx_http_ollama_history_insert_model(ngx_http_ollama_history_t *h)
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


/* Reads the next page of the history. */

static void
ngx_http_ollama_history_read(ngx_http_ollama_history_t *h)
{
    h->paging = 1;
    h->store.handler = ngx_http_ollama_history_read_done;

    if (ngx_http_ollama_store_page(&h->store, &h->ctx->scan->session_id,
                                   h->read, NGX_HTTP_OLLAMA_HISTORY_PAGE,
                                   NGX_HTTP_OLLAMA_HISTORY_BYTES)
        != NGX_OK)
    {
        ngx_http_ollama_history_end(h,
                                    ngx_http_ollama_error_no_history(h->request,
                                                                     h->ctx));
    }
}


static void
ngx_http_ollama_history_read_done(ngx_http_ollama_store_t *store)
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

    ngx_http_ollama_history_add_page(h);
}


/* Adds a page of the history to the text. */

static void
ngx_http_ollama_history_add_page(ngx_http_ollama_history_t *h)
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

    rc = ngx_http_ollama_history_check_size(h, 0, size);

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

    if (store->more && (store->n || !h->paging)) {
        ngx_http_ollama_history_read(h);
        return;
    }

    if (h->unknown) {
        ngx_http_ollama_history_search(h);
        return;
    }

    ngx_http_ollama_history_store(h);
}


/* Has the servers probed, as none is known to have the session's model. */

static void
ngx_http_ollama_history_search(ngx_http_ollama_history_t *h)
{
    ngx_int_t                    rc;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(h->request, ngx_http_ollama_module);

    rc = ngx_http_ollama_search(h->request, h->ctx, olcf->up,
                                ngx_http_ollama_history_searched);

    if (rc == NGX_AGAIN) {
        return;
    }

    ngx_http_ollama_history_searched(h->request, h->ctx,
                                     (rc == NGX_DECLINED)
                                     ? NGX_OK
                                     : NGX_HTTP_INTERNAL_SERVER_ERROR);
}


static void
ngx_http_ollama_history_searched(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_ollama_history_t  *h;

    h = ctx->history;

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_names_apply_again(r, ctx);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_history_check_servers(h);
    }

    if (rc != NGX_OK) {
        ngx_http_ollama_history_end(h, rc);
        return;
    }

    ngx_http_ollama_history_store(h);
}


/* The history is complete: inserts it, and stores the new messages. */

static void
ngx_http_ollama_history_store(ngx_http_ollama_history_t *h)
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

    rc = ngx_http_ollama_history_check_size(h, n, h->size);

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

    if (h->model_added && ngx_http_ollama_history_insert_model(h) != NGX_OK) {
        ngx_http_ollama_history_end(h, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_ollama_save_set_number(ctx, h->last + n + 1);

    if (n == 0 || h->stored) {
        ngx_http_ollama_history_end(h, NGX_OK);
        return;
    }

    h->store.handler = ngx_http_ollama_history_store_done;

    if (ngx_http_ollama_store_add(&h->store, &ctx->scan->session_id,
                                  &ctx->holder, h->last + 1, h->messages, n)
        != NGX_OK)
    {
        ngx_http_ollama_save_set_number(ctx, 0);
        ngx_http_ollama_history_end(h,
                                    ngx_http_ollama_error_no_history(h->request,
                                                                     h->ctx));
    }
}


static void
ngx_http_ollama_history_store_done(ngx_http_ollama_store_t *store)
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


/* Continues the request, which may end it, unless it was stopped. */

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
