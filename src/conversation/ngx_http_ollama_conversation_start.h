
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_START_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_START_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_state.h"


/*
 * Fills in what does not change during a conversation: conv->request, ctx and
 * body are set.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_start(
    ngx_http_ollama_conversation_t *conv);

/*
 * Checks what can be known to fail before anything is generated; assigns the
 * request's server URL to participants without one.  NGX_OK, or the status of a
 * refusal.
 */
ngx_int_t ngx_http_ollama_conversation_start_check(
    ngx_http_ollama_conversation_t *conv);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_START_H_INCLUDED_ */
