
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ID_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the longest id of a task or a session that a client may name */
#define NGX_HTTP_OLLAMA_ID_MAX     64

/* hex digits of a random one: 128 bits, which can't be guessed */
#define NGX_HTTP_OLLAMA_ID_RANDOM  32


/* Tells if it is 1 to NGX_HTTP_OLLAMA_ID_MAX of [A-Za-z0-9_-]. */
ngx_uint_t ngx_http_ollama_id_is_valid(ngx_str_t *id);

/*
 * Writes "digits" random hex digits to "id", an even number and at most
 * NGX_HTTP_OLLAMA_ID_RANDOM.  NGX_ERROR, which was logged: the system has no
 * random bytes.
 */
ngx_int_t ngx_http_ollama_id_random(u_char *id, size_t digits, ngx_log_t *log);


#endif /* _NGX_HTTP_OLLAMA_ID_H_INCLUDED_ */
