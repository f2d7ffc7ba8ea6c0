
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Runs a request for sessions: reads its body, if it has one, begins an
 * operation of the store, and answers with the result.  What is particular to
 * an endpoint are its functions "begin" and "answer".
 *
 * Uses the store and the reading of bodies; the request waits in the content
 * phase.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_run.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_owner.h"
#include "core/ngx_http_ollama_response.h"
#include "request/ngx_http_ollama_body.h"
#include "store/ngx_http_ollama_outbox.h"
#include "util/ngx_http_ollama_id.h"


#define NGX_HTTP_OLLAMA_SESSION_RUN_PATH  "/api/chat/session/"


static ngx_int_t ngx_http_ollama_session_run_make(ngx_http_request_t *r,
    ngx_http_ollama_session_pt begin, ngx_http_ollama_session_pt answer,
    ngx_http_ollama_session_t **session);
static ngx_int_t ngx_http_ollama_session_run_read(
    ngx_http_ollama_session_t *s, ngx_http_ollama_session_body_form_e form);
static ngx_int_t ngx_http_ollama_session_run_feed(ngx_http_ollama_ctx_t *ctx,
    u_char *p, size_t size);
static ngx_int_t ngx_http_ollama_session_run_end(ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_session_run_parsed(
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_session_run_have_body(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_session_run_end_as(ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_ollama_session_run_begin(
    ngx_http_ollama_session_t *s);
static void ngx_http_ollama_session_run_cleanup(void *data);
static void ngx_http_ollama_session_run_done(ngx_http_ollama_store_t *store);


static const ngx_http_ollama_body_parser_t
    ngx_http_ollama_session_run_parser =
{
    ngx_http_ollama_session_run_feed,
    ngx_http_ollama_session_run_end,
    ngx_http_ollama_session_run_have_body
};


ngx_int_t
ngx_http_ollama_session_run(ngx_http_request_t *r,
    ngx_http_ollama_session_pt begin, ngx_http_ollama_session_pt answer)
{
    ngx_int_t                   rc;
    ngx_http_ollama_session_t  *s;

    rc = ngx_http_ollama_session_run_make(r, begin, answer, &s);

    return (rc == NGX_OK) ? ngx_http_ollama_session_run_begin(s) : rc;
}


ngx_int_t
ngx_http_ollama_session_run_body(ngx_http_request_t *r,
    ngx_http_ollama_session_body_form_e form, ngx_http_ollama_session_pt begin,
    ngx_http_ollama_session_pt answer)
{
    ngx_int_t                   rc, discarded;
    ngx_http_ollama_session_t  *s;

    rc = ngx_http_ollama_session_run_make(r, begin, answer, &s);

    if (rc == NGX_OK && form == NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE
        && r->headers_in.content_length_n > NGX_HTTP_OLLAMA_SESSION_BODY)
    {
        rc = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (rc == NGX_OK) {
        return ngx_http_ollama_session_run_read(s, form);
    }

    discarded = ngx_http_discard_request_body(r);

    return (discarded == NGX_OK) ? rc : discarded;
}


static ngx_int_t
ngx_http_ollama_session_run_make(ngx_http_request_t *r,
    ngx_http_ollama_session_pt begin, ngx_http_ollama_session_pt answer,
    ngx_http_ollama_session_t **session)
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

    cln->handler = ngx_http_ollama_session_run_cleanup;

    s->ctx = ngx_http_ollama_make_ctx(r);
    if (s->ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_redis_prefix() == NULL) {
        return ngx_http_ollama_error_no_history(r, s->ctx);
    }

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    s->request = r;
    s->begin = begin;
    s->answer = answer;
    s->json.store = &s->store;

    s->store.handler = ngx_http_ollama_session_run_done;
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

    *session = s;

    return NGX_OK;
}


/* Reads the body, as that of a chat is read, but from the content phase. */

static ngx_int_t
ngx_http_ollama_session_run_read(ngx_http_ollama_session_t *s,
    ngx_http_ollama_session_body_form_e form)
{
    ngx_int_t               rc;
    ngx_http_request_t     *r;
    ngx_http_ollama_ctx_t  *ctx;

    r = s->request;
    ctx = s->ctx;

    rc = ngx_http_ollama_body_init(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    s->body = ngx_pcalloc(ctx->pool, sizeof(ngx_http_ollama_session_body_t));
    if (s->body == NULL
        || ngx_http_ollama_session_body_init(s->body, ctx->pool, form)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->session = s;

    /* as a phase handler ends with it, which this isn't */
    r->main->count++;

    rc = ngx_http_ollama_body_read(r, ctx,
                                   &ngx_http_ollama_session_run_parser);

    if (rc != NGX_DONE) {
        r->main->count--;
    }

    return rc;
}


static ngx_int_t
ngx_http_ollama_session_run_feed(ngx_http_ollama_ctx_t *ctx, u_char *p,
    size_t size)
{
    return ngx_http_ollama_session_run_parsed(ctx,
                   ngx_http_ollama_session_body_feed(ctx->session->body, p,
                                                     size));
}


static ngx_int_t
ngx_http_ollama_session_run_end(ngx_http_ollama_ctx_t *ctx)
{
    return ngx_http_ollama_session_run_parsed(ctx,
                         ngx_http_ollama_session_body_end(ctx->session->body));
}


static ngx_int_t
ngx_http_ollama_session_run_parsed(ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_ollama_session_body_t  *body;

    if (rc != NGX_DECLINED) {
        return rc;
    }

    body = ctx->session->body;

    return body->error.len
           ? ngx_http_ollama_error(ctx->request, ctx, body->status, "%V",
                                   &body->error)
           : body->status;
}


static void
ngx_http_ollama_session_run_have_body(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ctx->state = NGX_HTTP_OLLAMA_ROUTED;

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_session_run_begin(ctx->session);

    } else if (rc == NGX_ERROR) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_ollama_session_run_end_as(ctx, rc);
    ngx_http_finalize_request(r, rc);
}


/* So it ends, too, if error_page leads it through the phases again. */

static void
ngx_http_ollama_session_run_end_as(ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ctx->status = (rc >= NGX_HTTP_SPECIAL_RESPONSE)
                  ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * Returns what a content handler returns.  NGX_DONE: the operation has begun,
 * ngx_http_ollama_session_run_done() will be called.
 */

static ngx_int_t
ngx_http_ollama_session_run_begin(ngx_http_ollama_session_t *s)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = s->request;

    rc = s->begin(s);

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
ngx_http_ollama_session_run_cleanup(void *data)
{
    ngx_http_ollama_session_t *s = data;

    ngx_http_ollama_store_forget(&s->store);
}


static void
ngx_http_ollama_session_run_done(ngx_http_ollama_store_t *store)
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
        rc = ngx_http_ollama_session_run_not_found(s);
        break;

    case NGX_HTTP_OLLAMA_STORE_GONE:
        rc = ngx_http_ollama_session_run_gone(s);
        break;

    case NGX_HTTP_OLLAMA_STORE_BUSY:
        rc = ngx_http_ollama_error_busy(r, s->ctx, &s->json.id, &store->task);
        break;

    case NGX_HTTP_OLLAMA_STORE_LOST:
        rc = s->lost ? s->lost(s) : NGX_ERROR;
        break;

    default: /* NGX_HTTP_OLLAMA_STORE_UNAVAILABLE */
        rc = NGX_ERROR;
        break;
    }

    if (rc == NGX_DONE) {
        return;
    }

    if (rc == NGX_ERROR && !r->header_sent) {
        rc = ngx_http_ollama_error_no_history(r, s->ctx);
    }

    ngx_http_ollama_session_run_end_as(s->ctx, rc);
    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_ollama_session_run_send(ngx_http_ollama_session_t *s,
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


/* What is known of the session here, but not in Redis yet, is sent first. */

ngx_int_t
ngx_http_ollama_session_run_id(ngx_http_ollama_session_t *s)
{
    u_char              *p, *last;
    ngx_str_t           *id;
    ngx_http_request_t  *r;

    r = s->request;
    id = &s->json.id;

    id->data = r->uri.data + sizeof(NGX_HTTP_OLLAMA_SESSION_RUN_PATH) - 1;
    last = r->uri.data + r->uri.len;

    for (p = id->data; p < last && *p != '/'; p++) { /* void */ }

    id->len = p - id->data;

    if (!ngx_http_ollama_id_is_valid(id)) {
        return ngx_http_ollama_session_run_not_found(s);
    }

    s->store.ordered = ngx_http_ollama_outbox_flush(id);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_session_run_not_found(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_error(s->request, s->ctx, NGX_HTTP_NOT_FOUND,
                                 "session not found");
}


ngx_int_t
ngx_http_ollama_session_run_gone(ngx_http_ollama_session_t *s)
{
    return ngx_http_ollama_error(s->request, s->ctx, NGX_HTTP_NOT_FOUND,
                                 "message not found: it was deleted, or never "
                                 "was in this session");
}
