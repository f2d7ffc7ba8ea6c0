
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What reading messages needs of nginx, as strict as nginx's own.
 */


#include "ngx_stub.h"


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    u_char     ch;
    ngx_int_t  value;

    for (value = 0; n; n--, line++) {

        ch = *line | 0x20;

        if (*line >= '0' && *line <= '9') {
            value = value * 16 + (*line - '0');

        } else if (ch >= 'a' && ch <= 'f') {
            value = value * 16 + (ch - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    return value;
}


/* of a character outside of ASCII, without overlong forms */

uint32_t
ngx_utf8_decode(u_char **p, size_t n)
{
    size_t    len;
    uint32_t  u, valid;

    u = **p;

    if (u >= 0xf0) {
        u &= 0x07;
        valid = 0xffff;
        len = 3;

    } else if (u >= 0xe0) {
        u &= 0x0f;
        valid = 0x7ff;
        len = 2;

    } else if (u >= 0xc2) {
        u &= 0x1f;
        valid = 0x7f;
        len = 1;

    } else {
        (*p)++;
        return 0xffffffff;
    }

    if (n - 1 < len) {
        return 0xfffffffe;
    }

    (*p)++;

    while (len) {
        if (**p < 0x80) {
            return 0xffffffff;
        }

        u = (u << 6) | (*(*p)++ & 0x3f);
        len--;
    }

    return u > valid ? u : 0xffffffff;
}
