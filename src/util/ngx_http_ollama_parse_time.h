
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PARSE_TIME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PARSE_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


int64_t ngx_http_ollama_parse_time(ngx_str_t *text);


#endif /* _NGX_HTTP_OLLAMA_PARSE_TIME_H_INCLUDED_ */
