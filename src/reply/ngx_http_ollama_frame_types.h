
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FRAME_TYPES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FRAME_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_endpoint.h"
#include "reply/ngx_http_ollama_frame_form.h"
#include "reply/ngx_http_ollama_sse.h"
#include "util/ngx_http_ollama_json.h"


/*
 * The parser of replies, for all of its files.
 */


/* bytes at most of a response's id: a longer one is not kept */
#define NGX_HTTP_OLLAMA_FRAME_ID  64


typedef struct ngx_http_ollama_frame_s  ngx_http_ollama_frame_t;


struct ngx_http_ollama_frame_s {
    ngx_http_ollama_json_t         json;
    ngx_http_ollama_sse_t          sse;
    ngx_http_ollama_frame_form_e   form;
    ngx_http_ollama_frame_end_e    last;

    ngx_uint_t                     depth;
    off_t                          close;     /* where the last object ended */
    u_char                         key[3];    /* keys that lead to the value */
    u_char                         nword;
    u_char                         word[32];  /* in SSE: an event's name, or
                                                 data that is no object */

    /* what was found */

    ngx_uint_t                     frames;
    ngx_uint_t                     blocks;    /* of a message's content, that
                                                 have begun */
    ngx_uint_t                     nid;       /* length of "id"; 0: unknown */
    u_char                         id[NGX_HTTP_OLLAMA_FRAME_ID];
    ngx_int_t                      prompt_tokens;      /* -1: unknown */
    ngx_int_t                      generated_tokens;

    /* ns, as Ollama's own API tells them with the last frame; -1: unknown */

    int64_t                        total_duration;
    int64_t                        load_duration;
    int64_t                        prompt_eval_duration;
    int64_t                        eval_duration;

    unsigned                       object:1;  /* the line has its object */
    unsigned                       ending:1;  /* the object is the final one */
    unsigned                       failing:1; /* the object is an error */
    unsigned                       line:1;    /* in the middle of a line, or
                                                 of the end of an event's */
    unsigned                       event:1;   /* in SSE: no empty line yet */
    unsigned                       whole:1;   /* in SSE: the event has had an
                                                 object */
    unsigned                       word_data:1; /* the data is no object */
    unsigned                       block:1;   /* the last block is open */
    unsigned                       done:1;    /* the reply is complete */
    unsigned                       error:1;   /* its last frame is an error */
};


#endif /* _NGX_HTTP_OLLAMA_FRAME_TYPES_H_INCLUDED_ */
