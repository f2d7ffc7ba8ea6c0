
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_CREATE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_CREATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* POST /api/chat/session, a content handler. */
ngx_int_t ngx_http_ollama_session_create(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_SESSION_CREATE_H_INCLUDED_ */
