
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Arguments of the endpoints of sessions: a malformed one is refused, as in a
 * body.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_args.h"
#include "core/ngx_http_ollama_arg.h"
#include "core/ngx_http_ollama_error.h"
#include "util/ngx_http_ollama_id.h"


/* digits of a message's number, which Redis' scripts count as a double */
#define NGX_HTTP_OLLAMA_SESSION_DIGITS  15
#define NGX_HTTP_OLLAMA_SESSION_NOBODY  999999999999999


static ngx_uint_t ngx_http_ollama_session_args_has(ngx_array_t *ids,
    ngx_str_t *id);


ngx_int_t
ngx_http_ollama_session_args_limit(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t max, ngx_uint_t *limit)
{
    ngx_int_t  rc, n;
    ngx_str_t  value;

    rc = ngx_http_ollama_arg(r, "limit", &value);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : rc;
    }

    n = (value.len <= NGX_HTTP_OLLAMA_SESSION_DIGITS)
        ? ngx_atoi(value.data, value.len) : NGX_ERROR;

    if (n < 1) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "the argument limit must be a number "
                                     "from 1 to %ui, not \"%V\"", max,
                                     &value);
    }

    *limit = ngx_min((ngx_uint_t) n, max);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_session_args_number(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, const char *name, int64_t *n)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    rc = ngx_http_ollama_arg(r, name, &value);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_ollama_session_args_message_id(&value, n) != NGX_OK) {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "the argument %s must be the id of a "
                                     "message, not \"%V\"", name, &value);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_session_args_message_id(ngx_str_t *id, int64_t *n)
{
    off_t   number;
    size_t  len;

    len = id->len;

    if (len > 2 && ngx_strncmp(id->data + len - 2, "-0", 2) == 0) {
        len -= 2;
    }

    number = (len <= NGX_HTTP_OLLAMA_SESSION_DIGITS)
             ? ngx_atoof(id->data, len) : NGX_ERROR;

    if (number == NGX_ERROR) {
        return NGX_DECLINED;
    }

    *n = number;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_session_args_before(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, int64_t *n)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    rc = ngx_http_ollama_arg(r, "before", &value);

    if (rc != NGX_OK) {
        return rc;
    }

    if (value.len == 3 && ngx_strncmp(value.data, "end", 3) == 0) {
        *n = 0;
        return NGX_OK;
    }

    rc = ngx_http_ollama_session_args_number(r, ctx, "before", n);

    if (rc == NGX_OK && *n == 0) {
        /* no message has it */
        *n = NGX_HTTP_OLLAMA_SESSION_NOBODY;
    }

    return rc;
}


ngx_int_t
ngx_http_ollama_session_args_ids(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t max, ngx_array_t *ids)
{
    u_char              *p, *end, *last;
    ngx_str_t           *id, value;
    ngx_uint_t           n;

    if (ngx_array_init(ids, r->pool, 8, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    n = 0;
    last = r->args.data + r->args.len;

    for (p = r->args.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        if (end - p < 3 || ngx_strncasecmp(p, (u_char *) "id=", 3) != 0) {
            continue;
        }

        if (++n > max) {
            return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                         "more than %ui arguments id", max);
        }

        value.data = p + 3;
        value.len = end - value.data;

        if (!ngx_http_ollama_id_is_valid(&value)
            || ngx_http_ollama_session_args_has(ids, &value))
        {
            /* no session can have it, or it is in the list */
            continue;
        }

        id = ngx_array_push(ids);
        if (id == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        *id = value;
    }

    return n ? NGX_OK : NGX_DECLINED;
}


static ngx_uint_t
ngx_http_ollama_session_args_has(ngx_array_t *ids, ngx_str_t *id)
{
    ngx_str_t   *known;
    ngx_uint_t   i;

    known = ids->elts;

    for (i = 0; i < ids->nelts; i++) {
        if (known[i].len == id->len
            && ngx_memcmp(known[i].data, id->data, id->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
