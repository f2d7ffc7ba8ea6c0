
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The start of a conversation in a session: the session is locked, its messages
 * are read and become part of what each participant is sent, and the initial
 * message is stored, all before anything is generated.  Each reply is stored
 * when its turn has ended (conversation_save, which owns the state).
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_session.h"
#include "conversation/ngx_http_ollama_conversation_save.h"
#include "core/ngx_http_ollama_error.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_open.h"
#include "store/ngx_http_ollama_message.h"
#include "store/ngx_http_ollama_outbox.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_emit.h"


/* a conversation that would make a history longer is refused */
#define NGX_HTTP_OLLAMA_CONVERSATION_HISTORY  10000

/* a page: messages, and about how many bytes */
#define NGX_HTTP_OLLAMA_CONVERSATION_PAGE     500
#define NGX_HTTP_OLLAMA_CONVERSATION_BYTES    (256 * 1024)


static void ngx_http_ollama_conversation_session_begun(
    ngx_http_ollama_store_t *store);
static void ngx_http_ollama_conversation_session_opened(
    ngx_http_ollama_conversation_save_t *save);
static ngx_int_t ngx_http_ollama_conversation_session_system(
    ngx_http_ollama_conversation_t *conv, ngx_str_t *system);
static void ngx_http_ollama_conversation_session_escape(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_session_read(
    ngx_http_ollama_conversation_save_t *save);
static void ngx_http_ollama_conversation_session_page(
    ngx_http_ollama_store_t *store);
static int64_t ngx_http_ollama_conversation_session_number(ngx_str_t *id);
static ngx_int_t ngx_http_ollama_conversation_session_message(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_store_message_t *message);
static ngx_int_t ngx_http_ollama_conversation_session_said(
    ngx_http_ollama_conversation_t *conv, ngx_int_t speaker, ngx_str_t *name,
    ngx_str_t *text);
static void ngx_http_ollama_conversation_session_add(
    ngx_http_ollama_conversation_save_t *save);
static void ngx_http_ollama_conversation_session_initial(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_session_added(
    ngx_http_ollama_store_t *store);
static void ngx_http_ollama_conversation_session_failed(
    ngx_http_ollama_conversation_t *conv, ngx_int_t rc);


ngx_int_t
ngx_http_ollama_conversation_session_check(
    ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t                             rc;
    ngx_http_request_t                   *r;
    ngx_http_ollama_conversation_save_t  *save;

    r = conv->request;

    if (ngx_http_ollama_redis_prefix() == NULL) {
        return ngx_http_ollama_error_no_history(r, conv->ctx);
    }

    save = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_conversation_save_t));
    if (save == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    save->conversation = conv;
    ngx_queue_init(&save->unsaved);

    rc = ngx_http_ollama_open_init(r, conv->ctx, &save->store, save,
                                   &save->owner);

    if (rc != NGX_OK) {
        return rc;
    }

    conv->save = save;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_conversation_session_begin(
    ngx_http_ollama_conversation_t *conv)
{
    ngx_http_ollama_scan_t               *scan;
    ngx_http_ollama_conversation_save_t  *save;

    save = conv->save;
    scan = conv->ctx->scan;

    ngx_http_ollama_outbox_flush(&scan->session_id);

    save->store.handler = ngx_http_ollama_conversation_session_begun;

    if (ngx_http_ollama_store_begin(&save->store, &scan->session_id,
                                    &save->owner, &scan->task_id,
                                    NGX_HTTP_OLLAMA_LOCK_TIME)
        != NGX_OK)
    {
        return ngx_http_ollama_error_no_history(conv->request, conv->ctx);
    }

    save->locking = 1;

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_session_begun(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_conversation_save_t  *save;
    ngx_http_ollama_conversation_t       *conv;

    save = store->data;
    conv = save->conversation;

    ngx_http_set_log_request(conv->request->connection->log, conv->request);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {

        if (store->result != NGX_HTTP_OLLAMA_STORE_UNAVAILABLE) {
            save->released = 1;
        }

        ngx_http_ollama_conversation_session_failed(conv,
                      ngx_http_ollama_open_refuse(conv->request, conv->ctx,
                                                  store));
        return;
    }

    ngx_http_ollama_conversation_session_opened(save);
}


/* The session exists, and is locked now. */

static void
ngx_http_ollama_conversation_session_opened(
    ngx_http_ollama_conversation_save_t *save)
{
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_store_t         *store;
    ngx_http_ollama_conversation_t  *conv;

    conv = save->conversation;
    ctx = conv->ctx;
    store = &save->store;

    save->n = store->last;

    if (ngx_http_ollama_open_holder(conv->request, ctx, store) != NGX_OK) {
        ngx_http_ollama_conversation_session_failed(conv,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_ollama_task_has_session(ctx);

    ngx_http_ollama_lock_begin(&save->lock, &ctx->scan->session_id,
                               &ctx->holder, store->ttl, store->log);

    if (store->total + 1 + conv->body->max_turns
        > NGX_HTTP_OLLAMA_CONVERSATION_HISTORY)
    {
        ngx_http_ollama_conversation_session_failed(conv,
            ngx_http_ollama_error(conv->request, ctx,
                                  NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                  "session \"%V\" has %ui messages, with "
                                  "those of this conversation it could have "
                                  "more than %d",
                                  &ctx->scan->session_id, store->total,
                                  NGX_HTTP_OLLAMA_CONVERSATION_HISTORY));
        return;
    }

    save->total = store->total;
    save->unanswered = (store->unanswered == 1);

    if (ngx_http_ollama_conversation_session_system(conv,
                                                    &store->session.system)
        != NGX_OK
        || ngx_http_ollama_conversation_prompt_init(&conv->said,
                                                 conv->request->pool,
                                                 conv->body)
        != NGX_OK
        || ngx_http_ollama_emit_make(conv->request->pool,
                                 ngx_http_ollama_conversation_session_initial,
                                 &conv->body->initial, &save->initial)
           != NGX_OK)
    {
        ngx_http_ollama_conversation_session_failed(conv,
                                               NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_ollama_conversation_session_read(save);
}


/* The session's system prompt is for participants that have none. */

static ngx_int_t
ngx_http_ollama_conversation_session_system(
    ngx_http_ollama_conversation_t *conv, ngx_str_t *system)
{
    ngx_str_t   text;
    ngx_uint_t  i;

    if (system->len == 0) {
        return NGX_OK;
    }

    if (ngx_http_ollama_emit_make(conv->request->pool,
                                 ngx_http_ollama_conversation_session_escape,
                                 system, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < conv->body->n; i++) {
        if (conv->body->participant[i].system.len == 0) {
            conv->body->participant[i].system = text;
        }
    }

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_session_escape(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_emit_escape(t, data);
}


static void
ngx_http_ollama_conversation_session_read(
    ngx_http_ollama_conversation_save_t *save)
{
    ngx_http_ollama_conversation_t  *conv;

    conv = save->conversation;

    save->store.handler = ngx_http_ollama_conversation_session_page;

    if (ngx_http_ollama_store_read(&save->store,
                                   &conv->ctx->scan->session_id,
                                   &save->owner, save->read,
                                   NGX_HTTP_OLLAMA_CONVERSATION_PAGE,
                                   NGX_HTTP_OLLAMA_CONVERSATION_BYTES)
        != NGX_OK)
    {
        ngx_http_ollama_conversation_session_failed(conv,
                    ngx_http_ollama_error_no_history(conv->request, conv->ctx));
    }
}


static void
ngx_http_ollama_conversation_session_page(ngx_http_ollama_store_t *store)
{
    ngx_int_t                             rc;
    ngx_uint_t                            i;
    ngx_http_ollama_conversation_save_t  *save;
    ngx_http_ollama_conversation_t       *conv;
    ngx_http_ollama_store_message_t       message;

    save = store->data;
    conv = save->conversation;

    ngx_http_set_log_request(conv->request->connection->log, conv->request);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {
        ngx_http_ollama_conversation_session_failed(conv,
                      ngx_http_ollama_open_refuse(conv->request, conv->ctx,
                                                  store));
        return;
    }

    for (i = 0; i < store->n; i++) {
        ngx_http_ollama_store_get_message(store, i, &message);

        save->read = ngx_http_ollama_conversation_session_number(&message.id);

        if (++save->seen == save->total && save->unanswered
            && message.json.len == save->initial.len
            && ngx_memcmp(message.json.data, save->initial.data,
                          message.json.len)
               == 0)
        {
            /* the initial message, which is added at the end */
            save->same = 1;
            continue;
        }

        rc = ngx_http_ollama_conversation_session_message(conv, &message);

        if (rc != NGX_OK) {
            ngx_http_ollama_conversation_session_failed(conv, rc);
            return;
        }
    }

    if (store->more && store->n) {
        ngx_http_ollama_conversation_session_read(save);
        return;
    }

    ngx_http_ollama_conversation_session_add(save);
}


/* The n of a message id, "n-0". */

static int64_t
ngx_http_ollama_conversation_session_number(ngx_str_t *id)
{
    u_char  *p;

    p = ngx_strlchr(id->data, id->data + id->len, '-');

    return ngx_atoof(id->data, p ? p - id->data : 0);
}


/*
 * Adds a message of the history to the conversation; one whose content isn't
 * text is left out.  NGX_OK, or the status of a refusal.
 */

static ngx_int_t
ngx_http_ollama_conversation_session_message(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_store_message_t *message)
{
    ngx_int_t                  speaker;
    ngx_str_t                  text, *name;
    ngx_uint_t                 i;
    ngx_http_ollama_message_t  parsed;

    if (ngx_http_ollama_message_read(&message->json, &parsed) != NGX_OK
        || parsed.content.len < 2 || parsed.content.data[0] != '"')
    {
        return NGX_OK;
    }

    text.data = parsed.content.data + 1;
    text.len = parsed.content.len - 2;

    if (text.len == 0) {
        return NGX_OK;
    }

    speaker = NGX_HTTP_OLLAMA_CONVERSATION_USER;
    name = message->participant.len ? &message->participant : &message->model;

    if (parsed.role.len == sizeof("\"assistant\"") - 1
        && ngx_strncmp(parsed.role.data, "\"assistant\"", parsed.role.len) == 0)
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

    return ngx_http_ollama_conversation_session_said(conv, speaker, name,
                                                     &text);
}


/* NGX_OK, or the status of a refusal. */

static ngx_int_t
ngx_http_ollama_conversation_session_said(ngx_http_ollama_conversation_t *conv,
    ngx_int_t speaker, ngx_str_t *name, ngx_str_t *text)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_conversation_prompt_add(&conv->said, speaker, name,
                                                 text, 1);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error(conv->request, conv->ctx,
                                     NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                     "the messages of session \"%V\" have, "
                                     "with the new one, more than 64 MB",
                                     &conv->ctx->scan->session_id);
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/*
 * The history is complete: stores the initial message, unless it is the last
 * one there and has no reply: then the client wasn't told that it is stored,
 * and has sent it again.
 */

static void
ngx_http_ollama_conversation_session_add(
    ngx_http_ollama_conversation_save_t *save)
{
    ngx_int_t                        rc;
    ngx_connection_t                *c;
    ngx_http_ollama_conversation_t  *conv;

    conv = save->conversation;
    c = conv->request->connection;

    rc = ngx_http_ollama_conversation_session_said(conv,
                                             NGX_HTTP_OLLAMA_CONVERSATION_USER,
                                             NULL, &conv->body->initial);

    if (rc != NGX_OK) {
        ngx_http_ollama_conversation_session_failed(conv, rc);
        return;
    }

    if (save->same) {
        conv->next(conv);
        ngx_http_run_posted_requests(c);
        return;
    }

    save->store.handler = ngx_http_ollama_conversation_session_added;

    if (ngx_http_ollama_store_add(&save->store,
                                  &conv->ctx->scan->session_id,
                                  &conv->ctx->holder, ++save->n,
                                  &save->initial, 1)
        != NGX_OK)
    {
        ngx_http_ollama_conversation_session_failed(conv,
                    ngx_http_ollama_error_no_history(conv->request, conv->ctx));
    }
}


static void
ngx_http_ollama_conversation_session_initial(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_emit_add(t, "{\"role\":\"user\",\"content\":\"");
    ngx_http_ollama_emit_raw(t, data);
    ngx_http_ollama_emit_add(t, "\"}");
}


static void
ngx_http_ollama_conversation_session_added(ngx_http_ollama_store_t *store)
{
    ngx_connection_t                     *c;
    ngx_http_ollama_conversation_save_t  *save;
    ngx_http_ollama_conversation_t       *conv;

    save = store->data;
    conv = save->conversation;
    c = conv->request->connection;

    ngx_http_set_log_request(c->log, conv->request);

    if (store->result != NGX_HTTP_OLLAMA_STORE_OK) {
        ngx_http_ollama_conversation_session_failed(conv,
                      ngx_http_ollama_open_refuse(conv->request, conv->ctx,
                                                  store));
        return;
    }

    conv->next(conv);
    ngx_http_run_posted_requests(c);
}


/*
 * The conversation can't begin.  If it was stopped meanwhile, its reply says
 * so: whoever stopped it was told that.
 */

static void
ngx_http_ollama_conversation_session_failed(
    ngx_http_ollama_conversation_t *conv, ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = conv->request->connection;

    if (conv->stopped) {
        conv->save->failed = 1;
        conv->next(conv);

    } else {
        ngx_http_finalize_request(conv->request, rc);
    }

    ngx_http_run_posted_requests(c);
}
