
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REDIS_CONN_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REDIS_CONN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/ngx_http_ollama_redis_wire.h"


/* The configuration of the current cycle; NULL: there is no "ollama_redis". */
ngx_http_ollama_redis_conf_t *ngx_http_ollama_redis_conn_conf(void);

/*
 * Begins to connect, from the event loop, and from then on keeps the connection
 * open.  Does nothing if that was begun, or if there is no "ollama_redis".
 */
void ngx_http_ollama_redis_conn_start(ngx_http_ollama_redis_conn_t *conn);

/*
 * If it waits to connect again, that is done now; until it is known how that
 * ends, commands are taken.
 */
void ngx_http_ollama_redis_conn_hurry(ngx_http_ollama_redis_conn_t *conn);

/*
 * At the end of the process: closes the connection and frees all entries, whose
 * handlers are not called.  May be called for one that was never started.
 */
void ngx_http_ollama_redis_conn_stop(ngx_http_ollama_redis_conn_t *conn);

/*
 * Tells if commands are taken: it is ready, or it isn't known yet whether Redis
 * is there.
 */
ngx_uint_t ngx_http_ollama_redis_conn_available(
    ngx_http_ollama_redis_conn_t *conn);


#endif /* _NGX_HTTP_OLLAMA_REDIS_CONN_H_INCLUDED_ */
