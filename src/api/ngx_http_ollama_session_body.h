
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"


/* the longest body, and the longest strings of its members, in bytes */
#define NGX_HTTP_OLLAMA_SESSION_BODY    65536
#define NGX_HTTP_OLLAMA_SESSION_TITLE   1024
#define NGX_HTTP_OLLAMA_SESSION_MODEL   1024
#define NGX_HTTP_OLLAMA_SESSION_SYSTEM  32768


/*
 * Parses the body of a request that creates or changes a session.  Strings are
 * decoded, in the pool.  NGX_DECLINED: the body is invalid, "error" has the
 * reason and the byte; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_session_body(ngx_pool_t *pool, ngx_str_t *body,
    ngx_http_ollama_store_fields_t *fields, ngx_str_t *error);


#endif /* _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_ */
