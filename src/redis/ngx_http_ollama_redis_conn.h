
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REDIS_CONN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REDIS_CONN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#include <hiredis/hiredis.h>

#include "redis/ngx_http_ollama_redis_conf.h"


#define NGX_HTTP_OLLAMA_REDIS_REASON  128


typedef struct ngx_http_ollama_redis_conn_s   ngx_http_ollama_redis_conn_t;
typedef struct ngx_http_ollama_redis_entry_s  ngx_http_ollama_redis_entry_t;


/*
 * Takes the reply to a command, or NULL: there is none, and the connection's
 * reason says why.  NGX_AGAIN: the entry was sent once more, else it is
 * destroyed.  NGX_ERROR: the connection is of no use, its reason says why; the
 * same as NGX_OK if there was no reply.
 */

typedef ngx_int_t (*ngx_http_ollama_redis_entry_pt)(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);


/* A command on its way: lives in a pool of its own until its reply came. */

struct ngx_http_ollama_redis_entry_s {

    /* the sender's; zeroed */

    ngx_http_ollama_redis_entry_pt   handler;
    void                            *data;       /* whose it is; NULL: nobody
                                                    waits any more */
    void                            *script;
    ngx_uint_t                       argc;
    unsigned                         again:1;    /* sent for the second time */
    unsigned                         inner:1;    /* not a caller's: the process
                                                    may exit */

    ngx_pool_t                      *pool;
    ngx_chain_t                      head;       /* goes first, if not empty */
    ngx_chain_t                      rest;       /* filled in by the sender */

    /* the connection's */

    ngx_queue_t                      queue;
    ngx_msec_t                       since;      /* when it was sent to us */
    size_t                           size;
    off_t                            end;        /* of its bytes, in all that
                                                    the connection sends */
};


typedef enum {
    NGX_HTTP_OLLAMA_REDIS_OFF = 0,     /* not wanted */
    NGX_HTTP_OLLAMA_REDIS_WAITING,     /* for the next attempt */
    NGX_HTTP_OLLAMA_REDIS_CONNECTING,  /* until it has greeted us */
    NGX_HTTP_OLLAMA_REDIS_READY
} ngx_http_ollama_redis_state_e;


struct ngx_http_ollama_redis_conn_s {

    /* set by the owner, the rest zeroed */

    ngx_str_t                        what;       /* for logs: "" or " for x" */

    /* NGX_ERROR: it can't be used, the reason says why */
    ngx_int_t                      (*ready)(ngx_http_ollama_redis_conn_t *conn);

    /* NGX_OK: took a reply that answers no command; or NULL */
    ngx_int_t                      (*push)(ngx_http_ollama_redis_conn_t *conn,
                                           redisReply *reply);

    /* for the owner */

    ngx_http_ollama_redis_state_e    state;
    ngx_http_ollama_redis_conf_t    *conf;
    ngx_str_t                        reason;     /* why it is down */

    /* its own */

    ngx_uint_t                       addr;       /* of conf's, the next */
    ngx_uint_t                       tried;      /* of them, in this round */
    ngx_uint_t                       failures;   /* rounds in a row */
    ngx_msec_t                       moved;      /* when bytes last came, or
                                                    were found to be taken */
    ngx_msec_t                       up;         /* when it became ready */
    ngx_msec_t                       deadline;   /* of the connect */
    ngx_msec_t                       limit;      /* of all, when leaving */

    ngx_peer_connection_t            peer;
    redisReader                     *reader;
    ngx_queue_t                      pending;    /* entries, in order; to be
                                                    answered */
    ngx_queue_t                      waiting;    /* those for a connection */
    ngx_uint_t                       count;      /* of both */
    ngx_uint_t                       held;       /* of these, a caller's */
    size_t                           size;       /* bytes of them */
    ngx_chain_t                     *out;        /* not sent yet */
    ngx_chain_t                    **last;
    off_t                            queued;     /* bytes for this connection */
    off_t                            taken;      /* of these, when last asked */

    ngx_event_t                      timer;
    ngx_connection_t                 dummy;      /* behind it */
    ngx_log_t                        quiet;      /* the socket's */
    u_char                           text[NGX_HTTP_OLLAMA_REDIS_REASON];
    u_char                           logged[NGX_HTTP_OLLAMA_REDIS_REASON];
    size_t                           logged_len; /* 0: it is up, or new */
    unsigned                         hopeful:1;  /* no attempt failed yet */
    unsigned                         closing:1;  /* no other attempt */
    unsigned                         leaving:1;  /* nor is "limit" passed */
};


/* NULL: there is no "ollama_redis" */
ngx_http_ollama_redis_conf_t *ngx_http_ollama_redis_conn_conf(void);

/* Begins to connect, from the event loop; nothing if it has begun. */
void ngx_http_ollama_redis_conn_start(ngx_http_ollama_redis_conn_t *conn);

/* At the end of the process: no handler is called. */
void ngx_http_ollama_redis_conn_stop(ngx_http_ollama_redis_conn_t *conn);

ngx_uint_t ngx_http_ollama_redis_conn_available(
    ngx_http_ollama_redis_conn_t *conn);

/* Sets the reason; returns NGX_ERROR. */
ngx_int_t ngx_http_ollama_redis_conn_reason(
    ngx_http_ollama_redis_conn_t *conn, const char *fmt, ...);

/* The same, where a system call failed, or with 0 because of our limits. */
ngx_int_t ngx_http_ollama_redis_conn_broken(
    ngx_http_ollama_redis_conn_t *conn, ngx_err_t err);


#endif /* _NGX_HTTP_OLLAMA_REDIS_CONN_H_INCLUDED_ */
