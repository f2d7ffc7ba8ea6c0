
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_JSON_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_message.h"
#include "store/ngx_http_ollama_store.h"
#include "util/ngx_http_ollama_emit.h"


/* a message, and what is in its JSON */

typedef struct {
    ngx_http_ollama_store_message_t    stored;
    ngx_http_ollama_message_t          message;
} ngx_http_ollama_session_message_t;


/* what a walk is about */

typedef struct {
    ngx_http_ollama_store_t            *store;
    ngx_str_t                           id;
    ngx_http_ollama_session_message_t  *messages;   /* store->n of them */
} ngx_http_ollama_session_json_t;


ngx_int_t ngx_http_ollama_session_json_init(
    ngx_http_ollama_session_json_t *text, ngx_pool_t *pool);

/* of ngx_http_ollama_emit_pt; data is a ngx_http_ollama_session_json_t */

void ngx_http_ollama_session_json_session(ngx_http_ollama_emit_t *t,
    void *data);
void ngx_http_ollama_session_json_whole(ngx_http_ollama_emit_t *t,
    void *data);
void ngx_http_ollama_session_json_deleted(ngx_http_ollama_emit_t *t,
    void *data);
void ngx_http_ollama_session_json_list(ngx_http_ollama_emit_t *t,
    void *data);


#endif /* _NGX_HTTP_OLLAMA_SESSION_JSON_H_INCLUDED_ */
