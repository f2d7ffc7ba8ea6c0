
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The fields that the scanner knows, of a body and of its messages: finds that
 * of a key, checks the types of values, and copies the value of a field that
 * has a place in the scan.
 *
 * All state is the scan's.  May use util and scan_error only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_field.h"
#include "request/ngx_http_ollama_scan_error.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_json.h"
#include "util/ngx_http_ollama_utf8.h"


static ngx_http_ollama_field_t *ngx_http_ollama_scan_field_find(
    ngx_http_ollama_field_t *field, ngx_uint_t flags, const u_char *p,
    size_t len);
static ngx_int_t ngx_http_ollama_scan_field_mismatch(
    ngx_http_ollama_scan_t *scan, off_t at, ngx_http_ollama_field_t *field,
    ngx_http_ollama_type_e must, ngx_http_ollama_type_e type);


/* the fields of a body */

static ngx_http_ollama_field_t  ngx_http_ollama_scan_field_body[] = {

    { ngx_string("model"), ngx_http_ollama_text, 0, 0,
      offsetof(ngx_http_ollama_scan_t, model), 0 },

    { ngx_string("name"), ngx_http_ollama_text, 0,
      NGX_HTTP_OLLAMA_SCAN_NAME,
      offsetof(ngx_http_ollama_scan_t, name), 0 },

    { ngx_string("stream"), ngx_http_ollama_boolean, 0,
      NGX_HTTP_OLLAMA_SCAN_STREAM, 0, 0 },

    { ngx_string("options"), ngx_http_ollama_object, 0,
      NGX_HTTP_OLLAMA_SCAN_OPTIONS, 0, 0 },

    { ngx_string("messages"), ngx_http_ollama_list, ngx_http_ollama_object,
      NGX_HTTP_OLLAMA_SCAN_MESSAGES, 0, 0 },

    { ngx_string("server_url"), ngx_http_ollama_text, 0,
      NGX_HTTP_OLLAMA_SCAN_OWN,
      offsetof(ngx_http_ollama_scan_t, server_url), 1 },

    { ngx_string("session_id"), ngx_http_ollama_text, 0,
      NGX_HTTP_OLLAMA_SCAN_OWN,
      offsetof(ngx_http_ollama_scan_t, session_id), 1 },

    { ngx_string("task_id"), ngx_http_ollama_text, 0,
      NGX_HTTP_OLLAMA_SCAN_OWN,
      offsetof(ngx_http_ollama_scan_t, task_id), 1 },

    { ngx_string("background"), ngx_http_ollama_boolean, 0,
      NGX_HTTP_OLLAMA_SCAN_OWN, 0, 1 },

    { ngx_null_string, 0, 0, 0, 0, 0 }
};


/* the fields of a message */

static ngx_http_ollama_field_t  ngx_http_ollama_scan_field_message[] = {

    { ngx_string("role"), ngx_http_ollama_text, 0, 0, 0, 0 },

    { ngx_string("content"), ngx_http_ollama_text, 0,
      NGX_HTTP_OLLAMA_SCAN_TEXT, 0, 0 },

    { ngx_string("images"), ngx_http_ollama_list, ngx_http_ollama_text,
      NGX_HTTP_OLLAMA_SCAN_TEXT, 0, 0 },

    { ngx_null_string, 0, 0, 0, 0, 0 }
};


static const char  *ngx_http_ollama_scan_field_types[] = {
    "null", "a boolean", "a number", "a string", "an object", "an array"
};


ngx_uint_t
ngx_http_ollama_scan_field_key(ngx_http_ollama_scan_t *scan, const u_char *p,
    size_t len)
{
    ngx_http_ollama_field_t  *field;

    if (scan->depth == 1) {
        scan->field = ngx_http_ollama_scan_field_find(
                                         ngx_http_ollama_scan_field_body,
                                         scan->flags, p, len);
        scan->sub = NULL;

        return scan->field && scan->field->own;
    }

    if (scan->depth == 3) {
        field = scan->field;

        scan->sub = (field && field->element == ngx_http_ollama_object)
                    ? ngx_http_ollama_scan_field_find(
                                         ngx_http_ollama_scan_field_message,
                                         scan->flags, p, len)
                    : NULL;
    }

    return 0;
}


static ngx_http_ollama_field_t *
ngx_http_ollama_scan_field_find(ngx_http_ollama_field_t *field,
    ngx_uint_t flags, const u_char *p, size_t len)
{
    for ( /* void */ ; field->name.len; field++) {

        if (field->flags && !(field->flags & flags)) {
            continue;
        }

        if (ngx_http_ollama_json_key_eq(p, len, &field->name)) {
            return field;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_ollama_scan_field_type(ngx_http_ollama_scan_t *scan,
    ngx_http_ollama_type_e type, off_t start)
{
    ngx_http_ollama_type_e    must;
    ngx_http_ollama_field_t  *field;

    if (scan->depth == 0) {
        if (type == ngx_http_ollama_object) {
            return NGX_OK;
        }

        return ngx_http_ollama_scan_error(scan, start, NULL,
                                    "the body must be an object, not ",
                                    ngx_http_ollama_scan_field_types[type]);
    }

    /* depths 1 and 2: a field and its elements; 3 and 4: a message's */

    field = (scan->depth <= 2) ? scan->field : scan->sub;

    if (field == NULL || scan->depth > 4 || type == ngx_http_ollama_null) {
        return NGX_OK;
    }

    must = field->type;

    if (scan->depth % 2 == 0) {
        if (must != ngx_http_ollama_list) {
            return NGX_OK;
        }

        must = field->element;
    }

    if (type == must) {
        return NGX_OK;
    }

    return ngx_http_ollama_scan_field_mismatch(scan, start, field, must, type);
}


static ngx_int_t
ngx_http_ollama_scan_field_mismatch(ngx_http_ollama_scan_t *scan, off_t at,
    ngx_http_ollama_field_t *field, ngx_http_ollama_type_e must,
    ngx_http_ollama_type_e type)
{
    u_char      *p, text[64];
    const char  *name;

    name = ngx_http_ollama_scan_field_types[must];

    p = ngx_cpymem(text, "must be ", 8);
    p = ngx_cpymem(p, name, ngx_strlen(name));
    p = ngx_cpymem(p, ", not ", 6);
    *p = '\0';

    return ngx_http_ollama_scan_error(scan, at, &field->name, (char *) text,
                                      ngx_http_ollama_scan_field_types[type]);
}


ngx_int_t
ngx_http_ollama_scan_field_value(ngx_http_ollama_scan_t *scan, const u_char *p,
    size_t len)
{
    size_t      size, raw;
    uint32_t    bit;
    ngx_str_t  *value;

    raw = len;

    if (scan->json.invalid && len <= NGX_HTTP_OLLAMA_SCAN_MAX_VALUE) {
        len = ngx_http_ollama_utf8_mend(NULL, p, raw);
    }

    if (len > NGX_HTTP_OLLAMA_SCAN_MAX_VALUE) {
        return ngx_http_ollama_scan_error(scan, scan->json.string,
                                          &scan->field->name,
                                          "is longer than 1024 bytes", "");
    }

    if (scan->json.halves) {
        /* the server would see something else */
        return ngx_http_ollama_scan_error(scan, scan->json.string,
                                          &scan->field->name,
                                          "has half of a surrogate pair", "");
    }

    value = (ngx_str_t *) ((u_char *) scan + scan->field->offset);

    bit = 1u << (scan->field - ngx_http_ollama_scan_field_body);

    if (len > value->len && !(scan->roomy & bit)) {

        size = len;

        if (value->data) {
            /* a body may have the key many times */
            size = NGX_HTTP_OLLAMA_SCAN_MAX_VALUE;
            scan->roomy |= bit;
        }

        value->data = ngx_pnalloc(scan->pool, size);
        if (value->data == NULL) {
            return NGX_ERROR;
        }
    }

    value->len = ngx_http_ollama_utf8_mend(value->data, p, raw);

    if (value == &scan->model) {
        scan->model_at.start = scan->json.string;
        scan->model_at.end = ngx_http_ollama_json_offset(&scan->json);

    } else if (value == &scan->name) {
        scan->name_at.start = scan->json.string;
        scan->name_at.end = ngx_http_ollama_json_offset(&scan->json);
    }

    if (value == &scan->task_id && !ngx_http_ollama_id_is_valid(value)) {
        return ngx_http_ollama_scan_error(scan, scan->json.string,
                           &scan->field->name,
                           "must be 1 to 64 characters of A-Z a-z 0-9 _ -",
                           "");
    }

    return NGX_OK;
}
