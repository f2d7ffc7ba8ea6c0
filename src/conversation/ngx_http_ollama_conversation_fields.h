
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CONVERSATION_FIELDS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CONVERSATION_FIELDS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_body.h"
#include "util/ngx_http_ollama_strbuf.h"
#include "util/ngx_http_ollama_json.h"


/*
 * What the files that read a conversation's body have in common: nobody else
 * includes it.
 *
 * ngx_http_ollama_conversation_body.c    the parser's callbacks: which value
 *                                        it is, and whether it may be there
 * ngx_http_ollama_conversation_fields.c  what is kept of a value
 * ngx_http_ollama_conversation_cast.c    what all of them mean, at the end
 */


/*
 * System prompts that are kept, by different keys: one more than there can be
 * names and models, so that one of them is nobody's
 */
#define NGX_HTTP_OLLAMA_CONVERSATION_PROMPTS                                  \
    (2 * NGX_HTTP_OLLAMA_CONVERSATION_MAX + 1)

#define NGX_HTTP_OLLAMA_CONVERSATION_NOWHERE  -1


typedef enum {
    type_null = 0,
    type_boolean,
    type_number,
    type_string,
    type_object,
    type_array
} ngx_http_ollama_conversation_type_e;


/* what a field is, if its type doesn't tell what to do with it */

typedef enum {
    is_plain = 0,
    is_models,
    is_prompts,
    is_options,
    is_task
} ngx_http_ollama_conversation_is_e;


typedef struct {
    ngx_str_t                               name;
    ngx_http_ollama_conversation_type_e     type;
    ngx_uint_t                              is;
    size_t                                  offset; /* where a string goes */
    size_t                                  max;    /* its length; 0: any */
    const char                             *must;   /* not NULL: it isn't empty
                                                       and has no control
                                                       characters; so it is
                                                       said */
} ngx_http_ollama_conversation_field_t;


/* of "options" */

typedef struct {
    ngx_str_t                               key;      /* decoded */
    ngx_str_t                               text;     /* with the key */
} ngx_http_ollama_conversation_member_t;


typedef struct {
    ngx_str_t                               key;
    ngx_str_t                               value;
    off_t                                   at;
} ngx_http_ollama_conversation_prompt_t;


/* of "models"; data NULL: the string was not given */

typedef struct {
    ngx_http_ollama_participant_t           given;
    ngx_array_t                             options;  /* ..._member_t */
    off_t                                   at;
} ngx_http_ollama_conversation_entry_t;


typedef struct {
    ngx_http_ollama_conversation_body_t    *talk;
    ngx_pool_t                             *pool;     /* of what is found */
    ngx_pool_t                             *temp;

    /* one more, for all that are too many */
    ngx_http_ollama_conversation_entry_t    entry[
                                         NGX_HTTP_OLLAMA_CONVERSATION_MAX + 1];
    ngx_uint_t                              n;
    off_t                                   at;       /* 0: no "models" */

    ngx_http_ollama_conversation_prompt_t   prompt[
                                         NGX_HTTP_OLLAMA_CONVERSATION_PROMPTS];
    ngx_uint_t                              nprompts;

    ngx_array_t                             options;  /* for all */
} ngx_http_ollama_conversation_cast_t;


struct ngx_http_ollama_conversation_fields_s {
    ngx_http_ollama_json_t                  json;
    ngx_http_ollama_conversation_cast_t     cast;
    ngx_uint_t                              depth;

    /* the last of the body, and of an entry; NULL: it doesn't count */
    ngx_http_ollama_conversation_field_t   *field;
    ngx_http_ollama_conversation_field_t   *sub;

    /* of which the value is expected, or NULL; one that is too many */
    ngx_http_ollama_conversation_prompt_t  *prompt;
    ngx_http_ollama_conversation_prompt_t   spare;

    /* the options that are being read, or NULL, and a member of them */
    ngx_array_t                            *options;
    ngx_uint_t                              members;    /* its depth */
    ngx_str_t                               key;
    off_t                                   start;

    /* the body's bytes from "base" on, while they are of a field */
    ngx_http_ollama_strbuf_t                gather;
    ngx_http_ollama_strbuf_text_t           held;
    off_t                                   base;
};


/*
 * An entry of "models" begins; those that are too many are counted only.  The
 * one that is being read, and the options that belong to it or are for all.
 */
void ngx_http_ollama_conversation_fields_entry(
    ngx_http_ollama_conversation_fields_t *read, off_t at);
ngx_http_ollama_conversation_entry_t *ngx_http_ollama_conversation_fields_last(
    ngx_http_ollama_conversation_fields_t *read);
ngx_array_t *ngx_http_ollama_conversation_fields_options(
    ngx_http_ollama_conversation_fields_t *read);

/*
 * NGX_DECLINED here and below: refused, as talk->error says; NGX_ERROR: no
 * memory.
 */

/* the string of a field, the key and the string of a system prompt */

ngx_int_t ngx_http_ollama_conversation_fields_text(
    ngx_http_ollama_conversation_fields_t *read,
    ngx_http_ollama_conversation_field_t *field);
ngx_int_t ngx_http_ollama_conversation_fields_key(
    ngx_http_ollama_conversation_fields_t *read);
ngx_int_t ngx_http_ollama_conversation_fields_prompt(
    ngx_http_ollama_conversation_fields_t *read);

/* a member of options: its key, and the member when it is over */

ngx_int_t ngx_http_ollama_conversation_fields_option(
    ngx_http_ollama_conversation_fields_t *read);
ngx_int_t ngx_http_ollama_conversation_fields_member(
    ngx_http_ollama_conversation_fields_t *read);

/* Refuses what is in a field, which "text" and "tail" are said of. */

ngx_int_t ngx_http_ollama_conversation_fields_wrong(
    ngx_http_ollama_conversation_fields_t *read, off_t at, const char *text,
    const char *tail);

ngx_int_t ngx_http_ollama_conversation_cast(
    ngx_http_ollama_conversation_cast_t *cast);

/* Says why, and at which byte; always NGX_DECLINED, or NGX_ERROR. */

ngx_int_t ngx_http_ollama_conversation_refuse(
    ngx_http_ollama_conversation_cast_t *cast, off_t at, const char *fmt, ...);

/* What is kept by the key; NULL: nothing is. */

ngx_http_ollama_conversation_member_t *ngx_http_ollama_conversation_member(
    ngx_array_t *options, ngx_str_t *key);
ngx_http_ollama_conversation_prompt_t *ngx_http_ollama_conversation_prompt(
    ngx_http_ollama_conversation_cast_t *cast, ngx_str_t *key);


#endif /* _NGX_HTTP_OLLAMA_CONVERSATION_FIELDS_H_INCLUDED_ */
