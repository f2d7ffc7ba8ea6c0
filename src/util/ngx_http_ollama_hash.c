
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A hash of 64 bits for texts of megabytes, at some tenths of a nanosecond a
 * byte.  It tells texts apart that differ by chance; who tries to can make two
 * with the same hash.  It differs between machines of another byte order.
 *
 * 16 bytes are taken by a multiplication whose 128 bits are folded to 64, as in
 * wyhash (W. Yi, in the public domain); single numbers are mixed by fmix64() of
 * MurmurHash3 (A. Appleby, in the public domain).  Pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_hash.h"


/*
 * Any numbers with bits all over: 2^64 by the golden ratio, by pi and by e.  If
 * a factor were 0, all in front would be lost: they must differ.
 */
#define NGX_HTTP_OLLAMA_HASH_SEED    UINT64_C(0x9e3779b97f4a7c15)
#define NGX_HTTP_OLLAMA_HASH_TEXT    UINT64_C(0x517cc1b727220a95)
#define NGX_HTTP_OLLAMA_HASH_NUMBER  UINT64_C(0x5e2d58d8b3bcdf1b)


static ngx_inline uint64_t ngx_http_ollama_hash_bytes(uint64_t value,
    const u_char *p);
static ngx_inline uint64_t ngx_http_ollama_hash_block(uint64_t value,
    uint64_t a, uint64_t b);


void
ngx_http_ollama_hash_init(ngx_http_ollama_hash_t *hash)
{
    hash->value = NGX_HTTP_OLLAMA_HASH_SEED;
    hash->len = 0;
}


void
ngx_http_ollama_hash_text(ngx_http_ollama_hash_t *hash, const u_char *p,
    size_t len)
{
    size_t    n, rest;
    uint64_t  value;

    rest = hash->len % 16;
    hash->len += len;

    if (rest) {
        n = ngx_min(len, 16 - rest);
        ngx_memcpy(hash->rest + rest, p, n);

        if (rest + n < 16) {
            return;
        }

        p += n;
        len -= n;

        hash->value = ngx_http_ollama_hash_bytes(hash->value, hash->rest);
    }

    value = hash->value;

    for ( /* void */ ; len >= 64; p += 64, len -= 64) {
        value = ngx_http_ollama_hash_bytes(value, p);
        value = ngx_http_ollama_hash_bytes(value, p + 16);
        value = ngx_http_ollama_hash_bytes(value, p + 32);
        value = ngx_http_ollama_hash_bytes(value, p + 48);
    }

    for ( /* void */ ; len >= 16; p += 16, len -= 16) {
        value = ngx_http_ollama_hash_bytes(value, p);
    }

    hash->value = value;

    ngx_memcpy(hash->rest, p, len);
}


void
ngx_http_ollama_hash_number(ngx_http_ollama_hash_t *hash, uint64_t n)
{
    hash->value = ngx_http_ollama_hash_block(hash->value, n,
                                             NGX_HTTP_OLLAMA_HASH_NUMBER);
}


uint64_t
ngx_http_ollama_hash_value(ngx_http_ollama_hash_t *hash)
{
    u_char    last[16];
    uint64_t  value;

    ngx_memzero(last, 16);
    ngx_memcpy(last, hash->rest, hash->len % 16);

    value = ngx_http_ollama_hash_bytes(hash->value, last);

    return ngx_http_ollama_hash_mix(value ^ hash->len);
}


static ngx_inline uint64_t
ngx_http_ollama_hash_bytes(uint64_t value, const u_char *p)
{
    uint64_t  a, b;

    ngx_memcpy(&a, p, 8);
    ngx_memcpy(&b, p + 8, 8);

    return ngx_http_ollama_hash_block(value, a, b);
}


static ngx_inline uint64_t
ngx_http_ollama_hash_block(uint64_t value, uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__

    unsigned __int128  product;

    product = (unsigned __int128) (a ^ NGX_HTTP_OLLAMA_HASH_TEXT)
              * (b ^ value);

    return (uint64_t) product ^ (uint64_t) (product >> 64);

#else

    uint64_t  low, high, mid, cross;

    a ^= NGX_HTTP_OLLAMA_HASH_TEXT;
    b ^= value;

    /* of 32-bit halves */

    low = (a & 0xffffffff) * (b & 0xffffffff);
    mid = (a >> 32) * (b & 0xffffffff) + (low >> 32);
    cross = (a & 0xffffffff) * (b >> 32) + (mid & 0xffffffff);
    high = (a >> 32) * (b >> 32) + (mid >> 32) + (cross >> 32);

    return ((cross << 32) | (low & 0xffffffff)) ^ high;

#endif
}


uint64_t
ngx_http_ollama_hash_mix(uint64_t n)
{
    n ^= n >> 33;
    n *= UINT64_C(0xff51afd7ed558ccd);
    n ^= n >> 33;
    n *= UINT64_C(0xc4ceb9fe1a85ec53);
    n ^= n >> 33;

    return n;
}
