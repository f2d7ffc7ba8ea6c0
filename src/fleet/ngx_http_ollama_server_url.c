
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A server's URL, as clients write it, in the form of a server line of an
 * upstream block, so that it can be compared with these.
 *
 * What is equal only by knowledge of addresses or of DNS stays different: a URL
 * can only match what is configured.
 *
 * Pure functions, without allocations or memory of their own.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_server_url.h"


static ngx_int_t ngx_http_ollama_server_url_scheme(ngx_str_t *url,
    ngx_str_t *scheme);
static ngx_int_t ngx_http_ollama_server_url_unix(u_char *dst, ngx_str_t *url,
    ngx_str_t *server);
static size_t ngx_http_ollama_server_url_host(ngx_str_t *url);
static size_t ngx_http_ollama_server_url_ipv6(ngx_str_t *url);
static ngx_int_t ngx_http_ollama_server_url_port(u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_server_url_path(u_char *p, u_char *last);


static ngx_str_t  ngx_http_ollama_server_url_http = ngx_string("http://");
static ngx_str_t  ngx_http_ollama_server_url_https = ngx_string("https://");
static ngx_str_t  ngx_http_ollama_server_url_socket = ngx_string("unix:");


/* paths that clients append to a server's address; compared with case */

static ngx_str_t  ngx_http_ollama_server_url_paths[] = {
    ngx_string(""),
    ngx_string("/"),
    ngx_string("/v1"),
    ngx_string("/v1/"),
    ngx_string("/api"),
    ngx_string("/api/"),
    ngx_null_string
};


ngx_int_t
ngx_http_ollama_server_url(u_char *dst, ngx_str_t *url, ngx_str_t *server,
    ngx_uint_t *tls)
{
    size_t      n;
    u_char     *p, *last, *port;
    ngx_str_t   rest;

    if (url->len == 0) {
        return NGX_DECLINED;
    }

    rest = *url;
    *tls = NGX_HTTP_OLLAMA_SERVER_URL_EITHER;

    if (ngx_http_ollama_server_url_scheme(&rest,
                                          &ngx_http_ollama_server_url_http)
        == NGX_OK)
    {
        *tls = 0;

    } else if (ngx_http_ollama_server_url_scheme(&rest,
                                           &ngx_http_ollama_server_url_https)
               == NGX_OK)
    {
        *tls = 1;
    }

    if (ngx_http_ollama_server_url_scheme(&rest,
                                          &ngx_http_ollama_server_url_socket)
        == NGX_OK)
    {
        return ngx_http_ollama_server_url_unix(dst, &rest, server);
    }

    n = ngx_http_ollama_server_url_host(&rest);
    if (n == 0) {
        return NGX_DECLINED;
    }

    last = rest.data + rest.len;
    port = rest.data + n;

    for (p = port; p < last && *p != '/'; p++) {
        /* void */
    }

    if (ngx_http_ollama_server_url_path(p, last) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (p != port && ngx_http_ollama_server_url_port(port, p) != NGX_OK) {
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


/* Removes the scheme from "url", if it is that one. */

static ngx_int_t
ngx_http_ollama_server_url_scheme(ngx_str_t *url, ngx_str_t *scheme)
{
    if (url->len < scheme->len) {
        return NGX_DECLINED;
    }

    if (ngx_strncasecmp(url->data, scheme->data, scheme->len) != 0) {
        return NGX_DECLINED;
    }

    url->data += scheme->len;
    url->len -= scheme->len;

    return NGX_OK;
}


/*
 * The path of a socket, which nginx ends with a ":" in a URL; only after that
 * there can be a path of HTTP.
 */

static ngx_int_t
ngx_http_ollama_server_url_unix(u_char *dst, ngx_str_t *url, ngx_str_t *server)
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

        if (ngx_http_ollama_server_url_path(p + 1, last) != NGX_OK) {
            return NGX_DECLINED;
        }

        last = p;
    }

    if (last - url->data < 2 || url->data[0] != '/') {
        return NGX_DECLINED;
    }

    p = ngx_cpymem(dst, ngx_http_ollama_server_url_socket.data,
                   ngx_http_ollama_server_url_socket.len);
    p = ngx_cpymem(p, url->data, last - url->data);

    server->data = dst;
    server->len = p - dst;

    return NGX_OK;
}


/* The length of the host that "url" begins with; 0: none. */

static size_t
ngx_http_ollama_server_url_host(ngx_str_t *url)
{
    u_char  *p, *last, ch;

    p = url->data;
    last = p + url->len;

    if (p < last && *p == '[') {
        return ngx_http_ollama_server_url_ipv6(url);
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


/* The same of an address in brackets. */

static size_t
ngx_http_ollama_server_url_ipv6(ngx_str_t *url)
{
    u_char  *p, *last, ch;

    last = url->data + url->len;

    for (p = url->data + 1; p < last; p++) {

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


/* ":" and a number, in its only spelling: without zeros in front */

static ngx_int_t
ngx_http_ollama_server_url_port(u_char *p, u_char *last)
{
    ngx_int_t  n;

    if (*p++ != ':' || p == last || *p == '0') {
        return NGX_DECLINED;
    }

    n = ngx_atoi(p, last - p);

    return (n > 0 && n <= 65535) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_server_url_path(u_char *p, u_char *last)
{
    size_t      len;
    ngx_str_t  *path;

    len = last - p;

    for (path = ngx_http_ollama_server_url_paths; path->data; path++) {
        if (len == path->len && ngx_memcmp(p, path->data, len) == 0) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}
