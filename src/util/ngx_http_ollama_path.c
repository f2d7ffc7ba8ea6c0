
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a request's path is, as decoded by nginx: pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_path.h"


void
ngx_http_ollama_path_strip(ngx_str_t *path, ngx_str_t *prefix)
{
    if (prefix->len
        && path->len > prefix->len
        && path->data[prefix->len] == '/'
        && ngx_strncmp(path->data, prefix->data, prefix->len) == 0)
    {
        path->data += prefix->len;
        path->len -= prefix->len;
    }
}


ngx_uint_t
ngx_http_ollama_path_is_v1(ngx_str_t *path)
{
    return path->len >= 3
           && ngx_strncmp(path->data, "/v1", 3) == 0
           && (path->len == 3 || path->data[3] == '/');
}


ngx_uint_t
ngx_http_ollama_path_match(ngx_str_t *pattern, ngx_str_t *path)
{
    u_char  *p, *u, *last, *end;

    p = pattern->data;
    last = p + pattern->len;
    u = path->data;
    end = u + path->len;

    while (p < last) {

        if (*p != '*') {
            if (u == end || *u++ != *p++) {
                return 0;
            }

            continue;
        }

        if (u == end || *u == '/') {
            return 0;
        }

        if (++p < last && *p == '*') {
            return 1;
        }

        while (u < end && *u != '/') {
            u++;
        }
    }

    return u == end;
}


ngx_uint_t
ngx_http_ollama_path_below(ngx_str_t *name, ngx_str_t *path)
{
    size_t   i;
    u_char   ch, last, *p, *end;

    p = name->data;
    end = p + name->len;
    last = '\0';

    for (i = 0; i < path->len; i++) {

        ch = ngx_tolower(path->data[i]);

        if (ch == '\\') {
            ch = '/';
        }

        if (ch == '/' && last == '/') {
            continue;
        }

        if (p == end) {
            return ch == '/';
        }

        if (ch != *p++) {
            return 0;
        }

        last = ch;
    }

    return p == end;
}
