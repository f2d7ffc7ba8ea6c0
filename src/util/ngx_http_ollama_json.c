
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Reading JSON with yajl, fed piece by piece.
 *
 * yajl copies a token that lies in two pieces, and goes over it again with
 * each further piece: a picture of 100 MB would be copied as a whole and
 * scanned thousands of times.  So strings are followed here, byte by byte,
 * and yajl is shown only the first json->keep bytes of each.  As their bytes
 * are looked at anyway, strings are checked here as well, and more strictly
 * than by yajl: UTF-8 as in RFC 3629, without overlong forms and surrogates.
 *
 * yajl gets its pieces cut at closing quotes, so that in a callback
 * json->string is the place of the very string that it reports.  They are cut
 * behind a number or literal that began in the piece before, too, so that all
 * others lie in one piece with yajl's place of an error.
 *
 * yajl's memory comes from a pool and goes with it.  This file calls nobody.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_json.h"


/* the longest number or literal: yajl would buffer an endless one */
#define NGX_HTTP_OLLAMA_JSON_MAX_LITERAL  512

/* room for the size of a block, keeping malloc()'s alignment */
#define NGX_HTTP_OLLAMA_JSON_HEAD         16

/* the byte in all eight of a word; one that is zero becomes 0x80 */
#define ngx_http_ollama_json_each(ch)  (UINT64_C(0x0101010101010101) * (ch))
#define ngx_http_ollama_json_zero(word)                                      \
    (((word) - ngx_http_ollama_json_each(0x01)) & ~(word))

/*
 * Not 0 if any of a word's bytes is a control character, a quote, a backslash,
 * or not ASCII (Warren, Hacker's Delight, 6-1)
 */

#define ngx_http_ollama_json_any(word)                                       \
    (((word)                                                                 \
      | (((word) - ngx_http_ollama_json_each(0x20)) & ~(word))               \
      | ngx_http_ollama_json_zero((word) ^ ngx_http_ollama_json_each('"'))   \
      | ngx_http_ollama_json_zero((word) ^ ngx_http_ollama_json_each('\\'))) \
     & ngx_http_ollama_json_each(0x80))


typedef enum {
    sw_text = 0,
    sw_string,
    sw_escape,
    sw_hex,
    sw_utf8
} ngx_http_ollama_json_state_e;


static void *ngx_http_ollama_json_malloc(void *data, size_t size);
static void *ngx_http_ollama_json_realloc(void *data, void *p, size_t size);
static void ngx_http_ollama_json_pfree(void *data, void *p);
static const char *ngx_http_ollama_json_text(ngx_http_ollama_json_t *json,
    u_char ch);
static ngx_uint_t ngx_http_ollama_json_is_literal(u_char ch);
static size_t ngx_http_ollama_json_plain(ngx_http_ollama_json_t *json,
    u_char *p, u_char *last);
static const char *ngx_http_ollama_json_string(ngx_http_ollama_json_t *json,
    u_char ch);
static void ngx_http_ollama_json_surrogate(ngx_http_ollama_json_t *json);
static const char *ngx_http_ollama_json_utf8(ngx_http_ollama_json_t *json,
    u_char ch);
static ngx_int_t ngx_http_ollama_json_parse(ngx_http_ollama_json_t *json,
    u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_json_flush(ngx_http_ollama_json_t *json,
    off_t at);
static void ngx_http_ollama_json_error(ngx_http_ollama_json_t *json,
    u_char *p, u_char *last);
static ngx_uint_t ngx_http_ollama_json_fold(const u_char **p,
    const u_char *last);


/*
 * Makes a zeroed struct ready for a text.  Strings longer than "keep" bytes
 * reach the callbacks shortened, never shorter than "keep".  With "multiple"
 * the text may hold several values.
 */

ngx_int_t
ngx_http_ollama_json_init(ngx_http_ollama_json_t *json, ngx_pool_t *pool,
    const yajl_callbacks *callbacks, void *data, size_t keep,
    ngx_uint_t multiple)
{
    yajl_alloc_funcs  alloc;

    alloc.malloc = ngx_http_ollama_json_malloc;
    alloc.realloc = ngx_http_ollama_json_realloc;
    alloc.free = ngx_http_ollama_json_pfree;
    alloc.ctx = pool;

    json->yajl = yajl_alloc(callbacks, &alloc, data);
    if (json->yajl == NULL) {
        return NGX_ERROR;
    }

    yajl_config(json->yajl, yajl_dont_validate_strings, 1);

    if (multiple) {
        yajl_config(json->yajl, yajl_allow_multiple_values, 1);
    }

    json->keep = keep;

    return NGX_OK;
}


/*
 * Takes the next piece of the text.  After NGX_ERROR json->error says what is
 * wrong (NULL: a callback refused) and json->error_at where; such a text must
 * not be fed further.
 */

ngx_int_t
ngx_http_ollama_json_feed(ngx_http_ollama_json_t *json, u_char *p, size_t size)
{
    off_t        begin;
    size_t       n;
    u_char      *last, *start, *first;
    const char  *error;

    first = p;
    start = p;
    last = p + size;
    begin = json->pos;

    json->base = begin;

    if (json->state == sw_text && json->run) {

        json->carry = json->run;

        while (p < last && ngx_http_ollama_json_is_literal(*p)) {

            error = ngx_http_ollama_json_text(json, *p);
            if (error) {
                goto invalid;
            }

            p++;
        }

        if (ngx_http_ollama_json_parse(json, start, p) != NGX_OK) {
            return NGX_ERROR;
        }

        if (p < last
            && ngx_http_ollama_json_flush(json, begin + (p - first)) != NGX_OK)
        {
            return NGX_ERROR;
        }

        json->base = begin + (p - first);
        json->carry = 0;
        start = p;
    }

    while (p < last) {

        if (json->state == sw_text) {

            if (*p == '"') {
                json->string = begin + (p - first);
                json->state = sw_string;
                json->run = 0;
                json->halves = 0;
                p++;
                continue;
            }

            error = ngx_http_ollama_json_text(json, *p);
            if (error) {
                goto invalid;
            }

            p++;
            continue;
        }

        if (json->state == sw_string && *p == '"') {

            if (json->hidden) {
                json->hidden = 0;
                json->base = begin + (p - first);
                start = p;
            }

            json->state = sw_text;
            json->run = 0;
            p++;

            if (ngx_http_ollama_json_parse(json, start, p) != NGX_OK) {
                return NGX_ERROR;
            }

            json->base = begin + (p - first);
            start = p;
            continue;
        }

        if (json->state == sw_string
            && json->run >= json->keep
            && !json->hidden)
        {
            /* a whole character ends here, so the string may be left */

            if (ngx_http_ollama_json_parse(json, start, p) != NGX_OK) {
                return NGX_ERROR;
            }

            json->hidden = 1;
        }

        n = ngx_http_ollama_json_plain(json, p, last);

        if (n) {
            json->run += n;
            p += n;
            continue;
        }

        error = ngx_http_ollama_json_string(json, *p);
        if (error) {
            goto invalid;
        }

        json->run++;
        p++;
    }

    json->pos = begin + size;

    if (json->hidden || start == last) {
        return NGX_OK;
    }

    return ngx_http_ollama_json_parse(json, start, last);

invalid:

    /* what yajl finds wrong in front of this byte comes first */

    if (!json->hidden
        && start < p
        && ngx_http_ollama_json_parse(json, start, p) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (json->state == sw_text
        && json->run
        && ngx_http_ollama_json_flush(json, begin + (p - first)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    json->error = error;
    json->error_at = begin + (p - first);

    return NGX_ERROR;
}


/* Says that the text is over; NGX_ERROR as in ngx_http_ollama_json_feed(). */

ngx_int_t
ngx_http_ollama_json_end(ngx_http_ollama_json_t *json)
{
    if (json->state == sw_text) {

        if (json->run
            && ngx_http_ollama_json_flush(json, json->pos) != NGX_OK
            && (json->error == NULL || json->error_at < json->pos))
        {
            return NGX_ERROR;
        }

        if (yajl_complete_parse(json->yajl) == yajl_status_ok) {
            return NGX_OK;
        }
    }

    json->error = "unexpected end";
    json->error_at = json->pos;

    return NGX_ERROR;
}


/* In a callback: the byte after the token that it reports. */

off_t
ngx_http_ollama_json_offset(ngx_http_ollama_json_t *json)
{
    return json->base + yajl_get_bytes_consumed(json->yajl);
}


void
ngx_http_ollama_json_free(ngx_http_ollama_json_t *json)
{
    if (json->yajl) {
        yajl_free(json->yajl);
        json->yajl = NULL;
    }
}


/*
 * Whether Go's encoding/json takes the decoded key for the field "name",
 * which is given in lower case: letters match in either case, and so do the
 * two characters outside of ASCII whose simple case folding is a letter of
 * ASCII (foldName() in encoding/json/fold.go).
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


/*
 * A byte outside of strings: may it be there at all, and how many in a row
 * are not yet a token?  yajl would take \v and \f for whitespace.
 */

static const char *
ngx_http_ollama_json_text(ngx_http_ollama_json_t *json, u_char ch)
{
    switch (ch) {

    case ' ': case '\t': case '\r': case '\n':
    case ',': case ':': case '{': case '}': case '[': case ']':
        json->run = 0;
        return NULL;
    }

    if (!ngx_http_ollama_json_is_literal(ch)) {
        return "invalid char in json text";
    }

    if (++json->run > NGX_HTTP_OLLAMA_JSON_MAX_LITERAL) {
        return "a number or literal is too long";
    }

    return NULL;
}


static ngx_uint_t
ngx_http_ollama_json_is_literal(u_char ch)
{
    return (ch >= '0' && ch <= '9')
           || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
           || ch == '-' || ch == '+' || ch == '.';
}


/*
 * The number of bytes from "p" on that stand for themselves in a string, as
 * nearly all do; not more than yajl may still be shown of it.
 */

static size_t
ngx_http_ollama_json_plain(ngx_http_ollama_json_t *json, u_char *p,
    u_char *last)
{
    u_char    *start;
    uint64_t   word;

    if (json->state != sw_string) {
        return 0;
    }

    if (!json->hidden && (size_t) (last - p) > json->keep - json->run) {
        last = p + (json->keep - json->run);
    }

    start = p;

    while (last - p >= 8) {

        ngx_memcpy(&word, p, 8);

        if (ngx_http_ollama_json_any(word)) {
            break;
        }

        p += 8;
    }

    while (p < last && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p - start;
}


/* A byte inside of a string, but its closing quote (RFC 8259, 7). */

static const char *
ngx_http_ollama_json_string(ngx_http_ollama_json_t *json, u_char ch)
{
    switch (json->state) {

    case sw_string:

        if (ch == '\\') {
            json->state = sw_escape;
            return NULL;
        }

        if (ch < 0x20) {
            return "a control character in a string";
        }

        return (ch < 0x80) ? NULL : ngx_http_ollama_json_utf8(json, ch);

    case sw_escape:

        if (ch == 'u') {
            json->state = sw_hex;
            json->rest = 4;
            return NULL;
        }

        if (ch == 0 || ngx_strchr("\"\\/bfnrt", ch) == NULL) {
            return "an invalid escape in a string";
        }

        json->state = sw_string;
        return NULL;

    case sw_hex:

        if (ch >= '0' && ch <= '9') {
            ch -= '0';

        } else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f') {
            ch = (ch | 0x20) - 'a' + 10;

        } else {
            return "an invalid \\u escape in a string";
        }

        json->unit = (json->unit << 4) | ch;

        if (--json->rest == 0) {
            json->state = sw_string;
            ngx_http_ollama_json_surrogate(json);
        }

        return NULL;

    default: /* sw_utf8 */

        if (ch < json->low || ch > json->high) {
            return "invalid UTF-8 in a string";
        }

        json->low = 0x80;
        json->high = 0xbf;

        if (--json->rest == 0) {
            json->state = sw_string;
        }

        return NULL;
    }
}


/*
 * Counts surrogates that aren't in a pair, at the last byte of an escape.  Go
 * takes each for U+FFFD; what yajl makes of them is another thing, or nothing
 * that is UTF-8.
 */

static void
ngx_http_ollama_json_surrogate(ngx_http_ollama_json_t *json)
{
    switch (json->unit & 0xfc00) {

    case 0xd800:
        json->halves++;
        json->half = json->run + 1;
        break;

    case 0xdc00:
        if (json->halves && json->half == json->run - 5) {
            json->halves--;

        } else {
            json->halves++;
        }

        break;
    }
}


/* The first byte of a character outside of ASCII (RFC 3629, 4). */

static const char *
ngx_http_ollama_json_utf8(ngx_http_ollama_json_t *json, u_char ch)
{
    json->low = 0x80;
    json->high = 0xbf;

    if (ch >= 0xc2 && ch <= 0xdf) {
        json->rest = 1;

    } else if (ch >= 0xe0 && ch <= 0xef) {
        json->rest = 2;

        if (ch == 0xe0) {
            json->low = 0xa0;

        } else if (ch == 0xed) {
            json->high = 0x9f;
        }

    } else if (ch >= 0xf0 && ch <= 0xf4) {
        json->rest = 3;

        if (ch == 0xf0) {
            json->low = 0x90;

        } else if (ch == 0xf4) {
            json->high = 0x8f;
        }

    } else {
        return "invalid UTF-8 in a string";
    }

    json->state = sw_utf8;

    return NULL;
}


static ngx_int_t
ngx_http_ollama_json_parse(ngx_http_ollama_json_t *json, u_char *p,
    u_char *last)
{
    switch (yajl_parse(json->yajl, p, last - p)) {

    case yajl_status_ok:
        return NGX_OK;

    case yajl_status_client_canceled:
        json->error = NULL;
        json->error_at = ngx_http_ollama_json_offset(json);
        return NGX_ERROR;

    default: /* yajl_status_error */
        ngx_http_ollama_json_error(json, p, last);
        return NGX_ERROR;
    }
}


/*
 * Shows yajl the end of the number or literal that it has seen last and may
 * still expect more of; "at" is the byte after it.
 */

static ngx_int_t
ngx_http_ollama_json_flush(ngx_http_ollama_json_t *json, off_t at)
{
    u_char  *p;

    json->base = at;
    json->carry = json->run;

    p = (u_char *) " ";

    return ngx_http_ollama_json_parse(json, p, p + 1);
}


/*
 * Finds the text and the place of yajl's error.  yajl has mostly gone past
 * the token in question; where that began is seen from what it can be: the
 * string at the end of the piece, one byte, or a number or literal, of which
 * json->carry bytes lie in front of the piece.
 */

static void
ngx_http_ollama_json_error(ngx_http_ollama_json_t *json, u_char *p,
    u_char *last)
{
    char        *text, *tail;
    off_t        at;
    size_t       len;
    u_char      *s;
    ngx_uint_t   lexical;

    at = ngx_http_ollama_json_offset(json);

    json->error = "invalid JSON";
    json->error_at = at;

    text = (char *) yajl_get_error(json->yajl, 0, p, last - p);
    if (text == NULL) {
        return;
    }

    /* "parse error: text\n", "lexical error: text.\n" */

    lexical = (text[0] == 'l');

    tail = strstr(text, ": ");
    if (tail) {
        text = tail + 2;
    }

    len = ngx_strlen(text);

    while (len && (text[len - 1] == '\n' || text[len - 1] == '.')) {
        text[--len] = '\0';
    }

    json->error = text;

    if (lexical) {
        if (strstr(text, "invalid char in json") == text) {
            json->error_at = at - 1;
        }

        return;
    }

    if (last[-1] == '"' && json->state == sw_text && at > json->string) {
        json->error_at = json->string;
        return;
    }

    s = p + (at - json->base);

    if (strstr(text, "after key and value") == text) {

        /* here yajl has gone back to where the token begins in the piece */

        if (s < last && ngx_http_ollama_json_is_literal(*s)) {
            s++;

        } else if (s > p || json->carry == 0) {
            return;
        }

    } else if (s > p && !ngx_http_ollama_json_is_literal(s[-1])) {
        json->error_at = at - 1;
        return;
    }

    while (s > p && ngx_http_ollama_json_is_literal(s[-1])) {
        s--;
    }

    json->error_at = json->base + (s - p) - (s == p ? json->carry : 0);
}


/* yajl's allocations: blocks of the pool that know their size. */

static void *
ngx_http_ollama_json_malloc(void *data, size_t size)
{
    ngx_pool_t *pool = data;

    u_char  *p;

    p = ngx_palloc(pool, NGX_HTTP_OLLAMA_JSON_HEAD + size);
    if (p == NULL) {
        return NULL;
    }

    *(size_t *) p = size;

    return p + NGX_HTTP_OLLAMA_JSON_HEAD;
}


static void *
ngx_http_ollama_json_realloc(void *data, void *p, size_t size)
{
    size_t   old;
    u_char  *n;

    if (p == NULL) {
        return ngx_http_ollama_json_malloc(data, size);
    }

    old = *(size_t *) ((u_char *) p - NGX_HTTP_OLLAMA_JSON_HEAD);

    if (size <= old) {
        return p;
    }

    n = ngx_http_ollama_json_malloc(data, size);
    if (n == NULL) {
        return NULL;
    }

    ngx_memcpy(n, p, old);
    ngx_http_ollama_json_pfree(data, p);

    return n;
}


static void
ngx_http_ollama_json_pfree(void *data, void *p)
{
    ngx_pool_t *pool = data;

    if (p) {
        /* a small block stays in the pool until its end */
        (void) ngx_pfree(pool, (u_char *) p - NGX_HTTP_OLLAMA_JSON_HEAD);
    }
}
