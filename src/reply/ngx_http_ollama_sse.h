
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the longest name of a field, "event" or "retry" */
#define NGX_HTTP_OLLAMA_SSE_NAME  5


typedef enum {
    NGX_HTTP_OLLAMA_SSE_OTHER = 0,    /* id, retry, a comment */
    NGX_HTTP_OLLAMA_SSE_DATA,
    NGX_HTTP_OLLAMA_SSE_EVENT
} ngx_http_ollama_sse_field_e;


typedef enum {
    NGX_HTTP_OLLAMA_SSE_MORE = 0,     /* all was read, inside of a line */
    NGX_HTTP_OLLAMA_SSE_VALUE,        /* a piece of a field's value */
    NGX_HTTP_OLLAMA_SSE_EMPTY,        /* an empty line, which ends an event */
    NGX_HTTP_OLLAMA_SSE_INVALID       /* a line that is no field */
} ngx_http_ollama_sse_token_e;


/* Zeroed, it is at the start of a stream. */

typedef struct {
    u_char   *value;    /* of the last SSE_VALUE: where it begins */

    u_char    state;
    u_char    field;    /* of the line, ngx_http_ollama_sse_field_e */
    u_char    first;    /* the piece is the first one of its value */
    u_char    nname;
    u_char    name[NGX_HTTP_OLLAMA_SSE_NAME];
} ngx_http_ollama_sse_t;


/*
 * Reads a stream of server-sent events from *p on up to the next token, but not
 * beyond "last", and sets *p to the first byte after it.  A line's end is the
 * last byte of its token: if p[-1] is no newline, the line goes on in the next
 * piece of the stream.
 *
 * SSE_VALUE: from sse->value to *p is the value of the field sse->field, or as
 * much of it as there is, with its newline; never empty.  SSE_INVALID: what is
 * left of the line comes as the value of a field SSE_OTHER.
 */
ngx_http_ollama_sse_token_e ngx_http_ollama_sse_next(
    ngx_http_ollama_sse_t *sse, u_char **p, u_char *last);

/* What is left of the line comes as the value of a field SSE_OTHER. */
void ngx_http_ollama_sse_skip(ngx_http_ollama_sse_t *sse);


#endif /* _NGX_HTTP_OLLAMA_SSE_H_INCLUDED_ */
