
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SESSION_IMPORT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SESSION_IMPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "request/ngx_http_ollama_scan.h"


/* as of a chat: messages at once, and bytes of a history */
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_MAX   NGX_HTTP_OLLAMA_SCAN_LIST
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_SIZE  (50 * 1024 * 1024)


/* values that are stored as they are in the body, or decoded later */

typedef enum {
    NGX_HTTP_OLLAMA_SESSION_IMPORT_ROLE = 0,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_CONTENT,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_IMAGES,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_TOOL_CALLS,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_TOOL_NAME,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_SENT,      /* servers are sent those above */
    NGX_HTTP_OLLAMA_SESSION_IMPORT_THINKING
                                        = NGX_HTTP_OLLAMA_SESSION_IMPORT_SENT,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_STATS,
    NGX_HTTP_OLLAMA_SESSION_IMPORT_RAW
} ngx_http_ollama_session_import_raw_e;


/* the types of values, as bits */

#define NGX_HTTP_OLLAMA_SESSION_IMPORT_NULL     0x01
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_BOOLEAN  0x02
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_NUMBER   0x04
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_STRING   0x08
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_OBJECT   0x10
#define NGX_HTTP_OLLAMA_SESSION_IMPORT_LIST     0x20


/* a value; of objects and lists the end is not known when they begin */

typedef struct {
    ngx_uint_t                    type;
    off_t                         start;
    off_t                         end;
    ngx_str_t                     text;     /* of a string, decoded */
    unsigned                      halves:1; /* it has half of a pair */
} ngx_http_ollama_session_import_value_t;


typedef struct {
    ngx_http_ollama_cut_t         raw[NGX_HTTP_OLLAMA_SESSION_IMPORT_RAW];
                                            /* end 0: none */
    ngx_str_t                     model;    /* len 0: none */
    ngx_str_t                     server;
    ngx_str_t                     participant;
    ngx_str_t                     status;
    int64_t                       created;  /* ms; 0: none */
    off_t                         start;
} ngx_http_ollama_session_import_message_t;


typedef struct ngx_http_ollama_session_import_field_s
    ngx_http_ollama_session_import_field_t;


/* The list "messages" of a body; zeroed there is none. */

typedef struct {
    ngx_array_t                   messages; /* ..._import_message_t */
    unsigned                      given:1;

    /* what is wrong, after NGX_DECLINED */

    ngx_int_t                     status;
    const char                   *error;
    ngx_str_t                    *name;     /* it is about; or NULL */
    off_t                         at;       /* and the byte */
    ngx_uint_t                    number;   /* of the message, from 1 */

    /* private */

    ngx_pool_t                              *pool;
    ngx_http_ollama_session_import_field_t  *field;
    ngx_http_ollama_session_import_value_t   value; /* that is open */
    off_t                                    size;
} ngx_http_ollama_session_import_t;


/*
 * The list begins, anew if there was one before; with null there is none.
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_session_import_list(
    ngx_http_ollama_session_import_t *import, ngx_pool_t *pool);
void ngx_http_ollama_session_import_null(
    ngx_http_ollama_session_import_t *import);

/*
 * Each takes a part of the list: a key of a message, a value, the end of an
 * object or a list.  "depth" is the number of objects and lists around it: 1
 * for the messages, 2 for their members.  NGX_DECLINED: the list is invalid;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_session_import_key(
    ngx_http_ollama_session_import_t *import, ngx_uint_t depth,
    ngx_str_t *key, off_t at);
ngx_int_t ngx_http_ollama_session_import_value(
    ngx_http_ollama_session_import_t *import, ngx_uint_t depth,
    ngx_http_ollama_session_import_value_t *value);
ngx_int_t ngx_http_ollama_session_import_end(
    ngx_http_ollama_session_import_t *import, ngx_uint_t depth, off_t end);


#endif /* _NGX_HTTP_OLLAMA_SESSION_IMPORT_H_INCLUDED_ */
