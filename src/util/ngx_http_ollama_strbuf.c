
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Texts that grow in a pool, from bytes as they are or from pieces of JSON
 * strings, and together not beyond a limit.
 *
 * The limit is exact: the text that reaches it gets the whole characters that
 * fit, and nothing is added to any text after that.  So the texts do not depend
 * on the pieces in which they came.
 *
 * When a text grows its memory doubles; the old memory is freed at once if it
 * was larger than a block of the pool, and with the pool else.  A text exists
 * as long as the pool.  Has no state of its own.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_strbuf.h"


/* bytes of a text's first memory */
#define NGX_HTTP_OLLAMA_STRBUF_SIZE      256

/* replaces a surrogate without its pair, as in Go */
#define NGX_HTTP_OLLAMA_STRBUF_NO_CHAR   0xfffd


typedef enum {
    sw_plain = 0,
    sw_escape,
    sw_hex
} ngx_http_ollama_strbuf_state_e;


static ngx_int_t ngx_http_ollama_strbuf_grow(
    ngx_http_ollama_strbuf_t *strbuf, ngx_http_ollama_strbuf_text_t *text,
    size_t len);
static void ngx_http_ollama_strbuf_trim(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text);
static void ngx_http_ollama_strbuf_escape(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char ch);
static void ngx_http_ollama_strbuf_hex(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char ch);
static void ngx_http_ollama_strbuf_char(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, uint32_t ch);


void
ngx_http_ollama_strbuf_init(ngx_http_ollama_strbuf_t *strbuf,
    ngx_pool_t *pool, size_t max)
{
    ngx_memzero(strbuf, sizeof(ngx_http_ollama_strbuf_t));

    strbuf->pool = pool;
    strbuf->rest = max;
}


void
ngx_http_ollama_strbuf_add(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, size_t len)
{
    if (strbuf->full || len == 0) {
        return;
    }

    if (len > strbuf->rest) {
        len = strbuf->rest;
        strbuf->full = 1;
    }

    if (text->size - text->str.len < len
        && ngx_http_ollama_strbuf_grow(strbuf, text, len) != NGX_OK)
    {
        strbuf->full = 1;
        strbuf->failed = 1;
        return;
    }

    if (len) {
        ngx_memcpy(text->str.data + text->str.len, p, len);
    }

    text->str.len += len;
    strbuf->rest -= len;

    if (strbuf->full && text->str.len) {
        ngx_http_ollama_strbuf_trim(strbuf, text);
    }
}


static ngx_int_t
ngx_http_ollama_strbuf_grow(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, size_t len)
{
    size_t   size;
    u_char  *p;

    /* the limit never makes it smaller than the text and "len" */

    size = ngx_max(2 * text->size, NGX_HTTP_OLLAMA_STRBUF_SIZE);
    size = ngx_min(size, text->str.len + strbuf->rest);
    size = ngx_max(size, text->str.len + len);

    p = ngx_pnalloc(strbuf->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (text->str.data) {
        ngx_memcpy(p, text->str.data, text->str.len);
        (void) ngx_pfree(strbuf->pool, text->str.data);
    }

    text->str.data = p;
    text->size = size;

    return NGX_OK;
}


/* Cuts an incomplete character off the end. */

static void
ngx_http_ollama_strbuf_trim(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text)
{
    u_char  *p, *last;
    size_t   n;

    last = text->str.data + text->str.len;

    for (p = last; p > text->str.data && (p[-1] & 0xc0) == 0x80; p--) {
        /* void */
    }

    if (p == text->str.data || p[-1] < 0xc0) {
        return;
    }

    p--;

    n = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;

    if ((size_t) (last - p) < n) {
        ngx_http_ollama_strbuf_cut(strbuf, text, p - text->str.data);
    }
}


void
ngx_http_ollama_strbuf_cut(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, size_t len)
{
    strbuf->rest += text->str.len - len;
    text->str.len = len;
}


void
ngx_http_ollama_strbuf_begin(ngx_http_ollama_strbuf_t *strbuf)
{
    strbuf->state = sw_plain;
    strbuf->high = 0;
}


void
ngx_http_ollama_strbuf_decode(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, u_char *last)
{
    u_char  *s;

    while (p < last) {

        switch (strbuf->state) {

        case sw_plain:

            s = memchr(p, '\\', last - p);
            if (s == NULL) {
                s = last;
            }

            if (s > p) {
                ngx_http_ollama_strbuf_end(strbuf, text);
                ngx_http_ollama_strbuf_add(strbuf, text, p, s - p);
            }

            if (s < last) {
                strbuf->state = sw_escape;
                s++;
            }

            p = s;
            break;

        case sw_escape:
            ngx_http_ollama_strbuf_escape(strbuf, text, *p++);
            break;

        default: /* sw_hex */
            ngx_http_ollama_strbuf_hex(strbuf, text, *p++);
            break;
        }
    }
}


/* The byte behind a backslash. */

static void
ngx_http_ollama_strbuf_escape(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char ch)
{
    if (ch == 'u') {
        strbuf->unit = 0;
        strbuf->digits = 0;
        strbuf->state = sw_hex;
        return;
    }

    ngx_http_ollama_strbuf_end(strbuf, text);

    switch (ch) {
    case 'b':
        ch = '\b';
        break;
    case 'f':
        ch = '\f';
        break;
    case 'n':
        ch = '\n';
        break;
    case 'r':
        ch = '\r';
        break;
    case 't':
        ch = '\t';
        break;
    }

    ngx_http_ollama_strbuf_add(strbuf, text, &ch, 1);

    strbuf->state = sw_plain;
}


/* A digit of a \u escape; the last one may end a character, or half a pair. */

static void
ngx_http_ollama_strbuf_hex(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, u_char ch)
{
    uint32_t  unit;

    ch = (ch <= '9') ? ch - '0' : (ch | 0x20) - 'a' + 10;

    strbuf->unit = (strbuf->unit << 4) | (ch & 0x0f);

    if (++strbuf->digits < 4) {
        return;
    }

    strbuf->state = sw_plain;
    unit = strbuf->unit;

    switch (unit & 0xfc00) {

    case 0xd800:
        ngx_http_ollama_strbuf_end(strbuf, text);
        strbuf->high = unit;
        return;

    case 0xdc00:

        if (strbuf->high) {
            unit = 0x10000 + ((strbuf->high & 0x3ff) << 10) + (unit & 0x3ff);
            strbuf->high = 0;

        } else {
            unit = NGX_HTTP_OLLAMA_STRBUF_NO_CHAR;
        }

        break;

    default:
        ngx_http_ollama_strbuf_end(strbuf, text);
        break;
    }

    ngx_http_ollama_strbuf_char(strbuf, text, unit);
}


/* Also called when what follows can't be the second half of a pair. */

void
ngx_http_ollama_strbuf_end(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text)
{
    if (strbuf->high) {
        strbuf->high = 0;
        ngx_http_ollama_strbuf_char(strbuf, text,
                                    NGX_HTTP_OLLAMA_STRBUF_NO_CHAR);
    }
}


/* A character in UTF-8. */

static void
ngx_http_ollama_strbuf_char(ngx_http_ollama_strbuf_t *strbuf,
    ngx_http_ollama_strbuf_text_t *text, uint32_t ch)
{
    u_char  *p, buf[4];

    p = buf;

    if (ch < 0x80) {
        *p++ = (u_char) ch;

    } else {

        if (ch < 0x800) {
            *p++ = (u_char) (0xc0 | (ch >> 6));

        } else {

            if (ch < 0x10000) {
                *p++ = (u_char) (0xe0 | (ch >> 12));

            } else {
                *p++ = (u_char) (0xf0 | (ch >> 18));
                *p++ = (u_char) (0x80 | ((ch >> 12) & 0x3f));
            }

            *p++ = (u_char) (0x80 | ((ch >> 6) & 0x3f));
        }

        *p++ = (u_char) (0x80 | (ch & 0x3f));
    }

    ngx_http_ollama_strbuf_add(strbuf, text, buf, p - buf);
}
