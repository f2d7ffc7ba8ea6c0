
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCAN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_types.h"


/*
 * Prepares a zeroed scan.  What is found is in "pool"; what the scan itself
 * needs, scan->cuts and scan->messages are in "temp".  "flags" are
 * NGX_HTTP_OLLAMA_SCAN_…, "forbid" is an array of ngx_http_ollama_forbid_t, or
 * NULL.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_scan_init(ngx_http_ollama_scan_t *scan,
    ngx_pool_t *pool, ngx_pool_t *temp, ngx_uint_t flags,
    ngx_array_t *forbid);

/*
 * Takes the next piece of the body.  NGX_DECLINED: the body is invalid,
 * scan->error tells why; it must not be fed any more then.  NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_http_ollama_scan_feed(ngx_http_ollama_scan_t *scan, u_char *p,
    size_t size);

/* Ends the body; the same results. */
ngx_int_t ngx_http_ollama_scan_end(ngx_http_ollama_scan_t *scan);


#endif /* _NGX_HTTP_OLLAMA_SCAN_H_INCLUDED_ */
