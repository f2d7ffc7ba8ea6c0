
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_HASH_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* The hash of a text that comes in pieces. */

typedef struct {
    uint64_t   value;      /* of all whole blocks of 16 bytes */
    size_t     len;        /* bytes of the text so far */
    u_char     rest[16];   /* the last len % 16 of them */
} ngx_http_ollama_hash_t;


/* Begins an empty text. */
void ngx_http_ollama_hash_init(ngx_http_ollama_hash_t *hash);

/* Takes the next bytes of the text; how it is divided makes no difference. */
void ngx_http_ollama_hash_text(ngx_http_ollama_hash_t *hash, const u_char *p,
    size_t len);

/* Takes a number that belongs to the text but counts no byte. */
void ngx_http_ollama_hash_number(ngx_http_ollama_hash_t *hash, uint64_t n);

/* The hash of all that was taken; more may follow. */
uint64_t ngx_http_ollama_hash_value(ngx_http_ollama_hash_t *hash);

/* Another number for each number, in all of whose bits each bit of "n" is. */
uint64_t ngx_http_ollama_hash_mix(uint64_t n);


#endif /* _NGX_HTTP_OLLAMA_HASH_H_INCLUDED_ */
