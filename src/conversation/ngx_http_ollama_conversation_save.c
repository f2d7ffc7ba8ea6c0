
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The replies of a conversation in a session, stored when their turns are over.
 *
 * A save that fails is tried again after the next turn, in front of that one's,
 * and in the end by outbox.c: messages are stored in order, or not at all.  A
 * conversation doesn't end because Redis is away; the closing line says whether
 * all was saved.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_save.h"
#include "conversation/ngx_http_ollama_conversation_turn.h"
#include "request/ngx_http_ollama_scan.h"
#include "store/ngx_http_ollama_outbox.h"


/* a reply that isn't stored yet, in its turn's pool */

typedef struct {
    ngx_queue_t                        queue;
    ngx_pool_t                        *pool;
    int64_t                            n;
    ngx_http_ollama_store_message_t    message;
    unsigned                           last:1;
} ngx_http_ollama_unsaved_t;


static ngx_int_t ngx_http_ollama_conversation_save_next(
    ngx_http_ollama_conversation_save_t *saving);
static void ngx_http_ollama_conversation_save_done(
    ngx_http_ollama_store_t *store);
static void ngx_http_ollama_conversation_save_clear(
    ngx_http_ollama_conversation_save_t *saving);


ngx_int_t
ngx_http_ollama_conversation_save(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_turn_t *turn,
    ngx_str_t *status, ngx_str_t *message, ngx_str_t *stats, ngx_uint_t last)
{
    ngx_http_ollama_conversation_save_t  *saving;
    ngx_http_ollama_unsaved_t            *unsaved;

    saving = conv->saving;

    unsaved = ngx_pcalloc(turn->pool, sizeof(ngx_http_ollama_unsaved_t));

    if (unsaved == NULL || saving->lost) {
        saving->lost = 1;
        ngx_destroy_pool(turn->pool);
        return NGX_OK;
    }

    unsaved->pool = turn->pool;
    unsaved->n = ++saving->n;
    unsaved->last = last;

    unsaved->message.json = *message;
    unsaved->message.stats = *stats;
    unsaved->message.status = *status;
    unsaved->message.model = turn->participant->model;
    unsaved->message.participant = turn->participant->name;
    unsaved->message.server = turn->ctx->server;
    unsaved->message.thinking =
                         turn->said->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str;

    ngx_queue_insert_tail(&saving->unsaved, &unsaved->queue);

    return conv->over ? NGX_OK : ngx_http_ollama_conversation_save_next(saving);
}


/* NGX_AGAIN: the oldest message that isn't stored is on its way to Redis. */

static ngx_int_t
ngx_http_ollama_conversation_save_next(
    ngx_http_ollama_conversation_save_t *saving)
{
    ngx_http_ollama_ctx_t      *ctx;
    ngx_http_ollama_unsaved_t  *unsaved;

    if (ngx_queue_empty(&saving->unsaved)) {
        return NGX_OK;
    }

    ctx = saving->conversation->ctx;

    unsaved = ngx_queue_data(ngx_queue_head(&saving->unsaved),
                             ngx_http_ollama_unsaved_t, queue);

    saving->store.handler = ngx_http_ollama_conversation_save_done;

    if (ngx_http_ollama_store_save(&saving->store, &ctx->scan->session_id,
                                   &ctx->holder, unsaved->n,
                                   &unsaved->message, unsaved->last)
        == NGX_OK)
    {
        return NGX_AGAIN;
    }

    ngx_log_error(NGX_LOG_ERR, saving->store.log, 0,
                  "ollama: a reply was not saved in its session: Redis is "
                  "not available");

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_save_done(ngx_http_ollama_store_t *store)
{
    ngx_queue_t                          *q;
    ngx_connection_t                     *c;
    ngx_http_ollama_conversation_save_t  *saving;
    ngx_http_ollama_unsaved_t            *unsaved;
    ngx_http_ollama_conversation_t       *conv;

    saving = store->data;
    conv = saving->conversation;
    c = conv->request->connection;

    ngx_http_set_log_request(c->log, conv->request);

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        q = ngx_queue_head(&saving->unsaved);
        unsaved = ngx_queue_data(q, ngx_http_ollama_unsaved_t, queue);

        saving->given = unsaved->last;

        ngx_queue_remove(q);
        ngx_destroy_pool(unsaved->pool);

        if (ngx_http_ollama_conversation_save_next(saving) == NGX_AGAIN) {
            return;
        }

        break;

    case NGX_HTTP_OLLAMA_STORE_UNAVAILABLE:
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "ollama: a reply was not saved in its session: Redis "
                      "failed, or did not answer in time");
        break;

    default:
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "ollama: a reply was not saved in its session: it was "
                      "deleted, or another task has it");

        saving->lost = 1;
        ngx_http_ollama_conversation_save_clear(saving);
        break;
    }

    conv->next(conv);
    ngx_http_run_posted_requests(c);
}


ngx_http_ollama_conversation_saved_e
ngx_http_ollama_conversation_save_result(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_ollama_conversation_save_t  *saving;

    saving = conv->saving;

    if (saving == NULL) {
        return NGX_HTTP_OLLAMA_CONVERSATION_UNKNOWN;
    }

    return (saving->lost || !ngx_queue_empty(&saving->unsaved))
           ? NGX_HTTP_OLLAMA_CONVERSATION_UNSAVED
           : NGX_HTTP_OLLAMA_CONVERSATION_SAVED;
}


void
ngx_http_ollama_conversation_save_end(ngx_http_ollama_conversation_t *conv)
{
    ngx_queue_t                          *q;
    ngx_http_ollama_ctx_t                *ctx;
    ngx_http_ollama_conversation_save_t  *saving;
    ngx_http_ollama_unsaved_t            *unsaved;

    ctx = conv->ctx;
    saving = conv->saving;

    ngx_http_ollama_lock_end(&saving->lock);
    ngx_http_ollama_store_forget(&saving->store);

    for (q = ngx_queue_head(&saving->unsaved);
         q != ngx_queue_sentinel(&saving->unsaved);
         q = ngx_queue_next(q))
    {
        unsaved = ngx_queue_data(q, ngx_http_ollama_unsaved_t, queue);

        ngx_http_ollama_outbox_add(&ctx->scan->session_id, &ctx->holder,
                                   saving->store.ttl, unsaved->n,
                                   &unsaved->message);

        /* the last one gives the lock back, too */
        saving->given = 1;
    }

    ngx_http_ollama_conversation_save_clear(saving);

    if (saving->asked && !saving->given) {
        saving->given = 1;

        ngx_http_ollama_outbox_add(&ctx->scan->session_id,
                                   ctx->holder.len ? &ctx->holder
                                                   : &ctx->scan->task_id,
                                   0, 0, NULL);
    }
}


static void
ngx_http_ollama_conversation_save_clear(
    ngx_http_ollama_conversation_save_t *saving)
{
    ngx_queue_t                *q;
    ngx_http_ollama_unsaved_t  *unsaved;

    while (!ngx_queue_empty(&saving->unsaved)) {
        q = ngx_queue_head(&saving->unsaved);
        unsaved = ngx_queue_data(q, ngx_http_ollama_unsaved_t, queue);

        ngx_queue_remove(q);
        ngx_destroy_pool(unsaved->pool);
    }
}
