
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is said over a fetch's connection: its request is made and sent, and
 * the reply read by nginx's parsers, step by step as fetch calls them.
 *
 * What a server sends is not trusted: the header and the body are bounded, and
 * what is not clearly the whole of a reply is none.  All memory is the fetch's
 * pool's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fetch_http.h"


/* of a reply's header, together with those of interim replies */
#define NGX_HTTP_OLLAMA_FETCH_HEADER   (16 * 1024)

/* interim replies (1xx) before the one that counts */
#define NGX_HTTP_OLLAMA_FETCH_INTERIM  8

/* a body's buffer at first; it doubles */
#define NGX_HTTP_OLLAMA_FETCH_BODY     4096

/* reads from a socket before others get their turn */
#define NGX_HTTP_OLLAMA_FETCH_READS    8


static void ngx_http_ollama_fetch_dummy_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_fetch_recv(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_eof(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_status(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_lines(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_line(ngx_http_ollama_fetch_t *f);
static ngx_uint_t ngx_http_ollama_fetch_is(ngx_str_t *s, const char *text);
static ngx_int_t ngx_http_ollama_fetch_headed(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_sized(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_chunked(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_rest(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_fetch_append(ngx_http_ollama_fetch_t *f,
    size_t n);


/* Makes the request, and what the steps need. */

ngx_int_t
ngx_http_ollama_fetch_create(ngx_http_ollama_fetch_t *f)
{
    size_t      len;
    ngx_buf_t  *b;

    /* of this the parsers use a few fields, which they expect to be zero */

    f->parser = ngx_pcalloc(f->pool, sizeof(ngx_http_request_t));
    if (f->parser == NULL) {
        return NGX_ERROR;
    }

    f->in = ngx_create_temp_buf(f->pool, NGX_HTTP_OLLAMA_FETCH_HEADER);
    if (f->in == NULL) {
        return NGX_ERROR;
    }

    /* an Ollama on loopback answers 403 to any host that is not local */

    len = sizeof("GET  HTTP/1.1" CRLF
                 "Host: localhost" CRLF
                 "User-Agent: nginx-ollama" CRLF
                 "Accept: application/json" CRLF
                 "Connection: close" CRLF CRLF) - 1
          + f->uri.len;

    b = ngx_create_temp_buf(f->pool, len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_slprintf(b->last, b->end,
                           "GET %V HTTP/1.1" CRLF
                           "Host: localhost" CRLF
                           "User-Agent: nginx-ollama" CRLF
                           "Accept: application/json" CRLF
                           "Connection: close" CRLF CRLF, &f->uri);

    f->request = b;

    return NGX_OK;
}


/* The first step. */

ngx_int_t
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

    f->process = ngx_http_ollama_fetch_status;

    return NGX_OK;
}


static void
ngx_http_ollama_fetch_dummy_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "ollama fetch dummy");
}


/*
 * Adds to f->in.  While the header is parsed all of it stays, as the parser
 * holds pointers into it; of the body nothing is left when more is wanted.
 */

static ngx_int_t
ngx_http_ollama_fetch_recv(ngx_http_ollama_fetch_t *f)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = f->in;
    c = f->peer.connection;

    if (f->status) {
        b->pos = b->start;
        b->last = b->start;
    }

    if (b->last == b->end) {
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                          "invalid reply: too big a header");
    }

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

    if (n == 0) {
        return ngx_http_ollama_fetch_eof(f);
    }

    if (n < 0) {
        return ngx_http_ollama_fetch_broken(f, ngx_socket_errno,
                                            NGX_HTTP_OLLAMA_FETCH_INVALID);
    }

    b->last += n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_fetch_eof(ngx_http_ollama_fetch_t *f)
{
    if (f->process == ngx_http_ollama_fetch_rest) {
        return NGX_DONE;
    }

    return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                          f->in->last == f->in->start && f->status == 0
                          ? "closed the connection without a reply"
                          : "closed the connection before the end of its "
                            "reply");
}


static ngx_int_t
ngx_http_ollama_fetch_status(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t  rc;

    rc = ngx_http_parse_status_line(f->parser, f->in, &f->line);

    if (rc == NGX_AGAIN) {
        return ngx_http_ollama_fetch_recv(f);
    }

    if (rc != NGX_OK || f->parser->http_major != 1 || f->line.code < 100) {
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                          "invalid reply: not HTTP/1");
    }

    f->process = ngx_http_ollama_fetch_lines;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_fetch_lines(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = f->parser;

    do {
        rc = ngx_http_parse_header_line(r, f->in, 1);

        if (rc == NGX_AGAIN) {
            return ngx_http_ollama_fetch_recv(f);
        }

        if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
            return ngx_http_ollama_fetch_headed(f);
        }

        if (rc != NGX_OK) {
            return ngx_http_ollama_fetch_fail(f,
                                         NGX_HTTP_OLLAMA_FETCH_INVALID,
                                         "invalid reply: bad line in header");
        }

        if (!r->invalid_header) {
            rc = ngx_http_ollama_fetch_line(f);
        }

    } while (rc == NGX_OK);

    return rc;
}


/* Takes what tells the body's form from the header line just parsed. */

static ngx_int_t
ngx_http_ollama_fetch_line(ngx_http_ollama_fetch_t *f)
{
    ngx_str_t            name, value;
    ngx_http_request_t  *r;

    r = f->parser;

    name.data = r->header_name_start;
    name.len = r->header_name_end - r->header_name_start;

    value.data = r->header_start;
    value.len = r->header_end - r->header_start;

    if (ngx_http_ollama_fetch_is(&name, "content-length")) {

        /* two of them may differ, and none is to be preferred */

        if (f->length == -1) {
            f->length = ngx_atoof(value.data, value.len);

            if (f->length >= 0) {
                return NGX_OK;
            }
        }

        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                         "invalid reply: bad Content-Length");
    }

    if (ngx_http_ollama_fetch_is(&name, "transfer-encoding")) {

        if (!f->chunks && ngx_http_ollama_fetch_is(&value, "chunked")) {
            f->chunks = 1;
            return NGX_OK;
        }

        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                      "invalid reply: bad Transfer-Encoding");
    }

    if (ngx_http_ollama_fetch_is(&name, "content-encoding")) {
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                               "invalid reply: unasked-for Content-Encoding");
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ollama_fetch_is(ngx_str_t *s, const char *text)
{
    return s->len == ngx_strlen(text)
           && ngx_strncasecmp(s->data, (u_char *) text, s->len) == 0;
}


static ngx_int_t
ngx_http_ollama_fetch_headed(ngx_http_ollama_fetch_t *f)
{
    if (f->line.code < 200) {

        if (f->interim++ == NGX_HTTP_OLLAMA_FETCH_INTERIM) {
            return ngx_http_ollama_fetch_fail(f,
                                           NGX_HTTP_OLLAMA_FETCH_INVALID,
                                           "invalid reply: no final status");
        }

        ngx_memzero(&f->line, sizeof(ngx_http_status_t));

        f->length = -1;
        f->chunks = 0;
        f->process = ngx_http_ollama_fetch_status;

        return NGX_OK;
    }

    if (f->chunks && (f->length != -1 || f->line.http_version < 1001)) {
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                      "invalid reply: bad Transfer-Encoding");
    }

    /* from here on f->in holds the body, and may be emptied */

    f->status = f->line.code;

    if (f->status == NGX_HTTP_NO_CONTENT
        || f->status == NGX_HTTP_NOT_MODIFIED)
    {
        return NGX_DONE;
    }

    if (f->chunks) {
        f->process = ngx_http_ollama_fetch_chunked;

    } else if (f->length != -1) {
        f->process = ngx_http_ollama_fetch_sized;

    } else {
        f->process = ngx_http_ollama_fetch_rest;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_fetch_sized(ngx_http_ollama_fetch_t *f)
{
    size_t     n;
    ngx_int_t  rc;

    if (f->length > (off_t) f->max_size) {
        /* no reason to wait for it */
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                          "invalid reply: too big");
    }

    n = (size_t) f->length - f->body.len;
    n = ngx_min(n, (size_t) (f->in->last - f->in->pos));

    rc = ngx_http_ollama_fetch_append(f, n);
    if (rc != NGX_OK) {
        return rc;
    }

    if (f->body.len == (size_t) f->length) {
        return NGX_DONE;
    }

    return ngx_http_ollama_fetch_recv(f);
}


static ngx_int_t
ngx_http_ollama_fetch_chunked(ngx_http_ollama_fetch_t *f)
{
    size_t     n;
    ngx_int_t  rc;

    do {

#if (nginx_version >= 1027002)
        rc = ngx_http_parse_chunked(f->parser, f->in, &f->chunked, 0);
#else
        rc = ngx_http_parse_chunked(f->parser, f->in, &f->chunked);
#endif

        if (rc == NGX_DONE) {
            return NGX_DONE;
        }

        if (rc == NGX_AGAIN) {
            return ngx_http_ollama_fetch_recv(f);
        }

        if (rc != NGX_OK) {
            return ngx_http_ollama_fetch_fail(f,
                                              NGX_HTTP_OLLAMA_FETCH_INVALID,
                                              "invalid reply: bad chunk");
        }

        n = f->in->last - f->in->pos;

        if (f->chunked.size < (off_t) n) {
            n = (size_t) f->chunked.size;
        }

        f->chunked.size -= n;

        rc = ngx_http_ollama_fetch_append(f, n);

    } while (rc == NGX_OK);

    return rc;
}


/* A body without a length ends with the connection. */

static ngx_int_t
ngx_http_ollama_fetch_rest(ngx_http_ollama_fetch_t *f)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_fetch_append(f, f->in->last - f->in->pos);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_ollama_fetch_recv(f);
}


/*
 * Moves n bytes from f->in to the body.  Its memory grows with what has come,
 * not with what a server promises.
 */

static ngx_int_t
ngx_http_ollama_fetch_append(ngx_http_ollama_fetch_t *f, size_t n)
{
    size_t   size;
    u_char  *p;

    if (n > f->max_size - f->body.len) {
        return ngx_http_ollama_fetch_fail(f, NGX_HTTP_OLLAMA_FETCH_INVALID,
                                          "invalid reply: too big");
    }

    if (f->body.len + n > f->size) {

        size = f->size ? f->size * 2 : NGX_HTTP_OLLAMA_FETCH_BODY;
        size = ngx_max(size, f->body.len + n);

        p = ngx_pnalloc(f->pool, size);
        if (p == NULL) {
            return ngx_http_ollama_fetch_short_of(f);
        }

        if (f->body.data) {
            ngx_memcpy(p, f->body.data, f->body.len);
            (void) ngx_pfree(f->pool, f->body.data);
        }

        f->body.data = p;
        f->size = size;
    }

    if (n) {
        ngx_memcpy(f->body.data + f->body.len, f->in->pos, n);
    }

    f->body.len += n;
    f->in->pos += n;

    return NGX_OK;
}
