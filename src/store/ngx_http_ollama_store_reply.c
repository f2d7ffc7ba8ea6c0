
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Replies of the store's scripts.  Nothing is copied: the strings of an
 * operation lie in Redis's reply until its handler returns.  A reply of another
 * structure is refused; a value of another type is null or 0.  Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_reply.h"


static ngx_uint_t ngx_http_ollama_store_is_array(redisReply *reply, size_t n);
static void ngx_http_ollama_store_items(ngx_http_ollama_store_t *store,
    redisReply *reply);
static void ngx_http_ollama_store_fields(redisReply *reply,
    ngx_http_ollama_store_session_t *session);
static void ngx_http_ollama_store_string(redisReply *reply, ngx_str_t *value);
static int64_t ngx_http_ollama_store_integer(redisReply *reply);


ngx_int_t
ngx_http_ollama_store_reply(ngx_http_ollama_store_t *store, redisReply *reply)
{
    ngx_str_t  word;

    if (!ngx_http_ollama_store_is_array(reply, 1)) {
        return NGX_ERROR;
    }

    ngx_http_ollama_store_string(reply->element[0], &word);

    if (word.len == 2 && ngx_strncmp(word.data, "ok", 2) == 0) {
        store->result = NGX_HTTP_OLLAMA_STORE_OK;
        return store->read(store, reply);
    }

    if (word.len != 4) {
        return NGX_ERROR;
    }

    if (ngx_strncmp(word.data, "none", 4) == 0) {
        store->result = NGX_HTTP_OLLAMA_STORE_NONE;
        return NGX_OK;
    }

    if (ngx_strncmp(word.data, "gone", 4) == 0) {
        store->result = NGX_HTTP_OLLAMA_STORE_GONE;
        return NGX_OK;
    }

    if (ngx_strncmp(word.data, "lost", 4) == 0) {
        store->result = NGX_HTTP_OLLAMA_STORE_LOST;
        return NGX_OK;
    }

    if (ngx_strncmp(word.data, "busy", 4) == 0 && reply->elements == 2) {
        store->result = NGX_HTTP_OLLAMA_STORE_BUSY;
        ngx_http_ollama_store_string(reply->element[1], &store->task);
        return NGX_OK;
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_http_ollama_store_read_word(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_session(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (!ngx_http_ollama_store_is_array(reply, 2)
        || !ngx_http_ollama_store_is_array(reply->element[1], 5))
    {
        return NGX_ERROR;
    }

    ngx_http_ollama_store_fields(reply->element[1], &store->session);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_copy(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (ngx_http_ollama_store_read_session(store, reply) == NGX_OK) {
        return NGX_OK;
    }

    if (!ngx_http_ollama_store_is_array(reply, 6)) {
        return NGX_ERROR;
    }

    store->more = 1;
    store->copy->n = ngx_http_ollama_store_integer(reply->element[2]);
    store->copy->final = ngx_http_ollama_store_integer(reply->element[3]);
    store->copy->next = ngx_http_ollama_store_integer(reply->element[4]);
    store->copy->written = ngx_http_ollama_store_integer(reply->element[5]);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_messages(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (ngx_http_ollama_store_read_session(store, reply) != NGX_OK
        || !ngx_http_ollama_store_is_array(reply, 5)
        || !ngx_http_ollama_store_is_array(reply->element[4], 0))
    {
        return NGX_ERROR;
    }

    ngx_http_ollama_store_string(reply->element[2], &store->task);
    store->more = (ngx_http_ollama_store_integer(reply->element[3]) == 1);
    ngx_http_ollama_store_items(store, reply->element[4]);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_count(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (!ngx_http_ollama_store_is_array(reply, 2)) {
        return NGX_ERROR;
    }

    store->total = ngx_http_ollama_store_integer(reply->element[1]);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_list(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    size_t       i;
    redisReply  *list;

    if (!ngx_http_ollama_store_is_array(reply, 3)
        || !ngx_http_ollama_store_is_array(reply->element[2], 0))
    {
        return NGX_ERROR;
    }

    list = reply->element[2];

    for (i = 0; i < list->elements; i++) {
        if (!ngx_http_ollama_store_is_array(list->element[i], 2)
            || !ngx_http_ollama_store_is_array(list->element[i]->element[1],
                                               5))
        {
            return NGX_ERROR;
        }
    }

    ngx_http_ollama_store_string(reply->element[1], &store->next);
    ngx_http_ollama_store_items(store, list);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_begun(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (ngx_http_ollama_store_read_session(store, reply) != NGX_OK
        || !ngx_http_ollama_store_is_array(reply, 6))
    {
        return NGX_ERROR;
    }

    store->last = ngx_http_ollama_store_integer(reply->element[2]);
    store->total = ngx_http_ollama_store_integer(reply->element[3]);
    store->unanswered = ngx_http_ollama_store_integer(reply->element[4]);
    store->begun = ngx_http_ollama_store_integer(reply->element[5]);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_turn(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (ngx_http_ollama_store_read_begun(store, reply) != NGX_OK
        || !ngx_http_ollama_store_is_array(reply, 10)
        || !ngx_http_ollama_store_is_array(reply->element[8], 0))
    {
        return NGX_ERROR;
    }

    store->paged = ngx_http_ollama_store_integer(reply->element[6]);
    store->more = (ngx_http_ollama_store_integer(reply->element[7]) == 1);
    ngx_http_ollama_store_items(store, reply->element[8]);
    store->added = (ngx_http_ollama_store_integer(reply->element[9]) == 1);

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_store_read_page(ngx_http_ollama_store_t *store,
    redisReply *reply)
{
    if (!ngx_http_ollama_store_is_array(reply, 4)
        || !ngx_http_ollama_store_is_array(reply->element[3], 0))
    {
        return NGX_ERROR;
    }

    store->last = ngx_http_ollama_store_integer(reply->element[1]);
    store->paged = store->last;
    store->more = (ngx_http_ollama_store_integer(reply->element[2]) == 1);
    ngx_http_ollama_store_items(store, reply->element[3]);

    return NGX_OK;
}


void
ngx_http_ollama_store_get_session(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_http_ollama_store_session_t *session)
{
    redisReply  *item;

    item = store->items[i];

    ngx_http_ollama_store_fields(item->element[1], session);
    ngx_http_ollama_store_string(item->element[0], &session->id);
}


void
ngx_http_ollama_store_get_message(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_http_ollama_store_message_t *message)
{
    size_t       k;
    ngx_str_t    name, value;
    redisReply  *item, *fields;

    ngx_memzero(message, sizeof(ngx_http_ollama_store_message_t));

    item = store->items[i];

    if (!ngx_http_ollama_store_is_array(item, 2)
        || !ngx_http_ollama_store_is_array(item->element[1], 0))
    {
        return;
    }

    ngx_http_ollama_store_string(item->element[0], &message->id);

    fields = item->element[1];

    for (k = 0; k + 1 < fields->elements; k += 2) {

        ngx_http_ollama_store_string(fields->element[k], &name);
        ngx_http_ollama_store_string(fields->element[k + 1], &value);

        switch (name.len) {

        case 1:

            switch (name.data[0]) {

            case 'm':
                message->json = value;
                break;

            case 't':
                message->created = ngx_http_ollama_store_integer(
                                                       fields->element[k + 1]);
                break;

            case 's':
                message->status = value;
                break;

            case 'k':
                message->thinking = value;
                break;

            case 'p':
                message->participant = value;
                break;
            }

            break;

        case 2:
            if (ngx_strncmp(name.data, "st", 2) == 0) {
                message->stats = value;
            }

            break;

        case 5:
            if (ngx_strncmp(name.data, "model", 5) == 0) {
                message->model = value;
            }

            break;

        case 6:
            if (ngx_strncmp(name.data, "server", 6) == 0) {
                message->server = value;
            }

            break;
        }
    }
}


void
ngx_http_ollama_store_get_json(ngx_http_ollama_store_t *store, ngx_uint_t i,
    ngx_str_t *json)
{
    ngx_http_ollama_store_string(store->items[i], json);
}


/* An array of n elements or more. */

static ngx_uint_t
ngx_http_ollama_store_is_array(redisReply *reply, size_t n)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements >= n;
}


static void
ngx_http_ollama_store_items(ngx_http_ollama_store_t *store, redisReply *reply)
{
    store->items = reply->element;
    store->n = reply->elements;
}


static void
ngx_http_ollama_store_fields(redisReply *reply,
    ngx_http_ollama_store_session_t *session)
{
    ngx_http_ollama_store_string(reply->element[0], &session->title);
    ngx_http_ollama_store_string(reply->element[1], &session->model);
    ngx_http_ollama_store_string(reply->element[2], &session->system);

    session->created = ngx_http_ollama_store_integer(reply->element[3]);
    session->updated = ngx_http_ollama_store_integer(reply->element[4]);
}


static void
ngx_http_ollama_store_string(redisReply *reply, ngx_str_t *value)
{
    ngx_str_null(value);

    if (reply->type == REDIS_REPLY_STRING) {
        value->data = (u_char *) reply->str;
        value->len = reply->len;
    }
}


static int64_t
ngx_http_ollama_store_integer(redisReply *reply)
{
    off_t      n;
    ngx_str_t  value;

    if (reply->type == REDIS_REPLY_INTEGER) {
        return reply->integer;
    }

    ngx_http_ollama_store_string(reply, &value);

    n = ngx_atoof(value.data, value.len);

    return (n == NGX_ERROR) ? 0 : n;
}
