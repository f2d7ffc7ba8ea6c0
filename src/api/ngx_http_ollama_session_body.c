
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The body of a request that creates or changes a session: an object with
 * "title", "model" and "system", each a string or null.  A new session can be a
 * copy, with "copy_of" and "before", or have "messages", which session_import
 * reads.  As in the body of a chat, the case of keys is ignored, and of equal
 * keys the last one counts.  Other members are refused: what a client expects
 * of them would not happen.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_body.h"
#include "util/ngx_http_ollama_json.h"
#include "util/ngx_http_ollama_utf8.h"


#define NGX_HTTP_OLLAMA_SESSION_BODY_ERROR  256


struct ngx_http_ollama_session_body_name_s {
    ngx_str_t                            name;
    ngx_http_ollama_session_body_form_e  form;      /* where it may be */
    size_t                               offset;    /* of the field */
    size_t                               max;       /* bytes; 0: it is the list
                                                       of messages */
    ngx_uint_t                           line;      /* without control
                                                       characters */
};


static int ngx_http_ollama_session_body_null(void *data);
static int ngx_http_ollama_session_body_boolean(void *data, int value);
static int ngx_http_ollama_session_body_number(void *data, const char *p,
    size_t len);
static int ngx_http_ollama_session_body_string(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_session_body_start_map(void *data);
static int ngx_http_ollama_session_body_key(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_session_body_close(void *data);
static int ngx_http_ollama_session_body_start_array(void *data);
static int ngx_http_ollama_session_body_open(
    ngx_http_ollama_session_body_t *body, ngx_uint_t type);
static int ngx_http_ollama_session_body_value(
    ngx_http_ollama_session_body_t *body, ngx_uint_t type, size_t len,
    ngx_str_t *text);
static int ngx_http_ollama_session_body_field(
    ngx_http_ollama_session_body_t *body, ngx_str_t *text);
static ngx_int_t ngx_http_ollama_session_body_check(
    ngx_http_ollama_session_body_t *body);
static ngx_int_t ngx_http_ollama_session_body_result(
    ngx_http_ollama_session_body_t *body, ngx_int_t rc);
static int ngx_http_ollama_session_body_imported(
    ngx_http_ollama_session_body_t *body, ngx_int_t rc);
static int ngx_http_ollama_session_body_refuse(
    ngx_http_ollama_session_body_t *body, const char *fmt, ...);


static const yajl_callbacks  ngx_http_ollama_session_body_callbacks = {
    ngx_http_ollama_session_body_null,
    ngx_http_ollama_session_body_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_session_body_number,
    ngx_http_ollama_session_body_string,
    ngx_http_ollama_session_body_start_map,
    ngx_http_ollama_session_body_key,
    ngx_http_ollama_session_body_close,
    ngx_http_ollama_session_body_start_array,
    ngx_http_ollama_session_body_close
};


#define change  NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE
#define create  NGX_HTTP_OLLAMA_SESSION_BODY_CREATE
#define at(x)   offsetof(ngx_http_ollama_session_body_t, x)

static ngx_http_ollama_session_body_name_t
    ngx_http_ollama_session_body_names[] =
{
    { ngx_string("title"), change, at(fields.title),
      NGX_HTTP_OLLAMA_SESSION_TITLE, 1 },

    { ngx_string("model"), change, at(fields.model),
      NGX_HTTP_OLLAMA_SESSION_MODEL, 1 },

    { ngx_string("system"), change, at(fields.system),
      NGX_HTTP_OLLAMA_SESSION_SYSTEM, 0 },

    { ngx_string("copy_of"), create, at(copy_of),
      NGX_HTTP_OLLAMA_SESSION_TITLE, 0 },

    { ngx_string("before"), create, at(before),
      NGX_HTTP_OLLAMA_SESSION_TITLE, 0 },

    { ngx_string("messages"), create, 0, 0, 0 },

    { ngx_null_string, change, 0, 0, 0 }
};

#undef change
#undef create
#undef at


ngx_int_t
ngx_http_ollama_session_body_init(ngx_http_ollama_session_body_t *body,
    ngx_pool_t *pool, ngx_http_ollama_session_body_form_e form)
{
    body->pool = pool;
    body->form = form;

    return ngx_http_ollama_json_init(&body->json, pool,
                                     &ngx_http_ollama_session_body_callbacks,
                                     body, NGX_HTTP_OLLAMA_SESSION_BODY,
                                     NGX_HTTP_OLLAMA_JSON_REST
                                     |NGX_HTTP_OLLAMA_JSON_BYTES);
}


ngx_int_t
ngx_http_ollama_session_body_feed(ngx_http_ollama_session_body_t *body,
    u_char *p, size_t size)
{
    /* before what else is wrong with it, which may be a string too long */

    if (body->form == NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE
        && body->json.pos + (off_t) size > NGX_HTTP_OLLAMA_SESSION_BODY)
    {
        body->status = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        return NGX_DECLINED;
    }

    return ngx_http_ollama_session_body_result(body,
                             ngx_http_ollama_json_feed(&body->json, p, size));
}


ngx_int_t
ngx_http_ollama_session_body_end(ngx_http_ollama_session_body_t *body)
{
    ngx_int_t  rc;

    if (body->form == NGX_HTTP_OLLAMA_SESSION_BODY_CREATE
        && body->json.pos == 0)
    {
        /* no body */
        return NGX_OK;
    }

    rc = ngx_http_ollama_session_body_result(body,
                                       ngx_http_ollama_json_end(&body->json));

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_ollama_json_free(&body->json);

    rc = ngx_http_ollama_session_body_check(body);

    if (rc != NGX_OK) {
        return rc;
    }

    if (body->copy_of.given
        && (body->fields.model.given || body->fields.system.given
            || body->import.given))
    {
        (void) ngx_http_ollama_session_body_refuse(body,
                                       "with \"copy_of\" there can be "
                                       "\"before\" and \"title\" only");
        return NGX_DECLINED;
    }

    if (body->import.given && body->json.invalid) {
        (void) ngx_http_ollama_session_body_refuse(body,
                                       "\"messages\" has a string that is not "
                                       "UTF-8, at byte %O",
                                       body->json.invalid);
        return NGX_DECLINED;
    }

    if (body->before.given && !body->copy_of.given) {
        (void) ngx_http_ollama_session_body_refuse(body,
                                       "\"before\" needs \"copy_of\"");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* Only one with messages may be long. */

static ngx_int_t
ngx_http_ollama_session_body_check(ngx_http_ollama_session_body_t *body)
{
    if (body->json.pos > NGX_HTTP_OLLAMA_SESSION_BODY && !body->import.given) {
        body->status = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_session_body_result(ngx_http_ollama_session_body_t *body,
    ngx_int_t rc)
{
    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (body->json.error) {
        (void) ngx_http_ollama_session_body_refuse(body,
                                       "the body is no JSON: %s at byte %O",
                                       body->json.error, body->json.error_at);
    }

    return (body->failed || body->error.len == 0) ? NGX_ERROR : NGX_DECLINED;
}


static int
ngx_http_ollama_session_body_null(void *data)
{
    return ngx_http_ollama_session_body_value(data,
                                     NGX_HTTP_OLLAMA_SESSION_IMPORT_NULL, 4,
                                     NULL);
}


static int
ngx_http_ollama_session_body_boolean(void *data, int value)
{
    return ngx_http_ollama_session_body_value(data,
                                     NGX_HTTP_OLLAMA_SESSION_IMPORT_BOOLEAN,
                                     value ? 4 : 5, NULL);
}


static int
ngx_http_ollama_session_body_number(void *data, const char *p, size_t len)
{
    return ngx_http_ollama_session_body_value(data,
                                     NGX_HTTP_OLLAMA_SESSION_IMPORT_NUMBER,
                                     len, NULL);
}


static int
ngx_http_ollama_session_body_string(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_session_body_t *body = data;

    ngx_str_t  text;

    text.data = (u_char *) p;
    text.len = len;

    return ngx_http_ollama_session_body_value(body,
                                     NGX_HTTP_OLLAMA_SESSION_IMPORT_STRING,
                                     ngx_http_ollama_json_offset(&body->json)
                                     - body->json.string,
                                     &text);
}


static int
ngx_http_ollama_session_body_start_map(void *data)
{
    ngx_http_ollama_session_body_t *body = data;

    if (body->depth == 0) {
        body->depth = 1;
        return 1;
    }

    return ngx_http_ollama_session_body_open(body,
                                       NGX_HTTP_OLLAMA_SESSION_IMPORT_OBJECT);
}


static int
ngx_http_ollama_session_body_start_array(void *data)
{
    ngx_http_ollama_session_body_t *body = data;

    if (body->depth == 1 && body->name->max == 0) {

        if (ngx_http_ollama_session_import_list(&body->import, body->pool)
            != NGX_OK)
        {
            body->failed = 1;
            return 0;
        }

        body->depth = 2;
        return 1;
    }

    return ngx_http_ollama_session_body_open(body,
                                         NGX_HTTP_OLLAMA_SESSION_IMPORT_LIST);
}


/* An object or a list begins that isn't the body, nor the list of messages. */

static int
ngx_http_ollama_session_body_open(ngx_http_ollama_session_body_t *body,
    ngx_uint_t type)
{
    if (!ngx_http_ollama_session_body_value(body, type, 1, NULL)) {
        return 0;
    }

    if (++body->depth > NGX_HTTP_OLLAMA_JSON_DEPTH) {
        return ngx_http_ollama_session_body_refuse(body,
                              "the body is deeper than %d levels at byte %O",
                              NGX_HTTP_OLLAMA_JSON_DEPTH,
                              ngx_http_ollama_json_offset(&body->json));
    }

    return 1;
}


static int
ngx_http_ollama_session_body_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_session_body_t *body = data;

    ngx_str_t                             key;
    ngx_http_ollama_session_body_name_t  *name;

    if (body->depth > 1) {
        key.data = (u_char *) p;
        key.len = len;

        return ngx_http_ollama_session_body_imported(body,
                  ngx_http_ollama_session_import_key(&body->import,
                                                     body->depth - 1, &key,
                                                     body->json.string));
    }

    for (name = ngx_http_ollama_session_body_names; name->name.len; name++) {

        if (ngx_http_ollama_json_key_eq(p, len, &name->name)
            && (name->form == NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE
                || name->form == body->form))
        {
            body->name = name;
            return 1;
        }
    }

    return ngx_http_ollama_session_body_refuse(body,
                                       "the body has a member that is not "
                                       "known, at byte %O", body->json.string);
}


static int
ngx_http_ollama_session_body_close(void *data)
{
    ngx_http_ollama_session_body_t *body = data;

    body->depth--;

    if (body->depth < 2) {
        return 1;
    }

    return ngx_http_ollama_session_body_imported(body,
              ngx_http_ollama_session_import_end(&body->import,
                                    body->depth - 1,
                                    ngx_http_ollama_json_offset(&body->json)));
}


/* A value; of an object or a list its first byte. */

static int
ngx_http_ollama_session_body_value(ngx_http_ollama_session_body_t *body,
    ngx_uint_t type, size_t len, ngx_str_t *text)
{
    off_t                                   end;
    ngx_http_ollama_session_import_value_t  value;

    if (body->depth == 0) {
        return ngx_http_ollama_session_body_refuse(body,
                                             "the body is no JSON object");
    }

    end = ngx_http_ollama_json_offset(&body->json);

    if (body->depth > 1) {
        ngx_memzero(&value, sizeof(ngx_http_ollama_session_import_value_t));

        value.type = type;
        value.start = end - len;
        value.end = end;
        value.halves = (text && body->json.halves);

        if (text) {
            value.text = *text;
        }

        return ngx_http_ollama_session_body_imported(body,
                  ngx_http_ollama_session_import_value(&body->import,
                                                       body->depth - 1,
                                                       &value));
    }

    if (type == NGX_HTTP_OLLAMA_SESSION_IMPORT_NULL && body->name->max == 0)
    {
        ngx_http_ollama_session_import_null(&body->import);
        return 1;
    }

    if (type == NGX_HTTP_OLLAMA_SESSION_IMPORT_NULL || text) {
        return ngx_http_ollama_session_body_field(body, text);
    }

    return ngx_http_ollama_session_body_refuse(body,
                                 "\"%V\" must be a %s or null, at byte %O",
                                 &body->name->name,
                                 body->name->max ? "string" : "list", end);
}


/* A member of the body that is a string, or null without a text. */

static int
ngx_http_ollama_session_body_field(ngx_http_ollama_session_body_t *body,
    ngx_str_t *text)
{
    size_t                                size;
    ngx_http_ollama_store_field_t        *field;
    ngx_http_ollama_session_body_name_t  *name;

    name = body->name;

    if (name->max == 0) {
        return ngx_http_ollama_session_body_refuse(body,
                                 "\"%V\" must be a list or null, at byte %O",
                                 &name->name, body->json.string);
    }

    field = (ngx_http_ollama_store_field_t *)
                ((u_char *) body + name->offset);

    if (text == NULL) {
        field->value.len = 0;
        /* a copy of nothing is none */
        field->given = (name->form == NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE);
        return 1;
    }

    size = ngx_http_ollama_utf8_mend(NULL, text->data, text->len);

    if (size > name->max) {
        return ngx_http_ollama_session_body_refuse(body,
                                      "\"%V\" is longer than %uz bytes, at "
                                      "byte %O", &name->name, name->max,
                                      body->json.string);
    }

    if (body->json.halves) {
        return ngx_http_ollama_session_body_refuse(body,
                                      "\"%V\" has half of a surrogate pair, "
                                      "at byte %O", &name->name,
                                      body->json.string);
    }

    if (name->line && !ngx_http_ollama_utf8_is_line(text->data, text->len)) {
        return ngx_http_ollama_session_body_refuse(body,
                                      "\"%V\" has a control character, at "
                                      "byte %O", &name->name,
                                      body->json.string);
    }

    field->value.data = ngx_pnalloc(body->pool, size);
    if (field->value.data == NULL) {
        body->failed = 1;
        return 0;
    }

    field->value.len = ngx_http_ollama_utf8_mend(field->value.data, text->data,
                                                 text->len);
    field->given = 1;

    if (body->json.invalid > body->json.string) {
        /* mended */
        body->json.invalid = 0;
    }

    return 1;
}


/* What a callback returns after a part of the messages. */

static int
ngx_http_ollama_session_body_imported(ngx_http_ollama_session_body_t *body,
    ngx_int_t rc)
{
    ngx_http_ollama_session_import_t  *import;

    if (rc == NGX_OK) {
        return 1;
    }

    if (rc == NGX_ERROR) {
        body->failed = 1;
        return 0;
    }

    import = &body->import;

    if (import->name) {
        (void) ngx_http_ollama_session_body_refuse(body,
                                       "message %ui: \"%V\" %s, at byte %O",
                                       import->number, import->name,
                                       import->error, import->at);
    } else {
        (void) ngx_http_ollama_session_body_refuse(body,
                                       "message %ui %s, at byte %O",
                                       import->number, import->error,
                                       import->at);
    }

    body->status = import->status;

    return 0;
}


static int
ngx_http_ollama_session_body_refuse(ngx_http_ollama_session_body_t *body,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    body->status = NGX_HTTP_BAD_REQUEST;

    p = ngx_pnalloc(body->pool, NGX_HTTP_OLLAMA_SESSION_BODY_ERROR);
    if (p == NULL) {
        body->failed = 1;
        return 0;
    }

    body->error.data = p;

    va_start(args, fmt);
    p = ngx_vslprintf(p, p + NGX_HTTP_OLLAMA_SESSION_BODY_ERROR, fmt, args);
    va_end(args);

    body->error.len = p - body->error.data;

    return 0;
}
