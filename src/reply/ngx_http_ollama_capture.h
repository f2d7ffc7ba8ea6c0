
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CAPTURE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CAPTURE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_types.h"


/*
 * Prepares a zeroed struct for a reply.  All that is captured is in "pool", and
 * is freed with it; content, thinking and tool calls together are at most "max"
 * bytes.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_capture_init(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_http_ollama_capture_form_e form, size_t max);

/*
 * Takes the next piece of the reply, of which no pointer is kept.  It never
 * fails: capture->truncated and capture->failed tell what is missing.
 */
void ngx_http_ollama_capture_feed(ngx_http_ollama_capture_t *capture,
    u_char *p, size_t size);

/*
 * To be called when the server's reply ends here, wherever that is in a line,
 * and another final frame follows, which begins with a newline.  A frame that
 * is not whole is dropped.
 */
void ngx_http_ollama_capture_cut(ngx_http_ollama_capture_t *capture);

/*
 * To be called when nothing more comes: a frame that is not whole is dropped.
 * May be called at any time, and again.
 */
void ngx_http_ollama_capture_end(ngx_http_ollama_capture_t *capture);

/* Tells if the reply has neither content nor thinking nor tool calls. */
ngx_uint_t ngx_http_ollama_capture_is_empty(ngx_http_ollama_capture_t *capture);

/*
 * Each makes a JSON text of what was captured, in the memory of "pool": the
 * assistant's message as a server takes it in later requests; the array of its
 * tool calls, of length 0 if there is none; the object of the statistics, by
 * Ollama's names, of length 0 if there is none.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_capture_message(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_http_ollama_capture_tools(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_str_t *text);
ngx_int_t ngx_http_ollama_capture_stats(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_str_t *text);

/*
 * Writes a final frame to "dst" with "session_id" and "saved" at the end of its
 * object, and returns the length; with "dst" NULL it only returns that.  The
 * frame may have "data:" in front and white space behind, or be only the end of
 * one, from its "}" on; what does not end with an object stays as it is.
 */
size_t ngx_http_ollama_capture_mark(u_char *dst, ngx_str_t *frame,
    ngx_str_t *session_id, ngx_uint_t saved);


#endif /* _NGX_HTTP_OLLAMA_CAPTURE_H_INCLUDED_ */
