
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_SCRIPT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_SCRIPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/ngx_http_ollama_redis.h"


/*
 * KEYS of all but list and named: the session's meta, msgs and task.  Their
 * ARGV begins with these, and continues as described at each script:
 *
 *     prefix, session id, owner ("": none), now in ms, time to live in ms
 */

extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_create;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_fill;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_copy;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_read;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_read_back;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_patch;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_delete;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_truncate;

extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_list;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_named;

extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_begin;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_turn;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_page;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_add;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_save;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_renew;
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_release;


#endif /* _NGX_HTTP_OLLAMA_STORE_SCRIPT_H_INCLUDED_ */
