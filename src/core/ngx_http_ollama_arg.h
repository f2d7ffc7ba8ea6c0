
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ARG_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ARG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * The value of the first argument with this name, whatever its case, decoded,
 * in the request's pool.  NGX_DECLINED: there is none, or it is empty;
 * NGX_HTTP_INTERNAL_SERVER_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_arg(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


#endif /* _NGX_HTTP_OLLAMA_ARG_H_INCLUDED_ */
