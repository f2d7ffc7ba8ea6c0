
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_BODY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_OLLAMA_CONVERSATION_MAX      8     /* participants */
#define NGX_HTTP_OLLAMA_CONVERSATION_TURNS    100
#define NGX_HTTP_OLLAMA_CONVERSATION_DEFAULT  10    /* turns */

/* all messages of a conversation together, in bytes */
#define NGX_HTTP_OLLAMA_CONVERSATION_SIZE     (64 * 1024 * 1024)

/* the longest strings, decoded, in bytes; messages may have any length */
#define NGX_HTTP_OLLAMA_CONVERSATION_NAME     128
#define NGX_HTTP_OLLAMA_CONVERSATION_VALUE    1024

/* members of "options" */
#define NGX_HTTP_OLLAMA_CONVERSATION_OPTIONS  128


typedef struct ngx_http_ollama_conversation_body_s
    ngx_http_ollama_conversation_body_t;


typedef struct {
    ngx_str_t                       name;       /* given, or made of the
                                                   model: unique */
    ngx_str_t                       model;
    ngx_str_t                       system;     /* len 0: none */
    ngx_str_t                       server_url; /* len 0: any */
    ngx_str_t                       options;    /* a JSON object: the request's
                                                   with the entry's own on top;
                                                   len 0: none */

    ngx_str_t                       head;       /* of a turn's body; made by
                                                   ..._view_init() */
} ngx_http_ollama_participant_t;


/* Strings are decoded but for "options". */

struct ngx_http_ollama_conversation_body_s {
    ngx_http_ollama_participant_t   participant[
                                             NGX_HTTP_OLLAMA_CONVERSATION_MAX];
    ngx_uint_t                      n;
    ngx_str_t                       initial;
    ngx_uint_t                      max_turns;
    ngx_str_t                       session_id; /* len 0: none */
    ngx_str_t                       task_id;    /* len 0: none */
    ngx_str_t                       error;      /* why it was refused */
    unsigned                        stream:1;
};


typedef struct ngx_http_ollama_conversation_fields_s
    ngx_http_ollama_conversation_fields_t;


/*
 * Reads a body in pieces of any size, which may go when a call returns.  What
 * is found goes to "pool", what reading takes to "temp", which must last until
 * the end; "talk" need not be zeroed.  NULL: no memory.
 */
ngx_http_ollama_conversation_fields_t *ngx_http_ollama_conversation_body_begin(
    ngx_http_ollama_conversation_body_t *talk, ngx_pool_t *pool,
    ngx_pool_t *temp);

/*
 * NGX_DECLINED: the body is wrong, talk->error says how and where; the reading
 * is over then.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_body_feed(
    ngx_http_ollama_conversation_fields_t *read, u_char *p, size_t size);
ngx_int_t ngx_http_ollama_conversation_body_end(
    ngx_http_ollama_conversation_fields_t *read);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_BODY_H_INCLUDED_ */
