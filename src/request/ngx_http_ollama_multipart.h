
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MULTIPART_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MULTIPART_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_forbid.h"


/* the longest boundary (RFC 2046, 5.1.1), header of a part, and value */
#define NGX_HTTP_OLLAMA_MULTIPART_BOUNDARY  70
#define NGX_HTTP_OLLAMA_MULTIPART_HEADER    4096
#define NGX_HTTP_OLLAMA_MULTIPART_VALUE     1024

/* a boundary with CRLF and two dashes in front of it */
#define NGX_HTTP_OLLAMA_MULTIPART_DELIMITER                                  \
    (NGX_HTTP_OLLAMA_MULTIPART_BOUNDARY + 4)


typedef struct ngx_http_ollama_multipart_s  ngx_http_ollama_multipart_t;


/*
 * A form that is read piece by piece until a field is found; if there are
 * fields that it must not have, to its end.
 */

struct ngx_http_ollama_multipart_s {
    ngx_str_t              name;      /* of the field */
    ngx_http_ollama_forbid_t  *forbid;  /* other fields, by their whole name */
    ngx_uint_t             nforbid;
    ngx_str_t             *refused;   /* one of these has come; or NULL */
    ngx_str_t              value;     /* its value; data NULL: not found yet */
    off_t                  value_at;  /* place of its first byte */
    const char            *error;     /* after NGX_DECLINED */
    off_t                  error_at;  /* place of the byte it is about */

    off_t                  pos;       /* bytes of the form taken so far */
    ngx_uint_t             state;
    size_t                 matched;   /* bytes of the delimiter */
    size_t                 start;     /* what a delimiter begins with here: 0
                                         CRLF, 1 LF, 2 the dashes */
    size_t                 ndelimiter;
    size_t                 n;         /* bytes in the buffer */
    unsigned               parts:1;   /* a delimiter has come */
    unsigned               lf:1;      /* lines end with LF alone */
    unsigned               wanted:1;  /* this part is the field */
    unsigned               blank:1;   /* one has come behind the boundary */
    u_char                 delimiter[NGX_HTTP_OLLAMA_MULTIPART_DELIMITER];
    u_char                 text[NGX_HTTP_OLLAMA_MULTIPART_VALUE];
    u_char                 buf[NGX_HTTP_OLLAMA_MULTIPART_HEADER];
};


/*
 * Prepares a zeroed form, whose name and forbidden fields are set, by its
 * Content-Type.
 * NGX_DECLINED: that is not multipart/form-data; NGX_ERROR: it is, but has no
 * valid boundary.
 */
ngx_int_t ngx_http_ollama_multipart_init(ngx_http_ollama_multipart_t *form,
    ngx_str_t *type);

/*
 * Takes the next piece.  When form->value is found it is in the form, and what
 * follows is not looked at unless fields are forbidden.  NGX_DECLINED: the form
 * is invalid, form->error tells why, or has a forbidden field, form->refused;
 * it must not be fed any more then.
 */
ngx_int_t ngx_http_ollama_multipart_feed(ngx_http_ollama_multipart_t *form,
    u_char *p, size_t size);

/* Ends the form; the same results.  The field may be missing. */
ngx_int_t ngx_http_ollama_multipart_end(ngx_http_ollama_multipart_t *form);


#endif /* _NGX_HTTP_OLLAMA_MULTIPART_H_INCLUDED_ */
