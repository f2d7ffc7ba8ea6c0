
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REDIS_WIRE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REDIS_WIRE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "redis/ngx_http_ollama_redis_conn.h"


/*
 * An entry whose "rest" has room for that many bytes; NULL if it couldn't be
 * sent.  It must be sent next.
 */
ngx_http_ollama_redis_entry_t *ngx_http_ollama_redis_wire_entry(
    ngx_http_ollama_redis_conn_t *conn, size_t size);
void ngx_http_ollama_redis_wire_send(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry);

/* An entry of such a command, or NULL. */
ngx_http_ollama_redis_entry_t *ngx_http_ollama_redis_wire_command(
    ngx_http_ollama_redis_conn_t *conn, ngx_uint_t argc, ngx_str_t *argv);

/* Writes arguments as Redis wants them; p is NULL: how many bytes that are. */
size_t ngx_http_ollama_redis_wire_args(u_char *p, ngx_uint_t argc,
    ngx_str_t *argv);

/* What an error reply says, or that it isn't the one expected. */
ngx_str_t ngx_http_ollama_redis_wire_said(redisReply *reply);

/* For the connection: a new reader. */
ngx_int_t ngx_http_ollama_redis_wire_reader(
    ngx_http_ollama_redis_conn_t *conn);

/* Makes an entry one that is to go out, at the end of the loop's turn. */
void ngx_http_ollama_redis_wire_push(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry);

/* The entry isn't in a queue any more: it isn't counted either. */
void ngx_http_ollama_redis_wire_release(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry);

/*
 * Whether the server's side has taken bytes of the command that waits longest
 * since this was last asked, if it is a large one.  Bytes of others don't
 * count: the system's buffers take them also if the server stands still.
 */
ngx_uint_t ngx_http_ollama_redis_wire_progress(
    ngx_http_ollama_redis_conn_t *conn);

/* Write and read what can be; NGX_ERROR: the reason says why. */
ngx_int_t ngx_http_ollama_redis_wire_flush(
    ngx_http_ollama_redis_conn_t *conn);
ngx_int_t ngx_http_ollama_redis_wire_recv(
    ngx_http_ollama_redis_conn_t *conn);


#endif /* _NGX_HTTP_OLLAMA_REDIS_WIRE_H_INCLUDED_ */
