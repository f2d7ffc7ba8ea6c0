
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REDIS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <hiredis/hiredis.h>


typedef struct ngx_http_ollama_redis_call_s  ngx_http_ollama_redis_call_t;


/*
 * Is called once for a command that was taken, from the event loop; may free
 * the call.  The reply is valid until the handler returns; it is NULL if there
 * is none or it is an error.  Errors inside an array are not looked for.
 */

typedef void (*ngx_http_ollama_redis_handler_pt)(
    ngx_http_ollama_redis_call_t *call, redisReply *reply);


/* A command whose reply is waited for; its memory belongs to the caller. */

struct ngx_http_ollama_redis_call_s {

    /* set by the caller */

    ngx_http_ollama_redis_handler_pt   handler;
    void                              *data;

    /* for the handler, if the reply is NULL; valid until it returns */

    ngx_str_t                          error;
    unsigned                           refused:1; /* the error is Redis's, as
                                                     "READONLY You can't ...";
                                                     otherwise it isn't known
                                                     if the command was done */

    /* private */

    void                              *entry;     /* NULL: no reply is waited
                                                     for */
};


/* A Lua script; must be static, and is completed when it is first run. */

typedef struct {
    ngx_str_t                          text;
    u_char                             sha1[40];
    ngx_flag_t                         known;     /* sha1 is that of the text */
    ngx_uint_t                         loaded;    /* number of the connection
                                                     that its text was sent by;
                                                     0: none */
    ngx_uint_t                         loaded_large; /* of those for large
                                                     replies */
} ngx_http_ollama_redis_script_t;

#define ngx_http_ollama_redis_script_text(text)                               \
    { ngx_string(text), { 0 }, 0, 0, 0 }


/* Lives as long as the process. */

typedef struct {

    /* set by the subscriber, the rest is zeroed */

    ngx_str_t                          channel;   /* as Redis knows it, with
                                                     the prefix */
    void                             (*handler)(void *data,
                                                ngx_str_t *message); /* may be
                                                     NULL, as reconnected() */

    /*
     * messages may have been missed until now, and commands are taken: after
     * the first connect, and after each later one
     */

    void                             (*reconnected)(void *data);
    void                              *data;

    /* private */

    ngx_queue_t                        queue;
    void                              *entry;     /* SUBSCRIBE's, unanswered */
    unsigned                           active:1;
    unsigned                           due:1;     /* to call reconnected() */
} ngx_http_ollama_redis_subscription_t;


/* Begins to connect, if there is an "ollama_redis". */
ngx_int_t ngx_http_ollama_redis_init_worker(ngx_cycle_t *cycle);

/*
 * At the end of the process: closes all connections; no handler is called.
 * Also if none was opened.
 */
void ngx_http_ollama_redis_exit_worker(void);

/*
 * Tells if a command would be taken now.  None is without a connection, as it
 * would wait for nothing; except that before it is known for the first time
 * whether Redis is there, commands wait for that, for the time limit at most.
 */
ngx_uint_t ngx_http_ollama_redis_available(void);

/* Tells if many commands wait: others that can be sent later should be. */
ngx_uint_t ngx_http_ollama_redis_is_busy(void);

/* The prefix of keys and channels; NULL: there is no "ollama_redis". */
ngx_str_t *ngx_http_ollama_redis_prefix(void);

/*
 * Sends a command; what argv points to is copied.  NGX_OK: the handler will be
 * called, never from within these functions, when Redis has answered or was
 * silent for the time limit.  NGX_ERROR: Redis isn't available, too much waits
 * for it, or there is no memory; nothing will be called.
 *
 * All commands and scripts of a worker but large ones share a connection, which
 * executes them in the order in which they came.  So MULTI, WATCH, SELECT and
 * commands that block are not possible: what must be done atomically is a
 * script.
 */
ngx_int_t ngx_http_ollama_redis_command(ngx_http_ollama_redis_call_t *call,
    ngx_uint_t argc, ngx_str_t *argv);

/*
 * The same with a script; the first nkeys of argv are keys.  Its text is sent
 * the first time on a connection.  If Redis has lost it since, it is sent once
 * more, which may be after later ones, and the time limit begins anew.
 */
ngx_int_t ngx_http_ollama_redis_script(ngx_http_ollama_redis_call_t *call,
    ngx_http_ollama_redis_script_t *script, ngx_uint_t nkeys, ngx_uint_t argc,
    ngx_str_t *argv);

/*
 * The same with a script whose reply may be large: it goes by a connection of
 * its own, may be executed before what was sent by the other one, and waits
 * until few others are under way.
 */
ngx_int_t ngx_http_ollama_redis_script_large(
    ngx_http_ollama_redis_call_t *call, ngx_http_ollama_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv);

/*
 * The handler won't be called, and the call may be freed; at any time, also
 * from another call's handler or for a call that isn't under way.  The command
 * is done all the same.
 */
void ngx_http_ollama_redis_forget(ngx_http_ollama_redis_call_t *call);

/*
 * Subscribes, and again after each connect.  NGX_ERROR: there is no
 * "ollama_redis" or no memory, or the channel has a subscriber.
 */
ngx_int_t ngx_http_ollama_redis_subscribe(
    ngx_http_ollama_redis_subscription_t *sub);

/* Tells if messages to it come, as far as the worker knows. */
ngx_uint_t ngx_http_ollama_redis_subscribed(
    ngx_http_ollama_redis_subscription_t *sub);


#endif /* _NGX_HTTP_OLLAMA_REDIS_H_INCLUDED_ */
