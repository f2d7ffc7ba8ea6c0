
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The key of a model's name: the one spelling in which names of models are
 * compared byte by byte.
 *
 * A name is parsed as Ollama does it (ParseName() in types/model/name.go), as
 * that is what a server compares, ignoring case.  What isn't a name for Ollama
 * never gets the key of one that is.
 *
 * Pure functions, without allocations or memory of their own.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_model_name.h"


/* the parts of a name; len 0: the default */

typedef struct {
    ngx_str_t  host;
    ngx_str_t  namespace;
    ngx_str_t  model;
    ngx_str_t  tag;
} ngx_http_ollama_model_name_t;


static ngx_int_t ngx_http_ollama_model_name_parse(
    ngx_http_ollama_model_name_t *n, ngx_str_t *name);
static ngx_int_t ngx_http_ollama_model_name_pop(ngx_str_t *rest,
    ngx_str_t *part);
static ngx_int_t ngx_http_ollama_model_name_host(ngx_str_t *host);
static ngx_uint_t ngx_http_ollama_model_name_is(ngx_str_t *part,
    ngx_str_t *lower);


static ngx_str_t  ngx_http_ollama_model_name_registry =
    ngx_string("registry.ollama.ai");
static ngx_str_t  ngx_http_ollama_model_name_library = ngx_string("library");
static ngx_str_t  ngx_http_ollama_model_name_latest = ngx_string(":latest");


size_t
ngx_http_ollama_model_name_key(u_char *dst, ngx_str_t *name)
{
    u_char                  *p;
    ngx_http_ollama_model_name_t   n;

    if (ngx_http_ollama_model_name_parse(&n, name) != NGX_OK) {
        ngx_strlow(dst, name->data, name->len);
        return name->len;
    }

    p = dst;

    if (n.host.len) {
        ngx_strlow(p, n.host.data, n.host.len);
        p += n.host.len;
        *p++ = '/';
    }

    if (n.namespace.len) {
        ngx_strlow(p, n.namespace.data, n.namespace.len);
        p += n.namespace.len;
        *p++ = '/';
    }

    ngx_strlow(p, n.model.data, n.model.len);
    p += n.model.len;

    if (n.tag.len) {
        *p++ = ':';
        ngx_strlow(p, n.tag.data, n.tag.len);
        p += n.tag.len;

    } else {
        p = ngx_cpymem(p, ngx_http_ollama_model_name_latest.data,
                       ngx_http_ollama_model_name_latest.len);
    }

    return p - dst;
}


ngx_int_t
ngx_http_ollama_model_name_namespace(ngx_str_t *name, ngx_str_t *owner)
{
    ngx_http_ollama_model_name_t  n;

    *owner = ngx_http_ollama_model_name_library;

    if (ngx_http_ollama_model_name_parse(&n, name) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (n.namespace.len) {
        *owner = n.namespace;
    }

    return NGX_OK;
}


/*
 * NGX_DECLINED: not a name, as a part before or after a separator is empty, or
 * the host has a slash in it.
 */

static ngx_int_t
ngx_http_ollama_model_name_parse(ngx_http_ollama_model_name_t *n,
    ngx_str_t *name)
{
    u_char     *p, *last;
    ngx_str_t   rest;

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    ngx_memzero(n, sizeof(ngx_http_ollama_model_name_t));

    rest = *name;
    last = rest.data + rest.len;

    for (p = last; p > rest.data && p[-1] != '/'; p--) {

        if (p[-1] != ':') {
            continue;
        }

        n->tag.data = p;
        n->tag.len = last - p;

        if (n->tag.len == 0) {
            return NGX_DECLINED;
        }

        rest.len = p - 1 - rest.data;

        break;
    }

    switch (ngx_http_ollama_model_name_pop(&rest, &n->model)) {
    case NGX_DONE:
        return NGX_OK;
    case NGX_DECLINED:
        return NGX_DECLINED;
    }

    switch (ngx_http_ollama_model_name_pop(&rest, &n->namespace)) {
    case NGX_DONE:
        break;
    case NGX_DECLINED:
        return NGX_DECLINED;
    default: /* NGX_OK */
        n->host = rest;

        if (ngx_http_ollama_model_name_host(&n->host) != NGX_OK) {
            return NGX_DECLINED;
        }

        break;
    }

    if (n->host.len == 0
        && ngx_http_ollama_model_name_is(&n->namespace,
                                         &ngx_http_ollama_model_name_library))
    {
        n->namespace.len = 0;
    }

    return NGX_OK;
}


/*
 * Removes the part after the last slash from "rest".  NGX_DONE: there is no
 * slash, the part is all; NGX_DECLINED: nothing is before or after it.
 */

static ngx_int_t
ngx_http_ollama_model_name_pop(ngx_str_t *rest, ngx_str_t *part)
{
    u_char  *p, *last;

    last = rest->data + rest->len;

    for (p = last; p > rest->data && p[-1] != '/'; p--) {
        /* void */
    }

    part->data = p;
    part->len = last - p;

    if (part->len == 0) {
        return NGX_DECLINED;
    }

    if (p == rest->data) {
        return NGX_DONE;
    }

    rest->len = p - 1 - rest->data;

    return rest->len ? NGX_OK : NGX_DECLINED;
}


/* Drops a scheme, whichever it is, and the default host. */

static ngx_int_t
ngx_http_ollama_model_name_host(ngx_str_t *host)
{
    u_char  *p, *last;

    last = host->data + host->len;

    for (p = host->data; last - p >= 3; p++) {
        if (p[0] == ':' && p[1] == '/' && p[2] == '/') {
            host->data = p + 3;
            host->len = last - host->data;
            break;
        }
    }

    if (ngx_strlchr(host->data, last, '/')) {
        return NGX_DECLINED;
    }

    if (ngx_http_ollama_model_name_is(host,
                                      &ngx_http_ollama_model_name_registry))
    {
        host->len = 0;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ollama_model_name_is(ngx_str_t *part, ngx_str_t *lower)
{
    return part->len == lower->len
           && ngx_strncasecmp(part->data, lower->data, part->len) == 0;
}
