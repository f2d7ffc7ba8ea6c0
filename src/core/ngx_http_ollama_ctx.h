
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
typedef struct ngx_http_ollama_unpack_s        ngx_http_ollama_unpack_t;
typedef struct ngx_http_ollama_multipart_s     ngx_http_ollama_multipart_t;
typedef struct ngx_http_ollama_queued_s        ngx_http_ollama_queued_t;
typedef struct ngx_http_ollama_load_s          ngx_http_ollama_load_t;
typedef struct ngx_http_ollama_running_s       ngx_http_ollama_running_t;
typedef struct ngx_http_ollama_frame_s         ngx_http_ollama_frame_t;
typedef struct ngx_http_ollama_refresh_s       ngx_http_ollama_refresh_t;
typedef struct ngx_http_ollama_save_s          ngx_http_ollama_save_t;
typedef struct ngx_http_ollama_history_s       ngx_http_ollama_history_t;
typedef struct ngx_http_ollama_conversation_s  ngx_http_ollama_conversation_t;
typedef struct ngx_http_ollama_conversation_body_s
                                          ngx_http_ollama_conversation_body_t;
typedef struct ngx_http_ollama_conversation_fields_s
                                        ngx_http_ollama_conversation_fields_t;
typedef struct ngx_http_ollama_turn_s          ngx_http_ollama_turn_t;
typedef struct ngx_http_ollama_session_s       ngx_http_ollama_session_t;
typedef struct ngx_http_ollama_unload_s        ngx_http_ollama_unload_t;
typedef struct ngx_http_ollama_unload_part_s   ngx_http_ollama_unload_part_t;


/* What is inserted into a body on its way to the server. */

typedef struct {
    off_t                     at;          /* offset in the client's body */
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
    NGX_HTTP_OLLAMA_READING,     /* its body is read, or parsed */
    NGX_HTTP_OLLAMA_ROUTED       /* ctx->status tells how it goes on */
} ngx_http_ollama_state_e;


/*
 * What the module knows of a request.  It is created in the request's pool by
 * the first handler that needs it, and is freed with that.  An internal
 * redirect clears nginx's pointer to it, but the request is the same: so
 * ngx_http_ollama_get_ctx() is used instead of ngx_http_get_module_ctx().
 */

struct ngx_http_ollama_ctx_s {
    ngx_http_request_t       *request;
    ngx_uint_t                http_version;
    ngx_http_ollama_state_e   state;
    ngx_int_t                 status;      /* what the phase returns then */

    ngx_http_ollama_endpoint_t  *endpoint;  /* NULL: none yet, or refused */
    ngx_str_t                 error;       /* why it was refused */
    ngx_uint_t                error_status;
    ngx_str_t                 error_task;  /* id of the task that has the
                                              session; len 0: none */
    ngx_chain_t              *error_body;  /* in place of nginx's page */
    ngx_uint_t                retry_after; /* s, of a 503; 0: as usual */

    /* request */

    ngx_http_ollama_scan_t        *scan;       /* NULL: no body was read */
    const ngx_http_ollama_body_parser_t  *parser; /* of the body */
    ngx_uint_t                     step;       /* the next one after that */
    ngx_http_ollama_unpack_t      *unpack;     /* NULL: it is plain */
    ngx_http_ollama_multipart_t   *form;       /* NULL: the body is none */
    ngx_str_t                      model_arg;  /* the value in r->args that
                                                  names the model; data NULL:
                                                  none does */
    ngx_chain_t                   *body;       /* what is left to be parsed */
    size_t                         body_pos;   /* in the first buffer of it */
    u_char                        *map;        /* of a body in a file */
    size_t                         map_size;
    ngx_pool_t                    *pool;       /* while the body is parsed */
    ngx_http_ollama_body_insert_t  insert[3];  /* into the body, by offset */
    ngx_uint_t                     ninsert;
    ngx_http_ollama_timer_t       *wait;       /* for the next slice of the
                                                  body; NULL: never waited */

    ngx_http_ollama_session_t  *session;   /* to be created or changed; NULL:
                                              this isn't such a request */
    ngx_http_ollama_save_t   *save;        /* NULL: no session */
    ngx_http_ollama_history_t  *history;   /* of a chat in a session, until it
                                              is routed */
    ngx_str_t                 holder;      /* name of the lock holder, for the
                                              store */

    /* conversation */

    ngx_http_ollama_conversation_body_t  *conv_body; /* NULL: it is none */
    ngx_http_ollama_endpoint_t  *turn_endpoint; /* of its turns */
    ngx_http_ollama_conversation_fields_t  *conv_fields; /* of its body */
    ngx_http_ollama_conversation_t  *conversation; /* NULL: not begun yet */
    ngx_int_t                 phase;       /* index of the phase handler where
                                              turns begin */
    ngx_http_handler_pt       pass;        /* content handler of turns */
    ngx_http_ollama_turn_t   *turn;        /* of a subrequest that is a turn */
    const char               *outcome;     /* NULL: as of any request */

    /* a request that unloads a model */

    ngx_http_ollama_unload_t  *unload;     /* NULL: it goes to one server */
    ngx_http_ollama_unload_part_t  *part;  /* of a subrequest for one */
    ngx_uint_t                only;        /* id of the server that it is for;
                                              0: any */

    ngx_http_ollama_queued_t  *queued;     /* its place at a server, or in the
                                              queue; NULL: it needs none */
    ngx_http_ollama_load_t   *load;        /* NULL: it has loaded no model */

    /* task */

    ngx_http_ollama_running_t  *running;   /* NULL: not yet, or not any more */
    ngx_event_t              *stopping;    /* posted when the reply's line that
                                              is being sent has ended */

    /* tap */

    ngx_str_t                 server;      /* that replies */
    ngx_uint_t                server_id;   /* in the fleet; 0: not known */
    ngx_http_upstream_t      *server_of;   /* for which ollama_balance chose
                                              it */
    void                    (*finalize)(ngx_http_request_t *r, ngx_int_t rc);
    ngx_int_t                 finalize_rc;
    ngx_http_ollama_frame_t  *frame;       /* NULL: the reply isn't tapped */
    ngx_buf_t                *final_buf;   /* our own last frame of a reply
                                              that was stopped */
    ngx_http_ollama_refresh_t  *refresh;   /* NULL: the server isn't probed
                                              because of this request */
    ngx_msec_int_t            ttft;        /* ms; -1: no token so far */

    ngx_event_t              *held;        /* its last frame has come, and the
                                              end of the reply is waited for:
                                              posted to end it; or NULL */

    unsigned                  unloads:1;   /* it unloads a model */
    unsigned                  aliased:1;   /* the client has asked for an
                                              alias of scan->model */
    unsigned                  unresolved:1; /* scan->model is an alias, none of
                                              whose models is known to be
                                              anywhere */
    unsigned                  servable:1;  /* a server can take it, as the
                                              check will find, too */
    unsigned                  no_server:1; /* the balancer had no server:
                                              the error tells why */
    unsigned                  keepalive:1; /* r->keepalive before the refusal */
    unsigned                  finalized:1; /* finalize_rc is known */
    unsigned                  error_sent:1; /* the error line was sent */
    unsigned                  has_task:1;  /* it has a task, or had one */
    unsigned                  cancelled:1; /* it was stopped */
    unsigned                  rest_ended:1; /* the reply was ended in the
                                              server's place */
    unsigned                  saving:1;    /* its last frame waits until it is
                                              saved */
};


/* Returns the ctx of a request, also after an internal redirect, or NULL. */
ngx_http_ollama_ctx_t *ngx_http_ollama_get_ctx(ngx_http_request_t *r);

/* The same, but creates it if there is none.  NULL: no memory. */
ngx_http_ollama_ctx_t *ngx_http_ollama_make_ctx(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_CTX_H_INCLUDED_ */
