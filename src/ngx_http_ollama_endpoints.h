
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ENDPOINTS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ENDPOINTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_endpoint.h"


/* The endpoint at the path, whatever the method; NULL: there is none. */
ngx_http_ollama_endpoint_t *ngx_http_ollama_endpoints_find(ngx_str_t *uri);

/* That of a turn of a conversation: a chat. */
ngx_http_ollama_endpoint_t *ngx_http_ollama_endpoints_turn(void);



#endif /* _NGX_HTTP_OLLAMA_ENDPOINTS_H_INCLUDED_ */
