
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"


/* the longest body, and its members' longest strings, decoded, in bytes */
#define NGX_HTTP_OLLAMA_SESSION_BODY    65536
#define NGX_HTTP_OLLAMA_SESSION_TITLE   1024
#define NGX_HTTP_OLLAMA_SESSION_MODEL   1024
#define NGX_HTTP_OLLAMA_SESSION_SYSTEM  32768


/*
 * Reads what a client wants a session to be.  NGX_DECLINED: the body is wrong,
 * error says what and where; NGX_ERROR: no memory.  Strings are in the pool.
 */
ngx_int_t ngx_http_ollama_session_body(ngx_pool_t *pool, ngx_str_t *body,
    ngx_http_ollama_store_fields_t *fields, ngx_str_t *error);


#endif /* _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_ */
