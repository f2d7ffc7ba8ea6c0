
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the longest name of a field that matters, "event" */
#define NGX_HTTP_OLLAMA_SSE_NAME  5


typedef enum {
    NGX_HTTP_OLLAMA_SSE_OTHER = 0,    /* id, retry, unknown ones, a comment */
    NGX_HTTP_OLLAMA_SSE_DATA,
    NGX_HTTP_OLLAMA_SSE_EVENT
} ngx_http_ollama_sse_field_e;


typedef enum {
    NGX_HTTP_OLLAMA_SSE_MORE = 0,     /* nothing yet: a line in front of its
                                         value, or the LF after a CR */
    NGX_HTTP_OLLAMA_SSE_VALUE,        /* a piece of a field's value */
    NGX_HTTP_OLLAMA_SSE_EMPTY,        /* an empty line, which ends an event */
    NGX_HTTP_OLLAMA_SSE_INVALID       /* a line that is no field */
} ngx_http_ollama_sse_token_e;


/* Zeroed, it is at the start of a stream. */

typedef struct {
    u_char   *value;    /* of the last SSE_VALUE: where it begins, */
    u_char   *end;      /* and ends */

    u_char    state;
    u_char    line;     /* in the middle of a line */
    u_char    cr;       /* a CR has ended the line, whose LF may follow */
    u_char    begun;    /* nothing can be a byte order mark any more */
    u_char    field;    /* of the line, ngx_http_ollama_sse_field_e */
    u_char    first;    /* the piece is the first one of its value */
    u_char    nname;    /* a longer name counts as one byte more than fits */
    u_char    name[NGX_HTTP_OLLAMA_SSE_NAME];
} ngx_http_ollama_sse_t;


/*
 * Reads a stream of server-sent events from *p on up to the next token, but not
 * beyond "last", and sets *p to the first byte after it.  The end of a line is
 * of its token, LF, CR LF or CR: with sse->line, the line goes on in the next
 * piece of the stream.
 *
 * SSE_VALUE: from sse->value to sse->end is the value of the field sse->field,
 * or as much of it as there is, without the line's end; a field without a colon
 * has an empty one.  SSE_INVALID: the name has other characters than letters,
 * digits, "_", "-" and "."; that would be legal, but is a page or a text which
 * has no place there.  What is left of the line comes as the value of a field
 * SSE_OTHER.
 */
ngx_http_ollama_sse_token_e ngx_http_ollama_sse_next(
    ngx_http_ollama_sse_t *sse, u_char **p, u_char *last);

/* What is left of the line comes as the value of a field SSE_OTHER. */
void ngx_http_ollama_sse_skip(ngx_http_ollama_sse_t *sse);

/* Returns where the open event ends, or "last"; "sse" stays as it is. */
u_char *ngx_http_ollama_sse_event_end(ngx_http_ollama_sse_t *sse, u_char *p,
    u_char *last);


#endif /* _NGX_HTTP_OLLAMA_SSE_H_INCLUDED_ */
