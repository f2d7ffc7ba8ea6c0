
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What writing texts needs of nginx.  ngx_sprintf() knows "%d" and "%L", with
 * a width, and stops at anything else.
 */


#include "ngx_stub.h"

#include <time.h>


u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    int      len, width, zero;
    char     number[64];
    va_list  args;

    va_start(args, fmt);

    for ( /* void */ ; *fmt; fmt++) {

        if (*fmt != '%') {
            *buf++ = *fmt;
            continue;
        }

        zero = (*++fmt == '0');

        for (width = 0; *fmt >= '0' && *fmt <= '9'; fmt++) {
            width = width * 10 + (*fmt - '0');
        }

        switch (*fmt) {

        case 'd':
            len = snprintf(number, sizeof(number), zero ? "%0*d" : "%*d",
                           width, va_arg(args, int));
            break;

        case 'L':
            len = snprintf(number, sizeof(number), zero ? "%0*lld" : "%*lld",
                           width, (long long) va_arg(args, int64_t));
            break;

        default:
            fail_msg("ngx_sprintf() with %%%c", *fmt);
            len = 0;
        }

        /* without the null that snprintf() adds */
        buf = ngx_cpymem(buf, number, len);
    }

    va_end(args);

    return buf;
}


uintptr_t
ngx_escape_json(u_char *dst, u_char *src, size_t size)
{
    char        buf[8];
    size_t      len, n;
    u_char     *p;
    uintptr_t   more;

    static const char  letters[] = "\"\"\\\\\nn\rr\tt\bb\ff";

    more = 0;

    for ( /* void */ ; size; size--, src++) {

        buf[0] = *src;
        len = 1;

        for (n = 0; n < sizeof(letters) - 1; n += 2) {
            if (*src == (u_char) letters[n]) {
                buf[0] = '\\';
                buf[1] = letters[n + 1];
                len = 2;
            }
        }

        if (len == 1 && *src < 0x20) {
            len = snprintf(buf, sizeof(buf), "\\u%04X", *src);
        }

        more += len - 1;

        if (dst) {
            for (p = (u_char *) buf; len; len--) {
                *dst++ = *p++;
            }
        }
    }

    return dst ? (uintptr_t) dst : more;
}


/* As nginx's, no more than the year 9999. */

void
ngx_gmtime(time_t t, ngx_tm_t *tp)
{
    t = ngx_min(t, 253402300799);

    if (gmtime_r(&t, tp) == NULL) {
        fail_msg("gmtime_r()");
    }

    tp->ngx_tm_mon++;
    tp->ngx_tm_year += 1900;
}


ngx_int_t
ngx_memn2cmp(u_char *s1, u_char *s2, size_t n1, size_t n2)
{
    int  rc;

    rc = ngx_memcmp(s1, s2, ngx_min(n1, n2));

    return rc ? rc : (n1 > n2) - (n1 < n2);
}


/* another hash: what is made of it may depend on no value */

uint32_t
ngx_murmur_hash2(u_char *data, size_t len)
{
    uint32_t  h;

    for (h = 2166136261U; len; len--, data++) {
        h = (h ^ *data) * 16777619U;
    }

    return h;
}
