
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Who takes part in a conversation, made of the members of its request: names
 * are given or made, system prompts find whom they are for, and options are
 * laid over those for all.  Pure functions, called by body only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_fields.h"
#include "util/ngx_http_ollama_emit.h"


/* the longest text of an error, and what it shows of a string in it */
#define NGX_HTTP_OLLAMA_CONVERSATION_ERROR  512
#define NGX_HTTP_OLLAMA_CONVERSATION_SHOWN  128


/* options that are laid over others */

typedef struct {
    ngx_array_t  *common;
    ngx_array_t  *own;
} ngx_http_ollama_conversation_options_t;


static ngx_int_t ngx_http_ollama_conversation_cast_names(
    ngx_http_ollama_conversation_cast_t *cast);
static ngx_int_t ngx_http_ollama_conversation_cast_name(
    ngx_http_ollama_conversation_cast_t *cast, ngx_str_t *name);
static ngx_int_t ngx_http_ollama_conversation_cast_find(
    ngx_http_ollama_conversation_cast_t *cast, ngx_str_t *name,
    ngx_uint_t n);
static ngx_int_t ngx_http_ollama_conversation_cast_systems(
    ngx_http_ollama_conversation_cast_t *cast);
static ngx_int_t ngx_http_ollama_conversation_cast_options(
    ngx_http_ollama_conversation_cast_t *cast);
static void ngx_http_ollama_conversation_cast_walk(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_uint_t ngx_http_ollama_conversation_cast_same(ngx_str_t *a,
    ngx_str_t *b);
static void ngx_http_ollama_conversation_cast_shown(ngx_str_t *text,
    ngx_str_t *shown);


ngx_int_t
ngx_http_ollama_conversation_cast(ngx_http_ollama_conversation_cast_t *cast)
{
    ngx_int_t                             rc;
    ngx_uint_t                            i;
    ngx_http_ollama_conversation_body_t  *talk;

    talk = cast->talk;

    if (cast->at == 0) {
        return ngx_http_ollama_conversation_refuse(cast,
                                     NGX_HTTP_OLLAMA_CONVERSATION_NOWHERE,
                                     "\"models\" is required");
    }

    if (cast->n < 2 || cast->n > NGX_HTTP_OLLAMA_CONVERSATION_MAX) {
        return ngx_http_ollama_conversation_refuse(cast, cast->at,
                                     "\"models\" must have 2 to %d entries, "
                                     "not %ui",
                                     NGX_HTTP_OLLAMA_CONVERSATION_MAX,
                                     cast->n);
    }

    if (talk->initial.len == 0) {
        return ngx_http_ollama_conversation_refuse(cast,
                                     NGX_HTTP_OLLAMA_CONVERSATION_NOWHERE,
                                     "\"initial_message\" is required, and "
                                     "must not be empty");
    }

    for (i = 0; i < cast->n; i++) {

        if (cast->entry[i].given.model.len == 0) {
            return ngx_http_ollama_conversation_refuse(cast,
                                     cast->entry[i].at,
                                     "\"models[%ui].model\" is required", i);
        }

        talk->participant[i] = cast->entry[i].given;
    }

    talk->n = cast->n;

    rc = ngx_http_ollama_conversation_cast_names(cast);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_conversation_cast_systems(cast);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_conversation_cast_options(cast);
}


static ngx_int_t
ngx_http_ollama_conversation_cast_names(
    ngx_http_ollama_conversation_cast_t *cast)
{
    ngx_str_t                      *name, shown;
    ngx_uint_t                      i;
    ngx_http_ollama_participant_t  *participant;

    participant = cast->talk->participant;

    /* those that are given go first, wherever they are */

    for (i = 1; i < cast->n; i++) {

        name = &participant[i].name;

        if (name->len
            && ngx_http_ollama_conversation_cast_find(cast, name, i) == NGX_OK)
        {
            ngx_http_ollama_conversation_cast_shown(name, &shown);

            return ngx_http_ollama_conversation_refuse(cast, cast->entry[i].at,
                                     "\"models\" has two participants with "
                                     "the name \"%V\"", &shown);
        }
    }

    for (i = 0; i < cast->n; i++) {

        name = &participant[i].name;

        if (name->len) {
            continue;
        }

        *name = participant[i].model;

        if (ngx_http_ollama_conversation_cast_name(cast, name) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Numbers a name that is a model's if somebody else has it. */

static ngx_int_t
ngx_http_ollama_conversation_cast_name(
    ngx_http_ollama_conversation_cast_t *cast, ngx_str_t *name)
{
    u_char      *p;
    ngx_str_t    made, model;
    ngx_uint_t   i;

    model = *name;

    /* it must not be found itself */
    name->len = 0;

    if (ngx_http_ollama_conversation_cast_find(cast, &model, cast->n)
        != NGX_OK)
    {
        *name = model;
        return NGX_OK;
    }

    p = ngx_pnalloc(cast->pool, model.len + 1 + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    made.data = p;
    p = ngx_cpymem(p, model.data, model.len);
    *p++ = '#';

    /* as many are taken as there are participants, at most */

    for (i = 2; /* void */ ; i++) {

        made.len = ngx_sprintf(p, "%L", (int64_t) i) - made.data;

        if (ngx_http_ollama_conversation_cast_find(cast, &made, cast->n)
            != NGX_OK)
        {
            *name = made;
            return NGX_OK;
        }
    }
}


/* NGX_DECLINED: none of the first n participants has the name. */

static ngx_int_t
ngx_http_ollama_conversation_cast_find(
    ngx_http_ollama_conversation_cast_t *cast, ngx_str_t *name, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ngx_http_ollama_conversation_cast_same(
                                      &cast->talk->participant[i].name, name))
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_conversation_cast_systems(
    ngx_http_ollama_conversation_cast_t *cast)
{
    ngx_str_t                               shown;
    ngx_uint_t                              i, n;
    ngx_http_ollama_participant_t          *participant;
    ngx_http_ollama_conversation_prompt_t  *prompt;

    participant = cast->talk->participant;

    for (n = 0; n < cast->nprompts; n++) {

        for (i = 0; i < cast->n; i++) {
            if (ngx_http_ollama_conversation_cast_same(&cast->prompt[n].key,
                                                       &participant[i].name)
                || ngx_http_ollama_conversation_cast_same(&cast->prompt[n].key,
                                                       &participant[i].model))
            {
                break;
            }
        }

        if (i == cast->n) {
            ngx_http_ollama_conversation_cast_shown(&cast->prompt[n].key,
                                                    &shown);

            return ngx_http_ollama_conversation_refuse(cast,
                                     cast->prompt[n].at,
                                     "\"system_prompts\" has \"%V\", which is "
                                     "neither the name nor the model of a "
                                     "participant", &shown);
        }
    }

    for (i = 0; i < cast->n; i++) {

        if (participant[i].system.data) {
            continue;
        }

        prompt = ngx_http_ollama_conversation_prompt(cast,
                                                     &participant[i].name);
        if (prompt == NULL) {
            prompt = ngx_http_ollama_conversation_prompt(cast,
                                                        &participant[i].model);
        }

        if (prompt) {
            participant[i].system = prompt->value;
        }
    }

    return NGX_OK;
}


ngx_http_ollama_conversation_prompt_t *
ngx_http_ollama_conversation_prompt(
    ngx_http_ollama_conversation_cast_t *cast, ngx_str_t *key)
{
    ngx_uint_t  n;

    for (n = 0; n < cast->nprompts; n++) {
        if (ngx_http_ollama_conversation_cast_same(&cast->prompt[n].key, key))
        {
            return &cast->prompt[n];
        }
    }

    return NULL;
}


/* Who has no options of its own shares the text of those for all. */

static ngx_int_t
ngx_http_ollama_conversation_cast_options(
    ngx_http_ollama_conversation_cast_t *cast)
{
    ngx_str_t                                common;
    ngx_uint_t                               i;
    ngx_array_t                              none;
    ngx_http_ollama_participant_t           *participant;
    ngx_http_ollama_conversation_options_t   options;

    participant = cast->talk->participant;

    ngx_memzero(&none, sizeof(ngx_array_t));
    ngx_str_null(&common);

    options.common = &cast->options;

    if (cast->options.nelts) {
        options.own = &none;

        if (ngx_http_ollama_emit_make(cast->pool,
                                      ngx_http_ollama_conversation_cast_walk,
                                      &options, &common)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < cast->n; i++) {

        if (cast->entry[i].options.nelts == 0) {
            participant[i].options = common;
            continue;
        }

        options.own = &cast->entry[i].options;

        if (ngx_http_ollama_emit_make(cast->pool,
                                      ngx_http_ollama_conversation_cast_walk,
                                      &options, &participant[i].options)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_cast_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_conversation_options_t *options = data;

    ngx_uint_t                              i, n;
    ngx_http_ollama_conversation_member_t  *member;

    n = 0;

    member = options->common->elts;

    for (i = 0; i < options->common->nelts; i++) {

        if (ngx_http_ollama_conversation_member(options->own,
                                                &member[i].key))
        {
            continue;
        }

        ngx_http_ollama_emit_add(t, n++ ? "," : "{");
        ngx_http_ollama_emit_raw(t, &member[i].text);
    }

    member = options->own->elts;

    for (i = 0; i < options->own->nelts; i++) {
        ngx_http_ollama_emit_add(t, n++ ? "," : "{");
        ngx_http_ollama_emit_raw(t, &member[i].text);
    }

    ngx_http_ollama_emit_add(t, "}");
}


ngx_http_ollama_conversation_member_t *
ngx_http_ollama_conversation_member(ngx_array_t *options, ngx_str_t *key)
{
    ngx_uint_t                              i;
    ngx_http_ollama_conversation_member_t  *member;

    member = options->elts;

    for (i = 0; i < options->nelts; i++) {
        if (ngx_http_ollama_conversation_cast_same(&member[i].key, key)) {
            return &member[i];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_ollama_conversation_cast_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


/* As much of a text as an error shows, of whole characters. */

static void
ngx_http_ollama_conversation_cast_shown(ngx_str_t *text, ngx_str_t *shown)
{
    *shown = *text;

    if (text->len <= NGX_HTTP_OLLAMA_CONVERSATION_SHOWN) {
        return;
    }

    shown->len = NGX_HTTP_OLLAMA_CONVERSATION_SHOWN;

    while ((shown->data[shown->len] & 0xc0) == 0x80) {
        shown->len--;
    }
}


ngx_int_t
ngx_http_ollama_conversation_refuse(ngx_http_ollama_conversation_cast_t *cast,
    off_t at, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    p = ngx_pnalloc(cast->pool, NGX_HTTP_OLLAMA_CONVERSATION_ERROR);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = p + NGX_HTTP_OLLAMA_CONVERSATION_ERROR;

    cast->talk->error.data = p;

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    if (at != NGX_HTTP_OLLAMA_CONVERSATION_NOWHERE) {
        p = ngx_slprintf(p, last, ", at byte %O", at);
    }

    cast->talk->error.len = p - cast->talk->error.data;

    return NGX_DECLINED;
}
