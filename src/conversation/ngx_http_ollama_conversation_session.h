
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_SESSION_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_SESSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation.h"
#include "conversation/ngx_http_ollama_conversation_turn.h"


/*
 * Whether the session can be had; NGX_OK, or the status of a refusal.  Before
 * the task begins.
 */
ngx_int_t ngx_http_ollama_conversation_session_check(
    ngx_http_ollama_conversation_t *conv);

/*
 * Has what was said before read, and the first message stored; NGX_OK, or the
 * status of a refusal.  Calls ..._conversation_next(), or ends the request.
 */
ngx_int_t ngx_http_ollama_conversation_session_begin(
    ngx_http_ollama_conversation_t *conv);

/*
 * Has what the turn has said stored.  Takes its pool, and with it the turn.
 * The session is free then if it is the last.  NGX_AGAIN: calls
 * ..._conversation_next(); NGX_OK: there is nothing to wait for.
 */
ngx_int_t ngx_http_ollama_conversation_session_save(
    ngx_http_ollama_conversation_t *conv, ngx_http_ollama_turn_t *turn,
    ngx_str_t *status, ngx_str_t *message, ngx_str_t *stats, ngx_uint_t last);

ngx_http_ollama_conversation_saved_e
    ngx_http_ollama_conversation_session_saved(
    ngx_http_ollama_conversation_t *conv);

/* Nothing is waited for any more: outbox.c has what isn't stored yet. */
void ngx_http_ollama_conversation_session_leave(
    ngx_http_ollama_conversation_t *conv);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_SESSION_H_INCLUDED_ */
