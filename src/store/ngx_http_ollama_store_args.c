
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Keys and arguments of the store's scripts.  They live in a pool of their own
 * from ..._init() until they were sent.  The keys' names and the order of the
 * arguments are described in store_script.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_args.h"
#include "store/ngx_http_ollama_message.h"


static void ngx_http_ollama_store_args_begin(
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner);


void
ngx_http_ollama_store_args_init(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store)
{
    ngx_str_t  *prefix;

    ngx_memzero(args, sizeof(ngx_http_ollama_store_args_t));

    args->failed = 1;

    prefix = ngx_http_ollama_redis_prefix();
    if (prefix == NULL) {
        return;
    }

    args->prefix = *prefix;

    args->pool = ngx_create_pool(1024, store->log);
    if (args->pool == NULL) {
        return;
    }

    if (ngx_array_init(&args->args, args->pool, 24, sizeof(ngx_str_t))
        == NGX_OK)
    {
        args->failed = 0;
    }
}


void
ngx_http_ollama_store_args_session(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_str_t *sid, ngx_str_t *owner)
{
    ngx_http_ollama_store_args_init(args, store);

    ngx_http_ollama_store_args_key(args, sid, "meta");
    ngx_http_ollama_store_args_key(args, sid, "msgs");
    ngx_http_ollama_store_args_key(args, sid, "task");

    args->keys = 3;

    ngx_http_ollama_store_args_begin(args, store, sid, owner);
}


void
ngx_http_ollama_store_args_two(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_str_t *sid, ngx_str_t *other,
    ngx_str_t *owner)
{
    ngx_http_ollama_store_args_init(args, store);

    ngx_http_ollama_store_args_key(args, sid, "meta");
    ngx_http_ollama_store_args_key(args, sid, "msgs");
    ngx_http_ollama_store_args_key(args, sid, "task");
    ngx_http_ollama_store_args_key(args, other, "meta");
    ngx_http_ollama_store_args_key(args, other, "msgs");

    args->keys = 5;

    ngx_http_ollama_store_args_begin(args, store, sid, owner);
}


/* What the ARGV of all scripts about a session begin with. */

static void
ngx_http_ollama_store_args_begin(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_str_t *sid, ngx_str_t *owner)
{
    ngx_time_t  *tp;

    ngx_http_ollama_store_args_str(args, &args->prefix);
    ngx_http_ollama_store_args_str(args, sid);

    if (owner) {
        ngx_http_ollama_store_args_str(args, owner);

    } else {
        ngx_http_ollama_store_args_word(args, "");
    }

    tp = ngx_timeofday();

    ngx_http_ollama_store_args_number(args, (int64_t) tp->sec * 1000
                                            + tp->msec);
    ngx_http_ollama_store_args_number(args, store->ttl);
}


void
ngx_http_ollama_store_args_key(ngx_http_ollama_store_args_t *args,
    ngx_str_t *sid, const char *name)
{
    ngx_http_ollama_store_args_text(args,
                                    args->prefix.len + sid->len
                                    + sizeof("{}:") - 1 + ngx_strlen(name),
                                    "%V{%V}:%s", &args->prefix, sid, name);
}


void
ngx_http_ollama_store_args_text(ngx_http_ollama_store_args_t *args, size_t size,
    const char *fmt, ...)
{
    va_list    list;
    ngx_str_t  value;

    if (args->failed) {
        return;
    }

    value.data = ngx_pnalloc(args->pool, size);
    if (value.data == NULL) {
        args->failed = 1;
        return;
    }

    va_start(list, fmt);
    value.len = ngx_vslprintf(value.data, value.data + size, fmt, list)
                - value.data;
    va_end(list);

    ngx_http_ollama_store_args_str(args, &value);
}


void
ngx_http_ollama_store_args_str(ngx_http_ollama_store_args_t *args,
    ngx_str_t *value)
{
    ngx_str_t  *arg;

    if (args->failed) {
        return;
    }

    arg = ngx_array_push(&args->args);
    if (arg == NULL) {
        args->failed = 1;
        return;
    }

    *arg = *value;

    if (arg->data == NULL) {
        arg->data = (u_char *) "";
    }
}


void
ngx_http_ollama_store_args_word(ngx_http_ollama_store_args_t *args,
    const char *word)
{
    ngx_str_t  value;

    value.data = (u_char *) word;
    value.len = ngx_strlen(word);

    ngx_http_ollama_store_args_str(args, &value);
}


void
ngx_http_ollama_store_args_number(ngx_http_ollama_store_args_t *args, int64_t n)
{
    ngx_http_ollama_store_args_text(args, NGX_INT64_LEN, "%L", n);
}


void
ngx_http_ollama_store_args_messages(ngx_http_ollama_store_args_t *args,
    ngx_str_t *messages, ngx_uint_t count)
{
    ngx_str_t   title;
    ngx_uint_t  i;

    if (args->failed) {
        return;
    }

    title.len = 0;

    title.data = ngx_pnalloc(args->pool, NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE);
    if (title.data == NULL) {
        args->failed = 1;
        return;
    }

    for (i = 0; i < count && title.len == 0; i++) {
        title.len = ngx_http_ollama_message_title(&messages[i], title.data);
    }

    ngx_http_ollama_store_args_str(args, &title);

    for (i = 0; i < count; i++) {
        ngx_http_ollama_store_args_str(args, &messages[i]);
    }
}


void
ngx_http_ollama_store_args_message(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_message_t *message)
{
    ngx_uint_t  i, n;

    struct {
        const char  *name;
        ngx_str_t   *value;
    } fields[] = {
        { "m", &message->json },
        { "s", &message->status },
        { "model", &message->model },
        { "server", &message->server },
        { "k", &message->thinking },
        { "st", &message->stats },
        { "p", &message->participant }
    };

    n = 1;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        n += (fields[i].value->len != 0);
    }

    ngx_http_ollama_store_args_number(args, 2 * n);
    ngx_http_ollama_store_args_word(args, "t");
    ngx_http_ollama_store_args_number(args, message->created);

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].value->len) {
            ngx_http_ollama_store_args_pair(args, fields[i].name,
                                            fields[i].value);
        }
    }
}


void
ngx_http_ollama_store_args_fields(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_fields_t *fields)
{
    ngx_http_ollama_store_args_field(args, &fields->title);
    ngx_http_ollama_store_args_field(args, &fields->model);
    ngx_http_ollama_store_args_field(args, &fields->system);
}


void
ngx_http_ollama_store_args_field(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_field_t *field)
{
    if (field->given && field->value.len) {
        ngx_http_ollama_store_args_pair(args, "set", &field->value);
        return;
    }

    ngx_http_ollama_store_args_word(args, field->given ? "remove" : "");
    ngx_http_ollama_store_args_word(args, "");
}


void
ngx_http_ollama_store_args_pair(ngx_http_ollama_store_args_t *args,
    const char *name, ngx_str_t *value)
{
    ngx_http_ollama_store_args_word(args, name);
    ngx_http_ollama_store_args_str(args, value);
}
