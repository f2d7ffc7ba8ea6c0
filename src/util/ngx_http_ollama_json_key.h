
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_JSON_KEY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_JSON_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Whether Go's encoding/json takes the decoded key for the field "name", which
 * is in lower case.
 */
ngx_uint_t ngx_http_ollama_json_key_eq(const u_char *key, size_t len,
    ngx_str_t *name);


#endif /* _NGX_HTTP_OLLAMA_JSON_KEY_H_INCLUDED_ */
