
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_RUN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_RUN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_body.h"
#include "api/ngx_http_ollama_session_json.h"
#include "core/ngx_http_ollama_ctx.h"
#include "store/ngx_http_ollama_store.h"
#include "util/ngx_http_ollama_emit.h"


/*
 * Begins the first operation: NGX_OK; NGX_ERROR: Redis is not available; else
 * an HTTP status.  Or answers when an operation has succeeded: returns what a
 * content handler returns, or NGX_DONE: another operation has begun.
 */

typedef ngx_int_t (*ngx_http_ollama_session_pt)(
    ngx_http_ollama_session_t *s);


/*
 * A request for sessions, from its content handler on.  It is allocated with a
 * cleanup of the request's pool, which makes the store forget its operation.
 */

struct ngx_http_ollama_session_s {
    ngx_http_ollama_store_t          store;
    ngx_http_ollama_session_json_t   json;
    ngx_http_request_t              *request;
    ngx_http_ollama_ctx_t           *ctx;
    ngx_str_t                        owner;
    ngx_http_ollama_session_pt       begin;
    ngx_http_ollama_session_pt       answer;
    ngx_http_ollama_session_pt       lost;     /* after LOST; NULL: 503 */
    ngx_http_ollama_session_body_t  *body;     /* NULL: none was read */
    void                            *data;     /* of the endpoint */
};


/*
 * Runs operations of the store for a request.  Both return what a content
 * handler returns.  The first one is for requests without a body, which must
 * have been discarded; the second one reads it and parses it as "form" says.
 */
ngx_int_t ngx_http_ollama_session_run(ngx_http_request_t *r,
    ngx_http_ollama_session_pt begin, ngx_http_ollama_session_pt answer);
ngx_int_t ngx_http_ollama_session_run_body(ngx_http_request_t *r,
    ngx_http_ollama_session_body_form_e form, ngx_http_ollama_session_pt begin,
    ngx_http_ollama_session_pt answer);

/* To end "answer" with: sends what the walk makes of s->json. */
ngx_int_t ngx_http_ollama_session_run_send(ngx_http_ollama_session_t *s,
    ngx_http_ollama_emit_pt walk);

/*
 * Sets s->json.id from the path.  NGX_OK, or 404 for an invalid id, which is
 * the same as for an unknown one.
 */
ngx_int_t ngx_http_ollama_session_run_id(ngx_http_ollama_session_t *s);

/*
 * Each notes that there is no such session, or message, and returns 404.
 */
ngx_int_t ngx_http_ollama_session_run_not_found(ngx_http_ollama_session_t *s);
ngx_int_t ngx_http_ollama_session_run_gone(ngx_http_ollama_session_t *s);


#endif /* _NGX_HTTP_OLLAMA_SESSION_RUN_H_INCLUDED_ */
