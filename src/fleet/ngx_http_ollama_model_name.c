
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The key of a model's name: the one spelling in which names of models are
 * compared byte by byte.
 *
 * A name is parsed as Ollama does it (ParseName() in types/model/name.go, and
 * ParseRef() in internal/modelref for the suffixes ":local" and ":cloud"), as
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


static void ngx_http_ollama_model_name_trim(ngx_str_t *name);
static ngx_uint_t ngx_http_ollama_model_name_is_blank(u_char ch);
static ngx_uint_t ngx_http_ollama_model_name_ends(ngx_str_t *name,
    ngx_str_t *lower);
static u_char *ngx_http_ollama_model_name_copy(u_char *p, ngx_str_t *part);
static void ngx_http_ollama_model_name_cloud(ngx_http_ollama_model_name_t *n,
    ngx_str_t *legacy);
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
static ngx_str_t  ngx_http_ollama_model_name_local = ngx_string(":local");
static ngx_str_t  ngx_http_ollama_model_name_tag = ngx_string(":cloud");
static ngx_str_t  ngx_http_ollama_model_name_suffix = ngx_string("-cloud");


void
ngx_http_ollama_model_name_plain(ngx_str_t *name)
{
    ngx_str_t  base;

    ngx_http_ollama_model_name_trim(name);

    if (name->len == ngx_http_ollama_model_name_local.len
        || !ngx_http_ollama_model_name_ends(name,
                                           &ngx_http_ollama_model_name_local))
    {
        return;
    }

    base = *name;
    base.len -= ngx_http_ollama_model_name_local.len;

    ngx_http_ollama_model_name_trim(&base);

    /* Ollama refuses two suffixes */

    if (!ngx_http_ollama_model_name_ends(&base,
                                         &ngx_http_ollama_model_name_tag)
        && !ngx_http_ollama_model_name_ends(&base,
                                            &ngx_http_ollama_model_name_suffix)
        && !ngx_http_ollama_model_name_ends(&base,
                                            &ngx_http_ollama_model_name_local))
    {
        *name = base;
    }
}


/* The ASCII ones of those that Go's TrimSpace() removes. */

static void
ngx_http_ollama_model_name_trim(ngx_str_t *name)
{
    while (name->len
           && ngx_http_ollama_model_name_is_blank(name->data[name->len - 1]))
    {
        name->len--;
    }

    while (name->len && ngx_http_ollama_model_name_is_blank(name->data[0])) {
        name->data++;
        name->len--;
    }
}


static ngx_uint_t
ngx_http_ollama_model_name_is_blank(u_char ch)
{
    return ch == ' ' || (ch >= '\t' && ch <= '\r');
}


ngx_uint_t
ngx_http_ollama_model_name_is_cloud(ngx_str_t *name)
{
    ngx_str_t  trimmed;

    trimmed = *name;
    ngx_http_ollama_model_name_trim(&trimmed);

    return trimmed.len > ngx_http_ollama_model_name_tag.len
           && (ngx_http_ollama_model_name_ends(&trimmed,
                                            &ngx_http_ollama_model_name_tag)
               || ngx_http_ollama_model_name_ends(&trimmed,
                                         &ngx_http_ollama_model_name_suffix));
}


static ngx_uint_t
ngx_http_ollama_model_name_ends(ngx_str_t *name, ngx_str_t *lower)
{
    return name->len >= lower->len
           && ngx_strncasecmp(name->data + name->len - lower->len,
                              lower->data, lower->len) == 0;
}


size_t
ngx_http_ollama_model_name_key(u_char *dst, ngx_str_t *name)
{
    u_char                        *p;
    ngx_str_t                      plain, legacy;
    ngx_http_ollama_model_name_t   n;

    plain = *name;
    ngx_http_ollama_model_name_plain(&plain);

    if (ngx_http_ollama_model_name_parse(&n, &plain) != NGX_OK) {
        return ngx_http_ollama_model_name_copy(dst, &plain) - dst;
    }

    ngx_http_ollama_model_name_cloud(&n, &legacy);

    p = dst;

    if (n.host.len) {
        p = ngx_http_ollama_model_name_copy(p, &n.host);
        *p++ = '/';
    }

    if (n.namespace.len) {
        p = ngx_http_ollama_model_name_copy(p, &n.namespace);
        *p++ = '/';
    }

    p = ngx_http_ollama_model_name_copy(p, &n.model);

    if (legacy.len) {
        *p++ = ':';
        p = ngx_http_ollama_model_name_copy(p, &legacy);
        return ngx_http_ollama_model_name_copy(p,
                                      &ngx_http_ollama_model_name_suffix) - dst;
    }

    if (n.tag.len) {
        *p++ = ':';
        p = ngx_http_ollama_model_name_copy(p, &n.tag);

    } else {
        p = ngx_http_ollama_model_name_copy(p,
                                           &ngx_http_ollama_model_name_latest);
    }

    return p - dst;
}


static u_char *
ngx_http_ollama_model_name_copy(u_char *p, ngx_str_t *part)
{
    ngx_strlow(p, part->data, part->len);

    return p + part->len;
}


/*
 * "model:tag:cloud" is the model that servers list as "model:tag-cloud": then
 * "legacy" is set to the tag, which is removed from the model; else to len 0.
 */

static void
ngx_http_ollama_model_name_cloud(ngx_http_ollama_model_name_t *n,
    ngx_str_t *legacy)
{
    u_char     *colon;
    ngx_str_t   cloud;

    ngx_str_null(legacy);

    cloud = ngx_http_ollama_model_name_tag;
    cloud.data++;
    cloud.len--;

    if (!ngx_http_ollama_model_name_is(&n->tag, &cloud)) {
        return;
    }

    for (colon = n->model.data + n->model.len - 1;
         colon > n->model.data && *colon != ':';
         colon--)
    {
        /* void */
    }

    if (colon > n->model.data) {
        legacy->data = colon + 1;
        legacy->len = n->model.data + n->model.len - legacy->data;

        if (legacy->len) {
            n->model.len = colon - n->model.data;
        }
    }
}


ngx_int_t
ngx_http_ollama_model_name_namespace(ngx_str_t *name, ngx_str_t *owner)
{
    ngx_str_t                     plain;
    ngx_http_ollama_model_name_t  n;

    *owner = ngx_http_ollama_model_name_library;

    plain = *name;
    ngx_http_ollama_model_name_plain(&plain);

    if (ngx_http_ollama_model_name_parse(&n, &plain) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (n.namespace.len) {
        *owner = n.namespace;
    }

    return NGX_OK;
}


/*
 * NGX_DECLINED: not a name, as a part before or after a separator is empty or
 * begins with a blank, or the host has a slash in it.
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
 * slash, the part is all; NGX_DECLINED: nothing is before or after it, or a
 * blank, which would be the first one of the key if the rest is a default.
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

    if (part->len == 0 || ngx_http_ollama_model_name_is_blank(*p)) {
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

    if (host->len && ngx_http_ollama_model_name_is_blank(host->data[0])) {
        return NGX_DECLINED;
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
