
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

/*
 * Makes of a decoded string what Go's encoding/json makes of it: each byte that
 * is not of a character in UTF-8 becomes U+FFFD.  "dst" must have room for
 * three times the length, or is NULL; returns the new length.
 */
size_t ngx_http_ollama_json_mend(u_char *dst, const u_char *p, size_t len);


#endif /* _NGX_HTTP_OLLAMA_JSON_KEY_H_INCLUDED_ */
