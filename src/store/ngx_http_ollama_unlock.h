
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_UNLOCK_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_UNLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Notes the session of a task whose process was found dead.  Copies both ids;
 * may be called with a lock of shared memory held.
 */
void ngx_http_ollama_unlock_note(ngx_str_t *task, ngx_str_t *session);

/*
 * Releases the locks of all that were noted, and forgets them; must be called
 * without such a lock.  If Redis isn't available they expire.
 */
void ngx_http_ollama_unlock_send(void);


#endif /* _NGX_HTTP_OLLAMA_UNLOCK_H_INCLUDED_ */
