
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
 * the call.  The reply is hiredis's, and valid until the handler returns; it is
 * NULL if there is none or it is an error.  Errors inside an array are not
 * looked for.
 */

typedef void (*ngx_http_ollama_redis_handler_pt)(
    ngx_http_ollama_redis_call_t *call, redisReply *reply);


/* A command whose reply is waited for; its memory is the caller's. */

struct ngx_http_ollama_redis_call_s {

    /* set by the caller */

    ngx_http_ollama_redis_handler_pt   handler;
    void                              *data;

    /* for the handler, where the reply is NULL */

    ngx_str_t                          error;     /* gone when it returns */
    unsigned                           refused:1; /* by Redis, the error is its:
                                                     "READONLY You can't ...";
                                                     else it may or may not
                                                     have done the command */

    /* its own */

    void                              *entry;     /* NULL: nothing is waited
                                                     for */
};


/* A Lua script; static, as what is left is filled in when it is first run. */

typedef struct {
    ngx_str_t                          text;
    u_char                             sha1[40];
    ngx_flag_t                         known;     /* sha1 is that of the text */
} ngx_http_ollama_redis_script_t;

#define ngx_http_ollama_redis_script_text(text)                               \
    { ngx_string(text), { 0 }, 0 }


typedef struct {

    /* set by the subscriber, the rest zeroed; lives as long as it is one */

    ngx_str_t                          channel;   /* with the prefix, if it is
                                                     to have one */
    void                             (*handler)(void *data,
                                                ngx_str_t *message);

    /*
     * messages may have been missed until now, and commands are taken: after
     * the first connect, and each time a connection came back
     */

    void                             (*reconnected)(void *data);
    void                              *data;

    /* its own */

    ngx_queue_t                        queue;
    void                              *entry;     /* SUBSCRIBE's, unanswered */
    unsigned                           active:1;
    unsigned                           due:1;     /* reconnected() is */
} ngx_http_ollama_redis_subscription_t;


ngx_int_t ngx_http_ollama_redis_init_worker(ngx_cycle_t *cycle);
void ngx_http_ollama_redis_exit_worker(void);

/*
 * Whether a command would be taken now.  None is while there is no connection:
 * it would wait for nothing.  Only those wait that come before it is known for
 * the first time whether Redis is there, for no longer than the time limit.
 */
ngx_uint_t ngx_http_ollama_redis_available(void);

/* ... and whether it is better left to those who wait for an answer */
ngx_uint_t ngx_http_ollama_redis_is_busy(void);

/* of keys and channels; only where there is "ollama_redis" */
ngx_str_t *ngx_http_ollama_redis_prefix(void);

/*
 * NGX_OK: the handler will be called, never from within these functions, when
 * Redis has answered or was silent for the time limit.  NGX_ERROR: Redis isn't
 * available, or too much waits for it; nothing will be called.  What argv
 * points to is copied.
 *
 * All of a worker share a connection, on which commands are done in the order
 * in which they came.  So MULTI, WATCH, SELECT and commands that block have no
 * place here: what must be done at once is a script.
 */
ngx_int_t ngx_http_ollama_redis_command(ngx_http_ollama_redis_call_t *call,
    ngx_uint_t argc, ngx_str_t *argv);

/*
 * The first nkeys of argv are keys.  Where Redis doesn't know the script yet,
 * it is sent to it, and gets the time limit once more.
 */
ngx_int_t ngx_http_ollama_redis_script(ngx_http_ollama_redis_call_t *call,
    ngx_http_ollama_redis_script_t *script, ngx_uint_t nkeys, ngx_uint_t argc,
    ngx_str_t *argv);

/*
 * The handler won't be called, and the call may be freed; at any time, also
 * from another call's handler or for one that isn't under way.  The command is
 * done all the same.
 */
void ngx_http_ollama_redis_forget(ngx_http_ollama_redis_call_t *call);

/* NGX_ERROR: there is no "ollama_redis", or the channel has a subscriber. */
ngx_int_t ngx_http_ollama_redis_subscribe(
    ngx_http_ollama_redis_subscription_t *sub);


#endif /* _NGX_HTTP_OLLAMA_REDIS_H_INCLUDED_ */
