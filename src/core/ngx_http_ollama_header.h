
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_HEADER_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_HEADER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * Returns the number of the request's header lines with this name, which is in
 * lower case, and sets "value" to the value of the first one, if there is any;
 * it is in the request's memory.
 */
ngx_uint_t ngx_http_ollama_header_find(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);

/*
 * Removes all lines with this name from the request's header, as the server is
 * sent it; nginx's own pointers to lines stay valid.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_header_remove(ngx_http_request_t *r,
    const char *name);

/*
 * Adds a line to the reply's header.  The texts are not copied and must exist
 * as long as the request.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_header_add(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


#endif /* _NGX_HTTP_OLLAMA_HEADER_H_INCLUDED_ */
