
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/ngx_http_ollama_redis.h"


typedef struct ngx_http_ollama_store_s  ngx_http_ollama_store_t;

/* Is called once, from the event loop; may free the operation. */
typedef void (*ngx_http_ollama_store_handler_pt)(
    ngx_http_ollama_store_t *store);

typedef ngx_int_t (*ngx_http_ollama_store_read_pt)(
    ngx_http_ollama_store_t *store, redisReply *reply);


typedef enum {
    NGX_HTTP_OLLAMA_STORE_OK = 0,
    NGX_HTTP_OLLAMA_STORE_NONE,         /* no such session, or not the
                                           owner's */
    NGX_HTTP_OLLAMA_STORE_BUSY,         /* store->task runs */
    NGX_HTTP_OLLAMA_STORE_LOST,         /* another task has, or had, the
                                           session: nothing was written */
    NGX_HTTP_OLLAMA_STORE_UNAVAILABLE   /* Redis failed, refused or was late;
                                           a write may have been done, and may
                                           be tried again */
} ngx_http_ollama_store_e;


/* of strings data NULL is null; times are ms since 1970 */

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
    ngx_str_t   json;         /* as servers are sent it */
    ngx_str_t   status;       /* "complete", "cancelled", "interrupted" */
    ngx_str_t   model;        /* these of a reply, data NULL: it has none */
    ngx_str_t   server;
    ngx_str_t   thinking;
    ngx_str_t   stats;        /* JSON */
    ngx_str_t   participant;
    int64_t     created;
} ngx_http_ollama_store_message_t;


/* a change of a session: each to be set, or removed, or left alone */

typedef struct {
    ngx_str_t   value;        /* len 0, and given: is removed */
    unsigned    given:1;
} ngx_http_ollama_store_field_t;


typedef struct {
    ngx_http_ollama_store_field_t  title;
    ngx_http_ollama_store_field_t  model;
    ngx_http_ollama_store_field_t  system;
} ngx_http_ollama_store_fields_t;


typedef struct {
    ngx_uint_t  limit;        /* at most so many messages, */
    size_t      bytes;        /* and about so many bytes */
} ngx_http_ollama_store_page_t;


/*
 * An operation, one at a time; its memory is the caller's, who zeroes it.  What
 * came of it is for the handler: strings are gone when that returns.
 */

struct ngx_http_ollama_store_s {

    /* set by the caller */

    ngx_http_ollama_store_handler_pt   handler;
    void                              *data;
    ngx_log_t                         *log;
    int64_t                            ttl;       /* ms, of what is written;
                                                     0: for ever */

    /* what came of it */

    ngx_http_ollama_store_e            result;
    ngx_http_ollama_store_session_t    session;   /* its id isn't set */
    ngx_str_t                          task;      /* which runs */
    ngx_str_t                          next;      /* cursor of a list */
    int64_t                            last;      /* n of the last message */
    ngx_uint_t                         total;     /* messages it has, or that
                                                     were removed */
    ngx_uint_t                         unanswered; /* of these, the last ones:
                                                     added together, and
                                                     nothing was said to them */
    int64_t                            begun;     /* the how manieth task it
                                                     is */
    int64_t                            paged;     /* n of the last one here */
    ngx_uint_t                         n;         /* of ..._get_...() */
    unsigned                           more:1;    /* messages after these */
    unsigned                           added:1;   /* the new ones are stored */

    /* its own */

    ngx_http_ollama_redis_call_t       call;
    ngx_http_ollama_store_read_pt      read;
    redisReply                       **items;
};


/*
 * NGX_OK: the handler will be called, never from within these functions, when
 * Redis has answered or was silent for its time limit.  NGX_ERROR: Redis isn't
 * available, or there is none; nothing will be called.  Arguments are copied.
 * A session's id and a task's are valid ones (ngx_http_ollama_id_is_valid());
 * an owner of length 0: none.
 */

ngx_int_t ngx_http_ollama_store_create(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields);

/* OK: session, task, messages after n with get_message(), last, more */
ngx_int_t ngx_http_ollama_store_read(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, int64_t after, ngx_uint_t limit,
    size_t bytes);

ngx_int_t ngx_http_ollama_store_patch(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields);
ngx_int_t ngx_http_ollama_store_delete(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner);

/* OK: total; BUSY */
ngx_int_t ngx_http_ollama_store_truncate(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, int64_t from);

/* OK: sessions with get_session(), next; the cursor is empty or one of these */
ngx_int_t ngx_http_ollama_store_list(ngx_http_ollama_store_t *store,
    ngx_str_t *owner, ngx_str_t *cursor, ngx_uint_t limit);
ngx_uint_t ngx_http_ollama_store_valid_cursor(ngx_str_t *cursor);

/* the same of those with these ids */
ngx_int_t ngx_http_ollama_store_named(ngx_http_ollama_store_t *store,
    ngx_str_t *owner, ngx_str_t *ids, ngx_uint_t n);


/*
 * A generation in a session: begin, then as many pages as there are, add what
 * is new, save each reply, the last one with its flag, or release.  It must
 * renew its lock in time, or others may take it.  Names may come again: what
 * follows begin names the task with a dot and "begun" behind it, "t1.7".
 */

/* OK: session, last, total, unanswered, begun; BUSY */
ngx_int_t ngx_http_ollama_store_begin(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock);

/*
 * As begin, and in one step with it the first page, from the first message on,
 * and add.  Nothing is added if the page doesn't have all messages, or if with
 * the new ones and a reply there would be more than "most"; new ones that are
 * the same as those unanswered are added already, and not in the page.
 * OK: as begin, and messages with get_json(), paged, more, added.
 */
ngx_int_t ngx_http_ollama_store_turn(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock,
    ngx_http_ollama_store_page_t *page, ngx_uint_t most, ngx_str_t *messages,
    ngx_uint_t count);

/* OK: messages after n with get_json(), paged, more */
ngx_int_t ngx_http_ollama_store_page(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, int64_t after, ngx_uint_t limit, size_t bytes);

/*
 * Both append: n is one more than the last one's, and what an earlier try has
 * written is OK.  Messages are JSON.
 */

ngx_int_t ngx_http_ollama_store_add(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, int64_t n, ngx_str_t *messages,
    ngx_uint_t count);

/* the message's id and time aren't looked at; LOST or OK */
ngx_int_t ngx_http_ollama_store_save(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, int64_t n,
    ngx_http_ollama_store_message_t *message, ngx_uint_t last);


/* n of the reply, 0: not known yet; LOST also when that is stored */
ngx_int_t ngx_http_ollama_store_renew(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, ngx_msec_t lock, int64_t n);

/* ... with what it has added, or without */
ngx_int_t ngx_http_ollama_store_release(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task);
ngx_int_t ngx_http_ollama_store_withdraw(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task);


/* The handler won't be called; also for an operation that isn't under way. */
void ngx_http_ollama_store_forget(ngx_http_ollama_store_t *store);


/* In the handler: of store->n items the one at i; what isn't there is null. */

void ngx_http_ollama_store_get_session(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_http_ollama_store_session_t *session);
void ngx_http_ollama_store_get_message(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_http_ollama_store_message_t *message);
void ngx_http_ollama_store_get_json(ngx_http_ollama_store_t *store,
    ngx_uint_t i, ngx_str_t *json);


#endif /* _NGX_HTTP_OLLAMA_STORE_H_INCLUDED_ */
