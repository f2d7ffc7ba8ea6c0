
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A fetch: one GET request of the module itself to a server, and the whole
 * reply.
 *
 * A fetch is a struct of the caller's, in a pool of the caller's.  It has one
 * connection, which is closed when the fetch ends, and one event, which is its
 * timer and then, posted, calls the handler: always from the event loop, never
 * from within ngx_http_ollama_fetch().  The handler may free the fetch and its
 * pool, so nothing is touched after it.
 *
 * The time limit is for the whole fetch, even if the server sends all the time.
 * If this process or its machine was paused meanwhile, a fetch that failed
 * shows nothing about the server: so the timer fires in short steps, and those
 * that are late show that there was a pause.
 *
 * It may use nginx's connections and fetch_http, which parses the reply.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fetch.h"
#include "fleet/ngx_http_ollama_fetch_http.h"
#include "util/ngx_http_ollama_timer.h"


/* ms: the timer's steps; how late it may be; time to read what has arrived */
#define NGX_HTTP_OLLAMA_FETCH_STEP     200
#define NGX_HTTP_OLLAMA_FETCH_DELAY    250
#define NGX_HTTP_OLLAMA_FETCH_GRACE    5

/* reads from a socket before other events are handled */
#define NGX_HTTP_OLLAMA_FETCH_READS    8


static ngx_int_t ngx_http_ollama_fetch_create(ngx_http_ollama_fetch_t *f);
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
static ngx_int_t ngx_http_ollama_fetch_send(ngx_http_ollama_fetch_t *f);
static void ngx_http_ollama_fetch_dummy_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_fetch_recv(ngx_http_ollama_fetch_t *f);

static ngx_int_t ngx_http_ollama_fetch_broken(ngx_http_ollama_fetch_t *f,
    ngx_err_t err, ngx_http_ollama_fetch_result_e result);
static ngx_int_t ngx_http_ollama_fetch_short_of(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_fail(ngx_http_ollama_fetch_t *f,
    ngx_http_ollama_fetch_result_e result, const char *fmt, ...);

static void ngx_http_ollama_fetch_end(ngx_http_ollama_fetch_t *f);
static void ngx_http_ollama_fetch_end_handler(ngx_event_t *ev);
static void ngx_http_ollama_fetch_close(ngx_http_ollama_fetch_t *f);
static int64_t ngx_http_ollama_fetch_clock(void);


void
ngx_http_ollama_fetch(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t  rc;

    f->connected = -1;

    f->started = ngx_http_ollama_fetch_clock();
    f->deadline = f->started + (int64_t) f->timeout * 1000;
    f->expected = f->deadline;

    ngx_http_ollama_timer_init(&f->timer, ngx_http_ollama_fetch_timer_handler,
                               f, f->log);

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


void
ngx_http_ollama_fetch_cancel(ngx_http_ollama_fetch_t *f)
{
    ngx_http_ollama_fetch_close(f);
    ngx_http_ollama_timer_stop(&f->timer);
}


/* Makes the request and what its reply needs. */

static ngx_int_t
ngx_http_ollama_fetch_create(ngx_http_ollama_fetch_t *f)
{
    size_t         len;
    ngx_buf_t     *b;
    ngx_uint_t     i;
    ngx_keyval_t  *header;

    f->http.pool = f->pool;
    f->http.log = &f->quiet;
    f->http.max_size = f->max_size;

    if (ngx_http_ollama_fetch_http_init(&f->http) != NGX_OK) {
        return NGX_ERROR;
    }

    len = sizeof("GET  HTTP/1.1" CRLF "Connection: close" CRLF CRLF) - 1
          + f->uri.len;

    header = f->headers->elts;

    for (i = 0; i < f->headers->nelts; i++) {
        len += header[i].key.len + sizeof(": " CRLF) - 1 + header[i].value.len;
    }

    b = ngx_create_temp_buf(f->pool, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_slprintf(b->last, b->end, "GET %V HTTP/1.1" CRLF, &f->uri);

    for (i = 0; i < f->headers->nelts; i++) {
        b->last = ngx_slprintf(b->last, b->end, "%V: %V" CRLF, &header[i].key,
                               &header[i].value);
    }

    b->last = ngx_slprintf(b->last, b->end, "Connection: close" CRLF CRLF);

    f->request = b;

    return NGX_OK;
}


/* NGX_OK: connected; NGX_AGAIN: an event will show; NGX_DONE: failed. */

static ngx_int_t
ngx_http_ollama_fetch_connect(ngx_http_ollama_fetch_t *f)
{
    ngx_err_t               err;
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *pc;

    /*
     * That a server is down is logged by the caller, when this changes, and not
     * here, by each fetch.  Only alerts are logged.
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

    /* only errno shows why it fails: it is read at once */

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

    ngx_add_timer(&f->timer.event, (ngx_msec_t) left);
}


static void
ngx_http_ollama_fetch_timer_handler(ngx_event_t *ev)
{
    int64_t                   now;
    ngx_http_ollama_fetch_t  *f;

    f = ngx_http_ollama_timer_data(ev);

    now = ngx_http_ollama_fetch_clock();

    if (now - f->expected > NGX_HTTP_OLLAMA_FETCH_DELAY * 1000) {
        f->late = 1;
    }

    if (now < f->deadline) {
        ngx_http_ollama_fetch_timer(f, f->deadline);
        return;
    }

    /*
     * The end of the reply may have arrived and not been read: after a pause of
     * the process timers are handled first.  The event loop runs once more.
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


/*
 * Runs steps.  Each returns NGX_OK for another one, f->process, NGX_AGAIN to
 * wait for an event, and NGX_DONE if the fetch has ended, successful or not.
 */

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


/* Sets the name for SNI, which must not be an address. */

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
        /* until it has ended, nginx handles the connection's events */
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


static ngx_int_t
ngx_http_ollama_fetch_send(ngx_http_ollama_fetch_t *f)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = f->request;
    c = f->peer.connection;

    while (b->pos < b->last) {

        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
                return ngx_http_ollama_fetch_short_of(f);
            }

            return NGX_AGAIN;
        }

        if (n <= 0) {
            return ngx_http_ollama_fetch_broken(f,
                                               n ? ngx_socket_errno : 0,
                                               NGX_HTTP_OLLAMA_FETCH_INVALID);
        }

        b->pos += n;
    }

    /* where events are level-triggered, this one would come all the time */

    c->write->handler = ngx_http_ollama_fetch_dummy_handler;

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        return ngx_http_ollama_fetch_short_of(f);
    }

    f->process = ngx_http_ollama_fetch_recv;

    return NGX_OK;
}


static void
ngx_http_ollama_fetch_dummy_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "ollama fetch dummy");
}


static ngx_int_t
ngx_http_ollama_fetch_recv(ngx_http_ollama_fetch_t *f)
{
    ssize_t            n;
    ngx_int_t          rc;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = f->http.in;
    c = f->peer.connection;

    if (f->reads++ == NGX_HTTP_OLLAMA_FETCH_READS) {
        /* an edge-triggered event would not come again by itself */
        ngx_post_event(c->read, &ngx_posted_next_events);
        return NGX_AGAIN;
    }

    n = c->recv(c, b->last, b->end - b->last);

    if (n == NGX_AGAIN) {
        if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
            return ngx_http_ollama_fetch_short_of(f);
        }

        return NGX_AGAIN;
    }

    if (n < 0) {
        return ngx_http_ollama_fetch_broken(f, ngx_socket_errno,
                                            NGX_HTTP_OLLAMA_FETCH_INVALID);
    }

    if (n == 0) {
        rc = ngx_http_ollama_fetch_http_eof(&f->http);

    } else {
        b->last += n;
        rc = ngx_http_ollama_fetch_http_parse(&f->http);
    }

    switch (rc) {

    case NGX_AGAIN:
        return NGX_OK;

    case NGX_DONE:
        f->status = f->http.status;
        f->body = f->http.body;
        return NGX_DONE;

    default: /* NGX_ERROR */

        if (f->http.error == NULL) {
            return ngx_http_ollama_fetch_short_of(f);
        }

        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                          "%s", f->http.error);
    }
}


/* A system call failed; with TLS its errno may be an old one. */

static ngx_int_t
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


/* The fetch failed because of this machine, not because of the server. */

static ngx_int_t
ngx_http_ollama_fetch_short_of(ngx_http_ollama_fetch_t *f)
{
    return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_LATE,
                                      "nginx is out of memory or "
                                      "connections");
}


/* Returns NGX_DONE, for the step that failed. */

static ngx_int_t
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


/* The fetch has ended: frees what it has and posts the call of the handler. */

static void
ngx_http_ollama_fetch_end(ngx_http_ollama_fetch_t *f)
{
    int64_t  now;

    now = ngx_http_ollama_fetch_clock();

    f->elapsed = now - f->started;

    ngx_http_ollama_fetch_close(f);

    ngx_http_ollama_timer_stop(&f->timer);
    ngx_http_ollama_fetch_http_free(&f->http);

    if (f->body.data == NULL) {
        ngx_str_set(&f->body, "");
    }

    /* a server that closed the connection during a pause may be up */

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

    f->timer.event.handler = ngx_http_ollama_fetch_end_handler;

    ngx_post_event(&f->timer.event, &ngx_posted_events);
}


static void
ngx_http_ollama_fetch_end_handler(ngx_event_t *ev)
{
    ngx_http_ollama_fetch_t  *f;

    f = ngx_http_ollama_timer_data(ev);

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
        /* it is freed at once: there is nothing left to send or to wait for */
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
