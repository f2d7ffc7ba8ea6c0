
/*
 * A reply's bytes.  Callers put header and body together in a buffer of
 * theirs, the "wire", which fake_out_flush() sends: straight to the socket
 * if nothing waits there, since a frame then costs one system call.
 *
 * With split or split_at, the body goes through "pend" instead, from which
 * a timer lets out one piece at a time.
 *
 * fake_out_finish() says how the reply ends; it happens once all is out,
 * and may close the connection before it returns.
 */

#include "out.h"
#include "origin.h"
#include "record.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>


static void fake_out_chunk(fake_conn_t *c, fake_buf_t *wire, size_t len);
static void fake_out_mark(fake_conn_t *c, uint64_t body, size_t len,
    uint64_t wire);
static void fake_out_send(fake_conn_t *c, const char *data, size_t len);
static void fake_out_pump_add(fake_conn_t *c);
static void fake_out_do(fake_conn_t *c);


const char *
fake_status_text(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 307: return "Temporary Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Request Entity Too Large";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 507: return "Insufficient Storage";
    default:  return "Status";
    }
}


/* more: further header lines, each ended, or NULL */

void
fake_out_header(fake_conn_t *c, fake_buf_t *wire, int status,
    const char *type, int framing, uint64_t length, const char *more)
{
    int          minor;
    fake_req_t  *r;
    fake_rec_t  *rec;

    r = c->req;
    minor = r->minor;

    if (r->gen.conf_held && r->gen.conf.http10) {
        minor = 0;
        framing = FAKE_FRAMING_EOF;
        r->keepalive = 0;

    } else if (framing == FAKE_FRAMING_CHUNKED && minor == 0) {
        framing = FAKE_FRAMING_EOF;
        r->keepalive = 0;
    }

    if (r->gen.conf_held && r->gen.conf.connection_close) {
        r->keepalive = 0;
    }

    c->out.framing = framing;

    fake_buf_fmt(wire, "HTTP/1.%d %d %s\r\n", minor, status,
                 fake_status_text(status));

    if (type) {
        fake_buf_str(wire, "Content-Type: ");
        fake_buf_str(wire, type);
        fake_buf_str(wire, "\r\n");
    }

    if (fake_name && fake_name[0]) {
        fake_buf_fmt(wire, "X-Fake-Name: %s\r\n", fake_name);
    }

    if (more) {
        fake_buf_str(wire, more);
    }

    fake_buf_fmt(wire, "Date: %s\r\n", fake_http_date());

    if (status == 204) {
        /* has no body */

    } else if (framing == FAKE_FRAMING_CHUNKED) {
        fake_buf_str(wire, "Transfer-Encoding: chunked\r\n");

    } else if (framing == FAKE_FRAMING_LENGTH) {
        fake_buf_fmt(wire, "Content-Length: %llu\r\n",
                     (unsigned long long) length);
    }

    if (!r->keepalive) {

        /* a client of HTTP/1.0 isn't told what it knows */

        if (r->minor) {
            fake_buf_str(wire, "Connection: close\r\n");
        }

    } else if (minor == 0) {
        fake_buf_str(wire, "Connection: keep-alive\r\n");
    }

    fake_buf_str(wire, "\r\n");

    rec = c->control ? NULL : fake_rec_get(r->rec);

    if (rec) {
        rec->status = status;
        rec->header = fake_now_ms();
    }
}


/*
 * Switches cutting on, if the settings ask for it: what is flushed from
 * now on is let out in pieces.  The header goes before, in one.
 */

void
fake_out_cutting(fake_conn_t *c)
{
    fake_conf_t  *conf;

    conf = &c->req->gen.conf;

    if (c->out.pend == NULL
        && (conf->split || json_array_size(conf->split_at)))
    {
        c->out.pend = evbuffer_new();
    }
}


static void
fake_out_chunk(fake_conn_t *c, fake_buf_t *wire, size_t len)
{
    if (c->out.framing == FAKE_FRAMING_CHUNKED) {
        fake_buf_fmt(wire, "%zx\r\n", len);
    }
}


/* notes where in the wire the offsets of split_at have come to lie */

static void
fake_out_mark(fake_conn_t *c, uint64_t body, size_t len, uint64_t wire)
{
    json_t      *list, *item;
    uint64_t     at;
    fake_out_t  *out;

    out = &c->out;
    list = c->req->gen.conf.split_at;

    for ( ;; ) {
        item = json_array_get(list, out->split_at);

        if (item == NULL) {
            return;
        }

        at = (uint64_t) json_integer_value(item);

        if (at > body + len) {
            return;
        }

        out->cuts = realloc(out->cuts, (out->ncuts + 1) * sizeof(uint64_t));
        if (out->cuts == NULL) {
            abort();
        }

        out->cuts[out->ncuts++] = wire + (at - body);
        out->split_at++;
    }
}


/* body bytes, as one chunk where the reply is chunked */

void
fake_out_body(fake_conn_t *c, fake_buf_t *wire, const char *data, size_t len)
{
    size_t  before;

    if (len == 0 || c->req->head) {
        return;
    }

    before = wire->len;

    fake_out_chunk(c, wire, len);

    if (c->out.pend) {
        fake_out_mark(c, c->out.body, len,
                      c->out.wire + (wire->len - before));
    }

    fake_buf_add(wire, data, len);

    if (c->out.framing == FAKE_FRAMING_CHUNKED) {
        fake_buf_add(wire, "\r\n", 2);
    }

    c->out.body += len;
    c->out.wire += wire->len - before;
}


/* bytes past all framing */

void
fake_out_raw(fake_conn_t *c, fake_buf_t *wire, const char *data, size_t len)
{
    if (len) {
        fake_buf_add(wire, data, len);
        c->out.wire += len;
    }
}


static void
fake_out_send(fake_conn_t *c, const char *data, size_t len)
{
    ssize_t           n;
    struct evbuffer  *out;

    out = bufferevent_get_output(c->bev);

    if (evbuffer_get_length(out) == 0) {
        n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        /* an error will come up again in the bufferevent, and close */

        if (n > 0) {
            data += n;
            len -= n;
        }
    }

    if (len) {
        (void) bufferevent_write(c->bev, data, len);
    }
}


void
fake_out_flush(fake_conn_t *c, fake_buf_t *wire)
{
    if (wire->len == 0 || c->dead) {
        return;
    }

    if (c->out.pend) {
        (void) evbuffer_add(c->out.pend, wire->data, wire->len);
        fake_out_pump_add(c);

    } else {
        fake_out_send(c, wire->data, wire->len);
    }

    wire->len = 0;
}


/* what is still in our hands */

size_t
fake_out_waiting(fake_conn_t *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev))
           + (c->out.pend ? evbuffer_get_length(c->out.pend) : 0);
}


static void
fake_out_pump_add(fake_conn_t *c)
{
    int64_t         us;
    struct timeval  tv;

    if (event_pending(c->pump, EV_TIMEOUT, NULL)) {
        return;
    }

    us = c->req->gen.conf.split_delay_us;

    tv.tv_sec = us / 1000000;
    tv.tv_usec = us % 1000000;

    (void) event_add(c->pump, &tv);
}


/* lets out the next piece; or waits until RST can't hurt what was sent */

void
fake_out_pump(evutil_socket_t fd, short what, void *data)
{
    fake_conn_t  *c = data;
    char         *piece;
    size_t        len, n;
    fake_out_t   *out;

    if (c->dead) {
        return;
    }

    out = &c->out;
    len = out->pend ? evbuffer_get_length(out->pend) : 0;

    if (len == 0) {
        if (fake_out_waiting(c) == 0) {
            fake_out_do(c);
        }

        return;
    }

    n = len;

    if (c->req->gen.conf.split && n > (size_t) c->req->gen.conf.split) {
        n = (size_t) c->req->gen.conf.split;
    }

    while (out->cut < out->ncuts && out->cuts[out->cut] <= out->released) {
        out->cut++;
    }

    if (out->cut < out->ncuts && n > out->cuts[out->cut] - out->released) {
        n = (size_t) (out->cuts[out->cut] - out->released);
    }

    piece = fake_alloc(n);
    (void) evbuffer_remove(out->pend, piece, n);
    fake_out_send(c, piece, n);
    free(piece);

    out->released += n;

    if (len > n) {
        fake_out_pump_add(c);

    } else if (fake_out_waiting(c) == 0) {
        fake_out_drained(c);
    }
}


void
fake_out_drained(fake_conn_t *c)
{
    fake_handler_pt  handler;

    if (fake_out_waiting(c)) {
        return;
    }

    handler = c->drained;

    if (handler) {
        c->drained = NULL;
        handler(c);
        return;
    }

    if (c->out.todo != FAKE_DO_NOTHING) {
        fake_out_do(c);
    }
}


static void
fake_out_do(fake_conn_t *c)
{
    int             left;
    struct timeval  tv;

    switch (c->out.todo) {

    case FAKE_DO_KEEPALIVE:
        fake_conn_next(c);
        return;

    case FAKE_DO_FIN:
        fake_conn_close(c, c->out.end, 0);
        return;

    case FAKE_DO_RST:

        /* the kernel drops on RST what it hasn't sent */

        if (ioctl(c->fd, SIOCOUTQ, &left) == 0 && left > 0) {
            tv.tv_sec = 0;
            tv.tv_usec = 1000;
            (void) event_add(c->pump, &tv);
            return;
        }

        fake_conn_kill(c);
        return;
    }
}


/* the connection may be gone or at its next request after this */

void
fake_out_finish(fake_conn_t *c, fake_buf_t *wire, int todo, int end)
{
    fake_out_flush(c, wire);

    c->out.todo = todo;
    c->out.end = end;
    c->drained = NULL;
    c->handler = NULL;
    event_del(c->timer);

    if (fake_out_waiting(c) == 0) {
        fake_out_do(c);
    }
}


/* a proper end */

void
fake_out_end(fake_conn_t *c, fake_buf_t *wire)
{
    if (c->out.framing == FAKE_FRAMING_CHUNKED && !c->req->head) {
        fake_out_raw(c, wire, "0\r\n\r\n", 5);
    }

    fake_out_finish(c, wire,
                    c->req->keepalive ? FAKE_DO_KEEPALIVE : FAKE_DO_FIN,
                    FAKE_END_COMPLETE);
}


void
fake_out_free(fake_conn_t *c)
{
    if (c->out.pend) {
        evbuffer_free(c->out.pend);
    }

    event_del(c->pump);
    free(c->out.cuts);
    memset(&c->out, 0, sizeof(fake_out_t));
}


/* a whole reply of known length */

void
fake_out_reply(fake_conn_t *c, int status, const char *type,
    const char *data, size_t len, const char *more)
{
    fake_buf_t  wire, headers;

    memset(&wire, 0, sizeof(fake_buf_t));
    memset(&headers, 0, sizeof(fake_buf_t));

    fake_origin_headers(c, &headers);

    if (c->req->allow) {
        fake_buf_str(&headers, c->req->allow);
    }

    if (more) {
        fake_buf_str(&headers, more);
    }

    /* Go tells the length only of what fits its buffer */

    fake_out_header(c, &wire, status, type,
                    fake_server.chunked_json && len > FAKE_GO_BUFFER
                    ? FAKE_FRAMING_CHUNKED : FAKE_FRAMING_LENGTH,
                    len, headers.data);
    fake_out_body(c, &wire, data, len);
    fake_out_end(c, &wire);

    fake_buf_free(&wire);
    fake_buf_free(&headers);
}


/* takes the reference */

void
fake_out_json(fake_conn_t *c, int status, json_t *json)
{
    char  *text;

    /* milliseconds with three digits, and no more than was measured */

    text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(13));

    fake_out_reply(c, status, "application/json; charset=utf-8",
                   text ? text : "null", text ? strlen(text) : 4, NULL);

    free(text);
    json_decref(json);
}


/* {"error":"…"}; the text is in UTF-8 or becomes it */

void
fake_out_error(fake_conn_t *c, int status, const char *fmt, ...)
{
    char        text[1024];
    va_list     args;
    fake_buf_t  b;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);

    memset(&b, 0, sizeof(fake_buf_t));

    fake_buf_str(&b, "{\"error\":\"");
    fake_buf_json(&b, text, strlen(text));
    fake_buf_str(&b, "\"}");

    fake_out_reply(c, status, "application/json; charset=utf-8", b.data,
                   b.len, NULL);

    fake_buf_free(&b);
}
