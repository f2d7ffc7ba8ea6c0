
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_BODY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_params.h"


typedef struct ngx_http_ollama_conversation_fields_s
    ngx_http_ollama_conversation_fields_t;


/*
 * Begins to read a body.  The results go to "body", which need not be zeroed,
 * and to "pool"; the state of reading is in "temp", which must last until the
 * end.  NULL: no memory.
 */
ngx_http_ollama_conversation_fields_t *ngx_http_ollama_conversation_body_begin(
    ngx_http_ollama_conversation_body_t *body, ngx_pool_t *pool,
    ngx_pool_t *temp);

/*
 * Takes pieces of any size, which may be gone when a call returns, and in the
 * end finds out what they mean together.  NGX_DECLINED: the body is refused,
 * body->error says why and where, and reading has ended; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_body_feed(
    ngx_http_ollama_conversation_fields_t *read, u_char *p, size_t size);
ngx_int_t ngx_http_ollama_conversation_body_end(
    ngx_http_ollama_conversation_fields_t *read);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_BODY_H_INCLUDED_ */
