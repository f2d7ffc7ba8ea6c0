
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The values in a conversation's body: strings are decoded out of the bytes
 * that are held, options and texts for servers are copied as they were
 * written.  A room of its own
 * only because conversation_body is long: it works on that one's reading state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_fields.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_utf8.h"


static ngx_int_t ngx_http_ollama_conversation_fields_copy(
    ngx_http_ollama_conversation_fields_t *read, ngx_str_t *value);
static ngx_str_t ngx_http_ollama_conversation_fields_string(
    ngx_http_ollama_conversation_fields_t *read);
static size_t ngx_http_ollama_conversation_fields_length(ngx_str_t *text);
static ngx_int_t ngx_http_ollama_conversation_fields_decode(
    ngx_http_ollama_conversation_fields_t *read, ngx_pool_t *pool,
    ngx_str_t *value);


void
ngx_http_ollama_conversation_fields_entry(
    ngx_http_ollama_conversation_fields_t *read, off_t at)
{
    ngx_http_ollama_participants_entry_t  *entry;

    read->participants.n++;
    read->sub = NULL;

    entry = ngx_http_ollama_conversation_fields_last(read);

    ngx_memzero(&entry->given, sizeof(ngx_http_ollama_participant_t));

    entry->options.nelts = 0;
    entry->at = at;
}


ngx_http_ollama_participants_entry_t *
ngx_http_ollama_conversation_fields_last(
    ngx_http_ollama_conversation_fields_t *read)
{
    return &read->participants.entry[ngx_min(read->participants.n - 1,
                                             NGX_HTTP_OLLAMA_CONVERSATION_MAX)];
}


ngx_array_t *
ngx_http_ollama_conversation_fields_options(
    ngx_http_ollama_conversation_fields_t *read)
{
    return (read->depth == 1)
           ? &read->participants.options
           : &ngx_http_ollama_conversation_fields_last(read)->options;
}


ngx_int_t
ngx_http_ollama_conversation_fields_text(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_field_t *field)
{
    void       *to;
    off_t       at;
    ngx_str_t  *value;

    at = read->json.string;

    if (read->json.halves) {
        /* other decoders would make another string of it */
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "has half of a surrogate pair", "");
    }

    to = (read->depth == 1)
         ? (void *) read->participants.body
         : (void *) &ngx_http_ollama_conversation_fields_last(read)->given;

    value = (ngx_str_t *) ((u_char *) to + field->offset);

    if (field->is == is_text) {
        return ngx_http_ollama_conversation_fields_copy(read, value);
    }

    if (ngx_http_ollama_conversation_fields_decode(read,
                                                   read->participants.pool,
                                                   value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (field->must
        && (value->len == 0 || value->len > field->max
            || !ngx_http_ollama_utf8_is_line(value->data, value->len)))
    {
        return ngx_http_ollama_conversation_fields_refuse(read, at, field->must,
                                                          "");
    }

    if (field->max && value->len > field->max) {
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                         "is longer than "
                         ngx_value(NGX_HTTP_OLLAMA_CONVERSATION_VALUE)
                         " bytes", "");
    }

    if (field->is == is_task && !ngx_http_ollama_id_is_valid(value)) {
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                         "must be 1 to 64 characters of A-Z a-z 0-9 _ -", "");
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_conversation_fields_key(
    ngx_http_ollama_conversation_fields_t *read)
{
    ngx_str_t                        key;
    ngx_http_ollama_participants_t  *ps;

    ps = &read->participants;

    if (ngx_http_ollama_conversation_fields_decode(read, ps->temp, &key)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    read->system = ngx_http_ollama_participants_system(ps, &key);

    if (read->system == NULL) {

        /* too many: one of them is nobody's, so the body will be refused */

        read->system = &read->spare;

        if (ps->nsystems < NGX_HTTP_OLLAMA_PARTICIPANTS_SYSTEMS) {
            read->system = &ps->system[ps->nsystems++];
        }

        read->system->key = key;
    }

    read->system->at = read->json.string;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_conversation_fields_system(
    ngx_http_ollama_conversation_fields_t *read)
{
    if (read->json.halves) {
        return ngx_http_ollama_conversation_fields_refuse(read,
                                     read->json.string,
                                     "has half of a surrogate pair", "");
    }

    return ngx_http_ollama_conversation_fields_copy(read, &read->system->value);
}


ngx_int_t
ngx_http_ollama_conversation_fields_option(
    ngx_http_ollama_conversation_fields_t *read)
{
    read->start = read->json.string;

    return ngx_http_ollama_conversation_fields_decode(read,
                                                      read->participants.temp,
                                                      &read->key);
}


ngx_int_t
ngx_http_ollama_conversation_fields_member(
    ngx_http_ollama_conversation_fields_t *read)
{
    size_t                                  len;
    u_char                                 *p;
    ngx_http_ollama_participants_option_t  *member;

    member = ngx_http_ollama_participants_option(read->options, &read->key);

    if (member == NULL) {

        if (read->options->nelts == NGX_HTTP_OLLAMA_CONVERSATION_OPTIONS) {
            return ngx_http_ollama_conversation_fields_refuse(read, read->start,
                         "has more than "
                         ngx_value(NGX_HTTP_OLLAMA_CONVERSATION_OPTIONS)
                         " members", "");
        }

        member = ngx_array_push(read->options);
        if (member == NULL) {
            return NGX_ERROR;
        }

        member->key = read->key;
    }

    len = ngx_http_ollama_json_offset(&read->json) - read->start;

    p = ngx_pnalloc(read->participants.temp, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, read->held.str.data + (read->start - read->base), len);

    member->text.data = p;
    member->text.len = len;

    return NGX_OK;
}


/* Copies the text that the parser has just read, as it was written. */

static ngx_int_t
ngx_http_ollama_conversation_fields_copy(
    ngx_http_ollama_conversation_fields_t *read, ngx_str_t *value)
{
    ngx_str_t  text;

    text = ngx_http_ollama_conversation_fields_string(read);

    if (text.len > NGX_HTTP_OLLAMA_CONVERSATION_TEXT
        && ngx_http_ollama_conversation_fields_length(&text)
           > NGX_HTTP_OLLAMA_CONVERSATION_TEXT)
    {
        read->participants.body->too_large = 1;

        return ngx_http_ollama_conversation_fields_refuse(read,
                                     read->json.string,
                                     "is longer than 1 MB", "");
    }

    value->data = ngx_pnalloc(read->participants.pool, text.len);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = text.len;
    ngx_memcpy(value->data, text.data, text.len);

    return NGX_OK;
}


/* The string that the parser has just read, between its quotes. */

static ngx_str_t
ngx_http_ollama_conversation_fields_string(
    ngx_http_ollama_conversation_fields_t *read)
{
    ngx_str_t  text;

    text.data = read->held.str.data + (read->json.string + 1 - read->base);
    text.len = ngx_http_ollama_json_offset(&read->json) - read->json.string - 2;

    return text;
}


/* Bytes of the decoded text, which has no half of a surrogate pair. */

static size_t
ngx_http_ollama_conversation_fields_length(ngx_str_t *text)
{
    u_char     *p, *last, *s;
    size_t      len;
    ngx_int_t   unit;

    last = text->data + text->len;
    len = 0;

    for (p = text->data; p < last; /* void */ ) {

        s = memchr(p, '\\', last - p);
        if (s == NULL) {
            return len + (last - p);
        }

        len += s - p;

        if (s[1] != 'u') {
            len++;
            p = s + 2;
            continue;
        }

        unit = ngx_hextoi(s + 2, 4);

        /* each half of a pair is two bytes */

        len += (unit < 0x80) ? 1
               : (unit < 0x800 || (unit & 0xf800) == 0xd800) ? 2 : 3;

        p = s + 6;
    }

    return len;
}


/*
 * Decodes the string that the parser has just read; decoding never makes it
 * longer.
 */

static ngx_int_t
ngx_http_ollama_conversation_fields_decode(
    ngx_http_ollama_conversation_fields_t *read, ngx_pool_t *pool,
    ngx_str_t *value)
{
    ngx_str_t                       string;
    ngx_http_ollama_strbuf_t        buf;
    ngx_http_ollama_strbuf_text_t   text;

    string = ngx_http_ollama_conversation_fields_string(read);

    text.size = string.len;
    text.str.len = 0;

    text.str.data = ngx_pnalloc(pool, text.size);
    if (text.str.data == NULL) {
        return NGX_ERROR;
    }

    ngx_http_ollama_strbuf_init(&buf, pool, text.size);
    ngx_http_ollama_strbuf_begin(&buf);
    ngx_http_ollama_strbuf_decode(&buf, &text, string.data,
                                  string.data + string.len);
    ngx_http_ollama_strbuf_end(&buf, &text);

    *value = text.str;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_conversation_fields_refuse(
    ngx_http_ollama_conversation_fields_t *read, off_t at, const char *text,
    const char *tail)
{
    ngx_uint_t   n;
    ngx_str_t   *name;

    name = &read->field->name;

    if (read->depth == 1 || read->field->is != is_models) {
        return ngx_http_ollama_participants_refuse(&read->participants, at,
                                     "\"%V\" %s%s", name, text, tail);
    }

    n = read->participants.n - 1;

    if (read->sub == NULL) {
        return ngx_http_ollama_participants_refuse(&read->participants, at,
                                     "\"%V[%ui]\" %s%s", name, n, text, tail);
    }

    return ngx_http_ollama_participants_refuse(&read->participants, at,
                                     "\"%V[%ui].%V\" %s%s", name, n,
                                     &read->sub->name, text, tail);
}
