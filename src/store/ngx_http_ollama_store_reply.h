
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_REPLY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_REPLY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"


/* NGX_ERROR: the reply isn't what the operation's script says. */
ngx_int_t ngx_http_ollama_store_reply(ngx_http_ollama_store_t *store,
    redisReply *reply);

/* of store->read, for what comes with "ok" */

ngx_int_t ngx_http_ollama_store_read_word(
    ngx_http_ollama_store_t *store, redisReply *reply);
ngx_int_t ngx_http_ollama_store_read_session(
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


#endif /* _NGX_HTTP_OLLAMA_STORE_REPLY_H_INCLUDED_ */
