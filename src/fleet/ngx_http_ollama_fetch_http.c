
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Parses a server's reply to a fetch, with nginx's parsers, piece by piece as
 * it is received; a step is a function, h->process, which returns NGX_OK for
 * the next one.
 *
 * What a server sends is not trusted: the header and the body are bounded, and
 * only what is clearly a whole reply is one.  While the header is parsed all of
 * it stays in h->in, as the parser has pointers to it; the body is moved to a
 * buffer that grows.  All memory is from the pool.
 *
 * It may use nginx's parsers, and no connection.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "fleet/ngx_http_ollama_fetch_http.h"


/* of a reply's header, together with those of interim replies */
#define NGX_HTTP_OLLAMA_FETCH_HTTP_HEADER   (16 * 1024)

/* interim replies (1xx) before the final one */
#define NGX_HTTP_OLLAMA_FETCH_HTTP_INTERIM  8

/* a body's buffer at first; it doubles */
#define NGX_HTTP_OLLAMA_FETCH_HTTP_BODY     4096


/* nginx's parsers need few fields, which must be 0 at first, and a log */

typedef struct {
    ngx_http_request_t   request;
    ngx_connection_t     connection;
} ngx_http_ollama_fetch_http_parser_t;


static ngx_int_t ngx_http_ollama_fetch_http_status(
    ngx_http_ollama_fetch_http_t *h);
static ngx_int_t ngx_http_ollama_fetch_http_lines(
    ngx_http_ollama_fetch_http_t *h);
static ngx_int_t ngx_http_ollama_fetch_http_line(
    ngx_http_ollama_fetch_http_t *h);
static ngx_uint_t ngx_http_ollama_fetch_http_is(ngx_str_t *s, const char *text);
static ngx_int_t ngx_http_ollama_fetch_http_headed(
    ngx_http_ollama_fetch_http_t *h);
static ngx_int_t ngx_http_ollama_fetch_http_sized(
    ngx_http_ollama_fetch_http_t *h);
static ngx_int_t ngx_http_ollama_fetch_http_chunked(
    ngx_http_ollama_fetch_http_t *h);
static ngx_int_t ngx_http_ollama_fetch_http_rest(
    ngx_http_ollama_fetch_http_t *h);
static ngx_int_t ngx_http_ollama_fetch_http_append(
    ngx_http_ollama_fetch_http_t *h, size_t n);


ngx_int_t
ngx_http_ollama_fetch_http_init(ngx_http_ollama_fetch_http_t *h)
{
    ngx_http_ollama_fetch_http_parser_t  *parser;

    parser = ngx_pcalloc(h->pool, sizeof(ngx_http_ollama_fetch_http_parser_t));
    if (parser == NULL) {
        return NGX_ERROR;
    }

    parser->connection.log = h->log;
    parser->request.connection = &parser->connection;

    h->parser = &parser->request;

    h->in = ngx_create_temp_buf(h->pool, NGX_HTTP_OLLAMA_FETCH_HTTP_HEADER);
    if (h->in == NULL) {
        return NGX_ERROR;
    }

    h->length = -1;
    h->process = ngx_http_ollama_fetch_http_status;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_fetch_http_parse(ngx_http_ollama_fetch_http_t *h)
{
    ngx_int_t   rc;
    ngx_buf_t  *b;

    do {
        rc = h->process(h);
    } while (rc == NGX_OK);

    if (rc != NGX_AGAIN) {
        return rc;
    }

    b = h->in;

    if (h->status) {
        /* a piece of the body, and all of it was moved */
        b->pos = b->start;
        b->last = b->start;
    }

    if (b->last == b->end) {
        h->error = "invalid reply: too big a header";
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_ollama_fetch_http_eof(ngx_http_ollama_fetch_http_t *h)
{
    if (h->process == ngx_http_ollama_fetch_http_rest) {
        return NGX_DONE;
    }

    if (h->in->last == h->in->start && h->status == 0) {
        h->error = "closed the connection without a reply";

    } else {
        h->error = "closed the connection before the end of its reply";
    }

    return NGX_ERROR;
}


void
ngx_http_ollama_fetch_http_free(ngx_http_ollama_fetch_http_t *h)
{
    if (h->in) {
        (void) ngx_pfree(h->pool, h->in->start);
        h->in = NULL;
    }
}


static ngx_int_t
ngx_http_ollama_fetch_http_status(ngx_http_ollama_fetch_http_t *h)
{
    ngx_int_t  rc;

    rc = ngx_http_parse_status_line(h->parser, h->in, &h->line);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK || h->parser->http_major != 1 || h->line.code < 100) {
        h->error = "invalid reply: not HTTP/1";
        return NGX_ERROR;
    }

    h->process = ngx_http_ollama_fetch_http_lines;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_fetch_http_lines(ngx_http_ollama_fetch_http_t *h)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = h->parser;

    do {
        rc = ngx_http_parse_header_line(r, h->in, 1);

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
            return ngx_http_ollama_fetch_http_headed(h);
        }

        if (rc != NGX_OK) {
            h->error = "invalid reply: bad line in header";
            return NGX_ERROR;
        }

        if (!r->invalid_header) {
            rc = ngx_http_ollama_fetch_http_line(h);
        }

    } while (rc == NGX_OK);

    return rc;
}


/* Reads from the header line just parsed in which form the body will be. */

static ngx_int_t
ngx_http_ollama_fetch_http_line(ngx_http_ollama_fetch_http_t *h)
{
    ngx_str_t            name, value;
    ngx_http_request_t  *r;

    r = h->parser;

    name.data = r->header_name_start;
    name.len = r->header_name_end - r->header_name_start;

    value.data = r->header_start;
    value.len = r->header_end - r->header_start;

    if (ngx_http_ollama_fetch_http_is(&name, "content-length")) {

        /* if there are two it isn't known which one is right */

        if (h->length == -1) {
            h->length = ngx_atoof(value.data, value.len);

            if (h->length >= 0) {
                return NGX_OK;
            }
        }

        h->error = "invalid reply: bad Content-Length";
        return NGX_ERROR;
    }

    if (ngx_http_ollama_fetch_http_is(&name, "transfer-encoding")) {

        if (!h->chunks && ngx_http_ollama_fetch_http_is(&value, "chunked")) {
            h->chunks = 1;
            return NGX_OK;
        }

        h->error = "invalid reply: bad Transfer-Encoding";
        return NGX_ERROR;
    }

    if (ngx_http_ollama_fetch_http_is(&name, "content-encoding")) {
        h->error = "invalid reply: unasked-for Content-Encoding";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ollama_fetch_http_is(ngx_str_t *s, const char *text)
{
    return s->len == ngx_strlen(text)
           && ngx_strncasecmp(s->data, (u_char *) text, s->len) == 0;
}


static ngx_int_t
ngx_http_ollama_fetch_http_headed(ngx_http_ollama_fetch_http_t *h)
{
    if (h->line.code < 200) {

        if (h->interim++ == NGX_HTTP_OLLAMA_FETCH_HTTP_INTERIM) {
            h->error = "invalid reply: no final status";
            return NGX_ERROR;
        }

        ngx_memzero(&h->line, sizeof(ngx_http_status_t));

        h->length = -1;
        h->chunks = 0;
        h->process = ngx_http_ollama_fetch_http_status;

        return NGX_OK;
    }

    if (h->chunks && (h->length != -1 || h->line.http_version < 1001)) {
        h->error = "invalid reply: bad Transfer-Encoding";
        return NGX_ERROR;
    }

    /* from here on h->in has pieces of the body only */

    h->status = h->line.code;

    if (h->status == NGX_HTTP_NO_CONTENT
        || h->status == NGX_HTTP_NOT_MODIFIED)
    {
        return NGX_DONE;
    }

    if (h->chunks) {
        h->process = ngx_http_ollama_fetch_http_chunked;

    } else if (h->length != -1) {
        h->process = ngx_http_ollama_fetch_http_sized;

    } else {
        h->process = ngx_http_ollama_fetch_http_rest;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_fetch_http_sized(ngx_http_ollama_fetch_http_t *h)
{
    size_t     n;
    ngx_int_t  rc;

    if (h->length > (off_t) h->max_size) {
        /* there is no reason to wait for it */
        h->error = "invalid reply: too big";
        return NGX_ERROR;
    }

    n = (size_t) h->length - h->body.len;
    n = ngx_min(n, (size_t) (h->in->last - h->in->pos));

    rc = ngx_http_ollama_fetch_http_append(h, n);
    if (rc != NGX_OK) {
        return rc;
    }

    if (h->body.len == (size_t) h->length) {
        return NGX_DONE;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_ollama_fetch_http_chunked(ngx_http_ollama_fetch_http_t *h)
{
    size_t     n;
    ngx_int_t  rc;

    do {

#if (nginx_version >= 1027002)
        rc = ngx_http_parse_chunked(h->parser, h->in, &h->chunked, 0);
#else
        rc = ngx_http_parse_chunked(h->parser, h->in, &h->chunked);
#endif

        if (rc == NGX_DONE) {
            return NGX_DONE;
        }

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            h->error = "invalid reply: bad chunk";
            return NGX_ERROR;
        }

        n = h->in->last - h->in->pos;

        if (h->chunked.size < (off_t) n) {
            n = (size_t) h->chunked.size;
        }

        h->chunked.size -= n;

        rc = ngx_http_ollama_fetch_http_append(h, n);

    } while (rc == NGX_OK);

    return rc;
}


/* A body without a length ends with the connection. */

static ngx_int_t
ngx_http_ollama_fetch_http_rest(ngx_http_ollama_fetch_http_t *h)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_fetch_http_append(h, h->in->last - h->in->pos);
    if (rc != NGX_OK) {
        return rc;
    }

    return NGX_AGAIN;
}


/*
 * Moves n bytes from h->in to the body, whose memory grows with what was
 * received, not with what the server announced.
 */

static ngx_int_t
ngx_http_ollama_fetch_http_append(ngx_http_ollama_fetch_http_t *h, size_t n)
{
    size_t   size;
    u_char  *p;

    if (n > h->max_size - h->body.len) {
        h->error = "invalid reply: too big";
        return NGX_ERROR;
    }

    if (h->body.len + n > h->size) {

        size = h->size ? h->size * 2 : NGX_HTTP_OLLAMA_FETCH_HTTP_BODY;
        size = ngx_max(size, h->body.len + n);

        p = ngx_pnalloc(h->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (h->body.data) {
            ngx_memcpy(p, h->body.data, h->body.len);
            (void) ngx_pfree(h->pool, h->body.data);
        }

        h->body.data = p;
        h->size = size;
    }

    if (n) {
        ngx_memcpy(h->body.data + h->body.len, h->in->pos, n);
    }

    h->body.len += n;
    h->in->pos += n;

    return NGX_OK;
}
