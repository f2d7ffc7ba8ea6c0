
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_ARGS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_ARGS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * NGX_DECLINED: there is no such argument, or it is empty.  Another result that
 * is not NGX_OK is the HTTP status of a refusal.
 */

/* The number of a message, from its id: "n-0" or "n". */
ngx_int_t ngx_http_ollama_session_args_number(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, const char *name, int64_t *n);

/* The number in a message's id.  NGX_DECLINED: it can't be one. */
ngx_int_t ngx_http_ollama_session_args_message_id(ngx_str_t *id, int64_t *n);

/* The number of the message that "before" names, or 0: it is "end". */
ngx_int_t ngx_http_ollama_session_args_before(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, int64_t *n);

/*
 * The valid ids among all arguments "id", each one once, as an array of
 * ngx_str_t in the request's pool; they point into the request.  400: there are
 * more than "max" arguments.
 */
ngx_int_t ngx_http_ollama_session_args_ids(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t max, ngx_array_t *ids);

/* The argument "limit", at most "max"; without it *limit is left alone. */
ngx_int_t ngx_http_ollama_session_args_limit(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_uint_t max, ngx_uint_t *limit);


#endif /* _NGX_HTTP_OLLAMA_SESSION_ARGS_H_INCLUDED_ */
