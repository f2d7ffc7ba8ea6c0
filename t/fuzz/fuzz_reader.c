
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A plain reader of JSON, for the fuzz targets to compare the module with: a
 * whole text, read by recursion into a tree, as strictly as RFC 8259 and 3629
 * are.  It shares no code and no method with the module: UTF-8 and surrogates
 * are judged by the code points that come out.
 *
 * NGX_DECLINED: no JSON.  NGX_AGAIN: the text is over too early.
 */


#include "fuzz.h"


#define FUZZ_MAX_LITERAL  512


static ngx_int_t fuzz_reader_skip(fuzz_reader_t *reader);
static ngx_int_t fuzz_reader_members(fuzz_reader_t *reader,
    fuzz_value_t *parent, u_char close);
static ngx_int_t fuzz_reader_string(fuzz_reader_t *reader, ngx_str_t *raw,
    ngx_str_t *text, ngx_uint_t *halves);
static ngx_int_t fuzz_reader_char(fuzz_reader_t *reader, uint32_t *ch);
static ngx_int_t fuzz_reader_escape(fuzz_reader_t *reader, uint32_t *ch);
static ngx_int_t fuzz_reader_unit(fuzz_reader_t *reader, uint32_t *unit);
static ngx_int_t fuzz_reader_number(fuzz_reader_t *reader);
static ngx_int_t fuzz_reader_word(fuzz_reader_t *reader, const char *word);
static ngx_uint_t fuzz_reader_too_long(fuzz_reader_t *reader);
static void fuzz_reader_put(fuzz_reader_t *reader, uint32_t ch);


void
fuzz_reader_init(fuzz_reader_t *reader, u_char *p, size_t len,
    ngx_uint_t max_depth)
{
    ngx_memzero(reader, sizeof(fuzz_reader_t));

    reader->p = p;
    reader->last = len ? p + len : p;       /* adding 0 to NULL is undefined */
    reader->max_depth = max_depth;

    /* no more values than bytes, and of a byte three at most */
    reader->values = calloc(len + 1, sizeof(fuzz_value_t));
    reader->strings = malloc(3 * len + 1);

    if (reader->values == NULL || reader->strings == NULL) {
        abort();
    }

    reader->decoded = reader->strings;
}


void
fuzz_reader_free(fuzz_reader_t *reader)
{
    free(reader->values);
    free(reader->strings);
}


/* Nothing but whitespace may be left. */

ngx_int_t
fuzz_reader_end(fuzz_reader_t *reader)
{
    return (fuzz_reader_skip(reader) == NGX_AGAIN) ? NGX_OK : NGX_DECLINED;
}


/* To the next byte that is no whitespace. */

static ngx_int_t
fuzz_reader_skip(fuzz_reader_t *reader)
{
    for ( /* void */ ; reader->p < reader->last; reader->p++) {

        switch (*reader->p) {

        case ' ': case '\t': case '\r': case '\n':
            continue;

        default:
            return NGX_OK;
        }
    }

    return NGX_AGAIN;
}


ngx_int_t
fuzz_reader_value(fuzz_reader_t *reader, fuzz_value_t **value)
{
    u_char        *start;
    ngx_int_t      rc;
    fuzz_value_t  *v;

    if (fuzz_reader_skip(reader) != NGX_OK) {
        return NGX_AGAIN;
    }

    v = &reader->values[reader->nvalues++];
    *value = v;

    start = reader->p;

    if (*start != '"' && fuzz_reader_too_long(reader)) {
        return NGX_DECLINED;
    }

    switch (*start) {

    case '{':
        v->type = fuzz_object;
        rc = fuzz_reader_members(reader, v, '}');
        break;

    case '[':
        v->type = fuzz_list;
        rc = fuzz_reader_members(reader, v, ']');
        break;

    case '"':
        v->type = fuzz_text;
        rc = fuzz_reader_string(reader, &v->raw, &v->text, &v->halves);
        break;

    case 't':
        v->type = fuzz_boolean;
        rc = fuzz_reader_word(reader, "true");
        break;

    case 'f':
        v->type = fuzz_boolean;
        rc = fuzz_reader_word(reader, "false");
        break;

    case 'n':
        v->type = fuzz_null;
        rc = fuzz_reader_word(reader, "null");
        break;

    default:
        v->type = fuzz_number;
        rc = fuzz_reader_number(reader);
        break;
    }

    v->raw.data = start;
    v->raw.len = reader->p - start;

    return rc;
}


static ngx_int_t
fuzz_reader_members(fuzz_reader_t *reader, fuzz_value_t *parent, u_char close)
{
    ngx_str_t       raw, key;
    ngx_int_t       rc;
    ngx_uint_t      halves;
    fuzz_value_t   *v, **link;

    if (reader->depth++ == reader->max_depth) {
        return NGX_DECLINED;
    }

    reader->p++;
    link = &parent->first;

    for ( ;; ) {

        if (fuzz_reader_skip(reader) != NGX_OK) {
            return NGX_AGAIN;
        }

        if (*reader->p == close && parent->first == NULL) {
            break;
        }

        if (close == '}') {

            if (*reader->p != '"') {
                return NGX_DECLINED;
            }

            rc = fuzz_reader_string(reader, &raw, &key, &halves);
            if (rc != NGX_OK) {
                return rc;
            }

            if (fuzz_reader_skip(reader) != NGX_OK) {
                return NGX_AGAIN;
            }

            if (*reader->p++ != ':') {
                return NGX_DECLINED;
            }

        } else {
            ngx_str_null(&raw);
            ngx_str_null(&key);
        }

        rc = fuzz_reader_value(reader, &v);
        if (rc != NGX_OK) {
            return rc;
        }

        v->raw_key = raw;
        v->key = key;

        *link = v;
        link = &v->next;

        if (fuzz_reader_skip(reader) != NGX_OK) {
            return NGX_AGAIN;
        }

        if (*reader->p == close) {
            break;
        }

        if (*reader->p++ != ',') {
            return NGX_DECLINED;
        }
    }

    reader->p++;
    reader->depth--;

    return NGX_OK;
}


static ngx_int_t
fuzz_reader_string(fuzz_reader_t *reader, ngx_str_t *raw, ngx_str_t *text,
    ngx_uint_t *halves)
{
    u_char    *start;
    uint32_t   ch, high;
    ngx_int_t  rc;

    raw->data = ++reader->p;
    text->data = reader->decoded;

    *halves = 0;
    high = 0;

    for ( ;; ) {

        if (reader->p == reader->last) {
            return NGX_AGAIN;
        }

        if (*reader->p == '"') {
            break;
        }

        if (*reader->p == '\\') {
            rc = fuzz_reader_escape(reader, &ch);

        } else {
            start = reader->p;
            rc = fuzz_reader_char(reader, &ch);

            if (rc != NGX_OK && reader->bytes && *start >= 0x80) {
                reader->p = start + 1;
                ch = 0xfffd;
                rc = NGX_OK;
            }
        }

        if (rc != NGX_OK) {
            return rc;
        }

        if (high && ch >= 0xdc00 && ch < 0xe000) {
            fuzz_reader_put(reader, 0x10000 + ((high - 0xd800) << 10)
                                    + (ch - 0xdc00));
            high = 0;
            continue;
        }

        if (high) {
            fuzz_reader_put(reader, 0xfffd);
            (*halves)++;
            high = 0;
        }

        if (ch >= 0xd800 && ch < 0xdc00) {
            high = ch;
            continue;
        }

        if (ch >= 0xdc00 && ch < 0xe000) {
            (*halves)++;
            ch = 0xfffd;
        }

        fuzz_reader_put(reader, ch);
    }

    if (high) {
        fuzz_reader_put(reader, 0xfffd);
        (*halves)++;
    }

    raw->len = reader->p - raw->data;
    text->len = reader->decoded - text->data;
    reader->p++;

    return NGX_OK;
}


/* A character that stands for itself. */

static ngx_int_t
fuzz_reader_char(fuzz_reader_t *reader, uint32_t *ch)
{
    size_t      i, n;
    uint32_t    c;

    static const uint32_t  least[] = { 0, 0x80, 0x800, 0x10000 };

    c = *reader->p++;

    if (c < 0x20) {
        return NGX_DECLINED;
    }

    n = (c < 0x80) ? 0
        : ((c & 0xe0) == 0xc0) ? 1
        : ((c & 0xf0) == 0xe0) ? 2
        : ((c & 0xf8) == 0xf0) ? 3 : 4;

    if (n == 4) {
        return NGX_DECLINED;
    }

    if (n) {
        c &= 0x3f >> n;
    }

    for (i = 0; i < n; i++) {

        if (reader->p == reader->last) {
            /* whether it could still have become a character is not asked */
            return NGX_AGAIN;
        }

        if ((*reader->p & 0xc0) != 0x80) {
            return NGX_DECLINED;
        }

        c = (c << 6) | (*reader->p++ & 0x3f);
    }

    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return NGX_DECLINED;
    }

    *ch = c;

    return NGX_OK;
}


static ngx_int_t
fuzz_reader_escape(fuzz_reader_t *reader, uint32_t *ch)
{
    const char  *s;

    static const char  from[] = "\"\\/bfnrt";
    static const char  to[] = "\"\\/\b\f\n\r\t";

    if (++reader->p == reader->last) {
        return NGX_AGAIN;
    }

    if (*reader->p == 'u') {
        reader->p++;
        return fuzz_reader_unit(reader, ch);
    }

    s = memchr(from, *reader->p++, sizeof(from) - 1);
    if (s == NULL) {
        return NGX_DECLINED;
    }

    *ch = to[s - from];

    return NGX_OK;
}


static ngx_int_t
fuzz_reader_unit(fuzz_reader_t *reader, uint32_t *unit)
{
    ngx_uint_t   i;
    const char  *s;

    static const char  digits[] = "0123456789abcdefABCDEF";

    *unit = 0;

    for (i = 0; i < 4; i++) {

        if (reader->p == reader->last) {
            return NGX_AGAIN;
        }

        s = memchr(digits, *reader->p++, sizeof(digits) - 1);
        if (s == NULL) {
            return NGX_DECLINED;
        }

        *unit = *unit * 16 + (s - digits) - (s - digits > 15 ? 6 : 0);
    }

    return NGX_OK;
}


static void
fuzz_reader_put(fuzz_reader_t *reader, uint32_t ch)
{
    u_char  *p;

    p = reader->decoded;

    if (ch < 0x80) {
        *p++ = ch;

    } else if (ch < 0x800) {
        *p++ = 0xc0 | (ch >> 6);
        *p++ = 0x80 | (ch & 0x3f);

    } else if (ch < 0x10000) {
        *p++ = 0xe0 | (ch >> 12);
        *p++ = 0x80 | ((ch >> 6) & 0x3f);
        *p++ = 0x80 | (ch & 0x3f);

    } else {
        *p++ = 0xf0 | (ch >> 18);
        *p++ = 0x80 | ((ch >> 12) & 0x3f);
        *p++ = 0x80 | ((ch >> 6) & 0x3f);
        *p++ = 0x80 | (ch & 0x3f);
    }

    reader->decoded = p;
}


static ngx_int_t
fuzz_reader_number(fuzz_reader_t *reader)
{
    u_char  *p, *last, *start;

    p = reader->p;
    last = reader->last;

    if (*p == '-') {
        p++;
    }

    if (p == last) {
        return NGX_AGAIN;
    }

    if (*p < '0' || *p > '9') {
        return NGX_DECLINED;
    }

    if (*p++ != '0') {
        while (p < last && *p >= '0' && *p <= '9') {
            p++;
        }
    }

    if (p < last && *p == '.') {

        start = ++p;

        while (p < last && *p >= '0' && *p <= '9') {
            p++;
        }

        if (p == start) {
            return (p == last) ? NGX_AGAIN : NGX_DECLINED;
        }
    }

    if (p < last && (*p == 'e' || *p == 'E')) {

        p++;

        if (p < last && (*p == '+' || *p == '-')) {
            p++;
        }

        start = p;

        while (p < last && *p >= '0' && *p <= '9') {
            p++;
        }

        if (p == start) {
            return (p == last) ? NGX_AGAIN : NGX_DECLINED;
        }
    }

    reader->p = p;

    return NGX_OK;
}


static ngx_int_t
fuzz_reader_word(fuzz_reader_t *reader, const char *word)
{
    for ( /* void */ ; *word; word++) {

        if (reader->p == reader->last) {
            return NGX_AGAIN;
        }

        if (*reader->p++ != (u_char) *word) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* The gateway takes no number or literal beyond a length. */

static ngx_uint_t
fuzz_reader_too_long(fuzz_reader_t *reader)
{
    u_char  *p;

    for (p = reader->p; p < reader->last; p++) {
        if (!isalnum(*p) && *p != '-' && *p != '+' && *p != '.') {
            break;
        }
    }

    return p - reader->p > FUZZ_MAX_LITERAL;
}


ngx_uint_t
fuzz_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}


ngx_uint_t
fuzz_is(ngx_str_t *a, const char *text)
{
    return a->len == strlen(text)
           && (a->len == 0 || memcmp(a->data, text, a->len) == 0);
}


size_t
fuzz_piece(uint64_t *state, size_t rest)
{
    uint64_t  z;

    static const size_t  most[] = { 1, 3, 8, 40, 40, 200, 4096, 65536 };

    /* splitmix64 */

    *state += 0x9e3779b97f4a7c15ULL;

    z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;

    return ngx_min(rest, 1 + (z >> 3) % most[z & 7]);
}


void
fuzz_failed(const char *cond, const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "\nnot so: %s: ", cond);

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);

    fprintf(stderr, "\n");
    fflush(stderr);

    abort();
}
