
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


/* for the texts of refusals: %V, %s, %d, %uz and %O */

u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    int         n;
    char        number[32];
    ngx_str_t  *v, text;

    for ( /* void */ ; *fmt && buf < last; fmt++) {

        if (*fmt != '%') {
            *buf++ = *fmt;
            continue;
        }

        text.data = (u_char *) number;

        switch (*++fmt) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            text = *v;
            break;

        case 's':
            text.data = va_arg(args, u_char *);
            text.len = strlen((char *) text.data);
            break;

        case 'u':
            fmt++;
            n = snprintf(number, sizeof(number), "%zu", va_arg(args, size_t));
            text.len = n;
            break;

        case 'd':
            n = snprintf(number, sizeof(number), "%d", va_arg(args, int));
            text.len = n;
            break;

        default: /* 'O' */
            n = snprintf(number, sizeof(number), "%lld",
                         (long long) va_arg(args, off_t));
            text.len = n;
            break;
        }

        text.len = ngx_min(text.len, (size_t) (last - buf));
        memcpy(buf, text.data, text.len);
        buf += text.len;
    }

    return buf;
}
