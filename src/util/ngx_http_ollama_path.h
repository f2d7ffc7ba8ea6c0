
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PATH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PATH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Removes the prefix, if the path has it and continues with a "/". */
void ngx_http_ollama_path_strip(ngx_str_t *path, ngx_str_t *prefix);

/* Whether clients of this path expect OpenAI's format. */
ngx_uint_t ngx_http_ollama_path_is_v1(ngx_str_t *path);

/*
 * Whether the path matches.  In a pattern "*" is one element of the path, "**"
 * at its end one or more of them.
 */
ngx_uint_t ngx_http_ollama_path_match(ngx_str_t *pattern, ngx_str_t *path);

/*
 * Whether the path is "name" or below it, whatever the case of its letters, the
 * number of its slashes and their direction.  "name" is in lower case.
 */
ngx_uint_t ngx_http_ollama_path_below(ngx_str_t *name, ngx_str_t *path);


#endif /* _NGX_HTTP_OLLAMA_PATH_H_INCLUDED_ */
