
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ROUTE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ROUTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * In the precontent phase: finds the endpoint of a request, refuses what is
 * none, and reads the body, if the endpoint needs it.  Returns NGX_DECLINED for
 * a request that goes on to the content phase, or what the phase is to return.
 */
ngx_int_t ngx_http_ollama_route_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_ROUTE_H_INCLUDED_ */
