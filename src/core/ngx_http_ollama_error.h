
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ERROR_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ERROR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"


/*
 * Refuses a request: notes the text and returns "status", for a phase or a
 * content handler to return.  The format is ngx_sprintf()'s.  Logs the text; it
 * is cut to 2048 bytes, and what is not UTF-8 is replaced.
 */
ngx_int_t ngx_http_ollama_error(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_int_t status, const char *fmt, ...);

/* The same with 409, because a task has the session; the reply tells its id. */
ngx_int_t ngx_http_ollama_error_busy(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *session, ngx_str_t *task);

/*
 * The same with 409 for the id of a task that runs, with 403 for a request that
 * has no owner, with 503 if Redis is not there.
 */
ngx_int_t ngx_http_ollama_error_task_in_use(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx, ngx_str_t *task);
ngx_int_t ngx_http_ollama_error_no_owner(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
ngx_int_t ngx_http_ollama_error_no_history(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);

/*
 * Returns an error object in the form that clients of this path expect, between
 * "before" and "after", in a buffer from the request's pool.  "task": an id for
 * the object, or NULL.  NULL: no memory.
 */
ngx_buf_t *ngx_http_ollama_error_json(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *text, ngx_str_t *task, ngx_str_t *before,
    ngx_str_t *after);

/* Returns the text for an error of nginx with this status; it is static. */
ngx_str_t *ngx_http_ollama_error_text(ngx_uint_t status);

/* Installs the filters; after the configuration was read. */
ngx_int_t ngx_http_ollama_error_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_ERROR_H_INCLUDED_ */
