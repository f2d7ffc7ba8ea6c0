
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_TYPES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/ngx_http_ollama_redis.h"


typedef struct ngx_http_ollama_store_s  ngx_http_ollama_store_t;

/* Is called once, from the event loop; may free the operation. */
typedef void (*ngx_http_ollama_store_handler_pt)(
    ngx_http_ollama_store_t *store);

/* NGX_ERROR: the reply isn't what the script returns */
typedef ngx_int_t (*ngx_http_ollama_store_read_pt)(
    ngx_http_ollama_store_t *store, redisReply *reply);


typedef enum {
    NGX_HTTP_OLLAMA_STORE_OK = 0,
    NGX_HTTP_OLLAMA_STORE_NONE,         /* no such session, or it belongs to
                                           another owner */
    NGX_HTTP_OLLAMA_STORE_GONE,         /* no such message in the session */
    NGX_HTTP_OLLAMA_STORE_BUSY,         /* store->task is running */
    NGX_HTTP_OLLAMA_STORE_LOST,         /* another task has, or had, the
                                           session: nothing was written */
    NGX_HTTP_OLLAMA_STORE_UNAVAILABLE   /* Redis failed, refused or was silent;
                                           a write may have been done, and may
                                           be tried again */
} ngx_http_ollama_store_e;


/* in strings data NULL stands for null; times are ms since 1970 */

typedef struct {
    ngx_str_t   id;
    ngx_str_t   title;
    ngx_str_t   model;
    ngx_str_t   system;
    int64_t     created;
    int64_t     updated;
} ngx_http_ollama_store_session_t;


typedef struct {
    ngx_str_t   id;           /* "3-0" */
    ngx_str_t   json;         /* as it is sent to servers */
    ngx_str_t   status;       /* "complete", "cancelled", "interrupted" */
    ngx_str_t   model;        /* this and what follows belong to replies only,
                                 where data is NULL if there is none */
    ngx_str_t   server;
    ngx_str_t   thinking;
    ngx_str_t   stats;        /* JSON */
    ngx_str_t   participant;
    int64_t     created;
    unsigned    more:1;       /* another reply follows: the outbox keeps the
                                 lock */
} ngx_http_ollama_store_message_t;


/* a change of a session's field: it is set, removed, or left alone */

typedef struct {
    ngx_str_t   value;        /* len 0, and given: it is removed */
    unsigned    given:1;
} ngx_http_ollama_store_field_t;


typedef struct {
    ngx_http_ollama_store_field_t  title;
    ngx_http_ollama_store_field_t  model;
    ngx_http_ollama_store_field_t  system;
} ngx_http_ollama_store_fields_t;


typedef struct {
    ngx_uint_t  limit;        /* messages at most */
    size_t      bytes;        /* of them, about */
} ngx_http_ollama_store_page_t;


/* a session that is copied, step by step; n of messages */

typedef struct {
    ngx_http_ollama_store_page_t   page;     /* of a step */
    ngx_http_ollama_store_field_t  title;    /* of the new session; not given:
                                                that of the other one */
    int64_t                        before;   /* the first one that is not
                                                copied; 0: all are */

    /* where it is: zeroed, with final -1, before the first step */

    int64_t                        n;        /* the last one copied */
    int64_t                        final;    /* the last one to be copied */
    int64_t                        next;     /* of the new session */
    int64_t                        written;  /* messages it has so far */
} ngx_http_ollama_store_copy_t;


/*
 * An operation; one at a time.  Its memory belongs to the caller, who zeroes
 * it.  The result is valid while the handler runs: strings lie in the reply.
 */

struct ngx_http_ollama_store_s {

    /* set by the caller */

    ngx_http_ollama_store_handler_pt   handler;
    void                              *data;
    ngx_log_t                         *log;
    int64_t                            ttl;       /* of what is written, ms;
                                                     0: it does not expire */
    unsigned                           ordered:1; /* reading comes after all
                                                     that was sent before */

    /* the result */

    ngx_http_ollama_store_e            result;
    ngx_http_ollama_store_session_t    session;   /* its id isn't set */
    ngx_str_t                          task;      /* that is running */
    ngx_str_t                          next;      /* cursor of a list */
    int64_t                            last;      /* n of the last message */
    ngx_uint_t                         total;     /* messages in the session,
                                                     or removed from it */
    ngx_uint_t                         unanswered; /* of these the last ones
                                                     that were added together
                                                     and got no reply */
    int64_t                            begun;     /* sequence number of the
                                                     task in the session */
    int64_t                            paged;     /* n of the last message of
                                                     this page */
    ngx_uint_t                         n;         /* items, for get_...() */
    unsigned                           more:1;    /* messages follow these */
    unsigned                           added:1;   /* the new ones are stored */

    /* private */

    ngx_http_ollama_redis_call_t       call;
    ngx_http_ollama_store_read_pt      read;
    ngx_http_ollama_store_copy_t      *copy;
    redisReply                       **items;
};


#endif /* _NGX_HTTP_OLLAMA_STORE_TYPES_H_INCLUDED_ */
