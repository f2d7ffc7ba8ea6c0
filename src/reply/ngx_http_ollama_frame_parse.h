
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FRAME_PARSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FRAME_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_event.h"
#include "reply/ngx_http_ollama_frame_types.h"


/*
 * What the files of frame share; no other file includes it.
 *
 * ngx_http_ollama_frame.c           forms of a reply, and its objects
 * ngx_http_ollama_frame_sse.c       server-sent events
 */


/*
 * Reads a piece of a stream of events, and sets *good to the end of the last
 * whole line.  NGX_DECLINED: something is no frame.
 */
ngx_int_t ngx_http_ollama_frame_sse(ngx_http_ollama_frame_t *frame, u_char *p,
    u_char *last, u_char **good);

/* Notes what an event says by its name or its type. */
void ngx_http_ollama_frame_event(ngx_http_ollama_frame_t *frame,
    ngx_http_ollama_event_e event);

/*
 * Reads a piece of what must be one object and nothing else.  With "line_end",
 * the object must end in it, if it has begun at all.  NGX_DECLINED: it is not.
 */
ngx_int_t ngx_http_ollama_frame_object(ngx_http_ollama_frame_t *frame,
    u_char *p, u_char *last, ngx_uint_t line_end);

/* An object is whole; what it means may come later, as its event's name. */
void ngx_http_ollama_frame_object_end(ngx_http_ollama_frame_t *frame);


#endif /* _NGX_HTTP_OLLAMA_FRAME_PARSE_H_INCLUDED_ */
