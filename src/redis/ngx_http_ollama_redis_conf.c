
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The "ollama_redis" directive.  Names are resolved here and not in workers,
 * which must not wait for a resolver.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "redis/ngx_http_ollama_redis_conf.h"
#include "core/ngx_http_ollama_conf.h"


#define NGX_HTTP_OLLAMA_REDIS_PORT     6379

/* the shortest time limit, ms */
#define NGX_HTTP_OLLAMA_REDIS_TIMEOUT  10


static char *ngx_http_ollama_redis_conf_address(ngx_conf_t *cf,
    ngx_http_ollama_redis_conf_t *rcf, ngx_str_t *address);
static ngx_int_t ngx_http_ollama_redis_conf_param(
    ngx_http_ollama_redis_conf_t *rcf, ngx_str_t *param);
static ngx_uint_t ngx_http_ollama_redis_conf_prefix(ngx_str_t *prefix);


/*
 * ollama_redis address [db=number] [user=name] [password=text] [prefix=text]
 *              [timeout=time] | off
 */

char *
ngx_http_ollama_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_main_conf_t *omcf = conf;

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    ngx_http_ollama_redis_conf_t  *rcf;

    if (omcf->redis != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        omcf->redis = NULL;
        return NGX_CONF_OK;
    }

    rcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_ollama_redis_conf_t));
    if (rcf == NULL) {
        return NGX_CONF_ERROR;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     rcf->user = { 0, NULL };
     *     rcf->password = { 0, NULL };
     *     rcf->db = 0;
     */

    ngx_str_set(&rcf->prefix, "ollama:");
    rcf->timeout = 1000;

    if (ngx_http_ollama_redis_conf_address(cf, rcf, &value[1])
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_ollama_redis_conf_param(rcf, &value[i]) == NGX_OK) {
            continue;
        }

        if (ngx_strncmp(value[i].data, "password=", 9) == 0) {
            /* what was given must not be logged */
            return "has an empty \"password=\"";
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected \"db=number\", "
                           "\"user=name\", \"password=text\", "
                           "\"prefix=text\" (no more than %d characters, "
                           "without blanks, braces and controls) or "
                           "\"timeout=time\" (no less than %dms)", &value[i],
                           NGX_HTTP_OLLAMA_REDIS_PREFIX,
                           NGX_HTTP_OLLAMA_REDIS_TIMEOUT);
        return NGX_CONF_ERROR;
    }

    if (rcf->user.len && rcf->password.len == 0) {
        return "has \"user=\" without \"password=\"";
    }

    omcf->redis = rcf;

    return NGX_CONF_OK;
}


static char *
ngx_http_ollama_redis_conf_address(ngx_conf_t *cf,
    ngx_http_ollama_redis_conf_t *rcf, ngx_str_t *address)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *address;
    u.default_port = NGX_HTTP_OLLAMA_REDIS_PORT;

    if (ngx_strlchr(address->data, address->data + address->len, '=')
        || (ngx_strlchr(address->data, address->data + address->len, '/')
            && ngx_strncasecmp(address->data, (u_char *) "unix:", 5) != 0))
    {
        u.err = "no address";

    } else if (ngx_parse_url(cf->pool, &u) == NGX_OK && u.naddrs) {

        rcf->name = *address;
        rcf->addrs = u.addrs;
        rcf->naddrs = u.naddrs;

        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "%s in \"%V\" of the \"ollama_redis\" directive, "
                       "expected \"host[:port]\", \"[ipv6][:port]\" or "
                       "\"unix:/path\"", u.err ? u.err : "no address",
                       address);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_ollama_redis_conf_param(ngx_http_ollama_redis_conf_t *rcf,
    ngx_str_t *param)
{
    u_char     *p;
    ngx_int_t   n;
    ngx_str_t   value;

    p = ngx_strlchr(param->data, param->data + param->len, '=');
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p + 1;
    value.len = param->data + param->len - value.data;

    if (ngx_strncmp(param->data, "prefix=", 7) == 0) {
        rcf->prefix = value;
        return ngx_http_ollama_redis_conf_prefix(&value) ? NGX_OK : NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_ERROR;
    }

    if (ngx_strncmp(param->data, "db=", 3) == 0) {
        rcf->db = ngx_atoi(value.data, value.len);
        return (rcf->db == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_strncmp(param->data, "user=", 5) == 0) {
        rcf->user = value;
        return NGX_OK;
    }

    if (ngx_strncmp(param->data, "password=", 9) == 0) {
        rcf->password = value;
        return NGX_OK;
    }

    if (ngx_strncmp(param->data, "timeout=", 8) == 0) {

        n = ngx_parse_time(&value, 0);
        if (n == NGX_ERROR || n < NGX_HTTP_OLLAMA_REDIS_TIMEOUT) {
            return NGX_ERROR;
        }

        rcf->timeout = n;
        return NGX_OK;
    }

    return NGX_ERROR;
}


/* A brace would change which part of a key a cluster hashes. */

static ngx_uint_t
ngx_http_ollama_redis_conf_prefix(ngx_str_t *prefix)
{
    u_char      ch;
    ngx_uint_t  i;

    for (i = 0; i < prefix->len; i++) {
        ch = prefix->data[i];

        if (ch <= ' ' || ch == 0x7f || ch == '{' || ch == '}') {
            return 0;
        }
    }

    return prefix->len <= NGX_HTTP_OLLAMA_REDIS_PREFIX;
}


/*
 * The end of a reply is held back until Redis has the message: the client must
 * not time out before Redis does.
 */

char *
ngx_http_ollama_redis_conf_check(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf)
{
    ngx_http_ollama_redis_conf_t  *rcf;
    ngx_http_ollama_main_conf_t   *omcf;

    omcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ollama_module);

    rcf = omcf->redis;

    if (rcf == NULL || rcf->timeout < clcf->send_timeout) {
        return NGX_CONF_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"timeout=%Mms\" of \"ollama_redis\" must be less than "
                  "\"send_timeout\" of location \"%V\", which is %Mms",
                  rcf->timeout, &clcf->name, clcf->send_timeout);

    return NGX_CONF_ERROR;
}
