
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REDIS_WIRE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REDIS_WIRE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#include <hiredis/hiredis.h>

#include "redis/ngx_http_ollama_redis_conf.h"
#include "util/ngx_http_ollama_timer.h"


/* the longest reason for a log, in bytes */
#define NGX_HTTP_OLLAMA_REDIS_REASON  128


typedef struct ngx_http_ollama_redis_conn_s   ngx_http_ollama_redis_conn_t;
typedef struct ngx_http_ollama_redis_entry_s  ngx_http_ollama_redis_entry_t;


/*
 * Takes the reply to a command, or NULL: there is none, and the connection's
 * reason tells why.  The reply is freed when this returns.  NGX_AGAIN: the
 * entry was sent once more, otherwise it is destroyed.  NGX_ERROR: the
 * connection can't be used any longer, and its reason was set; the same as
 * NGX_OK if there was no reply.
 */

typedef ngx_int_t (*ngx_http_ollama_redis_entry_pt)(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);


/*
 * A command and its bytes.  It lies in a pool of its own, which is destroyed
 * after its handler was called.
 */

struct ngx_http_ollama_redis_entry_s {

    /* set by the sender, the rest is zeroed */

    ngx_http_ollama_redis_entry_pt   handler;
    void                            *data;       /* the sender's; NULL: the
                                                    reply is not wanted */
    void                            *script;
    ngx_uint_t                       argc;
    unsigned                         resent:1;   /* this is the second time */
    unsigned                         internal:1; /* of the connection itself:
                                                    does not keep the process
                                                    from exiting */

    ngx_pool_t                      *pool;
    ngx_chain_t                      head;       /* goes first, if not empty */
    ngx_chain_t                      rest;       /* filled in by the sender */

    /* private */

    ngx_queue_t                      queue;      /* conn->pending or waiting */
    ngx_msec_t                       since;      /* when it was queued */
    size_t                           size;       /* of "rest" */
    off_t                            end;        /* of its bytes among those of
                                                    the connection */
};


typedef enum {
    NGX_HTTP_OLLAMA_REDIS_OFF = 0,     /* not started */
    NGX_HTTP_OLLAMA_REDIS_WAITING,     /* for the next attempt */
    NGX_HTTP_OLLAMA_REDIS_CONNECTING,  /* until Redis answered the greeting */
    NGX_HTTP_OLLAMA_REDIS_READY
} ngx_http_ollama_redis_state_e;


/* A connection; redis_conn opens and closes it. */

struct ngx_http_ollama_redis_conn_s {

    /* set by the owner, the rest is zeroed */

    ngx_str_t                        what;       /* for logs: "" or " for x" */

    ngx_uint_t                       window;     /* commands sent at once, the
                                                    others wait; 0: any number.
                                                    With it, the connection's
                                                    end is not logged as an
                                                    error but for time-outs: an
                                                    other one has it, too */

    /* NGX_ERROR: it can't be used, and the reason was set */
    ngx_int_t                      (*ready)(ngx_http_ollama_redis_conn_t *conn);

    /* NGX_OK: it took a reply that answers no command; or NULL */
    ngx_int_t                      (*push)(ngx_http_ollama_redis_conn_t *conn,
                                           redisReply *reply);

    /* to be read by the owner */

    ngx_http_ollama_redis_state_e    state;
    ngx_uint_t                       number;     /* how often it was begun to
                                                    connect */
    ngx_http_ollama_redis_conf_t    *conf;
    ngx_str_t                        reason;     /* why it is down */

    /* private */

    ngx_uint_t                       addr;       /* of conf's, the next one */
    ngx_uint_t                       tried;      /* addresses in this round */
    ngx_uint_t                       failures;   /* rounds in a row */
    ngx_msec_t                       moved;      /* when bytes last came, or
                                                    were found to be taken */
    ngx_msec_t                       up;         /* when it became ready */
    ngx_msec_t                       deadline;   /* of the connect */
    ngx_msec_t                       limit;      /* of all, when leaving */

    ngx_peer_connection_t            peer;
    redisReader                     *reader;
#if (HIREDIS_MAJOR < 1)
    redisReplyObjectFunctions        functions;  /* of the reader */
    void                          *(*create_array)(const redisReadTask *task,
                                                   int n);
#endif
    ngx_queue_t                      pending;    /* entries sent or to be sent,
                                                    in order */
    ngx_queue_t                      waiting;    /* those for a connection, or
                                                    for others to be answered */
    ngx_uint_t                       count;      /* entries in both */
    ngx_uint_t                       sent;       /* entries in "pending" */
    ngx_uint_t                       calls;      /* of these, not internal */
    size_t                           size;       /* of all entries */
    ngx_chain_t                     *out;        /* not sent yet */
    ngx_chain_t                    **last;
    off_t                            queued;     /* bytes for this connection */
    off_t                            taken;      /* of these by the server's
                                                    side, when last asked */

    ngx_http_ollama_timer_t          timer;
    ngx_log_t                        log;        /* logs nothing but alerts */
    u_char                           text[NGX_HTTP_OLLAMA_REDIS_REASON];
    u_char                           logged[NGX_HTTP_OLLAMA_REDIS_REASON];
    size_t                           logged_len; /* 0: it is up, or new */
    unsigned                         undecided:1; /* no attempt failed yet */
    unsigned                         closing:1;  /* no further attempt */
    unsigned                         leaving:1;  /* "limit" holds */
};


/*
 * Creates an entry whose "rest" has room for "size" bytes.  NULL: there is no
 * memory.  Owned by the caller until it is sent, which must be the next thing
 * done with the connection.
 */
ngx_http_ollama_redis_entry_t *ngx_http_ollama_redis_wire_entry(
    ngx_http_ollama_redis_conn_t *conn, size_t size);

/*
 * Queues an entry; its time limit begins.  It is sent at the end of this turn
 * of the event loop, or when the connection is ready.  No handler is called
 * from here.
 */
void ngx_http_ollama_redis_wire_send(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry);

/*
 * Creates an entry with the bytes of a command, which are copied.  NULL: there
 * is no memory.
 */
ngx_http_ollama_redis_entry_t *ngx_http_ollama_redis_wire_command(
    ngx_http_ollama_redis_conn_t *conn, ngx_uint_t argc, ngx_str_t *argv);

/*
 * Writes arguments in Redis's format to p and returns how many bytes that were.
 * With p NULL returns how many bytes they may take at most.
 */
size_t ngx_http_ollama_redis_wire_args(u_char *p, ngx_uint_t argc,
    ngx_str_t *argv);

/*
 * The text of an error reply, or one that says that the reply isn't what was
 * expected.  It lies in the reply.
 */
ngx_str_t ngx_http_ollama_redis_wire_error(redisReply *reply);

/* Sets the connection's reason, cut to what there is room for.  NGX_ERROR. */
ngx_int_t ngx_http_ollama_redis_wire_reason(
    ngx_http_ollama_redis_conn_t *conn, const char *fmt, ...);

/*
 * The same after a system call failed, by its errno, or after nginx ran out of
 * memory or connections, by 0.
 */
ngx_int_t ngx_http_ollama_redis_wire_broken(
    ngx_http_ollama_redis_conn_t *conn, ngx_err_t err);

/* Creates conn->reader.  NGX_ERROR: there is no memory. */
ngx_int_t ngx_http_ollama_redis_wire_reader(
    ngx_http_ollama_redis_conn_t *conn);

/*
 * Has the bytes of those that wait sent at the end of this turn of the event
 * loop, as many as the window allows.
 */
void ngx_http_ollama_redis_wire_push_waiting(
    ngx_http_ollama_redis_conn_t *conn);

/* Takes an entry that was removed from its queue out of the counts. */
void ngx_http_ollama_redis_wire_release(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry);

/*
 * Tells if the server's side has taken bytes of the command that waits longest
 * since this was last asked, if it is a large one.  Bytes of others don't
 * count: the system's buffers take them also if the server stands still.
 */
ngx_uint_t ngx_http_ollama_redis_wire_progress(
    ngx_http_ollama_redis_conn_t *conn);

/*
 * Write and read what can be without waiting; reading calls the handlers of the
 * entries that are answered.  NGX_ERROR: the reason was set, and the connection
 * must be closed.
 */
ngx_int_t ngx_http_ollama_redis_wire_flush(
    ngx_http_ollama_redis_conn_t *conn);
ngx_int_t ngx_http_ollama_redis_wire_recv(
    ngx_http_ollama_redis_conn_t *conn);


#endif /* _NGX_HTTP_OLLAMA_REDIS_WIRE_H_INCLUDED_ */
