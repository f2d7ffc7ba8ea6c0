
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The end of a task in a session whose request can't wait for it, or has waited
 * in vain: its reply is stored, or its lock given back.  Where Redis isn't
 * there, or doesn't answer, that is tried again when it is, a few times and not
 * for long.  It does no harm: what is stored already isn't stored again, what
 * no longer fits the session changes nothing, and a lock that isn't the task's
 * is left alone.
 *
 * What is owed lives in a pool of its own, in a list of this worker's, and is
 * lost with that.  Commands are done in their order, so a request that has it
 * settled before its own operation finds the session as if it had been in time.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "store/ngx_http_ollama_outbox.h"


/* how long a reply, and a lock, are worth it, ms: the latter ends by itself */
#define NGX_HTTP_OLLAMA_OUTBOX_SAVE     60000
#define NGX_HTTP_OLLAMA_OUTBOX_RELEASE  10000

/* how often one is sent: a command that is late costs all their connection */
#define NGX_HTTP_OLLAMA_OUTBOX_TRIES    3

/* at once, and bytes of them */
#define NGX_HTTP_OLLAMA_OUTBOX_COUNT    1024
#define NGX_HTTP_OLLAMA_OUTBOX_SIZE     (64 * 1024 * 1024)

/* how often it is looked if Redis is there, ms */
#define NGX_HTTP_OLLAMA_OUTBOX_TICK     100


typedef struct {
    ngx_queue_t                       queue;
    ngx_pool_t                       *pool;
    ngx_http_ollama_store_t           store;
    ngx_str_t                         sid;
    ngx_str_t                         task;
    ngx_http_ollama_store_message_t   message;
    int64_t                           n;       /* of the message; or 0, the
                                                  lock, or ..._WITHDRAW */
    size_t                            size;
    ngx_uint_t                        tries;
    ngx_msec_t                        until;
    unsigned                          sent:1;  /* an answer is waited for */
} ngx_http_ollama_outbox_t;


static ngx_http_ollama_outbox_t *ngx_http_ollama_outbox_create(ngx_str_t *sid,
    ngx_str_t *task, ngx_http_ollama_store_message_t *message);
static ngx_int_t ngx_http_ollama_outbox_copy(ngx_http_ollama_outbox_t *late,
    ngx_str_t *text);
static void ngx_http_ollama_outbox_send(ngx_http_ollama_outbox_t *late);
static void ngx_http_ollama_outbox_done(ngx_http_ollama_store_t *store);
static void ngx_http_ollama_outbox_free(ngx_http_ollama_outbox_t *late);
static void ngx_http_ollama_outbox_lost(ngx_http_ollama_outbox_t *late,
    const char *why);
static void ngx_http_ollama_outbox_tick(void);
static void ngx_http_ollama_outbox_tick_handler(ngx_event_t *ev);


/* this worker's */

static ngx_queue_t       ngx_http_ollama_outboxes = {
    &ngx_http_ollama_outboxes, &ngx_http_ollama_outboxes
};

static ngx_uint_t        ngx_http_ollama_outbox_count;
static size_t            ngx_http_ollama_outbox_size;
static ngx_event_t       ngx_http_ollama_outbox_event;
static ngx_connection_t  ngx_http_ollama_outbox_dummy;


void
ngx_http_ollama_outbox_add(ngx_str_t *sid, ngx_str_t *task, int64_t ttl,
    int64_t n, ngx_http_ollama_store_message_t *message)
{
    ngx_http_ollama_outbox_t  *late;

    late = ngx_http_ollama_outbox_create(sid, task, message);

    if (late == NULL && message) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ollama: a reply in session \"%V\" is lost: too much "
                      "waits for Redis", sid);

        message = NULL;
        late = ngx_http_ollama_outbox_create(sid, task, NULL);
    }

    if (late == NULL) {
        return;
    }

    late->store.handler = ngx_http_ollama_outbox_done;
    late->store.data = late;
    late->store.ttl = ttl;

    late->n = (message || n < 0) ? n : 0;
    late->until = ngx_current_msec + (message ? NGX_HTTP_OLLAMA_OUTBOX_SAVE
                                              : NGX_HTTP_OLLAMA_OUTBOX_RELEASE);

    ngx_queue_insert_tail(&ngx_http_ollama_outboxes, &late->queue);

    ngx_http_ollama_outbox_count++;
    ngx_http_ollama_outbox_size += late->size;

    ngx_http_ollama_outbox_send(late);
}


static ngx_http_ollama_outbox_t *
ngx_http_ollama_outbox_create(ngx_str_t *sid, ngx_str_t *task,
    ngx_http_ollama_store_message_t *message)
{
    ngx_pool_t                *pool;
    ngx_http_ollama_outbox_t  *late;

    if (ngx_http_ollama_outbox_count >= NGX_HTTP_OLLAMA_OUTBOX_COUNT) {
        return NULL;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    late = ngx_pcalloc(pool, sizeof(ngx_http_ollama_outbox_t));
    if (late == NULL) {
        goto failed;
    }

    late->pool = pool;
    late->sid = *sid;
    late->task = *task;

    if (message) {
        late->message = *message;
    }

    if (ngx_http_ollama_outbox_copy(late, &late->sid) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->task) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.json) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.status) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.model) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.server) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.thinking) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.stats) != NGX_OK
        || ngx_http_ollama_outbox_copy(late, &late->message.participant)
           != NGX_OK)
    {
        goto failed;
    }

    return late;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


/* NGX_ERROR: no memory, or more than what may wait. */

static ngx_int_t
ngx_http_ollama_outbox_copy(ngx_http_ollama_outbox_t *late, ngx_str_t *text)
{
    u_char  *p;

    if (text->len == 0) {
        return NGX_OK;
    }

    late->size += text->len;

    if (ngx_http_ollama_outbox_size + late->size
        > NGX_HTTP_OLLAMA_OUTBOX_SIZE)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(late->pool, text->len);
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
    ngx_queue_t               *q;
    ngx_http_ollama_outbox_t  *late;

    for (q = ngx_queue_head(&ngx_http_ollama_outboxes);
         q != ngx_queue_sentinel(&ngx_http_ollama_outboxes);
         q = ngx_queue_next(q))
    {
        late = ngx_queue_data(q, ngx_http_ollama_outbox_t, queue);

        if (!late->sent
            && late->sid.len == sid->len
            && ngx_memcmp(late->sid.data, sid->data, sid->len) == 0)
        {
            ngx_http_ollama_outbox_send(late);
        }
    }
}


/* At the end of the process: nobody tells Redis any more. */

void
ngx_http_ollama_outbox_exit_worker(void)
{
    ngx_queue_t               *q;
    ngx_http_ollama_outbox_t  *late;

    while (!ngx_queue_empty(&ngx_http_ollama_outboxes)) {
        q = ngx_queue_head(&ngx_http_ollama_outboxes);
        late = ngx_queue_data(q, ngx_http_ollama_outbox_t, queue);

        ngx_http_ollama_store_forget(&late->store);

        ngx_http_ollama_outbox_lost(late, late->sent
                                          ? "nginx ends, and Redis has not "
                                            "answered"
                                          : "nginx ends");
        ngx_http_ollama_outbox_free(late);
    }
}


static void
ngx_http_ollama_outbox_send(ngx_http_ollama_outbox_t *late)
{
    ngx_int_t  rc;

    late->store.log = ngx_cycle->log;

    if (late->n == NGX_HTTP_OLLAMA_OUTBOX_WITHDRAW) {
        rc = ngx_http_ollama_store_withdraw(&late->store, &late->sid,
                                            &late->task);

    } else if (late->n) {
        rc = ngx_http_ollama_store_save(&late->store, &late->sid, &late->task,
                                        late->n, &late->message, 1);

    } else {
        rc = ngx_http_ollama_store_release(&late->store, &late->sid,
                                           &late->task);
    }

    if (rc != NGX_OK) {
        ngx_http_ollama_outbox_tick();
        return;
    }

    late->sent = 1;
    late->tries++;
}


static void
ngx_http_ollama_outbox_done(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_outbox_t  *late;

    late = store->data;

    late->sent = 0;

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        break;

    case NGX_HTTP_OLLAMA_STORE_NONE:
        ngx_http_ollama_outbox_lost(late, "it was deleted");
        break;

    case NGX_HTTP_OLLAMA_STORE_LOST:
        ngx_http_ollama_outbox_lost(late, "another task has its session, or "
                                          "has had it");
        break;

    default: /* NGX_HTTP_OLLAMA_STORE_UNAVAILABLE */

        if (!store->call.refused) {
            ngx_http_ollama_outbox_tick();
            return;
        }

        ngx_http_ollama_outbox_lost(late, "Redis refused it");

        if (late->n > 0) {
            late->n = 0;
            ngx_http_ollama_outbox_send(late);
            return;
        }

        break;
    }

    ngx_http_ollama_outbox_free(late);
}


static void
ngx_http_ollama_outbox_free(ngx_http_ollama_outbox_t *late)
{
    ngx_http_ollama_outbox_count--;
    ngx_http_ollama_outbox_size -= late->size;

    ngx_queue_remove(&late->queue);
    ngx_destroy_pool(late->pool);
}


/* A lock that is lost is of no concern. */

static void
ngx_http_ollama_outbox_lost(ngx_http_ollama_outbox_t *late, const char *why)
{
    if (late->n > 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ollama: a reply in session \"%V\" is lost: %s",
                      &late->sid, why);
    }
}


static void
ngx_http_ollama_outbox_tick(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_ollama_outbox_event;

    if (ev->timer_set) {
        return;
    }

    ngx_http_ollama_outbox_dummy.fd = (ngx_socket_t) -1;

    ev->handler = ngx_http_ollama_outbox_tick_handler;
    ev->data = &ngx_http_ollama_outbox_dummy;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_OLLAMA_OUTBOX_TICK);
}


static void
ngx_http_ollama_outbox_tick_handler(ngx_event_t *ev)
{
    ngx_queue_t               *q;
    ngx_http_ollama_outbox_t  *late;

    q = ngx_queue_head(&ngx_http_ollama_outboxes);

    while (q != ngx_queue_sentinel(&ngx_http_ollama_outboxes)) {

        late = ngx_queue_data(q, ngx_http_ollama_outbox_t, queue);
        q = ngx_queue_next(q);

        if (late->sent) {
            continue;
        }

        if (late->tries == NGX_HTTP_OLLAMA_OUTBOX_TRIES
            || (ngx_msec_int_t) (late->until - ngx_current_msec) <= 0)
        {
            ngx_http_ollama_outbox_lost(late, "Redis did not answer in time");
            ngx_http_ollama_outbox_free(late);
            continue;
        }

        ngx_http_ollama_outbox_send(late);
    }
}
