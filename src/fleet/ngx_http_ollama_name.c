
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Names of models and of servers in the one spelling that can be compared
 * byte by byte.
 *
 * A model's name is taken apart as Ollama does it (ParseName() in
 * types/model/name.go), as that is what a server compares, without regard to
 * case.  What isn't a name for Ollama never becomes the key of one that is.
 *
 * Pure functions, without allocations; anyone may call them.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_name.h"


/* what a name consists of; len 0: the default */

typedef struct {
    ngx_str_t  host;
    ngx_str_t  namespace;
    ngx_str_t  model;
    ngx_str_t  tag;
} ngx_http_ollama_name_t;


static ngx_int_t ngx_http_ollama_name_parse(ngx_http_ollama_name_t *n,
    ngx_str_t *name);
static ngx_int_t ngx_http_ollama_name_cut(ngx_str_t *rest, ngx_str_t *part);
static ngx_int_t ngx_http_ollama_name_host(ngx_str_t *host);
static ngx_uint_t ngx_http_ollama_name_is(ngx_str_t *part, ngx_str_t *lower);
static ngx_int_t ngx_http_ollama_name_scheme(ngx_str_t *url,
    ngx_str_t *scheme);
static ngx_int_t ngx_http_ollama_name_unix(u_char *dst, ngx_str_t *url,
    ngx_str_t *server);
static size_t ngx_http_ollama_name_hostname(ngx_str_t *url);
static ngx_int_t ngx_http_ollama_name_port(u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_name_path(u_char *p, u_char *last);


static ngx_str_t  ngx_http_ollama_name_registry =
    ngx_string("registry.ollama.ai");
static ngx_str_t  ngx_http_ollama_name_library = ngx_string("library");
static ngx_str_t  ngx_http_ollama_name_latest = ngx_string(":latest");

static ngx_str_t  ngx_http_ollama_name_http = ngx_string("http://");
static ngx_str_t  ngx_http_ollama_name_https = ngx_string("https://");
static ngx_str_t  ngx_http_ollama_name_socket = ngx_string("unix:");


/* what clients have behind a server's address, in its one case */

static ngx_str_t  ngx_http_ollama_name_paths[] = {
    ngx_string(""),
    ngx_string("/"),
    ngx_string("/v1"),
    ngx_string("/v1/"),
    ngx_string("/api"),
    ngx_string("/api/"),
    ngx_null_string
};


/*
 * Writes the key of a model's name: in lower case, without defaults but with
 * the tag, as "model:tag", "namespace/model:tag", "host/namespace/model:tag".
 * What is no name keeps its form.  Returns the length, 0 for an empty name.
 */

size_t
ngx_http_ollama_name_model(u_char *dst, ngx_str_t *name)
{
    u_char                  *p;
    ngx_http_ollama_name_t   n;

    if (ngx_http_ollama_name_parse(&n, name) != NGX_OK) {
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
        p = ngx_cpymem(p, ngx_http_ollama_name_latest.data,
                       ngx_http_ollama_name_latest.len);
    }

    return p - dst;
}


/*
 * Finds the namespace, as the name spells it or "library".  NGX_DECLINED: this
 * is no name, "owner" is "library" then, too.
 */

ngx_int_t
ngx_http_ollama_name_namespace(ngx_str_t *name, ngx_str_t *owner)
{
    ngx_http_ollama_name_t  n;

    *owner = ngx_http_ollama_name_library;

    if (ngx_http_ollama_name_parse(&n, name) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (n.namespace.len) {
        *owner = n.namespace;
    }

    return NGX_OK;
}


/*
 * NGX_DECLINED: no name, as a part is empty where a separator promises one,
 * or the host has a slash in it.
 */

static ngx_int_t
ngx_http_ollama_name_parse(ngx_http_ollama_name_t *n, ngx_str_t *name)
{
    u_char     *p, *last;
    ngx_str_t   rest;

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    ngx_memzero(n, sizeof(ngx_http_ollama_name_t));

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

    switch (ngx_http_ollama_name_cut(&rest, &n->model)) {
    case NGX_DONE:
        return NGX_OK;
    case NGX_DECLINED:
        return NGX_DECLINED;
    }

    switch (ngx_http_ollama_name_cut(&rest, &n->namespace)) {
    case NGX_DONE:
        break;
    case NGX_DECLINED:
        return NGX_DECLINED;
    default: /* NGX_OK */
        n->host = rest;

        if (ngx_http_ollama_name_host(&n->host) != NGX_OK) {
            return NGX_DECLINED;
        }

        break;
    }

    if (n->host.len == 0
        && ngx_http_ollama_name_is(&n->namespace,
                                   &ngx_http_ollama_name_library))
    {
        n->namespace.len = 0;
    }

    return NGX_OK;
}


/*
 * Takes the part behind the last slash from "rest".  NGX_DONE: there is no
 * slash, the part is all; NGX_DECLINED: nothing is before or behind it.
 */

static ngx_int_t
ngx_http_ollama_name_cut(ngx_str_t *rest, ngx_str_t *part)
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
ngx_http_ollama_name_host(ngx_str_t *host)
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

    if (ngx_http_ollama_name_is(host, &ngx_http_ollama_name_registry)) {
        host->len = 0;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ollama_name_is(ngx_str_t *part, ngx_str_t *lower)
{
    size_t  i;

    if (part->len != lower->len) {
        return 0;
    }

    for (i = 0; i < part->len; i++) {
        if (ngx_tolower(part->data[i]) != lower->data[i]) {
            return 0;
        }
    }

    return 1;
}


/*
 * Turns what a client calls a server into the form of a server line: to
 * "host:port", or to "unix:/path"; *tls: 0 for http, 1 for https, or
 * NGX_HTTP_OLLAMA_NAME_EITHER.  NGX_DECLINED: no line can be meant.
 *
 * What is the same only by knowledge of addresses or of DNS stays different;
 * who compares can only find what is configured.
 */

ngx_int_t
ngx_http_ollama_name_server(u_char *dst, ngx_str_t *url, ngx_str_t *server,
    ngx_uint_t *tls)
{
    size_t      n;
    u_char     *p, *last, *port;
    ngx_str_t   rest;

    if (url->len == 0) {
        return NGX_DECLINED;
    }

    rest = *url;
    *tls = NGX_HTTP_OLLAMA_NAME_EITHER;

    if (ngx_http_ollama_name_scheme(&rest, &ngx_http_ollama_name_http)
        == NGX_OK)
    {
        *tls = 0;

    } else if (ngx_http_ollama_name_scheme(&rest, &ngx_http_ollama_name_https)
               == NGX_OK)
    {
        *tls = 1;
    }

    if (ngx_http_ollama_name_scheme(&rest, &ngx_http_ollama_name_socket)
        == NGX_OK)
    {
        return ngx_http_ollama_name_unix(dst, &rest, server);
    }

    n = ngx_http_ollama_name_hostname(&rest);
    if (n == 0) {
        return NGX_DECLINED;
    }

    last = rest.data + rest.len;
    port = rest.data + n;

    for (p = port; p < last && *p != '/'; p++) {
        /* void */
    }

    if (ngx_http_ollama_name_path(p, last) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (p != port && ngx_http_ollama_name_port(port, p) != NGX_OK) {
        return NGX_DECLINED;
    }

    n = p - rest.data;

    ngx_strlow(dst, rest.data, n);

    server->data = dst;
    server->len = n;

    if (p == port) {
        p = (*tls == 1) ? ngx_cpymem(dst + n, ":443", 4)
                        : ngx_cpymem(dst + n, ":80", 3);
        server->len = p - dst;
    }

    return NGX_OK;
}


/* Takes the scheme from "url", if it is that one. */

static ngx_int_t
ngx_http_ollama_name_scheme(ngx_str_t *url, ngx_str_t *scheme)
{
    ngx_str_t  start;

    if (url->len < scheme->len) {
        return NGX_DECLINED;
    }

    start.data = url->data;
    start.len = scheme->len;

    if (!ngx_http_ollama_name_is(&start, scheme)) {
        return NGX_DECLINED;
    }

    url->data += scheme->len;
    url->len -= scheme->len;

    return NGX_OK;
}


/*
 * The path of a socket, which nginx ends with a ":" in a URL; only behind
 * that can there be a path of HTTP.
 */

static ngx_int_t
ngx_http_ollama_name_unix(u_char *dst, ngx_str_t *url, ngx_str_t *server)
{
    u_char  *p, *last;

    last = url->data + url->len;

    for (p = url->data; p < last; p++) {

        if (*p <= 0x20 || *p >= 0x7f || *p == '?' || *p == '#') {
            return NGX_DECLINED;
        }
    }

    p = ngx_strlchr(url->data, last, ':');

    if (p) {

        if (ngx_http_ollama_name_path(p + 1, last) != NGX_OK) {
            return NGX_DECLINED;
        }

        last = p;
    }

    if (last - url->data < 2 || url->data[0] != '/') {
        return NGX_DECLINED;
    }

    p = ngx_cpymem(dst, ngx_http_ollama_name_socket.data,
                   ngx_http_ollama_name_socket.len);
    p = ngx_cpymem(p, url->data, last - url->data);

    server->data = dst;
    server->len = p - dst;

    return NGX_OK;
}


/* The length of the host that "url" begins with; 0: none. */

static size_t
ngx_http_ollama_name_hostname(ngx_str_t *url)
{
    u_char  *p, *last, ch;

    p = url->data;
    last = p + url->len;

    if (p < last && *p == '[') {

        for (p++; p < last; p++) {

            if ((*p >= '0' && *p <= '9') || *p == ':' || *p == '.') {
                continue;
            }

            ch = ngx_tolower(*p);

            if (ch < 'a' || ch > 'f') {
                break;
            }
        }

        if (p == last || *p != ']' || p - url->data < 2) {
            return 0;
        }

        return p + 1 - url->data;
    }

    for ( /* void */ ; p < last; p++) {

        ch = ngx_tolower(*p);

        if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9')
            && ch != '.' && ch != '-' && ch != '_')
        {
            break;
        }
    }

    return p - url->data;
}


/* ":" and a number, in the only spelling that it has */

static ngx_int_t
ngx_http_ollama_name_port(u_char *p, u_char *last)
{
    ngx_int_t  n;

    if (*p++ != ':' || p == last || *p == '0') {
        return NGX_DECLINED;
    }

    n = ngx_atoi(p, last - p);

    return (n > 0 && n <= 65535) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_name_path(u_char *p, u_char *last)
{
    size_t      len;
    ngx_str_t  *path;

    len = last - p;

    for (path = ngx_http_ollama_name_paths; path->data; path++) {
        if (len == path->len && ngx_memcmp(p, path->data, len) == 0) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}
