
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The module's variables: formats values of the request's ctx for logs and
 * maps.  Has no state and changes nothing.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_variable.h"
#include "balancer/ngx_http_ollama_place.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "ngx_http_ollama_outcome.h"
#include "reply/ngx_http_ollama_frame.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_int_t ngx_http_ollama_variable_text(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ollama_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ollama_variable_ttft(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ollama_variable_queue_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ollama_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_msec_int_t ms);
static ngx_int_t ngx_http_ollama_variable_prompt_tokens(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ollama_variable_generated_tokens(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ollama_variable_count(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_int_t count, ngx_uint_t approximate);


static ngx_http_variable_t  ngx_http_ollama_variables[] = {

    { ngx_string("ollama_model"), NULL, ngx_http_ollama_variable_text,
      offsetof(ngx_http_ollama_scan_t, model), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_task_id"), NULL, ngx_http_ollama_variable_text,
      offsetof(ngx_http_ollama_scan_t, task_id),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_session_id"), NULL, ngx_http_ollama_variable_text,
      offsetof(ngx_http_ollama_scan_t, session_id),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_outcome"), NULL, ngx_http_ollama_variable_outcome,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_ttft"), NULL, ngx_http_ollama_variable_ttft,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_queue_time"), NULL,
      ngx_http_ollama_variable_queue_time,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_prompt_tokens"), NULL,
      ngx_http_ollama_variable_prompt_tokens,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("ollama_generated_tokens"), NULL,
      ngx_http_ollama_variable_generated_tokens,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_ollama_variable_init(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_ollama_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* "data" is the offset of a string in the scan. */

static ngx_int_t
ngx_http_ollama_variable_text(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t              *text;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx == NULL || ctx->scan == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = (ngx_str_t *) ((u_char *) ctx->scan + data);

    if (text->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = text->data;
    v->len = text->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_variable_outcome(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char                  *text;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = ngx_http_ollama_outcome(r, ngx_http_ollama_get_ctx(r));

    v->data = (u_char *) text;
    v->len = ngx_strlen(text);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_variable_ttft(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    return ngx_http_ollama_variable_time(r, v, ctx ? ctx->ttft : -1);
}


/* Of a request that goes to a server, or was refused or stopped before. */

static ngx_int_t
ngx_http_ollama_variable_queue_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    return ngx_http_ollama_variable_time(r, v,
                                         (ctx && ctx->scan && ctx->endpoint
                                          && ctx->endpoint->kind
                                             != NGX_HTTP_OLLAMA_ENDPOINT_LIST
                                          && ctx->endpoint->kind
                                             != NGX_HTTP_OLLAMA_ENDPOINT_PASS
                                          && (ctx->queued
                                              || ctx->status == NGX_DECLINED))
                                         ? (ngx_msec_int_t)
                                           ngx_http_ollama_place_time(ctx)
                                         : -1);
}


/* Seconds with milliseconds, as $upstream_response_time has them. */

static ngx_int_t
ngx_http_ollama_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_msec_int_t ms)
{
    u_char  *p;

    if (ms < 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%T.%03M", (time_t) ms / 1000, ms % 1000) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_variable_prompt_tokens(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    return ngx_http_ollama_variable_count(r, v,
                    (ctx && ctx->frame) ? ctx->frame->prompt_tokens : -1, 0);
}


/*
 * Where the server does not report the number, each frame but the final one
 * counts as a token, and the value is marked as approximate: "~12".
 */

static ngx_int_t
ngx_http_ollama_variable_generated_tokens(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                 n;
    ngx_http_ollama_ctx_t    *ctx;
    ngx_http_ollama_frame_t  *frame;

    ctx = ngx_http_ollama_get_ctx(r);
    frame = ctx ? ctx->frame : NULL;

    if (frame == NULL) {
        return ngx_http_ollama_variable_count(r, v, -1, 0);
    }

    if (frame->generated_tokens >= 0) {
        return ngx_http_ollama_variable_count(r, v, frame->generated_tokens,
                                              0);
    }

    if (frame->form == NGX_HTTP_OLLAMA_FRAME_WHOLE) {
        return ngx_http_ollama_variable_count(r, v, -1, 0);
    }

    n = frame->frames;

    if (frame->done && n) {
        n--;
    }

    return ngx_http_ollama_variable_count(r, v, n, 1);
}


static ngx_int_t
ngx_http_ollama_variable_count(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_int_t count, ngx_uint_t approximate)
{
    u_char  *p;

    if (count < 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, approximate ? "~%i" : "%i", count) - p;
    v->data = p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}
