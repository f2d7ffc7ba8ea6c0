
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_PARTICIPANTS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_PARTICIPANTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_params.h"


/*
 * System prompts with different keys: one more than there can be names and
 * models, so that at least one of them belongs to no participant.
 */
#define NGX_HTTP_OLLAMA_PARTICIPANTS_SYSTEMS                                  \
    (2 * NGX_HTTP_OLLAMA_CONVERSATION_MAX + 1)

/* in place of a byte, if an error is about none in particular */
#define NGX_HTTP_OLLAMA_PARTICIPANTS_NOWHERE  -1


/* a member of "options" */

typedef struct {
    ngx_str_t                               key;     /* decoded */
    ngx_str_t                               text;    /* the member as it was
                                                        written, with its key */
} ngx_http_ollama_participants_option_t;


/* a member of "system_prompts" */

typedef struct {
    ngx_str_t                               key;     /* a name or a model */
    ngx_str_t                               value;
    off_t                                   at;      /* byte of the body */
} ngx_http_ollama_participants_system_t;


/* an entry of "models" */

typedef struct {
    ngx_http_ollama_participant_t           given;   /* data NULL: not given */
    ngx_array_t                             options; /* ..._option_t */
    off_t                                   at;
} ngx_http_ollama_participants_entry_t;


/* What a body says of the participants, collected while it is read. */

typedef struct {
    ngx_http_ollama_conversation_body_t    *body;
    ngx_pool_t                             *pool;    /* of the results */
    ngx_pool_t                             *temp;

    /* the last entry takes all that are too many */
    ngx_http_ollama_participants_entry_t    entry[
                                         NGX_HTTP_OLLAMA_CONVERSATION_MAX + 1];
    ngx_uint_t                              n;
    off_t                                   at;      /* 0: no "models" */

    ngx_http_ollama_participants_system_t   system[
                                         NGX_HTTP_OLLAMA_PARTICIPANTS_SYSTEMS];
    ngx_uint_t                              nsystems;

    ngx_array_t                             options; /* of all participants,
                                                        ..._option_t */
} ngx_http_ollama_participants_t;


/*
 * Fills ps->body->participant when the whole body has been read.  NGX_DECLINED:
 * the body is refused, see ps->body->error; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_participants_make(
    ngx_http_ollama_participants_t *ps);

/*
 * Sets ps->body->error, in ps->pool: the text, made as ngx_sprintf() makes it,
 * and the byte of the body.  Returns NGX_DECLINED, or NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_participants_refuse(
    ngx_http_ollama_participants_t *ps, off_t at, const char *fmt, ...);

/* The member with exactly this key; NULL: there is none. */
ngx_http_ollama_participants_option_t *ngx_http_ollama_participants_option(
    ngx_array_t *options, ngx_str_t *key);
ngx_http_ollama_participants_system_t *ngx_http_ollama_participants_system(
    ngx_http_ollama_participants_t *ps, ngx_str_t *key);


#endif /* _NGX_HTTP_OLLAMA_PARTICIPANTS_H_INCLUDED_ */
