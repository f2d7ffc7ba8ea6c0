
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Reading JSON with yajl, piece by piece.
 *
 * yajl copies a token that is in two pieces, and scans it again with each
 * further piece: a picture of 100 MB would be copied as a whole and scanned
 * thousands of times.  So the end of a string is found here, byte by byte, and
 * yajl is shown only its first json->keep bytes.  As each byte is read anyway,
 * strings are validated here, too, and more strictly than by yajl: UTF-8 as in
 * RFC 3629, without overlong forms and surrogates.
 *
 * yajl is shown the text in parts that end with each closing quote, so that in
 * a callback json->string is the place of the string that it is called for.
 * They also end behind a number or literal that began in the piece before, so
 * that all other tokens are in one part with the place of yajl's error.
 *
 * yajl's memory is in a pool, and is freed with that at the latest.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_json.h"
#include "util/ngx_http_ollama_word.h"
#include "util/ngx_http_ollama_yajl.h"


/* the longest number or literal: yajl would buffer an endless one */
#define NGX_HTTP_OLLAMA_JSON_MAX_LITERAL  512


typedef enum {
    sw_text = 0,
    sw_string,
    sw_escape,
    sw_hex,
    sw_utf8
} ngx_http_ollama_json_state_e;


/* the piece of a text that is being taken */

typedef struct {
    u_char                *first;     /* its byte at json->pos */
    u_char                *start;     /* of what yajl wasn't shown yet */
    u_char                *pos;       /* what is in front of it was checked */
    u_char                *last;
    const char            *error;     /* of the byte at "pos" */
} ngx_http_ollama_json_piece_t;


static ngx_int_t ngx_http_ollama_json_feed_literal(
    ngx_http_ollama_json_t *json, ngx_http_ollama_json_piece_t *piece);
static ngx_int_t ngx_http_ollama_json_feed_text(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece);
static ngx_int_t ngx_http_ollama_json_feed_string(
    ngx_http_ollama_json_t *json, ngx_http_ollama_json_piece_t *piece);
static ngx_int_t ngx_http_ollama_json_close(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece);
static ngx_int_t ngx_http_ollama_json_invalid(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece);
static void ngx_http_ollama_json_not_utf8(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece, u_char *p);
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
static ngx_int_t ngx_http_ollama_json_show(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece);
static ngx_int_t ngx_http_ollama_json_parse(ngx_http_ollama_json_t *json,
    u_char *p, u_char *last);
static ngx_int_t ngx_http_ollama_json_flush(ngx_http_ollama_json_t *json,
    off_t at);
static void ngx_http_ollama_json_error(ngx_http_ollama_json_t *json,
    u_char *p, u_char *last);
static off_t ngx_http_ollama_json_token(ngx_http_ollama_json_t *json,
    u_char *p, u_char *last, off_t at);


ngx_int_t
ngx_http_ollama_json_init(ngx_http_ollama_json_t *json, ngx_pool_t *pool,
    const yajl_callbacks *callbacks, void *data, size_t keep,
    ngx_uint_t flags)
{
    json->yajl = ngx_http_ollama_yajl_create(pool, callbacks, data);
    if (json->yajl == NULL) {
        return NGX_ERROR;
    }

    yajl_config(json->yajl, yajl_dont_validate_strings, 1);

    if (flags & NGX_HTTP_OLLAMA_JSON_MULTIPLE) {
        yajl_config(json->yajl, yajl_allow_multiple_values, 1);
    }

    json->keep = keep;
    json->flags = flags;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_json_feed(ngx_http_ollama_json_t *json, u_char *p, size_t size)
{
    ngx_int_t                     rc;
    ngx_http_ollama_json_piece_t  piece;

    if (json->whole) {
        json->pos += size;
        return NGX_OK;
    }

    piece.first = p;
    piece.start = p;
    piece.pos = p;
    piece.last = p + size;
    piece.error = NULL;

    json->base = json->pos;

    rc = NGX_OK;

    if (json->state == sw_text && json->run) {
        rc = ngx_http_ollama_json_feed_literal(json, &piece);
    }

    while (rc == NGX_OK && piece.pos < piece.last) {
        rc = (json->state == sw_text)
             ? ngx_http_ollama_json_feed_text(json, &piece)
             : ngx_http_ollama_json_feed_string(json, &piece);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_json_invalid(json, &piece);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    json->pos += size;

    if (json->hidden || piece.start == piece.last) {
        return NGX_OK;
    }

    return ngx_http_ollama_json_parse(json, piece.start, piece.last);
}


/*
 * The rest of a number or literal that began in the piece before.  Of this and
 * the functions below NGX_DECLINED: the byte at piece->pos is invalid;
 * NGX_ERROR: it is yajl or a callback that found an error.
 */

static ngx_int_t
ngx_http_ollama_json_feed_literal(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece)
{
    json->carry = json->run;

    while (piece->pos < piece->last
           && ngx_http_ollama_json_is_literal(*piece->pos))
    {
        piece->error = ngx_http_ollama_json_text(json, *piece->pos);
        if (piece->error) {
            return NGX_DECLINED;
        }

        piece->pos++;
    }

    if (ngx_http_ollama_json_parse(json, piece->start, piece->pos) != NGX_OK) {
        return NGX_ERROR;
    }

    if (piece->pos < piece->last
        && ngx_http_ollama_json_flush(json,
                                      json->pos + (piece->pos - piece->first))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    json->base = json->pos + (piece->pos - piece->first);
    json->carry = 0;
    piece->start = piece->pos;

    return NGX_OK;
}


/* Bytes outside of strings, up to and with an opening quote. */

static ngx_int_t
ngx_http_ollama_json_feed_text(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece)
{
    u_char  *p;

    for (p = piece->pos; p < piece->last; p++) {

        if (*p == '"') {
            json->string = json->pos + (p - piece->first);
            json->state = sw_string;
            json->run = 0;
            json->halves = 0;
            piece->pos = p + 1;
            return NGX_OK;
        }

        piece->error = ngx_http_ollama_json_text(json, *p);
        if (piece->error) {
            piece->pos = p;
            return NGX_DECLINED;
        }

        if (*p == '{' || *p == '[') {
            json->depth++;

        } else if ((*p == '}' || *p == ']')
                   && json->depth
                   && --json->depth == 0
                   && (json->flags & NGX_HTTP_OLLAMA_JSON_REST))
        {
            json->whole = 1;
            piece->pos = p + 1;
            piece->last = p + 1;

            return ngx_http_ollama_json_show(json, piece);
        }
    }

    piece->pos = p;

    return NGX_OK;
}


/* Bytes of a string, up to and with its closing quote. */

static ngx_int_t
ngx_http_ollama_json_feed_string(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece)
{
    size_t   n;
    u_char  *p;

    p = piece->pos;

    while (p < piece->last) {

        if (json->state == sw_string) {

            if (*p == '"') {
                piece->pos = p;
                return ngx_http_ollama_json_close(json, piece);
            }

            if (json->run >= json->keep && !json->hidden) {

                /* a whole character ends here, so the string may be left */

                piece->pos = p;

                if (ngx_http_ollama_json_show(json, piece) != NGX_OK) {
                    return NGX_ERROR;
                }

                json->hidden = 1;
            }

            n = ngx_http_ollama_json_plain(json, p, piece->last);

            if (n) {
                json->run += n;
                p += n;
                continue;
            }
        }

        if (json->state == sw_utf8
            && (*p < json->low || *p > json->high)
            && (json->flags & NGX_HTTP_OLLAMA_JSON_BYTES))
        {
            json->state = sw_string;
            ngx_http_ollama_json_not_utf8(json, piece, p);
            continue;
        }

        piece->error = ngx_http_ollama_json_string(json, *p);

        if (piece->error) {

            if (json->state != sw_string
                || *p < 0x80
                || !(json->flags & NGX_HTTP_OLLAMA_JSON_BYTES))
            {
                piece->pos = p;
                return NGX_DECLINED;
            }

            ngx_http_ollama_json_not_utf8(json, piece, p);
        }

        json->run++;
        p++;
    }

    piece->pos = p;

    return NGX_OK;
}


/* The closing quote of a string; yajl is shown it in any case. */

static ngx_int_t
ngx_http_ollama_json_close(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece)
{
    if (json->hidden) {
        json->hidden = 0;
        json->base = json->pos + (piece->pos - piece->first);
        piece->start = piece->pos;
    }

    json->state = sw_text;
    json->run = 0;
    piece->pos++;

    return ngx_http_ollama_json_show(json, piece);
}


/* An invalid byte; but what yajl finds wrong in front of it comes first. */

static ngx_int_t
ngx_http_ollama_json_invalid(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece)
{
    off_t  at;

    at = json->pos + (piece->pos - piece->first);

    if (!json->hidden
        && piece->start < piece->pos
        && ngx_http_ollama_json_parse(json, piece->start, piece->pos)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (json->state == sw_text
        && json->run
        && ngx_http_ollama_json_flush(json, at) != NGX_OK)
    {
        return NGX_ERROR;
    }

    json->error = piece->error;
    json->error_at = at;

    return NGX_ERROR;
}


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


off_t
ngx_http_ollama_json_offset(ngx_http_ollama_json_t *json)
{
    return json->base + yajl_get_bytes_consumed(json->yajl);
}


ngx_uint_t
ngx_http_ollama_json_in_string(ngx_http_ollama_json_t *json)
{
    return json->state != sw_text;
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
 * A byte outside of strings: whether it is allowed at all, and counts those of
 * a number or literal.  yajl would take \v and \f for whitespace.
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
 * In a string: the number of bytes from "p" on that are neither special nor
 * outside of ASCII; not more than yajl is still to be shown of the string.
 */

static size_t
ngx_http_ollama_json_plain(ngx_http_ollama_json_t *json, u_char *p,
    u_char *last)
{
    u_char    *start;
    uint64_t   word;

    if (!json->hidden && (size_t) (last - p) > json->keep - json->run) {
        last = p + (json->keep - json->run);
    }

    start = p;

    while (last - p >= 8) {

        ngx_memcpy(&word, p, 8);

        if (ngx_http_ollama_word_is_special(word)) {
            break;
        }

        p += 8;
    }

    while (p < last && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p - start;
}


/* A byte of a string that is not its closing quote (RFC 8259, 7). */

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


/* The byte at p is of no character. */

static void
ngx_http_ollama_json_not_utf8(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece, u_char *p)
{
    if (json->invalid == 0) {
        json->invalid = json->pos + (p - piece->first);
    }
}


/*
 * At the last byte of an escape: counts surrogates that have no pair.  Go takes
 * each for U+FFFD; yajl makes something else of them, or invalid UTF-8.
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


/* Shows yajl the piece up to piece->pos. */

static ngx_int_t
ngx_http_ollama_json_show(ngx_http_ollama_json_t *json,
    ngx_http_ollama_json_piece_t *piece)
{
    if (ngx_http_ollama_json_parse(json, piece->start, piece->pos) != NGX_OK) {
        return NGX_ERROR;
    }

    json->base = json->pos + (piece->pos - piece->first);
    piece->start = piece->pos;

    return NGX_OK;
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
 * Shows yajl the end of the number or literal that it was shown last, which may
 * be incomplete for it; "at" is the place behind that.
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


/* Sets the text and the place of yajl's error. */

static void
ngx_http_ollama_json_error(ngx_http_ollama_json_t *json, u_char *p,
    u_char *last)
{
    char        *text;
    off_t        at;
    ngx_uint_t   lexical;

    at = ngx_http_ollama_json_offset(json);

    json->error = "invalid JSON";
    json->error_at = at;

    text = ngx_http_ollama_yajl_error(json->yajl, p, last, &lexical);
    if (text == NULL) {
        return;
    }

    json->error = text;

    if (!lexical) {
        json->error_at = ngx_http_ollama_json_token(json, p, last, at);

    } else if (strstr(text, "invalid char in json") == text) {
        json->error_at = at - 1;
    }
}


/*
 * The place of the token that yajl takes for a syntax error.  "at" is mostly
 * behind that; what the token can be tells where it begins: the string at the
 * end of the part, one byte, or a number or literal, of which json->carry bytes
 * are in front of the part.
 */

static off_t
ngx_http_ollama_json_token(ngx_http_ollama_json_t *json, u_char *p,
    u_char *last, off_t at)
{
    u_char  *s;

    if (last[-1] == '"' && json->state == sw_text && at > json->string) {
        return json->string;
    }

    s = p + (at - json->base);

    if (strstr(json->error, "after key and value") == json->error) {

        /* here yajl has gone back to where the token begins in the part */

        if (s < last && ngx_http_ollama_json_is_literal(*s)) {
            s++;

        } else if (s > p || json->carry == 0) {
            return at;
        }

    } else if (s > p && !ngx_http_ollama_json_is_literal(s[-1])) {
        return at - 1;
    }

    while (s > p && ngx_http_ollama_json_is_literal(s[-1])) {
        s--;
    }

    return json->base + (s - p) - (s == p ? json->carry : 0);
}
