
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SAVE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SAVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * The request has locked its session: from now on the lock is renewed, and the
 * reply captured to be saved, for "ttl" ms (0: without a limit).  When the
 * request ends, the lock is released at the latest.  Sets ctx->save, in the
 * request's pool; ctx->holder must be set.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_save_begin(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, int64_t ttl);

/* The reply will be message n of the session; 0: there will be none. */
void ngx_http_ollama_save_set_number(ngx_http_ollama_ctx_t *ctx, int64_t n);

/*
 * Tells if the reply's status is the server's, and says that it refuses these
 * messages whenever it gets them: if they stayed in the session, it would
 * refuse all later chats, too.
 */
ngx_uint_t ngx_http_ollama_save_is_refused(ngx_http_request_t *r);

/* Puts the filters that capture and save replies in front of those so far. */
ngx_int_t ngx_http_ollama_save_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_SAVE_H_INCLUDED_ */
