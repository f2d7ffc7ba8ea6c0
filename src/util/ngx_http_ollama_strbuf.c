
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Texts that grow in a pool, some of them out of JSON strings whose escapes
 * are resolved on the way, and together not beyond a limit.
 *
 * The limit is hard to the byte: the text that reaches it gets what fits of
 * whole characters, and nothing is added to any text afterwards.  So what is
 * gathered does not depend on the pieces in which it came.
 *
 * A text's memory doubles; what it leaves goes back if it was more than the
 * pool keeps in its blocks.  A text lives as long as the pool.
 *
 * Pure functions; this file calls nobody.  Called by said, and by what reads a
 * conversation's body.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_strbuf.h"


/* a text's first memory */
#define NGX_HTTP_OLLAMA_STRBUF_SIZE      256

/* what stands for half of a pair, as Go has it */
#define NGX_HTTP_OLLAMA_STRBUF_NO_CHAR   0xfffd


typedef enum {
    sw_plain = 0,
    sw_escape,
    sw_hex
} ngx_http_ollama_strbuf_state_e;


static ngx_int_t ngx_http_ollama_strbuf_grow(
    ngx_http_ollama_strbuf_t *gather, ngx_http_ollama_strbuf_text_t *text,
    size_t len);
static void ngx_http_ollama_strbuf_trim(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text);
static void ngx_http_ollama_strbuf_escape(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char ch);
static void ngx_http_ollama_strbuf_hex(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char ch);
static void ngx_http_ollama_strbuf_char(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, uint32_t ch);


void
ngx_http_ollama_strbuf_init(ngx_http_ollama_strbuf_t *gather,
    ngx_pool_t *pool, size_t max)
{
    ngx_memzero(gather, sizeof(ngx_http_ollama_strbuf_t));

    gather->pool = pool;
    gather->rest = max;
}


/* Adds bytes as they are.  If they don't fit, gather->full is set. */

void
ngx_http_ollama_strbuf_add(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, size_t len)
{
    if (gather->full || len == 0) {
        return;
    }

    if (len > gather->rest) {
        len = gather->rest;
        gather->full = 1;
    }

    if (text->size - text->str.len < len
        && ngx_http_ollama_strbuf_grow(gather, text, len) != NGX_OK)
    {
        gather->full = 1;
        gather->failed = 1;
        return;
    }

    if (len) {
        ngx_memcpy(text->str.data + text->str.len, p, len);
    }

    text->str.len += len;
    gather->rest -= len;

    if (gather->full && text->str.len) {
        ngx_http_ollama_strbuf_trim(gather, text);
    }
}


static ngx_int_t
ngx_http_ollama_strbuf_grow(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, size_t len)
{
    size_t   size;
    u_char  *p;

    /* never less than the text and "len", which the limit bounds */

    size = ngx_max(2 * text->size, NGX_HTTP_OLLAMA_STRBUF_SIZE);
    size = ngx_min(size, text->str.len + gather->rest);
    size = ngx_max(size, text->str.len + len);

    p = ngx_pnalloc(gather->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (text->str.data) {
        ngx_memcpy(p, text->str.data, text->str.len);
        (void) ngx_pfree(gather->pool, text->str.data);
    }

    text->str.data = p;
    text->size = size;

    return NGX_OK;
}


/* Takes a character off the end that isn't whole. */

static void
ngx_http_ollama_strbuf_trim(ngx_http_ollama_strbuf_t *gather,
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
        ngx_http_ollama_strbuf_cut(gather, text, p - text->str.data);
    }
}


/* Takes off what is beyond the first "len" bytes; others may use its room. */

void
ngx_http_ollama_strbuf_cut(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, size_t len)
{
    gather->rest += text->str.len - len;
    text->str.len = len;
}


/* The string's opening quote has been read. */

void
ngx_http_ollama_strbuf_begin(ngx_http_ollama_strbuf_t *gather)
{
    gather->state = sw_plain;
    gather->high = 0;
}


/*
 * Adds a piece of a string, decoded.  Whether the string is a good one is not
 * asked here; of a bad one comes something, which is to be cut off.
 */

void
ngx_http_ollama_strbuf_decode(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char *p, u_char *last)
{
    u_char  *s;

    while (p < last) {

        switch (gather->state) {

        case sw_plain:

            s = memchr(p, '\\', last - p);
            if (s == NULL) {
                s = last;
            }

            if (s > p) {
                ngx_http_ollama_strbuf_end(gather, text);
                ngx_http_ollama_strbuf_add(gather, text, p, s - p);
            }

            if (s < last) {
                gather->state = sw_escape;
                s++;
            }

            p = s;
            break;

        case sw_escape:
            ngx_http_ollama_strbuf_escape(gather, text, *p++);
            break;

        default: /* sw_hex */
            ngx_http_ollama_strbuf_hex(gather, text, *p++);
            break;
        }
    }
}


/* The byte behind a backslash. */

static void
ngx_http_ollama_strbuf_escape(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char ch)
{
    if (ch == 'u') {
        gather->unit = 0;
        gather->digits = 0;
        gather->state = sw_hex;
        return;
    }

    ngx_http_ollama_strbuf_end(gather, text);

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

    ngx_http_ollama_strbuf_add(gather, text, &ch, 1);

    gather->state = sw_plain;
}


/* A digit of a \u escape; at its last one the character is known, or half. */

static void
ngx_http_ollama_strbuf_hex(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text, u_char ch)
{
    uint32_t  unit;

    ch = (ch <= '9') ? ch - '0' : (ch | 0x20) - 'a' + 10;

    gather->unit = (gather->unit << 4) | (ch & 0x0f);

    if (++gather->digits < 4) {
        return;
    }

    gather->state = sw_plain;
    unit = gather->unit;

    switch (unit & 0xfc00) {

    case 0xd800:
        ngx_http_ollama_strbuf_end(gather, text);
        gather->high = unit;
        return;

    case 0xdc00:

        if (gather->high) {
            unit = 0x10000 + ((gather->high & 0x3ff) << 10) + (unit & 0x3ff);
            gather->high = 0;

        } else {
            unit = NGX_HTTP_OLLAMA_STRBUF_NO_CHAR;
        }

        break;

    default:
        ngx_http_ollama_strbuf_end(gather, text);
        break;
    }

    ngx_http_ollama_strbuf_char(gather, text, unit);
}


/* The string is over, or goes on with what is no second half of a pair. */

void
ngx_http_ollama_strbuf_end(ngx_http_ollama_strbuf_t *gather,
    ngx_http_ollama_strbuf_text_t *text)
{
    if (gather->high) {
        gather->high = 0;
        ngx_http_ollama_strbuf_char(gather, text,
                                    NGX_HTTP_OLLAMA_STRBUF_NO_CHAR);
    }
}


/* A character in UTF-8. */

static void
ngx_http_ollama_strbuf_char(ngx_http_ollama_strbuf_t *gather,
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

    ngx_http_ollama_strbuf_add(gather, text, buf, p - buf);
}
