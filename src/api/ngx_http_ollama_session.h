
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Content handlers: each reads or discards the body, runs one operation of the
 * store, and answers with its result; 503 if Redis is not available.
 */

/* GET, PATCH and DELETE /api/chat/session/{id} */
ngx_int_t ngx_http_ollama_session_one(ngx_http_request_t *r);

/* DELETE /api/chat/session/{id}/messages */
ngx_int_t ngx_http_ollama_session_messages(ngx_http_request_t *r);

/* GET /api/chat/sessions */
ngx_int_t ngx_http_ollama_session_list(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_SESSION_H_INCLUDED_ */
