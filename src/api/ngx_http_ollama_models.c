
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the servers have, answered from memory: the gateway's own lists of
 * servers and models, and those of Ollama and OpenAI, merged over the servers
 * that are up.  Content handlers, all alike: list the fleet, take rendered
 * pieces from the cache, send them from where they lie.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_models.h"
#include "api/ngx_http_ollama_diagnose.h"
#include "api/ngx_http_ollama_models_cache.h"
#include "api/ngx_http_ollama_models_json.h"
#include "core/ngx_http_ollama_arg.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_response.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_name.h"
#include "fleet/ngx_http_ollama_report.h"
#include "util/ngx_http_ollama_emit.h"


#define NGX_HTTP_OLLAMA_MODELS_V1  "/v1/models/"


/* what a handler works with */

typedef struct {
    ngx_http_request_t          *request;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_upstream_t  *up;
    ngx_array_t                  views;    /* ngx_http_ollama_view_t */

    ngx_uint_t                   first;    /* of the views that are told of */
    ngx_uint_t                   n;
    size_t                      *holes;    /* where in the text their lists
                                              of models go */
} ngx_http_ollama_models_t;


static ngx_int_t ngx_http_ollama_models_init(ngx_http_ollama_models_t *m,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_models_init_up(ngx_http_ollama_models_t *m,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_models_init_one(ngx_http_ollama_models_t *m,
    ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_models_find(ngx_http_ollama_models_t *m,
    ngx_str_t *url);
static ngx_uint_t ngx_http_ollama_models_is_named(
    ngx_http_ollama_view_t *view, ngx_str_t *name);

static void ngx_http_ollama_models_walk_servers(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_models_walk_server(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_int_t ngx_http_ollama_models_answer(ngx_http_ollama_models_t *m,
    ngx_http_ollama_emit_pt walk);
static ngx_http_ollama_piece_t **ngx_http_ollama_models_pieces(
    ngx_http_ollama_models_t *m);
static ngx_int_t ngx_http_ollama_models_weave(ngx_http_ollama_models_t *m,
    ngx_str_t *text, ngx_http_ollama_piece_t **pieces);

static ngx_int_t ngx_http_ollama_models_list(ngx_http_request_t *r,
    ngx_http_ollama_models_cache_list_e list);
static void ngx_http_ollama_models_walk_version(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_int_t ngx_http_ollama_models_newest(ngx_http_ollama_models_t *m,
    ngx_http_ollama_openai_t *one);


/* of a server without any */
static ngx_str_t  ngx_http_ollama_models_none = ngx_string("[]");


/* What is not NGX_OK is for the handler to return. */

static ngx_int_t
ngx_http_ollama_models_init(ngx_http_ollama_models_t *m,
    ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_http_ollama_loc_conf_t  *olcf;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(m, sizeof(ngx_http_ollama_models_t));

    m->ctx = ngx_http_ollama_make_ctx(r);
    if (m->ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    m->request = r;
    m->up = olcf->up;

    if (ngx_http_ollama_fleet_list(m->up, r->pool, &m->views) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    m->n = m->views.nelts;

    return NGX_OK;
}


/* For a handler that needs a server that is up. */

static ngx_int_t
ngx_http_ollama_models_init_up(ngx_http_ollama_models_t *m,
    ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_http_ollama_view_t  *view;

    rc = ngx_http_ollama_models_init(m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    view = m->views.elts;

    for (i = 0; i < m->views.nelts; i++) {
        if (view[i].status == NGX_HTTP_OLLAMA_UP) {
            return NGX_OK;
        }
    }

    return ngx_http_ollama_error(r, m->ctx, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 "no server is up");
}


/* For a handler that is about the server of the argument server_url. */

static ngx_int_t
ngx_http_ollama_models_init_one(ngx_http_ollama_models_t *m,
    ngx_http_request_t *r)
{
    ngx_int_t  rc;
    ngx_str_t  url;

    rc = ngx_http_ollama_models_init(m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_arg(r, "server_url", &url);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error(r, m->ctx, NGX_HTTP_BAD_REQUEST,
                                     "the argument server_url is missing");
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_models_find(m, &url);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error(r, m->ctx, NGX_HTTP_NOT_FOUND,
                                     "server_url \"%V\" is not a "
                                     "configured server", &url);
    }

    return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_OK;
}


/* Of several addresses of the server the first that is up is told of. */

static ngx_int_t
ngx_http_ollama_models_find(ngx_http_ollama_models_t *m, ngx_str_t *url)
{
    u_char                  *p;
    ngx_str_t                name;
    ngx_uint_t               i, tls;
    ngx_http_ollama_view_t  *view;

    p = ngx_pnalloc(m->request->pool, url->len + sizeof(":443"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_name_server(p, url, &name, &tls) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (tls != NGX_HTTP_OLLAMA_NAME_EITHER && tls != (m->up->ssl != NULL)) {
        return NGX_DECLINED;
    }

    m->n = 0;
    view = m->views.elts;

    for (i = 0; i < m->views.nelts; i++) {

        if (!ngx_http_ollama_models_is_named(&view[i], &name)) {
            continue;
        }

        if (m->n == 0 || view[i].status == NGX_HTTP_OLLAMA_UP) {
            m->first = i;
            m->n = 1;
        }

        if (view[i].status == NGX_HTTP_OLLAMA_UP) {
            break;
        }
    }

    return m->n ? NGX_OK : NGX_DECLINED;
}


/* The name has lower case letters, but in the path of a socket. */

static ngx_uint_t
ngx_http_ollama_models_is_named(ngx_http_ollama_view_t *view,
    ngx_str_t *name)
{
    if (view->name.len != name->len) {
        return 0;
    }

    if (view->sockaddr->sa_family == AF_UNIX) {
        return ngx_memcmp(view->name.data, name->data, name->len) == 0;
    }

    return ngx_strncasecmp(view->name.data, name->data, name->len) == 0;
}


/* /api/models/servers */

ngx_int_t
ngx_http_ollama_models_servers(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_ollama_models_t  m;

    rc = ngx_http_ollama_models_init(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_models_answer(&m,
                                         ngx_http_ollama_models_walk_servers);
}


static void
ngx_http_ollama_models_walk_servers(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_models_t *m = data;

    ngx_uint_t               i;
    ngx_http_ollama_view_t  *view;

    ngx_http_ollama_emit_add(t, "{\"servers\":[");

    view = m->views.elts;

    for (i = 0; i < m->n; i++) {
        ngx_http_ollama_emit_add(t, i ? ",{\"url\":" : "{\"url\":");
        ngx_http_ollama_models_json_url(t, m->up, &view[i]);
        ngx_http_ollama_models_json_view(t, &view[i]);
        ngx_http_ollama_emit_add(t, ",\"models\":");

        m->holes[i] = t->len;

        ngx_http_ollama_emit_add(t, "}");
    }

    ngx_http_ollama_emit_add(t, "],\"queued\":0}");
}


/* /api/models/server/models */

ngx_int_t
ngx_http_ollama_models_server(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_ollama_models_t  m;

    rc = ngx_http_ollama_models_init_one(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_models_answer(&m,
                                         ngx_http_ollama_models_walk_server);
}


static void
ngx_http_ollama_models_walk_server(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_models_t *m = data;

    ngx_http_ollama_view_t  *view;

    view = m->views.elts;
    view += m->first;

    ngx_http_ollama_emit_add(t, "{\"server_url\":");
    ngx_http_ollama_models_json_url(t, m->up, view);
    ngx_http_ollama_models_json_status(t, view);
    ngx_http_ollama_emit_add(t, ",\"models\":");

    m->holes[0] = t->len;

    ngx_http_ollama_emit_add(t, "}");
}


/* Sends what the walk says, with the lists of models in its holes. */

static ngx_int_t
ngx_http_ollama_models_answer(ngx_http_ollama_models_t *m,
    ngx_http_ollama_emit_pt walk)
{
    ngx_str_t                  text;
    ngx_http_request_t        *r;
    ngx_http_ollama_piece_t  **pieces;

    r = m->request;

    m->holes = ngx_palloc(r->pool, m->n * sizeof(size_t));
    if (m->holes == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_emit_make(r->pool, walk, m, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pieces = ngx_http_ollama_models_pieces(m);
    if (pieces == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_models_weave(m, &text, pieces);
}


/* The lists, held for the request.  A server that has nothing has NULL. */

static ngx_http_ollama_piece_t **
ngx_http_ollama_models_pieces(ngx_http_ollama_models_t *m)
{
    ngx_uint_t                       i;
    ngx_pool_t                      *pool;
    ngx_http_ollama_models_cache_t  *cache;
    ngx_http_ollama_piece_t        **pieces;

    pool = m->request->pool;

    pieces = ngx_palloc(pool, m->n * sizeof(ngx_http_ollama_piece_t *));
    if (pieces == NULL) {
        return NULL;
    }

    cache = ngx_http_ollama_models_cache_get(m->up, &m->views);
    if (cache == NULL) {
        return NULL;
    }

    for (i = 0; i < m->n; i++) {
        if (ngx_http_ollama_models_cache_models(cache, m->first + i, &pieces[i])
            != NGX_OK)
        {
            return NULL;
        }
    }

    if (ngx_http_ollama_models_cache_hold(pool, pieces, m->n) != NGX_OK) {
        return NULL;
    }

    return pieces;
}


static ngx_int_t
ngx_http_ollama_models_weave(ngx_http_ollama_models_t *m, ngx_str_t *text,
    ngx_http_ollama_piece_t **pieces)
{
    uint64_t      hash;
    ngx_str_t     part, *list;
    ngx_uint_t    i;
    ngx_pool_t   *pool;
    ngx_chain_t  *out, **last;

    pool = m->request->pool;
    hash = ngx_http_ollama_emit_hash(text);

    out = NULL;
    last = &out;

    part.data = text->data;

    for (i = 0; i < m->n; i++) {

        list = &ngx_http_ollama_models_none;

        if (pieces[i]) {
            list = &pieces[i]->text;
            hash = ngx_http_ollama_emit_mix(hash, pieces[i]->hash);
        }

        part.len = text->data + m->holes[i] - part.data;

        last = ngx_http_ollama_response_add(pool, last, &part);
        if (last == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        last = ngx_http_ollama_response_add(pool, last, list);
        if (last == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        part.data += part.len;
    }

    part.len = text->data + text->len - part.data;

    if (ngx_http_ollama_response_add(pool, last, &part) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_response(m->request, out, hash);
}


/* /api/models/server/check */

ngx_int_t
ngx_http_ollama_models_check(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_ollama_view_t   *view;
    ngx_http_ollama_models_t  m;

    rc = ngx_http_ollama_models_init_one(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    view = m.views.elts;

    return ngx_http_ollama_diagnose_server(r, m.ctx, m.up, &view[m.first]);
}


ngx_int_t
ngx_http_ollama_models_tags(ngx_http_request_t *r)
{
    return ngx_http_ollama_models_list(r, NGX_HTTP_OLLAMA_MODELS_CACHE_TAGS);
}


ngx_int_t
ngx_http_ollama_models_ps(ngx_http_request_t *r)
{
    return ngx_http_ollama_models_list(r, NGX_HTTP_OLLAMA_MODELS_CACHE_PS);
}


/* /v1/models */

ngx_int_t
ngx_http_ollama_models_openai(ngx_http_request_t *r)
{
    return ngx_http_ollama_models_list(r, NGX_HTTP_OLLAMA_MODELS_CACHE_OPENAI);
}


static ngx_int_t
ngx_http_ollama_models_list(ngx_http_request_t *r,
    ngx_http_ollama_models_cache_list_e list)
{
    ngx_int_t                        rc;
    ngx_http_ollama_models_cache_t  *cache;
    ngx_http_ollama_piece_t         *piece;
    ngx_http_ollama_models_t         m;

    rc = ngx_http_ollama_models_init_up(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    cache = ngx_http_ollama_models_cache_get(m.up, &m.views);
    if (cache == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    piece = ngx_http_ollama_models_cache_list(cache, list);
    if (piece == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_models_cache_hold(r->pool, &piece, 1) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_response_text(r, &piece->text, piece->hash);
}


ngx_int_t
ngx_http_ollama_models_version(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_ollama_models_t  m;

    rc = ngx_http_ollama_models_init_up(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_response_walk(r, ngx_http_ollama_models_walk_version,
                               ngx_http_ollama_models_json_lowest(&m.views));
}


static void
ngx_http_ollama_models_walk_version(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_str_t *version = data;

    ngx_http_ollama_emit_add(t, "{\"version\":");

    if (version) {
        ngx_http_ollama_emit_string(t, version);

    } else {
        /* an Ollama that doesn't know its own says so */
        ngx_http_ollama_emit_add(t, "\"0.0.0\"");
    }

    ngx_http_ollama_emit_add(t, "}");
}


/* /v1/models/{id} */

ngx_int_t
ngx_http_ollama_models_openai_one(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_ollama_models_t  m;
    ngx_http_ollama_openai_t  one;

    rc = ngx_http_ollama_models_init_up(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    one.id.data = r->uri.data + sizeof(NGX_HTTP_OLLAMA_MODELS_V1) - 1;
    one.id.len = r->uri.len - (sizeof(NGX_HTTP_OLLAMA_MODELS_V1) - 1);

    rc = ngx_http_ollama_models_newest(&m, &one);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error(r, m.ctx, NGX_HTTP_NOT_FOUND,
                                     "model '%V' not found", &one.id);
    }

    return ngx_http_ollama_response_walk(r,
                               ngx_http_ollama_models_json_openai_one, &one);
}


/* When the model of that id was last modified; NGX_DECLINED: none has it. */

static ngx_int_t
ngx_http_ollama_models_newest(ngx_http_ollama_models_t *m,
    ngx_http_ollama_openai_t *one)
{
    ngx_int_t                        rc;
    ngx_str_t                        key;
    ngx_uint_t                       i;
    ngx_http_ollama_view_t          *view;
    ngx_http_ollama_model_t         *model;
    ngx_http_ollama_models_cache_t  *cache;
    ngx_http_ollama_snapshot_t      *snapshot;

    cache = ngx_http_ollama_models_cache_get(m->up, &m->views);
    if (cache == NULL) {
        return NGX_ERROR;
    }

    key.data = ngx_pnalloc(m->request->pool,
                           one->id.len + NGX_HTTP_OLLAMA_NAME_MORE);
    if (key.data == NULL) {
        return NGX_ERROR;
    }

    key.len = ngx_http_ollama_name_model(key.data, &one->id);

    rc = NGX_DECLINED;
    view = m->views.elts;

    for (i = 0; i < m->views.nelts; i++) {

        if (view[i].status != NGX_HTTP_OLLAMA_UP) {
            continue;
        }

        snapshot = ngx_http_ollama_models_cache_snapshot(cache, i);
        if (snapshot == NULL) {
            continue;
        }

        model = ngx_http_ollama_report_find(snapshot->models,
                                            snapshot->nmodels, &key);

        if (model && model->tag.len
            && (rc == NGX_DECLINED || model->modified > one->modified))
        {
            one->modified = model->modified;
            rc = NGX_OK;
        }
    }

    return rc;
}
