
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Reading a server's reply to /api/tags, /api/ps or /api/version.  Nothing in
 * it is trusted: a model that could be too big, or harmful when it is shown,
 * is left out and counted.
 *
 * What is found lies in the pool or in the body, which must live as long.  A
 * model's strings are put into the pool when all of the model is read and
 * found good, so that a server cannot fill it by models that are left out.
 *
 * Called by report, and by tests; calls json, name and time only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_report_parse.h"
#include "fleet/ngx_http_ollama_name.h"
#include "util/ngx_http_ollama_parse_time.h"


#define NGX_HTTP_OLLAMA_REPORT_PARSE_DEPTH   64

/* a string is shown so far that one too long is seen, all in \u escapes */
#define NGX_HTTP_OLLAMA_REPORT_PARSE_KEEP                                      \
    (6 * (NGX_HTTP_OLLAMA_REPORT_NAME + 1))

/* sizes beyond what a double holds exactly are none */
#define NGX_HTTP_OLLAMA_REPORT_PARSE_NUMBER  INT64_C(0x1fffffffffffff)


typedef enum {
    key_other = 0,
    key_models,
    key_version,

    /* of a model */
    key_name,
    key_model,
    key_modified_at,
    key_expires_at,
    key_size,
    key_size_vram,
    key_context_length,
    key_details
} ngx_http_ollama_report_parse_key_e;


typedef struct {
    ngx_str_t                           name;
    ngx_http_ollama_report_parse_key_e  key;
} ngx_http_ollama_report_parse_name_t;


static int ngx_http_ollama_report_parse_null(void *data);
static int ngx_http_ollama_report_parse_boolean(void *data, int value);
static int ngx_http_ollama_report_parse_number(void *data, const char *p,
    size_t len);
static int ngx_http_ollama_report_parse_string(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_report_parse_start_map(void *data);
static int ngx_http_ollama_report_parse_key(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_report_parse_end_map(void *data);
static int ngx_http_ollama_report_parse_start_array(void *data);
static int ngx_http_ollama_report_parse_end_array(void *data);

static int ngx_http_ollama_report_parse_open(
    ngx_http_ollama_report_parse_t *reply);
static ngx_uint_t ngx_http_ollama_report_parse_is_wanted(
    ngx_http_ollama_report_parse_t *reply, ngx_uint_t key);
static void ngx_http_ollama_report_parse_restart(
    ngx_http_ollama_report_parse_t *reply);
static int ngx_http_ollama_report_parse_other(
    ngx_http_ollama_report_parse_t *reply);
static int ngx_http_ollama_report_parse_refuse(
    ngx_http_ollama_report_parse_t *reply, const char *error);
static int ngx_http_ollama_report_parse_is_version(
    ngx_http_ollama_report_parse_t *reply, const u_char *p, size_t len);
static void ngx_http_ollama_report_parse_text(
    ngx_http_ollama_report_parse_t *reply,
    ngx_http_ollama_report_parse_text_t *text, const u_char *p, size_t len);
static void ngx_http_ollama_report_parse_begin(
    ngx_http_ollama_report_parse_t *reply);
static int ngx_http_ollama_report_parse_model(
    ngx_http_ollama_report_parse_t *reply);
static ngx_int_t ngx_http_ollama_report_parse_copy(ngx_pool_t *pool,
    ngx_str_t *dst, ngx_http_ollama_report_parse_text_t *text);


static const yajl_callbacks  ngx_http_ollama_report_parse_callbacks = {
    ngx_http_ollama_report_parse_null,
    ngx_http_ollama_report_parse_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_report_parse_number,
    ngx_http_ollama_report_parse_string,
    ngx_http_ollama_report_parse_start_map,
    ngx_http_ollama_report_parse_key,
    ngx_http_ollama_report_parse_end_map,
    ngx_http_ollama_report_parse_start_array,
    ngx_http_ollama_report_parse_end_array
};


static ngx_http_ollama_report_parse_name_t
    ngx_http_ollama_report_parse_top_names[] =
{
    { ngx_string("models"), key_models },
    { ngx_string("version"), key_version },
    { ngx_null_string, key_other }
};


/* ListModelResponse and ProcessModelResponse in api/types.go */

static ngx_http_ollama_report_parse_name_t
    ngx_http_ollama_report_parse_names[] =
{
    { ngx_string("name"), key_name },
    { ngx_string("model"), key_model },
    { ngx_string("modified_at"), key_modified_at },
    { ngx_string("expires_at"), key_expires_at },
    { ngx_string("size"), key_size },
    { ngx_string("size_vram"), key_size_vram },
    { ngx_string("context_length"), key_context_length },
    { ngx_string("details"), key_details },
    { ngx_null_string, key_other }
};


/*
 * Makes a zeroed struct ready for a reply.  NGX_ERROR, here and below: there
 * is nothing to be had from it, reply->error says why.
 */

ngx_int_t
ngx_http_ollama_report_parse_init(ngx_http_ollama_report_parse_t *reply,
    ngx_pool_t *pool, ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body)
{
    reply->pool = pool;
    reply->kind = kind;
    reply->body = *body;

    reply->wanted = (kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION) ? key_version
                                                                   : key_models;

    if (body->len > NGX_HTTP_OLLAMA_REPORT_SIZE) {
        ngx_str_set(&reply->error, "too big");
        return NGX_ERROR;
    }

    if (ngx_array_init(&reply->models, pool, 16,
                       sizeof(ngx_http_ollama_model_t))
        != NGX_OK
        || ngx_http_ollama_json_init(&reply->json, pool,
                                     &ngx_http_ollama_report_parse_callbacks,
                                     reply, NGX_HTTP_OLLAMA_REPORT_PARSE_KEEP,
                                     0)
           != NGX_OK)
    {
        ngx_str_set(&reply->error, "no memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Reads on for "size" bytes.  NGX_AGAIN: there are more; NGX_OK: that was all,
 * and what was found may be used.
 */

ngx_int_t
ngx_http_ollama_report_parse_read(ngx_http_ollama_report_parse_t *reply,
    size_t size)
{
    size_t       rest;
    const char  *error;

    rest = reply->body.len - reply->json.pos;
    size = ngx_min(size, rest);

    if (size
        && ngx_http_ollama_json_feed(&reply->json,
                                     reply->body.data + reply->json.pos, size)
           != NGX_OK)
    {
        goto failed;
    }

    if (size < rest) {
        return NGX_AGAIN;
    }

    if (ngx_http_ollama_json_end(&reply->json) != NGX_OK) {
        goto failed;
    }

    if (!reply->found) {
        reply->refused = (reply->wanted == key_models)
                         ? "no \"models\" in it" : "no \"version\" in it";
        goto failed;
    }

    if (reply->kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION
        && ngx_http_ollama_report_parse_copy(reply->pool, &reply->version,
                                             &reply->name)
           != NGX_OK)
    {
        goto failed;
    }

    ngx_http_ollama_json_free(&reply->json);

    return NGX_OK;

failed:

    error = reply->refused ? reply->refused
            : reply->json.error ? reply->json.error : "no memory";

    reply->error.len = ngx_strlen(error);
    reply->error.data = (u_char *) error;

    ngx_http_ollama_json_free(&reply->json);

    return NGX_ERROR;
}


static int
ngx_http_ollama_report_parse_null(void *data)
{
    ngx_http_ollama_report_parse_t *reply = data;

    if (ngx_http_ollama_report_parse_is_wanted(reply, key_models)) {
        /* as some versions say that there are none */
        ngx_http_ollama_report_parse_restart(reply);
        return 1;
    }

    return ngx_http_ollama_report_parse_other(reply);
}


static int
ngx_http_ollama_report_parse_boolean(void *data, int value)
{
    return ngx_http_ollama_report_parse_other(data);
}


static int
ngx_http_ollama_report_parse_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_report_parse_t *reply = data;

    size_t   i;
    int64_t  n;

    if (!reply->object || reply->depth != 3) {
        return ngx_http_ollama_report_parse_other(reply);
    }

    n = 0;

    for (i = 0; i < len; i++) {

        if (p[i] < '0' || p[i] > '9') {
            /* a sign, a fraction, an exponent */
            n = 0;
            break;
        }

        n = n * 10 + (p[i] - '0');

        if (n > NGX_HTTP_OLLAMA_REPORT_PARSE_NUMBER) {
            n = 0;
            break;
        }
    }

    switch (reply->member) {

    case key_size:
        reply->model.size = n;
        break;

    case key_size_vram:
        reply->model.size_vram = n;
        break;

    case key_context_length:
        reply->model.context_length = n;
        break;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_string(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_report_parse_t *reply = data;

    int64_t    usec;
    ngx_str_t  time;

    if (ngx_http_ollama_report_parse_is_wanted(reply, key_version)) {
        return ngx_http_ollama_report_parse_is_version(reply, p, len);
    }

    if (!reply->object || reply->depth != 3) {
        return ngx_http_ollama_report_parse_other(reply);
    }

    switch (reply->member) {

    case key_name:
        ngx_http_ollama_report_parse_text(reply, &reply->name, p, len);
        break;

    case key_model:
        ngx_http_ollama_report_parse_text(reply, &reply->alias, p, len);
        break;

    case key_modified_at:
    case key_expires_at:

        time.data = (u_char *) p;
        time.len = len;

        usec = ngx_http_ollama_parse_time(&time);

        if (reply->member == key_modified_at) {
            reply->model.modified = ngx_max(usec, 0);
            break;
        }

        /* what is a time holds nothing that would have to be escaped */

        ngx_http_ollama_report_parse_text(reply, &reply->expires, p,
                                          usec == NGX_ERROR ? 0 : len);
        break;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_start_map(void *data)
{
    ngx_http_ollama_report_parse_t *reply = data;

    off_t  start;

    start = ngx_http_ollama_json_offset(&reply->json) - 1;

    if (ngx_http_ollama_report_parse_is_wanted(reply, reply->wanted)) {
        return ngx_http_ollama_report_parse_other(reply);
    }

    if (reply->depth == 2 && reply->list) {
        ngx_http_ollama_report_parse_begin(reply);
        reply->start = start;

    } else if (reply->object
               && reply->depth == 3
               && reply->member == key_details)
    {
        reply->details = start;
    }

    return ngx_http_ollama_report_parse_open(reply);
}


static int
ngx_http_ollama_report_parse_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_report_parse_t *reply = data;

    ngx_http_ollama_report_parse_name_t  *name;

    if (reply->depth == 1) {
        name = ngx_http_ollama_report_parse_top_names;

    } else if (reply->depth == 3 && reply->object) {
        name = ngx_http_ollama_report_parse_names;

    } else {
        return 1;
    }

    while (name->name.len
           && !ngx_http_ollama_json_key_eq(p, len, &name->name))
    {
        name++;
    }

    if (reply->depth == 1) {
        reply->top = name->key;

    } else {
        reply->member = name->key;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_end_map(void *data)
{
    ngx_http_ollama_report_parse_t *reply = data;

    off_t  end;

    reply->depth--;

    if (!reply->object) {
        return 1;
    }

    if (reply->depth == 3 && reply->member == key_details) {
        end = ngx_http_ollama_json_offset(&reply->json);

        reply->model.details.data = reply->body.data + reply->details;
        reply->model.details.len = end - reply->details;
        return 1;
    }

    if (reply->depth == 2) {
        reply->object = 0;
        return ngx_http_ollama_report_parse_model(reply);
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_start_array(void *data)
{
    ngx_http_ollama_report_parse_t *reply = data;

    if (ngx_http_ollama_report_parse_is_wanted(reply, key_models)) {
        ngx_http_ollama_report_parse_restart(reply);
        reply->list = 1;

    } else if (!ngx_http_ollama_report_parse_other(reply)) {
        return 0;
    }

    return ngx_http_ollama_report_parse_open(reply);
}


static int
ngx_http_ollama_report_parse_end_array(void *data)
{
    ngx_http_ollama_report_parse_t *reply = data;

    if (--reply->depth == 1) {
        reply->list = 0;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_open(ngx_http_ollama_report_parse_t *reply)
{
    if (reply->depth == NGX_HTTP_OLLAMA_REPORT_PARSE_DEPTH) {
        return ngx_http_ollama_report_parse_refuse(reply, "nested too deeply");
    }

    reply->depth++;

    return 1;
}


/* Whether a value is what the reply is about, and the reply is of that key. */

static ngx_uint_t
ngx_http_ollama_report_parse_is_wanted(ngx_http_ollama_report_parse_t *reply,
    ngx_uint_t key)
{
    return reply->depth == 1 && reply->top == key && reply->wanted == key;
}


/* Of two lists of models the last one counts, as for Go. */

static void
ngx_http_ollama_report_parse_restart(ngx_http_ollama_report_parse_t *reply)
{
    reply->found = 1;
    reply->models.nelts = 0;
    reply->dropped = 0;
}


/* A value of a type that nothing here has; it matters in three places. */

static int
ngx_http_ollama_report_parse_other(ngx_http_ollama_report_parse_t *reply)
{
    if (reply->depth == 0) {
        return ngx_http_ollama_report_parse_refuse(reply, "not an object");
    }

    if (ngx_http_ollama_report_parse_is_wanted(reply, reply->wanted)) {
        return ngx_http_ollama_report_parse_refuse(reply,
                             (reply->top == key_models)
                             ? "\"models\" is not an array"
                             : "\"version\" is not a version");
    }

    if (reply->depth == 2 && reply->list) {
        reply->dropped++;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_refuse(ngx_http_ollama_report_parse_t *reply,
    const char *error)
{
    reply->refused = error;

    return 0;
}


/* It is shown in pages and told to other clients: nothing to be escaped. */

static int
ngx_http_ollama_report_parse_is_version(ngx_http_ollama_report_parse_t *reply,
    const u_char *p, size_t len)
{
    size_t  i;

    if (len == 0
        || len > NGX_HTTP_OLLAMA_REPORT_VERSION
        || reply->json.halves)
    {
        return ngx_http_ollama_report_parse_other(reply);
    }

    for (i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] >= 0x7f || p[i] == '"' || p[i] == '\\') {
            return ngx_http_ollama_report_parse_other(reply);
        }
    }

    reply->found = 1;
    ngx_http_ollama_report_parse_text(reply, &reply->name, p, len);

    return 1;
}


/*
 * Keeps a string; without a length, if it is too long, or holds a control
 * character (of ASCII, or U+0080 to U+009F) or what isn't a character.
 */

static void
ngx_http_ollama_report_parse_text(ngx_http_ollama_report_parse_t *reply,
    ngx_http_ollama_report_parse_text_t *text, const u_char *p, size_t len)
{
    size_t  i;

    text->told = 1;
    text->len = 0;

    if (len > NGX_HTTP_OLLAMA_REPORT_NAME || reply->json.halves) {
        return;
    }

    for (i = 0; i < len; i++) {

        if (p[i] < 0x20 || p[i] == 0x7f) {
            return;
        }

        if (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0) {
            return;
        }
    }

    ngx_memcpy(text->data, p, len);
    text->len = len;
}


static void
ngx_http_ollama_report_parse_begin(ngx_http_ollama_report_parse_t *reply)
{
    ngx_memzero(&reply->model, sizeof(ngx_http_ollama_model_t));

    reply->name.told = 0;
    reply->alias.len = 0;
    reply->expires.len = 0;

    reply->object = 1;
}


/* A model is read: it is added to the others, or left out. */

static int
ngx_http_ollama_report_parse_model(ngx_http_ollama_report_parse_t *reply)
{
    size_t                                len;
    ngx_pool_t                           *pool;
    ngx_http_ollama_model_t              *model;
    ngx_http_ollama_report_parse_text_t  *name;

    len = ngx_http_ollama_json_offset(&reply->json) - reply->start;
    name = reply->name.told ? &reply->name : &reply->alias;

    if (name->len == 0
        || len > NGX_HTTP_OLLAMA_REPORT_OBJECT
        || reply->models.nelts == NGX_HTTP_OLLAMA_REPORT_MODELS)
    {
        reply->dropped++;
        return 1;
    }

    pool = reply->pool;
    model = &reply->model;

    if (ngx_http_ollama_report_parse_copy(pool, &model->name, name) != NGX_OK) {
        return 0;
    }

    model->key.data = ngx_pnalloc(pool, name->len + NGX_HTTP_OLLAMA_NAME_MORE);
    if (model->key.data == NULL) {
        return 0;
    }

    model->key.len = ngx_http_ollama_name_model(model->key.data, &model->name);

    if (reply->kind == NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS) {
        model->tag.data = reply->body.data + reply->start;
        model->tag.len = len;
        model->size_vram = 0;
        model->context_length = 0;

    } else {

        if (ngx_http_ollama_report_parse_copy(pool, &model->expires_at,
                                              &reply->expires)
            != NGX_OK)
        {
            return 0;
        }

        model->ps.data = reply->body.data + reply->start;
        model->ps.len = len;
        model->modified = 0;

        /* that of the memory taken, not of the file */
        model->size = 0;
    }

    model = ngx_array_push(&reply->models);
    if (model == NULL) {
        return 0;
    }

    *model = reply->model;

    return 1;
}


static ngx_int_t
ngx_http_ollama_report_parse_copy(ngx_pool_t *pool, ngx_str_t *dst,
    ngx_http_ollama_report_parse_text_t *text)
{
    ngx_str_null(dst);

    if (text->len == 0) {
        return NGX_OK;
    }

    dst->data = ngx_pnalloc(pool, text->len);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, text->data, text->len);
    dst->len = text->len;

    return NGX_OK;
}
