
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_VARIABLE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_VARIABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* In preconfiguration: adds the variables $ollama_... */
ngx_int_t ngx_http_ollama_variable_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_VARIABLE_H_INCLUDED_ */
