
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_params.h"


/* speakers besides the participants, which are 0 to n - 1 */
#define NGX_HTTP_OLLAMA_CONVERSATION_USER   -1
#define NGX_HTTP_OLLAMA_CONVERSATION_OTHER  -2    /* earlier in the session */


/* A message; the texts are what stands between the quotes of a JSON string. */

typedef struct {
    ngx_int_t   speaker;
    ngx_str_t   text;
    ngx_str_t   headed;     /* as the others are sent it: with 3 or more
                               participants, the speaker's name is before each
                               line */
} ngx_http_ollama_utterance_t;


/*
 * Makes the part of the prompts that is the same in all turns, body->...head,
 * in the pool: once, before the first utterance.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_prompt_init(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body);

/*
 * Fills in an utterance, in the pool.  "text" is plain; or, if "json" is set,
 * what stands between the quotes of a JSON string: then it isn't copied, and
 * must last as long as the pool.  "name" is plain and used only for OTHER; it
 * may be empty, or NULL.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_prompt_add(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body,
    ngx_http_ollama_utterance_t *utterance, ngx_int_t speaker, ngx_str_t *name,
    ngx_str_t *text, ngx_uint_t json);

/*
 * The body of the chat that participant "self" is sent, of n utterances:
 *
 *     {"model":"…","messages":[…],"stream":true,"options":{…}}
 *
 * The bufs are new ones in "pool", but their text is that of "body" and of the
 * utterances, and must not be written to.  No buf is empty, none is marked as
 * the last.  *size is that of all.  NULL: no memory.
 */
ngx_chain_t *ngx_http_ollama_conversation_prompt_make(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body, ngx_uint_t self,
    ngx_http_ollama_utterance_t *utterances, ngx_uint_t n, off_t *size);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_ */
