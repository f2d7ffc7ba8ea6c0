
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
static size_t ngx_http_ollama_utf8_length(const u_char *p, const u_char *last,
    ngx_uint_t *incomplete);
static ngx_uint_t ngx_http_ollama_utf8_is_control(const u_char *p, size_t n);


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

        if (controls && ngx_http_ollama_utf8_is_control(p, n)) {
            ngx_memset(p, '?', n);
        }
    }

    return len;
}


size_t
ngx_http_ollama_utf8_mend(u_char *dst, const u_char *p, size_t len)
{
    size_t         n, size;
    ngx_uint_t     incomplete;
    const u_char  *last;

    last = p + len;
    size = 0;

    for ( /* void */ ; p < last; p += n) {

        n = ngx_http_ollama_utf8_length(p, last, &incomplete);

        if (n == 0) {
            n = 1;

            if (dst) {
                dst = ngx_cpymem(dst, "\xef\xbf\xbd", 3);
            }

            size += 3;
            continue;
        }

        if (dst) {
            dst = ngx_cpymem(dst, p, n);
        }

        size += n;
    }

    return size;
}


ngx_uint_t
ngx_http_ollama_utf8_is_line(const u_char *p, size_t len)
{
    const u_char  *last;

    /* what continues a character is no control character by itself */

    for (last = p + len; p < last; p++) {
        if (ngx_http_ollama_utf8_is_control(p, last - p)) {
            return 0;
        }
    }

    return 1;
}


/* Of what begins at "p", at least "n" bytes; also U+0080 to U+009F. */

static ngx_uint_t
ngx_http_ollama_utf8_is_control(const u_char *p, size_t n)
{
    return p[0] < 0x20 || p[0] == 0x7f
           || (n > 1 && p[0] == 0xc2 && p[1] < 0xa0);
}


/* Bytes of the character; 0: it is none, or it is incomplete at "last". */

static size_t
ngx_http_ollama_utf8_length(const u_char *p, const u_char *last,
    ngx_uint_t *incomplete)
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
