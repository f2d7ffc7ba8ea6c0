
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is sent to Redis and received from it: entries, each with the bytes of a
 * command, and replies, each of which answers the entry that waits longest.
 *
 * An entry lives from its creation until its handler was called, or the
 * connection was closed; a reply until the handler returns.
 *
 * Of hiredis only the parser of replies is used.  Its connections resolve names
 * with a call that blocks, move all that is unsent with each write, and, in
 * 0.14 as in 1.x, assert() what a server sends: a stray "+OK" would end the
 * worker.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "redis/ngx_http_ollama_redis_wire.h"


/* limits of a reply: bytes, about, and elements of an array */
#define NGX_HTTP_OLLAMA_REDIS_REPLY     (128 * 1024 * 1024)
#define NGX_HTTP_OLLAMA_REDIS_ELEMENTS  (256 * 1024)

/* bytes of a read, and reads in one turn of the event loop */
#define NGX_HTTP_OLLAMA_REDIS_BUFFER    (32 * 1024)
#define NGX_HTTP_OLLAMA_REDIS_READS     16

/* size of an entry's pool; what is longer is allocated apart */
#define NGX_HTTP_OLLAMA_REDIS_POOL      1024

/* a command of more bytes may take a while to be sent */
#define NGX_HTTP_OLLAMA_REDIS_LARGE     (64 * 1024)


static ngx_uint_t ngx_http_ollama_redis_wire_is_open(
    ngx_http_ollama_redis_conn_t *conn);
static void ngx_http_ollama_redis_wire_push(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry);
static ngx_int_t ngx_http_ollama_redis_wire_replies(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_wire_reply(
    ngx_http_ollama_redis_conn_t *conn, redisReply *reply);


ngx_http_ollama_redis_entry_t *
ngx_http_ollama_redis_wire_entry(ngx_http_ollama_redis_conn_t *conn,
    size_t size)
{
    ngx_buf_t                      *b;
    ngx_pool_t                     *pool;
    ngx_http_ollama_redis_entry_t  *entry;

    pool = ngx_create_pool(NGX_HTTP_OLLAMA_REDIS_POOL, &conn->log);
    if (pool == NULL) {
        return NULL;
    }

    entry = ngx_pcalloc(pool, sizeof(ngx_http_ollama_redis_entry_t));
    if (entry == NULL) {
        goto failed;
    }

    entry->head.buf = ngx_calloc_buf(pool);
    if (entry->head.buf == NULL) {
        goto failed;
    }

    b = ngx_create_temp_buf(pool, size);
    if (b == NULL) {
        goto failed;
    }

    entry->pool = pool;
    entry->rest.buf = b;
    entry->size = size;

    return entry;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


ngx_http_ollama_redis_entry_t *
ngx_http_ollama_redis_wire_command(ngx_http_ollama_redis_conn_t *conn,
    ngx_uint_t argc, ngx_str_t *argv)
{
    u_char                         *p;
    size_t                          size;
    ngx_buf_t                      *b;
    ngx_http_ollama_redis_entry_t  *entry;

    size = 1 + NGX_INT_T_LEN + 2 + ngx_http_ollama_redis_wire_args(NULL, argc,
                                                                   argv);

    entry = ngx_http_ollama_redis_wire_entry(conn, size);
    if (entry == NULL) {
        return NULL;
    }

    b = entry->rest.buf;

    p = ngx_sprintf(b->pos, "*%ui" CRLF, argc);

    b->last = p + ngx_http_ollama_redis_wire_args(p, argc, argv);

    return entry;
}


size_t
ngx_http_ollama_redis_wire_args(u_char *p, ngx_uint_t argc, ngx_str_t *argv)
{
    size_t      size;
    u_char     *start;
    ngx_uint_t  i;

    if (p == NULL) {
        size = 0;

        for (i = 0; i < argc; i++) {
            size += 1 + NGX_SIZE_T_LEN + 2 + argv[i].len + 2;
        }

        return size;
    }

    start = p;

    for (i = 0; i < argc; i++) {
        p = ngx_sprintf(p, "$%uz" CRLF, argv[i].len);
        p = ngx_cpymem(p, argv[i].data, argv[i].len);
        *p++ = CR; *p++ = LF;
    }

    return p - start;
}


void
ngx_http_ollama_redis_wire_send(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry)
{
    ngx_msec_t    timeout;
    ngx_event_t  *ev;

    timeout = conn->conf->timeout;
    entry->since = ngx_current_msec;

    conn->count++;
    conn->size += entry->size;

    ev = &conn->timer.event;

    if (!entry->internal) {
        conn->calls++;
        ev->cancelable = 0;
    }

    if (!ev->timer_set
        || (ngx_msec_int_t) (ev->timer.key - entry->since - timeout) > 0)
    {
        ngx_add_timer(ev, timeout);
    }

    if (ngx_http_ollama_redis_wire_is_open(conn) || entry->internal) {
        ngx_http_ollama_redis_wire_push(conn, entry);
        return;
    }

    ngx_queue_insert_tail(&conn->waiting, &entry->queue);
}


static ngx_uint_t
ngx_http_ollama_redis_wire_is_open(ngx_http_ollama_redis_conn_t *conn)
{
    return conn->state == NGX_HTTP_OLLAMA_REDIS_READY
           && (conn->window == 0 || conn->sent < conn->window);
}


void
ngx_http_ollama_redis_wire_push_waiting(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_queue_t                    *q;
    ngx_http_ollama_redis_entry_t  *entry;

    while (!ngx_queue_empty(&conn->waiting)
           && ngx_http_ollama_redis_wire_is_open(conn))
    {
        q = ngx_queue_head(&conn->waiting);
        entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

        ngx_queue_remove(q);
        ngx_http_ollama_redis_wire_push(conn, entry);
    }
}


void
ngx_http_ollama_redis_wire_release(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry)
{
    conn->count--;
    conn->size -= entry->size;

    if (!entry->internal) {
        conn->calls--;

        if (conn->calls == 0) {
            conn->timer.event.cancelable = 1;
        }
    }
}


static void
ngx_http_ollama_redis_wire_push(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry)
{
    ngx_queue_insert_tail(&conn->pending, &entry->queue);
    conn->sent++;

    entry->head.next = &entry->rest;
    entry->rest.next = NULL;

    conn->queued += ngx_buf_size(entry->head.buf)
                    + ngx_buf_size(entry->rest.buf);
    entry->end = conn->queued;

    *conn->last = ngx_buf_size(entry->head.buf) ? &entry->head : &entry->rest;
    conn->last = &entry->rest.next;

    ngx_post_event(conn->peer.connection->write, &ngx_posted_events);
}


ngx_uint_t
ngx_http_ollama_redis_wire_progress(ngx_http_ollama_redis_conn_t *conn)
{
    int                             unread;
    off_t                           before;
    ngx_queue_t                    *q;
    ngx_connection_t               *c;
    ngx_http_ollama_redis_entry_t  *entry;

    c = conn->peer.connection;

    /*
     * The bytes in the system's buffers.  For a unix socket it is the memory in
     * use, which is more: "taken" is too small then, but still grows only if
     * the server reads.
     */

    if (ioctl(c->fd, TIOCOUTQ, &unread) == -1) {
        unread = 0;
    }

    before = conn->taken;
    conn->taken = c->sent - unread;

    q = ngx_queue_head(&conn->pending);
    entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

    /* a small one is taken at once, also by a server that stands still */

    return entry->size > NGX_HTTP_OLLAMA_REDIS_LARGE
           && before < entry->end && conn->taken > before;
}


ngx_int_t
ngx_http_ollama_redis_wire_flush(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_chain_t       *out;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (conn->out && c->write->ready) {

        ngx_set_socket_errno(0);

        out = c->send_chain(c, conn->out, 0);

        if (out == NGX_CHAIN_ERROR) {
            return ngx_http_ollama_redis_wire_broken(conn, ngx_socket_errno);
        }

        conn->out = out;

        if (out == NULL) {
            conn->last = &conn->out;
        }
    }

    if (conn->out == NULL
        && c->write->active && c->write->ready
        && conn->state == NGX_HTTP_OLLAMA_REDIS_READY)
    {
        /* otherwise a unix socket reports each command that Redis reads */

        if (ngx_del_event(c->write, NGX_WRITE_EVENT, 0) != NGX_OK) {
            return ngx_http_ollama_redis_wire_broken(conn, 0);
        }

        return NGX_OK;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        return ngx_http_ollama_redis_wire_broken(conn, 0);
    }

    return NGX_OK;
}


#if (HIREDIS_MAJOR < 1)

/*
 * It allocates an array of the size that the server sends, two billions at
 * most, before any of its elements came, and walks over all of them later.
 */

static void *
ngx_http_ollama_redis_wire_array(const redisReadTask *task, int n)
{
    ngx_http_ollama_redis_conn_t *conn = task->privdata;

    if (n > NGX_HTTP_OLLAMA_REDIS_ELEMENTS) {
        return NULL;
    }

    return conn->create_array(task, n);
}

#endif


ngx_int_t
ngx_http_ollama_redis_wire_reader(ngx_http_ollama_redis_conn_t *conn)
{
    conn->reader = redisReaderCreate();
    if (conn->reader == NULL) {
        return NGX_ERROR;
    }

#if (HIREDIS_MAJOR < 1)

    conn->functions = *conn->reader->fn;
    conn->create_array = conn->functions.createArray;
    conn->functions.createArray = ngx_http_ollama_redis_wire_array;

    conn->reader->fn = &conn->functions;
    conn->reader->privdata = conn;

#else

    conn->reader->maxelements = NGX_HTTP_OLLAMA_REDIS_ELEMENTS;

#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_redis_wire_recv(ngx_http_ollama_redis_conn_t *conn)
{
    ssize_t            n;
    ngx_uint_t         reads;
    ngx_connection_t  *c;
    u_char             buf[NGX_HTTP_OLLAMA_REDIS_BUFFER];

    c = conn->peer.connection;

    for (reads = 0; reads < NGX_HTTP_OLLAMA_REDIS_READS; reads++) {

        ngx_set_socket_errno(0);

        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                return ngx_http_ollama_redis_wire_broken(conn, 0);
            }

            return NGX_OK;
        }

        if (n == NGX_ERROR) {
            return ngx_http_ollama_redis_wire_broken(conn, ngx_socket_errno);
        }

        if (n == 0) {
            return ngx_http_ollama_redis_wire_reason(conn,
                                                     "it closed the "
                                                     "connection");
        }

        conn->moved = ngx_current_msec;

        if (redisReaderFeed(conn->reader, (char *) buf, n) != REDIS_OK) {
            return ngx_http_ollama_redis_wire_reason(conn, "invalid reply: %s",
                                                     conn->reader->errstr);
        }

        if (ngx_http_ollama_redis_wire_replies(conn) != NGX_OK) {
            return NGX_ERROR;
        }

        if (conn->reader->len > NGX_HTTP_OLLAMA_REDIS_REPLY) {
            return ngx_http_ollama_redis_wire_reason(conn, "invalid reply: "
                                                     "too big");
        }
    }

    /* there may be more, but others get their turn first */

    ngx_post_event(c->read, &ngx_posted_next_events);

    return NGX_OK;
}


/* Handles the replies that are complete. */

static ngx_int_t
ngx_http_ollama_redis_wire_replies(ngx_http_ollama_redis_conn_t *conn)
{
    void       *reply;
    ngx_int_t   rc;

    for ( ;; ) {

        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            return ngx_http_ollama_redis_wire_reason(conn, "invalid reply: %s",
                                                     conn->reader->errstr);
        }

        if (reply == NULL) {
            return NGX_OK;
        }

        rc = ngx_http_ollama_redis_wire_reply(conn, reply);

        freeReplyObject(reply);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_http_ollama_redis_wire_reply(ngx_http_ollama_redis_conn_t *conn,
    redisReply *reply)
{
    ngx_int_t                       rc;
    ngx_str_t                       error;
    ngx_queue_t                    *q;
    ngx_http_ollama_redis_entry_t  *entry;

    if (conn->push && conn->push(conn, reply) == NGX_OK) {
        return NGX_OK;
    }

    if (ngx_queue_empty(&conn->pending)) {
        /* an error may say why Redis is about to close the connection */
        error = ngx_http_ollama_redis_wire_error(reply);
        return ngx_http_ollama_redis_wire_reason(conn, "%V", &error);
    }

    q = ngx_queue_head(&conn->pending);
    entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

    if (ngx_buf_size(entry->rest.buf)) {
        error = ngx_http_ollama_redis_wire_error(reply);
        return ngx_http_ollama_redis_wire_reason(conn, "%V", &error);
    }

    ngx_queue_remove(q);
    conn->sent--;
    ngx_http_ollama_redis_wire_release(conn, entry);

    rc = entry->handler(conn, entry, reply);

    if (rc != NGX_AGAIN) {
        ngx_destroy_pool(entry->pool);
    }

    ngx_http_ollama_redis_wire_push_waiting(conn);

    return (rc == NGX_AGAIN) ? NGX_OK : rc;
}


ngx_str_t
ngx_http_ollama_redis_wire_error(redisReply *reply)
{
    ngx_str_t  error;

    if (reply->type == REDIS_REPLY_ERROR) {
        error.data = (u_char *) reply->str;
        error.len = reply->len;

    } else {
        ngx_str_set(&error, "invalid reply: it doesn't fit the command");
    }

    return error;
}


ngx_int_t
ngx_http_ollama_redis_wire_broken(ngx_http_ollama_redis_conn_t *conn,
    ngx_err_t err)
{
    u_char  *last, text[NGX_HTTP_OLLAMA_REDIS_REASON];

    if (err == 0) {
        return ngx_http_ollama_redis_wire_reason(conn, "out of memory or "
                                                 "connections");
    }

    last = ngx_strerror(err, text, sizeof(text));

    text[0] = ngx_tolower(text[0]);

    return ngx_http_ollama_redis_wire_reason(conn, "%*s",
                                             (size_t) (last - text), text);
}


ngx_int_t
ngx_http_ollama_redis_wire_reason(ngx_http_ollama_redis_conn_t *conn,
    const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    va_start(args, fmt);
    last = ngx_vslprintf(conn->text, conn->text + sizeof(conn->text), fmt,
                         args);
    va_end(args);

    /* it may be a text of Redis, and is logged */

    for (p = conn->text; p < last; p++) {
        if (*p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }

    conn->reason.data = conn->text;
    conn->reason.len = last - conn->text;

    return NGX_ERROR;
}
