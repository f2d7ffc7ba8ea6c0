
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FRAME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FRAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_endpoint.h"
#include "reply/ngx_http_ollama_frame_form.h"
#include "reply/ngx_http_ollama_sse.h"
#include "util/ngx_http_ollama_json.h"


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

    unsigned                       object:1;  /* the line has its object */
    unsigned                       ending:1;  /* the object is the final one */
    unsigned                       failing:1; /* the object is an error */
    unsigned                       line:1;    /* in the middle of a line */
    unsigned                       event:1;   /* in SSE: no empty line yet */
    unsigned                       word_data:1; /* the data is no object */
    unsigned                       block:1;   /* the last block is open */
    unsigned                       done:1;    /* the reply is complete */
    unsigned                       error:1;   /* its last frame is an error */
};


/*
 * Prepares a zeroed parser for a reply in the given form, whose end is marked
 * as "last" tells.  Its memory is of "pool", and is freed with it.  NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_http_ollama_frame_init(ngx_http_ollama_frame_t *frame,
    ngx_pool_t *pool, ngx_http_ollama_frame_form_e form,
    ngx_http_ollama_frame_end_e last);

/*
 * Takes the next piece of the reply, of which no pointer is kept.
 * NGX_DECLINED: something in it is no frame, or, with frame->done, comes after
 * the final one; *good is the number of bytes of the piece before that, and
 * frame->line tells if a line that has begun there is open.  Nothing may be fed
 * afterwards.
 */
ngx_int_t ngx_http_ollama_frame_feed(ngx_http_ollama_frame_t *frame,
    u_char *p, size_t size, size_t *good);

/*
 * To be called when nothing more comes.  NGX_OK: the reply is complete, and
 * frame->done is set; NGX_DECLINED: it is truncated.
 */
ngx_int_t ngx_http_ollama_frame_end(ngx_http_ollama_frame_t *frame);


#endif /* _NGX_HTTP_OLLAMA_FRAME_H_INCLUDED_ */
