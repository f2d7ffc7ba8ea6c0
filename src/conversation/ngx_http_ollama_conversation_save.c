
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Stores the replies of a conversation in its session, each when its turn has
 * ended.
 *
 * If that fails, it is tried again after the next turn, before that turn's
 * reply, and in the end by the outbox: replies are stored in order, or not at
 * all.  A conversation doesn't end because Redis is not available; the closing
 * line says whether all was saved.
 *
 * A reply that isn't stored yet keeps the pool of its turn, and is destroyed
 * with it; if too many bytes wait for Redis, none of them is stored.  Uses the
 * store, its lock and its outbox.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_save.h"
#include "conversation/ngx_http_ollama_conversation_turn.h"
#include "request/ngx_http_ollama_scan.h"
#include "store/ngx_http_ollama_outbox.h"


/* bytes of the replies that wait for Redis; one is less */
#define NGX_HTTP_OLLAMA_CONVERSATION_WAITING  (64 * 1024 * 1024)


/* a reply that isn't stored yet, in its turn's pool */

typedef struct {
    ngx_queue_t                        queue;
    ngx_pool_t                        *pool;
    size_t                             size;
    int64_t                            n;
    ngx_http_ollama_store_message_t    message;
    unsigned                           last:1;
} ngx_http_ollama_unsaved_t;


static ngx_int_t ngx_http_ollama_conversation_save_next(
    ngx_http_ollama_conversation_save_t *save);
static void ngx_http_ollama_conversation_save_done(
    ngx_http_ollama_store_t *store);
static void ngx_http_ollama_conversation_save_clear(
    ngx_http_ollama_conversation_save_t *save);
static void ngx_http_ollama_conversation_save_remove(
    ngx_http_ollama_conversation_save_t *save,
    ngx_http_ollama_unsaved_t *unsaved);


ngx_int_t
ngx_http_ollama_conversation_save(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_turn_t *turn,
    ngx_str_t *status, ngx_str_t *message, ngx_str_t *stats, ngx_uint_t last)
{
    ngx_http_ollama_conversation_save_t  *save;
    ngx_http_ollama_unsaved_t            *unsaved;

    save = conv->save;

    unsaved = ngx_pcalloc(turn->pool, sizeof(ngx_http_ollama_unsaved_t));

    if (unsaved == NULL || save->failed) {
        save->failed = 1;
        ngx_destroy_pool(turn->pool);
        return NGX_OK;
    }

    unsaved->pool = turn->pool;
    unsaved->n = ++save->n;
    unsaved->last = last;

    unsaved->message.json = *message;
    unsaved->message.stats = *stats;
    unsaved->message.status = *status;
    unsaved->message.model = turn->participant->model;
    unsaved->message.participant = turn->participant->name;
    unsaved->message.server = turn->ctx->server;
    unsaved->message.thinking =
                      turn->capture->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str;

    ngx_queue_insert_tail(&save->unsaved, &unsaved->queue);

    /* the message has all of the text but the thinking once more */

    unsaved->size = 2 * message->len + unsaved->message.thinking.len;
    save->size += unsaved->size;

    if (save->size > NGX_HTTP_OLLAMA_CONVERSATION_WAITING) {
        ngx_log_error(NGX_LOG_ERR, conv->request->connection->log, 0,
                      "ollama: replies were not saved in their session: too "
                      "much waits for Redis");

        save->failed = 1;
        ngx_http_ollama_conversation_save_clear(save);

        return NGX_OK;
    }

    return conv->ended ? NGX_OK : ngx_http_ollama_conversation_save_next(save);
}


/* NGX_AGAIN: the oldest message that isn't stored is on its way to Redis. */

static ngx_int_t
ngx_http_ollama_conversation_save_next(
    ngx_http_ollama_conversation_save_t *save)
{
    ngx_http_ollama_ctx_t      *ctx;
    ngx_http_ollama_unsaved_t  *unsaved;

    if (ngx_queue_empty(&save->unsaved)) {
        return NGX_OK;
    }

    ctx = save->conversation->ctx;

    unsaved = ngx_queue_data(ngx_queue_head(&save->unsaved),
                             ngx_http_ollama_unsaved_t, queue);

    save->store.handler = ngx_http_ollama_conversation_save_done;

    if (ngx_http_ollama_store_save(&save->store, &ctx->scan->session_id,
                                   &ctx->holder, unsaved->n,
                                   &unsaved->message, unsaved->last)
        == NGX_OK)
    {
        return NGX_AGAIN;
    }

    ngx_log_error(NGX_LOG_ERR, save->store.log, 0,
                  "ollama: a reply was not saved in its session: Redis is "
                  "not available");

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_save_done(ngx_http_ollama_store_t *store)
{
    ngx_queue_t                          *q;
    ngx_connection_t                     *c;
    ngx_http_ollama_conversation_save_t  *save;
    ngx_http_ollama_unsaved_t            *unsaved;
    ngx_http_ollama_conversation_t       *conv;

    save = store->data;
    conv = save->conversation;
    c = conv->request->connection;

    ngx_http_set_log_request(c->log, conv->request);

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        q = ngx_queue_head(&save->unsaved);
        unsaved = ngx_queue_data(q, ngx_http_ollama_unsaved_t, queue);

        save->released = unsaved->last;

        ngx_http_ollama_conversation_save_remove(save, unsaved);

        if (ngx_http_ollama_conversation_save_next(save) == NGX_AGAIN) {
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

        save->failed = 1;
        ngx_http_ollama_conversation_save_clear(save);
        break;
    }

    conv->next(conv);
    ngx_http_run_posted_requests(c);
}


ngx_http_ollama_conversation_saved_e
ngx_http_ollama_conversation_save_result(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_ollama_conversation_save_t  *save;

    save = conv->save;

    if (save == NULL) {
        return NGX_HTTP_OLLAMA_CONVERSATION_UNKNOWN;
    }

    return (save->failed || !ngx_queue_empty(&save->unsaved))
           ? NGX_HTTP_OLLAMA_CONVERSATION_UNSAVED
           : NGX_HTTP_OLLAMA_CONVERSATION_SAVED;
}


void
ngx_http_ollama_conversation_save_end(ngx_http_ollama_conversation_t *conv)
{
    ngx_queue_t                          *q;
    ngx_http_ollama_ctx_t                *ctx;
    ngx_http_ollama_conversation_save_t  *save;
    ngx_http_ollama_unsaved_t            *unsaved;

    ctx = conv->ctx;
    save = conv->save;

    ngx_http_ollama_lock_end(&save->lock);
    ngx_http_ollama_store_forget(&save->store);

    for (q = ngx_queue_head(&save->unsaved);
         q != ngx_queue_sentinel(&save->unsaved);
         q = ngx_queue_next(q))
    {
        unsaved = ngx_queue_data(q, ngx_http_ollama_unsaved_t, queue);

        unsaved->message.more = (ngx_queue_next(q)
                                 != ngx_queue_sentinel(&save->unsaved));

        ngx_http_ollama_outbox_add(&ctx->scan->session_id, &ctx->holder,
                                   save->store.ttl, unsaved->n,
                                   &unsaved->message);

        /* the outbox releases the lock with the last message */
        save->released = 1;
    }

    ngx_http_ollama_conversation_save_clear(save);

    if (save->refused && !save->released) {
        save->released = 1;

        ngx_http_ollama_outbox_withdraw(&ctx->scan->session_id, &ctx->holder,
                                        save->n, save->n);
    }

    if (save->locking && !save->released) {
        save->released = 1;

        ngx_http_ollama_outbox_add(&ctx->scan->session_id,
                                   ctx->holder.len ? &ctx->holder
                                                   : &ctx->scan->task_id,
                                   0, 0, NULL);
    }
}


static void
ngx_http_ollama_conversation_save_clear(
    ngx_http_ollama_conversation_save_t *save)
{
    ngx_queue_t                *q;
    ngx_http_ollama_unsaved_t  *unsaved;

    while (!ngx_queue_empty(&save->unsaved)) {
        q = ngx_queue_head(&save->unsaved);
        unsaved = ngx_queue_data(q, ngx_http_ollama_unsaved_t, queue);

        ngx_http_ollama_conversation_save_remove(save, unsaved);
    }
}


static void
ngx_http_ollama_conversation_save_remove(
    ngx_http_ollama_conversation_save_t *save,
    ngx_http_ollama_unsaved_t *unsaved)
{
    save->size -= unsaved->size;

    ngx_queue_remove(&unsaved->queue);
    ngx_destroy_pool(unsaved->pool);
}
