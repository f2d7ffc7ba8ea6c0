
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REFRESH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REFRESH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Installs the filters, before those of the tap; while it is configured. */
ngx_int_t ngx_http_ollama_refresh_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_REFRESH_H_INCLUDED_ */
