
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * POST /api/chat/session: creates a session, empty, with messages that the
 * client has, or as a copy of another one.
 *
 * A session may be large, so messages are written, or copied in Redis, a part
 * at a time, before the session itself is created: until then nobody can find
 * it, and what a gateway or client that dies leaves there expires.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_create.h"
#include "api/ngx_http_ollama_session_args.h"
#include "api/ngx_http_ollama_session_imported.h"
#include "api/ngx_http_ollama_session_run.h"
#include "core/ngx_http_ollama_error.h"
#include "store/ngx_http_ollama_message.h"
#include "store/ngx_http_ollama_outbox.h"
#include "util/ngx_http_ollama_id.h"


/* a part: messages, and about how many bytes: some 0.3 ms of Redis */
#define NGX_HTTP_OLLAMA_SESSION_CREATE_COUNT  200
#define NGX_HTTP_OLLAMA_SESSION_CREATE_BYTES  (256 * 1024)

/* of a message's fields: their names, and those that are short */
#define NGX_HTTP_OLLAMA_SESSION_CREATE_NAMES  64

/* how often a copy begins anew, as its session has lost messages meanwhile */
#define NGX_HTTP_OLLAMA_SESSION_CREATE_TRIES  5


/* in the request's pool */

typedef struct {
    ngx_http_ollama_store_copy_t  copy;
    ngx_uint_t                    tries;
    ngx_uint_t                    written;  /* messages that are imported */
    size_t                        big;      /* bytes of the largest one */
    u_char                        title[NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE];
} ngx_http_ollama_session_create_t;


static ngx_int_t ngx_http_ollama_session_create_begin(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_copy(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_copied(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_again(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_fill(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_part(
    ngx_http_ollama_session_t *s, ngx_pool_t *pool);
static void ngx_http_ollama_session_create_title(
    ngx_http_ollama_session_t *s, ngx_str_t *json);
static ngx_int_t ngx_http_ollama_session_create_filled(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_answer(
    ngx_http_ollama_session_t *s);
static ngx_int_t ngx_http_ollama_session_create_next(ngx_int_t rc);


ngx_int_t
ngx_http_ollama_session_create(ngx_http_request_t *r)
{
    return ngx_http_ollama_session_run_body(r,
                                       NGX_HTTP_OLLAMA_SESSION_BODY_CREATE,
                                       ngx_http_ollama_session_create_begin,
                                       ngx_http_ollama_session_create_answer);
}


static ngx_int_t
ngx_http_ollama_session_create_begin(ngx_http_ollama_session_t *s)
{
    ngx_str_t                         *id;
    ngx_http_request_t                *r;
    ngx_http_ollama_session_create_t  *create;

    r = s->request;
    id = &s->json.id;

    id->len = NGX_HTTP_OLLAMA_ID_RANDOM;

    id->data = ngx_pnalloc(r->pool, id->len);
    if (id->data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_ollama_id_random(id->data, id->len, r->connection->log)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    create = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_session_create_t));
    if (create == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s->data = create;

    if (s->body->copy_of.given) {
        return ngx_http_ollama_session_create_copy(s);
    }

    if (s->body->import.messages.nelts) {
        s->answer = ngx_http_ollama_session_create_filled;

        return ngx_http_ollama_session_create_fill(s);
    }

    return ngx_http_ollama_store_create(&s->store, id, &s->owner,
                                        &s->body->fields, 0, 0);
}


/* The session is a copy of another one. */

static ngx_int_t
ngx_http_ollama_session_create_copy(ngx_http_ollama_session_t *s)
{
    ngx_http_ollama_store_copy_t      *copy;
    ngx_http_ollama_session_body_t    *body;
    ngx_http_ollama_session_create_t  *create;

    body = s->body;
    create = s->data;
    copy = &create->copy;

    if (!ngx_http_ollama_id_is_valid(&body->copy_of.value)) {
        return ngx_http_ollama_session_run_not_found(s);
    }

    if (body->before.given
        && ngx_http_ollama_session_args_message_id(&body->before.value,
                                                   &copy->before)
           != NGX_OK)
    {
        return ngx_http_ollama_session_run_gone(s);
    }

    if (body->before.given && copy->before == 0) {
        return ngx_http_ollama_session_run_gone(s);
    }

    copy->page.limit = NGX_HTTP_OLLAMA_SESSION_CREATE_COUNT;
    copy->page.bytes = NGX_HTTP_OLLAMA_SESSION_CREATE_BYTES;
    copy->title = body->fields.title;
    copy->final = -1;

    s->answer = ngx_http_ollama_session_create_copied;
    s->lost = ngx_http_ollama_session_create_again;

    (void) ngx_http_ollama_outbox_flush(&body->copy_of.value);

    return ngx_http_ollama_store_copy(&s->store, &s->json.id,
                                      &body->copy_of.value, &s->owner, copy);
}


static ngx_int_t
ngx_http_ollama_session_create_copied(ngx_http_ollama_session_t *s)
{
    ngx_http_ollama_session_create_t  *create;

    create = s->data;

    if (!s->store.more) {
        return ngx_http_ollama_session_create_answer(s);
    }

    return ngx_http_ollama_session_create_next(
                         ngx_http_ollama_store_copy(&s->store, &s->json.id,
                                                    &s->body->copy_of.value,
                                                    &s->owner, &create->copy));
}


/* What was copied so far is deleted; the copy begins anew. */

static ngx_int_t
ngx_http_ollama_session_create_again(ngx_http_ollama_session_t *s)
{
    ngx_http_ollama_session_create_t  *create;

    create = s->data;

    if (++create->tries == NGX_HTTP_OLLAMA_SESSION_CREATE_TRIES) {
        return NGX_ERROR;
    }

    create->copy.n = 0;
    create->copy.final = -1;
    create->copy.next = 0;
    create->copy.written = 0;

    return ngx_http_ollama_session_create_next(
                         ngx_http_ollama_store_copy(&s->store, &s->json.id,
                                                    &s->body->copy_of.value,
                                                    &s->owner, &create->copy));
}


/* Writes some of the client's messages; they are copied when they are sent. */

static ngx_int_t
ngx_http_ollama_session_create_fill(ngx_http_ollama_session_t *s)
{
    ngx_int_t    rc;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, s->request->connection->log);
    if (pool == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_ollama_session_create_part(s, pool);

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
ngx_http_ollama_session_create_part(ngx_http_ollama_session_t *s,
    ngx_pool_t *pool)
{
    size_t                             size, total;
    ngx_uint_t                         n, first;
    ngx_http_ollama_store_message_t   *messages, *m;
    ngx_http_ollama_session_import_t  *import;
    ngx_http_ollama_session_create_t  *create;

    create = s->data;
    import = &s->body->import;
    first = create->written;

    messages = ngx_palloc(pool, NGX_HTTP_OLLAMA_SESSION_CREATE_COUNT
                                * sizeof(ngx_http_ollama_store_message_t));
    if (messages == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    total = 0;

    for (n = 0;
         n < NGX_HTTP_OLLAMA_SESSION_CREATE_COUNT
         && first + n < import->messages.nelts
         && total < NGX_HTTP_OLLAMA_SESSION_CREATE_BYTES;
         n++)
    {
        m = &messages[n];

        if (ngx_http_ollama_session_imported(import, first + n, s->request,
                                             s->ctx, pool, m)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_http_ollama_session_create_title(s, &m->json);

        size = m->json.len + m->status.len + m->model.len + m->server.len
               + m->thinking.len + m->stats.len + m->participant.len
               + NGX_HTTP_OLLAMA_SESSION_CREATE_NAMES;

        create->big = ngx_max(create->big, size);
        total += size;
    }

    create->written += n;

    return ngx_http_ollama_store_fill(&s->store, &s->json.id, first + 1,
                                      messages, n);
}


/* As in a chat, the first message of a user gives the title. */

static void
ngx_http_ollama_session_create_title(ngx_http_ollama_session_t *s,
    ngx_str_t *json)
{
    ngx_http_ollama_store_field_t     *field;
    ngx_http_ollama_session_create_t  *create;

    create = s->data;
    field = &s->body->fields.title;

    if (field->value.len == 0) {
        field->value.data = create->title;
        field->value.len = ngx_http_ollama_message_title(json, create->title);
        field->given = 1;
    }
}


static ngx_int_t
ngx_http_ollama_session_create_filled(ngx_http_ollama_session_t *s)
{
    ngx_int_t                          rc;
    ngx_http_ollama_session_create_t  *create;

    create = s->data;

    if (create->written < s->body->import.messages.nelts) {
        rc = ngx_http_ollama_session_create_fill(s);

    } else {
        s->answer = ngx_http_ollama_session_create_answer;

        rc = ngx_http_ollama_store_create(&s->store, &s->json.id, &s->owner,
                                          &s->body->fields, create->written,
                                          create->big);
    }

    return ngx_http_ollama_session_create_next(rc);
}


static ngx_int_t
ngx_http_ollama_session_create_answer(ngx_http_ollama_session_t *s)
{
    s->request->headers_out.status = NGX_HTTP_CREATED;

    return ngx_http_ollama_session_run_send(s,
                                        ngx_http_ollama_session_json_session);
}


/* What "answer" returns after it has begun another operation. */

static ngx_int_t
ngx_http_ollama_session_create_next(ngx_int_t rc)
{
    return (rc == NGX_OK) ? NGX_DONE : rc;
}
