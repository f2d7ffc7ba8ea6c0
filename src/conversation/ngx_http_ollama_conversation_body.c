
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Parses the body of a request for a conversation between models: who takes
 * part, and what they are sent.  This file has the parser's callbacks, which
 * find out which value it is, and whether it may be there;
 * conversation_fields takes the values, and participants tells at the end what
 * the members mean together.
 *
 * A body is read in pieces of any size.  While a member is read that is not
 * ignored, its bytes are held until it ends: so its strings are decoded once,
 * and a long one isn't scanned again with each piece.  Texts for servers may be
 * long: they are copied as they were written.
 *
 * Keys match as in Go's encoding/json, as the scan of other bodies does it;
 * those of "system_prompts" and "options", which would be maps there, match
 * byte by byte.
 *
 * The reading state lives in the "temp" pool of its caller, the results in the
 * other one.  Uses no "r", so that unit tests and fuzzers can run it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_body.h"
#include "conversation/ngx_http_ollama_conversation_fields.h"


/* the longest key that matters, all in \u escapes: yajl gets no more of any */
#define NGX_HTTP_OLLAMA_CONVERSATION_KEY   160

/* of a wrong number, this many digits are shown */
#define NGX_HTTP_OLLAMA_CONVERSATION_DIGITS 20


static int ngx_http_ollama_conversation_body_null(void *data);
static int ngx_http_ollama_conversation_body_boolean(void *data, int value);
static int ngx_http_ollama_conversation_body_number(void *data, const char *p,
    size_t len);
static int ngx_http_ollama_conversation_body_string(void *data,
    const u_char *p, size_t len);
static int ngx_http_ollama_conversation_body_start_map(void *data);
static int ngx_http_ollama_conversation_body_start_array(void *data);
static int ngx_http_ollama_conversation_body_key(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_conversation_body_close(void *data);

static int ngx_http_ollama_conversation_body_open(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_type_e type);
static ngx_http_ollama_conversation_field_t *
    ngx_http_ollama_conversation_body_at(
    ngx_http_ollama_conversation_fields_t *read);
static ngx_int_t ngx_http_ollama_conversation_body_type(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_type_e type, off_t at);
static int ngx_http_ollama_conversation_body_value_end(
    ngx_http_ollama_conversation_fields_t *read);
static ngx_http_ollama_conversation_field_t *
    ngx_http_ollama_conversation_body_find(
    ngx_http_ollama_conversation_field_t *field, const u_char *p, size_t len);
static ngx_int_t ngx_http_ollama_conversation_body_result(
    ngx_http_ollama_conversation_fields_t *read);


static const yajl_callbacks  ngx_http_ollama_conversation_callbacks = {
    ngx_http_ollama_conversation_body_null,
    ngx_http_ollama_conversation_body_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_conversation_body_number,
    ngx_http_ollama_conversation_body_string,
    ngx_http_ollama_conversation_body_start_map,
    ngx_http_ollama_conversation_body_key,
    ngx_http_ollama_conversation_body_close,
    ngx_http_ollama_conversation_body_start_array,
    ngx_http_ollama_conversation_body_close
};


static ngx_http_ollama_conversation_field_t
    ngx_http_ollama_conversation_fields[] =
{
    { ngx_string("models"), type_array, is_models, 0, 0, NULL },

    { ngx_string("system_prompts"), type_object, is_systems, 0, 0, NULL },

    { ngx_string("options"), type_object, is_options, 0, 0, NULL },

    { ngx_string("max_turns"), type_number, is_plain, 0, 0, NULL },

    { ngx_string("stream"), type_boolean, is_stream, 0, 0, NULL },

    { ngx_string("background"), type_boolean, is_plain, 0, 0, NULL },

    { ngx_string("initial_message"), type_string, is_text,
      offsetof(ngx_http_ollama_conversation_body_t, initial), 0, NULL },

    { ngx_string("session_id"), type_string, is_plain,
      offsetof(ngx_http_ollama_conversation_body_t, session_id),
      NGX_HTTP_OLLAMA_CONVERSATION_VALUE, NULL },

    { ngx_string("task_id"), type_string, is_task,
      offsetof(ngx_http_ollama_conversation_body_t, task_id), 0, NULL },

    { ngx_null_string, type_null, is_plain, 0, 0, NULL }
};


/* of an entry of "models"; an entry that is a string is the first field */

static ngx_http_ollama_conversation_field_t
    ngx_http_ollama_conversation_entry_fields[] =
{
    { ngx_string("model"), type_string, is_plain,
      offsetof(ngx_http_ollama_participant_t, model),
      NGX_HTTP_OLLAMA_CONVERSATION_VALUE,
      "must be 1 to " ngx_value(NGX_HTTP_OLLAMA_CONVERSATION_VALUE)
      " bytes without control characters" },

    { ngx_string("name"), type_string, is_plain,
      offsetof(ngx_http_ollama_participant_t, name),
      NGX_HTTP_OLLAMA_CONVERSATION_NAME,
      "must be 1 to " ngx_value(NGX_HTTP_OLLAMA_CONVERSATION_NAME)
      " bytes without control characters" },

    { ngx_string("system"), type_string, is_text,
      offsetof(ngx_http_ollama_participant_t, system), 0, NULL },

    { ngx_string("server_url"), type_string, is_plain,
      offsetof(ngx_http_ollama_participant_t, server_url),
      NGX_HTTP_OLLAMA_CONVERSATION_VALUE, NULL },

    { ngx_string("options"), type_object, is_options, 0, 0, NULL },

    { ngx_null_string, type_null, is_plain, 0, 0, NULL }
};


static const char  *ngx_http_ollama_conversation_types[] = {
    "null", "a boolean", "a number", "a string", "an object", "an array"
};


ngx_http_ollama_conversation_fields_t *
ngx_http_ollama_conversation_body_begin(
    ngx_http_ollama_conversation_body_t *body, ngx_pool_t *pool,
    ngx_pool_t *temp)
{
    ngx_uint_t                              i;
    ngx_http_ollama_participants_t         *ps;
    ngx_http_ollama_conversation_fields_t  *read;

    ngx_memzero(body, sizeof(ngx_http_ollama_conversation_body_t));

    body->max_turns = NGX_HTTP_OLLAMA_CONVERSATION_DEFAULT;
    body->stream = 1;

    read = ngx_pcalloc(temp, sizeof(ngx_http_ollama_conversation_fields_t));
    if (read == NULL) {
        return NULL;
    }

    ps = &read->participants;

    ps->body = body;
    ps->pool = pool;
    ps->temp = temp;

    for (i = 0; i <= NGX_HTTP_OLLAMA_CONVERSATION_MAX; i++) {
        if (ngx_array_init(&ps->entry[i].options, temp, 1,
                           sizeof(ngx_http_ollama_participants_option_t))
            != NGX_OK)
        {
            return NULL;
        }
    }

    if (ngx_array_init(&ps->options, temp, 1,
                       sizeof(ngx_http_ollama_participants_option_t))
        != NGX_OK
        || ngx_http_ollama_json_init(&read->json, temp,
                                     &ngx_http_ollama_conversation_callbacks,
                                     read, NGX_HTTP_OLLAMA_CONVERSATION_KEY,
                                     NGX_HTTP_OLLAMA_JSON_REST)
           != NGX_OK)
    {
        return NULL;
    }

    ngx_http_ollama_strbuf_init(&read->strbuf, temp, NGX_MAX_SIZE_T_VALUE);

    return read;
}


ngx_int_t
ngx_http_ollama_conversation_body_feed(
    ngx_http_ollama_conversation_fields_t *read, u_char *p, size_t size)
{
    if (read->json.pos + (off_t) size > NGX_HTTP_OLLAMA_CONVERSATION_BODY) {
        read->participants.body->too_large = 1;

        return ngx_http_ollama_participants_refuse(&read->participants,
                                     NGX_HTTP_OLLAMA_PARTICIPANTS_NOWHERE,
                                     "the body of a conversation's request is "
                                     "longer than 16 MB");
    }

    ngx_http_ollama_strbuf_add(&read->strbuf, &read->held, p, size);

    if (read->strbuf.failed) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_json_feed(&read->json, p, size) != NGX_OK) {
        return ngx_http_ollama_conversation_body_result(read);
    }

    if (read->field == NULL) {
        ngx_http_ollama_strbuf_cut(&read->strbuf, &read->held, 0);
        read->base = read->json.pos;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_conversation_body_end(
    ngx_http_ollama_conversation_fields_t *read)
{
    if (read->json.pos == 0) {
        return ngx_http_ollama_participants_refuse(&read->participants,
                                     NGX_HTTP_OLLAMA_PARTICIPANTS_NOWHERE,
                                     "the body is empty");
    }

    if (ngx_http_ollama_json_end(&read->json) != NGX_OK) {
        return ngx_http_ollama_conversation_body_result(read);
    }

    ngx_http_ollama_json_free(&read->json);

    return ngx_http_ollama_participants_make(&read->participants);
}


/* The parser has stopped: because of an error of its own, or in a callback. */

static ngx_int_t
ngx_http_ollama_conversation_body_result(
    ngx_http_ollama_conversation_fields_t *read)
{
    if (read->json.error) {
        return ngx_http_ollama_participants_refuse(&read->participants,
                                     read->json.error_at,
                                     "the body is no JSON: %s",
                                     read->json.error);
    }

    return read->participants.body->error.len ? NGX_DECLINED : NGX_ERROR;
}


static int
ngx_http_ollama_conversation_body_null(void *data)
{
    ngx_http_ollama_conversation_fields_t *read = data;

    ngx_array_t                            *options;
    ngx_http_ollama_conversation_field_t   *field;

    if (ngx_http_ollama_conversation_body_type(read, type_null,
                               ngx_http_ollama_json_offset(&read->json) - 4)
        != NGX_OK)
    {
        return 0;
    }

    /*
     * in Go null leaves a value as it was, but resets a slice, a map and a
     * pointer ("stream" is a pointer in Ollama); a string in a map is empty
     */

    field = ngx_http_ollama_conversation_body_at(read);

    if (read->system) {
        ngx_str_null(&read->system->value);

    } else if (field && field->is == is_models) {
        read->participants.n = 0;
        read->participants.at = 0;

    } else if (field && field->is == is_systems) {
        read->participants.nsystems = 0;

    } else if (field && field->is == is_options) {
        options = ngx_http_ollama_conversation_fields_options(read);
        options->nelts = 0;

    } else if (field && field->is == is_stream) {
        read->participants.body->stream = 1;
    }

    return ngx_http_ollama_conversation_body_value_end(read);
}


static int
ngx_http_ollama_conversation_body_boolean(void *data, int value)
{
    ngx_http_ollama_conversation_fields_t *read = data;

    ngx_http_ollama_conversation_field_t  *field;

    if (ngx_http_ollama_conversation_body_type(read, type_boolean,
                               ngx_http_ollama_json_offset(&read->json)
                               - (value ? 4 : 5))
        != NGX_OK)
    {
        return 0;
    }

    field = ngx_http_ollama_conversation_body_at(read);

    if (field && field->is == is_stream) {
        read->participants.body->stream = (value != 0);
    }

    return ngx_http_ollama_conversation_body_value_end(read);
}


static int
ngx_http_ollama_conversation_body_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_conversation_fields_t *read = data;

    off_t      at;
    ngx_int_t  n;
    ngx_str_t  shown;

    at = ngx_http_ollama_json_offset(&read->json) - len;

    if (ngx_http_ollama_conversation_body_type(read, type_number, at)
        != NGX_OK)
    {
        return 0;
    }

    if (ngx_http_ollama_conversation_body_at(read)) {

        n = ngx_atoi((u_char *) p, len);

        if (n < 1 || n > NGX_HTTP_OLLAMA_CONVERSATION_TURNS) {
            shown.data = (u_char *) p;
            shown.len = ngx_min(len, NGX_HTTP_OLLAMA_CONVERSATION_DIGITS);

            (void) ngx_http_ollama_participants_refuse(&read->participants, at,
                                     "\"max_turns\" must be an integer from "
                                     "1 to %d, not %V",
                                     NGX_HTTP_OLLAMA_CONVERSATION_TURNS,
                                     &shown);
            return 0;
        }

        read->participants.body->max_turns = n;
    }

    return ngx_http_ollama_conversation_body_value_end(read);
}


static int
ngx_http_ollama_conversation_body_string(void *data, const u_char *p,
    size_t len)
{
    ngx_http_ollama_conversation_fields_t *read = data;

    ngx_http_ollama_conversation_field_t  *field;

    if (ngx_http_ollama_conversation_body_type(read, type_string,
                                               read->json.string)
        != NGX_OK)
    {
        return 0;
    }

    field = ngx_http_ollama_conversation_body_at(read);

    if (field) {
        if (ngx_http_ollama_conversation_fields_text(read, field) != NGX_OK) {
            return 0;
        }

    } else if (read->system
               && ngx_http_ollama_conversation_fields_system(read) != NGX_OK)
    {
        return 0;
    }

    return ngx_http_ollama_conversation_body_value_end(read);
}


static int
ngx_http_ollama_conversation_body_start_map(void *data)
{
    return ngx_http_ollama_conversation_body_open(data, type_object);
}


static int
ngx_http_ollama_conversation_body_start_array(void *data)
{
    return ngx_http_ollama_conversation_body_open(data, type_array);
}


static int
ngx_http_ollama_conversation_body_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_conversation_fields_t *read = data;

    if (read->depth == 1) {
        read->field = ngx_http_ollama_conversation_body_find(
                                  ngx_http_ollama_conversation_fields, p, len);
        return 1;
    }

    if (read->field == NULL) {
        return 1;
    }

    if (read->depth == 2 && read->field->is == is_systems) {
        return ngx_http_ollama_conversation_fields_key(read) == NGX_OK;
    }

    if (read->depth == 3 && read->field->is == is_models) {
        read->sub = ngx_http_ollama_conversation_body_find(
                            ngx_http_ollama_conversation_entry_fields, p, len);
        return 1;
    }

    if (read->options && read->depth == read->members) {
        return ngx_http_ollama_conversation_fields_option(read) == NGX_OK;
    }

    return 1;
}


static int
ngx_http_ollama_conversation_body_close(void *data)
{
    ngx_http_ollama_conversation_fields_t *read = data;

    if (read->options && read->depth == read->members) {
        read->options = NULL;
    }

    read->depth--;

    return ngx_http_ollama_conversation_body_value_end(read);
}


/* An object or an array begins. */

static int
ngx_http_ollama_conversation_body_open(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_type_e type)
{
    off_t                                  at;
    ngx_http_ollama_conversation_field_t  *field;

    at = ngx_http_ollama_json_offset(&read->json) - 1;

    if (ngx_http_ollama_conversation_body_type(read, type, at) != NGX_OK) {
        return 0;
    }

    if (read->depth == NGX_HTTP_OLLAMA_JSON_DEPTH) {
        (void) ngx_http_ollama_participants_refuse(&read->participants, at,
                                     "nested deeper than %d levels",
                                     NGX_HTTP_OLLAMA_JSON_DEPTH);
        return 0;
    }

    field = ngx_http_ollama_conversation_body_at(read);

    if (field == NULL) {
        read->depth++;
        return 1;
    }

    /* a slice begins anew, while maps of the same name are merged, as in Go */

    switch (field->is) {

    case is_models:
        read->participants.n = 0;
        read->participants.at = at;
        break;

    case is_options:
        read->options = ngx_http_ollama_conversation_fields_options(read);
        read->members = read->depth + 1;
        break;
    }

    read->depth++;

    return 1;
}


/* The field whose value is here; an entry that is a string is its model. */

static ngx_http_ollama_conversation_field_t *
ngx_http_ollama_conversation_body_at(
    ngx_http_ollama_conversation_fields_t *read)
{
    if (read->depth == 1) {
        return read->field;
    }

    if (read->field && read->field->is == is_models) {

        if (read->depth == 2) {
            return ngx_http_ollama_conversation_entry_fields;
        }

        if (read->depth == 3) {
            return read->sub;
        }
    }

    return NULL;
}


/*
 * A value of this type begins.  NGX_OK: it may be here; else the body is
 * refused.
 */

static ngx_int_t
ngx_http_ollama_conversation_body_type(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_type_e type, off_t at)
{
    const char                            *name;
    ngx_http_ollama_conversation_field_t  *field;

    name = ngx_http_ollama_conversation_types[type];

    if (read->depth == 0) {

        if (type == type_object) {
            return NGX_OK;
        }

        return ngx_http_ollama_participants_refuse(&read->participants, at,
                                     "the body must be an object, not %s",
                                     name);
    }

    if (read->system) {

        if (type == type_string || type == type_null) {
            return NGX_OK;
        }

        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must have strings, not ", name);
    }

    field = ngx_http_ollama_conversation_body_at(read);

    if (field == NULL) {
        return NGX_OK;
    }

    if (read->depth == 2) {
        ngx_http_ollama_conversation_fields_entry(read, at);

        if (type == type_string || type == type_object) {
            return NGX_OK;
        }

        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must be a string or an object, not ",
                                     name);
    }

    if (type == field->type || type == type_null) {
        return NGX_OK;
    }

    switch (field->type) {

    case type_boolean:
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must be a boolean, not ", name);

    case type_number:
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must be a number, not ", name);

    case type_string:
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must be a string, not ", name);

    case type_object:
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must be an object, not ", name);

    default: /* type_array */
        return ngx_http_ollama_conversation_fields_refuse(read, at,
                                     "must be an array, not ", name);
    }
}


/* The value of a member or of an element has ended. */

static int
ngx_http_ollama_conversation_body_value_end(
    ngx_http_ollama_conversation_fields_t *read)
{
    if (read->options && read->depth == read->members) {
        return ngx_http_ollama_conversation_fields_member(read) == NGX_OK;
    }

    read->system = NULL;

    return 1;
}


static ngx_http_ollama_conversation_field_t *
ngx_http_ollama_conversation_body_find(
    ngx_http_ollama_conversation_field_t *field, const u_char *p, size_t len)
{
    for ( /* void */ ; field->name.len; field++) {
        if (ngx_http_ollama_json_key_eq(p, len, &field->name)) {
            return field;
        }
    }

    return NULL;
}
