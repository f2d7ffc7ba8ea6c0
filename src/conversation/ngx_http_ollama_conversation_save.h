
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_SAVE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_SAVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation.h"
#include "store/ngx_http_ollama_lock.h"
#include "store/ngx_http_ollama_store.h"


/*
 * A conversation in its session: what conversation_session, which begins it,
 * and conversation_save have in common; nobody else includes it.
 */

struct ngx_http_ollama_conversation_save_s {
    ngx_http_ollama_conversation_t    *conversation;
    ngx_http_ollama_store_t            store;
    ngx_http_ollama_lock_t             lock;
    ngx_str_t                          owner;
    ngx_str_t                          initial;  /* the first message, JSON */
    int64_t                            read;     /* n of the last one read */
    int64_t                            n;        /* of the last one stored, or
                                                    to be stored */
    ngx_queue_t                        unsaved;

    unsigned                           unanswered:1; /* one message was not,
                                                        the last */
    unsigned                           same:1;   /* the last one read is the
                                                    first message */
    unsigned                           asked:1;  /* for the lock */
    unsigned                           lost:1;   /* nothing more is stored */
    unsigned                           given:1;  /* the lock, back */
};


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_SAVE_H_INCLUDED_ */
