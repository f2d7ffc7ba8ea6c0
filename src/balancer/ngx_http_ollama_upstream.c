
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The configuration of upstream blocks: ollama_balance, ollama_poll,
 * ollama_poll_header, and the size of the shared memory, ollama_zone.  All of
 * it lives as long as the configuration.  It may use the balancer's handler and
 * the fleet's types.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_upstream.h"
#include "balancer/ngx_http_ollama_balancer.h"
#include "fleet/ngx_http_ollama_fleet.h"
#include "core/ngx_http_ollama_conf.h"


/* requests that may wait, and for how long, ms */
#define NGX_HTTP_OLLAMA_UPSTREAM_QUEUE          256
#define NGX_HTTP_OLLAMA_UPSTREAM_QUEUE_MAX      10000
#define NGX_HTTP_OLLAMA_UPSTREAM_QUEUE_TIMEOUT  60000

#define NGX_HTTP_OLLAMA_ZONE_MIN   (1024 * 1024)

/* the shortest interval and timeout of ollama_poll, ms */
#define NGX_HTTP_OLLAMA_POLL_MIN   100

/* headers of probes by default */
#define NGX_HTTP_OLLAMA_UPSTREAM_HEADERS  3


static ngx_int_t ngx_http_ollama_upstream_init_headers(ngx_conf_t *cf,
    ngx_http_ollama_upstream_t *up);
static char *ngx_http_ollama_upstream_poll_tls(ngx_conf_t *cf,
    ngx_http_ollama_upstream_t *up, ngx_str_t *ca);
static ngx_uint_t ngx_http_ollama_upstream_is_header_name(ngx_str_t *name);
static ngx_uint_t ngx_http_ollama_upstream_is_header_value(ngx_str_t *value);


/*
 * What probes send by default.  An Ollama on loopback answers 403 to any host
 * that is not local.
 */

static ngx_keyval_t  ngx_http_ollama_upstream_headers[] = {
    { ngx_string("Host"), ngx_string("localhost") },
    { ngx_string("User-Agent"), ngx_string("nginx-ollama") },
    { ngx_string("Accept"), ngx_string("application/json") },
    { ngx_null_string, ngx_null_string }
};


/* headers that belong to one connection or message, which probes make */

static ngx_str_t  ngx_http_ollama_upstream_reserved[] = {
    ngx_string("Accept-Encoding"),
    ngx_string("Connection"),
    ngx_string("Content-Length"),
    ngx_string("Expect"),
    ngx_string("Keep-Alive"),
    ngx_string("Proxy-Connection"),
    ngx_string("TE"),
    ngx_string("Trailer"),
    ngx_string("Transfer-Encoding"),
    ngx_string("Upgrade"),
    ngx_null_string
};


ngx_http_ollama_upstream_t *
ngx_http_ollama_upstream_get(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_ollama_upstream_t   *up, **p;
    ngx_http_ollama_srv_conf_t   *oscf;
    ngx_http_ollama_main_conf_t  *omcf;

    oscf = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_ollama_module);

    if (oscf->up) {
        return oscf->up;
    }

    omcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ollama_module);

    p = ngx_array_push(&omcf->upstreams);
    if (p == NULL) {
        return NULL;
    }

    up = ngx_pcalloc(cf->pool, sizeof(ngx_http_ollama_upstream_t));
    if (up == NULL) {
        return NULL;
    }

    up->uscf = uscf;
    up->hash = ngx_crc32_short(uscf->host.data, uscf->host.len);
    up->interval = 5000;
    up->timeout = 2000;
    up->queue = NGX_HTTP_OLLAMA_UPSTREAM_QUEUE;
    up->queue_timeout = NGX_HTTP_OLLAMA_UPSTREAM_QUEUE_TIMEOUT;

    if (ngx_http_ollama_upstream_init_headers(cf, up) != NGX_OK) {
        return NULL;
    }

    *p = up;
    oscf->up = up;

    return up;
}


static ngx_int_t
ngx_http_ollama_upstream_init_headers(ngx_conf_t *cf,
    ngx_http_ollama_upstream_t *up)
{
    ngx_keyval_t  *header, *h;

    if (ngx_array_init(&up->headers, cf->pool, 4, sizeof(ngx_keyval_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (h = ngx_http_ollama_upstream_headers; h->key.len; h++) {

        header = ngx_array_push(&up->headers);
        if (header == NULL) {
            return NGX_ERROR;
        }

        *header = *h;
    }

    return NGX_OK;
}


/* ollama_balance [queue=number] [timeout=time] */

char *
ngx_http_ollama_upstream_balance(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_int_t                      n;
    ngx_str_t                     *value, s;
    ngx_uint_t                     i;
    ngx_http_ollama_upstream_t    *up;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    up = ngx_http_ollama_upstream_get(cf, uscf);
    if (up == NULL) {
        return NGX_CONF_ERROR;
    }

    if (up->balance) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "queue=", 6) == 0) {
            n = ngx_atoi(value[i].data + 6, value[i].len - 6);

            if (n == NGX_ERROR || n > NGX_HTTP_OLLAMA_UPSTREAM_QUEUE_MAX) {
                goto invalid;
            }

            up->queue = n;
            continue;
        }

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            s.data = value[i].data + 8;
            s.len = value[i].len - 8;

            n = ngx_parse_time(&s, 0);

            if (n == NGX_ERROR || n == 0) {
                goto invalid;
            }

            up->queue_timeout = n;
            continue;
        }

        goto invalid;
    }

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ollama_balance\" must be the only balancing "
                           "method of upstream \"%V\" and stand before "
                           "\"keepalive\"", &uscf->host);
        return NGX_CONF_ERROR;
    }

    up->balance = 1;
    up->poll = 1;

    uscf->peer.init_upstream = ngx_http_ollama_balancer_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
#ifdef NGX_HTTP_UPSTREAM_MODIFY
                  |NGX_HTTP_UPSTREAM_MODIFY
#endif
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected \"queue=number\" of "
                       "at most %d or \"timeout=time\" of at least 1ms",
                       &value[i], NGX_HTTP_OLLAMA_UPSTREAM_QUEUE_MAX);

    return NGX_CONF_ERROR;
}


/*
 * ollama_poll [interval=time] [timeout=time] [tls] [tls_name=name]
 *             [tls_verify=file]
 */

char *
ngx_http_ollama_upstream_poll(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t                      ms;
    ngx_str_t                     *value, s, ca;
    ngx_uint_t                     i, tls;
    ngx_http_ollama_upstream_t    *up;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    up = ngx_http_ollama_upstream_get(cf, uscf);
    if (up == NULL) {
        return NGX_CONF_ERROR;
    }

    if (up->configured) {
        return "is duplicate";
    }

    up->configured = 1;
    up->poll = 1;

    tls = 0;
    ngx_str_null(&ca);

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "interval=", 9) == 0) {
            s.data = value[i].data + 9;
            s.len = value[i].len - 9;

            ms = ngx_parse_time(&s, 0);
            if (ms == NGX_ERROR || ms < NGX_HTTP_OLLAMA_POLL_MIN) {
                goto invalid;
            }

            up->interval = ms;
            continue;
        }

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            s.data = value[i].data + 8;
            s.len = value[i].len - 8;

            ms = ngx_parse_time(&s, 0);
            if (ms == NGX_ERROR || ms < NGX_HTTP_OLLAMA_POLL_MIN) {
                goto invalid;
            }

            up->timeout = ms;
            continue;
        }

        if (ngx_strcmp(value[i].data, "tls") == 0) {
            tls = 1;
            continue;
        }

        if (ngx_strncmp(value[i].data, "tls_name=", 9) == 0
            && value[i].len > 9)
        {
            tls = 1;
            up->ssl_name.data = value[i].data + 9;
            up->ssl_name.len = value[i].len - 9;
            continue;
        }

        if (ngx_strncmp(value[i].data, "tls_verify=", 11) == 0
            && value[i].len > 11)
        {
            tls = 1;
            ca.data = value[i].data + 11;
            ca.len = value[i].len - 11;
            continue;
        }

        goto invalid;
    }

    return tls ? ngx_http_ollama_upstream_poll_tls(cf, up, &ca)
               : NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected "
                       "\"interval=time\" or \"timeout=time\" of at least "
                       "%dms, \"tls\", \"tls_name=name\" or "
                       "\"tls_verify=file\"",
                       &value[i], NGX_HTTP_OLLAMA_POLL_MIN);

    return NGX_CONF_ERROR;
}


/* Without "ca" the servers' certificates are not verified, as in nginx. */

static char *
ngx_http_ollama_upstream_poll_tls(ngx_conf_t *cf,
    ngx_http_ollama_upstream_t *up, ngx_str_t *ca)
{
#if (NGX_HTTP_SSL)

    ngx_pool_cleanup_t  *cln;

    up->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (up->ssl == NULL) {
        return NGX_CONF_ERROR;
    }

    up->ssl->log = cf->log;

    if (ngx_ssl_create(up->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(up->ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = up->ssl;

    if (ca->len) {
        up->ssl_verify = 1;

        if (ngx_ssl_trusted_certificate(cf, up->ssl, ca, 3) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;

#else

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"tls\" needs an nginx that is built with "
                       "\"--with-http_ssl_module\"");

    return NGX_CONF_ERROR;

#endif
}


/* ollama_poll_header name value */

char *
ngx_http_ollama_upstream_poll_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_str_t                     *value, *name;
    ngx_uint_t                     i;
    ngx_keyval_t                  *header;
    ngx_http_ollama_upstream_t    *up;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    up = ngx_http_ollama_upstream_get(cf, uscf);
    if (up == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (!ngx_http_ollama_upstream_is_header_name(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\", expected that of a header, "
                           "as \"Authorization\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    for (name = ngx_http_ollama_upstream_reserved; name->len; name++) {

        if (name->len == value[1].len
            && ngx_strncasecmp(name->data, value[1].data, name->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "header \"%V\" can't be set: a probe sets it "
                               "itself, or could not read the reply",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    if (value[2].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"\" of header \"%V\", expected one "
                           "that is not empty", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_ollama_upstream_is_header_value(&value[2])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value of header \"%V\", expected "
                           "characters other than control characters",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    up->has_headers = 1;

    header = up->headers.elts;

    for (i = 0; i < up->headers.nelts; i++) {

        if (header[i].key.len != value[1].len
            || ngx_strncasecmp(header[i].key.data, value[1].data,
                               value[1].len)
               != 0)
        {
            continue;
        }

        if (i >= NGX_HTTP_OLLAMA_UPSTREAM_HEADERS
            || header[i].key.data
               != ngx_http_ollama_upstream_headers[i].key.data)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "header \"%V\" is duplicate", &value[1]);
            return NGX_CONF_ERROR;
        }

        break;
    }

    if (i == up->headers.nelts) {
        header = ngx_array_push(&up->headers);
        if (header == NULL) {
            return NGX_CONF_ERROR;
        }

    } else {
        header = &header[i];
    }

    header->key = value[1];
    header->value = value[2];

    return NGX_CONF_OK;
}


/* A token of RFC 9110. */

static ngx_uint_t
ngx_http_ollama_upstream_is_header_name(ngx_str_t *name)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < name->len; i++) {

        c = name->data[i];

        if (c <= 0x20 || c >= 0x7f
            || ngx_strchr("\"(),/:;<=>?@[\\]{}", c))
        {
            return 0;
        }
    }

    return name->len > 0;
}


static ngx_uint_t
ngx_http_ollama_upstream_is_header_value(ngx_str_t *value)
{
    size_t  i;
    u_char  c;

    for (i = 0; i < value->len; i++) {

        c = value->data[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return 0;
        }
    }

    return 1;
}


/* ollama_zone size */

char *
ngx_http_ollama_upstream_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_main_conf_t *omcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (omcf->zone_size) {
        return "is duplicate";
    }

    value = cf->args->elts;

    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\", expected a number with "
                           "\"k\" or \"m\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < NGX_HTTP_OLLAMA_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ollama_zone\" of \"%V\" is too small, it must "
                           "have at least 1m", &value[1]);
        return NGX_CONF_ERROR;
    }

    omcf->zone_size = size;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_ollama_upstream_check(ngx_conf_t *cf)
{
    ngx_uint_t                     i;
    ngx_http_ollama_upstream_t   **up;
    ngx_http_ollama_main_conf_t   *omcf;

    omcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ollama_module);

    up = omcf->upstreams.elts;

    for (i = 0; i < omcf->upstreams.nelts; i++) {

        if (up[i]->balance && !up[i]->balanced) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"ollama_balance\" must be the only balancing "
                          "method of upstream \"%V\" in %s:%ui",
                          &up[i]->uscf->host, up[i]->uscf->file_name,
                          (ngx_uint_t) up[i]->uscf->line);
            return NGX_ERROR;
        }

        if (up[i]->has_headers && !up[i]->poll) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"ollama_poll_header\" needs \"ollama_balance\" or "
                          "\"ollama_poll\" in upstream \"%V\" in %s:%ui",
                          &up[i]->uscf->host, up[i]->uscf->file_name,
                          (ngx_uint_t) up[i]->uscf->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
