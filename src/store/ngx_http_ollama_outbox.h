
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_OUTBOX_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_OUTBOX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"


/*
 * Has the end of a task in a session sent to Redis, now or later: its reply is
 * saved as message n, for ttl ms, or with message NULL only the lock released.
 * Copies everything.  What can't be saved is logged.
 */
void ngx_http_ollama_outbox_add(ngx_str_t *sid, ngx_str_t *task, int64_t ttl,
    int64_t n, ngx_http_ollama_store_message_t *message);

/*
 * The same for a task whose new messages, numbers from to to, are not to stay:
 * they are deleted, whoever stored them.
 */
void ngx_http_ollama_outbox_withdraw(ngx_str_t *sid, ngx_str_t *task,
    int64_t from, int64_t to);

/*
 * Sends what waits for this session, so that an operation called next finds it
 * done, if it uses the same connection.  Does nothing for what Redis doesn't
 * take.  Tells if there was something, also if it had been sent before.
 */
ngx_uint_t ngx_http_ollama_outbox_flush(ngx_str_t *sid);

/* At the end of the process: what wasn't answered is logged and freed. */
void ngx_http_ollama_outbox_exit_worker(void);


#endif /* _NGX_HTTP_OLLAMA_OUTBOX_H_INCLUDED_ */
