
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PARSE_TIME_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PARSE_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Parses a time of RFC 3339, with up to nine digits of a second's fraction.
 * Returns microseconds since 1970, 0 for a time before that, or NGX_ERROR.
 */
int64_t ngx_http_ollama_parse_time(ngx_str_t *text);


#endif /* _NGX_HTTP_OLLAMA_PARSE_TIME_H_INCLUDED_ */
