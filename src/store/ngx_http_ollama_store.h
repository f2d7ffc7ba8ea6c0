
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_reply.h"
#include "store/ngx_http_ollama_store_types.h"


/*
 * Operations.  NGX_OK: the handler will be called, never from within these
 * functions, when Redis has answered or was silent for its time limit.
 * NGX_ERROR: Redis isn't available, or there is no "ollama_redis"; nothing will
 * be called.  Those that only read may be executed before others that were sent
 * first, but not before those that were answered; unless store->ordered is set.
 *  Arguments are copied.  Ids of sessions and tasks must be valid
 * (ngx_http_ollama_id_is_valid()); an owner of length 0 is none.
 *
 * The result is in store->result, which may be UNAVAILABLE with each of them,
 * and, unless said otherwise, NONE.  What else is set if it is OK is said here.
 */

/*
 * Create a session, where NONE says that the id is taken; change it: session.
 * It may be created with messages, "count" of them, whose largest one has "big"
 * bytes: then fill has written them, or it is LOST.
 */
ngx_int_t ngx_http_ollama_store_create(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields,
    ngx_uint_t count, size_t big);
ngx_int_t ngx_http_ollama_store_patch(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields);

/*
 * Writes messages, number n and following, of a session that will be created.
 * They expire within a minute if it isn't.  Their ids are ignored.
 */
ngx_int_t ngx_http_ollama_store_fill(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, int64_t n, ngx_http_ollama_store_message_t *messages,
    ngx_uint_t count);

/*
 * A step of a copy of session "from" of this owner: more, and then "copy" is
 * set for the next step; or session, it is done, and the new one, "sid",
 * exists.  Or GONE, there is no message "before"; or LOST: the session, or what
 * was copied of it, has lost messages meanwhile, the copy must begin anew.
 * Before the last step there is no new session, and what was copied expires
 * within a minute.
 */
ngx_int_t ngx_http_ollama_store_copy(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *from, ngx_str_t *owner,
    ngx_http_ollama_store_copy_t *copy);

/*
 * Reads a session with its messages after number "after", 0: from the first one
 * on: session, task, more, and messages for get_message(), at most "limit" and
 * "bytes" of them, but one at least.  Or GONE.  read_back has the last ones
 * before number "before", 0: of all; then "more" are in front of these.
 */
ngx_int_t ngx_http_ollama_store_read(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, int64_t after, ngx_uint_t limit,
    size_t bytes);
ngx_int_t ngx_http_ollama_store_read_back(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, int64_t before, ngx_uint_t limit,
    size_t bytes);

/* Deletes a session, also one with a running task. */
ngx_int_t ngx_http_ollama_store_delete(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner);

/* Deletes the messages from number "from" on: total.  Or BUSY, or GONE. */
ngx_int_t ngx_http_ollama_store_truncate(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, int64_t from);

/*
 * Lists an owner's sessions, the latest first, from the cursor on, which is
 * empty or the "next" of a list: sessions for get_session(), and next.  Never
 * NONE.
 */
ngx_int_t ngx_http_ollama_store_list(ngx_http_ollama_store_t *store,
    ngx_str_t *owner, ngx_str_t *cursor, ngx_uint_t limit);

/* Tells if a client's text may be a cursor: a time, a dot and an id. */
ngx_uint_t ngx_http_ollama_store_valid_cursor(ngx_str_t *cursor);

/* Lists those of n ids that are sessions of this owner: for get_session(). */
ngx_int_t ngx_http_ollama_store_named(ngx_http_ollama_store_t *store,
    ngx_str_t *owner, ngx_str_t *ids, ngx_uint_t n);


/*
 * A task in a session: begin, then as many pages as there are, add what is new,
 * save each reply, the last one with its flag, or release.  The task must renew
 * its lock in time, or others may take it.  As names of tasks may come again,
 * all that follows begin names the task with a dot and its "begun" behind, as
 * in "t1.7".  Locks are in ms.
 */

/* Locks the session: session, last, total, unanswered, begun.  Or BUSY. */
ngx_int_t ngx_http_ollama_store_begin(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock);

/*
 * begin, the first page and add in one step: as begin, and paged, more, added,
 * and messages for get_json(); none of them if there may be one that is larger
 * than the page.  Nothing is added if the page doesn't have all messages, or if
 * with the new ones and a reply there would be more than "most".  New messages
 * that are the same as those unanswered count as added, and are not in the
 * page.
 */
ngx_int_t ngx_http_ollama_store_turn(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock,
    ngx_http_ollama_store_page_t *page, ngx_uint_t most, ngx_str_t *messages,
    ngx_uint_t count);

/* Reads messages after number "after": paged, more, and for get_json(). */
ngx_int_t ngx_http_ollama_store_page(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, int64_t after, ngx_uint_t limit, size_t bytes);

/*
 * Appends messages, which are JSON, as number n and following; n is one more
 * than that of the last message.  OK also if an earlier try has done that.  Or
 * LOST.
 */
ngx_int_t ngx_http_ollama_store_add(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, int64_t n, ngx_str_t *messages,
    ngx_uint_t count);

/*
 * The same with a reply, whose id and time are ignored; "last" releases the
 * lock, whatever the result is.
 */
ngx_int_t ngx_http_ollama_store_save(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, int64_t n,
    ngx_http_ollama_store_message_t *message, ngx_uint_t last);

/*
 * Prolongs the lock, or takes it again if it expired and nobody else has it.
 * n is the number of the last reply, 0: not known yet.  Or LOST, also when that
 * reply is stored.
 */
ngx_int_t ngx_http_ollama_store_renew(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, ngx_msec_t lock, int64_t n);

/*
 * Release the lock.  withdraw also deletes the task's new messages, whoever
 * stored them: numbers from to to, if no other has been given since; that also
 * if the lock has expired and no other task took it.  LOST, and never NONE: the
 * lock isn't the task's.
 */
ngx_int_t ngx_http_ollama_store_release(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task);
ngx_int_t ngx_http_ollama_store_withdraw(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, int64_t from, int64_t to);


/*
 * Its handler won't be called, and its memory may be freed; also for an
 * operation that isn't under way.  What was sent to Redis is done all the same.
 */
void ngx_http_ollama_store_forget(ngx_http_ollama_store_t *store);


#endif /* _NGX_HTTP_OLLAMA_STORE_H_INCLUDED_ */
