
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CAPTURE_PARSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CAPTURE_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_types.h"


/*
 * What the files of capture share; no other file includes it.
 *
 * ngx_http_ollama_capture.c         pieces of a reply, and strings in them
 * ngx_http_ollama_capture_parse.c   the parser's callbacks: which value it is
 * ngx_http_ollama_capture_frame.c   what a frame adds to the texts
 * ngx_http_ollama_capture_json.c    what was captured, as JSON
 */


/* at most: tool calls in a reply, and parts of tool calls in a frame */
#define NGX_HTTP_OLLAMA_CAPTURE_CALLS   128


/* an object or array whose members matter */

typedef enum {
    node_other = 0,
    node_chat,          /* Ollama's frame */
    node_message,
    node_completion,    /* OpenAI's frame */
    node_choices,
    node_choice,
    node_delta,
    node_calls,         /* of both */
    node_call,
    node_function,
    node_usage
} ngx_http_ollama_capture_node_e;


/*
 * A member's name: first the texts, by their numbers, then the strings of a
 * part of a tool call; key_stat is the first of the statistics.
 */

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


/* a part of a tool call; its strings, in this order, are in capture->parts */

typedef struct {
    int64_t                       index;
    size_t                        start[3];   /* id, name, arguments */
    size_t                        len[3];
} ngx_http_ollama_capture_delta_t;


extern const yajl_callbacks  ngx_http_ollama_capture_callbacks;


/*
 * The opening quote of a value was read: sets capture->target, where the string
 * is to be decoded to, or NULL.  A further member of the same name replaces the
 * one before.
 */
void ngx_http_ollama_capture_string_start(ngx_http_ollama_capture_t *capture);

/* The closing quote was read. */
void ngx_http_ollama_capture_string_end(ngx_http_ollama_capture_t *capture);

/* Returns what the innermost object or array is, a ..._capture_node_e. */
ngx_uint_t ngx_http_ollama_capture_node(ngx_http_ollama_capture_t *capture);

/* In a callback for a brace, and only there: its offset in the reply. */
off_t ngx_http_ollama_capture_offset(ngx_http_ollama_capture_t *capture);

/*
 * The object of a tool call begins: in a stream of OpenAI's it is a part of a
 * call, in other forms a whole one, which is kept byte for byte up to
 * capture_raw_end(), at its closing brace.  Returns its node.
 */
ngx_uint_t ngx_http_ollama_capture_call(ngx_http_ollama_capture_t *capture);
void ngx_http_ollama_capture_raw_end(ngx_http_ollama_capture_t *capture);

/* The frame's object is whole: what was found in it is part of the reply. */
void ngx_http_ollama_capture_commit(ngx_http_ollama_capture_t *capture);

/*
 * Drops what the frame has of the message so far, as it is that of another
 * choice; rollback() drops all that the frame has, as it is not whole.
 */
void ngx_http_ollama_capture_drop(ngx_http_ollama_capture_t *capture);
void ngx_http_ollama_capture_rollback(ngx_http_ollama_capture_t *capture);


#endif /* _NGX_HTTP_OLLAMA_CAPTURE_PARSE_H_INCLUDED_ */
