
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_JSON_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <yajl/yajl_parse.h>

#include "util/ngx_http_ollama_json_key.h"


/* more than one value of JSON */
#define NGX_HTTP_OLLAMA_JSON_MULTIPLE  0x01

/* what follows the value, which must be an object or an array, is ignored */
#define NGX_HTTP_OLLAMA_JSON_REST      0x02

/* strings need not be UTF-8 */
#define NGX_HTTP_OLLAMA_JSON_BYTES     0x04

/* how deep a text may be, as for Go's encoding/json */
#define NGX_HTTP_OLLAMA_JSON_DEPTH     10000


/*
 * A JSON text that is read piece by piece; must be zeroed before
 * ngx_http_ollama_json_init().
 */

typedef struct {
    yajl_handle            yajl;

    off_t                  pos;       /* bytes of the text taken so far */
    off_t                  base;      /* place of the bytes shown to yajl */
    off_t                  string;    /* opening quote of the last string */
    off_t                  invalid;   /* the first byte that makes a string no
                                         UTF-8; 0: none */

    size_t                 keep;      /* bytes of a string shown to yajl */
    size_t                 run;       /* length of the string or literal */
    size_t                 carry;     /* bytes of it in front of "base" */
    size_t                 half;      /* where a lone surrogate ended in it */
    size_t                 halves;    /* surrogates in it that have no pair */

    const char            *error;     /* set when a call returned NGX_ERROR */
    off_t                  error_at;  /* place of the byte it is about */

    uint16_t               unit;      /* of UTF-16, in a \u escape */
    u_char                 state;
    u_char                 rest;      /* bytes awaited in an escape or UTF-8 */
    u_char                 low, high; /* bounds of the next UTF-8 byte */
    u_char                 hidden;    /* yajl was shown enough of the string */

    ngx_uint_t             flags;     /* NGX_HTTP_OLLAMA_JSON_... */
    ngx_uint_t             depth;
    unsigned               whole:1;   /* the value has ended */
} ngx_http_ollama_json_t;


/*
 * Prepares for a text.  Strings longer than "keep" bytes reach the callbacks
 * shortened, but never to less than "keep"; "data" is handed to these.  "flags"
 * are NGX_HTTP_OLLAMA_JSON_..., what else is accepted.  The memory is in the
 * pool.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_json_init(ngx_http_ollama_json_t *json,
    ngx_pool_t *pool, const yajl_callbacks *callbacks, void *data,
    size_t keep, ngx_uint_t flags);

/*
 * Takes the next piece of the text, and calls the callbacks for what is in it.
 * After NGX_ERROR json->error tells what is wrong (NULL: a callback returned 0)
 * and json->error_at where; such a text must not be fed any more.
 */
ngx_int_t ngx_http_ollama_json_feed(ngx_http_ollama_json_t *json, u_char *p,
    size_t size);

/* Ends the text; the same results, and callbacks for a number at its end. */
ngx_int_t ngx_http_ollama_json_end(ngx_http_ollama_json_t *json);

/* In a callback: the place behind the token that it is called for. */
off_t ngx_http_ollama_json_offset(ngx_http_ollama_json_t *json);

/* Whether a string has begun and not ended with what was fed so far. */
ngx_uint_t ngx_http_ollama_json_in_string(ngx_http_ollama_json_t *json);

/* Frees yajl's memory before the pool does; not from a callback. */
void ngx_http_ollama_json_free(ngx_http_ollama_json_t *json);


#endif /* _NGX_HTTP_OLLAMA_JSON_H_INCLUDED_ */
