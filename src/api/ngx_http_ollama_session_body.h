
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "api/ngx_http_ollama_session_import.h"
#include "store/ngx_http_ollama_store.h"
#include "util/ngx_http_ollama_json.h"


/*
 * the longest body without messages, and the longest strings of its members, in
 * bytes
 */
#define NGX_HTTP_OLLAMA_SESSION_BODY    65536
#define NGX_HTTP_OLLAMA_SESSION_TITLE   1024
#define NGX_HTTP_OLLAMA_SESSION_MODEL   1024
#define NGX_HTTP_OLLAMA_SESSION_SYSTEM  32768


/* what a body may have: a new session may be a copy, or have messages */

typedef enum {
    NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE = 0,
    NGX_HTTP_OLLAMA_SESSION_BODY_CREATE
} ngx_http_ollama_session_body_form_e;


typedef struct ngx_http_ollama_session_body_name_s
    ngx_http_ollama_session_body_name_t;


/*
 * The body of a request that creates or changes a session, and what was found
 * in it.  Strings are decoded, and in the pool.
 */

typedef struct {
    ngx_http_ollama_store_fields_t        fields;
    ngx_http_ollama_store_field_t         copy_of;
    ngx_http_ollama_store_field_t         before;
    ngx_http_ollama_session_import_t      import;

    /* what is wrong, after NGX_DECLINED */

    ngx_int_t                             status;
    ngx_str_t                             error;    /* len 0: as the status */

    /* private */

    ngx_http_ollama_json_t                json;
    ngx_pool_t                           *pool;
    ngx_http_ollama_session_body_form_e   form;
    ngx_uint_t                            depth;
    ngx_http_ollama_session_body_name_t  *name;     /* of a member */
    unsigned                              failed:1; /* no memory */
} ngx_http_ollama_session_body_t;


/*
 * Prepares zeroed memory for a body; what is found is in the pool.  NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_http_ollama_session_body_init(
    ngx_http_ollama_session_body_t *body, ngx_pool_t *pool,
    ngx_http_ollama_session_body_form_e form);

/*
 * Takes the next piece of the body.  NGX_DECLINED: it is refused with
 * body->status, and must not be fed any more; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_session_body_feed(
    ngx_http_ollama_session_body_t *body, u_char *p, size_t size);

/* Ends the body; the same results. */
ngx_int_t ngx_http_ollama_session_body_end(
    ngx_http_ollama_session_body_t *body);


#endif /* _NGX_HTTP_OLLAMA_SESSION_BODY_H_INCLUDED_ */
