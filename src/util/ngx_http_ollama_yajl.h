
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_YAJL_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_YAJL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <yajl/yajl_parse.h>


/*
 * Creates a parser whose memory is all in the pool; "data" is handed to the
 * callbacks.  yajl_free() is not required before the pool is destroyed.  NULL:
 * no memory.
 */
yajl_handle ngx_http_ollama_yajl_create(ngx_pool_t *pool,
    const yajl_callbacks *callbacks, void *data);

/*
 * Returns the text of the error that yajl_parse() found in [p, last), without
 * the prefix and the full stop that yajl adds; it is in the pool.  "lexical":
 * 0 for a syntax error.  NULL: no memory.
 */
char *ngx_http_ollama_yajl_error(yajl_handle yajl, u_char *p, u_char *last,
    ngx_uint_t *lexical);


#endif /* _NGX_HTTP_OLLAMA_YAJL_H_INCLUDED_ */
