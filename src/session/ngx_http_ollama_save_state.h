
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SAVE_STATE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SAVE_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "core/ngx_http_ollama_ctx.h"
#include "reply/ngx_http_ollama_capture.h"
#include "store/ngx_http_ollama_lock.h"
#include "store/ngx_http_ollama_store.h"


/* A reply that is saved: the state of save, for save_message, too. */

struct ngx_http_ollama_save_s {
    ngx_http_request_t         *request;
    ngx_http_ollama_ctx_t      *ctx;
    ngx_http_ollama_store_t     store;     /* the operation that saves */
    ngx_http_ollama_lock_t      lock;

    int64_t                     n;         /* of the message; 0: none yet */
    int64_t                     added;     /* new messages before it */
    ngx_http_ollama_capture_t  *capture;   /* NULL: no reply so far */
    off_t                       pos;       /* bytes of the reply so far */

    ngx_http_ollama_store_message_t  message;  /* made when it is stored */

    ngx_chain_t                *held;      /* the end of the reply */
    ngx_chain_t               **last;

    size_t                      held_size;

    unsigned                    final_seen:1; /* before it was stopped */
    unsigned                    holding:1;
    unsigned                    saving:1;  /* the last operation has begun */
    unsigned                    settled:1; /* it has ended, or the outbox has
                                              the message */
    unsigned                    refused:1; /* by the server, for good */
    unsigned                    passing:1; /* nothing is held any more */
    unsigned                    last_buf:1; /* one that is held was the last */
};


#endif /* _NGX_HTTP_OLLAMA_SAVE_STATE_H_INCLUDED_ */
