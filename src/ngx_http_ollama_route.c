
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Finds the endpoint of each request in a location where "ollama_api" holds,
 * in one table, which has the order of docs/api.md.  A path that is not in the
 * table is 404, whatever the servers may offer.
 *
 * The path that is looked up is the one nginx has decoded, and a server is sent
 * that path, encoded anew: in the client's own spelling a server could read
 * another endpoint.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_route.h"
#include "ngx_http_ollama_upload.h"
#include "api/ngx_http_ollama_cancel.h"
#include "api/ngx_http_ollama_models.h"
#include "api/ngx_http_ollama_session.h"
#include "api/ngx_http_ollama_session_create.h"
#include "api/ngx_http_ollama_unload.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_names.h"
#include "balancer/ngx_http_ollama_search.h"
#include "conversation/ngx_http_ollama_conversation.h"
#include "conversation/ngx_http_ollama_conversation_body.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "ngx_http_ollama_managed.h"
#include "reply/ngx_http_ollama_stop.h"
#include "request/ngx_http_ollama_body.h"
#include "request/ngx_http_ollama_form.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_history.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_path.h"


#define NGX_HTTP_OLLAMA_STREAM    NGX_HTTP_OLLAMA_SCAN_STREAM

/* of Ollama's own endpoints; under /v1 a body is the client's alone */

#define NGX_HTTP_OLLAMA_API       (NGX_HTTP_OLLAMA_SCAN_OPTIONS              \
                                   |NGX_HTTP_OLLAMA_SCAN_OWN)

#define NGX_HTTP_OLLAMA_API_CHAT  (NGX_HTTP_OLLAMA_SCAN_STREAM               \
                                   |NGX_HTTP_OLLAMA_API                      \
                                   |NGX_HTTP_OLLAMA_SCAN_MESSAGES            \
                                   |NGX_HTTP_OLLAMA_SCAN_TEXT                \
                                   |NGX_HTTP_OLLAMA_SCAN_UNLOAD)

#define NGX_HTTP_OLLAMA_V1_CHAT   (NGX_HTTP_OLLAMA_SCAN_STREAM               \
                                   |NGX_HTTP_OLLAMA_SCAN_MESSAGES)

/* without a model, too */
#define NGX_HTTP_OLLAMA_MANAGE    (NGX_HTTP_OLLAMA_SCAN_SESSION              \
                                   |NGX_HTTP_OLLAMA_SCAN_OWN)

#define NGX_HTTP_OLLAMA_GET_HEAD  (NGX_HTTP_GET|NGX_HTTP_HEAD)


typedef struct {
    ngx_uint_t  method;
    ngx_str_t   name;
} ngx_http_ollama_method_t;


static ngx_int_t ngx_http_ollama_route_find(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_http_ollama_endpoint_t *ngx_http_ollama_route_lookup(
    ngx_str_t *uri);
static ngx_http_ollama_endpoint_t *ngx_http_ollama_route_further(
    ngx_http_ollama_loc_conf_t *olcf, ngx_str_t *uri);
static ngx_int_t ngx_http_ollama_route_not_allowed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_manage(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_int_t ngx_http_ollama_route_read(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_claim(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_task_stop_pt stop,
    ngx_http_ollama_task_claim_pt done);
static void ngx_http_ollama_route_claimed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_route_conversation_known(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_route_conversation_claimed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static ngx_uint_t ngx_http_ollama_route_is_generation(
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_route_scanned(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_route_known(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_ollama_route_read_conversation(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_conversation_feed(
    ngx_http_ollama_ctx_t *ctx, u_char *p, size_t size);
static ngx_int_t ngx_http_ollama_route_conversation_end(
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_conversation_result(
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_route_conversation_done(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_ollama_route_conversation_search(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_conversation_pass(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_pass(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_int_t ngx_http_ollama_route_task(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_root(ngx_http_request_t *r);


static ngx_http_ollama_endpoint_t  ngx_http_ollama_endpoints[] = {

    /* chat: the first is that of a turn, see route_conversation_pass() */

    { ngx_string("/api/chat"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_API_CHAT,
      NGX_HTTP_OLLAMA_END_DONE, NULL },

    { ngx_string("/api/generate"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_STREAM|NGX_HTTP_OLLAMA_API|NGX_HTTP_OLLAMA_SCAN_UNLOAD,
      NGX_HTTP_OLLAMA_END_DONE, NULL },

    { ngx_string("/api/embed"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_API,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/api/embeddings"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_API,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/api/show"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL,
      NGX_HTTP_OLLAMA_SCAN_NAME|NGX_HTTP_OLLAMA_API,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/v1/chat/completions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_V1_CHAT,
      NGX_HTTP_OLLAMA_END_MARK, NULL },

    { ngx_string("/v1/completions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_STREAM,
      NGX_HTTP_OLLAMA_END_MARK, NULL },

    { ngx_string("/v1/embeddings"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, 0,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/v1/responses"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_STREAM,
      NGX_HTTP_OLLAMA_END_RESPONSE, NULL },

    { ngx_string("/v1/responses/compact"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, 0,
      NGX_HTTP_OLLAMA_END_OBJECT, NULL },

    { ngx_string("/v1/messages"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_V1_CHAT,
      NGX_HTTP_OLLAMA_END_MESSAGE, NULL },

    { ngx_string("/v1/images/generations"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, 0,
      NGX_HTTP_OLLAMA_END_ANY, NULL },

    { ngx_string("/v1/images/edits"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_SCAN_FORM,
      NGX_HTTP_OLLAMA_END_ANY, NULL },

    { ngx_string("/v1/audio/transcriptions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MODEL, NGX_HTTP_OLLAMA_SCAN_FORM,
      NGX_HTTP_OLLAMA_END_ANY, NULL },

    /* stop */

    { ngx_string("/api/chat/cancel/*"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0, ngx_http_ollama_cancel_handler },

    /* servers and models */

    { ngx_string("/api/models/servers"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_models_servers },

    { ngx_string("/api/models/server/models"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_models_server },

    { ngx_string("/api/models/server/check"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_models_check },

    { ngx_string("/api/tags"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_tags },

    { ngx_string("/api/ps"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_ps },

    { ngx_string("/v1/models"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_openai },

    { ngx_string("/v1/models/**"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_openai_one },

    { ngx_string("/api/version"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LIST, 0, 0,
      ngx_http_ollama_models_version },

    { ngx_string("/api/status"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ENDPOINT_PASS, 0, 0, NULL },

    { ngx_string("/"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_route_root },

    /* sessions */

    { ngx_string("/api/chat/session"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_create },

    { ngx_string("/api/chat/session/*"),
      NGX_HTTP_OLLAMA_GET_HEAD|NGX_HTTP_PATCH|NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_one },

    { ngx_string("/api/chat/session/*/messages"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_messages },

    { ngx_string("/api/chat/sessions"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_LOCAL, 0, 0,
      ngx_http_ollama_session_list },

    /* model-to-model chat */

    { ngx_string("/api/chat/multi-model"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION, 0, 0,
      ngx_http_ollama_conversation_handler },

    /* metrics */

    { ngx_string("/api/metrics"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ENDPOINT_NOT_IMPLEMENTED, 0, 0, NULL },

    /* management */

    { ngx_string("/api/pull"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/push"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/create"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/copy"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, NGX_HTTP_OLLAMA_MANAGE, 0, NULL },

    { ngx_string("/api/delete"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,
      NGX_HTTP_OLLAMA_MANAGE|NGX_HTTP_OLLAMA_SCAN_NAME, 0, NULL },

    { ngx_string("/api/blobs/*"), NGX_HTTP_HEAD|NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD, 0, 0, NULL },

    { ngx_string("/api/me"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, 0, 0, NULL },

    { ngx_string("/api/signout"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, 0, 0, NULL },

    { ngx_string("/api/user/keys/*"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, 0, 0, NULL },

    { ngx_string("/api/experimental/*"),
      NGX_HTTP_GET|NGX_HTTP_POST|NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT, NGX_HTTP_OLLAMA_MANAGE, 0, NULL },

    { ngx_null_string, 0, 0, 0, 0, NULL }
};


static ngx_http_ollama_method_t  ngx_http_ollama_methods[] = {
    { NGX_HTTP_GET, ngx_string("GET, ") },
    { NGX_HTTP_HEAD, ngx_string("HEAD, ") },
    { NGX_HTTP_POST, ngx_string("POST, ") },
    { NGX_HTTP_PUT, ngx_string("PUT, ") },
    { NGX_HTTP_PATCH, ngx_string("PATCH, ") },
    { NGX_HTTP_DELETE, ngx_string("DELETE, ") },
    { 0, ngx_null_string }
};


/* of a body that goes to a server */

static const ngx_http_ollama_body_parser_t  ngx_http_ollama_route_scan = {
    ngx_http_ollama_body_scan_feed,
    ngx_http_ollama_body_scan_end,
    ngx_http_ollama_route_scanned
};


static const ngx_http_ollama_body_parser_t  ngx_http_ollama_route_form = {
    ngx_http_ollama_form_feed,
    ngx_http_ollama_form_end,
    ngx_http_ollama_route_scanned
};


static const ngx_http_ollama_body_parser_t
    ngx_http_ollama_route_conversation =
{
    ngx_http_ollama_route_conversation_feed,
    ngx_http_ollama_route_conversation_end,
    ngx_http_ollama_route_conversation_done
};


ngx_int_t
ngx_http_ollama_route_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_endpoint_t  *before;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    before = ctx->endpoint;

    if (ctx->state == NGX_HTTP_OLLAMA_READING) {
        /* by error_page, after the body could not be read */
        ngx_http_ollama_body_cleanup(ctx);
        return r->err_status ? (ngx_int_t) r->err_status
                             : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->state == NGX_HTTP_OLLAMA_ROUTED
        && ctx->status != NGX_DECLINED)
    {
        return ctx->status;
    }

    rc = ngx_http_ollama_route_find(r, ctx, olcf);

    if (rc != NGX_OK) {
        ctx->endpoint = NULL;
        return rc;
    }

    if (!(r->method & NGX_HTTP_OLLAMA_GET_HEAD)) {
        r->disable_not_modified = 1;
    }

    if (ctx->state == NGX_HTTP_OLLAMA_ROUTED) {

        /* again, after an internal redirect: the body was scanned before */

        if (ctx->endpoint != before) {
            ctx->endpoint = NULL;
            return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                         "404 page not found");
        }

        if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION) {
            return ngx_http_ollama_route_conversation_pass(r, ctx);
        }

        return ngx_http_ollama_route_pass(r, ctx, olcf);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama route: \"%V\"", &ctx->endpoint->path);

    switch (ctx->endpoint->kind) {

    case NGX_HTTP_OLLAMA_ENDPOINT_MODEL:
    case NGX_HTTP_OLLAMA_ENDPOINT_FURTHER:
        return ngx_http_ollama_route_read(r, ctx);

    case NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION:
        return ngx_http_ollama_route_read_conversation(r, ctx);

    case NGX_HTTP_OLLAMA_ENDPOINT_LIST:
        if (!ngx_http_ollama_fleet_is_polled(olcf->up)) {
            return ngx_http_ollama_route_pass(r, ctx, olcf);
        }

        /* fall through */

    case NGX_HTTP_OLLAMA_ENDPOINT_LOCAL:
        /* only what has an ETag is compared with the client's copy of it */
        r->disable_not_modified = 1;
        r->content_handler = ctx->endpoint->handler;
        return NGX_OK;

    case NGX_HTTP_OLLAMA_ENDPOINT_NOT_IMPLEMENTED:
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_IMPLEMENTED,
                                     "\"%V\" is not available in this "
                                     "version of the gateway", &r->uri);

    case NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT:
    case NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD:
        return ngx_http_ollama_route_manage(r, ctx, olcf);

    default: /* to a server, as it is */
        return ngx_http_ollama_route_pass(r, ctx, olcf);
    }
}


/* The server may be named in the body, if that is JSON, or in the header. */

static ngx_int_t
ngx_http_ollama_route_manage(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    if (ctx->endpoint->scan
        && (r->headers_in.content_length_n > 0 || r->headers_in.chunked))
    {
        return ngx_http_ollama_route_read(r, ctx);
    }

    ctx->scan = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_scan_t));
    if (ctx->scan == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_ollama_header_find(r, "x-ollama-server-url",
                                       &ctx->scan->server_url);

    return ngx_http_ollama_route_pass(r, ctx, olcf);
}


/* Reads a body that goes to a server. */

static ngx_int_t
ngx_http_ollama_route_read(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_body_init(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->endpoint->scan & NGX_HTTP_OLLAMA_SCAN_FORM) {
        rc = ngx_http_ollama_form_init(r, ctx);

        if (rc == NGX_OK) {
            return ngx_http_ollama_body_read(r, ctx,
                                             &ngx_http_ollama_route_form);
        }

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ngx_http_ollama_body_scan_init(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_body_read(r, ctx, &ngx_http_ollama_route_scan);
}


/* Called when the body was scanned.  A chat in a session gets its history. */

static void
ngx_http_ollama_route_scanned(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_ollama_loc_conf_t  *olcf;

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_body_headers(r, ctx);
    }

    if (rc == NGX_OK
        && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL)
    {
        rc = ngx_http_ollama_names_apply(r, ctx);
    }

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (rc == NGX_OK && olcf->fixed
        && ngx_http_ollama_candidates_is_unknown(r, ctx, olcf->up))
    {
        rc = ngx_http_ollama_search(r, ctx, olcf->up,
                                    ngx_http_ollama_route_known);

        if (rc == NGX_AGAIN) {
            return;
        }

        rc = (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_OK;
    }

    ngx_http_ollama_route_known(r, ctx, rc);
}


/* It is known whether a server has the model. */

static void
ngx_http_ollama_route_known(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc == NGX_OK && ngx_http_ollama_route_is_generation(ctx)) {
        rc = ngx_http_ollama_route_claim(r, ctx, ngx_http_ollama_stop,
                                         ngx_http_ollama_route_claimed);
        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ngx_http_ollama_route_claimed(r, ctx, rc);
}


/*
 * A client may have chosen the id of a generation that runs at another gateway:
 * this is found out before anything else is done for it.
 */

static ngx_int_t
ngx_http_ollama_route_claim(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_task_stop_pt stop, ngx_http_ollama_task_claim_pt done)
{
    ngx_int_t  rc;

    if (r != r->main) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_task_claim(r, ctx, stop, done);

    if (rc == NGX_AGAIN) {
        r->read_event_handler = ngx_http_test_reading;
        r->write_event_handler = ngx_http_request_empty_handler;
    }

    return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
}


static void
ngx_http_ollama_route_claimed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    if (rc == NGX_DECLINED) {
        rc = ngx_http_ollama_error_task_in_use(r, ctx, &ctx->scan->task_id);
    }

    if (rc == NGX_OK && ngx_http_ollama_history_is_wanted(ctx)) {
        rc = ngx_http_ollama_history_begin(r, ctx,
                                           ngx_http_ollama_body_finish);

        if (rc == NGX_AGAIN) {
            return;
        }

    } else if (rc == NGX_OK
               && ctx->scan->model.len == 0
               && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL)
    {
        rc = ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                               "invalid request body: \"model\" is required");
    }

    ngx_http_ollama_body_finish(r, ctx, rc);
}


/* Reads the body of a conversation, which goes to no server. */

static ngx_int_t
ngx_http_ollama_route_read_conversation(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_body_init(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->conv_body = ngx_pcalloc(r->pool,
                                 sizeof(ngx_http_ollama_conversation_body_t));
    if (ctx->conv_body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->conv_fields = ngx_http_ollama_conversation_body_begin(ctx->conv_body,
                                                               r->pool,
                                                               ctx->pool);
    if (ctx->conv_fields == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_body_read(r, ctx,
                                     &ngx_http_ollama_route_conversation);
}


static ngx_int_t
ngx_http_ollama_route_conversation_feed(ngx_http_ollama_ctx_t *ctx, u_char *p,
    size_t size)
{
    return ngx_http_ollama_route_conversation_result(ctx,
              ngx_http_ollama_conversation_body_feed(ctx->conv_fields, p,
                                                     size));
}


static ngx_int_t
ngx_http_ollama_route_conversation_end(ngx_http_ollama_ctx_t *ctx)
{
    return ngx_http_ollama_route_conversation_result(ctx,
                      ngx_http_ollama_conversation_body_end(ctx->conv_fields));
}


static ngx_int_t
ngx_http_ollama_route_conversation_result(ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_ollama_error(ctx->request, ctx,
                                 ctx->conv_body->too_large
                                 ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE
                                 : NGX_HTTP_BAD_REQUEST,
                                 "%V", &ctx->conv_body->error);
}


static void
ngx_http_ollama_route_conversation_done(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ctx->scan->task_id = ctx->conv_body->task_id;
    ctx->scan->session_id = ctx->conv_body->session_id;

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_body_headers(r, ctx);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_route_conversation_search(r, ctx);

        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ngx_http_ollama_route_conversation_known(r, ctx, rc);
}


static void
ngx_http_ollama_route_conversation_known(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    if (rc == NGX_OK) {
        rc = ngx_http_ollama_route_claim(r, ctx,
                                   ngx_http_ollama_conversation_stop,
                                   ngx_http_ollama_route_conversation_claimed);
        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ngx_http_ollama_route_conversation_claimed(r, ctx, rc);
}


static void
ngx_http_ollama_route_conversation_claimed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    if (rc == NGX_DECLINED) {
        rc = ngx_http_ollama_error_task_in_use(r, ctx, &ctx->scan->task_id);
    }

    ngx_http_ollama_body_finish(r, ctx, rc);
}


/* Has the servers probed if no server is known to have one of the models. */

static ngx_int_t
ngx_http_ollama_route_conversation_search(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_str_t                    url;
    ngx_uint_t                   i, unknown;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->fixed) {
        return NGX_OK;
    }

    url = ctx->scan->server_url;
    unknown = 0;

    for (i = 0; i < ctx->conv_body->n && !unknown; i++) {

        ctx->scan->model = ctx->conv_body->participant[i].model;
        ctx->scan->server_url = ctx->conv_body->participant[i].server_url;

        if (ctx->scan->server_url.len == 0) {
            ctx->scan->server_url = url;
        }

        unknown = ngx_http_ollama_candidates_is_unknown(r, ctx, olcf->up);
    }

    ngx_str_null(&ctx->scan->model);
    ctx->scan->server_url = url;

    if (!unknown) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_search(r, ctx, olcf->up,
                                ngx_http_ollama_route_conversation_known);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_OK;
}


/*
 * A conversation continues in its content handler.  Its turns are subrequests
 * that start in this phase, with the content handler of this location.
 */

static ngx_int_t
ngx_http_ollama_route_conversation_pass(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->conversation) {
        /* by error_page, after the conversation failed */
        return r->err_status ? (ngx_int_t) r->err_status
                             : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->phase = r->phase_handler;
    ctx->pass = r->content_handler;
    ctx->turn_endpoint = &ngx_http_ollama_endpoints[0];
    r->content_handler = ctx->endpoint->handler;

    return NGX_OK;
}


/* Lets the request go on to a server, or refuses it if none can take it. */

static ngx_int_t
ngx_http_ollama_route_pass(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_int_t  rc;

    ctx->state = NGX_HTTP_OLLAMA_ROUTED;
    ctx->status = NGX_DECLINED;
    ctx->no_server = 0;

    rc = ngx_http_ollama_unload_begin(r, ctx, olcf);

    if (rc != NGX_DECLINED) {
        return (rc == NGX_OK) ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (olcf->fixed) {
        rc = ngx_http_ollama_candidates_check(r, ctx, olcf->up);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD) {
        ngx_http_ollama_upload_begin(r, ctx);
    }

    return ngx_http_ollama_route_task(r, ctx);
}


/* Registers a generation: from now on it can be stopped by its id. */

static ngx_int_t
ngx_http_ollama_route_task(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ngx_http_ollama_route_is_generation(ctx)
        || ctx->has_task
        || r != r->main)
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_ollama_task_begin(r, ctx, ngx_http_ollama_stop);

    if (rc == NGX_OK) {
        return NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_error_task_in_use(r, ctx,
                                             &ctx->scan->task_id);
}


static ngx_uint_t
ngx_http_ollama_route_is_generation(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->endpoint->last != NGX_HTTP_OLLAMA_END_OBJECT
           && ctx->endpoint->last != NGX_HTTP_OLLAMA_END_ANY
           && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL;
}


/* Sets ctx->endpoint and returns NGX_OK, or the status of a refusal. */

static ngx_int_t
ngx_http_ollama_route_find(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_str_t                    uri;
    ngx_http_ollama_endpoint_t  *endpoint;

    uri = r->uri;
    ngx_http_ollama_path_strip(&uri, &olcf->prefix);

    if (uri.len > 2 && uri.data[uri.len - 1] == '/') {
        /* the same endpoint as without */
        uri.len--;
    }

    if (!olcf->management && ngx_http_ollama_managed(&uri)) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                     "managing models is not allowed here "
                                     "(ollama_management)");
    }

    endpoint = ngx_http_ollama_route_lookup(&uri);

    if (endpoint == NULL) {
        endpoint = ngx_http_ollama_route_further(olcf, &uri);
    }

    if (endpoint == NULL) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                     "404 page not found");
    }

    ctx->endpoint = endpoint;

    if (!(r->method & endpoint->methods)) {
        return ngx_http_ollama_route_not_allowed(r, ctx);
    }

    /*
     * now proxy_pass makes the path from r->uri alone, and uses neither the
     * client's spelling nor the path in its own address
     */

    r->uri = uri;
    r->valid_unparsed_uri = 0;
    r->valid_location = 0;

    return NGX_OK;
}


ngx_uint_t
ngx_http_ollama_route_is_known(ngx_str_t *uri)
{
    return ngx_http_ollama_route_lookup(uri) != NULL;
}


static ngx_http_ollama_endpoint_t *
ngx_http_ollama_route_lookup(ngx_str_t *uri)
{
    ngx_http_ollama_endpoint_t  *endpoint;

    for (endpoint = ngx_http_ollama_endpoints;
         endpoint->path.len;
         endpoint++)
    {
        if (ngx_http_ollama_path_match(&endpoint->path, uri)) {
            return endpoint;
        }
    }

    return NULL;
}


/* Among the paths of ollama_pass, none of which opens what manages models. */

static ngx_http_ollama_endpoint_t *
ngx_http_ollama_route_further(ngx_http_ollama_loc_conf_t *olcf,
    ngx_str_t *uri)
{
    ngx_uint_t                   i;
    ngx_http_ollama_endpoint_t  *endpoint;

    if (olcf->pass == NULL || ngx_http_ollama_managed(uri)) {
        return NULL;
    }

    endpoint = olcf->pass->elts;

    for (i = 0; i < olcf->pass->nelts; i++) {
        if (ngx_http_ollama_path_match(&endpoint[i].path, uri)) {
            return &endpoint[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_ollama_route_not_allowed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    u_char                    *p;
    ngx_str_t                  allow;
    ngx_http_ollama_method_t  *m;

    allow.data = ngx_pnalloc(r->pool,
                             sizeof("GET, HEAD, POST, PUT, PATCH, DELETE, ")
                             - 1);
    if (allow.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = allow.data;

    for (m = ngx_http_ollama_methods; m->method; m++) {
        if (ctx->endpoint->methods & m->method) {
            p = ngx_cpymem(p, m->name.data, m->name.len);
        }
    }

    allow.len = p - allow.data - 2;

    if (ngx_http_ollama_header_add(r, "Allow", &allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_ALLOWED,
                                 "method %V is not allowed for \"%V\", "
                                 "only %V", &r->method_name, &r->uri, &allow);
}


/* What Ollama answers there, which clients use to find out if it is up. */

static ngx_int_t
ngx_http_ollama_route_root(ngx_http_request_t *r)
{
    ngx_str_t                 type;
    ngx_http_complex_value_t  cv;

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));

    ngx_str_set(&cv.value, "Ollama is running");
    ngx_str_set(&type, "text/plain; charset=utf-8");

    return ngx_http_send_response(r, NGX_HTTP_OK, &type, &cv);
}
