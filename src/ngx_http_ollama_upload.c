
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Uploads of weights, POST /api/blobs/{digest}: their bodies are not limited by
 * client_max_body_size, which is for chats, and go to the server as they come
 * in, not to a file before.
 *
 * nginx applies the limit to a Content-Length when it finds the location, which
 * no phase handler precedes that knows the location.  So the checker of that
 * phase is wrapped: it runs once without the length and, unless the location
 * turns out to take uploads, a second time with it.  While the body comes in
 * nginx applies the limit to what has come: the request gets a copy of the
 * core's configuration without the limit.  That is in the connection's pool, as
 * nginx reads it after the request was freed, when it keeps the connection.
 *
 * It may use what route.c may.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_upload.h"
#include "core/ngx_http_ollama_conf.h"
#include "util/ngx_http_ollama_path.h"


extern ngx_module_t  ngx_http_proxy_module;


static ngx_int_t ngx_http_ollama_upload_checker(ngx_http_request_t *r,
    ngx_http_phase_handler_t *ph);
static ngx_uint_t ngx_http_ollama_upload_is_allowed(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_upload_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_upload_unlimit(ngx_http_request_t *r);


static ngx_str_t  ngx_http_ollama_upload_path = ngx_string("/api/blobs");


ngx_int_t
ngx_http_ollama_upload_init_module(ngx_cycle_t *cycle)
{
    ngx_http_phase_handler_t   *ph;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    if (cmcf == NULL) {
        return NGX_OK;
    }

    for (ph = cmcf->phase_engine.handlers; ph->checker; ph++) {
        if (ph->checker == ngx_http_core_find_config_phase) {
            ph->checker = ngx_http_ollama_upload_checker;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_upload_checker(ngx_http_request_t *r,
    ngx_http_phase_handler_t *ph)
{
    off_t       length;
    ngx_int_t   rc, phase;
    unsigned    keepalive, lingering_close;

    if (r->method != NGX_HTTP_POST
        || r->headers_in.content_length_n <= 0
        || ngx_strlcasestrn(r->uri.data, r->uri.data + r->uri.len,
                            (u_char *) "/blobs", 6 - 1)
           == NULL)
    {
        return ngx_http_core_find_config_phase(r, ph);
    }

    phase = r->phase_handler;

    /* if the request ends here, nothing is read behind its header */

    length = r->headers_in.content_length_n;
    keepalive = r->keepalive;
    lingering_close = r->lingering_close;

    r->headers_in.content_length_n = -1;
    r->keepalive = 0;
    r->lingering_close = 1;

    rc = ngx_http_core_find_config_phase(r, ph);

    if (rc != NGX_AGAIN) {
        /* the request has ended */
        return rc;
    }

    r->headers_in.content_length_n = length;
    r->keepalive = keepalive;
    r->lingering_close = lingering_close;

    if (ngx_http_ollama_upload_is_allowed(r)) {
        return NGX_AGAIN;
    }

    r->phase_handler = phase;

    return ngx_http_core_find_config_phase(r, ph);
}


/* Whether the location takes uploads; whether it is one, route.c decides. */

static ngx_uint_t
ngx_http_ollama_upload_is_allowed(ngx_http_request_t *r)
{
    ngx_str_t                    uri;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    uri = r->uri;
    ngx_http_ollama_path_strip(&uri, &olcf->prefix);

    return olcf->enable
           && olcf->management
           && ngx_http_ollama_path_below(&ngx_http_ollama_upload_path, &uri);
}


ngx_int_t
ngx_http_ollama_upload_limit(ngx_http_request_t *r)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r != r->main
        || r->discard_body
        || clcf->client_max_body_size == 0
        || r->headers_in.content_length_n <= clcf->client_max_body_size)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "client intended to send too large body: %O bytes",
                  r->headers_in.content_length_n);

    r->expect_tested = 1;
    (void) ngx_http_discard_request_body(r);

    return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
}


void
ngx_http_ollama_upload_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ctx->pass = r->content_handler;
    r->content_handler = ngx_http_ollama_upload_handler;
}


/*
 * Runs proxy_pass as if "proxy_request_buffering" were off, which it reads
 * before it returns.  proxy_pass itself decides whether that can be done: with
 * "proxy_set_body", for example, it can't.
 */

static ngx_int_t
ngx_http_ollama_upload_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_flag_t                 buffering;
    ngx_http_ollama_ctx_t     *ctx;
    ngx_http_upstream_conf_t  *conf;

    if (ngx_http_ollama_upload_unlimit(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = ngx_http_ollama_get_ctx(r);

    /* the first member of proxy's configuration */

    conf = ngx_http_get_module_loc_conf(r, ngx_http_proxy_module);

    buffering = conf->request_buffering;
    conf->request_buffering = 0;

    rc = ctx->pass(r);

    conf->request_buffering = buffering;

    return rc;
}


static ngx_int_t
ngx_http_ollama_upload_unlimit(ngx_http_request_t *r)
{
    ngx_pool_t                 *pool;
    void                      **loc_conf;
    ngx_http_core_loc_conf_t   *clcf;

    pool = r->connection->pool;

    loc_conf = ngx_palloc(pool, sizeof(void *) * ngx_http_max_module);
    clcf = ngx_palloc(pool, sizeof(ngx_http_core_loc_conf_t));

    if (loc_conf == NULL || clcf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(loc_conf, r->loc_conf, sizeof(void *) * ngx_http_max_module);

    *clcf = *(ngx_http_core_loc_conf_t *)
                          ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    clcf->client_max_body_size = 0;

    loc_conf[ngx_http_core_module.ctx_index] = clcf;
    r->loc_conf = loc_conf;

    return NGX_OK;
}
