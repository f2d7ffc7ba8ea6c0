
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


/* the id of a response is kept, if it is not longer */
#define NGX_HTTP_OLLAMA_FRAME_ID  64


typedef struct ngx_http_ollama_frame_s  ngx_http_ollama_frame_t;


struct ngx_http_ollama_frame_s {
    ngx_http_ollama_json_t         json;
    ngx_http_ollama_sse_t          sse;
    ngx_http_ollama_frame_form_e   form;
    ngx_http_ollama_frame_end_e    last;

    ngx_uint_t                     depth;
    off_t                          close;     /* where the object ended */
    u_char                         key[3];    /* the path of the value */
    u_char                         nword;
    u_char                         word[32];  /* of SSE: an event's name, or a
                                                 data that is no object */

    /* what was found */

    ngx_uint_t                     frames;
    ngx_uint_t                     blocks;    /* of a message, begun */
    ngx_uint_t                     nid;       /* 0: none was told */
    u_char                         id[NGX_HTTP_OLLAMA_FRAME_ID];
    ngx_int_t                      prompt_tokens;      /* -1: not told */
    ngx_int_t                      generated_tokens;

    unsigned                       object:1;  /* the line has its object */
    unsigned                       ending:1;  /* the object is the last */
    unsigned                       failing:1; /* the object tells an error */
    unsigned                       line:1;    /* in the middle of a line */
    unsigned                       event:1;   /* of SSE: no empty line yet */
    unsigned                       mark:1;    /* its data is no object */
    unsigned                       block:1;   /* the last of them is open */
    unsigned                       done:1;    /* complete */
    unsigned                       error:1;   /* the server told an error */
};


ngx_int_t ngx_http_ollama_frame_init(ngx_http_ollama_frame_t *frame,
    ngx_pool_t *pool, ngx_http_ollama_frame_form_e form,
    ngx_http_ollama_frame_end_e last);
ngx_int_t ngx_http_ollama_frame_feed(ngx_http_ollama_frame_t *frame,
    u_char *p, size_t size, size_t *good);
ngx_int_t ngx_http_ollama_frame_end(ngx_http_ollama_frame_t *frame);


#endif /* _NGX_HTTP_OLLAMA_FRAME_H_INCLUDED_ */
