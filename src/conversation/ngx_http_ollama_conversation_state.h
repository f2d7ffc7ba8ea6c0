
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_STATE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_params.h"
#include "conversation/ngx_http_ollama_conversation_prompt.h"
#include "core/ngx_http_ollama_ctx.h"


typedef struct ngx_http_ollama_conversation_save_s
    ngx_http_ollama_conversation_save_t;

typedef void (*ngx_http_ollama_conversation_pt)(
    ngx_http_ollama_conversation_t *conv);


/*
 * A conversation that runs, in its request's pool: what the files that run it
 * have in common.  At any time one of these is true: a turn runs, as a
 * subrequest; Redis is waited for; the client is waited for (draining); it has
 * ended.
 */

struct ngx_http_ollama_conversation_s {
    ngx_http_request_t                    *request;
    ngx_http_ollama_ctx_t                 *ctx;
    ngx_http_ollama_conversation_body_t   *body;

    /*
     * Goes on: with the next turn, or to the end.  The request may be gone
     * when it returns; called from the request's own handlers only, never from
     * a subrequest's.
     */
    ngx_http_ollama_conversation_pt        next;

    ngx_http_ollama_conversation_said_t    said;
    ngx_uint_t                             turns;    /* complete ones */
    ngx_array_t                            replies;  /* ..._reply_t; used if it
                                                        is no stream */

    ngx_http_ollama_turn_t                *turn;     /* NULL: none runs */
    ngx_http_post_subrequest_t             post;     /* of all turns */
    ngx_str_t                              uri;
    ngx_list_t                             headers;  /* that servers get */
    ngx_table_elt_t                       *type;     /* their "Content-Type" */
    ngx_http_variable_value_t             *variables; /* when it began */
    ngx_chain_t                           *free;     /* bufs that turns insert
                                                        between frames */
    ngx_chain_t                           *busy;

    ngx_http_ollama_conversation_save_t   *save;     /* NULL: no session */

    ngx_str_t                              error;    /* len 0: none */
    unsigned                               started:1; /* the first turn began */
    unsigned                               has_output:1; /* of any server */
    unsigned                               draining:1; /* the client must take
                                                        the last turn first */
    unsigned                               stopped:1;
    unsigned                               ended:1;  /* nothing more is sent */
};


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_STATE_H_INCLUDED_ */
