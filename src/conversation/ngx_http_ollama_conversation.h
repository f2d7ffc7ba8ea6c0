
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * The content handler of POST /api/chat/multi-model, whose body has been read:
 * ctx->conv_body.  NGX_DONE: the conversation runs and ends the request by
 * itself; else what nginx is to end it with, a refusal has been noted in ctx.
 */
ngx_int_t ngx_http_ollama_conversation_handler(ngx_http_request_t *r);

/*
 * Stops a conversation, as an ngx_http_ollama_task_stop_pt; also one that has
 * not begun, which then says so when it begins.
 */
void ngx_http_ollama_conversation_stop(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_H_INCLUDED_ */
