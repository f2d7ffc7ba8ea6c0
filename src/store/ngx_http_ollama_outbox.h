
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_OUTBOX_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_OUTBOX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"


#define NGX_HTTP_OLLAMA_OUTBOX_WITHDRAW  -1


/*
 * The end of a task in a session: its reply is to be stored as message n, for
 * ttl ms; or if that is NULL just the lock to be given back, with what it has
 * added if n is NGX_HTTP_OLLAMA_OUTBOX_WITHDRAW.  All is copied.
 */
void ngx_http_ollama_outbox_add(ngx_str_t *sid, ngx_str_t *task, int64_t ttl,
    int64_t n, ngx_http_ollama_store_message_t *message);

/* What is owed to the session goes first, if Redis is there. */
void ngx_http_ollama_outbox_flush(ngx_str_t *sid);

void ngx_http_ollama_outbox_exit_worker(void);


#endif /* _NGX_HTTP_OLLAMA_OUTBOX_H_INCLUDED_ */
