
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Parses a server's reply to /api/tags, /api/ps or /api/version.  Nothing in
 * it is trusted: a model that is too big, or could do harm when it is shown,
 * is left out and counted.
 *
 * What is found is in the pool or in the body, which must live as long.  A
 * model's strings are copied to the pool when all of the model has been read
 * and is valid, so that a server cannot fill it with models that are left out.
 *
 * It may use json, model_name and parse_time only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_report_parse.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "util/ngx_http_ollama_parse_time.h"
#include "util/ngx_http_ollama_utf8.h"


#define NGX_HTTP_OLLAMA_REPORT_PARSE_DEPTH   64

/*
 * so much of a string is passed to the callback that one too long is seen, also
 * if all of it is \u escapes
 */
#define NGX_HTTP_OLLAMA_REPORT_PARSE_STRING                                    \
    (6 * (NGX_HTTP_OLLAMA_REPORT_NAME + 1))

/* numbers that a double can't hold exactly are ignored */
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
    key_details,
    key_digest
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
    ngx_http_ollama_report_parse_t *rp);
static ngx_uint_t ngx_http_ollama_report_parse_is_wanted(
    ngx_http_ollama_report_parse_t *rp, ngx_uint_t key);
static void ngx_http_ollama_report_parse_restart(
    ngx_http_ollama_report_parse_t *rp);
static int ngx_http_ollama_report_parse_other(
    ngx_http_ollama_report_parse_t *rp);
static int ngx_http_ollama_report_parse_refuse(
    ngx_http_ollama_report_parse_t *rp, const char *error);
static int ngx_http_ollama_report_parse_is_version(
    ngx_http_ollama_report_parse_t *rp, const u_char *p, size_t len);
static void ngx_http_ollama_report_parse_text(
    ngx_http_ollama_report_parse_t *rp,
    ngx_http_ollama_report_parse_text_t *text, const u_char *p, size_t len);
static uint64_t ngx_http_ollama_report_parse_digest(const u_char *p,
    size_t len);
static void ngx_http_ollama_report_parse_begin(
    ngx_http_ollama_report_parse_t *rp);
static int ngx_http_ollama_report_parse_model(
    ngx_http_ollama_report_parse_t *rp);
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
    { ngx_string("digest"), key_digest },
    { ngx_null_string, key_other }
};


ngx_int_t
ngx_http_ollama_report_parse_init(ngx_http_ollama_report_parse_t *rp,
    ngx_pool_t *pool, ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body)
{
    rp->pool = pool;
    rp->kind = kind;
    rp->body = *body;

    rp->wanted = (kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION) ? key_version
                                                                : key_models;

    if (body->len > NGX_HTTP_OLLAMA_REPORT_SIZE) {
        ngx_str_set(&rp->error, "too big");
        return NGX_ERROR;
    }

    if (ngx_array_init(&rp->models, pool, 16,
                       sizeof(ngx_http_ollama_model_t))
        != NGX_OK
        || ngx_http_ollama_json_init(&rp->json, pool,
                                     &ngx_http_ollama_report_parse_callbacks,
                                     rp, NGX_HTTP_OLLAMA_REPORT_PARSE_STRING,
                                     0)
           != NGX_OK)
    {
        ngx_str_set(&rp->error, "no memory");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_report_parse_read(ngx_http_ollama_report_parse_t *rp,
    size_t size)
{
    size_t       rest;
    const char  *error;

    rest = rp->body.len - rp->json.pos;
    size = ngx_min(size, rest);

    if (size
        && ngx_http_ollama_json_feed(&rp->json,
                                     rp->body.data + rp->json.pos, size)
           != NGX_OK)
    {
        goto failed;
    }

    if (size < rest) {
        return NGX_AGAIN;
    }

    if (ngx_http_ollama_json_end(&rp->json) != NGX_OK) {
        goto failed;
    }

    if (!rp->found) {
        rp->refused = (rp->wanted == key_models)
                         ? "no \"models\" in it" : "no \"version\" in it";
        goto failed;
    }

    if (rp->kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION
        && ngx_http_ollama_report_parse_copy(rp->pool, &rp->version,
                                             &rp->name)
           != NGX_OK)
    {
        goto failed;
    }

    ngx_http_ollama_json_free(&rp->json);

    return NGX_OK;

failed:

    error = rp->refused ? rp->refused
            : rp->json.error ? rp->json.error : "no memory";

    rp->error.len = ngx_strlen(error);
    rp->error.data = (u_char *) error;

    ngx_http_ollama_json_free(&rp->json);

    return NGX_ERROR;
}


static int
ngx_http_ollama_report_parse_null(void *data)
{
    ngx_http_ollama_report_parse_t *rp = data;

    if (ngx_http_ollama_report_parse_is_wanted(rp, key_models)) {
        /* what some versions send if there are no models */
        ngx_http_ollama_report_parse_restart(rp);
        return 1;
    }

    return ngx_http_ollama_report_parse_other(rp);
}


static int
ngx_http_ollama_report_parse_boolean(void *data, int value)
{
    return ngx_http_ollama_report_parse_other(data);
}


static int
ngx_http_ollama_report_parse_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_report_parse_t *rp = data;

    size_t   i;
    int64_t  n;

    if (!rp->object || rp->depth != 3) {
        return ngx_http_ollama_report_parse_other(rp);
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

    switch (rp->member) {

    case key_size:
        rp->model.size = n;
        break;

    case key_size_vram:
        rp->model.size_vram = n;
        break;

    case key_context_length:
        rp->model.context_length = n;
        break;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_string(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_report_parse_t *rp = data;

    int64_t    usec;
    ngx_str_t  time;

    if (ngx_http_ollama_report_parse_is_wanted(rp, key_version)) {
        return ngx_http_ollama_report_parse_is_version(rp, p, len);
    }

    if (!rp->object || rp->depth != 3) {
        return ngx_http_ollama_report_parse_other(rp);
    }

    switch (rp->member) {

    case key_name:
        ngx_http_ollama_report_parse_text(rp, &rp->name, p, len);
        break;

    case key_model:
        ngx_http_ollama_report_parse_text(rp, &rp->alias, p, len);
        break;

    case key_digest:
        rp->model.digest = ngx_http_ollama_report_parse_digest(p, len);
        break;

    case key_modified_at:
    case key_expires_at:

        time.data = (u_char *) p;
        time.len = len;

        usec = ngx_http_ollama_parse_time(&time);

        if (rp->member == key_modified_at) {
            rp->model.modified = ngx_max(usec, 0);
            break;
        }

        /* a valid time has no characters that would have to be escaped */

        ngx_http_ollama_report_parse_text(rp, &rp->expires, p,
                                          usec == NGX_ERROR ? 0 : len);
        break;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_start_map(void *data)
{
    ngx_http_ollama_report_parse_t *rp = data;

    off_t  start;

    start = ngx_http_ollama_json_offset(&rp->json) - 1;

    if (ngx_http_ollama_report_parse_is_wanted(rp, rp->wanted)) {
        return ngx_http_ollama_report_parse_other(rp);
    }

    if (rp->depth == 2 && rp->list) {
        ngx_http_ollama_report_parse_begin(rp);
        rp->start = start;

    } else if (rp->object
               && rp->depth == 3
               && rp->member == key_details)
    {
        rp->details = start;
    }

    return ngx_http_ollama_report_parse_open(rp);
}


static int
ngx_http_ollama_report_parse_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_report_parse_t *rp = data;

    ngx_http_ollama_report_parse_name_t  *name;

    if (rp->depth == 1) {
        name = ngx_http_ollama_report_parse_top_names;

    } else if (rp->depth == 3 && rp->object) {
        name = ngx_http_ollama_report_parse_names;

    } else {
        return 1;
    }

    while (name->name.len
           && !ngx_http_ollama_json_key_eq(p, len, &name->name))
    {
        name++;
    }

    if (rp->depth == 1) {
        rp->top = name->key;

    } else {
        rp->member = name->key;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_end_map(void *data)
{
    ngx_http_ollama_report_parse_t *rp = data;

    off_t  end;

    rp->depth--;

    if (!rp->object) {
        return 1;
    }

    if (rp->depth == 3 && rp->member == key_details) {
        end = ngx_http_ollama_json_offset(&rp->json);

        rp->model.details.data = rp->body.data + rp->details;
        rp->model.details.len = end - rp->details;
        return 1;
    }

    if (rp->depth == 2) {
        rp->object = 0;
        return ngx_http_ollama_report_parse_model(rp);
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_start_array(void *data)
{
    ngx_http_ollama_report_parse_t *rp = data;

    if (ngx_http_ollama_report_parse_is_wanted(rp, key_models)) {
        ngx_http_ollama_report_parse_restart(rp);
        rp->list = 1;

    } else if (!ngx_http_ollama_report_parse_other(rp)) {
        return 0;
    }

    return ngx_http_ollama_report_parse_open(rp);
}


static int
ngx_http_ollama_report_parse_end_array(void *data)
{
    ngx_http_ollama_report_parse_t *rp = data;

    if (--rp->depth == 1) {
        rp->list = 0;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_open(ngx_http_ollama_report_parse_t *rp)
{
    if (rp->depth == NGX_HTTP_OLLAMA_REPORT_PARSE_DEPTH) {
        return ngx_http_ollama_report_parse_refuse(rp, "nested too deeply");
    }

    rp->depth++;

    return 1;
}


/* Whether a value is that of "key", and the reply is read for that key. */

static ngx_uint_t
ngx_http_ollama_report_parse_is_wanted(ngx_http_ollama_report_parse_t *rp,
    ngx_uint_t key)
{
    return rp->depth == 1 && rp->top == key && rp->wanted == key;
}


/* Of two lists of models the last one is used, as Go does. */

static void
ngx_http_ollama_report_parse_restart(ngx_http_ollama_report_parse_t *rp)
{
    rp->found = 1;
    rp->models.nelts = 0;
    rp->dropped = 0;
}


/* A value of a type that is not expected; it matters in three places. */

static int
ngx_http_ollama_report_parse_other(ngx_http_ollama_report_parse_t *rp)
{
    if (rp->depth == 0) {
        return ngx_http_ollama_report_parse_refuse(rp, "not an object");
    }

    if (ngx_http_ollama_report_parse_is_wanted(rp, rp->wanted)) {
        return ngx_http_ollama_report_parse_refuse(rp,
                             (rp->top == key_models)
                             ? "\"models\" is not an array"
                             : "\"version\" is not a version");
    }

    if (rp->depth == 2 && rp->list) {
        rp->dropped++;
    }

    return 1;
}


static int
ngx_http_ollama_report_parse_refuse(ngx_http_ollama_report_parse_t *rp,
    const char *error)
{
    rp->refused = error;

    return 0;
}


/*
 * The version is shown in pages and to other clients: no character that would
 * have to be escaped is accepted.
 */

static int
ngx_http_ollama_report_parse_is_version(ngx_http_ollama_report_parse_t *rp,
    const u_char *p, size_t len)
{
    size_t  i;

    if (len == 0
        || len > NGX_HTTP_OLLAMA_REPORT_VERSION
        || rp->json.halves)
    {
        return ngx_http_ollama_report_parse_other(rp);
    }

    for (i = 0; i < len; i++) {
        if (p[i] < 0x20 || p[i] >= 0x7f || p[i] == '"' || p[i] == '\\') {
            return ngx_http_ollama_report_parse_other(rp);
        }
    }

    rp->found = 1;
    ngx_http_ollama_report_parse_text(rp, &rp->name, p, len);

    return 1;
}


/*
 * Stores a string; its length is 0 if it is too long, or has a control
 * character (of ASCII, or U+0080 to U+009F) or half of a surrogate pair.
 */

static void
ngx_http_ollama_report_parse_text(ngx_http_ollama_report_parse_t *rp,
    ngx_http_ollama_report_parse_text_t *text, const u_char *p, size_t len)
{
    text->found = 1;
    text->len = 0;

    if (len > NGX_HTTP_OLLAMA_REPORT_NAME || rp->json.halves
        || !ngx_http_ollama_utf8_is_line(p, len))
    {
        return;
    }

    ngx_memcpy(text->data, p, len);
    text->len = len;
}


/* Digests are only compared, by this. */

static uint64_t
ngx_http_ollama_report_parse_digest(const u_char *p, size_t len)
{
    size_t  half;

    if (len == 0) {
        return 0;
    }

    half = len / 2;

    return ((uint64_t) ngx_murmur_hash2((u_char *) p, len) << 32)
           | ngx_murmur_hash2((u_char *) p + half, len - half);
}


static void
ngx_http_ollama_report_parse_begin(ngx_http_ollama_report_parse_t *rp)
{
    ngx_memzero(&rp->model, sizeof(ngx_http_ollama_model_t));

    rp->name.found = 0;
    rp->alias.len = 0;
    rp->expires.len = 0;

    rp->object = 1;
}


/* All of a model has been read: it is added to the others, or left out. */

static int
ngx_http_ollama_report_parse_model(ngx_http_ollama_report_parse_t *rp)
{
    size_t                                len;
    ngx_pool_t                           *pool;
    ngx_http_ollama_model_t              *model;
    ngx_http_ollama_report_parse_text_t  *name;

    len = ngx_http_ollama_json_offset(&rp->json) - rp->start;
    name = rp->name.found ? &rp->name : &rp->alias;

    if (name->len == 0
        || len > NGX_HTTP_OLLAMA_REPORT_OBJECT
        || rp->models.nelts == NGX_HTTP_OLLAMA_REPORT_MODELS)
    {
        rp->dropped++;
        return 1;
    }

    pool = rp->pool;
    model = &rp->model;

    if (ngx_http_ollama_report_parse_copy(pool, &model->name, name) != NGX_OK) {
        return 0;
    }

    model->key.data = ngx_pnalloc(pool, name->len
                                        + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
    if (model->key.data == NULL) {
        return 0;
    }

    model->key.len = ngx_http_ollama_model_name_key(model->key.data,
                                                    &model->name);

    if (rp->kind == NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS) {
        model->tag.data = rp->body.data + rp->start;
        model->tag.len = len;
        model->size_vram = 0;
        model->context_length = 0;

    } else {

        if (ngx_http_ollama_report_parse_copy(pool, &model->expires_at,
                                              &rp->expires)
            != NGX_OK)
        {
            return 0;
        }

        model->ps.data = rp->body.data + rp->start;
        model->ps.len = len;
        model->modified = 0;

        /* this "size" is that of the memory used, not of the file */
        model->size = 0;

        model->loaded = model->digest;
    }

    model = ngx_array_push(&rp->models);
    if (model == NULL) {
        return 0;
    }

    *model = rp->model;

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
