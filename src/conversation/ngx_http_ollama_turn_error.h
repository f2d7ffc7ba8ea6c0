
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TURN_ERROR_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TURN_ERROR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_turn.h"


/*
 * Why a turn has failed, in UTF-8; the text is in the request's pool, or
 * static.
 */
void ngx_http_ollama_turn_error(ngx_http_ollama_turn_t *turn,
    ngx_str_t *error);

/* The same if there is more to say than servers are sent. */
void ngx_http_ollama_turn_error_too_long(ngx_str_t *error);


#endif /* _NGX_HTTP_OLLAMA_TURN_ERROR_H_INCLUDED_ */
