
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Messages that a session is created with: a list of objects as messages are
 * shown.  While the body is parsed each member is checked, and where its value
 * lies is noted; later session_imported makes a message of these values.
 *
 * Owns nothing: the list is in the caller's pool.  Knows no request.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_import.h"
#include "util/ngx_http_ollama_json.h"
#include "util/ngx_http_ollama_parse_time.h"
#include "util/ngx_http_ollama_utf8.h"


/* of the name of a model, a server or a participant, in bytes */
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_NAME  1024

#define NGX_HTTP_OLLAMA_SESSION_IMPORT_NONE  (ngx_uint_t) -1


struct ngx_http_ollama_session_import_field_s {
    ngx_str_t       name;
    ngx_uint_t      types;     /* bits; and null */
    ngx_uint_t      elements;  /* of a list; 0: any */
    const char     *must;
    ngx_uint_t      raw;       /* of the message; or ..._NONE */
    size_t          text;      /* offset of a name in it; 0: none */
};


static ngx_int_t ngx_http_ollama_session_import_begin(
    ngx_http_ollama_session_import_t *import, off_t start);
static ngx_int_t ngx_http_ollama_session_import_string(
    ngx_http_ollama_session_import_t *import,
    ngx_http_ollama_session_import_message_t *m, ngx_str_t *text, off_t at);
static ngx_http_ollama_session_import_message_t *
    ngx_http_ollama_session_import_last(
    ngx_http_ollama_session_import_t *import);
static ngx_int_t ngx_http_ollama_session_import_refuse(
    ngx_http_ollama_session_import_t *import, ngx_int_t status,
    ngx_str_t *name, const char *error, off_t at);


#define string  NGX_HTTP_OLLAMA_SESSION_IMPORT_STRING
#define object  NGX_HTTP_OLLAMA_SESSION_IMPORT_OBJECT
#define list    NGX_HTTP_OLLAMA_SESSION_IMPORT_LIST
#define none    NGX_HTTP_OLLAMA_SESSION_IMPORT_NONE

static ngx_http_ollama_session_import_field_t
    ngx_http_ollama_session_import_fields[] =
{
    /* by their index the first ones are those of RAW */

    { ngx_string("role"), string, 0, "must be a string",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_ROLE, 0 },

    { ngx_string("content"), string|list, 0, "must be a string or a list",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_CONTENT, 0 },

    { ngx_string("images"), list, string, "must be a list of strings",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_IMAGES, 0 },

    { ngx_string("tool_calls"), list, object, "must be a list of objects",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_TOOL_CALLS, 0 },

    { ngx_string("tool_name"), string, 0, "must be a string",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_TOOL_NAME, 0 },

    { ngx_string("thinking"), string, 0, "must be a string",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_THINKING, 0 },

    { ngx_string("stats"), object, 0, "must be an object",
      NGX_HTTP_OLLAMA_SESSION_IMPORT_STATS, 0 },

    { ngx_string("id"), string, 0, "must be a string", none, 0 },

    { ngx_string("created_at"), string, 0, "must be a string", none, 0 },

    { ngx_string("status"), string, 0, "must be a string", none, 0 },

    { ngx_string("model"), string, 0, "must be a string", none,
      offsetof(ngx_http_ollama_session_import_message_t, model) },

    { ngx_string("server"), string, 0, "must be a string", none,
      offsetof(ngx_http_ollama_session_import_message_t, server) },

    { ngx_string("participant"), string, 0, "must be a string", none,
      offsetof(ngx_http_ollama_session_import_message_t, participant) },

    { ngx_null_string, 0, 0, NULL, 0, 0 }
};

#undef string
#undef object
#undef list
#undef none


ngx_int_t
ngx_http_ollama_session_import_list(ngx_http_ollama_session_import_t *import,
    ngx_pool_t *pool)
{
    import->size = 0;
    import->number = 0;

    if (import->pool) {
        import->messages.nelts = 0;
        import->given = 1;
        return NGX_OK;
    }

    if (ngx_array_init(&import->messages, pool, 16,
                       sizeof(ngx_http_ollama_session_import_message_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    import->pool = pool;
    import->given = 1;

    return NGX_OK;
}


void
ngx_http_ollama_session_import_null(ngx_http_ollama_session_import_t *import)
{
    import->messages.nelts = 0;
    import->given = 0;
}


ngx_int_t
ngx_http_ollama_session_import_key(ngx_http_ollama_session_import_t *import,
    ngx_uint_t depth, ngx_str_t *key, off_t at)
{
    ngx_http_ollama_session_import_field_t  *field;

    if (depth != 2) {
        return NGX_OK;
    }

    for (field = ngx_http_ollama_session_import_fields;
         field->name.len;
         field++)
    {
        if (ngx_http_ollama_json_key_eq(key->data, key->len, &field->name)) {
            import->field = field;
            return NGX_OK;
        }
    }

    return ngx_http_ollama_session_import_refuse(import, NGX_HTTP_BAD_REQUEST,
                                                 NULL, "has a member that is "
                                                 "not known", at);
}


ngx_int_t
ngx_http_ollama_session_import_value(ngx_http_ollama_session_import_t *import,
    ngx_uint_t depth, ngx_http_ollama_session_import_value_t *value)
{
    ngx_http_ollama_cut_t                     *raw;
    ngx_http_ollama_session_import_field_t    *field;
    ngx_http_ollama_session_import_message_t  *m;

    if (depth == 1) {
        import->number++;

        if (value->type != NGX_HTTP_OLLAMA_SESSION_IMPORT_OBJECT) {
            return ngx_http_ollama_session_import_refuse(import,
                                               NGX_HTTP_BAD_REQUEST, NULL,
                                               "must be an object",
                                               value->start);
        }

        return ngx_http_ollama_session_import_begin(import, value->start);
    }

    field = import->field;

    if (depth == 3 && field->elements && !(value->type & field->elements)) {
        return ngx_http_ollama_session_import_refuse(import,
                                                     NGX_HTTP_BAD_REQUEST,
                                                     &field->name, field->must,
                                                     value->start);
    }

    if (depth != 2) {
        return NGX_OK;
    }

    m = ngx_http_ollama_session_import_last(import);

    if (value->type == NGX_HTTP_OLLAMA_SESSION_IMPORT_NULL) {

        if (field->raw != NGX_HTTP_OLLAMA_SESSION_IMPORT_NONE) {
            m->raw[field->raw].end = 0;
        }

        return NGX_OK;
    }

    if (!(value->type & field->types)) {
        return ngx_http_ollama_session_import_refuse(import,
                                                     NGX_HTTP_BAD_REQUEST,
                                                     &field->name, field->must,
                                                     value->start);
    }

    if (value->halves && field->raw == NGX_HTTP_OLLAMA_SESSION_IMPORT_NONE) {
        return ngx_http_ollama_session_import_refuse(import,
                                                     NGX_HTTP_BAD_REQUEST,
                                                     &field->name,
                                                     "has half of a surrogate "
                                                     "pair", value->start);
    }

    if (field->raw == NGX_HTTP_OLLAMA_SESSION_IMPORT_NONE) {
        return ngx_http_ollama_session_import_string(import, m, &value->text,
                                                     value->start);
    }

    raw = &m->raw[field->raw];

    raw->start = value->start;
    raw->end = value->end;

    return NGX_OK;
}


/* A message begins. */

static ngx_int_t
ngx_http_ollama_session_import_begin(ngx_http_ollama_session_import_t *import,
    off_t start)
{
    ngx_http_ollama_session_import_message_t  *m;

    if (import->messages.nelts == NGX_HTTP_OLLAMA_SESSION_IMPORT_MAX) {
        return ngx_http_ollama_session_import_refuse(import,
                                     NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL,
                                     "is one too many: a session can be "
                                     "created with 1024", start);
    }

    m = ngx_array_push(&import->messages);
    if (m == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(m, sizeof(ngx_http_ollama_session_import_message_t));

    m->start = start;

    return NGX_OK;
}


/* A value that is read: a name, the time, the status; an id is not used. */

static ngx_int_t
ngx_http_ollama_session_import_string(ngx_http_ollama_session_import_t *import,
    ngx_http_ollama_session_import_message_t *m, ngx_str_t *text, off_t at)
{
    int64_t                                  us;
    ngx_str_t                               *copy, *name;
    ngx_uint_t                               i;
    ngx_http_ollama_session_import_field_t  *field;

    static ngx_str_t  statuses[] = {
        ngx_string("complete"),
        ngx_string("cancelled"),
        ngx_string("interrupted")
    };

    field = import->field;
    name = &field->name;

    if (field->text) {

        if (text->len > NGX_HTTP_OLLAMA_SESSION_IMPORT_NAME) {
            return ngx_http_ollama_session_import_refuse(import,
                                               NGX_HTTP_BAD_REQUEST, name,
                                               "is longer than 1024 bytes", at);
        }

        if (!ngx_http_ollama_utf8_is_line(text->data, text->len)) {
            return ngx_http_ollama_session_import_refuse(import,
                                               NGX_HTTP_BAD_REQUEST, name,
                                               "has a control character", at);
        }

        copy = (ngx_str_t *) ((u_char *) m + field->text);

        copy->data = ngx_pnalloc(import->pool, text->len);
        if (copy->data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(copy->data, text->data, text->len);
        copy->len = text->len;

        return NGX_OK;
    }

    if (name->data[0] == 'c') {

        us = ngx_http_ollama_parse_time(text);

        if (us == NGX_ERROR) {
            return ngx_http_ollama_session_import_refuse(import,
                                               NGX_HTTP_BAD_REQUEST, name,
                                               "must be a time as "
                                               "2026-11-23T06:40:08.123Z", at);
        }

        m->created = us / 1000;

        return NGX_OK;
    }

    if (name->data[0] != 's') {
        return NGX_OK;
    }

    for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {

        if (text->len == statuses[i].len
            && ngx_memcmp(text->data, statuses[i].data, text->len) == 0)
        {
            m->status = statuses[i];
            return NGX_OK;
        }
    }

    return ngx_http_ollama_session_import_refuse(import, NGX_HTTP_BAD_REQUEST,
                                                 name,
                                                 "must be complete, cancelled "
                                                 "or interrupted", at);
}


ngx_int_t
ngx_http_ollama_session_import_end(ngx_http_ollama_session_import_t *import,
    ngx_uint_t depth, off_t end)
{
    ngx_http_ollama_cut_t                     *role;
    ngx_http_ollama_session_import_message_t  *m;

    m = ngx_http_ollama_session_import_last(import);

    if (depth == 2 && import->field->raw != NGX_HTTP_OLLAMA_SESSION_IMPORT_NONE)
    {
        m->raw[import->field->raw].end = end;
    }

    if (depth != 1) {
        return NGX_OK;
    }

    role = &m->raw[NGX_HTTP_OLLAMA_SESSION_IMPORT_ROLE];

    if (role->end - role->start < 3) {
        return ngx_http_ollama_session_import_refuse(import,
                              NGX_HTTP_BAD_REQUEST,
                              &ngx_http_ollama_session_import_fields[0].name,
                              "is required", end - 1);
    }

    import->size += end - m->start;

    if (import->size > NGX_HTTP_OLLAMA_SESSION_IMPORT_SIZE) {
        return ngx_http_ollama_session_import_refuse(import,
                                     NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, NULL,
                                     "is too much: a session can have 50 MB",
                                     m->start);
    }

    return NGX_OK;
}


static ngx_http_ollama_session_import_message_t *
ngx_http_ollama_session_import_last(ngx_http_ollama_session_import_t *import)
{
    ngx_http_ollama_session_import_message_t  *m;

    m = import->messages.elts;

    return &m[import->messages.nelts - 1];
}


static ngx_int_t
ngx_http_ollama_session_import_refuse(ngx_http_ollama_session_import_t *import,
    ngx_int_t status, ngx_str_t *name, const char *error, off_t at)
{
    import->status = status;
    import->name = name;
    import->error = error;
    import->at = at;

    return NGX_DECLINED;
}
