
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the queue needs to know of a request: keys of its line and its owner.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_key.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_owner.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "request/ngx_http_ollama_scan.h"


static uint64_t ngx_http_ollama_queue_key_hash(uint64_t seed, u_char *p,
    size_t len);


ngx_uint_t
ngx_http_ollama_queue_is_wanted(ngx_http_ollama_candidates_t *search)
{
    return search->wanted.loads
           && search->wanted.key.len
           && !search->wanted.slotless
           && !search->first
           && search->only == 0;
}


size_t
ngx_http_ollama_queue_text(ngx_http_ollama_ctx_t *ctx)
{
    size_t      text;
    ngx_uint_t  i;

    text = ctx->scan->text;

    for (i = 0; i < ctx->ninsert; i++) {
        text += ctx->insert[i].size;
    }

    return text;
}


ngx_uint_t
ngx_http_ollama_queue_is_whole(ngx_http_ollama_ctx_t *ctx)
{
    switch (ctx->endpoint->last) {

    case NGX_HTTP_OLLAMA_END_OBJECT:
    case NGX_HTTP_OLLAMA_END_ANY:
        return 1;

    case NGX_HTTP_OLLAMA_END_DONE:
        return ctx->scan->stream == NGX_HTTP_OLLAMA_STREAM_OFF;

    default:
        return ctx->scan->stream != NGX_HTTP_OLLAMA_STREAM_ON;
    }
}


ngx_int_t
ngx_http_ollama_queue_owner(ngx_http_request_t *r, uint64_t *key)
{
    ngx_int_t                    rc;
    ngx_str_t                    owner;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (olcf->fair) {
        rc = ngx_http_complex_value(r, olcf->fair, &owner);

    } else {
        rc = ngx_http_ollama_owner(r, &owner);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (owner.len == 0) {
        owner = r->connection->addr_text;
    }

    *key = ngx_http_ollama_queue_key_hash(1, owner.data, owner.len);

    return NGX_OK;
}


uint64_t
ngx_http_ollama_queue_line(ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_candidates_t *search)
{
    uint64_t    key;
    ngx_uint_t  generation;

    generation = ngx_http_ollama_fleet_generation();

    key = ngx_http_ollama_queue_key_hash(t->model, (u_char *) &t->options,
                                         sizeof(t->options));
    key = ngx_http_ollama_queue_key_hash(key, search->pin.data,
                                         search->pin.len);

    key = ngx_http_ollama_queue_key_hash(key, (u_char *) &generation,
                                         sizeof(generation));

    return ngx_http_ollama_queue_key_hash(key, (u_char *) &search->tls,
                                          sizeof(search->tls));
}


/* Never 0, which marks entries that are free. */

static uint64_t
ngx_http_ollama_queue_key_hash(uint64_t seed, u_char *p, size_t len)
{
    uint64_t  hash;

    hash = ((uint64_t) ngx_crc32_long(p, len) << 32)
           | ngx_murmur_hash2(p, len);

    hash = (seed ^ hash) * 0x9e3779b97f4a7c15;

    return (hash ^ (hash >> 32)) | 1;
}
