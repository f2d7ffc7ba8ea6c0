
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which web pages may send requests.  Ollama checks the Origin and the Host of
 * a request, but ollama_params replaces both; so the check is made here, by
 * Ollama's rules (AllowedOrigins() in envconfig/config.go, and gin's CORS
 * middleware).
 *
 * A page of this server is allowed: its Origin has the request's Host.  Against
 * DNS rebinding, where the host name of a foreign page resolves to this
 * machine, that Host must be a name of this server: one of "server_name", if it
 * has any, or a name that only local name services resolve.
 *
 * The check runs before limits and authentication: a preflight has no
 * credentials, and a foreign page must not even try passwords.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "request/ngx_http_ollama_origin.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"
#include "core/ngx_http_ollama_conf.h"


static ngx_int_t ngx_http_ollama_origin_check(ngx_http_request_t *r,
    ngx_http_ollama_loc_conf_t *olcf, ngx_str_t *origin);
static ngx_uint_t ngx_http_ollama_origin_listed(ngx_array_t *patterns,
    ngx_str_t *origin);
static ngx_uint_t ngx_http_ollama_origin_match(ngx_str_t *pattern,
    ngx_str_t *origin);
static ngx_uint_t ngx_http_ollama_origin_is_host(u_char *p, u_char *last,
    ngx_uint_t port);
static ngx_uint_t ngx_http_ollama_origin_same(ngx_http_request_t *r,
    ngx_str_t *origin);
static ngx_uint_t ngx_http_ollama_origin_own_name(ngx_http_request_t *r,
    ngx_str_t *host);
static ngx_uint_t ngx_http_ollama_origin_server_name(ngx_http_request_t *r,
    ngx_str_t *host);
static ngx_uint_t ngx_http_ollama_origin_ends(ngx_str_t *host,
    ngx_str_t *tail);
static void ngx_http_ollama_origin_trim_port(ngx_str_t *host);
static ngx_int_t ngx_http_ollama_origin_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_origin_expose(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_origin_preflight(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_origin_add(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
static ngx_table_elt_t *ngx_http_ollama_origin_remove(ngx_http_request_t *r,
    const char *name);


/* Ollama's defaults; a "*" stands for one or more characters of a host */

static ngx_str_t  ngx_http_ollama_origin_defaults[] = {
    ngx_string("http://localhost"),
    ngx_string("https://localhost"),
    ngx_string("http://localhost:*"),
    ngx_string("https://localhost:*"),
    ngx_string("http://127.0.0.1"),
    ngx_string("https://127.0.0.1"),
    ngx_string("http://127.0.0.1:*"),
    ngx_string("https://127.0.0.1:*"),
    ngx_string("http://0.0.0.0"),
    ngx_string("https://0.0.0.0"),
    ngx_string("http://0.0.0.0:*"),
    ngx_string("https://0.0.0.0:*"),
    ngx_string("app://*"),
    ngx_string("file://*"),
    ngx_string("tauri://*"),
    ngx_string("vscode-webview://*"),
    ngx_string("vscode-file://*"),
    ngx_null_string
};


/* names that no foreign name server can resolve to this machine */

static ngx_str_t  ngx_http_ollama_origin_local[] = {
    ngx_string("localhost"),
    ngx_string(".localhost"),
    ngx_string(".local"),
    ngx_string(".internal"),
    ngx_null_string
};


/* lines of a reply's header that a page may read */

static ngx_str_t  ngx_http_ollama_origin_exposed =
    ngx_string("X-Ollama-Task-Id, X-Ollama-Session-Id, X-Ollama-Server, "
               "X-Ollama-Model, X-Ollama-Removed, Retry-After");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_ollama_origin_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_str_t                    origin;
    ngx_http_ollama_ctx_t       *ctx;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable || r != r->main) {
        return NGX_DECLINED;
    }

    rc = ngx_http_ollama_origin_check(r, olcf, &origin);

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_ollama_make_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_ABORT) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_FORBIDDEN,
                             "origin \"%V\" is not allowed to call this "
                             "server (ollama_origins)", &origin);
    }

    return (r->method == NGX_HTTP_OPTIONS) ? NGX_HTTP_NO_CONTENT
                                           : NGX_DECLINED;
}


/*
 * NGX_DECLINED: the request is not from a page; NGX_OK: it is, and is allowed;
 * NGX_ABORT: it is not allowed.
 */

static ngx_int_t
ngx_http_ollama_origin_check(ngx_http_request_t *r,
    ngx_http_ollama_loc_conf_t *olcf, ngx_str_t *origin)
{
    ngx_uint_t  n;

    n = ngx_http_ollama_header_find(r, "origin", origin);

    if (n == 0 || (n == 1 && origin->len == 0)) {
        return NGX_DECLINED;
    }

    if (n == 1
        && (ngx_http_ollama_origin_same(r, origin)
            || ngx_http_ollama_origin_listed(olcf->origins, origin)))
    {
        return NGX_OK;
    }

    return NGX_ABORT;
}


ngx_uint_t
ngx_http_ollama_origin_valid(ngx_str_t *pattern)
{
    u_char  *p, *last, *star;

    last = pattern->data + pattern->len;

    if (pattern->len == 1 && pattern->data[0] == '*') {
        return 1;
    }

    p = ngx_strnstr(pattern->data, "://", pattern->len);

    if (p == NULL || p == pattern->data || p + 3 == last) {
        return 0;
    }

    star = ngx_strlchr(pattern->data, last, '*');

    return ngx_strlchr(p + 3, last, '/') == NULL
           && (star == NULL
               || (star > p && ngx_strlchr(star + 1, last, '*') == NULL));
}


static ngx_uint_t
ngx_http_ollama_origin_listed(ngx_array_t *patterns, ngx_str_t *origin)
{
    ngx_str_t   *pattern;
    ngx_uint_t   i;

    for (pattern = ngx_http_ollama_origin_defaults; pattern->len; pattern++) {
        if (ngx_http_ollama_origin_match(pattern, origin)) {
            return 1;
        }
    }

    if (patterns == NULL) {
        return 0;
    }

    pattern = patterns->elts;

    for (i = 0; i < patterns->nelts; i++) {
        if (ngx_http_ollama_origin_match(&pattern[i], origin)) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_ollama_origin_match(ngx_str_t *pattern, ngx_str_t *origin)
{
    u_char  *last, *star;
    size_t   head, tail;

    last = pattern->data + pattern->len;
    star = ngx_strlchr(pattern->data, last, '*');

    if (star == NULL) {
        return pattern->len == origin->len
               && ngx_strncasecmp(pattern->data, origin->data, origin->len)
                  == 0;
    }

    if (pattern->len == 1) {
        return 1;
    }

    head = star - pattern->data;
    tail = last - star - 1;

    if (origin->len < head + tail
        || ngx_strncasecmp(pattern->data, origin->data, head) != 0
        || ngx_strncasecmp(star + 1, origin->data + origin->len - tail, tail)
           != 0)
    {
        return 0;
    }

    if (tail == 0 && star[-1] == '/') {
        /* a pattern like that of "app:": any host, or none */
        return 1;
    }

    return ngx_http_ollama_origin_is_host(origin->data + head,
                                      origin->data + origin->len - tail,
                                      star[-1] == ':');
}


/* Whether the bytes can be a part of a host, or a port: at least one. */

static ngx_uint_t
ngx_http_ollama_origin_is_host(u_char *p, u_char *last, ngx_uint_t port)
{
    if (p == last) {
        return 0;
    }

    while (p < last) {
        if (port && (*p < '0' || *p > '9')) {
            return 0;
        }

        if (!((*p >= '0' && *p <= '9')
              || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z')
              || *p == '-' || *p == '.' || *p == '_'))
        {
            return 0;
        }

        p++;
    }

    return 1;
}


/* Whether the page is from this server, and under one of its names. */

static ngx_uint_t
ngx_http_ollama_origin_same(ngx_http_request_t *r, ngx_str_t *origin)
{
    size_t     skip;
    ngx_str_t  host, page;

    page = *origin;

    if (page.len > 7
        && ngx_strncasecmp(page.data, (u_char *) "http://", 7) == 0)
    {
        skip = 7;

    } else if (page.len > 8
               && ngx_strncasecmp(page.data, (u_char *) "https://", 8) == 0)
    {
        skip = 8;

    } else {
        return 0;
    }

    page.data += skip;
    page.len -= skip;

    if (r->headers_in.host) {
        host = r->headers_in.host->value;

    } else {
        /* HTTP/3 has no such line, and nginx keeps no port then */
        host = r->headers_in.server;
        ngx_http_ollama_origin_trim_port(&page);
    }

    return page.len == host.len
           && ngx_strncasecmp(page.data, host.data, host.len) == 0
           && ngx_http_ollama_origin_own_name(r, &r->headers_in.server);
}


/* "host" as parsed by nginx: in lower case, without a port. */

static ngx_uint_t
ngx_http_ollama_origin_own_name(ngx_http_request_t *r, ngx_str_t *host)
{
    ngx_str_t  *name;

    if (host->len == 0) {
        return 0;
    }

    if (host->data[0] == '['
        || ngx_inet_addr(host->data, host->len) != INADDR_NONE)
    {
        /* an address can't be rebound */
        return 1;
    }

    if (host->len == ngx_cycle->hostname.len
        && ngx_strncasecmp(host->data, ngx_cycle->hostname.data, host->len)
           == 0)
    {
        return 1;
    }

    for (name = ngx_http_ollama_origin_local; name->len; name++) {
        if (ngx_http_ollama_origin_ends(host, name)) {
            return 1;
        }
    }

    return ngx_http_ollama_origin_server_name(r, host);
}


/*
 * Whether server_name has the host.  A server without a name, or with only the
 * customary "_", has any.
 */

static ngx_uint_t
ngx_http_ollama_origin_server_name(ngx_http_request_t *r, ngx_str_t *host)
{
    ngx_str_t                    name;
    ngx_uint_t                   i;
    ngx_http_server_name_t      *sn;
    ngx_http_ollama_srv_conf_t  *oscf;

    oscf = ngx_http_get_module_srv_conf(r, ngx_http_ollama_module);

    sn = oscf->names->elts;

    for (i = 0; i < oscf->names->nelts; i++) {

#if (NGX_PCRE)
        if (sn[i].regex) {
            if (ngx_regex_exec(sn[i].regex->regex, host, NULL, 0) >= 0) {
                return 1;
            }

            continue;
        }
#endif

        name = sn[i].name;

        if (name.len > 2 && name.data[name.len - 1] == '*') {
            /* "www.example.*" */
            name.len--;

            if (host->len > name.len
                && ngx_strncasecmp(host->data, name.data, name.len) == 0)
            {
                return 1;
            }

            continue;
        }

        if (name.data[0] == '*') {
            /* "*.example.com", which is not example.com */
            name.data++;
            name.len--;

            if (host->len == name.len - 1) {
                continue;
            }
        }

        if (ngx_http_ollama_origin_ends(host, &name)) {
            return 1;
        }
    }

    return oscf->names->nelts == 0;
}


/* "tail" is a whole name, or the end of one if it begins with a dot. */

static ngx_uint_t
ngx_http_ollama_origin_ends(ngx_str_t *host, ngx_str_t *tail)
{
    if (host->len < tail->len
        || ngx_strncasecmp(host->data + host->len - tail->len, tail->data,
                           tail->len) != 0)
    {
        /* ".example.com" is a name of example.com itself, too */
        return tail->data[0] == '.' && host->len == tail->len - 1
               && ngx_strncasecmp(host->data, tail->data + 1, host->len) == 0;
    }

    return tail->data[0] == '.' || host->len == tail->len;
}


static void
ngx_http_ollama_origin_trim_port(ngx_str_t *host)
{
    size_t  i;

    for (i = host->len; i > 0; i--) {

        if (host->data[i - 1] == ':') {
            host->len = i - 1;
            return;
        }

        if (host->data[i - 1] == ']') {
            return;
        }
    }
}


/* Tells the browser that the page may read the reply. */

static ngx_int_t
ngx_http_ollama_origin_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_str_t                    value, origin;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (!olcf->enable || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    /* again: an error may be from before the check, as 413 is */

    rc = ngx_http_ollama_origin_check(r, olcf, &origin);

    if (rc == NGX_ABORT) {
        while (ngx_http_ollama_origin_remove(r, "Access-Control-Allow-Origin"))
        {
            /* void */
        }
    }

    if (rc != NGX_OK
        || (r->method != NGX_HTTP_OPTIONS
            && ngx_http_ollama_origin_same(r, &origin)))
    {
        return ngx_http_next_header_filter(r);
    }

    ngx_str_set(&value, "Origin");

    if (ngx_http_ollama_origin_add(r, "Access-Control-Allow-Origin", &origin)
        != NGX_OK
        || ngx_http_ollama_header_add(r, "Vary", &value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if ((r->method == NGX_HTTP_OPTIONS
         ? ngx_http_ollama_origin_preflight(r)
         : ngx_http_ollama_origin_expose(r))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* An administrator's list of header lines is added to that of ours. */

static ngx_int_t
ngx_http_ollama_origin_expose(ngx_http_request_t *r)
{
    u_char           *p;
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    static const char  name[] = "Access-Control-Expose-Headers";

    value = ngx_http_ollama_origin_exposed;

    for ( ;; ) {
        h = ngx_http_ollama_origin_remove(r, name);

        if (h == NULL) {
            return ngx_http_ollama_header_add(r, name, &value);
        }

        p = ngx_pnalloc(r->pool, value.len + sizeof(", ") - 1 + h->value.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.len = ngx_sprintf(p, "%V, %V", &value, &h->value) - p;
        value.data = p;
    }
}


static ngx_int_t
ngx_http_ollama_origin_preflight(ngx_http_request_t *r)
{
    ngx_str_t  value;

    ngx_str_set(&value, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

    if (ngx_http_ollama_origin_add(r, "Access-Control-Allow-Methods", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "43200");

    if (ngx_http_ollama_origin_add(r, "Access-Control-Max-Age", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* clients have header lines of their own, all of which are allowed */

    if (ngx_http_ollama_header_find(r, "access-control-request-headers",
                                    &value)
        == 0)
    {
        return NGX_OK;
    }

    return ngx_http_ollama_origin_add(r, "Access-Control-Allow-Headers",
                                      &value);
}


/* Adds a line in place of all that have this name. */

static ngx_int_t
ngx_http_ollama_origin_add(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    while (ngx_http_ollama_origin_remove(r, name)) {
        /* void */
    }

    return ngx_http_ollama_header_add(r, name, value);
}


/* Removes the first line with this name and returns it; NULL: there is none. */

static ngx_table_elt_t *
ngx_http_ollama_origin_remove(ngx_http_request_t *r, const char *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash
                && h[i].key.len == ngx_strlen(name)
                && ngx_strncasecmp(h[i].key.data, (u_char *) name,
                                   h[i].key.len)
                   == 0)
            {
                h[i].hash = 0;
                return &h[i];
            }
        }
    }

    return NULL;
}


/* A server with only the customary "_" is left without names. */

ngx_int_t
ngx_http_ollama_origin_init(ngx_conf_t *cf)
{
    ngx_str_t                    *name;
    ngx_uint_t                    i, j;
    ngx_http_server_name_t       *sn, *copy;
    ngx_http_core_srv_conf_t    **cscfp;
    ngx_http_core_main_conf_t    *cmcf;
    ngx_http_ollama_srv_conf_t   *oscf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        oscf = cscfp[i]->ctx->srv_conf[ngx_http_ollama_module.ctx_index];

        oscf->names = ngx_array_create(cf->pool, 4,
                                       sizeof(ngx_http_server_name_t));
        if (oscf->names == NULL) {
            return NGX_ERROR;
        }

        sn = cscfp[i]->server_names.elts;

        for (j = 0; j < cscfp[i]->server_names.nelts; j++) {

            name = &sn[j].name;

            if (name->len == 0 || (name->len == 1 && name->data[0] == '_')) {
                continue;
            }

            copy = ngx_array_push(oscf->names);
            if (copy == NULL) {
                return NGX_ERROR;
            }

            *copy = sn[j];
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_origin_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_ollama_origin_header_filter;

    return NGX_OK;
}
