
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which endpoint is it?  One table, in the order of docs/api.md, decides for
 * every request under a location with "ollama_api": what is not in it is not
 * there, whatever a server may offer.
 *
 * nginx has decoded the path when it comes here.  What goes on to a server is
 * that path, too, written anew: were the client's own spelling sent, the
 * server could read another endpoint in it than was looked up here.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_route.h"
#include "ngx_http_ollama_error.h"
#include "ngx_http_ollama_header.h"
#include "ngx_http_ollama_module.h"
#include "ngx_http_ollama_request.h"


#define NGX_HTTP_OLLAMA_STREAM    NGX_HTTP_OLLAMA_SCAN_STREAM

#define NGX_HTTP_OLLAMA_API_CHAT  (NGX_HTTP_OLLAMA_SCAN_STREAM               \
                                   |NGX_HTTP_OLLAMA_SCAN_OPTIONS             \
                                   |NGX_HTTP_OLLAMA_SCAN_MESSAGES            \
                                   |NGX_HTTP_OLLAMA_SCAN_TEXT)

#define NGX_HTTP_OLLAMA_V1_CHAT   (NGX_HTTP_OLLAMA_SCAN_STREAM               \
                                   |NGX_HTTP_OLLAMA_SCAN_MESSAGES)

#define NGX_HTTP_OLLAMA_GET_HEAD  (NGX_HTTP_GET|NGX_HTTP_HEAD)


typedef struct {
    ngx_uint_t  method;
    ngx_str_t   name;
} ngx_http_ollama_method_t;


static ngx_int_t ngx_http_ollama_route_find(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_http_ollama_loc_conf_t *olcf);
static ngx_uint_t ngx_http_ollama_route_match(ngx_str_t *path,
    ngx_str_t *uri);
static ngx_int_t ngx_http_ollama_route_management(ngx_http_request_t *r,
    ngx_str_t *uri);
static ngx_int_t ngx_http_ollama_route_not_allowed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_route_root(ngx_http_request_t *r);
static void ngx_http_ollama_route_strip(ngx_str_t *uri, ngx_str_t *prefix);


static ngx_http_ollama_route_t  ngx_http_ollama_routes[] = {

    /* chat */

    { ngx_string("/api/chat"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_API_CHAT,
      NGX_HTTP_OLLAMA_END_DONE },

    { ngx_string("/api/generate"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL,
      NGX_HTTP_OLLAMA_STREAM|NGX_HTTP_OLLAMA_SCAN_OPTIONS,
      NGX_HTTP_OLLAMA_END_DONE },

    { ngx_string("/api/embed"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_SCAN_OPTIONS,
      NGX_HTTP_OLLAMA_END_OBJECT },

    { ngx_string("/api/embeddings"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_SCAN_OPTIONS,
      NGX_HTTP_OLLAMA_END_OBJECT },

    { ngx_string("/api/show"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL,
      NGX_HTTP_OLLAMA_SCAN_NAME|NGX_HTTP_OLLAMA_SCAN_OPTIONS,
      NGX_HTTP_OLLAMA_END_OBJECT },

    { ngx_string("/v1/chat/completions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_V1_CHAT,
      NGX_HTTP_OLLAMA_END_MARK },

    { ngx_string("/v1/completions"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_STREAM,
      NGX_HTTP_OLLAMA_END_MARK },

    { ngx_string("/v1/embeddings"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, 0,
      NGX_HTTP_OLLAMA_END_OBJECT },

    { ngx_string("/v1/responses"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_STREAM,
      NGX_HTTP_OLLAMA_END_RESPONSE },

    { ngx_string("/v1/messages"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MODEL, NGX_HTTP_OLLAMA_V1_CHAT,
      NGX_HTTP_OLLAMA_END_MESSAGE },

    /* stop */

    { ngx_string("/api/chat/cancel/*"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    /* servers and models */

    { ngx_string("/api/models/servers"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    { ngx_string("/api/models/server/models"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    { ngx_string("/api/models/server/check"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    { ngx_string("/api/tags"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_PLAIN, 0, 0 },

    { ngx_string("/api/ps"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ROUTE_PLAIN, 0, 0 },

    { ngx_string("/v1/models"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ROUTE_PLAIN, 0, 0 },

    { ngx_string("/v1/models/**"), NGX_HTTP_GET,
      NGX_HTTP_OLLAMA_ROUTE_PLAIN, 0, 0 },

    { ngx_string("/api/version"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_PLAIN, 0, 0 },

    { ngx_string("/"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_ROOT, 0, 0 },

    /* sessions */

    { ngx_string("/api/chat/session"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    { ngx_string("/api/chat/session/*"),
      NGX_HTTP_OLLAMA_GET_HEAD|NGX_HTTP_PATCH|NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    { ngx_string("/api/chat/session/*/messages"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    { ngx_string("/api/chat/sessions"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    /* model-to-model chat */

    { ngx_string("/api/chat/multi-model"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    /* metrics */

    { ngx_string("/api/metrics"), NGX_HTTP_OLLAMA_GET_HEAD,
      NGX_HTTP_OLLAMA_ROUTE_LATER, 0, 0 },

    /* management */

    { ngx_string("/api/pull"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/push"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/create"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/copy"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/delete"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/blobs/*"), NGX_HTTP_HEAD|NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/me"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/signout"), NGX_HTTP_POST,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/user/keys/*"), NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_string("/api/experimental/*"),
      NGX_HTTP_GET|NGX_HTTP_POST|NGX_HTTP_DELETE,
      NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT, 0, 0 },

    { ngx_null_string, 0, 0, 0, 0 }
};


/* what is management, below these and whatever its spelling */

static ngx_str_t  ngx_http_ollama_route_managed[] = {
    ngx_string("/api/pull"),
    ngx_string("/api/push"),
    ngx_string("/api/create"),
    ngx_string("/api/copy"),
    ngx_string("/api/delete"),
    ngx_string("/api/blobs"),
    ngx_string("/api/me"),
    ngx_string("/api/signout"),
    ngx_string("/api/user"),
    ngx_string("/api/experimental"),
    ngx_null_string
};


static ngx_http_ollama_method_t  ngx_http_ollama_methods[] = {
    { NGX_HTTP_GET, ngx_string("GET, ") },
    { NGX_HTTP_HEAD, ngx_string("HEAD, ") },
    { NGX_HTTP_POST, ngx_string("POST, ") },
    { NGX_HTTP_PATCH, ngx_string("PATCH, ") },
    { NGX_HTTP_DELETE, ngx_string("DELETE, ") },
    { 0, ngx_null_string }
};


/* In the precontent phase: sends a request on its way. */

ngx_int_t
ngx_http_ollama_route_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (ctx->state) {

    case NGX_HTTP_OLLAMA_READING:
        return NGX_AGAIN;

    case NGX_HTTP_OLLAMA_ROUTED:
        return ctx->status;

    default: /* NGX_HTTP_OLLAMA_NEW */
        break;
    }

    rc = ngx_http_ollama_route_find(r, ctx, olcf);

    if (rc != NGX_OK) {
        ctx->route = NULL;
        return rc;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama route: \"%V\"", &ctx->route->path);

    switch (ctx->route->kind) {

    case NGX_HTTP_OLLAMA_ROUTE_MODEL:
        return ngx_http_ollama_request_read(r, ctx);

    case NGX_HTTP_OLLAMA_ROUTE_ROOT:
        r->content_handler = ngx_http_ollama_route_root;
        return NGX_OK;

    case NGX_HTTP_OLLAMA_ROUTE_LATER:
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_IMPLEMENTED,
                                     "\"%V\" is not available in this "
                                     "version of the gateway", &r->uri);

    default: /* to a server, as it is */
        ctx->state = NGX_HTTP_OLLAMA_ROUTED;
        ctx->status = NGX_DECLINED;
        return NGX_DECLINED;
    }
}


/* Whether errors for this request have OpenAI's form. */

ngx_uint_t
ngx_http_ollama_route_is_v1(ngx_http_request_t *r)
{
    ngx_str_t                    uri;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    uri = r->uri;
    ngx_http_ollama_route_strip(&uri, &olcf->prefix);

    return uri.len >= 3
           && ngx_strncmp(uri.data, "/v1", 3) == 0
           && (uri.len == 3 || uri.data[3] == '/');
}


/* Finds ctx->route, or gives the status of a refusal. */

static ngx_int_t
ngx_http_ollama_route_find(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_loc_conf_t *olcf)
{
    ngx_int_t                 rc;
    ngx_str_t                 uri;
    ngx_http_ollama_route_t  *route;

    uri = r->uri;
    ngx_http_ollama_route_strip(&uri, &olcf->prefix);

    if (!olcf->management) {
        rc = ngx_http_ollama_route_management(r, &uri);

        if (rc == NGX_OK) {
            return ngx_http_ollama_error(r, ctx, NGX_HTTP_FORBIDDEN,
                                         "managing models is not allowed "
                                         "here (ollama_management)");
        }

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    for (route = ngx_http_ollama_routes; route->path.len; route++) {
        if (ngx_http_ollama_route_match(&route->path, &uri)) {
            break;
        }
    }

    if (route->path.len == 0) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_NOT_FOUND,
                                     "404 page not found");
    }

    ctx->route = route;

    if (!(r->method & route->methods)) {
        return ngx_http_ollama_route_not_allowed(r, ctx);
    }

    r->uri = uri;
    r->valid_unparsed_uri = 0;

    return NGX_OK;
}


/* "*" is one element of the path, "**" at the end one or more of them. */

static ngx_uint_t
ngx_http_ollama_route_match(ngx_str_t *path, ngx_str_t *uri)
{
    u_char  *p, *u, *last, *end;

    p = path->data;
    last = p + path->len;
    u = uri->data;
    end = u + uri->len;

    while (p < last) {

        if (*p != '*') {
            if (u == end || *u++ != *p++) {
                return 0;
            }

            continue;
        }

        if (u == end || *u == '/') {
            return 0;
        }

        if (++p < last && *p == '*') {
            return 1;
        }

        while (u < end && *u != '/') {
            u++;
        }
    }

    return u == end;
}


/*
 * NGX_OK if the path leads to management, in any case and with any number of
 * slashes.  A server may not read it so, but one day one might.
 */

static ngx_int_t
ngx_http_ollama_route_management(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char      ch, *p;
    size_t      i;
    ngx_str_t   path, *name;

    path.data = ngx_pnalloc(r->pool, uri->len);
    if (path.data == NULL) {
        return NGX_ERROR;
    }

    p = path.data;

    for (i = 0; i < uri->len; i++) {
        ch = ngx_tolower(uri->data[i]);

        if (ch == '\\') {
            ch = '/';
        }

        if (ch != '/' || p == path.data || p[-1] != '/') {
            *p++ = ch;
        }
    }

    path.len = p - path.data;

    for (name = ngx_http_ollama_route_managed; name->len; name++) {

        if (path.len >= name->len
            && ngx_strncmp(path.data, name->data, name->len) == 0
            && (path.len == name->len || path.data[name->len] == '/'))
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_route_not_allowed(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    u_char                    *p;
    ngx_str_t                  allow;
    ngx_http_ollama_method_t  *m;

    allow.data = ngx_pnalloc(r->pool,
                             sizeof("GET, HEAD, POST, PATCH, DELETE, ") - 1);
    if (allow.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = allow.data;

    for (m = ngx_http_ollama_methods; m->method; m++) {
        if (ctx->route->methods & m->method) {
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


/* What Ollama says of itself, and clients ask for to see that it is there. */

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


static void
ngx_http_ollama_route_strip(ngx_str_t *uri, ngx_str_t *prefix)
{
    if (prefix->len
        && uri->len > prefix->len
        && uri->data[prefix->len] == '/'
        && ngx_strncmp(uri->data, prefix->data, prefix->len) == 0)
    {
        uri->data += prefix->len;
        uri->len -= prefix->len;
    }
}
