
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_ARGS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_ARGS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_types.h"


/* keys and arguments of a script */

typedef struct {
    ngx_pool_t  *pool;      /* of these; NULL: none was created */
    ngx_str_t    prefix;
    ngx_array_t  args;      /* ngx_str_t; keys come first */
    ngx_uint_t   keys;      /* set by the caller */
    unsigned     failed:1;  /* no "ollama_redis", or no memory */
} ngx_http_ollama_store_args_t;


/*
 * Begins empty arguments, in a pool of their own that the caller must destroy
 * if there is one.  What fails, here or later, sets args->failed, and nothing
 * more is added then.
 */
void ngx_http_ollama_store_args_init(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store);

/*
 * The same, with the keys and arguments that all scripts about one session
 * begin with.  The owner may be NULL where the script doesn't look at it.
 */
void ngx_http_ollama_store_args_session(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_str_t *sid, ngx_str_t *owner);

/*
 * The same for two sessions: the keys of the first one, then the meta and msgs
 * of the other one.
 */
void ngx_http_ollama_store_args_two(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_str_t *sid, ngx_str_t *other,
    ngx_str_t *owner);

/*
 * Each adds an argument.  Strings are not copied and must last until the
 * arguments are sent; keys, formatted text and numbers are copied.
 *
 *     key      a session's key, "{sid}:name" behind the prefix
 *     text     what ngx_sprintf() makes of it, "size" bytes at most
 *     str      a string; data NULL is ""
 *     word     a C string
 *     number   in decimal
 */
void ngx_http_ollama_store_args_key(ngx_http_ollama_store_args_t *args,
    ngx_str_t *sid, const char *name);
void ngx_http_ollama_store_args_text(ngx_http_ollama_store_args_t *args,
    size_t size, const char *fmt, ...);
void ngx_http_ollama_store_args_str(ngx_http_ollama_store_args_t *args,
    ngx_str_t *value);
void ngx_http_ollama_store_args_word(ngx_http_ollama_store_args_t *args,
    const char *word);
void ngx_http_ollama_store_args_number(ngx_http_ollama_store_args_t *args,
    int64_t n);

/*
 * Each adds two or more arguments, which are not copied either.
 *
 *     pair       a name and its value
 *     field      "set" and the value, "remove" and "", or "" and ""
 *     fields     title, model and system
 *     message    how many fields and values follow, and these: as it is stored
 *     messages   a title for a session that has none, made of the first
 *                message of a user; then the messages
 */
void ngx_http_ollama_store_args_pair(ngx_http_ollama_store_args_t *args,
    const char *name, ngx_str_t *value);
void ngx_http_ollama_store_args_field(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_field_t *field);
void ngx_http_ollama_store_args_fields(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_fields_t *fields);
void ngx_http_ollama_store_args_message(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_message_t *message);
void ngx_http_ollama_store_args_messages(
    ngx_http_ollama_store_args_t *args, ngx_str_t *messages, ngx_uint_t count);


#endif /* _NGX_HTTP_OLLAMA_STORE_ARGS_H_INCLUDED_ */
