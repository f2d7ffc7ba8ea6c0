
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * How Go's encoding/json reads keys: a pure function.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_json_key.h"


static ngx_uint_t ngx_http_ollama_json_fold(const u_char **p,
    const u_char *last);


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
