
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_OWNER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_OWNER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* bytes of an owner's digest */
#define NGX_HTTP_OLLAMA_OWNER_SIZE  20


/*
 * Sets "owner" to the user to which the sessions and tasks of a request belong,
 * the value of the location's "ollama_session_owner"; len 0: there is no such
 * directive.  NGX_DECLINED: there is, but the value is empty.  NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_http_ollama_owner(ngx_http_request_t *r, ngx_str_t *owner);

/*
 * Sets "digest" to NGX_HTTP_OLLAMA_OWNER_SIZE bytes of equal length for all
 * owners, to be compared: zeros without "ollama_session_owner", the digest of
 * the empty text if its value is empty.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_owner_digest(ngx_http_request_t *r, u_char *digest);


#endif /* _NGX_HTTP_OLLAMA_OWNER_H_INCLUDED_ */
