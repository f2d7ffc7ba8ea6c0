
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_EVENT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_EVENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_HTTP_OLLAMA_EVENT_OTHER = 0,
    NGX_HTTP_OLLAMA_EVENT_ERROR,
    NGX_HTTP_OLLAMA_EVENT_RESPONSE_END,     /* completed, or incomplete */
    NGX_HTTP_OLLAMA_EVENT_RESPONSE_FAILED,
    NGX_HTTP_OLLAMA_EVENT_MESSAGE_STOP,
    NGX_HTTP_OLLAMA_EVENT_BLOCK_START,      /* of a message's content */
    NGX_HTTP_OLLAMA_EVENT_BLOCK_STOP
} ngx_http_ollama_event_e;


/* Returns what an event by this name is. */
ngx_http_ollama_event_e ngx_http_ollama_event(const u_char *p, size_t len);


#endif /* _NGX_HTTP_OLLAMA_EVENT_H_INCLUDED_ */
