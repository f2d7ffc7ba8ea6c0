
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_BACKOFF_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_BACKOFF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the longest time between two attempts to connect to Redis, in ms */
#define NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX  5000


/*
 * Milliseconds from the end of a probe to the start of the next one: the
 * interval, or less after "failures" probes in a row that failed, so that a
 * server is used soon after it is back.  A tenth more or less, as "random" has
 * it, so that servers aren't all probed at once.
 */
ngx_msec_t ngx_http_ollama_backoff_poll(ngx_msec_t interval,
    ngx_uint_t failures, ngx_uint_t random);

/*
 * Milliseconds until the next attempt to connect to Redis, after "failures" of
 * them; up to a quarter less, as "random" has it, so that workers and gateways
 * don't all come at once.
 */
ngx_msec_t ngx_http_ollama_backoff_redis(ngx_uint_t failures,
    ngx_uint_t random);


#endif /* _NGX_HTTP_OLLAMA_BACKOFF_H_INCLUDED_ */
