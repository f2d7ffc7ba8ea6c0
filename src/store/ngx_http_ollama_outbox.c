
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Ends of tasks in sessions whose request can't wait for Redis, or has waited
 * in vain: a reply is saved, messages are withdrawn, or a lock is released.  If
 * Redis isn't available, doesn't answer, or refuses it for now, that is tried
 * again, not often and not for long.  To do it twice is harmless: what is
 * stored isn't stored again, what no longer fits the session changes nothing,
 * and a lock of another task is left alone.
 *
 * An item lives in a pool of its own, in a list of this worker, until it is
 * done or given up.  The items of a session are sent one after the other, in
 * their order.  Redis executes commands in their order, so a request that
 * flushes the session's items before its own operation finds the session as if
 * they had been in time.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_outbox.h"
#include "util/ngx_http_ollama_timer.h"


/*
 * how long a save or a withdrawal, and a release, are tried, ms: a lock expires
 * by itself
 */
#define NGX_HTTP_OLLAMA_OUTBOX_SAVE     60000
#define NGX_HTTP_OLLAMA_OUTBOX_RELEASE  10000

/* how often one may stay without an answer, which fails all others, too */
#define NGX_HTTP_OLLAMA_OUTBOX_TRIES    3

/* the pause after a refusal, ms */
#define NGX_HTTP_OLLAMA_OUTBOX_PAUSE    1000

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
    ngx_http_ollama_store_message_t   message; /* json.len 0: none */
    int64_t                           n;       /* of the message, or of the
                                                  first one that is withdrawn */
    int64_t                           to;      /* the last one; 0: none */
    size_t                            size;
    ngx_uint_t                        unanswered; /* tries */
    ngx_msec_t                        due;     /* the next try */
    ngx_msec_t                        until;
    unsigned                          sent:1;  /* and not answered yet */
    unsigned                          behind:1; /* another one of its session */
    unsigned                          refused:1; /* the last try was */
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
static void ngx_http_ollama_outbox_queue(ngx_http_ollama_outbox_item_t *item,
    ngx_msec_t time);
static ngx_http_ollama_outbox_item_t *ngx_http_ollama_outbox_find(
    ngx_queue_t *q, ngx_str_t *sid);
static ngx_int_t ngx_http_ollama_outbox_copy(
    ngx_http_ollama_outbox_item_t *item, ngx_str_t *text);
static void ngx_http_ollama_outbox_send(ngx_http_ollama_outbox_item_t *item);
static void ngx_http_ollama_outbox_done(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_outbox_again(
    ngx_http_ollama_outbox_item_t *item);
static ngx_uint_t ngx_http_ollama_outbox_is_final(ngx_str_t *error);
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

    item->n = n;
    item->store.ttl = ttl;

    ngx_http_ollama_outbox_queue(item,
                                 message ? NGX_HTTP_OLLAMA_OUTBOX_SAVE
                                         : NGX_HTTP_OLLAMA_OUTBOX_RELEASE);
}


void
ngx_http_ollama_outbox_withdraw(ngx_str_t *sid, ngx_str_t *task, int64_t from,
    int64_t to)
{
    ngx_http_ollama_outbox_item_t  *item;

    item = ngx_http_ollama_outbox_create(sid, task, NULL);
    if (item == NULL) {
        return;
    }

    item->n = from;
    item->to = to;

    ngx_http_ollama_outbox_queue(item, NGX_HTTP_OLLAMA_OUTBOX_SAVE);
}


static void
ngx_http_ollama_outbox_queue(ngx_http_ollama_outbox_item_t *item,
    ngx_msec_t time)
{
    item->store.handler = ngx_http_ollama_outbox_done;
    item->store.data = item;

    item->due = ngx_current_msec;
    item->until = ngx_current_msec + time;

    item->behind = (ngx_http_ollama_outbox_find(
                               ngx_queue_head(&ngx_http_ollama_outbox.items),
                               &item->sid)
                    != NULL);

    ngx_queue_insert_tail(&ngx_http_ollama_outbox.items, &item->queue);

    ngx_http_ollama_outbox.count++;
    ngx_http_ollama_outbox.size += item->size;

    if (!item->behind) {
        ngx_http_ollama_outbox_send(item);
    }
}


/* The first item of the session from q on, or NULL. */

static ngx_http_ollama_outbox_item_t *
ngx_http_ollama_outbox_find(ngx_queue_t *q, ngx_str_t *sid)
{
    ngx_http_ollama_outbox_item_t  *item;

    for ( /* void */ ;
         q != ngx_queue_sentinel(&ngx_http_ollama_outbox.items);
         q = ngx_queue_next(q))
    {
        item = ngx_queue_data(q, ngx_http_ollama_outbox_item_t, queue);

        if (item->sid.len == sid->len
            && ngx_memcmp(item->sid.data, sid->data, sid->len) == 0)
        {
            return item;
        }
    }

    return NULL;
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


ngx_uint_t
ngx_http_ollama_outbox_flush(ngx_str_t *sid)
{
    ngx_uint_t                      found;
    ngx_queue_t                    *q;
    ngx_http_ollama_outbox_item_t  *item;

    found = 0;
    q = ngx_queue_head(&ngx_http_ollama_outbox.items);

    for ( ;; ) {

        item = ngx_http_ollama_outbox_find(q, sid);
        if (item == NULL) {
            return found;
        }

        found = 1;
        q = ngx_queue_next(&item->queue);

        if (!item->sent) {
            ngx_http_ollama_outbox_send(item);
        }
    }
}


void
ngx_http_ollama_outbox_exit_worker(void)
{
    ngx_queue_t                    *q;
    ngx_http_ollama_outbox_item_t  *item;

    for (q = ngx_queue_head(&ngx_http_ollama_outbox.items);
         q != ngx_queue_sentinel(&ngx_http_ollama_outbox.items);
         q = ngx_queue_next(q))
    {
        /* none is sent when the one before it is freed */
        item = ngx_queue_data(q, ngx_http_ollama_outbox_item_t, queue);
        item->behind = 0;
    }

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

    if (item->to) {
        rc = ngx_http_ollama_store_withdraw(&item->store, &item->sid,
                                            &item->task, item->n, item->to);

    } else if (item->message.json.len) {
        rc = ngx_http_ollama_store_save(&item->store, &item->sid, &item->task,
                                        item->n, &item->message,
                                        !item->message.more);

    } else {
        rc = ngx_http_ollama_store_release(&item->store, &item->sid,
                                           &item->task);
    }

    if (rc != NGX_OK) {
        ngx_http_ollama_outbox_tick();
        return;
    }

    item->sent = 1;
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

        if (ngx_http_ollama_outbox_find(
                               ngx_queue_head(&ngx_http_ollama_outbox.items),
                               &item->sid)
            != item)
        {
            /* one in front of it was refused: it is sent again after that */
            item->behind = 1;
            return;
        }

        ngx_http_ollama_outbox_lost(item, "another task has its session, or "
                                          "has had it");

        if (item->message.json.len) {
            /* the lock stays if messages in front of it are missing */
            item->message.json.len = 0;
            ngx_http_ollama_outbox_send(item);
            return;
        }

        break;

    default: /* NGX_HTTP_OLLAMA_STORE_UNAVAILABLE */

        if (ngx_http_ollama_outbox_again(item) == NGX_OK) {
            return;
        }

        break;
    }

    ngx_http_ollama_outbox_free(item);
}


/* NGX_OK: it will be tried again, or its lock be released in its place. */

static ngx_int_t
ngx_http_ollama_outbox_again(ngx_http_ollama_outbox_item_t *item)
{
    item->refused = item->store.call.refused;

    if (!item->refused) {
        item->unanswered++;
        ngx_http_ollama_outbox_tick();
        return NGX_OK;
    }

    if (!ngx_http_ollama_outbox_is_final(&item->store.call.error)) {
        item->due = ngx_current_msec + NGX_HTTP_OLLAMA_OUTBOX_PAUSE;
        ngx_http_ollama_outbox_tick();
        return NGX_OK;
    }

    ngx_http_ollama_outbox_lost(item, "Redis refused it");

    if (item->message.json.len == 0) {
        return NGX_DECLINED;
    }

    item->message.json.len = 0;
    ngx_http_ollama_outbox_send(item);

    return NGX_OK;
}


/*
 * A refusal that will be repeated: the key has another type, the user no right,
 * or the script an error.  All others may end: no memory, a replica, a script
 * that runs for long, a disk that is full, ...
 */

static ngx_uint_t
ngx_http_ollama_outbox_is_final(ngx_str_t *error)
{
    ngx_uint_t  i;

    static ngx_str_t  words[] = {
        ngx_string("ERR "),
        ngx_string("WRONGTYPE "),
        ngx_string("NOPERM "),
        ngx_string("NOAUTH ")
    };

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (error->len >= words[i].len
            && ngx_memcmp(error->data, words[i].data, words[i].len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* The next item of its session is sent, if none is in front of that. */

static void
ngx_http_ollama_outbox_free(ngx_http_ollama_outbox_item_t *item)
{
    ngx_http_ollama_outbox_item_t  *next;

    ngx_queue_remove(&item->queue);

    next = ngx_http_ollama_outbox_find(
                               ngx_queue_head(&ngx_http_ollama_outbox.items),
                               &item->sid);

    ngx_http_ollama_outbox.count--;
    ngx_http_ollama_outbox.size -= item->size;

    ngx_destroy_pool(item->pool);

    if (next && next->behind) {
        next->behind = 0;

        if (!next->sent) {
            ngx_http_ollama_outbox_send(next);
        }
    }
}


/* Logs a reply that is given up; a lock expires. */

static void
ngx_http_ollama_outbox_lost(ngx_http_ollama_outbox_item_t *item,
    const char *why)
{
    if (item->message.json.len) {
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

        if (item->sent || item->behind) {
            continue;
        }

        if (item->unanswered >= NGX_HTTP_OLLAMA_OUTBOX_TRIES
            || (ngx_msec_int_t) (item->until - ngx_current_msec) <= 0)
        {
            ngx_http_ollama_outbox_lost(item,
                                        item->refused
                                        ? "Redis refused it for a minute"
                                        : "Redis did not answer in time");
            ngx_http_ollama_outbox_free(item);
            continue;
        }

        if ((ngx_msec_int_t) (item->due - ngx_current_msec) > 0) {
            ngx_http_ollama_outbox_tick();
            continue;
        }

        ngx_http_ollama_outbox_send(item);
    }
}
