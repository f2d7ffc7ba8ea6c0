
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Lists of servers and models, answered from memory: the gateway's own lists,
 * and those of Ollama and OpenAI with the models of all servers that are up.
 *
 * Each content handler lists the fleet, takes rendered pieces from the cache
 * and sends them without a copy.  What it needs for that is on the stack and in
 * the request's pool; the pieces are referenced until the pool is destroyed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_models.h"
#include "api/ngx_http_ollama_diagnose.h"
#include "api/ngx_http_ollama_models_alias.h"
#include "api/ngx_http_ollama_models_cache.h"
#include "api/ngx_http_ollama_models_json.h"
#include "balancer/ngx_http_ollama_queue.h"
#include "balancer/ngx_http_ollama_search.h"
#include "core/ngx_http_ollama_arg.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_response.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "fleet/ngx_http_ollama_report.h"
#include "fleet/ngx_http_ollama_server_url.h"
#include "util/ngx_http_ollama_emit.h"


#define NGX_HTTP_OLLAMA_MODELS_V1  "/v1/models/"


/* the state of a content handler */

typedef struct {
    ngx_http_request_t          *request;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_upstream_t  *up;
    ngx_array_t                  views;    /* ngx_http_ollama_view_t */

    ngx_uint_t                   first;    /* of the views that are shown */
    ngx_uint_t                   n;        /* how many are */
    ngx_uint_t                   queued;   /* requests that wait */
    size_t                      *offsets;  /* in the text, of their lists of
                                              models */
} ngx_http_ollama_models_t;


typedef ngx_int_t (*ngx_http_ollama_models_init_pt)(
    ngx_http_ollama_models_t *m, ngx_http_request_t *r);


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
static ngx_int_t ngx_http_ollama_models_answer(ngx_http_request_t *r,
    ngx_http_ollama_models_init_pt init, ngx_http_ollama_emit_pt walk);
static ngx_http_ollama_piece_t **ngx_http_ollama_models_pieces(
    ngx_http_ollama_models_t *m);
static ngx_int_t ngx_http_ollama_models_send(ngx_http_ollama_models_t *m,
    ngx_str_t *text, ngx_http_ollama_piece_t **pieces);

static ngx_int_t ngx_http_ollama_models_list(ngx_http_request_t *r,
    ngx_http_ollama_models_cache_list_e list);
static ngx_int_t ngx_http_ollama_models_list_aliases(
    ngx_http_ollama_models_t *m, ngx_http_ollama_piece_t *piece,
    ngx_str_t *aliases);
static void ngx_http_ollama_models_aliases(ngx_http_ollama_models_t *m,
    ngx_http_ollama_models_cache_t *cache, ngx_http_ollama_models_alias_t *a);
static void ngx_http_ollama_models_walk_version(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_int_t ngx_http_ollama_models_one(ngx_http_request_t *r,
    ngx_uint_t search);
static ngx_int_t ngx_http_ollama_models_newest(ngx_http_ollama_models_t *m,
    ngx_http_ollama_openai_t *one);


/* the list of a server without models */
static ngx_str_t  ngx_http_ollama_models_none = ngx_string("[]");


/* If this does not return NGX_OK, the handler returns the same. */

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
    m->queued = ngx_http_ollama_queue_waiting(m->up);

    if (ngx_http_ollama_fleet_list(m->up, r->pool, &m->views) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    m->n = m->views.nelts;

    return NGX_OK;
}


/* The same for a handler that needs a server that is up. */

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


/* The same for a handler of one server, which the argument server_url names. */

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


/*
 * Finds the server's view; if the server has several addresses, that of the
 * first one that is up.  NGX_DECLINED: there is no such server.
 */

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

    if (ngx_http_ollama_server_url(p, url, &name, &tls) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (tls != NGX_HTTP_OLLAMA_SERVER_URL_EITHER
        && tls != (m->up->ssl != NULL))
    {
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


/* "name" is in lower case, unless it is the path of a socket. */

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


/* GET /api/models/servers */

ngx_int_t
ngx_http_ollama_models_servers(ngx_http_request_t *r)
{
    return ngx_http_ollama_models_answer(r, ngx_http_ollama_models_init,
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

        m->offsets[i] = t->len;

        ngx_http_ollama_emit_add(t, "}");
    }

    ngx_http_ollama_emit_add(t, "],\"queued\":");
    ngx_http_ollama_emit_number(t, m->queued);
    ngx_http_ollama_emit_add(t, "}");
}


/* GET /api/models/server/models */

ngx_int_t
ngx_http_ollama_models_server(ngx_http_request_t *r)
{
    return ngx_http_ollama_models_answer(r, ngx_http_ollama_models_init_one,
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

    m->offsets[0] = t->len;

    ngx_http_ollama_emit_add(t, "}");
}


/* Sends what the walk emits, with the lists of models at their offsets. */

static ngx_int_t
ngx_http_ollama_models_answer(ngx_http_request_t *r,
    ngx_http_ollama_models_init_pt init, ngx_http_ollama_emit_pt walk)
{
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_http_ollama_models_t   m;
    ngx_http_ollama_piece_t  **pieces;

    rc = init(&m, r);

    if (rc != NGX_OK) {
        return rc;
    }

    m.offsets = ngx_palloc(r->pool, m.n * sizeof(size_t));
    if (m.offsets == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_emit_make(r->pool, walk, &m, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    pieces = ngx_http_ollama_models_pieces(&m);
    if (pieces == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_models_send(&m, &text, pieces);
}


/*
 * Returns the servers' lists of models, referenced until the request's pool is
 * destroyed.  That of a server without models is NULL.
 */

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
ngx_http_ollama_models_send(ngx_http_ollama_models_t *m, ngx_str_t *text,
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

        part.len = text->data + m->offsets[i] - part.data;

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


/* GET /api/models/server/check */

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


/* GET /v1/models */

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
    ngx_str_t                        aliases;
    ngx_http_ollama_piece_t         *piece;
    ngx_http_ollama_models_t         m;
    ngx_http_ollama_models_alias_t   a;
    ngx_http_ollama_models_cache_t  *cache;

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

    if (list == NGX_HTTP_OLLAMA_MODELS_CACHE_PS) {
        return ngx_http_ollama_response_text(r, &piece->text, piece->hash);
    }

    ngx_http_ollama_models_aliases(&m, cache, &a);

    if (ngx_http_ollama_models_alias_list(&a, list, &aliases) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return aliases.len
           ? ngx_http_ollama_models_list_aliases(&m, piece, &aliases)
           : ngx_http_ollama_response_text(r, &piece->text, piece->hash);
}


/* Sends a list with more entries before its end, which is "]}". */

static ngx_int_t
ngx_http_ollama_models_list_aliases(ngx_http_ollama_models_t *m,
    ngx_http_ollama_piece_t *piece, ngx_str_t *aliases)
{
    uint64_t      hash;
    ngx_str_t     part[4];
    ngx_uint_t    i;
    ngx_chain_t  *out, **last;

    part[0] = piece->text;
    part[0].len -= 2;

    ngx_str_set(&part[1], ",");
    part[2] = *aliases;
    ngx_str_set(&part[3], "]}");

    out = NULL;
    last = &out;

    for (i = 0; i < 4; i++) {

        if (i == 1 && part[0].data[part[0].len - 1] == '[') {
            continue;
        }

        last = ngx_http_ollama_response_add(m->request->pool, last, &part[i]);
        if (last == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    hash = ngx_http_ollama_emit_mix(piece->hash,
                                    ngx_http_ollama_emit_hash(aliases));

    return ngx_http_ollama_response(m->request, out, hash);
}


static void
ngx_http_ollama_models_aliases(ngx_http_ollama_models_t *m,
    ngx_http_ollama_models_cache_t *cache, ngx_http_ollama_models_alias_t *a)
{
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(m->request, ngx_http_ollama_module);

    a->pool = m->request->pool;
    a->aliases = olcf->aliases;
    a->views = &m->views;
    a->cache = cache;
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
        /* so does an Ollama that was built without a version */
        ngx_http_ollama_emit_add(t, "\"0.0.0\"");
    }

    ngx_http_ollama_emit_add(t, "}");
}


/* GET /v1/models/{id} */

ngx_int_t
ngx_http_ollama_models_openai_one(ngx_http_request_t *r)
{
    return ngx_http_ollama_models_one(r, 1);
}


/* The servers were probed. */

static void
ngx_http_ollama_models_searched(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_finalize_request(r, ngx_http_ollama_models_one(r, 0));
}


/* "search": has the servers probed if none is known to have it. */

static ngx_int_t
ngx_http_ollama_models_one(ngx_http_request_t *r, ngx_uint_t search)
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

    if (rc == NGX_DECLINED && search) {

        rc = ngx_http_ollama_search(r, m.ctx, m.up,
                                    ngx_http_ollama_models_searched);

        if (rc == NGX_AGAIN) {
            r->main->count++;
            return NGX_DONE;
        }
    }

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


/*
 * Sets when the model of that id, or the one for which that alias stands, was
 * last modified at any of the servers.
 * NGX_DECLINED: none has it.
 */

static ngx_int_t
ngx_http_ollama_models_newest(ngx_http_ollama_models_t *m,
    ngx_http_ollama_openai_t *one)
{
    ngx_int_t                        rc;
    ngx_str_t                        key;
    ngx_uint_t                       i;
    ngx_http_ollama_view_t          *view;
    ngx_http_ollama_model_t         *model;
    ngx_http_ollama_models_alias_t   a;
    ngx_http_ollama_models_cache_t  *cache;
    ngx_http_ollama_snapshot_t      *snapshot;

    cache = ngx_http_ollama_models_cache_get(m->up, &m->views);
    if (cache == NULL) {
        return NGX_ERROR;
    }

    key.data = ngx_pnalloc(m->request->pool,
                           one->id.len + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
    if (key.data == NULL) {
        return NGX_ERROR;
    }

    key.len = ngx_http_ollama_model_name_key(key.data, &one->id);

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

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    ngx_http_ollama_models_aliases(m, cache, &a);

    return ngx_http_ollama_models_alias_one(&a, &key, &one->modified);
}
