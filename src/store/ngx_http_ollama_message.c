
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Finds values in stored messages.  They are JSON that was checked before it
 * was stored, so it isn't parsed here: the ends of strings and brackets are
 * enough to find the values of an object.  Invalid JSON gives wrong values,
 * which still lie within the text.  Pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_message.h"
#include "util/ngx_http_ollama_json.h"


/* room for the longest name, decoded, and one character more */
#define NGX_HTTP_OLLAMA_MESSAGE_NAME  32


typedef struct {
    u_char  *pos;
    u_char  *last;
} ngx_http_ollama_message_cursor_t;


/* takes a member of an object; not NGX_OK: no more of them */

typedef ngx_int_t (*ngx_http_ollama_message_pt)(void *data, ngx_str_t *name,
    ngx_str_t *value);


static ngx_int_t ngx_http_ollama_message_each(ngx_str_t *text,
    ngx_http_ollama_message_pt handler, void *data);
static ngx_int_t ngx_http_ollama_message_member(void *data, ngx_str_t *name,
    ngx_str_t *value);
static ngx_int_t ngx_http_ollama_message_text(void *data, ngx_str_t *name,
    ngx_str_t *value);
static void ngx_http_ollama_message_skip_blanks(
    ngx_http_ollama_message_cursor_t *c);
static ngx_int_t ngx_http_ollama_message_value(
    ngx_http_ollama_message_cursor_t *c, ngx_str_t *value);
static ngx_int_t ngx_http_ollama_message_string(
    ngx_http_ollama_message_cursor_t *c);
static size_t ngx_http_ollama_message_decode(ngx_str_t *string, u_char *buf,
    size_t size, ngx_uint_t line);
static uint32_t ngx_http_ollama_message_char(
    ngx_http_ollama_message_cursor_t *c);
static ngx_int_t ngx_http_ollama_message_unit(
    ngx_http_ollama_message_cursor_t *c);
static ngx_uint_t ngx_http_ollama_message_is_control(uint32_t ch);
static u_char *ngx_http_ollama_message_utf8(u_char *p, uint32_t ch);


ngx_int_t
ngx_http_ollama_message_read(ngx_str_t *text,
    ngx_http_ollama_message_t *message)
{
    ngx_memzero(message, sizeof(ngx_http_ollama_message_t));

    return ngx_http_ollama_message_each(text, ngx_http_ollama_message_member,
                                        message);
}


static ngx_int_t
ngx_http_ollama_message_member(void *data, ngx_str_t *name, ngx_str_t *value)
{
    ngx_http_ollama_message_t *message = data;

    size_t      len;
    u_char      key[NGX_HTTP_OLLAMA_MESSAGE_NAME];
    ngx_uint_t  i;

    static ngx_str_t  names[] = {
        ngx_string("role"),
        ngx_string("content"),
        ngx_string("images"),
        ngx_string("tool_calls"),
        ngx_string("tool_name")
    };

    ngx_str_t  *values[] = {
        &message->role,
        &message->content,
        &message->images,
        &message->tool_calls,
        &message->tool_name
    };

    len = ngx_http_ollama_message_decode(name, key, sizeof(key), 0);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (ngx_http_ollama_json_key_eq(key, len, &names[i])) {
            *values[i] = *value;
            break;
        }
    }

    return NGX_OK;
}


size_t
ngx_http_ollama_message_title(ngx_str_t *text, u_char *title)
{
    ngx_str_t                         content, value;
    ngx_http_ollama_message_t         message;
    ngx_http_ollama_message_cursor_t  c;

    if (ngx_http_ollama_message_read(text, &message) != NGX_OK
        || message.role.len != sizeof("\"user\"") - 1
        || ngx_strncmp(message.role.data, "\"user\"", message.role.len) != 0
        || message.content.len == 0)
    {
        return 0;
    }

    content = message.content;

    if (content.data[0] == '[') {

        /* OpenAI's parts: the first one with a text */

        c.pos = content.data + 1;
        c.last = content.data + content.len;

        ngx_str_null(&content);

        while (content.len == 0) {

            if (ngx_http_ollama_message_value(&c, &value) != NGX_OK) {
                return 0;
            }

            (void) ngx_http_ollama_message_each(&value,
                                   ngx_http_ollama_message_text, &content);

            ngx_http_ollama_message_skip_blanks(&c);

            if (c.pos < c.last && *c.pos == ',') {
                c.pos++;
            }
        }
    }

    if (content.data[0] != '"') {
        return 0;
    }

    return ngx_http_ollama_message_decode(&content, title,
                                    NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE, 1);
}


static ngx_int_t
ngx_http_ollama_message_text(void *data, ngx_str_t *name, ngx_str_t *value)
{
    ngx_str_t *text = data;

    if (name->len == sizeof("\"text\"") - 1
        && ngx_strncmp(name->data, "\"text\"", name->len) == 0
        && value->len > 2 && value->data[0] == '"')
    {
        *text = *value;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_message_each(ngx_str_t *text,
    ngx_http_ollama_message_pt handler, void *data)
{
    ngx_str_t                         name, value;
    ngx_http_ollama_message_cursor_t  c;

    c.pos = text->data;
    c.last = text->data + text->len;

    ngx_http_ollama_message_skip_blanks(&c);

    if (c.pos == c.last || *c.pos++ != '{') {
        return NGX_DECLINED;
    }

    for ( ;; ) {

        ngx_http_ollama_message_skip_blanks(&c);

        if (c.pos == c.last) {
            return NGX_DECLINED;
        }

        if (*c.pos == '}') {
            return NGX_OK;
        }

        if (*c.pos == ',') {
            c.pos++;
            continue;
        }

        if (*c.pos != '"'
            || ngx_http_ollama_message_value(&c, &name) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        ngx_http_ollama_message_skip_blanks(&c);

        if (c.pos == c.last || *c.pos++ != ':') {
            return NGX_DECLINED;
        }

        if (ngx_http_ollama_message_value(&c, &value) != NGX_OK) {
            return NGX_DECLINED;
        }

        if (handler(data, &name, &value) != NGX_OK) {
            return NGX_OK;
        }
    }
}


static void
ngx_http_ollama_message_skip_blanks(ngx_http_ollama_message_cursor_t *c)
{
    while (c->pos < c->last
           && (*c->pos == ' ' || *c->pos == '\t' || *c->pos == CR
               || *c->pos == LF))
    {
        c->pos++;
    }
}


static ngx_int_t
ngx_http_ollama_message_value(ngx_http_ollama_message_cursor_t *c,
    ngx_str_t *value)
{
    ngx_uint_t  depth;

    ngx_http_ollama_message_skip_blanks(c);

    value->data = c->pos;
    depth = 0;

    while (c->pos < c->last) {

        switch (*c->pos) {

        case '"':
            if (ngx_http_ollama_message_string(c) != NGX_OK) {
                return NGX_DECLINED;
            }

            if (depth == 0) {
                goto done;
            }

            continue;

        case '{':
        case '[':
            depth++;
            break;

        case '}':
        case ']':
            if (depth == 0) {
                goto done;
            }

            if (--depth == 0) {
                c->pos++;
                goto done;
            }

            break;

        case ',':
        case ' ':
        case '\t':
        case CR:
        case LF:
            if (depth == 0) {
                goto done;
            }

            break;
        }

        c->pos++;
    }

    if (depth) {
        return NGX_DECLINED;
    }

done:

    value->len = c->pos - value->data;

    return value->len ? NGX_OK : NGX_DECLINED;
}


/* Moves from its opening quote past its closing one. */

static ngx_int_t
ngx_http_ollama_message_string(ngx_http_ollama_message_cursor_t *c)
{
    u_char  *p, *s;

    for (p = c->pos + 1; p < c->last; p++) {

        p = memchr(p, '"', c->last - p);
        if (p == NULL) {
            return NGX_DECLINED;
        }

        for (s = p; s[-1] == '\\' && s - 1 > c->pos; s--) { /* void */ }

        if ((p - s) % 2 == 0) {
            c->pos = p + 1;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * Decodes a string, given with its quotes, as far as the buffer has room; with
 * "line" only its first line, as a title.  Returns the length.
 */

static size_t
ngx_http_ollama_message_decode(ngx_str_t *string, u_char *buf, size_t size,
    ngx_uint_t line)
{
    u_char                            *p, *end;
    uint32_t                           ch;
    ngx_uint_t                         n;
    ngx_http_ollama_message_cursor_t   c;

    c.pos = string->data + 1;
    c.last = string->data + string->len - 1;

    p = buf;
    end = buf;
    n = 0;

    while (c.pos < c.last && (size_t) (p - buf) + 4 <= size) {

        ch = ngx_http_ollama_message_char(&c);

        if (line) {

            if ((ch == LF || ch == CR || ch == 0x2028 || ch == 0x2029)
                && n > 0)
            {
                break;
            }

            if (ch == '\t' || ch == 0xa0 || ch == 0x3000) {
                ch = ' ';
            }

            if (ngx_http_ollama_message_is_control(ch)
                || (n == 0 && ch == ' '))
            {
                continue;
            }

            if (n++ == NGX_HTTP_OLLAMA_MESSAGE_TITLE) {
                break;
            }
        }

        p = ngx_http_ollama_message_utf8(p, ch);

        if (!line || ch != ' ') {
            end = p;
        }
    }

    return end - buf;
}


static uint32_t
ngx_http_ollama_message_char(ngx_http_ollama_message_cursor_t *c)
{
    u_char     *p;
    uint32_t    ch;
    ngx_int_t   unit, low;

    if (*c->pos != '\\' || c->last - c->pos < 2) {

        if (*c->pos < 0x80) {
            return *c->pos++;
        }

        p = c->pos;
        ch = ngx_utf8_decode(&p, c->last - c->pos);

        if (ch > 0x10ffff || (ch >= 0xd800 && ch <= 0xdfff) || p == c->pos) {
            c->pos++;
            return 0xfffd;
        }

        c->pos = p;

        return ch;
    }

    c->pos++;

    switch (*c->pos++) {

    case 'b':
        return '\b';

    case 'f':
        return '\f';

    case 'n':
        return LF;

    case 'r':
        return CR;

    case 't':
        return '\t';

    case 'u':
        break;

    default:
        return c->pos[-1];
    }

    unit = ngx_http_ollama_message_unit(c);

    if (unit < 0xd800 || unit > 0xdfff) {
        return (unit == NGX_ERROR) ? 0xfffd : unit;
    }

    if (unit < 0xdc00
        && c->last - c->pos >= 6 && c->pos[0] == '\\' && c->pos[1] == 'u')
    {
        p = c->pos;
        c->pos += 2;

        low = ngx_http_ollama_message_unit(c);

        if (low >= 0xdc00 && low <= 0xdfff) {
            return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }

        c->pos = p;
    }

    return 0xfffd;
}


static ngx_int_t
ngx_http_ollama_message_unit(ngx_http_ollama_message_cursor_t *c)
{
    ngx_int_t  unit;

    if (c->last - c->pos < 4) {
        c->pos = c->last;
        return NGX_ERROR;
    }

    unit = ngx_hextoi(c->pos, 4);
    c->pos += 4;

    return unit;
}


/* Characters that control a terminal or the direction of text. */

static ngx_uint_t
ngx_http_ollama_message_is_control(uint32_t ch)
{
    return ch < 0x20
           || (ch >= 0x7f && ch < 0xa0)
           || (ch >= 0x2028 && ch <= 0x202e)
           || (ch >= 0x2066 && ch <= 0x2069)
           || ch == 0xfeff;
}


static u_char *
ngx_http_ollama_message_utf8(u_char *p, uint32_t ch)
{
    if (ch < 0x80) {
        *p++ = (u_char) ch;
        return p;
    }

    if (ch < 0x800) {
        *p++ = (u_char) (0xc0 | (ch >> 6));
        *p++ = (u_char) (0x80 | (ch & 0x3f));
        return p;
    }

    if (ch < 0x10000) {
        *p++ = (u_char) (0xe0 | (ch >> 12));
        *p++ = (u_char) (0x80 | ((ch >> 6) & 0x3f));
        *p++ = (u_char) (0x80 | (ch & 0x3f));
        return p;
    }

    *p++ = (u_char) (0xf0 | (ch >> 18));
    *p++ = (u_char) (0x80 | ((ch >> 12) & 0x3f));
    *p++ = (u_char) (0x80 | ((ch >> 6) & 0x3f));
    *p++ = (u_char) (0x80 | (ch & 0x3f));

    return p;
}
