
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_FIELDS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_FIELDS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_participants.h"
#include "util/ngx_http_ollama_strbuf.h"
#include "util/ngx_http_ollama_json.h"


typedef struct ngx_http_ollama_conversation_fields_s
    ngx_http_ollama_conversation_fields_t;


typedef enum {
    type_null = 0,
    type_boolean,
    type_number,
    type_string,
    type_object,
    type_array
} ngx_http_ollama_conversation_type_e;


/* what a field is, if its type alone doesn't tell what to do with it */

typedef enum {
    is_plain = 0,
    is_models,
    is_systems,
    is_options,
    is_task,
    is_stream,
    is_text
} ngx_http_ollama_conversation_is_e;


/* A member of the body, or of an entry of "models", that is not ignored. */

typedef struct {
    ngx_str_t                               name;
    ngx_http_ollama_conversation_type_e     type;
    ngx_uint_t                              is;
    size_t                                  offset;  /* of a string in the body
                                                        or the participant */
    size_t                                  max;     /* bytes; 0: any number */
    const char                             *must;    /* not NULL: it must not
                                                        be empty or have control
                                                        characters, and that is
                                                        the error's text */
} ngx_http_ollama_conversation_field_t;


/* A body that is being read. */

struct ngx_http_ollama_conversation_fields_s {
    ngx_http_ollama_json_t                  json;
    ngx_http_ollama_participants_t          participants;
    ngx_uint_t                              depth;

    /* the last one of the body, and of an entry; NULL: it is ignored */
    ngx_http_ollama_conversation_field_t   *field;
    ngx_http_ollama_conversation_field_t   *sub;

    /* whose value comes next, or NULL; memory for one that is too many */
    ngx_http_ollama_participants_system_t  *system;
    ngx_http_ollama_participants_system_t   spare;

    /* the options that are being read, or NULL, and a member of them */
    ngx_array_t                            *options;
    ngx_uint_t                              members; /* depth of the members */
    ngx_str_t                               key;
    off_t                                   start;

    /* the bytes of the body from "base" on, while they belong to a field */
    ngx_http_ollama_strbuf_t                strbuf;
    ngx_http_ollama_strbuf_text_t           held;
    off_t                                   base;
};


/*
 * An entry of "models" begins at this byte; those that are too many are only
 * counted.
 */
void ngx_http_ollama_conversation_fields_entry(
    ngx_http_ollama_conversation_fields_t *read, off_t at);

/* The entry that is being read. */
ngx_http_ollama_participants_entry_t *ngx_http_ollama_conversation_fields_last(
    ngx_http_ollama_conversation_fields_t *read);

/* The options that begin here: those of the entry, or of all participants. */
ngx_array_t *ngx_http_ollama_conversation_fields_options(
    ngx_http_ollama_conversation_fields_t *read);

/*
 * Each takes what the parser has just read: the string of a field; the key and
 * the string of a system prompt; the key of an option, and the option when its
 * value has ended.  NGX_DECLINED: the body is refused, its "error" says why;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_fields_text(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_field_t *field);
ngx_int_t ngx_http_ollama_conversation_fields_key(
    ngx_http_ollama_conversation_fields_t *read);
ngx_int_t ngx_http_ollama_conversation_fields_system(
    ngx_http_ollama_conversation_fields_t *read);
ngx_int_t ngx_http_ollama_conversation_fields_option(
    ngx_http_ollama_conversation_fields_t *read);
ngx_int_t ngx_http_ollama_conversation_fields_member(
    ngx_http_ollama_conversation_fields_t *read);

/*
 * Refuses the body because of the field that is being read: the error is its
 * name with "text" and "tail" behind.  NGX_DECLINED, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_conversation_fields_refuse(
    ngx_http_ollama_conversation_fields_t *read, off_t at, const char *text,
    const char *tail);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_FIELDS_H_INCLUDED_ */
