
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Endpoints that create, read, change, delete and list sessions.  Each handler
 * reads or discards the body, checks the request, begins one operation of the
 * store, and answers with its result.
 *
 * The state of a request is allocated with a cleanup of its pool.  When the
 * request ends before the operation, the cleanup makes the store forget it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session.h"
#include "api/ngx_http_ollama_session_args.h"
#include "api/ngx_http_ollama_session_body.h"
#include "api/ngx_http_ollama_session_json.h"
#include "core/ngx_http_ollama_arg.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_owner.h"
#include "core/ngx_http_ollama_response.h"
#include "request/ngx_http_ollama_unpack.h"
#include "store/ngx_http_ollama_outbox.h"
#include "store/ngx_http_ollama_store.h"
#include "util/ngx_http_ollama_id.h"


#define NGX_HTTP_OLLAMA_SESSION_PATH      "/api/chat/session/"

/* sessions of a list, and messages and bytes of a page */
#define NGX_HTTP_OLLAMA_SESSION_LIST      50
#define NGX_HTTP_OLLAMA_SESSION_MAX_LIST  100
#define NGX_HTTP_OLLAMA_SESSION_PAGE      100
#define NGX_HTTP_OLLAMA_SESSION_MAX_PAGE  1000
#define NGX_HTTP_OLLAMA_SESSION_BYTES     (1024 * 1024)


typedef struct ngx_http_ollama_session_s  ngx_http_ollama_session_t;

/*
 * Begins the operation: NGX_OK; NGX_ERROR: Redis is not available; else an HTTP
 * status.  Or answers when the operation has succeeded: returns what a content
 * handler returns.
 */

typedef ngx_int_t (*ngx_http_ollama_session_pt)(
    ngx_http_ollama_session_t *s);


struct ngx_http_ollama_session_s {
    ngx_http_ollama_store_t         store;
    ngx_http_ollama_session_json_t  json;
    ngx_http_request_t             *request;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_str_t                       owner;
    ngx_http_ollama_session_pt      answer;
};


static void ngx_http_ollama_session_create_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_session_begin_create(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_read(
    ngx_http_ollama_session_t *s);
static void ngx_http_ollama_session_patch_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_session_begin_patch(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_delete(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_truncate(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_list(
    ngx_http_ollama_session_t *s);

static ngx_int_t ngx_http_ollama_session_answer_created(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_session(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_messages(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_deleted(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_truncated(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_list(
    ngx_http_ollama_session_t *s);

static ngx_int_t ngx_http_ollama_session_read_body(ngx_http_request_t *r,
    ngx_http_client_body_handler_pt handler);
static ngx_int_t ngx_http_ollama_session_run(ngx_http_request_t *r,
    ngx_http_ollama_session_pt begin, ngx_http_ollama_session_pt answer);
static void ngx_http_ollama_session_cleanup(void *data);
static void ngx_http_ollama_session_done(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_session_send(ngx_http_ollama_session_t *s,
    ngx_http_ollama_emit_pt walk);

static ngx_int_t ngx_http_ollama_session_id(ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_fields(ngx_http_ollama_session_t *s,
    ngx_http_ollama_store_fields_t *fields, ngx_uint_t empty);
static ngx_int_t ngx_http_ollama_session_get_body(ngx_http_request_t *r,
    ngx_str_t *body);


/* POST /api/chat/session */

ngx_int_t
ngx_http_ollama_session_create(ngx_http_request_t *r)
{
    return ngx_http_ollama_session_read_body(r,
                                         ngx_http_ollama_session_create_body);
}


static void
ngx_http_ollama_session_create_body(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r,
        ngx_http_ollama_session_run(r, ngx_http_ollama_session_begin_create,
                                    ngx_http_ollama_session_answer_created));
}


static ngx_int_t
ngx_http_ollama_session_begin_create(ngx_http_ollama_session_t *s)
{
    ngx_int_t                       rc;
    ngx_str_t                      *id;
    ngx_http_request_t             *r;
    ngx_http_ollama_store_fields_t  fields;

    r = s->request;
    id = &s->json.id;

    rc = ngx_http_ollama_session_fields(s, &fields, 1);

    if (rc != NGX_OK) {
        return rc;
    }

    id->len = NGX_HTTP_OLLAMA_ID_RANDOM;

    id->data = ngx_pnalloc(r->pool, id->len);
    if (id->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_id_random(id->data, id->len, r->connection->log)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_store_create(&s->store, id, &s->owner, &fields);
}


/* GET, PATCH and DELETE /api/chat/session/{id} */

ngx_int_t
ngx_http_ollama_session_one(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (r->method == NGX_HTTP_PATCH) {
        return ngx_http_ollama_session_read_body(r,
                                          ngx_http_ollama_session_patch_body);
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method == NGX_HTTP_DELETE) {
        return ngx_http_ollama_session_run(r,
                                      ngx_http_ollama_session_begin_delete,
                                      ngx_http_ollama_session_answer_deleted);
    }

    return ngx_http_ollama_session_run(r, ngx_http_ollama_session_begin_read,
                                     ngx_http_ollama_session_answer_messages);
}


static ngx_int_t
ngx_http_ollama_session_begin_read(ngx_http_ollama_session_t *s)
{
    int64_t     after, before;
    ngx_int_t   rc, back;
    ngx_uint_t  limit;

    rc = ngx_http_ollama_session_id(s);

    if (rc != NGX_OK) {
        return rc;
    }

    limit = NGX_HTTP_OLLAMA_SESSION_PAGE;

    rc = ngx_http_ollama_session_args_limit(s->request, s->ctx,
                                            NGX_HTTP_OLLAMA_SESSION_MAX_PAGE,
                                            &limit);

    if (rc != NGX_OK) {
        return rc;
    }

    after = 0;

    rc = ngx_http_ollama_session_args_number(s->request, s->ctx, "after",
                                             &after);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        return rc;
    }

    back = ngx_http_ollama_session_args_before(s->request, s->ctx, &before);

    if (back == NGX_OK && rc == NGX_OK) {
        return ngx_http_ollama_error(s->request, s->ctx,
                                     NGX_HTTP_BAD_REQUEST,
                                     "there can't be both arguments after and "
                                     "before");
    }

    if (back == NGX_OK) {
        s->json.back = 1;

        return ngx_http_ollama_store_read_back(&s->store, &s->json.id,
                                               &s->owner, before, limit,
                                               NGX_HTTP_OLLAMA_SESSION_BYTES);
    }

    if (back != NGX_DECLINED) {
        return back;
    }

    return ngx_http_ollama_store_read(&s->store, &s->json.id, &s->owner,
                                      after, limit,
                                      NGX_HTTP_OLLAMA_SESSION_BYTES);
}


static void
ngx_http_ollama_session_patch_body(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r,
        ngx_http_ollama_session_run(r, ngx_http_ollama_session_begin_patch,
                                    ngx_http_ollama_session_answer_session));
}


static ngx_int_t
ngx_http_ollama_session_begin_patch(ngx_http_ollama_session_t *s)
{
    ngx_int_t                       rc;
    ngx_http_ollama_store_fields_t  fields;

    rc = ngx_http_ollama_session_id(s);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_session_fields(s, &fields, 0);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_store_patch(&s->store, &s->json.id, &s->owner,
                                       &fields);
}


static ngx_int_t
ngx_http_ollama_session_begin_delete(ngx_http_ollama_session_t *s)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_session_id(s);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_store_delete(&s->store, &s->json.id, &s->owner);
}


/* DELETE /api/chat/session/{id}/messages */

ngx_int_t
ngx_http_ollama_session_messages(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_session_run(r,
                                    ngx_http_ollama_session_begin_truncate,
                                    ngx_http_ollama_session_answer_truncated);
}


static ngx_int_t
ngx_http_ollama_session_begin_truncate(ngx_http_ollama_session_t *s)
{
    int64_t    from;
    ngx_int_t  rc;

    rc = ngx_http_ollama_session_id(s);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_session_args_number(s->request, s->ctx, "from",
                                             &from);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error(s->request, s->ctx,
                                     NGX_HTTP_BAD_REQUEST,
                                     "the argument from is missing");
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_store_truncate(&s->store, &s->json.id, &s->owner,
                                          from);
}


/* GET /api/chat/sessions */

ngx_int_t
ngx_http_ollama_session_list(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_session_run(r, ngx_http_ollama_session_begin_list,
                                       ngx_http_ollama_session_answer_list);
}


static ngx_int_t
ngx_http_ollama_session_begin_list(ngx_http_ollama_session_t *s)
{
    ngx_int_t            rc;
    ngx_str_t            cursor;
    ngx_uint_t           limit;
    ngx_array_t          ids;
    ngx_http_request_t  *r;

    r = s->request;

    rc = ngx_http_ollama_session_args_ids(r, s->ctx,
                                          NGX_HTTP_OLLAMA_SESSION_MAX_LIST,
                                          &ids);

    if (rc == NGX_OK) {
        return ngx_http_ollama_store_named(&s->store, &s->owner, ids.elts,
                                           ids.nelts);
    }

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (s->owner.len == 0) {
        return ngx_http_ollama_error(r, s->ctx, NGX_HTTP_FORBIDDEN,
                                     "sessions have no owner here "
                                     "(ollama_session_owner), so they can't be "
                                     "listed; ask for them by id");
    }

    limit = NGX_HTTP_OLLAMA_SESSION_LIST;

    rc = ngx_http_ollama_session_args_limit(r, s->ctx,
                                            NGX_HTTP_OLLAMA_SESSION_MAX_LIST,
                                            &limit);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_arg(r, "cursor", &cursor);

    if (rc == NGX_DECLINED) {
        ngx_str_set(&cursor, "");

    } else if (rc != NGX_OK) {
        return rc;

    } else if (!ngx_http_ollama_store_valid_cursor(&cursor)) {
        return ngx_http_ollama_error(r, s->ctx, NGX_HTTP_BAD_REQUEST,
                                     "the argument cursor must be what "
                                     "\"next\" was, not \"%V\"", &cursor);
    }

    return ngx_http_ollama_store_list(&s->store, &s->owner, &cursor, limit);
}


static ngx_int_t
ngx_http_ollama_session_answer_created(ngx_http_ollama_session_t *s)
{
    s->request->headers_out.status = NGX_HTTP_CREATED;

    return ngx_http_ollama_session_answer_session(s);
}


static ngx_int_t
ngx_http_ollama_session_answer_session(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_session_send(s,
                                        ngx_http_ollama_session_json_session);
}


static ngx_int_t
ngx_http_ollama_session_answer_messages(ngx_http_ollama_session_t *s)
{
    if (ngx_http_ollama_session_json_init(&s->json, s->request->pool)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_session_send(s, ngx_http_ollama_session_json_whole);
}


static ngx_int_t
ngx_http_ollama_session_answer_deleted(ngx_http_ollama_session_t *s)
{
    s->request->headers_out.status = NGX_HTTP_NO_CONTENT;
    s->request->header_only = 1;

    return ngx_http_send_header(s->request);
}


static ngx_int_t
ngx_http_ollama_session_answer_truncated(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_session_send(s,
                                        ngx_http_ollama_session_json_deleted);
}


static ngx_int_t
ngx_http_ollama_session_answer_list(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_session_send(s, ngx_http_ollama_session_json_list);
}


/* A body that is too long by its Content-Length is refused at once. */

static ngx_int_t
ngx_http_ollama_session_read_body(ngx_http_request_t *r,
    ngx_http_client_body_handler_pt handler)
{
    ngx_int_t  rc;

    if (r->headers_in.content_length_n > NGX_HTTP_OLLAMA_SESSION_BODY) {

        rc = ngx_http_discard_request_body(r);

        return (rc == NGX_OK) ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : rc;
    }

    rc = ngx_http_read_client_request_body(r, handler);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/*
 * Returns what a content handler returns.  NGX_DONE: the operation has begun,
 * ngx_http_ollama_session_done() will be called.
 */

static ngx_int_t
ngx_http_ollama_session_run(ngx_http_request_t *r,
    ngx_http_ollama_session_pt begin, ngx_http_ollama_session_pt answer)
{
    ngx_int_t                     rc;
    ngx_pool_cleanup_t           *cln;
    ngx_http_ollama_session_t    *s;
    ngx_http_ollama_loc_conf_t   *olcf;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_ollama_session_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s = cln->data;
    ngx_memzero(s, sizeof(ngx_http_ollama_session_t));

    cln->handler = ngx_http_ollama_session_cleanup;

    s->ctx = ngx_http_ollama_make_ctx(r);
    if (s->ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_redis_prefix() == NULL) {
        return ngx_http_ollama_error_no_history(r, s->ctx);
    }

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    s->request = r;
    s->answer = answer;
    s->json.store = &s->store;

    s->store.handler = ngx_http_ollama_session_done;
    s->store.data = s;
    s->store.log = r->connection->log;
    s->store.ttl = (int64_t) olcf->session_ttl * 1000;

    rc = ngx_http_ollama_owner(r, &s->owner);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_no_owner(r, s->ctx);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = begin(s);

    if (rc == NGX_ERROR) {
        return ngx_http_ollama_error_no_history(r, s->ctx);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_ollama_session_cleanup(void *data)
{
    ngx_http_ollama_session_t *s = data;

    ngx_http_ollama_store_forget(&s->store);
}


static void
ngx_http_ollama_session_done(ngx_http_ollama_store_t *store)
{
    ngx_int_t                   rc;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_ollama_session_t  *s;

    s = store->data;
    r = s->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "ollama session: result %d", store->result);

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        rc = s->answer(s);
        break;

    case NGX_HTTP_OLLAMA_STORE_NONE:
        rc = ngx_http_ollama_error(r, s->ctx, NGX_HTTP_NOT_FOUND,
                                   "session not found");
        break;

    case NGX_HTTP_OLLAMA_STORE_GONE:
        rc = ngx_http_ollama_error(r, s->ctx, NGX_HTTP_NOT_FOUND,
                                   "message not found: it was deleted, or "
                                   "never was in this session");
        break;

    case NGX_HTTP_OLLAMA_STORE_BUSY:
        rc = ngx_http_ollama_error_busy(r, s->ctx, &s->json.id, &store->task);
        break;

    default: /* NGX_HTTP_OLLAMA_STORE_UNAVAILABLE */
        rc = ngx_http_ollama_error_no_history(r, s->ctx);
        break;
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_ollama_session_send(ngx_http_ollama_session_t *s,
    ngx_http_ollama_emit_pt walk)
{
    ngx_str_t  text;

    if (ngx_http_ollama_emit_make(s->request->pool, walk, &s->json, &text)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_response_text(s->request, &text, 0);
}


/*
 * Sets the id from the path.  The answer to an invalid one is the same as to an
 * unknown one.  What is known of the session here, but not in Redis yet, is
 * sent first.
 */

static ngx_int_t
ngx_http_ollama_session_id(ngx_http_ollama_session_t *s)
{
    u_char              *p, *last;
    ngx_str_t           *id;
    ngx_http_request_t  *r;

    r = s->request;
    id = &s->json.id;

    id->data = r->uri.data + sizeof(NGX_HTTP_OLLAMA_SESSION_PATH) - 1;
    last = r->uri.data + r->uri.len;

    for (p = id->data; p < last && *p != '/'; p++) { /* void */ }

    id->len = p - id->data;

    if (!ngx_http_ollama_id_is_valid(id)) {
        return ngx_http_ollama_error(r, s->ctx, NGX_HTTP_NOT_FOUND,
                                     "session not found");
    }

    s->store.ordered = ngx_http_ollama_outbox_flush(id);

    return NGX_OK;
}


/* Parses the body; "empty": without one no field is given. */

static ngx_int_t
ngx_http_ollama_session_fields(ngx_http_ollama_session_t *s,
    ngx_http_ollama_store_fields_t *fields, ngx_uint_t empty)
{
    ngx_int_t            rc;
    ngx_str_t            body, error;
    ngx_http_request_t  *r;

    r = s->request;

    rc = ngx_http_ollama_session_get_body(r, &body);

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_unpack_text(r, s->ctx, &body,
                                         NGX_HTTP_OLLAMA_SESSION_BODY);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (body.len == 0 && empty) {
        ngx_memzero(fields, sizeof(ngx_http_ollama_store_fields_t));
        return NGX_OK;
    }

    rc = ngx_http_ollama_session_body(r->pool, &body, fields, &error);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error(r, s->ctx, NGX_HTTP_BAD_REQUEST, "%V",
                                     &error);
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/* Copies the body into one buffer. */

static ngx_int_t
ngx_http_ollama_session_get_body(ngx_http_request_t *r, ngx_str_t *body)
{
    off_t         size;
    u_char       *p;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    if (size > NGX_HTTP_OLLAMA_SESSION_BODY) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    p = ngx_pnalloc(r->pool, size + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body->data = p;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        b = cl->buf;
        n = ngx_buf_size(b);

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, n);
            continue;
        }

        if (n && ngx_read_file(b->file, p, n, b->file_pos) != n) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        p += n;
    }

    body->len = p - body->data;

    return NGX_OK;
}
