
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Whether a chat's body asks to unload its model, as Ollama reads it: its
 * "keep_alive" is 0, a number of seconds or a text as "0s", and there is
 * nothing to answer.  Of equal keys the last one counts; null leaves a prompt
 * as it is, and takes a "keep_alive" back.
 *
 * Pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_unload.h"
#include "util/ngx_http_ollama_json.h"


#define NGX_HTTP_OLLAMA_SCAN_UNLOAD_KEEP_ALIVE  1
#define NGX_HTTP_OLLAMA_SCAN_UNLOAD_PROMPT      2


static ngx_uint_t ngx_http_ollama_scan_unload_is_zero(const u_char *p,
    size_t len, ngx_uint_t text);


static ngx_str_t  ngx_http_ollama_scan_unload_keep_alive =
    ngx_string("keep_alive");
static ngx_str_t  ngx_http_ollama_scan_unload_prompt = ngx_string("prompt");


void
ngx_http_ollama_scan_unload_key(ngx_http_ollama_scan_unload_t *u,
    const u_char *p, size_t len)
{
    u->key = 0;

    if (ngx_http_ollama_json_key_eq(p, len,
                                    &ngx_http_ollama_scan_unload_keep_alive))
    {
        u->key = NGX_HTTP_OLLAMA_SCAN_UNLOAD_KEEP_ALIVE;

    } else if (ngx_http_ollama_json_key_eq(p, len,
                                        &ngx_http_ollama_scan_unload_prompt))
    {
        u->key = NGX_HTTP_OLLAMA_SCAN_UNLOAD_PROMPT;
    }
}


void
ngx_http_ollama_scan_unload_number(ngx_http_ollama_scan_unload_t *u,
    const u_char *p, size_t len)
{
    if (u->key == NGX_HTTP_OLLAMA_SCAN_UNLOAD_KEEP_ALIVE) {
        u->at_once = ngx_http_ollama_scan_unload_is_zero(p, len, 0);
    }
}


void
ngx_http_ollama_scan_unload_string(ngx_http_ollama_scan_unload_t *u,
    const u_char *p, size_t len)
{
    if (u->key == NGX_HTTP_OLLAMA_SCAN_UNLOAD_KEEP_ALIVE) {
        u->at_once = ngx_http_ollama_scan_unload_is_zero(p, len, 1);

    } else if (u->key == NGX_HTTP_OLLAMA_SCAN_UNLOAD_PROMPT) {
        u->prompt = (len != 0);
    }
}


void
ngx_http_ollama_scan_unload_other(ngx_http_ollama_scan_unload_t *u)
{
    if (u->key == NGX_HTTP_OLLAMA_SCAN_UNLOAD_KEEP_ALIVE) {
        u->at_once = 0;
    }
}


/*
 * Only zeros before the exponent of a number, or among the units of a text as
 * "0h0m0.0s": whether a text is valid, the server decides.
 */

static ngx_uint_t
ngx_http_ollama_scan_unload_is_zero(const u_char *p, size_t len,
    ngx_uint_t text)
{
    size_t      i;
    ngx_uint_t  zero;

    zero = 0;

    for (i = 0; i < len; i++) {

        if (p[i] == '0') {
            zero = 1;
            continue;
        }

        if (p[i] > '0' && p[i] <= '9') {
            return 0;
        }

        if (!text && (p[i] == 'e' || p[i] == 'E')) {
            break;
        }
    }

    return zero;
}
