
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * In which form an endpoint replies: NDJSON, server-sent events, or one object.
 * It has no state and uses no request, so that unit tests can run it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_frame_form.h"
#include "request/ngx_http_ollama_scan.h"


/*
 * Without "stream" in the request, Ollama's own endpoints stream, and the
 * others do not.
 */

ngx_http_ollama_frame_form_e
ngx_http_ollama_frame_form(ngx_http_ollama_endpoint_t *endpoint,
    ngx_uint_t stream, ngx_str_t *type)
{
    ngx_uint_t  sse;

    static ngx_str_t  event_stream = ngx_string("text/event-stream");

    if (type) {
        sse = (type->len >= event_stream.len
               && ngx_strncasecmp(type->data, event_stream.data,
                                  event_stream.len)
                  == 0);

    } else {
        sse = (endpoint->last != NGX_HTTP_OLLAMA_END_DONE
               && stream == NGX_HTTP_OLLAMA_STREAM_ON);
    }

    if (sse) {
        return NGX_HTTP_OLLAMA_FRAME_SSE;
    }

    return (endpoint->last == NGX_HTTP_OLLAMA_END_DONE
            && stream != NGX_HTTP_OLLAMA_STREAM_OFF)
           ? NGX_HTTP_OLLAMA_FRAME_LINES : NGX_HTTP_OLLAMA_FRAME_WHOLE;
}
