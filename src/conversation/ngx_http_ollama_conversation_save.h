
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_SAVE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_SAVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_json.h"
#include "conversation/ngx_http_ollama_conversation_state.h"
#include "store/ngx_http_ollama_lock.h"
#include "store/ngx_http_ollama_store.h"


/*
 * A conversation in its session, in the request's pool: made and begun by
 * conversation_session, which reads the history by the same operation.
 */

struct ngx_http_ollama_conversation_save_s {
    ngx_http_ollama_conversation_t    *conversation;
    ngx_http_ollama_store_t            store;
    ngx_http_ollama_lock_t             lock;
    ngx_str_t                          owner;
    ngx_str_t                          initial;  /* the initial message, JSON */
    ngx_uint_t                         total;    /* messages in the history */
    ngx_uint_t                         seen;     /* of these, read so far */
    int64_t                            read;     /* n of the last one read */
    int64_t                            n;        /* of the last message that is
                                                    stored, or to be stored */
    ngx_queue_t                        unsaved;
    size_t                             size;     /* bytes of these, about */

    unsigned                           unanswered:1; /* the last message of the
                                                    history has no reply */
    unsigned                           same:1;   /* it is the initial one,
                                                    which was sent before */
    unsigned                           locking:1; /* Redis may have locked the
                                                    session */
    unsigned                           failed:1; /* nothing more is stored */
    unsigned                           refused:1; /* a server refuses the
                                                    initial message for good */
    unsigned                           released:1; /* the lock is, or the outbox
                                                    will do it; or none */
};


/*
 * Stores a turn's reply.  Takes the turn's pool, and with it the turn; the
 * strings lie in that pool.  "last": no reply follows, the lock is released
 * with it.  NGX_AGAIN: calls conv->next() when Redis has answered; NGX_OK:
 * there is nothing to wait for, whether or not it will be stored.
 */
ngx_int_t ngx_http_ollama_conversation_save(
    ngx_http_ollama_conversation_t *conv, ngx_http_ollama_turn_t *turn,
    ngx_str_t *status, ngx_str_t *message, ngx_str_t *stats, ngx_uint_t last);

/* What the closing object says: all was stored, not all, or no session. */
ngx_http_ollama_conversation_saved_e ngx_http_ollama_conversation_save_result(
    ngx_http_ollama_conversation_t *conv);

/*
 * Ends it, also more than once: conv->next() won't be called.  The outbox gets
 * what isn't stored, and releases the lock if that has not been done.
 */
void ngx_http_ollama_conversation_save_end(
    ngx_http_ollama_conversation_t *conv);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_SAVE_H_INCLUDED_ */
