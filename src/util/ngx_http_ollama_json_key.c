
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * How Go's encoding/json reads keys and strings: pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_json_key.h"


static ngx_uint_t ngx_http_ollama_json_fold(const u_char **p,
    const u_char *last);
static size_t ngx_http_ollama_json_char(const u_char *p, const u_char *last);


/*
 * Letters match in either case, and so do the two characters outside of ASCII
 * whose simple case folding is a letter of ASCII (foldName() in Go's
 * encoding/json/fold.go).
 */

ngx_uint_t
ngx_http_ollama_json_key_eq(const u_char *key, size_t len, ngx_str_t *name)
{
    size_t         i;
    const u_char  *last;

    last = key + len;

    for (i = 0; i < name->len; i++) {
        if (key == last
            || ngx_http_ollama_json_fold(&key, last) != name->data[i])
        {
            return 0;
        }
    }

    return key == last;
}


static ngx_uint_t
ngx_http_ollama_json_fold(const u_char **p, const u_char *last)
{
    const u_char  *s;

    s = *p;

    if (last - s >= 2 && s[0] == 0xc5 && s[1] == 0xbf) {
        /* U+017F, latin small letter long s */
        *p += 2;
        return 's';
    }

    if (last - s >= 3 && s[0] == 0xe2 && s[1] == 0x84 && s[2] == 0xaa) {
        /* U+212A, kelvin sign */
        *p += 3;
        return 'k';
    }

    (*p)++;

    return ngx_tolower(*s);
}


size_t
ngx_http_ollama_json_mend(u_char *dst, const u_char *p, size_t len)
{
    size_t         n, size;
    const u_char  *last;

    last = p + len;
    size = 0;

    for ( /* void */ ; p < last; p += n) {

        n = ngx_http_ollama_json_char(p, last);

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


/* The length of the character at "p" (RFC 3629, 4); 0: it is none. */

static size_t
ngx_http_ollama_json_char(const u_char *p, const u_char *last)
{
    u_char  ch, low, high;
    size_t  n, i;

    ch = *p;

    if (ch < 0x80) {
        return 1;
    }

    if (ch < 0xc2 || ch > 0xf4) {
        return 0;
    }

    n = (ch < 0xe0) ? 2 : (ch < 0xf0) ? 3 : 4;

    if ((size_t) (last - p) < n) {
        return 0;
    }

    /* the second byte: no longer form than needed, no surrogate */

    low = (ch == 0xe0) ? 0xa0 : (ch == 0xf0) ? 0x90 : 0x80;
    high = (ch == 0xed) ? 0x9f : (ch == 0xf4) ? 0x8f : 0xbf;

    for (i = 1; i < n; i++) {

        if (p[i] < low || p[i] > high) {
            return 0;
        }

        low = 0x80;
        high = 0xbf;
    }

    return n;
}
