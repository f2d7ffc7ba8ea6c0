
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REMOTE_SCRIPT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REMOTE_SCRIPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "core/ngx_http_ollama_owner.h"
#include "redis/ngx_http_ollama_redis.h"
#include "redis/ngx_http_ollama_redis_conf.h"
#include "util/ngx_http_ollama_id.h"


/* at most */
#define NGX_HTTP_OLLAMA_REMOTE_KEYS  3
#define NGX_HTTP_OLLAMA_REMOTE_ARGS  8

/* how many bytes of a gate are the id of its worker */
#define NGX_HTTP_OLLAMA_REMOTE_SCRIPT_WORKER  16


/* keys and arguments of a script or command; on the stack of the caller */

typedef struct {
    ngx_str_t    argv[NGX_HTTP_OLLAMA_REMOTE_KEYS
                      + NGX_HTTP_OLLAMA_REMOTE_ARGS];
    ngx_uint_t   n;
    u_char      *last;
    u_char       text[NGX_HTTP_OLLAMA_REMOTE_KEYS
                      * (NGX_HTTP_OLLAMA_REDIS_PREFIX
                         + sizeof("cancel:{}") - 1
                         + NGX_HTTP_OLLAMA_ID_MAX)];
} ngx_http_ollama_remote_script_args_t;


/*
 * KEYS: the task, its worker, the flag; ARGV: gate, owner, session, life of the
 * first two keys, "1" if Redis may know the task already, prefix, "1" if the
 * worker listens on its channel, otherwise "0".  Returns 1 if there is a flag
 * for the owner; 2, and nothing was done, if the id is that of a task that
 * another living worker has, unless Redis may know this one and both have the
 * same owner.
 */
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_enter;

/* KEYS: the task, the flag; ARGV: gate, channel, message to be sent or "" */
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_leave;

/*
 * KEYS: the task, the lock of a session of that id; ARGV: prefix, id, owner,
 * channel, life of the flag.  Returns nothing, or the id of the task and that
 * of its session.
 */
extern ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_stop;


/* Begins empty arguments; there must be an "ollama_redis". */
void ngx_http_ollama_remote_script_init(
    ngx_http_ollama_remote_script_args_t *args);

/*
 * Each adds an argument; there must be room for it.  A key is made of the
 * prefix, a name, an id of NGX_HTTP_OLLAMA_ID_MAX bytes at most, and what
 * follows it, and lies in args; the others are not copied.
 */
void ngx_http_ollama_remote_script_key(
    ngx_http_ollama_remote_script_args_t *args, const char *name,
    ngx_str_t *id, const char *after);
void ngx_http_ollama_remote_script_str(
    ngx_http_ollama_remote_script_args_t *args, ngx_str_t *value);
void ngx_http_ollama_remote_script_word(
    ngx_http_ollama_remote_script_args_t *args, const char *word);

/* Tells if it is the owner that the text is of. */
ngx_uint_t ngx_http_ollama_remote_script_owner(u_char *digest,
    ngx_str_t *owner);

/* An id of a reply, copied to the pool. */
ngx_int_t ngx_http_ollama_remote_script_id(ngx_pool_t *pool,
    redisReply *reply, ngx_str_t *id);


#endif /* _NGX_HTTP_OLLAMA_REMOTE_SCRIPT_H_INCLUDED_ */
