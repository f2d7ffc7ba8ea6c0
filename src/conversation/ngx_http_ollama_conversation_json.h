
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_JSON_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_HTTP_OLLAMA_CONVERSATION_DONE = 0,    /* max_turns */
    NGX_HTTP_OLLAMA_CONVERSATION_CANCELLED,
    NGX_HTTP_OLLAMA_CONVERSATION_FAILED       /* error */
} ngx_http_ollama_conversation_reason_e;


typedef enum {
    NGX_HTTP_OLLAMA_CONVERSATION_UNKNOWN = 0, /* there is no session */
    NGX_HTTP_OLLAMA_CONVERSATION_SAVED,
    NGX_HTTP_OLLAMA_CONVERSATION_UNSAVED
} ngx_http_ollama_conversation_saved_e;


/* A reply in the closing object, if it is no stream; strings are plain. */

typedef struct {
    ngx_uint_t                              turn;         /* from 1 */
    ngx_str_t                               participant;
    ngx_str_t                               model;
    ngx_str_t                               server;       /* len 0: null */
    ngx_str_t                               message;      /* JSON, as of
                                            ngx_http_ollama_capture_message() */
    ngx_str_t                               done_reason;  /* len 0: null */
    ngx_str_t                               stats;        /* JSON, as of
                                               ngx_http_ollama_capture_stats();
                                               len 0: none */
} ngx_http_ollama_conversation_reply_t;


/* The closing object; strings are plain. */

typedef struct {
    ngx_http_ollama_conversation_reason_e   reason;
    ngx_uint_t                              turns;        /* finished ones */
    ngx_str_t                               task_id;
    ngx_str_t                               session_id;   /* len 0: null */
    ngx_http_ollama_conversation_saved_e    saved;
    ngx_str_t                               error;        /* len 0: none */
    ngx_http_ollama_conversation_reply_t   *replies;
    ngx_uint_t                              nreplies;
} ngx_http_ollama_conversation_end_t;


/*
 * All these texts are made in the pool.  NGX_ERROR: no memory.
 *
 * The members that are inserted before those of each frame of a turn, with a
 * comma at the end.
 */
ngx_int_t ngx_http_ollama_conversation_json_front(ngx_pool_t *pool,
    ngx_uint_t turn, ngx_str_t *participant, ngx_str_t *front);

/* The closing line of a stream. */
ngx_int_t ngx_http_ollama_conversation_json_line(ngx_pool_t *pool,
    ngx_http_ollama_conversation_end_t *end, ngx_str_t *text);

/* The closing object with all replies, which is the whole body. */
ngx_int_t ngx_http_ollama_conversation_json_whole(ngx_pool_t *pool,
    ngx_http_ollama_conversation_end_t *end, ngx_str_t *text);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_JSON_H_INCLUDED_ */
