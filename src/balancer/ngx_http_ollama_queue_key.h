
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_QUEUE_KEY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_QUEUE_KEY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_sched_types.h"
#include "core/ngx_http_ollama_ctx.h"


/* Whether such a request needs a place of a model at a server. */
ngx_uint_t ngx_http_ollama_queue_is_wanted(
    ngx_http_ollama_candidates_t *search);

/* Bytes of the text of the request's prompt, with a session's history. */
size_t ngx_http_ollama_queue_text(ngx_http_ollama_ctx_t *ctx);

/* Whether its reply comes in one piece: its first token is not seen then. */
ngx_uint_t ngx_http_ollama_queue_is_whole(ngx_http_ollama_ctx_t *ctx);

/*
 * Sets "key" to that of the owner of the request among which the queue is fair:
 * the value of ollama_fair, else of ollama_session_owner, else the client's
 * address.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_queue_owner(ngx_http_request_t *r, uint64_t *key);

/* The key of a ticket's line: of those that need the same. */
uint64_t ngx_http_ollama_queue_line(ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_candidates_t *search);


#endif /* _NGX_HTTP_OLLAMA_QUEUE_KEY_H_INCLUDED_ */
