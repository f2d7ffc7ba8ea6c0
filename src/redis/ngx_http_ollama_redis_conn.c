
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The life of a connection to Redis: it connects, authenticates, and is ready.
 * If anything fails it is closed, all commands that wait fail, and after a
 * while it connects again, from "start" to "stop".  Reading and writing is done
 * in redis_wire.
 *
 * From "start" on there is always a timer: for the next attempt, for the end of
 * the connect, for when Redis has been silent too long while a command waits,
 * or to ask an idle server if it is still there, so that one which stands
 * still, or behind a line that is cut, is known before a request needs it.  The
 * timer keeps the process from exiting while a caller's command is under way,
 * and only then.
 *
 * The connection fails, and handlers are called, from the event loop only,
 * never from within a function of the header.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

#include "redis/ngx_http_ollama_redis_conn.h"
#include "redis/ngx_http_ollama_redis_wire.h"
#include "core/ngx_http_ollama_conf.h"
#include "util/ngx_http_ollama_backoff.h"


/* ms without a byte after which the server is asked if it is there */
#define NGX_HTTP_OLLAMA_REDIS_IDLE      5000

/* ms for what is saved after worker_shutdown_timeout */
#define NGX_HTTP_OLLAMA_REDIS_LEAVE     1000


static void ngx_http_ollama_redis_conn_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_redis_conn_renew(
    ngx_http_ollama_redis_conn_t *conn);
static void ngx_http_ollama_redis_conn_leave(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_conn_check(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_msec_t ngx_http_ollama_redis_conn_deadline(
    ngx_http_ollama_redis_conn_t *conn);
static void ngx_http_ollama_redis_conn_connect(
    ngx_http_ollama_redis_conn_t *conn);
static void ngx_http_ollama_redis_conn_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_redis_conn_connected(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_conn_greet(
    ngx_http_ollama_redis_conn_t *conn);
static ngx_int_t ngx_http_ollama_redis_conn_ask(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_pt handler,
    ngx_uint_t argc, ngx_str_t *argv);
static ngx_int_t ngx_http_ollama_redis_conn_auth_done(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static ngx_int_t ngx_http_ollama_redis_conn_select_done(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static ngx_int_t ngx_http_ollama_redis_conn_greet_done(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static ngx_int_t ngx_http_ollama_redis_conn_ping_done(
    ngx_http_ollama_redis_conn_t *conn, ngx_http_ollama_redis_entry_t *entry,
    redisReply *reply);
static void ngx_http_ollama_redis_conn_fail(
    ngx_http_ollama_redis_conn_t *conn, ngx_uint_t late);
static void ngx_http_ollama_redis_conn_log(
    ngx_http_ollama_redis_conn_t *conn, ngx_uint_t late);
static void ngx_http_ollama_redis_conn_close(
    ngx_http_ollama_redis_conn_t *conn);


/* Without a master process it changes with a reload. */

ngx_http_ollama_redis_conf_t *
ngx_http_ollama_redis_conn_conf(void)
{
    ngx_http_ollama_main_conf_t  *omcf;

    omcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_ollama_module);

    return omcf ? omcf->redis : NULL;
}


void
ngx_http_ollama_redis_conn_start(ngx_http_ollama_redis_conn_t *conn)
{
    if (conn->state != NGX_HTTP_OLLAMA_REDIS_OFF || conn->closing) {
        return;
    }

    conn->conf = ngx_http_ollama_redis_conn_conf();

    if (conn->conf == NULL) {
        return;
    }

    ngx_queue_init(&conn->pending);
    ngx_queue_init(&conn->waiting);

    conn->last = &conn->out;
    conn->addr = 0;
    conn->tried = 0;
    conn->failures = 0;
    conn->logged_len = 0;
    conn->undecided = 1;
    conn->state = NGX_HTTP_OLLAMA_REDIS_WAITING;

    conn->log = *ngx_cycle->log;
    conn->log.log_level = NGX_LOG_ALERT;
    conn->log.handler = NULL;
    conn->log.connection = 0;

    ngx_http_ollama_timer_init(&conn->timer,
                               ngx_http_ollama_redis_conn_timer_handler, conn,
                               &conn->log);

    ngx_add_timer(&conn->timer.event, 1);
}


void
ngx_http_ollama_redis_conn_hurry(ngx_http_ollama_redis_conn_t *conn)
{
    if (conn->state == NGX_HTTP_OLLAMA_REDIS_WAITING && !conn->closing) {
        conn->undecided = 1;
        ngx_add_timer(&conn->timer.event, 1);
    }
}


void
ngx_http_ollama_redis_conn_stop(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_queue_t                    *q;
    ngx_http_ollama_redis_entry_t  *entry;

    if (conn->state == NGX_HTTP_OLLAMA_REDIS_OFF) {
        return;
    }

    conn->state = NGX_HTTP_OLLAMA_REDIS_OFF;
    conn->closing = 1;

    ngx_http_ollama_redis_conn_close(conn);

    ngx_http_ollama_timer_stop(&conn->timer);

    ngx_queue_add(&conn->pending, &conn->waiting);

    while (!ngx_queue_empty(&conn->pending)) {
        q = ngx_queue_head(&conn->pending);
        entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

        ngx_queue_remove(q);
        ngx_http_ollama_redis_wire_release(conn, entry);
        ngx_destroy_pool(entry->pool);
    }
}


ngx_uint_t
ngx_http_ollama_redis_conn_available(ngx_http_ollama_redis_conn_t *conn)
{
    if (conn->state == NGX_HTTP_OLLAMA_REDIS_OFF) {
        return 0;
    }

    if (conn->conf != ngx_http_ollama_redis_conn_conf()) {

        if (!conn->closing) {
            ngx_add_timer(&conn->timer.event, 1);
        }

        return 0;
    }

    return conn->state == NGX_HTTP_OLLAMA_REDIS_READY || conn->undecided;
}


static void
ngx_http_ollama_redis_conn_timer_handler(ngx_event_t *ev)
{
    ngx_msec_t                     now, deadline;
    ngx_http_ollama_redis_conn_t  *conn;

    conn = ngx_http_ollama_timer_data(ev);

    if (conn->conf != ngx_http_ollama_redis_conn_conf()) {
        ngx_http_ollama_redis_conn_renew(conn);
        return;
    }

    now = ngx_current_msec;

    if (conn->state == NGX_HTTP_OLLAMA_REDIS_WAITING) {
        ngx_http_ollama_redis_conn_connect(conn);
        return;
    }

    deadline = ngx_http_ollama_redis_conn_deadline(conn);

    if ((ngx_msec_int_t) (deadline - now) <= 0
        && conn->state == NGX_HTTP_OLLAMA_REDIS_READY)
    {
        if (ngx_http_ollama_redis_conn_check(conn) != NGX_OK) {
            ngx_http_ollama_redis_conn_fail(conn, 0);
            return;
        }

        deadline = ngx_http_ollama_redis_conn_deadline(conn);
    }

    if (conn->leaving && (ngx_msec_int_t) (deadline - conn->limit) > 0) {
        deadline = conn->limit;
    }

    if ((ngx_msec_int_t) (deadline - now) > 0) {
        ngx_add_timer(ev, deadline - now);
        return;
    }

    if (conn->state == NGX_HTTP_OLLAMA_REDIS_READY && conn->count == 0) {

        if (ngx_http_ollama_redis_conn_ask(conn,
                                         ngx_http_ollama_redis_conn_ping_done,
                                         1, &(ngx_str_t) ngx_string("PING"))
            == NGX_OK)
        {
            return;
        }

    } else {
        (void) ngx_http_ollama_redis_wire_reason(conn, "timed out");
    }

    ngx_http_ollama_redis_conn_fail(conn, 1);
}


/*
 * worker_shutdown_timeout has passed, and nginx closes all connections.  What
 * the clients' requests leave to be saved is sent after that; the worker waits
 * for it, but not for long.
 */

static void
ngx_http_ollama_redis_conn_leave(ngx_http_ollama_redis_conn_t *conn)
{
    conn->peer.connection->close = 0;
    conn->peer.connection->error = 0;
    conn->closing = 1;
    conn->leaving = 1;
    conn->limit = ngx_current_msec + NGX_HTTP_OLLAMA_REDIS_LEAVE;

    (void) ngx_http_ollama_redis_wire_reason(conn, "nginx shuts down");

    ngx_add_timer(&conn->timer.event, NGX_HTTP_OLLAMA_REDIS_LEAVE);
}


/* Uses the configuration of a new cycle; the old one may be freed soon. */

static void
ngx_http_ollama_redis_conn_renew(ngx_http_ollama_redis_conn_t *conn)
{
    unsigned  closing;

    closing = conn->closing;
    conn->closing = 1;

    (void) ngx_http_ollama_redis_wire_reason(conn, "configuration changed");

    ngx_http_ollama_redis_conn_fail(conn, 0);

    conn->closing = closing;
    conn->state = NGX_HTTP_OLLAMA_REDIS_OFF;

    ngx_http_ollama_redis_conn_start(conn);
}


/*
 * Before Redis is taken for silent: bytes may have come while this process was
 * busy, and no event tells of those that the server's side has taken.
 */

static ngx_int_t
ngx_http_ollama_redis_conn_check(ngx_http_ollama_redis_conn_t *conn)
{
    if (conn->peer.connection->read->ready
        && ngx_http_ollama_redis_wire_recv(conn) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ngx_queue_empty(&conn->pending)
        && ngx_http_ollama_redis_wire_progress(conn))
    {
        conn->moved = ngx_current_msec;
    }

    return NGX_OK;
}


/*
 * When the timer is to do something.  The limit is for how long Redis is silent
 * while the command that waits longest is under way, however large it or its
 * reply is; that of a connect, and of those that wait for it, is for all of it.
 */

static ngx_msec_t
ngx_http_ollama_redis_conn_deadline(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_msec_t                      timeout, since;
    ngx_queue_t                    *q;
    ngx_http_ollama_redis_entry_t  *entry;

    timeout = conn->conf->timeout;

    if (conn->state == NGX_HTTP_OLLAMA_REDIS_CONNECTING) {

        if (ngx_queue_empty(&conn->waiting)) {
            return conn->deadline;
        }

        q = ngx_queue_head(&conn->waiting);
        entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

        since = entry->since;

        return ((ngx_msec_int_t) (since + timeout - conn->deadline) < 0)
               ? since + timeout : conn->deadline;
    }

    if (ngx_queue_empty(&conn->pending)) {
        return conn->moved + NGX_HTTP_OLLAMA_REDIS_IDLE;
    }

    q = ngx_queue_head(&conn->pending);
    entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

    since = entry->since;

    return ((ngx_msec_int_t) (conn->moved - since) > 0)
           ? conn->moved + timeout : since + timeout;
}


static void
ngx_http_ollama_redis_conn_connect(ngx_http_ollama_redis_conn_t *conn)
{
    ngx_int_t               rc;
    ngx_err_t               err;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *pc;

    addr = &conn->conf->addrs[conn->addr];

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "ollama redis%V: connect to %V", &conn->what, &addr->name);

    conn->state = NGX_HTTP_OLLAMA_REDIS_CONNECTING;
    conn->number++;
    conn->deadline = ngx_current_msec + conn->conf->timeout;

    ngx_add_timer(&conn->timer.event, conn->conf->timeout);

    /*
     * nginx would log each attempt; here it is logged when the reason changes.
     * Alerts are logged.
     */

    pc = &conn->peer;

    ngx_memzero(pc, sizeof(ngx_peer_connection_t));

    pc->sockaddr = addr->sockaddr;
    pc->socklen = addr->socklen;
    pc->name = &addr->name;
    pc->get = ngx_event_get_peer;
    pc->log = &conn->log;
    pc->log_error = NGX_ERROR_INFO;

    if (ngx_http_ollama_redis_wire_reader(conn) != NGX_OK) {
        (void) ngx_http_ollama_redis_wire_reason(conn, "out of memory");
        ngx_http_ollama_redis_conn_fail(conn, 0);
        return;
    }

    /* only errno tells why it failed */

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(pc);

    err = ngx_socket_errno;

    if (rc == NGX_ERROR || rc == NGX_DECLINED) {
        (void) ngx_http_ollama_redis_wire_broken(conn, err);
        ngx_http_ollama_redis_conn_fail(conn, 0);
        return;
    }

    c = pc->connection;

    c->data = conn;
    c->log = &conn->log;
    c->read->handler = ngx_http_ollama_redis_conn_handler;
    c->write->handler = ngx_http_ollama_redis_conn_handler;

    if (rc == NGX_OK) {
        ngx_post_event(c->write, &ngx_posted_events);
    }
}


/* The read and write handler. */

static void
ngx_http_ollama_redis_conn_handler(ngx_event_t *ev)
{
    ngx_connection_t              *c;
    ngx_http_ollama_redis_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    if (c->close) {

        ngx_http_ollama_redis_conn_leave(conn);
        return;
    }

    if (ngx_queue_empty(&conn->pending)
        && conn->state == NGX_HTTP_OLLAMA_REDIS_CONNECTING
        && ngx_http_ollama_redis_conn_connected(conn) != NGX_OK)
    {
        goto failed;
    }

    if (!ev->write && ngx_http_ollama_redis_wire_recv(conn) != NGX_OK) {
        goto failed;
    }

    if (ngx_http_ollama_redis_wire_flush(conn) != NGX_OK) {
        goto failed;
    }

    return;

failed:

    ngx_http_ollama_redis_conn_fail(conn, 0);
}


static ngx_int_t
ngx_http_ollama_redis_conn_connected(ngx_http_ollama_redis_conn_t *conn)
{
    int                err;
    socklen_t          len;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        return ngx_http_ollama_redis_wire_broken(conn, err);
    }

    if (conn->peer.sockaddr->sa_family != AF_UNIX) {
        (void) ngx_tcp_nodelay(c);
    }

    return ngx_http_ollama_redis_conn_greet(conn);
}


/* The last command's reply tells that Redis executes commands. */

static ngx_int_t
ngx_http_ollama_redis_conn_greet(ngx_http_ollama_redis_conn_t *conn)
{
    u_char                         text[NGX_INT_T_LEN];
    ngx_str_t                      argv[3];
    ngx_uint_t                     argc;
    ngx_http_ollama_redis_conf_t  *rcf;

    rcf = conn->conf;

    if (rcf->password.len) {
        argc = 1;

        ngx_str_set(&argv[0], "AUTH");

        if (rcf->user.len) {
            argv[argc++] = rcf->user;
        }

        argv[argc++] = rcf->password;

        if (ngx_http_ollama_redis_conn_ask(conn,
                                         ngx_http_ollama_redis_conn_auth_done,
                                         argc, argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (rcf->db) {
        ngx_str_set(&argv[0], "SELECT");

        argv[1].data = text;
        argv[1].len = ngx_sprintf(text, "%i", rcf->db) - text;

        if (ngx_http_ollama_redis_conn_ask(conn,
                                       ngx_http_ollama_redis_conn_select_done,
                                       2, argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&argv[0], "PING");

    return ngx_http_ollama_redis_conn_ask(conn,
                                        ngx_http_ollama_redis_conn_greet_done,
                                        1, argv);
}


/* Sends a command of the connection's own. */

static ngx_int_t
ngx_http_ollama_redis_conn_ask(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_pt handler, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_http_ollama_redis_entry_t  *entry;

    entry = ngx_http_ollama_redis_wire_command(conn, argc, argv);
    if (entry == NULL) {
        return ngx_http_ollama_redis_wire_reason(conn, "out of memory");
    }

    entry->handler = handler;
    entry->internal = 1;

    ngx_http_ollama_redis_wire_send(conn, entry);

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_redis_conn_auth_done(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    ngx_str_t  error;

    if (reply && reply->type != REDIS_REPLY_STATUS) {
        error = ngx_http_ollama_redis_wire_error(reply);
        return ngx_http_ollama_redis_wire_reason(conn, "AUTH failed: %V",
                                                 &error);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_redis_conn_select_done(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    ngx_str_t  error;

    if (reply && reply->type != REDIS_REPLY_STATUS) {
        error = ngx_http_ollama_redis_wire_error(reply);
        return ngx_http_ollama_redis_wire_reason(conn, "SELECT failed: %V",
                                                 &error);
    }

    return NGX_OK;
}


/* The connection is ready, also if its user has no right to PING. */

static ngx_int_t
ngx_http_ollama_redis_conn_greet_done(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    ngx_str_t  error;

    if (reply == NULL) {
        return NGX_OK;
    }

    if (reply->type != REDIS_REPLY_STATUS
        && (reply->type != REDIS_REPLY_ERROR
            || ngx_strncmp(reply->str, "NOPERM", 6) != 0))
    {
        error = ngx_http_ollama_redis_wire_error(reply);
        return ngx_http_ollama_redis_wire_reason(conn, "%V", &error);
    }

    conn->state = NGX_HTTP_OLLAMA_REDIS_READY;
    conn->undecided = 0;
    conn->tried = 0;
    conn->up = ngx_current_msec;
    conn->moved = ngx_current_msec;
    conn->logged_len = 0;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "redis \"%V\"%V is up", &conn->conf->name, &conn->what);

    ngx_http_ollama_redis_wire_push_waiting(conn);

    return conn->ready(conn);
}


/* Any reply shows that Redis is there. */

static ngx_int_t
ngx_http_ollama_redis_conn_ping_done(ngx_http_ollama_redis_conn_t *conn,
    ngx_http_ollama_redis_entry_t *entry, redisReply *reply)
{
    return NGX_OK;
}


/*
 * The connection failed for the reason that was set: so do all commands.  The
 * next address is tried at once, and those that wait for a connection wait for
 * that one; unless the time limit has passed, as it has for these, too.
 */

static void
ngx_http_ollama_redis_conn_fail(ngx_http_ollama_redis_conn_t *conn,
    ngx_uint_t late)
{
    ngx_uint_t                      lost;
    ngx_msec_t                      delay;
    ngx_queue_t                     failed, *q;
    ngx_http_ollama_redis_entry_t  *entry;

    lost = (conn->state == NGX_HTTP_OLLAMA_REDIS_READY);

    ngx_http_ollama_redis_conn_close(conn);

    conn->state = NGX_HTTP_OLLAMA_REDIS_WAITING;

    ngx_queue_init(&failed);
    ngx_queue_add(&failed, &conn->pending);
    ngx_queue_init(&conn->pending);

    delay = 1;

    if (lost) {
        if (ngx_current_msec - conn->up > NGX_HTTP_OLLAMA_BACKOFF_REDIS_MAX) {
            conn->failures = 0;
        }

    } else {
        conn->addr = (conn->addr + 1) % conn->conf->naddrs;
        conn->tried++;
    }

    if (lost || late || conn->closing || conn->tried == conn->conf->naddrs) {

        ngx_queue_add(&failed, &conn->waiting);
        ngx_queue_init(&conn->waiting);

        conn->tried = 0;
        conn->undecided = 0;
        delay = ngx_http_ollama_backoff_redis(conn->failures++,
                                              (ngx_uint_t) ngx_random());

        ngx_http_ollama_redis_conn_log(conn, late);
    }

    ngx_http_ollama_timer_stop(&conn->timer);

    if (!conn->closing) {
        ngx_add_timer(&conn->timer.event, delay);
    }

    while (!ngx_queue_empty(&failed)) {
        q = ngx_queue_head(&failed);
        entry = ngx_queue_data(q, ngx_http_ollama_redis_entry_t, queue);

        ngx_queue_remove(q);
        ngx_http_ollama_redis_wire_release(conn, entry);

        (void) entry->handler(conn, entry, NULL);

        ngx_destroy_pool(entry->pool);
    }
}


/* Logs an error when it goes down, and then each other reason as info. */

static void
ngx_http_ollama_redis_conn_log(ngx_http_ollama_redis_conn_t *conn,
    ngx_uint_t late)
{
    ngx_uint_t  level;

    if (conn->logged_len == conn->reason.len
        && ngx_memcmp(conn->logged, conn->reason.data, conn->reason.len) == 0)
    {
        return;
    }

    level = (conn->logged_len || (conn->window && !late)) ? NGX_LOG_INFO
            : conn->closing ? NGX_LOG_NOTICE : NGX_LOG_ERR;

    ngx_log_error(level, ngx_cycle->log, 0, "redis \"%V\"%V is down: %V",
                  &conn->conf->name, &conn->what, &conn->reason);

    conn->logged_len = conn->reason.len;
    ngx_memcpy(conn->logged, conn->reason.data, conn->reason.len);
}


static void
ngx_http_ollama_redis_conn_close(ngx_http_ollama_redis_conn_t *conn)
{
    if (conn->peer.connection) {
        ngx_close_connection(conn->peer.connection);
        conn->peer.connection = NULL;
    }

    if (conn->reader) {
        redisReaderFree(conn->reader);
        conn->reader = NULL;
    }

    conn->out = NULL;
    conn->last = &conn->out;
    conn->queued = 0;
    conn->taken = 0;
    conn->sent = 0;
}
