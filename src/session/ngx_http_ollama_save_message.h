
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SAVE_MESSAGE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SAVE_MESSAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_save_state.h"


/* In which form the reply is captured, by its header. */
ngx_http_ollama_capture_form_e ngx_http_ollama_save_message_form(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);

/*
 * Makes save->message, if that was not done yet.  NGX_DECLINED: there is
 * nothing to be stored; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_save_message(ngx_http_ollama_save_t *save);


#endif /* _NGX_HTTP_OLLAMA_SAVE_MESSAGE_H_INCLUDED_ */
