
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The directive ollama_pass: paths of a newer Ollama, as endpoints in the
 * configuration's pool.  It opens none that the gateway knows or that manages
 * models.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_ollama_pass.h"
#include "ngx_http_ollama_endpoints.h"
#include "ngx_http_ollama_managed.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "request/ngx_http_ollama_scan.h"


static ngx_uint_t ngx_http_ollama_pass_is_path(ngx_str_t *path);
static ngx_uint_t ngx_http_ollama_pass_has(ngx_array_t *pass, ngx_str_t *path);


char *
ngx_http_ollama_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ollama_loc_conf_t *olcf = conf;

    ngx_str_t                   *value, path;
    ngx_uint_t                   i;
    ngx_http_ollama_endpoint_t  *endpoint;

    if (olcf->pass == NGX_CONF_UNSET_PTR) {
        olcf->pass = ngx_array_create(cf->pool, 4,
                                      sizeof(ngx_http_ollama_endpoint_t));
        if (olcf->pass == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        path = value[i];

        if (path.len > 1 && path.data[path.len - 1] == '/') {
            /* the same as without */
            path.len--;
        }

        if (!ngx_http_ollama_pass_is_path(&path)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid path \"%V\", expected one as "
                               "\"/v1/files\", or \"/v1/files/*\" for any "
                               "element", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_ollama_managed(&path)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" manages models or servers, use "
                               "\"ollama_management on\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_ollama_endpoints_find(&path)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" is an endpoint of the gateway already, "
                               "remove it here", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (ngx_http_ollama_pass_has(olcf->pass, &path)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate path \"%V\" in \"ollama_pass\", "
                               "remove one of them", &value[i]);
            return NGX_CONF_ERROR;
        }

        endpoint = ngx_array_push(olcf->pass);
        if (endpoint == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(endpoint, sizeof(ngx_http_ollama_endpoint_t));

        endpoint->path = path;
        endpoint->methods = NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST
                            |NGX_HTTP_PUT|NGX_HTTP_PATCH|NGX_HTTP_DELETE;
        endpoint->kind = NGX_HTTP_OLLAMA_ENDPOINT_FURTHER;
        endpoint->scan = NGX_HTTP_OLLAMA_SCAN_FORM;
        endpoint->last = NGX_HTTP_OLLAMA_END_ANY;

        if (path.len > sizeof("/api/") - 1
            && ngx_strncmp(path.data, "/api/", sizeof("/api/") - 1) == 0)
        {
            endpoint->scan |= NGX_HTTP_OLLAMA_SCAN_OWN;
        }
    }

    return NGX_CONF_OK;
}


/*
 * Whether a request can have such a path, as nginx decodes it; an element may
 * be "*".
 */

static ngx_uint_t
ngx_http_ollama_pass_is_path(ngx_str_t *path)
{
    size_t   len;
    u_char  *p, *last, *element;

    p = path->data;
    last = p + path->len;

    if (path->len < 2 || *p != '/') {
        return 0;
    }

    while (p < last) {

        element = ++p;

        while (p < last && *p != '/') {

            if (*p <= ' ' || ngx_strchr("?#%\\", *p)) {
                return 0;
            }

            p++;
        }

        len = p - element;

        if (len == 0
            || (len == 1 && *element == '.')
            || (len == 2 && element[0] == '.' && element[1] == '.')
            || (len > 1 && ngx_strlchr(element, p, '*')))
        {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_ollama_pass_has(ngx_array_t *pass, ngx_str_t *path)
{
    ngx_uint_t                   i;
    ngx_http_ollama_endpoint_t  *endpoint;

    endpoint = pass->elts;

    for (i = 0; i < pass->nelts; i++) {
        if (endpoint[i].path.len == path->len
            && ngx_memcmp(endpoint[i].path.data, path->data, path->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
