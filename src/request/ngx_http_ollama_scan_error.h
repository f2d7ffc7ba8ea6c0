
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCAN_ERROR_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCAN_ERROR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_types.h"


/*
 * Sets scan->error to: "name" text tail; "name" may be NULL, and "at" is where
 * in the body.  NGX_DECLINED, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_scan_error(ngx_http_ollama_scan_t *scan, off_t at,
    ngx_str_t *name, const char *text, const char *tail);


#endif /* _NGX_HTTP_OLLAMA_SCAN_ERROR_H_INCLUDED_ */
