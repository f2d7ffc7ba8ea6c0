
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Endpoints that read, change, delete and list sessions.  Each checks the
 * request, begins one operation of the store, and answers with its result, run
 * by session_run.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session.h"
#include "api/ngx_http_ollama_session_args.h"
#include "api/ngx_http_ollama_session_json.h"
#include "api/ngx_http_ollama_session_run.h"
#include "core/ngx_http_ollama_arg.h"
#include "core/ngx_http_ollama_error.h"


/* sessions of a list, and messages and bytes of a page */
#define NGX_HTTP_OLLAMA_SESSION_LIST      50
#define NGX_HTTP_OLLAMA_SESSION_MAX_LIST  100
#define NGX_HTTP_OLLAMA_SESSION_PAGE      100
#define NGX_HTTP_OLLAMA_SESSION_MAX_PAGE  1000
#define NGX_HTTP_OLLAMA_SESSION_BYTES     (1024 * 1024)


static ngx_int_t ngx_http_ollama_session_begin_read(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_patch(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_delete(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_truncate(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_begin_list(
    ngx_http_ollama_session_t *s);

static ngx_int_t ngx_http_ollama_session_answer_messages(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_session(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_deleted(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_truncated(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_answer_list(
    ngx_http_ollama_session_t *s);


/* GET, PATCH and DELETE /api/chat/session/{id} */

ngx_int_t
ngx_http_ollama_session_one(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (r->method == NGX_HTTP_PATCH) {
        return ngx_http_ollama_session_run_body(r,
                                      NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE,
                                      ngx_http_ollama_session_begin_patch,
                                      ngx_http_ollama_session_answer_session);
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

    rc = ngx_http_ollama_session_run_id(s);

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


static ngx_int_t
ngx_http_ollama_session_begin_patch(ngx_http_ollama_session_t *s)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_session_run_id(s);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_store_patch(&s->store, &s->json.id, &s->owner,
                                       &s->body->fields);
}


static ngx_int_t
ngx_http_ollama_session_begin_delete(ngx_http_ollama_session_t *s)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_session_run_id(s);

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

    rc = ngx_http_ollama_session_run_id(s);

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
ngx_http_ollama_session_answer_session(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_session_run_send(s,
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

    return ngx_http_ollama_session_run_send(s,
                                          ngx_http_ollama_session_json_whole);
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
    return ngx_http_ollama_session_run_send(s,
                                        ngx_http_ollama_session_json_deleted);
}


static ngx_int_t
ngx_http_ollama_session_answer_list(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_session_run_send(s,
                                          ngx_http_ollama_session_json_list);
}
