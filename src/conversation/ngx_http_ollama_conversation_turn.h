
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
#include "request/ngx_http_ollama_marks.h"


/* the first bytes of a line, or of a body that is no reply: for the error */
#define NGX_HTTP_OLLAMA_TURN_HEAD  1024


/* where in a line of the reply the filter is */

typedef enum {
    turn_line = 0,          /* before the object */
    turn_object,            /* behind the object's "{" */
    turn_rest
} ngx_http_ollama_turn_state_e;


typedef enum {
    NGX_HTTP_OLLAMA_TURN_COMPLETE = 0,
    NGX_HTTP_OLLAMA_TURN_CANCELLED,
    NGX_HTTP_OLLAMA_TURN_FAILED
} ngx_http_ollama_turn_end_e;


/* A turn, in a pool of its own. */

struct ngx_http_ollama_turn_s {
    ngx_http_ollama_conversation_t  *conversation;
    ngx_http_ollama_participant_t   *participant;
    ngx_uint_t                       self;      /* the participant's index */
    ngx_uint_t                       number;    /* of the turn, from 1 */
    ngx_pool_t                      *pool;

    ngx_http_request_t              *request;   /* the subrequest */
    ngx_http_ollama_ctx_t           *ctx;       /* the subrequest's */
    ngx_int_t                        rc;        /* that it ended with */
    ngx_http_ollama_mark_t           mark;      /* of its prompt */

    ngx_http_ollama_capture_t       *capture;   /* of the reply */
    ngx_str_t                        front;     /* inserted into each frame */
    ngx_http_ollama_turn_state_e     state;
    u_char                           head[NGX_HTTP_OLLAMA_TURN_HEAD];
    size_t                           head_len;

    unsigned                         is_reply:1; /* 200, NDJSON */
    unsigned                         has_error:1; /* "head" is an error line */
    unsigned                         ended:1;
};


/*
 * Begins the next turn, as a subrequest of conv->request, and sets conv->turn.
 * When turn->ended is set nginx calls that request's write handler.  NGX_ERROR:
 * no memory; if conv->turn is set then, its pool must be destroyed.
 */
ngx_int_t ngx_http_ollama_turn_begin(ngx_http_ollama_conversation_t *conv);

/* Ends a turn that runs.  May free the request. */
void ngx_http_ollama_turn_stop(ngx_http_ollama_turn_t *turn);

/* How a turn has ended, or ends now because its request is ended. */
ngx_http_ollama_turn_end_e ngx_http_ollama_turn_end(
    ngx_http_ollama_turn_t *turn);

/* Puts the filters for turns in front of those so far. */
ngx_int_t ngx_http_ollama_turn_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_TURN_H_INCLUDED_ */
