
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_PARAMS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_PARAMS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * What a request for a conversation may ask for, and what one does ask for: the
 * result of conversation_body.
 */


#define NGX_HTTP_OLLAMA_CONVERSATION_MAX      8     /* participants */
#define NGX_HTTP_OLLAMA_CONVERSATION_TURNS    100
#define NGX_HTTP_OLLAMA_CONVERSATION_DEFAULT  10    /* turns */

/* all messages of a conversation together as a server is sent them, in bytes */
#define NGX_HTTP_OLLAMA_CONVERSATION_SIZE     (64 * 1024 * 1024)

/* a reply; its first part is stored */
#define NGX_HTTP_OLLAMA_CONVERSATION_REPLY    (16 * 1024 * 1024)

/* the body of the request */
#define NGX_HTTP_OLLAMA_CONVERSATION_BODY     (16 * 1024 * 1024)

/* the longest strings, decoded, in bytes: a message or system prompt, others */
#define NGX_HTTP_OLLAMA_CONVERSATION_TEXT     (1024 * 1024)
#define NGX_HTTP_OLLAMA_CONVERSATION_NAME     128
#define NGX_HTTP_OLLAMA_CONVERSATION_VALUE    1024

/* members of "options" */
#define NGX_HTTP_OLLAMA_CONVERSATION_OPTIONS  128


typedef struct ngx_http_ollama_conversation_body_s
    ngx_http_ollama_conversation_body_t;


typedef struct {
    ngx_str_t                       name;       /* unique: given, or made from
                                                   the model */
    ngx_str_t                       model;
    ngx_str_t                       system;     /* as JSON; len 0: none */
    ngx_str_t                       server_url; /* len 0: any */
    ngx_str_t                       options;    /* a JSON object: the request's
                                                   with the entry's own on top;
                                                   len 0: none */

    ngx_str_t                       head;       /* the start of each body that
                                                   its model is sent; made by
                                                   conversation_prompt */
} ngx_http_ollama_participant_t;


/*
 * Strings are decoded, but not "options", nor texts that are sent to servers:
 * those are what stands between the quotes of a JSON string.
 */

struct ngx_http_ollama_conversation_body_s {
    ngx_http_ollama_participant_t   participant[
                                             NGX_HTTP_OLLAMA_CONVERSATION_MAX];
    ngx_uint_t                      n;
    ngx_str_t                       initial;    /* as JSON */
    ngx_uint_t                      max_turns;
    ngx_str_t                       session_id; /* len 0: none */
    ngx_str_t                       task_id;    /* len 0: none */
    ngx_str_t                       error;      /* why it was refused */
    unsigned                        too_large:1; /* that is why */
    unsigned                        stream:1;
};


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_PARAMS_H_INCLUDED_ */
