
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_FROZEN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_FROZEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_peers.h"


/*
 * Watches a request that holds a slot, until it is removed from its queue: if
 * its server freezes it is moved to another one.  Does nothing without a slot.
 */
void ngx_http_ollama_frozen_watch(ngx_http_ollama_balancer_t *b);


#endif /* _NGX_HTTP_OLLAMA_FROZEN_H_INCLUDED_ */
