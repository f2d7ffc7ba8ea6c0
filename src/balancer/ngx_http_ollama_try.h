
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_TRY_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_TRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_slot.h"


/*
 * The outcome of the request's current try, in the balancer's free handler,
 * which was given "state".
 */
ngx_http_ollama_try_e ngx_http_ollama_try_outcome(ngx_http_request_t *r,
    ngx_peer_connection_t *pc, ngx_uint_t state);


#endif /* _NGX_HTTP_OLLAMA_TRY_H_INCLUDED_ */
