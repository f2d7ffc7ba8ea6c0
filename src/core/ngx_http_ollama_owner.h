
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_OWNER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_OWNER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* of an owner's name: as long as any, and fit for shared memory */
#define NGX_HTTP_OLLAMA_OWNER_SIZE  20


/*
 * To whom the sessions and generations of a request belong, as the location's
 * "ollama_session_owner" says; len 0: to nobody in particular.  NGX_DECLINED:
 * an owner is configured, but the request has none.
 */
ngx_int_t ngx_http_ollama_owner(ngx_http_request_t *r, ngx_str_t *owner);

/*
 * The same as a digest, to be compared: zeros where no owner is configured;
 * all requests that have none where one is configured share another one.
 */
ngx_int_t ngx_http_ollama_owner_digest(ngx_http_request_t *r, u_char *digest);


#endif /* _NGX_HTTP_OLLAMA_OWNER_H_INCLUDED_ */
