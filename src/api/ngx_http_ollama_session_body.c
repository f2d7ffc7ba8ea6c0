
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The body of a request that creates or changes a session: an object with
 * "title", "model" and "system", each a string or null.  As in the body of a
 * chat, the case of keys is ignored, and of equal keys the last one counts.
 * Other members are ignored.  The parser lives for one call.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "api/ngx_http_ollama_session_body.h"
#include "util/ngx_http_ollama_json.h"


#define NGX_HTTP_OLLAMA_SESSION_BODY_DEPTH  64
#define NGX_HTTP_OLLAMA_SESSION_BODY_ERROR  256


typedef struct {
    ngx_str_t                name;
    size_t                   offset;    /* in the fields */
    size_t                   max;
    ngx_uint_t               line;      /* without control characters */
} ngx_http_ollama_session_body_name_t;


typedef struct {
    ngx_http_ollama_json_t                json;
    ngx_pool_t                           *pool;
    ngx_uint_t                            depth;
    ngx_http_ollama_session_body_name_t  *name;     /* of a member, or NULL */
    ngx_http_ollama_store_fields_t       *fields;
    ngx_str_t                            *error;
    unsigned                              failed:1; /* no memory */
} ngx_http_ollama_session_body_t;


static int ngx_http_ollama_session_body_null(void *data);
static int ngx_http_ollama_session_body_boolean(void *data, int value);
static int ngx_http_ollama_session_body_number(void *data, const char *p,
    size_t len);
static int ngx_http_ollama_session_body_string(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_session_body_start_map(void *data);
static int ngx_http_ollama_session_body_key(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_session_body_end(void *data);
static int ngx_http_ollama_session_body_start_array(void *data);
static int ngx_http_ollama_session_body_open(
    ngx_http_ollama_session_body_t *body);
static int ngx_http_ollama_session_body_other(
    ngx_http_ollama_session_body_t *body);
static ngx_uint_t ngx_http_ollama_session_body_is_line(const u_char *p,
    size_t len);
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
    ngx_http_ollama_session_body_end,
    ngx_http_ollama_session_body_start_array,
    ngx_http_ollama_session_body_end
};


static ngx_http_ollama_session_body_name_t
    ngx_http_ollama_session_body_names[] =
{
    { ngx_string("title"), offsetof(ngx_http_ollama_store_fields_t, title),
      NGX_HTTP_OLLAMA_SESSION_TITLE, 1 },

    { ngx_string("model"), offsetof(ngx_http_ollama_store_fields_t, model),
      NGX_HTTP_OLLAMA_SESSION_MODEL, 1 },

    { ngx_string("system"), offsetof(ngx_http_ollama_store_fields_t, system),
      NGX_HTTP_OLLAMA_SESSION_SYSTEM, 0 },

    { ngx_null_string, 0, 0, 0 }
};


ngx_int_t
ngx_http_ollama_session_body(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_ollama_store_fields_t *fields, ngx_str_t *error)
{
    ngx_int_t                       rc;
    ngx_http_ollama_session_body_t  body;

    ngx_memzero(&body, sizeof(ngx_http_ollama_session_body_t));
    ngx_memzero(fields, sizeof(ngx_http_ollama_store_fields_t));
    ngx_str_null(error);

    body.pool = pool;
    body.fields = fields;
    body.error = error;

    if (ngx_http_ollama_json_init(&body.json, pool,
                                  &ngx_http_ollama_session_body_callbacks,
                                  &body, NGX_HTTP_OLLAMA_SESSION_BODY, 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = text->len ? ngx_http_ollama_json_feed(&body.json, text->data,
                                               text->len)
                   : NGX_OK;

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_json_end(&body.json);
    }

    ngx_http_ollama_json_free(&body.json);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (body.json.error) {
        (void) ngx_http_ollama_session_body_refuse(&body,
                                       "the body is no JSON: %s at byte %O",
                                       body.json.error, body.json.error_at);
    }

    return (body.failed || error->len == 0) ? NGX_ERROR : NGX_DECLINED;
}


static int
ngx_http_ollama_session_body_null(void *data)
{
    ngx_http_ollama_session_body_t *body = data;

    ngx_http_ollama_store_field_t  *field;

    if (body->depth != 1 || body->name == NULL) {
        return ngx_http_ollama_session_body_other(body);
    }

    field = (ngx_http_ollama_store_field_t *)
                ((u_char *) body->fields + body->name->offset);

    field->given = 1;
    field->value.len = 0;

    return 1;
}


static int
ngx_http_ollama_session_body_boolean(void *data, int value)
{
    return ngx_http_ollama_session_body_other(data);
}


static int
ngx_http_ollama_session_body_number(void *data, const char *p, size_t len)
{
    return ngx_http_ollama_session_body_other(data);
}


static int
ngx_http_ollama_session_body_string(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_session_body_t *body = data;

    ngx_http_ollama_store_field_t        *field;
    ngx_http_ollama_session_body_name_t  *name;

    if (body->depth != 1 || body->name == NULL) {
        return body->depth ? 1 : ngx_http_ollama_session_body_other(body);
    }

    name = body->name;

    if (len > name->max) {
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

    if (name->line && !ngx_http_ollama_session_body_is_line(p, len)) {
        return ngx_http_ollama_session_body_refuse(body,
                                      "\"%V\" has a control character, at "
                                      "byte %O", &name->name,
                                      body->json.string);
    }

    field = (ngx_http_ollama_store_field_t *)
                ((u_char *) body->fields + name->offset);

    field->value.data = ngx_pnalloc(body->pool, len);
    if (field->value.data == NULL) {
        body->failed = 1;
        return 0;
    }

    ngx_memcpy(field->value.data, p, len);
    field->value.len = len;
    field->given = 1;

    return 1;
}


static int
ngx_http_ollama_session_body_start_map(void *data)
{
    ngx_http_ollama_session_body_t *body = data;

    if (body->depth == 0) {
        body->depth = 1;
        return 1;
    }

    return ngx_http_ollama_session_body_open(body);
}


static int
ngx_http_ollama_session_body_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_session_body_t *body = data;

    ngx_http_ollama_session_body_name_t  *name;

    if (body->depth != 1) {
        return 1;
    }

    body->name = NULL;

    for (name = ngx_http_ollama_session_body_names; name->name.len; name++) {
        if (ngx_http_ollama_json_key_eq(p, len, &name->name)) {
            body->name = name;
            break;
        }
    }

    return 1;
}


static int
ngx_http_ollama_session_body_end(void *data)
{
    ngx_http_ollama_session_body_t *body = data;

    body->depth--;

    return 1;
}


static int
ngx_http_ollama_session_body_start_array(void *data)
{
    return ngx_http_ollama_session_body_open(data);
}


static int
ngx_http_ollama_session_body_open(ngx_http_ollama_session_body_t *body)
{
    if (!ngx_http_ollama_session_body_other(body)) {
        return 0;
    }

    if (++body->depth > NGX_HTTP_OLLAMA_SESSION_BODY_DEPTH) {
        return ngx_http_ollama_session_body_refuse(body,
                              "the body is deeper than %d levels at byte %O",
                              NGX_HTTP_OLLAMA_SESSION_BODY_DEPTH,
                              ngx_http_ollama_json_offset(&body->json));
    }

    return 1;
}


/* A value that is not a string: refused where a string is expected. */

static int
ngx_http_ollama_session_body_other(ngx_http_ollama_session_body_t *body)
{
    if (body->depth == 0) {
        return ngx_http_ollama_session_body_refuse(body,
                                             "the body is no JSON object");
    }

    if (body->depth == 1 && body->name) {
        return ngx_http_ollama_session_body_refuse(body,
                                 "\"%V\" must be a string or null, at byte %O",
                                 &body->name->name,
                                 ngx_http_ollama_json_offset(&body->json));
    }

    return 1;
}


static ngx_uint_t
ngx_http_ollama_session_body_is_line(const u_char *p, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {

        if (p[i] < 0x20 || p[i] == 0x7f) {
            return 0;
        }

        /* U+0080 to U+009F */

        if (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0) {
            return 0;
        }
    }

    return 1;
}


static int
ngx_http_ollama_session_body_refuse(ngx_http_ollama_session_body_t *body,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    p = ngx_pnalloc(body->pool, NGX_HTTP_OLLAMA_SESSION_BODY_ERROR);
    if (p == NULL) {
        body->failed = 1;
        return 0;
    }

    body->error->data = p;

    va_start(args, fmt);
    p = ngx_vslprintf(p, p + NGX_HTTP_OLLAMA_SESSION_BODY_ERROR, fmt, args);
    va_end(args);

    body->error->len = p - body->error->data;

    return 0;
}
