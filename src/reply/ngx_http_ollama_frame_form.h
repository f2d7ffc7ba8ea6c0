
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FRAME_FORM_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FRAME_FORM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_endpoint.h"


/* how the frames of a reply lie in its body */

typedef enum {
    NGX_HTTP_OLLAMA_FRAME_LINES = 0,  /* NDJSON: an object a line */
    NGX_HTTP_OLLAMA_FRAME_SSE,        /* an object in each "data:" line */
    NGX_HTTP_OLLAMA_FRAME_WHOLE       /* one object, the whole body */
} ngx_http_ollama_frame_form_e;


/*
 * Returns the form of an endpoint's reply.  "stream" is the request's, a
 * ngx_http_ollama_stream_e; "type" is the content type of the reply, or NULL if
 * no server has replied: then it is the form that one would choose.
 */
ngx_http_ollama_frame_form_e ngx_http_ollama_frame_form(
    ngx_http_ollama_endpoint_t *endpoint, ngx_uint_t stream, ngx_str_t *type);


#endif /* _NGX_HTTP_OLLAMA_FRAME_FORM_H_INCLUDED_ */
