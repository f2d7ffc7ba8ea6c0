
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_REPLY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_REPLY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_types.h"


/*
 * Sets the result by a script's reply, and if that is "ok" reads the rest with
 * store->read.  NGX_ERROR: the reply isn't what the script returns.
 */
ngx_int_t ngx_http_ollama_store_reply(ngx_http_ollama_store_t *store,
    redisReply *reply);

/*
 * For store->read: each reads what follows "ok" in the replies of some scripts,
 * into the fields named here.  Strings remain in the reply.  NGX_ERROR: it
 * isn't what the script returns.
 *
 *     word       nothing
 *     session    session
 *     copy       more and *store->copy, or session
 *     messages   session, task, more, and items for get_message()
 *     count      total
 *     list       next, and items for get_session()
 *     begun      session, last, total, unanswered, begun
 *     turn       as begun, paged, more, added, and items for get_json()
 *     page       last, paged, more, and items for get_json()
 */
ngx_int_t ngx_http_ollama_store_read_word(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_session(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_copy(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_messages(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_count(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_list(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_begun(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_turn(ngx_http_ollama_store_t *store,
    redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_page(
    ngx_http_ollama_store_t *store, redisReply *reply);

/*
 * In an operation's handler: item i, which must be less than store->n.  Strings
 * lie in the reply; what the item doesn't have is null or 0.
 */
void ngx_http_ollama_store_get_session(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_http_ollama_store_session_t *session);
void ngx_http_ollama_store_get_message(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_http_ollama_store_message_t *message);
void ngx_http_ollama_store_get_json(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_str_t *json);


#endif /* _NGX_HTTP_OLLAMA_STORE_REPLY_H_INCLUDED_ */
