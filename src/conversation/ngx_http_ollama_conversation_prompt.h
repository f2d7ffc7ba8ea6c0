
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_params.h"


/* who speaks, besides the participants, 0 to n - 1 */
#define NGX_HTTP_OLLAMA_CONVERSATION_USER   -1
#define NGX_HTTP_OLLAMA_CONVERSATION_OTHER  -2    /* earlier in a session */


/* Texts are as they stand between the quotes of a JSON string. */

typedef struct {
    ngx_int_t   speaker;
    ngx_str_t   text;
    ngx_str_t   headed;     /* as others see it: from three participants on
                               with the speaker's name before each line */
} ngx_http_ollama_utterance_t;


/*
 * What stays the same in all turns; once, before anything is said.  NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_http_ollama_conversation_prompt_init(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body);

/*
 * Makes an utterance of what somebody has said.  "text" is plain, or already
 * JSON as between the quotes of a string if "json": then it isn't copied, and
 * must last as long as the pool.  "name" is plain, and asked for only of OTHER;
 * it may be empty, or NULL.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_say(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body,
    ngx_http_ollama_utterance_t *said, ngx_int_t speaker, ngx_str_t *name,
    ngx_str_t *text, ngx_uint_t json);

/*
 * The body of a chat in which it is the turn of participant "self":
 *
 *     {"model":"…","messages":[…],"stream":true,"options":{…}}
 *
 * The bufs are made anew, in "pool"; their memory is that of "talk" and "said",
 * and may not be written to.  No buf is empty, none is marked as the last.
 * NULL: no memory.
 */
ngx_chain_t *ngx_http_ollama_conversation_view(ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body, ngx_uint_t self,
    ngx_http_ollama_utterance_t *said, ngx_uint_t n, off_t *size);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_ */
