
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCAN_FIELD_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCAN_FIELD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_types.h"


typedef enum {
    ngx_http_ollama_null = 0,
    ngx_http_ollama_boolean,
    ngx_http_ollama_number,
    ngx_http_ollama_text,
    ngx_http_ollama_object,
    ngx_http_ollama_list
} ngx_http_ollama_type_e;


/* A field of a body or of a message. */

struct ngx_http_ollama_field_s {
    ngx_str_t                name;
    ngx_http_ollama_type_e   type;
    ngx_http_ollama_type_e   element;  /* of a list */
    ngx_uint_t               flags;    /* in bodies with this; 0: in all */
    size_t                   offset;   /* of its value in the scan; 0: none */
    ngx_uint_t               own;      /* the gateway's, not the server's */
};


/*
 * A member begins: sets scan->field or scan->sub, by its key and the depth.
 * Returns whether it is one of the gateway's, not for the server.
 */
ngx_uint_t ngx_http_ollama_scan_field_key(ngx_http_ollama_scan_t *scan,
    const u_char *p, size_t len);

/*
 * A value begins at "start": checks that it has the type of its field.
 * NGX_OK, or as of ngx_http_ollama_scan_error().
 */
ngx_int_t ngx_http_ollama_scan_field_type(ngx_http_ollama_scan_t *scan,
    ngx_http_ollama_type_e type, off_t start);

/*
 * Copies the decoded value of scan->field, a string that has a place in the
 * scan; the last of equal keys wins.  NGX_OK, NGX_ERROR: no memory, or as of
 * ngx_http_ollama_scan_error().
 */
ngx_int_t ngx_http_ollama_scan_field_value(ngx_http_ollama_scan_t *scan,
    const u_char *p, size_t len);


#endif /* _NGX_HTTP_OLLAMA_SCAN_FIELD_H_INCLUDED_ */
