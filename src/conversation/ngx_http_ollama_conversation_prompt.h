
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_params.h"
#include "util/ngx_http_ollama_lazyfree.h"


/* speakers besides the participants, which are 0 to n - 1 */
#define NGX_HTTP_OLLAMA_CONVERSATION_USER   -1
#define NGX_HTTP_OLLAMA_CONVERSATION_OTHER  -2    /* earlier in the session */


/*
 * A message of a participant, or successive ones of all others; the texts are
 * what stands between the quotes of a JSON string.
 */

typedef struct {
    ngx_int_t   speaker;
    ngx_str_t   text;
    ngx_str_t   headed;     /* as the others are sent it: with 3 or more
                               participants, the speaker's name is before each
                               line that has a word */
    size_t      size;       /* of the memory of "text" */
} ngx_http_ollama_utterance_t;


/* All that was said so far, in memory of the pool. */

typedef struct {
    ngx_pool_t                           *pool;
    ngx_http_ollama_conversation_body_t  *body;
    ngx_array_t                           utterances;
    size_t                                size;     /* bytes that it makes in a
                                                       prompt, at most */
    ngx_http_ollama_lazyfree_t            lazyfree; /* of long texts */
} ngx_http_ollama_conversation_said_t;


/*
 * Begins with nothing said, and makes the part of the prompts that is the same
 * in all turns, body->...head, in the pool.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_prompt_init(
    ngx_http_ollama_conversation_said_t *said, ngx_pool_t *pool,
    ngx_http_ollama_conversation_body_t *body);

/*
 * Adds a message.  "text" is plain; or, if "json" is set, what stands between
 * the quotes of a JSON string; it is copied.  "name" is plain and used only for
 * OTHER; it may be empty, or NULL.  NGX_DECLINED: a prompt would become longer
 * than NGX_HTTP_OLLAMA_CONVERSATION_SIZE, nothing was added; NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_http_ollama_conversation_prompt_add(
    ngx_http_ollama_conversation_said_t *said, ngx_int_t speaker,
    ngx_str_t *name, ngx_str_t *text, ngx_uint_t json);

/*
 * The body of the chat that participant "self" is sent:
 *
 *     {"model":"…","messages":[…],"stream":true,"options":{…}}
 *
 * The bufs are new ones in "pool"; the long texts in them are those that were
 * said, and must not be written to.  No buf is empty, none is marked as the
 * last.  *size is that of all.  NULL: no memory.
 */
ngx_chain_t *ngx_http_ollama_conversation_prompt_make(
    ngx_http_ollama_conversation_said_t *said, ngx_pool_t *pool,
    ngx_uint_t self, off_t *size);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_PROMPT_H_INCLUDED_ */
