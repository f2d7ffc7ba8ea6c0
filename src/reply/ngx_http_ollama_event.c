
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The names of server-sent events that matter: those of Anthropic's interface
 * and of the Responses API.  It has no state, and uses no request.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_event.h"


typedef struct {
    ngx_str_t                name;
    ngx_http_ollama_event_e  event;
} ngx_http_ollama_event_name_t;


static const ngx_http_ollama_event_name_t  ngx_http_ollama_event_names[] = {
    { ngx_string("error"), NGX_HTTP_OLLAMA_EVENT_ERROR },
    { ngx_string("response.completed"), NGX_HTTP_OLLAMA_EVENT_RESPONSE_END },
    { ngx_string("response.incomplete"), NGX_HTTP_OLLAMA_EVENT_RESPONSE_END },
    { ngx_string("response.failed"), NGX_HTTP_OLLAMA_EVENT_RESPONSE_FAILED },
    { ngx_string("message_stop"), NGX_HTTP_OLLAMA_EVENT_MESSAGE_STOP },
    { ngx_string("content_block_start"), NGX_HTTP_OLLAMA_EVENT_BLOCK_START },
    { ngx_string("content_block_stop"), NGX_HTTP_OLLAMA_EVENT_BLOCK_STOP },
    { ngx_null_string, NGX_HTTP_OLLAMA_EVENT_OTHER }
};


ngx_http_ollama_event_e
ngx_http_ollama_event(const u_char *p, size_t len)
{
    const ngx_http_ollama_event_name_t  *name;

    for (name = ngx_http_ollama_event_names; name->name.len; name++) {
        if (len == name->name.len
            && ngx_memcmp(p, name->name.data, len) == 0)
        {
            break;
        }
    }

    return name->event;
}
