
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UNLOCK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UNLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * A generation in a session whose process was found dead; copies both ids, and
 * may be called with a lock held.  "tell" frees these sessions, and is called
 * without.
 */

void ngx_http_ollama_unlock_note(ngx_str_t *task, ngx_str_t *session);
void ngx_http_ollama_unlock_send(void);


#endif /* _NGX_HTTP_OLLAMA_UNLOCK_H_INCLUDED_ */
