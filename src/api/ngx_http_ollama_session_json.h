
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


/* a stored message, and the members of its JSON */

typedef struct {
    ngx_http_ollama_store_message_t    stored;
    ngx_http_ollama_message_t          message;
} ngx_http_ollama_session_message_t;


/* the data of the walks */

typedef struct {
    ngx_http_ollama_store_t            *store;
    ngx_str_t                           id;         /* of the session */
    ngx_http_ollama_session_message_t  *messages;   /* store->n of them */
    unsigned                            back:1;     /* read backwards */
} ngx_http_ollama_session_json_t;


/*
 * Parses the messages that the store has read, into the pool; needed before
 * ngx_http_ollama_session_json_whole().  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_session_json_init(
    ngx_http_ollama_session_json_t *json, ngx_pool_t *pool);

/*
 * Walks for ngx_http_ollama_emit_make(), with a ngx_http_ollama_session_json_t
 * as data.  They are called in the handler of the store's operation, whose
 * result they read.
 */

/* a session without its messages; with them */
void ngx_http_ollama_session_json_session(ngx_http_ollama_emit_t *t,
    void *data);
void ngx_http_ollama_session_json_whole(ngx_http_ollama_emit_t *t,
    void *data);

/* how many messages were deleted; a list of sessions */
void ngx_http_ollama_session_json_deleted(ngx_http_ollama_emit_t *t,
    void *data);
void ngx_http_ollama_session_json_list(ngx_http_ollama_emit_t *t,
    void *data);


#endif /* _NGX_HTTP_OLLAMA_SESSION_JSON_H_INCLUDED_ */
