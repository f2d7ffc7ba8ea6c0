
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STOP_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STOP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Stops the request's generation, as a ngx_http_ollama_task_stop_pt: the client
 * gets a proper final frame, now or when the line that is open has ended.  If
 * the end of the reply is on its way already, only the task is ended.  May free
 * the request.
 */
void ngx_http_ollama_stop(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);

/*
 * Ends a reply, whose server has not ended it yet, without a frame of our own.
 * From the event loop only; may free the request.
 */
void ngx_http_ollama_stop_end(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_STOP_H_INCLUDED_ */
