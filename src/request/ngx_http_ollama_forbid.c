
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The fields that ollama_forbid names, as paths from the top of a body:
 * "options.num_ctx".  A path is parsed once, with the configuration, and
 * compared with each key of a body.  Has no state; may use util/json.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_forbid.h"
#include "util/ngx_http_ollama_json.h"


ngx_int_t
ngx_http_ollama_forbid_path(ngx_http_ollama_forbid_t *forbid,
    ngx_pool_t *pool, ngx_str_t *path)
{
    u_char     *p, *last;
    ngx_str_t  *segment;

    forbid->name = *path;
    forbid->n = 0;

    p = ngx_pnalloc(pool, path->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_strlow(p, path->data, path->len);

    last = p + path->len;

    for ( ;; ) {

        if (forbid->n == NGX_HTTP_OLLAMA_FORBID_DEPTH) {
            return NGX_DECLINED;
        }

        segment = &forbid->segment[forbid->n++];
        segment->data = p;

        while (p < last && *p != '.') {
            p++;
        }

        segment->len = p - segment->data;

        if (segment->len == 0) {
            return NGX_DECLINED;
        }

        if (p == last) {
            return NGX_OK;
        }

        p++;
    }
}


uint32_t
ngx_http_ollama_forbid_match(ngx_http_ollama_forbid_t *forbid, ngx_uint_t n,
    uint32_t match, ngx_uint_t depth, const u_char *key, size_t len,
    uint32_t *whole)
{
    uint32_t    found;
    ngx_uint_t  i;

    found = 0;
    *whole = 0;

    for (i = 0; i < n && match; i++) {

        if (!(match & (1u << i))
            || forbid[i].n < depth
            || !ngx_http_ollama_json_key_eq(key, len,
                                            &forbid[i].segment[depth - 1]))
        {
            continue;
        }

        found |= 1u << i;

        if (forbid[i].n == depth) {
            *whole |= 1u << i;
        }
    }

    return found;
}
