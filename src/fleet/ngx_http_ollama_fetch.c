
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * One GET request to a server, for what the module itself wants to know, and
 * its reply as a whole.
 *
 * A fetch is a struct of its caller's, in a pool of the caller's.  It has one
 * connection, which is closed with the fetch, and one event, which is first
 * its timer and then, posted, calls the handler: always from the event loop,
 * never from within ngx_http_ollama_fetch().  The handler may do with the
 * fetch and its pool what it likes, so nothing is touched after it.
 *
 * This file has its life, its time limit and its connection; what is said over
 * that is fetch_http's.
 *
 * The time limit is for the whole of a fetch, however lively the server is.
 * When this process or its machine stood still meanwhile, that a fetch failed
 * says nothing of the server: so the timer fires in short steps, which tell by
 * how late they come whether the time really was the server's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fetch.h"
#include "fleet/ngx_http_ollama_fetch_http.h"


/* ms: the timer's steps; how late it may come; a last turn for the socket */
#define NGX_HTTP_OLLAMA_FETCH_STEP     200
#define NGX_HTTP_OLLAMA_FETCH_DELAY    250
#define NGX_HTTP_OLLAMA_FETCH_GRACE    5


static ngx_int_t ngx_http_ollama_fetch_connect(ngx_http_ollama_fetch_t *f);
static void ngx_http_ollama_fetch_timer(ngx_http_ollama_fetch_t *f,
    int64_t until);
static void ngx_http_ollama_fetch_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_fetch_handler(ngx_event_t *ev);
static void ngx_http_ollama_fetch_run(ngx_http_ollama_fetch_t *f);

static ngx_int_t ngx_http_ollama_fetch_connected(ngx_http_ollama_fetch_t *f);
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_ollama_fetch_tls(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_tls_name(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_handshake(ngx_http_ollama_fetch_t *f);
static void ngx_http_ollama_fetch_handshake_handler(ngx_connection_t *c);
static ngx_int_t ngx_http_ollama_fetch_handshaked(ngx_http_ollama_fetch_t *f);
#endif

static void ngx_http_ollama_fetch_end(ngx_http_ollama_fetch_t *f);
static void ngx_http_ollama_fetch_end_handler(ngx_event_t *ev);
static void ngx_http_ollama_fetch_close(ngx_http_ollama_fetch_t *f);
static int64_t ngx_http_ollama_fetch_clock(void);


/*
 * Begins a fetch.  However it ends, and be it at once, the handler is called
 * later, unless ngx_http_ollama_fetch_cancel() comes first.
 */

void
ngx_http_ollama_fetch(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t  rc;

    f->connected = -1;
    f->length = -1;

    f->started = ngx_http_ollama_fetch_clock();
    f->deadline = f->started + (int64_t) f->timeout * 1000;
    f->expected = f->deadline;

    /* nginx's debug log looks for a connection behind a timer */

    f->dummy.fd = (ngx_socket_t) -1;
    f->dummy.data = f;

    f->event.data = &f->dummy;
    f->event.handler = ngx_http_ollama_fetch_timer_handler;
    f->event.log = f->log;
    f->event.cancelable = 1;

    rc = ngx_http_ollama_fetch_create(f);

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_fetch_connect(f);

    } else {
        rc = ngx_http_ollama_fetch_short_of(f);
    }

    if (rc == NGX_DONE) {
        ngx_http_ollama_fetch_end(f);
        return;
    }

    ngx_http_ollama_fetch_timer(f, f->deadline);

    if (rc == NGX_OK) {
        ngx_http_ollama_fetch_run(f);
    }
}


/*
 * Ends a fetch without calling its handler.  Does nothing to one that has not
 * begun, or whose handler was called.
 */

void
ngx_http_ollama_fetch_cancel(ngx_http_ollama_fetch_t *f)
{
    ngx_http_ollama_fetch_close(f);

    if (f->event.timer_set) {
        ngx_del_timer(&f->event);
    }

    if (f->event.posted) {
        ngx_delete_posted_event(&f->event);
    }
}


/* NGX_OK: connected; NGX_AGAIN: an event will tell; NGX_DONE: failed. */

static ngx_int_t
ngx_http_ollama_fetch_connect(ngx_http_ollama_fetch_t *f)
{
    ngx_err_t               err;
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *pc;

    /*
     * A server that is down is a state, not a message every other second: the
     * caller logs it when it changes.  What nginx calls an alert is logged.
     */

    f->quiet = *f->log;
    f->quiet.log_level = NGX_LOG_ALERT;
    f->quiet.handler = NULL;
    f->quiet.connection = 0;

    pc = &f->peer;

    pc->sockaddr = f->sockaddr;
    pc->socklen = f->socklen;
    pc->name = &f->name;
    pc->get = ngx_event_get_peer;
    pc->log = &f->quiet;
    pc->log_error = NGX_ERROR_INFO;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, f->log, 0,
                   "ollama fetch \"%V\" from \"%V\"", &f->uri, &f->name);

    /* why it fails is told by errno only: nothing that follows sets it */

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(pc);

    err = ngx_socket_errno;

    if (rc == NGX_ERROR || rc == NGX_DECLINED) {

        if (rc == NGX_ERROR && (err == 0 || err == NGX_EMFILE
                                || err == NGX_ENFILE || err == NGX_ENOMEM
                                || err == ENOBUFS))
        {
            return ngx_http_ollama_fetch_short_of(f);
        }

        return ngx_http_ollama_fetch_broken(f, err,
                                           NGX_HTTP_OLLAMA_FETCH_UNREACHABLE);
    }

    c = pc->connection;

    c->data = f;
    c->pool = f->pool;
    c->log = &f->quiet;
    c->read->handler = ngx_http_ollama_fetch_handler;
    c->write->handler = ngx_http_ollama_fetch_handler;

    f->parser->connection = c;
    f->process = ngx_http_ollama_fetch_connected;

    return rc;
}


/* Sets the timer to its next step, or to the end if that comes earlier. */

static void
ngx_http_ollama_fetch_timer(ngx_http_ollama_fetch_t *f, int64_t until)
{
    int64_t  now, left;

    now = ngx_http_ollama_fetch_clock();

    left = (until - now + 999) / 1000;
    left = ngx_max(left, 1);
    left = ngx_min(left, NGX_HTTP_OLLAMA_FETCH_STEP);

    f->expected = now + left * 1000;

    ngx_add_timer(&f->event, (ngx_msec_t) left);
}


static void
ngx_http_ollama_fetch_timer_handler(ngx_event_t *ev)
{
    int64_t                   now;
    ngx_connection_t         *c;
    ngx_http_ollama_fetch_t  *f;

    c = ev->data;
    f = c->data;

    now = ngx_http_ollama_fetch_clock();

    if (now - f->expected > NGX_HTTP_OLLAMA_FETCH_DELAY * 1000) {
        f->late = 1;
    }

    if (now < f->deadline) {
        ngx_http_ollama_fetch_timer(f, f->deadline);
        return;
    }

    /*
     * The end of the reply may wait in the socket, unseen: after a stop of the
     * process timers come first.  The event loop gets one turn to find it.
     */

    if (!f->grace) {
        f->grace = 1;
        ngx_http_ollama_fetch_timer(f, now
                                       + NGX_HTTP_OLLAMA_FETCH_GRACE * 1000);
        return;
    }

    (void) ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_TIMEOUT,
                                      "timed out");
    ngx_http_ollama_fetch_end(f);
}


static void
ngx_http_ollama_fetch_handler(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_ollama_fetch_t  *f;

    c = ev->data;
    f = c->data;

    ngx_http_ollama_fetch_run(f);
}


/* Takes steps while they can be taken; what they return: see fetch_http.h. */

static void
ngx_http_ollama_fetch_run(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t  rc;

    f->reads = 0;

    do {
        rc = f->process(f);
    } while (rc == NGX_OK);

    if (rc == NGX_DONE) {
        ngx_http_ollama_fetch_end(f);
    }
}


static ngx_int_t
ngx_http_ollama_fetch_connected(ngx_http_ollama_fetch_t *f)
{
    int                err;
    socklen_t          len;
    ngx_connection_t  *c;

    c = f->peer.connection;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        return ngx_http_ollama_fetch_broken(f, err,
                                           NGX_HTTP_OLLAMA_FETCH_UNREACHABLE);
    }

    if (!c->write->ready) {
        return NGX_AGAIN;
    }

#if (NGX_HTTP_SSL)

    if (f->ssl) {
        f->process = ngx_http_ollama_fetch_tls;
        return NGX_OK;
    }

#endif

    f->connected = ngx_http_ollama_fetch_clock() - f->started;
    f->process = ngx_http_ollama_fetch_send;

    return NGX_OK;
}


#if (NGX_HTTP_SSL)

static ngx_int_t
ngx_http_ollama_fetch_tls(ngx_http_ollama_fetch_t *f)
{
    ngx_connection_t  *c;

    c = f->peer.connection;

    if (ngx_ssl_create_connection(f->ssl, c, NGX_SSL_CLIENT) != NGX_OK) {
        return ngx_http_ollama_fetch_short_of(f);
    }

    /* the request is not to wait until the end of the handshake is acked */

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        return ngx_http_ollama_fetch_short_of(f);
    }

    if (ngx_http_ollama_fetch_tls_name(f) != NGX_OK) {
        return ngx_http_ollama_fetch_short_of(f);
    }

    f->process = ngx_http_ollama_fetch_handshake;

    return NGX_OK;
}


/* Tells the server which name it is called by; addresses are none. */

static ngx_int_t
ngx_http_ollama_fetch_tls_name(ngx_http_ollama_fetch_t *f)
{
    char              *name;
    ngx_connection_t  *c;

    if (f->ssl_name.len == 0
        || ngx_strlchr(f->ssl_name.data, f->ssl_name.data + f->ssl_name.len,
                       ':')
        || ngx_inet_addr(f->ssl_name.data, f->ssl_name.len) != INADDR_NONE)
    {
        return NGX_OK;
    }

    name = ngx_pnalloc(f->pool, f->ssl_name.len + 1);
    if (name == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn((u_char *) name, f->ssl_name.data,
                       f->ssl_name.len + 1);

    c = f->peer.connection;

    if (SSL_set_tlsext_host_name(c->ssl->connection, name) == 0) {
        ngx_ssl_error(NGX_LOG_ERR, f->log, 0,
                      "SSL_set_tlsext_host_name(\"%s\") failed", name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_fetch_handshake(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = f->peer.connection;

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        /* until it is over, the connection's events are nginx's */
        c->ssl->handler = ngx_http_ollama_fetch_handshake_handler;
        return NGX_AGAIN;
    }

    f->process = ngx_http_ollama_fetch_handshaked;

    return NGX_OK;
}


static void
ngx_http_ollama_fetch_handshake_handler(ngx_connection_t *c)
{
    ngx_http_ollama_fetch_t  *f;

    f = c->data;

    f->process = ngx_http_ollama_fetch_handshaked;

    ngx_http_ollama_fetch_run(f);
}


static ngx_int_t
ngx_http_ollama_fetch_handshaked(ngx_http_ollama_fetch_t *f)
{
    long               rc;
    ngx_connection_t  *c;

    c = f->peer.connection;

    if (!c->ssl->handshaked) {
        return ngx_http_ollama_fetch_fail(f,
                                          NGX_HTTP_OLLAMA_FETCH_UNREACHABLE,
                                          "TLS handshake failed");
    }

    if (f->ssl_verify) {
        rc = SSL_get_verify_result(c->ssl->connection);

        if (rc != X509_V_OK) {
            return ngx_http_ollama_fetch_fail(f,
                                            NGX_HTTP_OLLAMA_FETCH_UNREACHABLE,
                                            "invalid certificate: %s",
                                            X509_verify_cert_error_string(rc));
        }

        if (ngx_ssl_check_host(c, &f->ssl_name) != NGX_OK) {
            return ngx_http_ollama_fetch_fail(f,
                                       NGX_HTTP_OLLAMA_FETCH_UNREACHABLE,
                                       "the certificate does not match \"%V\"",
                                       &f->ssl_name);
        }
    }

    c->read->handler = ngx_http_ollama_fetch_handler;
    c->write->handler = ngx_http_ollama_fetch_handler;

    f->connected = ngx_http_ollama_fetch_clock() - f->started;
    f->process = ngx_http_ollama_fetch_send;

    return NGX_OK;
}

#endif


/* A system call failed; behind TLS its errno may be an old one. */

ngx_int_t
ngx_http_ollama_fetch_broken(ngx_http_ollama_fetch_t *f, ngx_err_t err,
    ngx_http_ollama_fetch_result_e result)
{
    u_char  *last, text[NGX_HTTP_OLLAMA_FETCH_ERROR];

    if (err == NGX_ETIMEDOUT) {
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_TIMEOUT,
                                          "timed out");
    }

    if (err == 0 || (f->ssl && f->connected != -1)) {
        return ngx_http_ollama_fetch_fail(f, result, "connection broken");
    }

    last = ngx_strerror(err, text, sizeof(text));

    text[0] = ngx_tolower(text[0]);

    return ngx_http_ollama_fetch_fail(f, result, "%*s",
                                      (size_t) (last - text), text);
}


/* Nothing is known of the server if this machine cannot even ask it. */

ngx_int_t
ngx_http_ollama_fetch_short_of(ngx_http_ollama_fetch_t *f)
{
    return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_LATE,
                                      "nginx is out of memory or "
                                      "connections");
}


/* Returns NGX_DONE, for the step that failed. */

ngx_int_t
ngx_http_ollama_fetch_fail(ngx_http_ollama_fetch_t *f,
    ngx_http_ollama_fetch_result_e result, const char *fmt, ...)
{
    u_char   *last;
    va_list   args;

    va_start(args, fmt);
    last = ngx_vslprintf(f->text, f->text + sizeof(f->text), fmt, args);
    va_end(args);

    f->result = result;
    f->error.data = f->text;
    f->error.len = last - f->text;

    return NGX_DONE;
}


/* The fetch is over: all that is left is to call the handler. */

static void
ngx_http_ollama_fetch_end(ngx_http_ollama_fetch_t *f)
{
    int64_t  now;

    now = ngx_http_ollama_fetch_clock();

    f->elapsed = now - f->started;

    ngx_http_ollama_fetch_close(f);

    if (f->event.timer_set) {
        ngx_del_timer(&f->event);
    }

    if (f->in) {
        (void) ngx_pfree(f->pool, f->in->start);
        f->in = NULL;
    }

    if (f->body.data == NULL) {
        ngx_str_set(&f->body, "");
    }

    /* a server that gave up on us while we slept is a good one */

    if (f->result != NGX_HTTP_OLLAMA_FETCH_OK
        && f->result != NGX_HTTP_OLLAMA_FETCH_LATE
        && (f->late
            || now - f->expected > NGX_HTTP_OLLAMA_FETCH_DELAY * 1000))
    {
        (void) ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_LATE,
                                          "nginx was paused meanwhile");
    }

    ngx_log_debug5(NGX_LOG_DEBUG_HTTP, f->log, 0,
                   "ollama fetch from \"%V\": result %ui, status %ui, "
                   "%uz bytes, \"%V\"", &f->name, (ngx_uint_t) f->result,
                   f->status, f->body.len, &f->error);

    f->event.handler = ngx_http_ollama_fetch_end_handler;

    ngx_post_event(&f->event, &ngx_posted_events);
}


static void
ngx_http_ollama_fetch_end_handler(ngx_event_t *ev)
{
    ngx_connection_t         *c;
    ngx_http_ollama_fetch_t  *f;

    c = ev->data;
    f = c->data;

    f->handler(f);
}


static void
ngx_http_ollama_fetch_close(ngx_http_ollama_fetch_t *f)
{
    ngx_connection_t  *c;

    c = f->peer.connection;

    if (c == NULL) {
        return;
    }

#if (NGX_HTTP_SSL)

    if (c->ssl) {
        /* all was said: it is freed at once, without waiting for anything */
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

#endif

    ngx_close_connection(c);

    f->peer.connection = NULL;
}


/* Microseconds; nginx's own clock stands still while an event is handled. */

static int64_t
ngx_http_ollama_fetch_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
