
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Texts of others that are to become JSON or a line of the log: servers' and
 * clients' texts need not be UTF-8, and a text that is cut to a length may end
 * within a character.  As in RFC 3629, stricter than ngx_utf8_decode(), which
 * lets characters beyond U+10FFFF and surrogates pass.  Pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_utf8.h"


static size_t ngx_http_ollama_utf8_replace(u_char *text, size_t len,
    ngx_uint_t controls);
static size_t ngx_http_ollama_utf8_length(u_char *p, u_char *last,
    ngx_uint_t *incomplete);


size_t
ngx_http_ollama_utf8_repair(u_char *text, size_t len)
{
    return ngx_http_ollama_utf8_replace(text, len, 0);
}


size_t
ngx_http_ollama_utf8_clean(u_char *text, size_t len)
{
    return ngx_http_ollama_utf8_replace(text, len, 1);
}


static size_t
ngx_http_ollama_utf8_replace(u_char *text, size_t len, ngx_uint_t controls)
{
    u_char      *p, *last;
    size_t       n;
    ngx_uint_t   incomplete;

    last = text + len;

    for (p = text; p < last; p += n) {

        n = ngx_http_ollama_utf8_length(p, last, &incomplete);

        if (incomplete) {
            return p - text;
        }

        if (n == 0) {
            /* what follows an invalid byte may be a character */
            *p = '?';
            n = 1;
            continue;
        }

        if (!controls) {
            continue;
        }

        /* also U+0080 to U+009F */

        if ((n == 1 && (*p < 0x20 || *p == 0x7f))
            || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0))
        {
            ngx_memset(p, '?', n);
        }
    }

    return len;
}


/* Bytes of the character; 0: it is none, or it is incomplete at "last". */

static size_t
ngx_http_ollama_utf8_length(u_char *p, u_char *last, ngx_uint_t *incomplete)
{
    u_char  ch, low, high;
    size_t  n, i;

    *incomplete = 0;

    ch = *p;

    if (ch < 0x80) {
        return 1;
    }

    if (ch < 0xc2 || ch > 0xf4) {
        return 0;
    }

    n = (ch < 0xe0) ? 2 : (ch < 0xf0) ? 3 : 4;

    /* the second byte: no other form of a shorter one, no surrogate */

    low = (ch == 0xe0) ? 0xa0 : (ch == 0xf0) ? 0x90 : 0x80;
    high = (ch == 0xed) ? 0x9f : (ch == 0xf4) ? 0x8f : 0xbf;

    for (i = 1; i < n; i++) {

        if (p + i == last) {
            *incomplete = 1;
            return 0;
        }

        if (p[i] < low || p[i] > high) {
            return 0;
        }

        low = 0x80;
        high = 0xbf;
    }

    return n;
}


size_t
ngx_http_ollama_utf8_cut(ngx_str_t *text, size_t max)
{
    if (text->len <= max) {
        return text->len;
    }

    while (max && (text->data[max] & 0xc0) == 0x80) {
        max--;
    }

    return max;
}
