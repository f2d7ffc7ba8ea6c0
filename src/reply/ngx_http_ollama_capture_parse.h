
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CAPTURE_PARSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CAPTURE_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_types.h"


/*
 * What the files of capture have in common: nobody else includes it.
 *
 * ngx_http_ollama_capture.c         the reply's lines, and the strings in them
 * ngx_http_ollama_capture_parse.c   the parser's callbacks: which value it is
 * ngx_http_ollama_capture_frame.c   what is taken of a frame, and stays or goes
 * ngx_http_ollama_capture_json.c    what was found, as JSON
 */


/* tool calls in a reply, and parts of some in a frame */
#define NGX_HTTP_OLLAMA_CAPTURE_CALLS   128


/* what a value is whose members matter */

typedef enum {
    node_other = 0,
    node_chat,          /* Ollama's frame, and its message */
    node_message,
    node_completion,    /* OpenAI's, and so on down */
    node_choices,
    node_choice,
    node_delta,
    node_calls,         /* of either */
    node_call,
    node_function,
    node_usage
} ngx_http_ollama_capture_node_e;


/* the texts first, then those of a part of a tool call; statistics last */

typedef enum {
    key_content = NGX_HTTP_OLLAMA_CAPTURE_CONTENT,
    key_thinking = NGX_HTTP_OLLAMA_CAPTURE_THINKING,
    key_calls = NGX_HTTP_OLLAMA_CAPTURE_TOOLS,
    key_reason = NGX_HTTP_OLLAMA_CAPTURE_REASON,
    key_model = NGX_HTTP_OLLAMA_CAPTURE_MODEL,
    key_id = NGX_HTTP_OLLAMA_CAPTURE_TEXTS,
    key_name,
    key_arguments,
    key_index,
    key_done,
    key_message,
    key_choices,
    key_delta,
    key_function,
    key_usage,
    key_other,
    key_stat
} ngx_http_ollama_capture_key_e;


/* a part of a tool call; its strings are in said->parts */

typedef struct {
    int64_t                       index;
    size_t                        start[3];   /* id, name, arguments */
    size_t                        len[3];
} ngx_http_ollama_capture_delta_t;


extern const yajl_callbacks  ngx_http_ollama_capture_callbacks;


/* a string that may be taken */

void ngx_http_ollama_capture_string_start(ngx_http_ollama_capture_t *said);
void ngx_http_ollama_capture_string_end(ngx_http_ollama_capture_t *said);

/* in callbacks */

ngx_uint_t ngx_http_ollama_capture_node(ngx_http_ollama_capture_t *said);
off_t ngx_http_ollama_capture_offset(ngx_http_ollama_capture_t *said);
ngx_uint_t ngx_http_ollama_capture_call(ngx_http_ollama_capture_t *said);
void ngx_http_ollama_capture_raw_end(ngx_http_ollama_capture_t *said);

/* a frame is whole, its choice is none that matters, it broke off */

void ngx_http_ollama_capture_commit(ngx_http_ollama_capture_t *said);
void ngx_http_ollama_capture_drop(ngx_http_ollama_capture_t *said);
void ngx_http_ollama_capture_back(ngx_http_ollama_capture_t *said);


#endif /* _NGX_HTTP_OLLAMA_CAPTURE_PARSE_H_INCLUDED_ */
