
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_POLL_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_POLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Starts this worker's timer, if an upstream is to be polled.  The fleet must
 * be open, its upstreams registered.
 */
ngx_int_t ngx_http_ollama_poll_init_worker(ngx_cycle_t *cycle);

/*
 * Cancels all probes, before the fleet is closed, so that another worker may
 * become the poller at once.  Harmless if nothing was started.
 */
void ngx_http_ollama_poll_exit_worker(ngx_cycle_t *cycle);


#endif /* _NGX_HTTP_OLLAMA_POLL_H_INCLUDED_ */
