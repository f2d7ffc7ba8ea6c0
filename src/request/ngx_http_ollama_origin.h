
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ORIGIN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ORIGIN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * In the preaccess phase: refuses pages of other origins with 403 and answers
 * preflights with 204.  Returns what the phase is to return.
 */
ngx_int_t ngx_http_ollama_origin_handler(ngx_http_request_t *r);

/*
 * After the configuration was read: copies the names of each server, which
 * nginx does not keep.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_origin_init(ngx_conf_t *cf);

/* Installs the header filter; after the configuration was read. */
ngx_int_t ngx_http_ollama_origin_filter_init(ngx_conf_t *cf);

/*
 * Whether a pattern of ollama_origins can match anything: it is "*", or
 * scheme://host with at most one "*".
 */
ngx_uint_t ngx_http_ollama_origin_valid(ngx_str_t *pattern);


#endif /* _NGX_HTTP_OLLAMA_ORIGIN_H_INCLUDED_ */
