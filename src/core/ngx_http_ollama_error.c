
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Errors in the form that clients of Ollama, OpenAI and Anthropic expect.
 *
 * To refuse a request a phase returns a status: nginx then makes an error page
 * of it, or does what the administrator's error_page says.  The filters here
 * replace nginx's page by JSON, for refusals and for nginx's own errors.  The
 * error that a server replied is passed on unchanged.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_header.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_path.h"
#include "util/ngx_http_ollama_utf8.h"


/* the longest text, as it may have parts that a client sent */
#define NGX_HTTP_OLLAMA_ERROR_MAX  2048


typedef struct {
    ngx_uint_t  status;
    ngx_str_t   text;
} ngx_http_ollama_error_text_t;


/* who defined the interface that a path is of */

typedef enum {
    dialect_ollama = 0,
    dialect_openai,
    dialect_anthropic
} ngx_http_ollama_error_dialect_e;


static ngx_http_ollama_error_dialect_e ngx_http_ollama_error_dialect(
    ngx_http_request_t *r);
static void ngx_http_ollama_error_request_id(ngx_http_request_t *r,
    ngx_str_t *id);
static u_char *ngx_http_ollama_error_member(u_char *p, ngx_str_t *task);
static ngx_int_t ngx_http_ollama_error_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ollama_error_is_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_error_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static const char *ngx_http_ollama_error_type(ngx_uint_t status,
    ngx_http_ollama_error_dialect_e dialect);


/* what nginx's own errors mean here */

static ngx_http_ollama_error_text_t  ngx_http_ollama_error_texts[] = {
    { NGX_HTTP_BAD_REQUEST, ngx_string("bad request") },
    { NGX_HTTP_UNAUTHORIZED, ngx_string("authorization required") },
    { NGX_HTTP_FORBIDDEN, ngx_string("forbidden") },
    { NGX_HTTP_NOT_FOUND, ngx_string("404 page not found") },
    { NGX_HTTP_NOT_ALLOWED, ngx_string("method not allowed") },
    { NGX_HTTP_REQUEST_TIME_OUT,
      ngx_string("the request did not arrive in time") },
    { NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
      ngx_string("the request body is larger than this gateway allows") },
    { NGX_HTTP_RANGE_NOT_SATISFIABLE,
      ngx_string("the requested range is not satisfiable") },
    { NGX_HTTP_TOO_MANY_REQUESTS,
      ngx_string("too many requests, please try again later") },
    { NGX_HTTP_INTERNAL_SERVER_ERROR,
      ngx_string("the gateway failed to handle the request") },
    { NGX_HTTP_BAD_GATEWAY,
      ngx_string("no server could be reached, or it broke off its answer") },
    { NGX_HTTP_SERVICE_UNAVAILABLE,
      ngx_string("busy, please try again later") },
    { NGX_HTTP_GATEWAY_TIME_OUT,
      ngx_string("the server did not answer in time") },
    { 0, ngx_string("the request failed") }
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_ollama_error(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_int_t status, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;
    u_char    text[NGX_HTTP_OLLAMA_ERROR_MAX];

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + sizeof(text), fmt, args);
    va_end(args);

    /* it is logged and becomes JSON, with what a client sent in it */
    ctx->error.len = ngx_http_ollama_utf8_clean(text, p - text);

    ctx->error.data = ngx_pnalloc(r->pool, ctx->error.len);
    if (ctx->error.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(ctx->error.data, text, ctx->error.len);
    ctx->error_status = status;
    ctx->keepalive = r->keepalive;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "ollama refused the request: %V", &ctx->error);

    return status;
}


ngx_int_t
ngx_http_ollama_error_busy(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_str_t *session, ngx_str_t *task)
{
    if (ngx_http_ollama_id_is_valid(task)) {

        ctx->error_task.data = ngx_pstrdup(r->pool, task);
        if (ctx->error_task.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->error_task.len = task->len;
    }

    return ngx_http_ollama_error(r, ctx, NGX_HTTP_CONFLICT,
                                 "session \"%V\" is busy with task \"%V\"",
                                 session, task);
}


ngx_int_t
ngx_http_ollama_error_task_in_use(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *task)
{
    return ngx_http_ollama_error(r, ctx, NGX_HTTP_CONFLICT,
                                 "task_id \"%V\" is in use by a generation "
                                 "that is running", task);
}


ngx_int_t
ngx_http_ollama_error_no_owner(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    return ngx_http_ollama_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                 "sessions belong to an owner here, but the "
                                 "request has none (ollama_session_owner)");
}


ngx_int_t
ngx_http_ollama_error_no_history(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    return ngx_http_ollama_error(r, ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "session history is unavailable");
}


ngx_buf_t *
ngx_http_ollama_error_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text, ngx_str_t *task, ngx_str_t *before, ngx_str_t *after)
{
    size_t                            len;
    u_char                           *p;
    ngx_buf_t                        *b;
    ngx_str_t                         id;
    const char                       *type;
    ngx_http_ollama_error_dialect_e   dialect;

    dialect = ngx_http_ollama_error_dialect(r);
    type = ngx_http_ollama_error_type(status, dialect);

    ngx_str_null(&id);

    if (dialect == dialect_anthropic) {
        ngx_http_ollama_error_request_id(r, &id);
    }

    len = before->len + after->len
          + text->len + ngx_escape_json(NULL, text->data, text->len)
          + sizeof("{\"type\":\"error\",\"error\":{\"type\":\"\","
                   "\"message\":\"\"},\"request_id\":\"req_\"}") - 1
          + ngx_strlen(type) + id.len
          + (task ? sizeof(",\"task_id\":\"\"") - 1 + task->len : 0);

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NULL;
    }

    p = ngx_cpymem(b->last, before->data, before->len);

    switch (dialect) {

    case dialect_anthropic:
        p = ngx_sprintf(p, "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                        "\"message\":\"", type);
        p = (u_char *) ngx_escape_json(p, text->data, text->len);
        *p++ = '"';
        p = ngx_http_ollama_error_member(p, task);
        p = ngx_sprintf(p, "},\"request_id\":\"req_%V\"}", &id);
        break;

    case dialect_openai:
        p = ngx_sprintf(p, "{\"error\":{\"message\":\"");
        p = (u_char *) ngx_escape_json(p, text->data, text->len);
        p = ngx_sprintf(p, "\",\"type\":\"%s\",\"param\":null,\"code\":null",
                        type);
        p = ngx_http_ollama_error_member(p, task);
        p = ngx_sprintf(p, "}}");
        break;

    default: /* dialect_ollama */
        p = ngx_sprintf(p, "{\"error\":\"");
        p = (u_char *) ngx_escape_json(p, text->data, text->len);
        *p++ = '"';
        p = ngx_http_ollama_error_member(p, task);
        *p++ = '}';
        break;
    }

    b->last = ngx_cpymem(p, after->data, after->len);

    return b;
}


static ngx_http_ollama_error_dialect_e
ngx_http_ollama_error_dialect(ngx_http_request_t *r)
{
    ngx_str_t                    path;
    ngx_http_ollama_loc_conf_t  *olcf;

    static ngx_str_t  messages = ngx_string("/v1/messages");

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    path = r->uri;
    ngx_http_ollama_path_strip(&path, &olcf->prefix);

    if (ngx_http_ollama_path_below(&messages, &path)) {
        return dialect_anthropic;
    }

    return ngx_http_ollama_path_is_v1(&path) ? dialect_openai : dialect_ollama;
}


/* What nginx's log has as $request_id, if it has that. */

static void
ngx_http_ollama_error_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_http_variable_value_t  *v;

    static ngx_str_t  name = ngx_string("request_id");

    v = ngx_http_get_variable(r, &name, ngx_hash_key(name.data, name.len));

    if (v && !v->not_found) {
        id->data = v->data;
        id->len = v->len;
    }
}


static u_char *
ngx_http_ollama_error_member(u_char *p, ngx_str_t *task)
{
    return task ? ngx_sprintf(p, ",\"task_id\":\"%V\"", task) : p;
}


static ngx_int_t
ngx_http_ollama_error_header_filter(ngx_http_request_t *r)
{
    ngx_buf_t                   *b;
    ngx_str_t                   *text, *task, empty, seconds;
    ngx_chain_t                 *cl;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable
        || r->err_status < NGX_HTTP_BAD_REQUEST
        || (r->upstream && r->upstream->cleanup))
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ctx->no_server
        && (r->err_status == NGX_HTTP_BAD_GATEWAY
            || r->err_status == NGX_HTTP_INTERNAL_SERVER_ERROR))
    {
        /* for nginx the balancer failed, or had no live upstream */
        r->err_status = ctx->error_status;
        r->headers_out.status = ctx->error_status;
        r->headers_out.status_line.len = 0;
    }

    task = NULL;

    if (ctx->error_status == r->err_status) {
        text = &ctx->error;

        if (ctx->error_task.len) {
            task = &ctx->error_task;

            if (ngx_http_ollama_header_add(r, "X-Ollama-Task-Id", task)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        /*
         * nginx closes the connection after each 400 and 501, which is not
         * necessary if the whole request was read
         */

        if (ngx_http_ollama_error_is_read(r)) {
            r->keepalive = ctx->keepalive;
        }

    } else {
        text = ngx_http_ollama_error_text(r->err_status);
    }

    ngx_str_set(&empty, "");

    b = ngx_http_ollama_error_json(r, r->err_status, text, task, &empty,
                                   &empty);
    if (b == NULL) {
        return NGX_ERROR;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    ctx->error_body = cl;

    if (ctx->error_status == NGX_HTTP_SERVICE_UNAVAILABLE
        && r->err_status == NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        /* a server that is back is found within this time */
        ngx_str_set(&seconds, "2");

        if (ctx->retry_after) {
            seconds.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
            if (seconds.data == NULL) {
                return NGX_ERROR;
            }

            seconds.len = ngx_sprintf(seconds.data, "%ui", ctx->retry_after)
                          - seconds.data;
        }

        if (ngx_http_ollama_header_add(r, "Retry-After", &seconds) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&r->headers_out.content_type,
                "application/json; charset=utf-8");
    r->headers_out.content_type_len = sizeof("application/json") - 1;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);

    r->headers_out.content_length_n = ngx_buf_size(b);

    return ngx_http_next_header_filter(r);
}


/* Whether the whole request was read from its connection. */

static ngx_uint_t
ngx_http_ollama_error_is_read(ngx_http_request_t *r)
{
    if (r->request_body) {
        return r->request_body->rest == 0;
    }

    return r->headers_in.content_length_n <= 0 && !r->headers_in.chunked;
}


static ngx_int_t
ngx_http_ollama_error_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t            *cl;
    ngx_http_ollama_ctx_t  *ctx;

    if (in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx == NULL || ctx->error_body == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    /* nginx's page is in static memory and needs no freeing */

    cl = ctx->error_body;
    ctx->error_body = NULL;

    return ngx_http_next_body_filter(r, cl);
}


ngx_str_t *
ngx_http_ollama_error_text(ngx_uint_t status)
{
    ngx_http_ollama_error_text_t  *e;

    for (e = ngx_http_ollama_error_texts; e->status; e++) {
        if (e->status == status) {
            break;
        }
    }

    return &e->text;
}


/*
 * The types are those of Ollama's NewError() in openai/openai.go, and of
 * Anthropic's documentation.
 */

static const char *
ngx_http_ollama_error_type(ngx_uint_t status,
    ngx_http_ollama_error_dialect_e dialect)
{
    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        return "invalid_request_error";

    case NGX_HTTP_NOT_FOUND:
        return "not_found_error";
    }

    if (dialect != dialect_anthropic) {
        return "api_error";
    }

    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
        return "authentication_error";

    case NGX_HTTP_FORBIDDEN:
        return "permission_error";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "request_too_large";

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return "rate_limit_error";

    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case 529: /* Anthropic's own */
        return "overloaded_error";

    case NGX_HTTP_GATEWAY_TIME_OUT:
        return "timeout_error";

    default:
        return "api_error";
    }
}


ngx_int_t
ngx_http_ollama_error_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_ollama_error_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_error_body_filter;

    return NGX_OK;
}
