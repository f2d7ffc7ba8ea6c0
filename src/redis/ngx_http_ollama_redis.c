
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Commands, scripts and subscriptions.
 *
 * A worker has one connection for commands, from its start on, one for messages
 * since something was subscribed to, as a subscribed connection takes no
 * commands, and one for scripts with large replies since there was one, so that
 * a reply that takes long holds up only others of its kind.  redis_conn opens
 * and closes them.
 *
 * A call lives in the caller's memory, its entry in the connection's.  They
 * point to each other until the reply came or the call was forgotten.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>

#include "redis/ngx_http_ollama_redis.h"
#include "redis/ngx_http_ollama_redis_conn.h"
#include "redis/ngx_http_ollama_redis_wire.h"


/* commands that may wait at once, and their bytes */
#define NGX_HTTP_OLLAMA_REDIS_COUNT  1024
#define NGX_HTTP_OLLAMA_REDIS_SIZE   (128 * 1024 * 1024)

/* large replies that Redis is asked for at once: it holds them in memory */
#define NGX_HTTP_OLLAMA_REDIS_LARGE  4


/* of this worker */

typedef struct {
    ngx_http_ollama_redis_conn_t  commands;
    ngx_http_ollama_redis_conn_t  messages;
    ngx_http_ollama_redis_conn_t  large;
    ngx_queue_t                   subs;
} ngx_http_ollama_redis_worker_t;


static ngx_http_ollama_redis_conn_t *ngx_http_ollama_redis_use(
    ngx_http_ollama_redis_conn_t *conn, size_t size);
static void ngx_http_ollama_redis_send(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, ngx_http_ollama_redis_call_t *call);
static ngx_int_t ngx_http_ollama_redis_done(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static ngx_int_t ngx_http_ollama_redis_script_to(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_call_t *call,
    ngx_http_ollama_redis_script_t *script, ngx_uint_t nkeys, ngx_uint_t argc,
    ngx_str_t *argv);
static void ngx_http_ollama_redis_script_known(
    ngx_http_ollama_redis_script_t *script);
static ngx_int_t ngx_http_ollama_redis_script_head(
    ngx_http_ollama_redis_entry_t *entry, ngx_str_t *argv, ngx_uint_t argc);
static ngx_int_t ngx_http_ollama_redis_script_again(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static ngx_int_t ngx_http_ollama_redis_ready(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_large_ready(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_sub_ready(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_sub_send(
    ngx_http_ollama_redis_subscription_t *sub);
static ngx_int_t ngx_http_ollama_redis_sub_done(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static void ngx_http_ollama_redis_sub_notify(void);
static ngx_http_ollama_redis_subscription_t *ngx_http_ollama_redis_sub_due(
    void);
static ngx_int_t ngx_http_ollama_redis_sub_push(
    ngx_http_ollama_redis_conn_t *conn, redisReply *reply);
static ngx_http_ollama_redis_subscription_t *ngx_http_ollama_redis_sub_find(
    ngx_str_t *channel);


static ngx_http_ollama_redis_worker_t  ngx_http_ollama_redis = {

    .commands = {
        .what = ngx_string(""),
        .ready = ngx_http_ollama_redis_ready
    },

    .messages = {
        .what = ngx_string(" for messages"),
        .ready = ngx_http_ollama_redis_sub_ready,
        .push = ngx_http_ollama_redis_sub_push
    },

    .large = {
        .what = ngx_string(" for large replies"),
        .ready = ngx_http_ollama_redis_large_ready,
        .window = NGX_HTTP_OLLAMA_REDIS_LARGE
    },

    .subs = { &ngx_http_ollama_redis.subs, &ngx_http_ollama_redis.subs }
};


ngx_int_t
ngx_http_ollama_redis_init_worker(ngx_cycle_t *cycle)
{
    ngx_http_ollama_redis_conn_start(&ngx_http_ollama_redis.commands);

    return NGX_OK;
}


void
ngx_http_ollama_redis_exit_worker(void)
{
    ngx_http_ollama_redis_conn_stop(&ngx_http_ollama_redis.commands);
    ngx_http_ollama_redis_conn_stop(&ngx_http_ollama_redis.messages);
    ngx_http_ollama_redis_conn_stop(&ngx_http_ollama_redis.large);
}


ngx_uint_t
ngx_http_ollama_redis_available(void)
{
    return ngx_http_ollama_redis_conn_available(
                                             &ngx_http_ollama_redis.commands);
}


ngx_uint_t
ngx_http_ollama_redis_is_busy(void)
{
    return ngx_http_ollama_redis.commands.calls
           >= NGX_HTTP_OLLAMA_REDIS_COUNT / 2;
}


ngx_str_t *
ngx_http_ollama_redis_prefix(void)
{
    ngx_http_ollama_redis_conf_t  *rcf;

    rcf = ngx_http_ollama_redis_conn_conf();

    return rcf ? &rcf->prefix : NULL;
}


/* The connection, if it takes so many bytes; it is started if need be. */

static ngx_http_ollama_redis_conn_t *
ngx_http_ollama_redis_use(ngx_http_ollama_redis_conn_t *conn, size_t size)
{
    ngx_http_ollama_redis_conn_start(conn);

    if (!ngx_http_ollama_redis_conn_available(conn)
        || conn->calls >= NGX_HTTP_OLLAMA_REDIS_COUNT
        || size > NGX_HTTP_OLLAMA_REDIS_SIZE
        || conn->size > NGX_HTTP_OLLAMA_REDIS_SIZE - size)
    {
        return NULL;
    }

    return conn;
}


ngx_int_t
ngx_http_ollama_redis_command(ngx_http_ollama_redis_call_t *call,
    ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_ollama_redis_conn_t   *conn;
    ngx_http_ollama_redis_entry_t  *entry;

    call->entry = NULL;

    conn = ngx_http_ollama_redis_use(&ngx_http_ollama_redis.commands,
                                     ngx_http_ollama_redis_wire_args(NULL,
                                                                     argc,
                                                                     argv));
    if (conn == NULL) {
        return NGX_ERROR;
    }

    entry = ngx_http_ollama_redis_wire_command(conn, argc, argv);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    ngx_http_ollama_redis_send(conn, entry, call);

    return NGX_OK;
}


static void
ngx_http_ollama_redis_send(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, ngx_http_ollama_redis_call_t *call)
{
    entry->handler = ngx_http_ollama_redis_done;
    entry->data = call;

    call->entry = entry;

    ngx_http_ollama_redis_wire_send(conn, entry);
}


void
ngx_http_ollama_redis_forget(ngx_http_ollama_redis_call_t *call)
{
    ngx_http_ollama_redis_entry_t  *entry;

    entry = call->entry;

    if (entry) {
        entry->data = NULL;
        call->entry = NULL;
    }
}


/* The handler is the last to touch the call. */

static ngx_int_t
ngx_http_ollama_redis_done(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    ngx_http_ollama_redis_call_t  *call;

    if (reply && entry->script && !entry->resent
        && ngx_http_ollama_redis_script_again(conn, entry, reply) == NGX_OK)
    {
        return NGX_AGAIN;
    }

    call = entry->data;

    if (call == NULL) {
        return NGX_OK;
    }

    entry->data = NULL;

    call->entry = NULL;
    call->refused = 0;
    ngx_str_null(&call->error);

    if (reply == NULL) {
        call->error = conn->reason;

    } else if (reply->type == REDIS_REPLY_ERROR) {
        call->refused = 1;
        call->error = ngx_http_ollama_redis_wire_error(reply);
        reply = NULL;
    }

    call->handler(call, reply);

    return NGX_OK;
}


/*
 * A script's entry has two parts: the beginning, which differs between EVALSHA
 * and EVAL, and the arguments, which can thus be sent again.
 */

ngx_int_t
ngx_http_ollama_redis_script(ngx_http_ollama_redis_call_t *call,
    ngx_http_ollama_redis_script_t *script, ngx_uint_t nkeys, ngx_uint_t argc,
    ngx_str_t *argv)
{
    return ngx_http_ollama_redis_script_to(&ngx_http_ollama_redis.commands,
                                           call, script, nkeys, argc, argv);
}


ngx_int_t
ngx_http_ollama_redis_script_large(ngx_http_ollama_redis_call_t *call,
    ngx_http_ollama_redis_script_t *script, ngx_uint_t nkeys, ngx_uint_t argc,
    ngx_str_t *argv)
{
    if (!ngx_http_ollama_redis_available()) {
        call->entry = NULL;
        return NGX_ERROR;
    }

    return ngx_http_ollama_redis_script_to(&ngx_http_ollama_redis.large, call,
                                           script, nkeys, argc, argv);
}


static ngx_int_t
ngx_http_ollama_redis_script_to(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_call_t *call, ngx_http_ollama_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv)
{
    size_t                          size;
    u_char                          text[NGX_INT_T_LEN];
    ngx_str_t                       n, head[2];
    ngx_buf_t                      *b;
    ngx_uint_t                     *loaded;
    ngx_http_ollama_redis_entry_t  *entry;

    call->entry = NULL;

    n.data = text;
    n.len = ngx_sprintf(text, "%ui", nkeys) - text;

    size = ngx_http_ollama_redis_wire_args(NULL, 1, &n)
           + ngx_http_ollama_redis_wire_args(NULL, argc, argv);

    conn = ngx_http_ollama_redis_use(conn, size);
    if (conn == NULL) {
        return NGX_ERROR;
    }

    ngx_http_ollama_redis_script_known(script);

    loaded = (conn == &ngx_http_ollama_redis.large) ? &script->loaded_large
                                                    : &script->loaded;

    entry = ngx_http_ollama_redis_wire_entry(conn, size);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    b = entry->rest.buf;

    b->last += ngx_http_ollama_redis_wire_args(b->last, 1, &n);
    b->last += ngx_http_ollama_redis_wire_args(b->last, argc, argv);

    /*
     * The first time the text is sent: a script that Redis doesn't know would
     * be sent again, and come after later ones
     */

    if (*loaded == conn->number) {
        ngx_str_set(&head[0], "EVALSHA");

        head[1].data = script->sha1;
        head[1].len = sizeof(script->sha1);

    } else {
        ngx_str_set(&head[0], "EVAL");
        head[1] = script->text;
    }

    if (ngx_http_ollama_redis_script_head(entry, head, argc + 3) != NGX_OK) {
        ngx_destroy_pool(entry->pool);
        return NGX_ERROR;
    }

    entry->script = script;
    entry->argc = argc + 3;

    *loaded = conn->number;

    ngx_http_ollama_redis_send(conn, entry, call);

    return NGX_OK;
}


static void
ngx_http_ollama_redis_script_known(ngx_http_ollama_redis_script_t *script)
{
    u_char      digest[20];
    ngx_sha1_t  sha1;

    if (script->known) {
        return;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, script->text.data, script->text.len);
    ngx_sha1_final(digest, &sha1);

    ngx_hex_dump(script->sha1, digest, sizeof(digest));

    script->known = 1;
}


/* Writes the beginning: argc, and the first two of the arguments. */

static ngx_int_t
ngx_http_ollama_redis_script_head(ngx_http_ollama_redis_entry_t *entry,
    ngx_str_t *argv, ngx_uint_t argc)
{
    size_t      size;
    u_char     *p;
    ngx_buf_t  *b;

    size = 1 + NGX_INT_T_LEN + 2 + ngx_http_ollama_redis_wire_args(NULL, 2,
                                                                   argv);

    b = ngx_create_temp_buf(entry->pool, size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(b->pos, "*%ui" CRLF, argc);

    b->last = p + ngx_http_ollama_redis_wire_args(p, 2, argv);

    entry->head.buf = b;

    return NGX_OK;
}


/* Sends the text of a script that Redis doesn't know; NGX_DECLINED: it does. */

static ngx_int_t
ngx_http_ollama_redis_script_again(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    ngx_str_t                        head[2];
    ngx_http_ollama_redis_script_t  *script;

    if (reply->type != REDIS_REPLY_ERROR
        || ngx_strncmp(reply->str, "NOSCRIPT", 8) != 0)
    {
        return NGX_DECLINED;
    }

    script = entry->script;

    ngx_str_set(&head[0], "EVAL");
    head[1] = script->text;

    if (ngx_http_ollama_redis_script_head(entry, head, entry->argc)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    entry->rest.buf->pos = entry->rest.buf->start;
    entry->resent = 1;

    ngx_http_ollama_redis_wire_send(conn, entry);

    return NGX_OK;
}


/*
 * Subscriptions.  A message is lost if it is sent while there is no connection,
 * so a subscriber is told when there is one again.  As it will ask Redis what
 * it missed, it is told when both connections are ready.
 */

ngx_int_t
ngx_http_ollama_redis_subscribe(ngx_http_ollama_redis_subscription_t *sub)
{
    ngx_http_ollama_redis_conn_t  *conn;

    if (ngx_http_ollama_redis_conn_conf() == NULL
        || ngx_http_ollama_redis_sub_find(&sub->channel))
    {
        return NGX_ERROR;
    }

    sub->entry = NULL;
    sub->active = 0;
    sub->due = 0;

    ngx_queue_insert_tail(&ngx_http_ollama_redis.subs, &sub->queue);

    conn = &ngx_http_ollama_redis.messages;

    if (conn->state == NGX_HTTP_OLLAMA_REDIS_READY) {

        if (ngx_http_ollama_redis_sub_send(sub) != NGX_OK) {
            ngx_queue_remove(&sub->queue);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    ngx_http_ollama_redis_conn_start(conn);

    return NGX_OK;
}


ngx_uint_t
ngx_http_ollama_redis_subscribed(ngx_http_ollama_redis_subscription_t *sub)
{
    return sub->active
           && ngx_http_ollama_redis.messages.state
              == NGX_HTTP_OLLAMA_REDIS_READY;
}


/* Commands are taken, for the first time or again. */

static ngx_int_t
ngx_http_ollama_redis_ready(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_queue_t                           *q;
    ngx_http_ollama_redis_subscription_t  *sub;

    for (q = ngx_queue_head(&ngx_http_ollama_redis.subs);
         q != ngx_queue_sentinel(&ngx_http_ollama_redis.subs);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_http_ollama_redis_subscription_t, queue);
        sub->due = ngx_http_ollama_redis_subscribed(sub);
    }

    ngx_http_ollama_redis_sub_notify();

    /* Redis is there: no need to wait for the next attempt */
    ngx_http_ollama_redis_conn_hurry(&ngx_http_ollama_redis.large);

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_redis_large_ready(ngx_http_ollama_redis_conn_t *conn)
{
    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_redis_sub_ready(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_queue_t                           *q;
    ngx_http_ollama_redis_subscription_t  *sub;

    for (q = ngx_queue_head(&ngx_http_ollama_redis.subs);
         q != ngx_queue_sentinel(&ngx_http_ollama_redis.subs);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_http_ollama_redis_subscription_t, queue);

        sub->active = 0;
        sub->due = 0;

        if (ngx_http_ollama_redis_sub_send(sub) != NGX_OK) {
            return ngx_http_ollama_redis_wire_reason(conn, "out of memory");
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_redis_sub_send(ngx_http_ollama_redis_subscription_t *sub)
{
    ngx_str_t                       argv[2];
    ngx_http_ollama_redis_conn_t   *conn;
    ngx_http_ollama_redis_entry_t  *entry;

    conn = &ngx_http_ollama_redis.messages;

    ngx_str_set(&argv[0], "SUBSCRIBE");
    argv[1] = sub->channel;

    entry = ngx_http_ollama_redis_wire_command(conn, 2, argv);
    if (entry == NULL) {
        return NGX_ERROR;
    }

    entry->handler = ngx_http_ollama_redis_sub_done;
    entry->data = sub;
    entry->internal = 1;

    sub->entry = entry;

    ngx_http_ollama_redis_wire_send(conn, entry);

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_redis_sub_done(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    ngx_str_t                              error;
    ngx_http_ollama_redis_subscription_t  *sub;

    sub = entry->data;

    if (sub) {
        entry->data = NULL;
        sub->entry = NULL;
    }

    if (reply == NULL) {
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_ARRAY) {
        error = ngx_http_ollama_redis_wire_error(reply);
        return ngx_http_ollama_redis_wire_reason(conn, "SUBSCRIBE failed: %V",
                                                 &error);
    }

    if (sub) {
        sub->active = 1;
        sub->due = 1;

        ngx_http_ollama_redis_sub_notify();
    }

    return NGX_OK;
}


/* What is called may add subscriptions: the list is searched anew. */

static void
ngx_http_ollama_redis_sub_notify(void)
{
    ngx_http_ollama_redis_subscription_t  *sub;

    while (ngx_http_ollama_redis.commands.state
           == NGX_HTTP_OLLAMA_REDIS_READY)
    {
        sub = ngx_http_ollama_redis_sub_due();
        if (sub == NULL) {
            return;
        }

        sub->due = 0;

        if (sub->reconnected) {
            sub->reconnected(sub->data);
        }
    }
}


static ngx_http_ollama_redis_subscription_t *
ngx_http_ollama_redis_sub_due(void)
{
    ngx_queue_t                           *q;
    ngx_http_ollama_redis_subscription_t  *sub;

    for (q = ngx_queue_head(&ngx_http_ollama_redis.subs);
         q != ngx_queue_sentinel(&ngx_http_ollama_redis.subs);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_http_ollama_redis_subscription_t, queue);

        if (sub->due) {
            return sub;
        }
    }

    return NULL;
}


/* ["message", channel, text] is no reply to a command; all others are. */

static ngx_int_t
ngx_http_ollama_redis_sub_push(ngx_http_ollama_redis_conn_t *conn,
    redisReply *reply)
{
    ngx_str_t                              channel, message;
    redisReply                           **part;
    ngx_http_ollama_redis_subscription_t  *sub;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) {
        return NGX_DECLINED;
    }

    part = reply->element;

    if (part[0]->type != REDIS_REPLY_STRING
        || part[1]->type != REDIS_REPLY_STRING
        || part[2]->type != REDIS_REPLY_STRING
        || ngx_strcmp(part[0]->str, "message") != 0)
    {
        return NGX_DECLINED;
    }

    channel.data = (u_char *) part[1]->str;
    channel.len = part[1]->len;

    message.data = (u_char *) part[2]->str;
    message.len = part[2]->len;

    sub = ngx_http_ollama_redis_sub_find(&channel);

    if (sub && sub->handler) {
        sub->handler(sub->data, &message);
    }

    return NGX_OK;
}


static ngx_http_ollama_redis_subscription_t *
ngx_http_ollama_redis_sub_find(ngx_str_t *channel)
{
    ngx_queue_t                           *q;
    ngx_http_ollama_redis_subscription_t  *sub;

    for (q = ngx_queue_head(&ngx_http_ollama_redis.subs);
         q != ngx_queue_sentinel(&ngx_http_ollama_redis.subs);
         q = ngx_queue_next(q))
    {
        sub = ngx_queue_data(q, ngx_http_ollama_redis_subscription_t, queue);

        if (sub->channel.len == channel->len
            && ngx_memcmp(sub->channel.data, channel->data, channel->len) == 0)
        {
            return sub;
        }
    }

    return NULL;
}
