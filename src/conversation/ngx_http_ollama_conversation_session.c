
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A conversation in a session: what was said there before is read and heard by
 * all who take part, the first message is stored before anything is generated,
 * and each reply when its turn is over (conversation_save).
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_session.h"
#include "conversation/ngx_http_ollama_conversation_prompt.h"
#include "conversation/ngx_http_ollama_conversation_save.h"
#include "core/ngx_http_ollama_error.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_open.h"
#include "store/ngx_http_ollama_message.h"
#include "store/ngx_http_ollama_outbox.h"
#include "util/ngx_http_ollama_emit.h"


/* a history that is longer is refused */
#define NGX_HTTP_OLLAMA_CONVERSATION_HISTORY  10000

/* read at once */
#define NGX_HTTP_OLLAMA_CONVERSATION_PAGE     500
#define NGX_HTTP_OLLAMA_CONVERSATION_BYTES    (256 * 1024)


static void ngx_http_ollama_conversation_begun(
    ngx_http_ollama_store_t *store);
static void ngx_http_ollama_conversation_open(
    ngx_http_ollama_conversation_save_t *saving);
static void ngx_http_ollama_conversation_system(
    ngx_http_ollama_conversation_t *conv, ngx_str_t *system);
static void ngx_http_ollama_conversation_read(
    ngx_http_ollama_conversation_save_t *saving);
static void ngx_http_ollama_conversation_page(ngx_http_ollama_store_t *store);
static int64_t ngx_http_ollama_conversation_number(ngx_str_t *id);
static ngx_int_t ngx_http_ollama_conversation_hear(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_store_message_t *message);
static void ngx_http_ollama_conversation_add(
    ngx_http_ollama_conversation_save_t *saving);
static void ngx_http_ollama_conversation_initial(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_conversation_added(
    ngx_http_ollama_store_t *store);
static void ngx_http_ollama_conversation_not_begun(
    ngx_http_ollama_conversation_t *conv, ngx_int_t rc);
static void ngx_http_ollama_conversation_unavailable(
    ngx_http_ollama_conversation_t *conv);


ngx_int_t
ngx_http_ollama_conversation_session_check(
    ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t                             rc;
    ngx_http_request_t                   *r;
    ngx_http_ollama_conversation_save_t  *saving;

    r = conv->request;

    if (ngx_http_ollama_redis_prefix() == NULL) {
        return ngx_http_ollama_error_no_history(r, conv->ctx);
    }

    saving = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_conversation_save_t));
    if (saving == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    saving->conversation = conv;
    ngx_queue_init(&saving->unsaved);

    rc = ngx_http_ollama_open_init(r, conv->ctx, &saving->store, saving,
                                   &saving->owner);

    if (rc != NGX_OK) {
        return rc;
    }

    conv->saving = saving;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_conversation_session_begin(
    ngx_http_ollama_conversation_t *conv)
{
    ngx_http_ollama_scan_t               *scan;
    ngx_http_ollama_conversation_save_t  *saving;

    saving = conv->saving;
    scan = conv->ctx->scan;

    ngx_http_ollama_outbox_flush(&scan->session_id);

    saving->store.handler = ngx_http_ollama_conversation_begun;

    if (ngx_http_ollama_store_begin(&saving->store, &scan->session_id,
                                    &saving->owner, &scan->task_id,
                                    NGX_HTTP_OLLAMA_LOCK_TIME)
        != NGX_OK)
    {
        return ngx_http_ollama_error_no_history(conv->request, conv->ctx);
    }

    saving->asked = 1;

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_begun(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_conversation_save_t  *saving;
    ngx_http_ollama_conversation_t       *conv;

    saving = store->data;
    conv = saving->conversation;

    ngx_http_set_log_request(conv->request->connection->log, conv->request);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {

        if (store->result != NGX_HTTP_OLLAMA_STORE_UNAVAILABLE) {
            saving->given = 1;
        }

        ngx_http_ollama_conversation_not_begun(conv,
                      ngx_http_ollama_open_refuse(conv->request, conv->ctx,
                                                  store));
        return;
    }

    ngx_http_ollama_conversation_open(saving);
}


/* The session is there, and locked. */

static void
ngx_http_ollama_conversation_open(ngx_http_ollama_conversation_save_t *saving)
{
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_store_t         *store;
    ngx_http_ollama_conversation_t  *conv;

    conv = saving->conversation;
    ctx = conv->ctx;
    store = &saving->store;

    saving->n = store->last;

    if (ngx_http_ollama_open_holder(conv->request, ctx, store) != NGX_OK) {
        ngx_http_ollama_conversation_not_begun(conv,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_ollama_lock_begin(&saving->lock, &ctx->scan->session_id,
                               &ctx->holder, store->ttl, store->log);

    if (store->total + 1 + conv->body->max_turns
        > NGX_HTTP_OLLAMA_CONVERSATION_HISTORY)
    {
        ngx_http_ollama_conversation_not_begun(conv,
            ngx_http_ollama_error(conv->request, ctx,
                                  NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                  "session \"%V\" has %ui messages, with "
                                  "those of this conversation it could have "
                                  "more than %d",
                                  &ctx->scan->session_id, store->total,
                                  NGX_HTTP_OLLAMA_CONVERSATION_HISTORY));
        return;
    }

    saving->unanswered = (store->unanswered == 1);

    ngx_http_ollama_conversation_system(conv, &store->session.system);

    if (ngx_http_ollama_conversation_prompt_init(conv->request->pool,
                                                 conv->body)
        != NGX_OK
        || ngx_http_ollama_emit_make(conv->request->pool,
                                     ngx_http_ollama_conversation_initial,
                                     &conv->body->initial, &saving->initial)
           != NGX_OK)
    {
        ngx_http_ollama_conversation_not_begun(conv,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_ollama_conversation_read(saving);
}


/* The session's own instructions are for those who were given none. */

static void
ngx_http_ollama_conversation_system(ngx_http_ollama_conversation_t *conv,
    ngx_str_t *system)
{
    ngx_str_t   text;
    ngx_uint_t  i;

    if (system->len == 0) {
        return;
    }

    text.len = system->len;
    text.data = ngx_pstrdup(conv->request->pool, system);

    for (i = 0; text.data && i < conv->body->n; i++) {
        if (conv->body->participant[i].system.len == 0) {
            conv->body->participant[i].system = text;
        }
    }
}


static void
ngx_http_ollama_conversation_read(ngx_http_ollama_conversation_save_t *saving)
{
    ngx_http_ollama_conversation_t  *conv;

    conv = saving->conversation;

    saving->store.handler = ngx_http_ollama_conversation_page;

    if (ngx_http_ollama_store_read(&saving->store,
                                   &conv->ctx->scan->session_id,
                                   &saving->owner, saving->read,
                                   NGX_HTTP_OLLAMA_CONVERSATION_PAGE,
                                   NGX_HTTP_OLLAMA_CONVERSATION_BYTES)
        != NGX_OK)
    {
        ngx_http_ollama_conversation_unavailable(conv);
    }
}


static void
ngx_http_ollama_conversation_page(ngx_http_ollama_store_t *store)
{
    ngx_int_t                             rc;
    ngx_uint_t                            i;
    ngx_http_ollama_conversation_save_t  *saving;
    ngx_http_ollama_conversation_t       *conv;
    ngx_http_ollama_store_message_t       message;

    saving = store->data;
    conv = saving->conversation;

    ngx_http_set_log_request(conv->request->connection->log, conv->request);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {
        ngx_http_ollama_conversation_not_begun(conv,
                      ngx_http_ollama_open_refuse(conv->request, conv->ctx,
                                                  store));
        return;
    }

    for (i = 0; i < store->n; i++) {
        ngx_http_ollama_store_get_message(store, i, &message);

        rc = ngx_http_ollama_conversation_hear(conv, &message);

        if (rc != NGX_OK) {
            ngx_http_ollama_conversation_not_begun(conv, rc);
            return;
        }

        saving->read = ngx_http_ollama_conversation_number(&message.id);
        saving->same = (message.json.len == saving->initial.len
                        && ngx_memcmp(message.json.data, saving->initial.data,
                                      message.json.len)
                           == 0);
    }

    if (store->more && store->n) {
        ngx_http_ollama_conversation_read(saving);
        return;
    }

    ngx_http_ollama_conversation_add(saving);
}


/* The n of a message's id, "n-0". */

static int64_t
ngx_http_ollama_conversation_number(ngx_str_t *id)
{
    u_char  *p;

    p = ngx_strlchr(id->data, id->data + id->len, '-');

    return ngx_atoof(id->data, p ? p - id->data : 0);
}


/* One of earlier: by whom, and what; if it isn't text, it is left out. */

static ngx_int_t
ngx_http_ollama_conversation_hear(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_store_message_t *message)
{
    ngx_int_t                    speaker;
    ngx_str_t                    text, *name;
    ngx_uint_t                   i;
    ngx_http_ollama_message_t    said;
    ngx_http_ollama_utterance_t *utterance;

    if (ngx_http_ollama_message_read(&message->json, &said) != NGX_OK
        || said.content.len < 2 || said.content.data[0] != '"')
    {
        return NGX_OK;
    }

    text.len = said.content.len - 2;

    if (text.len == 0) {
        return NGX_OK;
    }

    if (text.len > NGX_HTTP_OLLAMA_CONVERSATION_SIZE - conv->size) {
        return ngx_http_ollama_error(conv->request, conv->ctx,
                                     NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                     "the messages of session \"%V\" have "
                                     "more than 64 MB",
                                     &conv->ctx->scan->session_id);
    }

    conv->size += text.len;

    text.data = ngx_pnalloc(conv->request->pool, text.len);
    if (text.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(text.data, said.content.data + 1, text.len);

    speaker = NGX_HTTP_OLLAMA_CONVERSATION_USER;
    name = message->participant.len ? &message->participant : &message->model;

    if (said.role.len == sizeof("\"assistant\"") - 1
        && ngx_strncmp(said.role.data, "\"assistant\"", said.role.len) == 0)
    {
        speaker = NGX_HTTP_OLLAMA_CONVERSATION_OTHER;

        for (i = 0; i < conv->body->n; i++) {
            if (message->participant.len == conv->body->participant[i].name.len
                && ngx_memcmp(message->participant.data,
                              conv->body->participant[i].name.data,
                              message->participant.len)
                   == 0)
            {
                speaker = i;
            }
        }
    }

    utterance = ngx_array_push(&conv->said);
    if (utterance == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_conversation_say(conv->request->pool, conv->body,
                                            utterance, speaker, name, &text, 1)
           == NGX_OK ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * All is read: stores the first message; unless it was sent before, by one who
 * wasn't told that it is stored.
 */

static void
ngx_http_ollama_conversation_add(ngx_http_ollama_conversation_save_t *saving)
{
    ngx_connection_t                *c;
    ngx_http_ollama_conversation_t  *conv;

    conv = saving->conversation;
    c = conv->request->connection;

    if (saving->unanswered && saving->same) {
        /* it will be said */
        conv->said.nelts--;

        conv->next(conv);
        ngx_http_run_posted_requests(c);
        return;
    }

    saving->store.handler = ngx_http_ollama_conversation_added;

    if (ngx_http_ollama_store_add(&saving->store,
                                  &conv->ctx->scan->session_id,
                                  &conv->ctx->holder, ++saving->n,
                                  &saving->initial, 1)
        != NGX_OK)
    {
        ngx_http_ollama_conversation_unavailable(conv);
    }
}


static void
ngx_http_ollama_conversation_initial(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_emit_add(t, "{\"role\":\"user\",\"content\":");
    ngx_http_ollama_emit_string(t, data);
    ngx_http_ollama_emit_add(t, "}");
}


static void
ngx_http_ollama_conversation_added(ngx_http_ollama_store_t *store)
{
    ngx_connection_t                     *c;
    ngx_http_ollama_conversation_save_t  *saving;
    ngx_http_ollama_conversation_t       *conv;

    saving = store->data;
    conv = saving->conversation;
    c = conv->request->connection;

    ngx_http_set_log_request(c->log, conv->request);

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        conv->next(conv);
        ngx_http_run_posted_requests(c);
        return;

    case NGX_HTTP_OLLAMA_STORE_UNAVAILABLE:
        ngx_http_ollama_conversation_unavailable(conv);
        return;

    default: /* it was deleted meanwhile */
        ngx_http_ollama_conversation_not_begun(conv,
                      ngx_http_ollama_open_not_found(conv->request, conv->ctx));
        return;
    }
}


/* Whoever has stopped it was told that it ends so. */

static void
ngx_http_ollama_conversation_not_begun(ngx_http_ollama_conversation_t *conv,
    ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = conv->request->connection;

    if (conv->stopped) {
        conv->saving->lost = 1;
        conv->next(conv);

    } else {
        ngx_http_finalize_request(conv->request, rc);
    }

    ngx_http_run_posted_requests(c);
}


/* Redis can't be asked. */

static void
ngx_http_ollama_conversation_unavailable(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_ollama_conversation_not_begun(conv,
                    ngx_http_ollama_error_no_history(conv->request, conv->ctx));
}
