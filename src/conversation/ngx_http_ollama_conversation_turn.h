
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_TURN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_TURN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_state.h"
#include "reply/ngx_http_ollama_capture.h"


/* of a line, or of a body that is no reply: what is kept to read an error */
#define NGX_HTTP_OLLAMA_TURN_HEAD  1024


typedef enum {
    turn_start = 0,         /* of a line */
    turn_open,              /* behind the "{" of its object */
    turn_rest
} ngx_http_ollama_turn_place_e;


typedef enum {
    NGX_HTTP_OLLAMA_TURN_COMPLETE = 0,
    NGX_HTTP_OLLAMA_TURN_CANCELLED,
    NGX_HTTP_OLLAMA_TURN_FAILED
} ngx_http_ollama_turn_end_e;


/* A turn, in its pool, which goes with it. */

struct ngx_http_ollama_turn_s {
    ngx_http_ollama_conversation_t  *conversation;
    ngx_http_ollama_participant_t   *participant;
    ngx_uint_t                       self;      /* which one that is */
    ngx_uint_t                       number;    /* from 1 */
    ngx_pool_t                      *pool;

    ngx_http_request_t              *request;   /* the subrequest */
    ngx_http_ollama_ctx_t           *ctx;       /* and its own */
    ngx_int_t                        rc;        /* how it ended */

    ngx_http_ollama_capture_t       *said;
    ngx_str_t                        front;     /* goes into each frame */
    ngx_http_ollama_turn_place_e     place;
    u_char                           head[NGX_HTTP_OLLAMA_TURN_HEAD];
    size_t                           nhead;     /* of the line; of told */

    unsigned                         heard:1;   /* there is a reply */
    unsigned                         told:1;    /* the head is an error */
    unsigned                         ended:1;
};


ngx_int_t ngx_http_ollama_turn_begin(ngx_http_ollama_conversation_t *conv);
void ngx_http_ollama_turn_stop(ngx_http_ollama_turn_t *turn);

/* Of a turn that has ended, or whose request is being ended: how. */
ngx_http_ollama_turn_end_e ngx_http_ollama_turn_end(
    ngx_http_ollama_turn_t *turn);

/* Of one that failed: why.  The text is in the request's pool. */
void ngx_http_ollama_turn_error(ngx_http_ollama_turn_t *turn,
    ngx_str_t *error);

ngx_int_t ngx_http_ollama_turn_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_TURN_H_INCLUDED_ */
