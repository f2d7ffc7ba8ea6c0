
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MANAGED_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MANAGED_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Whether the path is one that manages models or servers, or below one. */
ngx_uint_t ngx_http_ollama_managed(ngx_str_t *uri);


#endif /* _NGX_HTTP_OLLAMA_MANAGED_H_INCLUDED_ */
