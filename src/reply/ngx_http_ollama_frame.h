
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FRAME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FRAME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_frame_form.h"
#include "reply/ngx_http_ollama_frame_types.h"


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
