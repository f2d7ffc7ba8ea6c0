
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CANCEL_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CANCEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/*
 * The content handler of POST /api/chat/cancel/{id}.  It answers 404 if nothing
 * is running under the id, or if that is another owner's.
 */
ngx_int_t ngx_http_ollama_cancel_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_CANCEL_H_INCLUDED_ */
