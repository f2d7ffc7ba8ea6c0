
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CTX_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CTX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_endpoint.h"
#include "util/ngx_http_ollama_timer.h"


typedef struct ngx_http_ollama_ctx_s           ngx_http_ollama_ctx_t;

/* of other folders, which describe them */

typedef struct ngx_http_ollama_scan_s          ngx_http_ollama_scan_t;
typedef struct ngx_http_ollama_running_s       ngx_http_ollama_running_t;
typedef struct ngx_http_ollama_frame_s         ngx_http_ollama_frame_t;
typedef struct ngx_http_ollama_save_s          ngx_http_ollama_save_t;
typedef struct ngx_http_ollama_conversation_s  ngx_http_ollama_conversation_t;
typedef struct ngx_http_ollama_conversation_body_s
                                          ngx_http_ollama_conversation_body_t;
typedef struct ngx_http_ollama_conversation_fields_s
                                        ngx_http_ollama_conversation_fields_t;
typedef struct ngx_http_ollama_turn_s          ngx_http_ollama_turn_t;


/* What goes to the server beside the client's own words. */

typedef struct {
    off_t                     at;          /* place in the body as it came */
    ngx_chain_t              *chain;
    off_t                     size;
} ngx_http_ollama_body_insert_t;


/* What reads a body, see ngx_http_ollama_body_read(). */

typedef struct {
    ngx_int_t               (*feed)(ngx_http_ollama_ctx_t *ctx, u_char *p,
                                    size_t size);
    ngx_int_t               (*end)(ngx_http_ollama_ctx_t *ctx);
    void                    (*done)(ngx_http_request_t *r,
                                    ngx_http_ollama_ctx_t *ctx, ngx_int_t rc);
} ngx_http_ollama_body_parser_t;


/* where a request stands on its way in */

typedef enum {
    NGX_HTTP_OLLAMA_NEW = 0,
    NGX_HTTP_OLLAMA_READING,     /* its body is read, or scanned */
    NGX_HTTP_OLLAMA_ROUTED       /* it may go on, as ctx->status says */
} ngx_http_ollama_state_e;


/*
 * What the module knows of a request.  Made when the request first meets one
 * of its handlers, in the request's pool, which also ends it.  Internal
 * redirects wipe nginx's pointer to it but not the request's state, so it is
 * always asked for with ngx_http_ollama_get_ctx().
 */

struct ngx_http_ollama_ctx_s {
    ngx_http_request_t       *request;
    ngx_uint_t                http_version;
    ngx_http_ollama_state_e   state;
    ngx_int_t                 status;      /* what the phase returns then */

    ngx_http_ollama_endpoint_t  *endpoint;  /* NULL: none yet, or refused */
    ngx_str_t                 error;       /* why it was refused, and how */
    ngx_uint_t                error_status;
    ngx_str_t                 error_task;  /* which is in the way, if one is */
    ngx_chain_t              *error_body;  /* in place of nginx's page */

    /* request */

    ngx_http_ollama_scan_t        *scan;       /* NULL: no body looked at */
    const ngx_http_ollama_body_parser_t  *parser; /* of the body */
    ngx_chain_t                   *body;       /* what is left to be scanned */
    size_t                         body_pos;   /* and from where in its first */
    u_char                        *map;        /* of a body in a file */
    size_t                         map_size;
    ngx_pool_t                    *pool;       /* of the scan, while it lasts */
    ngx_http_ollama_body_insert_t  insert[2];  /* into the body, by place */
    ngx_uint_t                     ninsert;
    ngx_http_ollama_timer_t       *wait;       /* between its slices */

    ngx_http_ollama_save_t   *save;        /* NULL: no session */
    ngx_str_t                 holder;      /* who has its lock, for the store */

    /* conversation */

    ngx_http_ollama_conversation_body_t  *conv_body; /* NULL: it is none */
    ngx_http_ollama_endpoint_t  *turn_endpoint; /* what its turns are */
    ngx_http_ollama_conversation_fields_t  *conv_fields; /* of its body */
    ngx_http_ollama_conversation_t  *conversation; /* NULL: not begun yet */
    ngx_int_t                 phase;       /* where its turns begin */
    ngx_http_handler_pt       pass;        /* and what hands them on */
    ngx_http_ollama_turn_t   *turn;        /* of a subrequest that is one */
    const char               *outcome;     /* NULL: as for any request */

    /* task */

    ngx_http_ollama_running_t  *running;   /* NULL: not yet, or no more */
    ngx_event_t              *stopping;    /* when the line has ended */

    /* tap */

    ngx_str_t                 server;      /* which answers */
    ngx_http_upstream_t      *server_of;   /* where ollama_balance chose it */
    void                    (*finalize)(ngx_http_request_t *r, ngx_int_t rc);
    ngx_int_t                 finalize_rc;
    ngx_http_ollama_frame_t  *frame;       /* NULL: the reply isn't tapped */
    ngx_buf_t                *final_buf;   /* our own last frame of a reply
                                              that was stopped */
    ngx_msec_int_t            ttft;        /* ms; -1: no token so far */

    unsigned                  no_server:1; /* the balancer had no server:
                                              the error says why */
    unsigned                  keepalive:1; /* when it was refused */
    unsigned                  finalized:1; /* finalize_rc is known */
    unsigned                  error_sent:1; /* the error line was sent */
    unsigned                  has_task:1;  /* it had a task */
    unsigned                  cancelled:1; /* it was stopped */
    unsigned                  save_held:1; /* its last frame has come, and
                                              waits to be saved */
};


ngx_http_ollama_ctx_t *ngx_http_ollama_get_ctx(ngx_http_request_t *r);
ngx_http_ollama_ctx_t *ngx_http_ollama_make_ctx(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_CTX_H_INCLUDED_ */
