
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Ends of tasks in sessions whose request can't wait for Redis, or has waited
 * in vain: a reply is saved, or a lock released.  If Redis isn't available, or
 * doesn't answer, that is tried again when it is, a few times and not for long.
 * To do it twice is harmless: what is stored isn't stored again, what no longer
 * fits the session changes nothing, and a lock of another task is left alone.
 *
 * An item lives in a pool of its own, in a list of this worker, until Redis has
 * answered or it is given up.  Redis executes commands in their order, so a
 * request that flushes the session's items before its own operation finds the
 * session as if they had been in time.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_outbox.h"
#include "util/ngx_http_ollama_timer.h"


/* how long a save, and a release, are tried, ms: a lock expires by itself */
#define NGX_HTTP_OLLAMA_OUTBOX_SAVE     60000
#define NGX_HTTP_OLLAMA_OUTBOX_RELEASE  10000

/* how often one is sent: one that isn't answered fails all others, too */
#define NGX_HTTP_OLLAMA_OUTBOX_TRIES    3

/* items at once, and their bytes */
#define NGX_HTTP_OLLAMA_OUTBOX_COUNT    1024
#define NGX_HTTP_OLLAMA_OUTBOX_SIZE     (64 * 1024 * 1024)

/* how often it is tried if Redis is available, ms */
#define NGX_HTTP_OLLAMA_OUTBOX_TICK     100


typedef struct {
    ngx_queue_t                       queue;
    ngx_pool_t                       *pool;
    ngx_http_ollama_store_t           store;
    ngx_str_t                         sid;
    ngx_str_t                         task;
    ngx_http_ollama_store_message_t   message;
    int64_t                           n;       /* of the message; 0: just the
                                                  lock; or ..._WITHDRAW */
    size_t                            size;
    ngx_uint_t                        tries;
    ngx_msec_t                        until;
    unsigned                          sent:1;  /* and not answered yet */
} ngx_http_ollama_outbox_item_t;


/* this worker's */

typedef struct {
    ngx_queue_t                       items;
    ngx_uint_t                        count;
    size_t                            size;
    ngx_http_ollama_timer_t           timer;
} ngx_http_ollama_outbox_t;


static ngx_http_ollama_outbox_item_t *ngx_http_ollama_outbox_create(
    ngx_str_t *sid, ngx_str_t *task, ngx_http_ollama_store_message_t *message);
static ngx_int_t ngx_http_ollama_outbox_copy(
    ngx_http_ollama_outbox_item_t *item, ngx_str_t *text);
static void ngx_http_ollama_outbox_send(ngx_http_ollama_outbox_item_t *item);
static void ngx_http_ollama_outbox_done(ngx_http_ollama_store_t *store);
static void ngx_http_ollama_outbox_free(ngx_http_ollama_outbox_item_t *item);
static void ngx_http_ollama_outbox_lost(ngx_http_ollama_outbox_item_t *item,
    const char *why);
static void ngx_http_ollama_outbox_tick(void);
static void ngx_http_ollama_outbox_tick_handler(ngx_event_t *ev);


static ngx_http_ollama_outbox_t  ngx_http_ollama_outbox = {
    .items = { &ngx_http_ollama_outbox.items, &ngx_http_ollama_outbox.items }
};


void
ngx_http_ollama_outbox_add(ngx_str_t *sid, ngx_str_t *task, int64_t ttl,
    int64_t n, ngx_http_ollama_store_message_t *message)
{
    ngx_http_ollama_outbox_item_t  *item;

    item = ngx_http_ollama_outbox_create(sid, task, message);

    if (item == NULL && message) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ollama: a reply in session \"%V\" is lost: too much "
                      "waits for Redis", sid);

        message = NULL;
        item = ngx_http_ollama_outbox_create(sid, task, NULL);
    }

    if (item == NULL) {
        return;
    }

    item->store.handler = ngx_http_ollama_outbox_done;
    item->store.data = item;
    item->store.ttl = ttl;

    item->n = (message || n < 0) ? n : 0;
    item->until = ngx_current_msec + (message ? NGX_HTTP_OLLAMA_OUTBOX_SAVE
                                              : NGX_HTTP_OLLAMA_OUTBOX_RELEASE);

    ngx_queue_insert_tail(&ngx_http_ollama_outbox.items, &item->queue);

    ngx_http_ollama_outbox.count++;
    ngx_http_ollama_outbox.size += item->size;

    ngx_http_ollama_outbox_send(item);
}


static ngx_http_ollama_outbox_item_t *
ngx_http_ollama_outbox_create(ngx_str_t *sid, ngx_str_t *task,
    ngx_http_ollama_store_message_t *message)
{
    ngx_pool_t                     *pool;
    ngx_http_ollama_outbox_item_t  *item;

    if (ngx_http_ollama_outbox.count >= NGX_HTTP_OLLAMA_OUTBOX_COUNT) {
        return NULL;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    item = ngx_pcalloc(pool, sizeof(ngx_http_ollama_outbox_item_t));
    if (item == NULL) {
        goto failed;
    }

    item->pool = pool;
    item->sid = *sid;
    item->task = *task;

    if (message) {
        item->message = *message;
    }

    if (ngx_http_ollama_outbox_copy(item, &item->sid) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->task) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.json) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.status) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.model) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.server) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.thinking) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.stats) != NGX_OK
        || ngx_http_ollama_outbox_copy(item, &item->message.participant)
           != NGX_OK)
    {
        goto failed;
    }

    return item;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/* NGX_ERROR: no memory, or more bytes than may wait. */

static ngx_int_t
ngx_http_ollama_outbox_copy(ngx_http_ollama_outbox_item_t *item,
    ngx_str_t *text)
{
    u_char  *p;

    if (text->len == 0) {
        return NGX_OK;
    }

    item->size += text->len;

    if (ngx_http_ollama_outbox.size + item->size
        > NGX_HTTP_OLLAMA_OUTBOX_SIZE)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(item->pool, text->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, text->data, text->len);
    text->data = p;

    return NGX_OK;
}


void
ngx_http_ollama_outbox_flush(ngx_str_t *sid)
{
    ngx_queue_t                    *q;
    ngx_http_ollama_outbox_item_t  *item;

    for (q = ngx_queue_head(&ngx_http_ollama_outbox.items);
         q != ngx_queue_sentinel(&ngx_http_ollama_outbox.items);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_ollama_outbox_item_t, queue);

        if (!item->sent
            && item->sid.len == sid->len
            && ngx_memcmp(item->sid.data, sid->data, sid->len) == 0)
        {
            ngx_http_ollama_outbox_send(item);
        }
    }
}


void
ngx_http_ollama_outbox_exit_worker(void)
{
    ngx_queue_t                    *q;
    ngx_http_ollama_outbox_item_t  *item;

    while (!ngx_queue_empty(&ngx_http_ollama_outbox.items)) {
        q = ngx_queue_head(&ngx_http_ollama_outbox.items);
        item = ngx_queue_data(q, ngx_http_ollama_outbox_item_t, queue);

        ngx_http_ollama_store_forget(&item->store);

        ngx_http_ollama_outbox_lost(item, item->sent
                                          ? "nginx ends, and Redis has not "
                                            "answered"
                                          : "nginx ends");
        ngx_http_ollama_outbox_free(item);
    }
}


static void
ngx_http_ollama_outbox_send(ngx_http_ollama_outbox_item_t *item)
{
    ngx_int_t  rc;

    item->store.log = ngx_cycle->log;

    if (item->n == NGX_HTTP_OLLAMA_OUTBOX_WITHDRAW) {
        rc = ngx_http_ollama_store_withdraw(&item->store, &item->sid,
                                            &item->task);

    } else if (item->n) {
        rc = ngx_http_ollama_store_save(&item->store, &item->sid, &item->task,
                                        item->n, &item->message, 1);

    } else {
        rc = ngx_http_ollama_store_release(&item->store, &item->sid,
                                           &item->task);
    }

    if (rc != NGX_OK) {
        ngx_http_ollama_outbox_tick();
        return;
    }

    item->sent = 1;
    item->tries++;
}


static void
ngx_http_ollama_outbox_done(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_outbox_item_t  *item;

    item = store->data;

    item->sent = 0;

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        break;

    case NGX_HTTP_OLLAMA_STORE_NONE:
        ngx_http_ollama_outbox_lost(item, "it was deleted");
        break;

    case NGX_HTTP_OLLAMA_STORE_LOST:
        ngx_http_ollama_outbox_lost(item, "another task has its session, or "
                                          "has had it");
        break;

    default: /* NGX_HTTP_OLLAMA_STORE_UNAVAILABLE */

        if (!store->call.refused) {
            ngx_http_ollama_outbox_tick();
            return;
        }

        ngx_http_ollama_outbox_lost(item, "Redis refused it");

        if (item->n > 0) {
            item->n = 0;
            ngx_http_ollama_outbox_send(item);
            return;
        }

        break;
    }

    ngx_http_ollama_outbox_free(item);
}


static void
ngx_http_ollama_outbox_free(ngx_http_ollama_outbox_item_t *item)
{
    ngx_http_ollama_outbox.count--;
    ngx_http_ollama_outbox.size -= item->size;

    ngx_queue_remove(&item->queue);
    ngx_destroy_pool(item->pool);
}


/* Logs a reply that is given up; a lock expires. */

static void
ngx_http_ollama_outbox_lost(ngx_http_ollama_outbox_item_t *item,
    const char *why)
{
    if (item->n > 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ollama: a reply in session \"%V\" is lost: %s",
                      &item->sid, why);
    }
}


static void
ngx_http_ollama_outbox_tick(void)
{
    ngx_http_ollama_timer_t  *timer;

    timer = &ngx_http_ollama_outbox.timer;

    if (timer->event.timer_set) {
        return;
    }

    ngx_http_ollama_timer_init(timer, ngx_http_ollama_outbox_tick_handler,
                               NULL, ngx_cycle->log);

    ngx_add_timer(&timer->event, NGX_HTTP_OLLAMA_OUTBOX_TICK);
}


static void
ngx_http_ollama_outbox_tick_handler(ngx_event_t *ev)
{
    ngx_queue_t                    *q;
    ngx_http_ollama_outbox_item_t  *item;

    q = ngx_queue_head(&ngx_http_ollama_outbox.items);

    while (q != ngx_queue_sentinel(&ngx_http_ollama_outbox.items)) {

        item = ngx_queue_data(q, ngx_http_ollama_outbox_item_t, queue);
        q = ngx_queue_next(q);

        if (item->sent) {
            continue;
        }

        if (item->tries == NGX_HTTP_OLLAMA_OUTBOX_TRIES
            || (ngx_msec_int_t) (item->until - ngx_current_msec) <= 0)
        {
            ngx_http_ollama_outbox_lost(item, "Redis did not answer in time");
            ngx_http_ollama_outbox_free(item);
            continue;
        }

        ngx_http_ollama_outbox_send(item);
    }
}
