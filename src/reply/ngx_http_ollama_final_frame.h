
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FINAL_FRAME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FINAL_FRAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_frame_form.h"


/* What the final frame of a stopped generation is made of. */

typedef struct {
    ngx_str_t                      path;     /* the endpoint's */
    ngx_http_ollama_frame_end_e    last;
    ngx_http_ollama_frame_form_e   form;
    ngx_str_t                      model;    /* as the client named it */
    ngx_str_t                      id;       /* of the task */
    ngx_str_t                      reply;    /* the reply's own id; len 0:
                                                unknown */
    time_t                         sec;      /* now */
    ngx_uint_t                     msec;
    ngx_uint_t                     frames;   /* that were sent before */
    ngx_int_t                      block;    /* number of the open block of a
                                                message; -1: none is */
    ngx_int_t                      generated_tokens;  /* -1: unknown */
} ngx_http_ollama_final_frame_t;


/*
 * Sets *text to the frame, or frames, with their line ends and SSE fields, in
 * the memory of "pool".  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_final_frame(ngx_http_ollama_final_frame_t *final,
    ngx_pool_t *pool, ngx_str_t *text);


#endif /* _NGX_HTTP_OLLAMA_FINAL_FRAME_H_INCLUDED_ */
