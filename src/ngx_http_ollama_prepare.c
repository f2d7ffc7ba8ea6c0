
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * From the first byte of a body to a request that can be routed: reads and
 * scans the body, and then takes the steps that may have to wait for something,
 * one after the other.  ctx->step is the number of the next one; a step that
 * waits has ngx_http_ollama_prepare_next() called.  In the precontent phase
 * only.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_prepare.h"
#include "api/ngx_http_ollama_unload.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_names.h"
#include "balancer/ngx_http_ollama_queue.h"
#include "balancer/ngx_http_ollama_search.h"
#include "conversation/ngx_http_ollama_conversation.h"
#include "conversation/ngx_http_ollama_conversation_body.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_error.h"
#include "reply/ngx_http_ollama_stop.h"
#include "request/ngx_http_ollama_body.h"
#include "request/ngx_http_ollama_form.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_history.h"
#include "task/ngx_http_ollama_task.h"


/*
 * NGX_OK: done; NGX_AGAIN: prepare_next() will be called; else the status of a
 * refusal
 */

typedef ngx_int_t (*ngx_http_ollama_prepare_pt)(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


static ngx_int_t ngx_http_ollama_prepare_conversation(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_conversation_feed(
    ngx_http_ollama_ctx_t *ctx, u_char *p, size_t size);
static ngx_int_t ngx_http_ollama_prepare_conversation_end(
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_conversation_result(
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_prepare_conversation_read(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_ollama_prepare_next(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_ollama_prepare_names(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_search(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_search_all(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_probe(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_int_t ngx_http_ollama_prepare_claim(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_prepare_claimed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static ngx_int_t ngx_http_ollama_prepare_claim_result(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
static ngx_http_ollama_task_stop_pt ngx_http_ollama_prepare_stop(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_history(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_prepare_place(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


/* of a body that goes to a server */

static const ngx_http_ollama_body_parser_t  ngx_http_ollama_prepare_scan = {
    ngx_http_ollama_body_scan_feed,
    ngx_http_ollama_body_scan_end,
    ngx_http_ollama_prepare_next
};


static const ngx_http_ollama_body_parser_t  ngx_http_ollama_prepare_form = {
    ngx_http_ollama_form_feed,
    ngx_http_ollama_form_end,
    ngx_http_ollama_prepare_next
};


static const ngx_http_ollama_body_parser_t
    ngx_http_ollama_prepare_conversation_body =
{
    ngx_http_ollama_prepare_conversation_feed,
    ngx_http_ollama_prepare_conversation_end,
    ngx_http_ollama_prepare_conversation_read
};


/* of a request that goes to a server */

static const ngx_http_ollama_prepare_pt  ngx_http_ollama_prepare_steps[] = {
    ngx_http_ollama_body_headers,
    ngx_http_ollama_prepare_claim,
    ngx_http_ollama_prepare_names,
    ngx_http_ollama_prepare_search,
    ngx_http_ollama_names_apply_again,
    ngx_http_ollama_prepare_history,
    ngx_http_ollama_prepare_place,
    NULL
};


/* of a conversation, which continues in its content handler */

static const ngx_http_ollama_prepare_pt
    ngx_http_ollama_prepare_conversation_steps[] =
{
    ngx_http_ollama_body_headers,
    ngx_http_ollama_prepare_claim,
    ngx_http_ollama_prepare_search_all,
    NULL
};


ngx_int_t
ngx_http_ollama_prepare(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION) {
        return ngx_http_ollama_prepare_conversation(r, ctx);
    }

    rc = ngx_http_ollama_body_init(r, ctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->endpoint->scan & NGX_HTTP_OLLAMA_SCAN_FORM) {
        rc = ngx_http_ollama_form_init(r, ctx);

        if (rc == NGX_OK) {
            return ngx_http_ollama_body_read(r, ctx,
                                             &ngx_http_ollama_prepare_form);
        }

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ngx_http_ollama_body_scan_init(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_body_read(r, ctx, &ngx_http_ollama_prepare_scan);
}


/* Reads the body of a conversation, which goes to no server. */

static ngx_int_t
ngx_http_ollama_prepare_conversation(ngx_http_request_t *r,
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
                                 &ngx_http_ollama_prepare_conversation_body);
}


static ngx_int_t
ngx_http_ollama_prepare_conversation_feed(ngx_http_ollama_ctx_t *ctx, u_char *p,
    size_t size)
{
    return ngx_http_ollama_prepare_conversation_result(ctx,
              ngx_http_ollama_conversation_body_feed(ctx->conv_fields, p,
                                                     size));
}


static ngx_int_t
ngx_http_ollama_prepare_conversation_end(ngx_http_ollama_ctx_t *ctx)
{
    return ngx_http_ollama_prepare_conversation_result(ctx,
                      ngx_http_ollama_conversation_body_end(ctx->conv_fields));
}


static ngx_int_t
ngx_http_ollama_prepare_conversation_result(ngx_http_ollama_ctx_t *ctx,
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
ngx_http_ollama_prepare_conversation_read(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ctx->scan->task_id = ctx->conv_body->task_id;
    ctx->scan->session_id = ctx->conv_body->session_id;

    ngx_http_ollama_prepare_next(r, ctx, rc);
}


/* The body was read, or a step has ended, with the result rc. */

static void
ngx_http_ollama_prepare_next(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc)
{
    const ngx_http_ollama_prepare_pt  *steps;

    steps = (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION)
            ? ngx_http_ollama_prepare_conversation_steps
            : ngx_http_ollama_prepare_steps;

    while (rc == NGX_OK && steps[ctx->step]) {

        rc = steps[ctx->step++](r, ctx);

        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ngx_http_ollama_body_finish(r, ctx, rc);
}


/* Puts the real name in place of an alias. */

static ngx_int_t
ngx_http_ollama_prepare_names(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->endpoint->kind != NGX_HTTP_OLLAMA_ENDPOINT_MODEL
        && ctx->endpoint->kind != NGX_HTTP_OLLAMA_ENDPOINT_FURTHER)
    {
        return NGX_OK;
    }

    return ngx_http_ollama_names_apply(r, ctx);
}


/* Has the servers probed if none is known to have the model. */

static ngx_int_t
ngx_http_ollama_prepare_search(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->fixed
        || (!ctx->unresolved
            && !ngx_http_ollama_candidates_is_unknown(r, ctx, olcf->up)))
    {
        return NGX_OK;
    }

    return ngx_http_ollama_prepare_probe(r, ctx, olcf);
}


/* The same if there is such a model among those of a conversation. */

static ngx_int_t
ngx_http_ollama_prepare_search_all(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_str_t                    url;
    ngx_uint_t                   i, unknown, aliased;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->fixed) {
        return NGX_OK;
    }

    url = ctx->scan->server_url;
    unknown = 0;
    rc = NGX_OK;

    for (i = 0; i < ctx->conv_body->n && !unknown; i++) {

        ctx->scan->model = ctx->conv_body->participant[i].model;
        ctx->scan->server_url = ctx->conv_body->participant[i].server_url;

        if (ctx->scan->server_url.len == 0) {
            ctx->scan->server_url = url;
        }

        rc = ngx_http_ollama_names_find(r, &ctx->scan->model,
                                        &ctx->scan->server_url, &aliased);

        if (rc > NGX_OK) {
            break;
        }

        unknown = (rc == NGX_DECLINED)
                  || ngx_http_ollama_candidates_is_unknown(r, ctx, olcf->up);
    }

    ngx_str_null(&ctx->scan->model);
    ctx->scan->server_url = url;

    if (rc > NGX_OK || !unknown) {
        return (rc > NGX_OK) ? rc : NGX_OK;
    }

    return ngx_http_ollama_prepare_probe(r, ctx, olcf);
}


static ngx_int_t
ngx_http_ollama_prepare_probe(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_int_t                     rc;
    ngx_http_ollama_task_stop_pt  stop;

    stop = ngx_http_ollama_prepare_stop(r, ctx);

    if (stop && !ctx->has_task) {

        /* meanwhile it can be stopped */

        rc = ngx_http_ollama_prepare_claim_result(r, ctx,
                                      ngx_http_ollama_task_begin(r, ctx, stop));

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_ollama_search(r, ctx, olcf->up, ngx_http_ollama_prepare_next);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
}


/*
 * A client may have chosen the id of a generation that runs at another gateway:
 * this is found out before a model is looked for and before the session's lock
 * is taken.
 */

static ngx_int_t
ngx_http_ollama_prepare_claim(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_ollama_task_stop_pt  stop;

    stop = ngx_http_ollama_prepare_stop(r, ctx);

    if (stop == NULL) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_task_claim(r, ctx, stop,
                                    ngx_http_ollama_prepare_claimed);

    if (rc == NGX_AGAIN) {
        r->read_event_handler = ngx_http_test_reading;
        r->write_event_handler = ngx_http_request_empty_handler;
        return NGX_AGAIN;
    }

    return ngx_http_ollama_prepare_claim_result(r, ctx, rc);
}


static void
ngx_http_ollama_prepare_claimed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_ollama_prepare_next(r, ctx,
                          ngx_http_ollama_prepare_claim_result(r, ctx, rc));
}


static ngx_int_t
ngx_http_ollama_prepare_claim_result(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_task_in_use(r, ctx, &ctx->scan->task_id);
    }

    return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
}


/* What stops it; NULL: it is no generation that a client can stop. */

static ngx_http_ollama_task_stop_pt
ngx_http_ollama_prepare_stop(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    if (r != r->main) {
        return NULL;
    }

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION) {
        return ngx_http_ollama_conversation_stop;
    }

    return ngx_http_ollama_prepare_is_generation(ctx)
           ? ngx_http_ollama_stop : NULL;
}


/* A chat in a session gets its history; others need a model of their own. */

static ngx_int_t
ngx_http_ollama_prepare_history(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    if (ngx_http_ollama_history_is_wanted(ctx)) {
        return ngx_http_ollama_history_begin(r, ctx,
                                             ngx_http_ollama_prepare_next);
    }

    if (ctx->scan->model.len == 0
        && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL)
    {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "invalid request body: \"model\" is "
                                     "required");
    }

    return NGX_OK;
}


/* Waits for a place at a server; from now on the request can be stopped. */

static ngx_int_t
ngx_http_ollama_prepare_place(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    /* to unload a model takes no place, wherever it is loaded */

    if (!olcf->fixed || ngx_http_ollama_unload_is_wanted(ctx)) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_queue_begin(r, ctx, olcf->up);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_ollama_prepare_task(r, ctx);

    if (rc != NGX_OK) {
        ngx_http_ollama_queue_leave(ctx);
        return rc;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_ollama_queue_wait(r, ctx, ngx_http_ollama_prepare_next);

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_ollama_prepare_task(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ngx_http_ollama_prepare_is_generation(ctx)
        || ctx->has_task
        || r != r->main)
    {
        return NGX_OK;
    }

    rc = ngx_http_ollama_task_begin(r, ctx, ngx_http_ollama_stop);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_task_in_use(r, ctx, &ctx->scan->task_id);
    }

    return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_OK;
}


ngx_uint_t
ngx_http_ollama_prepare_is_generation(ngx_http_ollama_ctx_t *ctx)
{
    return ctx->endpoint->last != NGX_HTTP_OLLAMA_END_OBJECT
           && ctx->endpoint->last != NGX_HTTP_OLLAMA_END_ANY
           && ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MODEL;
}
