
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_SESSION_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_SESSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_state.h"


/*
 * Tells if the session may be used, before the task begins: Redis is not asked
 * here.  Makes conv->saving.  NGX_OK, or the status of a refusal.
 */
ngx_int_t ngx_http_ollama_conversation_session_check(
    ngx_http_ollama_conversation_t *conv);

/*
 * Locks the session, reads its messages into the conversation and stores the
 * initial message.  NGX_OK: calls conv->next() when that is done, or finalizes
 * the request with a refusal; else the status of a refusal.
 */
ngx_int_t ngx_http_ollama_conversation_session_begin(
    ngx_http_ollama_conversation_t *conv);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_SESSION_H_INCLUDED_ */
