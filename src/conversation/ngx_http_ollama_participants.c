
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The participants of a conversation, made from the members of its request's
 * body: names are given or generated, system prompts are assigned to those they
 * are for, and a participant's options are merged with those of all.  Pure
 * functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_participants.h"
#include "util/ngx_http_ollama_emit.h"
#include "util/ngx_http_ollama_utf8.h"


/* the longest error text, and how much of a client's string it shows */
#define NGX_HTTP_OLLAMA_PARTICIPANTS_ERROR  512
#define NGX_HTTP_OLLAMA_PARTICIPANTS_SHOWN  128


/* a participant's own options replace the common ones with the same key */

typedef struct {
    ngx_array_t  *common;
    ngx_array_t  *own;
} ngx_http_ollama_participants_merge_t;


static ngx_int_t ngx_http_ollama_participants_names(
    ngx_http_ollama_participants_t *ps);
static ngx_int_t ngx_http_ollama_participants_name(
    ngx_http_ollama_participants_t *ps, ngx_str_t *name);
static ngx_int_t ngx_http_ollama_participants_find(
    ngx_http_ollama_participants_t *ps, ngx_str_t *name, ngx_uint_t n);
static ngx_int_t ngx_http_ollama_participants_systems(
    ngx_http_ollama_participants_t *ps);
static ngx_int_t ngx_http_ollama_participants_options(
    ngx_http_ollama_participants_t *ps);
static void ngx_http_ollama_participants_walk(ngx_http_ollama_emit_t *t,
    void *data);
static ngx_uint_t ngx_http_ollama_participants_equal(ngx_str_t *a,
    ngx_str_t *b);
static void ngx_http_ollama_participants_shorten(ngx_str_t *text,
    ngx_str_t *shown);


ngx_int_t
ngx_http_ollama_participants_make(ngx_http_ollama_participants_t *ps)
{
    ngx_int_t                             rc;
    ngx_uint_t                            i;
    ngx_http_ollama_conversation_body_t  *body;

    body = ps->body;

    if (ps->at == 0) {
        return ngx_http_ollama_participants_refuse(ps,
                                     NGX_HTTP_OLLAMA_PARTICIPANTS_NOWHERE,
                                     "\"models\" is required");
    }

    if (ps->n < 2 || ps->n > NGX_HTTP_OLLAMA_CONVERSATION_MAX) {
        return ngx_http_ollama_participants_refuse(ps, ps->at,
                                     "\"models\" must have 2 to %d entries, "
                                     "not %ui",
                                     NGX_HTTP_OLLAMA_CONVERSATION_MAX,
                                     ps->n);
    }

    if (body->initial.len == 0) {
        return ngx_http_ollama_participants_refuse(ps,
                                     NGX_HTTP_OLLAMA_PARTICIPANTS_NOWHERE,
                                     "\"initial_message\" is required, and "
                                     "must not be empty");
    }

    for (i = 0; i < ps->n; i++) {

        if (ps->entry[i].given.model.len == 0) {
            return ngx_http_ollama_participants_refuse(ps,
                                     ps->entry[i].at,
                                     "\"models[%ui].model\" is required", i);
        }

        body->participant[i] = ps->entry[i].given;
    }

    body->n = ps->n;

    rc = ngx_http_ollama_participants_names(ps);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_participants_systems(ps);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_participants_options(ps);
}


static ngx_int_t
ngx_http_ollama_participants_names(ngx_http_ollama_participants_t *ps)
{
    ngx_str_t                      *name, shown;
    ngx_uint_t                      i;
    ngx_http_ollama_participant_t  *participant;

    participant = ps->body->participant;

    /* given names first, wherever they are in the list */

    for (i = 1; i < ps->n; i++) {

        name = &participant[i].name;

        if (name->len
            && ngx_http_ollama_participants_find(ps, name, i) == NGX_OK)
        {
            ngx_http_ollama_participants_shorten(name, &shown);

            return ngx_http_ollama_participants_refuse(ps, ps->entry[i].at,
                                     "\"models\" has two participants with "
                                     "the name \"%V\"", &shown);
        }
    }

    for (i = 0; i < ps->n; i++) {

        name = &participant[i].name;

        if (name->len) {
            continue;
        }

        *name = participant[i].model;

        if (ngx_http_ollama_participants_name(ps, name) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Appends a number to a name made from a model if the name is taken. */

static ngx_int_t
ngx_http_ollama_participants_name(ngx_http_ollama_participants_t *ps,
    ngx_str_t *name)
{
    u_char      *p;
    ngx_str_t    made, model;
    ngx_uint_t   i;

    model = *name;

    /* so that it doesn't find itself */
    name->len = 0;

    if (ngx_http_ollama_participants_find(ps, &model, ps->n)
        != NGX_OK)
    {
        *name = model;
        return NGX_OK;
    }

    p = ngx_pnalloc(ps->pool, model.len + 1 + NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    made.data = p;
    p = ngx_cpymem(p, model.data, model.len);
    *p++ = '#';

    /* ends: no more names are taken than there are participants */

    for (i = 2; /* void */ ; i++) {

        made.len = ngx_sprintf(p, "%L", (int64_t) i) - made.data;

        if (ngx_http_ollama_participants_find(ps, &made, ps->n)
            != NGX_OK)
        {
            *name = made;
            return NGX_OK;
        }
    }
}


/* NGX_DECLINED: none of the first n participants has the name. */

static ngx_int_t
ngx_http_ollama_participants_find(ngx_http_ollama_participants_t *ps,
    ngx_str_t *name, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ngx_http_ollama_participants_equal(
                                      &ps->body->participant[i].name, name))
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_ollama_participants_systems(ngx_http_ollama_participants_t *ps)
{
    ngx_str_t                               shown;
    ngx_uint_t                              i, n;
    ngx_http_ollama_participant_t          *participant;
    ngx_http_ollama_participants_system_t  *system;

    participant = ps->body->participant;

    for (n = 0; n < ps->nsystems; n++) {

        for (i = 0; i < ps->n; i++) {
            if (ngx_http_ollama_participants_equal(&ps->system[n].key,
                                                   &participant[i].name)
                || ngx_http_ollama_participants_equal(&ps->system[n].key,
                                                       &participant[i].model))
            {
                break;
            }
        }

        if (i == ps->n) {
            ngx_http_ollama_participants_shorten(&ps->system[n].key,
                                                 &shown);

            return ngx_http_ollama_participants_refuse(ps,
                                     ps->system[n].at,
                                     "\"system_prompts\" has \"%V\", which is "
                                     "neither the name nor the model of a "
                                     "participant", &shown);
        }
    }

    for (i = 0; i < ps->n; i++) {

        if (participant[i].system.data) {
            continue;
        }

        system = ngx_http_ollama_participants_system(ps,
                                                     &participant[i].name);
        if (system == NULL) {
            system = ngx_http_ollama_participants_system(ps,
                                                        &participant[i].model);
        }

        if (system) {
            participant[i].system = system->value;
        }
    }

    return NGX_OK;
}


ngx_http_ollama_participants_system_t *
ngx_http_ollama_participants_system(ngx_http_ollama_participants_t *ps,
    ngx_str_t *key)
{
    ngx_uint_t  n;

    for (n = 0; n < ps->nsystems; n++) {
        if (ngx_http_ollama_participants_equal(&ps->system[n].key, key))
        {
            return &ps->system[n];
        }
    }

    return NULL;
}


/* Participants without options of their own share one text. */

static ngx_int_t
ngx_http_ollama_participants_options(ngx_http_ollama_participants_t *ps)
{
    ngx_str_t                                common;
    ngx_uint_t                               i;
    ngx_array_t                              none;
    ngx_http_ollama_participant_t           *participant;
    ngx_http_ollama_participants_merge_t     options;

    participant = ps->body->participant;

    ngx_memzero(&none, sizeof(ngx_array_t));
    ngx_str_null(&common);

    options.common = &ps->options;

    if (ps->options.nelts) {
        options.own = &none;

        if (ngx_http_ollama_emit_make(ps->pool,
                                      ngx_http_ollama_participants_walk,
                                      &options, &common)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < ps->n; i++) {

        if (ps->entry[i].options.nelts == 0) {
            participant[i].options = common;
            continue;
        }

        options.own = &ps->entry[i].options;

        if (ngx_http_ollama_emit_make(ps->pool,
                                      ngx_http_ollama_participants_walk,
                                      &options, &participant[i].options)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_ollama_participants_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_participants_merge_t *options = data;

    ngx_uint_t                              i, n;
    ngx_http_ollama_participants_option_t  *member;

    n = 0;

    member = options->common->elts;

    for (i = 0; i < options->common->nelts; i++) {

        if (ngx_http_ollama_participants_option(options->own,
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


ngx_http_ollama_participants_option_t *
ngx_http_ollama_participants_option(ngx_array_t *options, ngx_str_t *key)
{
    ngx_uint_t                              i;
    ngx_http_ollama_participants_option_t  *member;

    member = options->elts;

    for (i = 0; i < options->nelts; i++) {
        if (ngx_http_ollama_participants_equal(&member[i].key, key)) {
            return &member[i];
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_ollama_participants_equal(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


/* As much of a text as an error shows. */

static void
ngx_http_ollama_participants_shorten(ngx_str_t *text, ngx_str_t *shown)
{
    shown->data = text->data;
    shown->len = ngx_http_ollama_utf8_cut(text,
                                          NGX_HTTP_OLLAMA_PARTICIPANTS_SHOWN);
}


ngx_int_t
ngx_http_ollama_participants_refuse(ngx_http_ollama_participants_t *ps,
    off_t at, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    p = ngx_pnalloc(ps->pool, NGX_HTTP_OLLAMA_PARTICIPANTS_ERROR);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = p + NGX_HTTP_OLLAMA_PARTICIPANTS_ERROR;

    ps->body->error.data = p;

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    if (at != NGX_HTTP_OLLAMA_PARTICIPANTS_NOWHERE) {
        p = ngx_slprintf(p, last, ", at byte %O", at);
    }

    ps->body->error.len = p - ps->body->error.data;

    return NGX_DECLINED;
}
