
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The few functions of nginx that the pure parts of the module call, for unit
 * tests, which have nginx's headers only.
 *
 * A pool here is a list of malloc()s, one an allocation, so that AddressSani-
 * tizer and valgrind see each byte beyond its end.  It counts what the same
 * calls would hold of a real pool: what is small stays until the pool goes,
 * also after ngx_pfree(), though nobody can use it unnoticed any more.
 */


#include "ngx_stub.h"

#include <stdio.h>
#include <time.h>


typedef struct ngx_stub_block_s  ngx_stub_block_t;

struct ngx_stub_block_s {
    ngx_stub_block_t      *next;
    void                  *data;
    size_t                 size;
};


typedef struct {
    ngx_pool_t             pool;      /* must be first */
    ngx_stub_block_t      *blocks;
    size_t                 bytes;
    size_t                 peak;
} ngx_stub_pool_t;


static void *ngx_stub_alloc(ngx_pool_t *pool, size_t size);


ngx_uint_t  ngx_pagesize = 4096;
ngx_pid_t   ngx_pid;

volatile ngx_msec_t  ngx_current_msec;

size_t      ngx_stub_fail_size;
ngx_uint_t  ngx_stub_pools;


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    ngx_stub_pool_t  *stub;

    stub = calloc(1, sizeof(ngx_stub_pool_t));
    if (stub == NULL) {
        return NULL;
    }

    stub->pool.max = ngx_min(size - sizeof(ngx_pool_t),
                             NGX_MAX_ALLOC_FROM_POOL);
    stub->pool.log = log;

    ngx_stub_pools++;

    return &stub->pool;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_stub_pool_t   *stub;
    ngx_stub_block_t  *block, *next;

    stub = (ngx_stub_pool_t *) pool;

    for (block = stub->blocks; block; block = next) {
        next = block->next;
        free(block->data);
        free(block);
    }

    free(stub);

    ngx_stub_pools--;
}


size_t
ngx_stub_pool_bytes(ngx_pool_t *pool)
{
    return ((ngx_stub_pool_t *) pool)->bytes;
}


size_t
ngx_stub_pool_peak(ngx_pool_t *pool)
{
    return ((ngx_stub_pool_t *) pool)->peak;
}


static void *
ngx_stub_alloc(ngx_pool_t *pool, size_t size)
{
    ngx_stub_pool_t   *stub;
    ngx_stub_block_t  *block;

    if (size == ngx_stub_fail_size && size) {
        return NULL;
    }

    stub = (ngx_stub_pool_t *) pool;

    block = malloc(sizeof(ngx_stub_block_t));
    if (block == NULL) {
        return NULL;
    }

    block->data = malloc(size ? size : 1);
    if (block->data == NULL) {
        free(block);
        return NULL;
    }

    /* who relies on zeroes must find something else */
    memset(block->data, 0xa5, size);

    block->size = size;
    block->next = stub->blocks;
    stub->blocks = block;

    stub->bytes += size;
    stub->peak = ngx_max(stub->peak, stub->bytes);

    return block->data;
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return ngx_stub_alloc(pool, size);
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_stub_alloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_stub_alloc(pool, size);
    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    ngx_stub_pool_t   *stub;
    ngx_stub_block_t  *block, **link;

    stub = (ngx_stub_pool_t *) pool;

    for (link = &stub->blocks; *link; link = &block->next) {

        block = *link;

        if (block->data != p) {
            continue;
        }

        free(p);

        if (block->size <= pool->max) {
            block->data = NULL;
            return NGX_DECLINED;
        }

        stub->bytes -= block->size;

        *link = block->next;
        free(block);

        return NGX_OK;
    }

    fail_msg("ngx_pfree() of what is not in the pool");

    return NGX_DECLINED;
}


ngx_chain_t *
ngx_alloc_chain_link(ngx_pool_t *pool)
{
    return ngx_palloc(pool, sizeof(ngx_chain_t));
}


ngx_array_t *
ngx_array_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_palloc(pool, sizeof(ngx_array_t));
    if (a == NULL) {
        return NULL;
    }

    return (ngx_array_init(a, pool, n, size) == NGX_OK) ? a : NULL;
}


void *
ngx_array_push(ngx_array_t *a)
{
    return ngx_array_push_n(a, 1);
}


void *
ngx_array_push_n(ngx_array_t *a, ngx_uint_t n)
{
    void        *elts;
    ngx_uint_t   nalloc;

    if (a->nelts + n > a->nalloc) {

        /* as nginx, which leaves the old elements in the pool */

        nalloc = 2 * ngx_max(n, a->nalloc);

        elts = ngx_palloc(a->pool, nalloc * a->size);
        if (elts == NULL) {
            return NULL;
        }

        ngx_memcpy(elts, a->elts, a->nelts * a->size);

        a->elts = elts;
        a->nalloc = nalloc;
    }

    elts = (u_char *) a->elts + a->size * a->nelts;
    a->nelts += n;

    return elts;
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    for ( /* void */ ; n; n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value, digit;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n; n--, line++) {

        if (*line < '0' || *line > '9') {
            return NGX_ERROR;
        }

        digit = *line - '0';

        if (value > (NGX_MAX_INT_T_VALUE - digit) / 10) {
            return NGX_ERROR;
        }

        value = value * 10 + digit;
    }

    return value;
}


u_char *
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return p;
}


/* Formats that the pure parts use: %V %s %T %O %i %ui %uz %d, with a width. */

u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    int        n, width;
    char       number[64];
    ngx_str_t  text, *v;

    while (*fmt && buf < last) {

        if (*fmt != '%') {
            *buf++ = *fmt++;
            continue;
        }

        n = 0;
        fmt++;
        text.len = 0;

        if (*fmt == '0') {
            /* widths are of numbers with zeroes, or of four digits */
            fmt++;
        }

        for (width = 0; *fmt >= '0' && *fmt <= '9'; fmt++) {
            width = width * 10 + *fmt - '0';
        }

        text.data = (u_char *) number;

        switch (*fmt++) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            text = *v;
            break;

        case 's':
            text.data = va_arg(args, u_char *);
            text.len = ngx_strlen(text.data);
            break;

        case 'T':
            n = sprintf(number, "%0*lld", width,
                        (long long) va_arg(args, time_t));
            break;

        case 'O':
            n = sprintf(number, "%0*lld", width,
                        (long long) va_arg(args, off_t));
            break;

        case 'i':
            n = sprintf(number, "%0*lld", width,
                        (long long) va_arg(args, ngx_int_t));
            break;

        case 'd':
            n = sprintf(number, "%0*d", width, va_arg(args, int));
            break;

        case 'u':
            if (*fmt == 'i' || *fmt == 'z') {
                /* both are a word */
                fmt++;
                n = sprintf(number, "%0*llu", width,
                            (unsigned long long) va_arg(args, size_t));
                break;
            }

            /* fall through */

        default:
            fail_msg("a format that the stub doesn't know: %s", fmt);
        }

        if (n) {
            text.len = (size_t) n;
        }

        text.len = ngx_min(text.len, (size_t) (last - buf));
        ngx_memcpy(buf, text.data, text.len);
        buf += text.len;
    }

    return buf;
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    static u_char  hex[] = "0123456789abcdef";

    while (len--) {
        *dst++ = hex[*src >> 4];
        *dst++ = hex[*src++ & 0xf];
    }

    return dst;
}


/* what is logged is not looked at */

void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
}
