
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Replies to the module's own requests: which are valid, with which body, and
 * which are not, whole, byte by byte, and at every split; bounds on a header
 * and a body; nothing that is truncated is taken for a reply.
 */


#include "unit.h"

#include "fleet/ngx_http_ollama_fetch_http.h"


#define MAX_SIZE  100
#define HEADER    (16 * 1024)

#define OK        "HTTP/1.1 200 OK\r\n"
#define CHUNKED   OK "Transfer-Encoding: chunked\r\n\r\n"


typedef struct {
    const char           *title;
    ngx_str_t             reply;
    ngx_uint_t            status;
    const char           *body;
    const char           *error;    /* NULL: the reply is valid */
    ngx_uint_t            closes;   /* the reply ends with the connection */
} http_case_t;


static http_case_t  http_cases[] = {

    { "a length", ngx_string(OK "Content-Length: 3\r\n\r\nabc"), 200, "abc",
      NULL, 0 },

    { "a length in lower case, with blanks",
      ngx_string(OK "content-length:   3  \r\n\r\nabc"), 200, "abc", NULL, 0 },

    { "an empty body", ngx_string(OK "Content-Length: 0\r\n\r\n"), 200, "",
      NULL, 0 },

    { "more than the length", ngx_string(OK "Content-Length: 1\r\n\r\nabc"),
      200, "a", NULL, 0 },

    { "until the end", ngx_string(OK "\r\nabc"), 200, "abc", NULL, 1 },
    { "until the end, nothing", ngx_string(OK "\r\n"), 200, "", NULL, 1 },
    { "HTTP/1.0", ngx_string("HTTP/1.0 200\n\nabc"), 200, "abc", NULL, 1 },

    { "another status",
      ngx_string("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"),
      404, "{}", NULL, 0 },

    { "no content", ngx_string("HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n"),
      204, "", NULL, 0 },

    { "not modified", ngx_string("HTTP/1.1 304 x\r\n\r\n"), 304, "", NULL, 0 },

    { "chunks", ngx_string(CHUNKED "3\r\nabc\r\nA;x=1\r\n0123456789\r\n"
                           "0\r\n\r\n"),
      200, "abc0123456789", NULL, 0 },

    { "chunks with LF, and a trailer",
      ngx_string(OK "transfer-encoding: CHUNKED\n\n1\na\n0;y\nX: 1\n\n"),
      200, "a", NULL, 0 },

    { "no chunks", ngx_string(CHUNKED "0\r\n\r\n"), 200, "", NULL, 0 },

    { "interim replies",
      ngx_string("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\n"
                 "Content-Length: 9\r\n\r\n" OK "Content-Length: 1\r\n\r\na"),
      200, "a", NULL, 0 },

    { "interim replies in chunks",
      ngx_string("HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 OK "Content-Length: 1\r\n\r\na"),
      200, "a", NULL, 0 },

    { "an invalid name is ignored",
      ngx_string(OK "X@Y: 1\r\nX_Y: 1\r\nContent-Length: 1\r\n\r\na"), 200,
      "a", NULL, 0 },

    { "as many bytes as may be",
      ngx_string(OK "Content-Length: 100\r\n\r\n"
                 "0123456789012345678901234567890123456789012345678901234567"
                 "890123456789012345678901234567890123456789"),
      200, "0123456789012345678901234567890123456789012345678901234567"
           "890123456789012345678901234567890123456789", NULL, 0 },

    { "not HTTP", ngx_string("Ollama is running"), 0, NULL,
      "invalid reply: not HTTP/1", 0 },

    { "HTTP/2", ngx_string("HTTP/2.0 200 OK\r\n\r\n"), 0, NULL,
      "invalid reply: not HTTP/1", 0 },

    { "a status below 100", ngx_string("HTTP/1.1 099 x\r\n\r\n"), 0, NULL,
      "invalid reply: not HTTP/1", 0 },

    { "a bad line", ngx_string(OK ": x\r\n\r\n"), 0, NULL,
      "invalid reply: bad line in header", 0 },

    { "a null in a line", ngx_string(OK "X: a\0b\r\n\r\n"), 0, NULL,
      "invalid reply: bad line in header", 0 },

    { "two lengths", ngx_string(OK "Content-Length: 1\r\n"
                                "Content-Length: 1\r\n\r\na"), 0, NULL,
      "invalid reply: bad Content-Length", 0 },

    { "a negative length", ngx_string(OK "Content-Length: -1\r\n\r\n"), 0,
      NULL, "invalid reply: bad Content-Length", 0 },

    { "a length that is no number",
      ngx_string(OK "Content-Length: 0x1\r\n\r\na"), 0, NULL,
      "invalid reply: bad Content-Length", 0 },

    { "an empty length", ngx_string(OK "Content-Length:\r\n\r\n"), 0, NULL,
      "invalid reply: bad Content-Length", 0 },

    { "a length that is too large for a number",
      ngx_string(OK "Content-Length: 99999999999999999999\r\n\r\n"), 0, NULL,
      "invalid reply: bad Content-Length", 0 },

    { "a length that is too big", ngx_string(OK "Content-Length: 101\r\n\r\n"),
      0, NULL, "invalid reply: too big", 0 },

    { "chunks and a length",
      ngx_string(OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"
                 "\r\n1\r\na\r\n0\r\n\r\n"), 0, NULL,
      "invalid reply: bad Transfer-Encoding", 0 },

    { "chunks in HTTP/1.0",
      ngx_string("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0\r\n\r\n"), 0, NULL,
      "invalid reply: bad Transfer-Encoding", 0 },

    { "chunked twice",
      ngx_string(OK "Transfer-Encoding: chunked\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 0, NULL,
      "invalid reply: bad Transfer-Encoding", 0 },

    { "another encoding",
      ngx_string(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), 0, NULL,
      "invalid reply: bad Transfer-Encoding", 0 },

    { "compressed", ngx_string(OK "Content-Encoding: gzip\r\n\r\n"), 0, NULL,
      "invalid reply: unasked-for Content-Encoding", 0 },

    { "a chunk without a size", ngx_string(CHUNKED "\r\n"), 0, NULL,
      "invalid reply: bad chunk", 0 },

    { "a chunk that is longer", ngx_string(CHUNKED "1\r\nab\r\n"), 0, NULL,
      "invalid reply: bad chunk", 0 },

    { "a chunk with a huge size",
      ngx_string(CHUNKED "fffffffffffffffff\r\n"), 0, NULL,
      "invalid reply: bad chunk", 0 },

    { "chunks that are too big",
      ngx_string(CHUNKED "40\r\n0123456789012345678901234567890123456789"
                 "012345678901234567890123\r\n"
                 "25\r\n0123456789012345678901234567890123456\r\n"), 0, NULL,
      "invalid reply: too big", 0 },

    { "too big, until the end",
      ngx_string(OK "\r\n"
                 "0123456789012345678901234567890123456789012345678901234567"
                 "8901234567890123456789012345678901234567890"), 0, NULL,
      "invalid reply: too big", 0 },

    { "interim replies only",
      ngx_string("HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 b\r\n\r\n"
                 "HTTP/1.1 100 c\r\n\r\nHTTP/1.1 100 d\r\n\r\n"
                 "HTTP/1.1 100 e\r\n\r\nHTTP/1.1 100 f\r\n\r\n"
                 "HTTP/1.1 100 g\r\n\r\nHTTP/1.1 100 h\r\n\r\n"
                 "HTTP/1.1 100 i\r\n\r\n"), 0, NULL,
      "invalid reply: no final status", 0 },

    { "nothing", ngx_string(""), 0, NULL,
      "closed the connection without a reply", 0 },

    { "half a status line", ngx_string("HTTP/1.1 2"), 0, NULL,
      "closed the connection before the end of its reply", 0 },

    { "half a header", ngx_string(OK "Content-Length: 3\r\n"), 0, NULL,
      "closed the connection before the end of its reply", 0 },

    { "half a body", ngx_string(OK "Content-Length: 3\r\n\r\nab"), 0, NULL,
      "closed the connection before the end of its reply", 0 },

    { "no last chunk", ngx_string(CHUNKED "1\r\na\r\n"), 0, NULL,
      "closed the connection before the end of its reply", 0 },

    { "an interim reply only", ngx_string("HTTP/1.1 100 Continue\r\n\r\n"), 0,
      NULL, "closed the connection before the end of its reply", 0 }
};


static void
http_start(ngx_http_ollama_fetch_http_t *h, size_t max_size)
{
    ngx_memzero(h, sizeof(ngx_http_ollama_fetch_http_t));

    h->pool = ngx_create_pool(4096, NULL);
    h->max_size = max_size;

    assert_int_equal(ngx_http_ollama_fetch_http_init(h), NGX_OK);
}


static ngx_int_t
http_feed(ngx_http_ollama_fetch_http_t *h, u_char *p, size_t len)
{
    size_t     n;
    ngx_int_t  rc;

    rc = NGX_AGAIN;

    while (len && rc == NGX_AGAIN) {

        n = ngx_min(len, (size_t) (h->in->end - h->in->last));
        assert_true(n > 0);

        h->in->last = ngx_cpymem(h->in->last, p, n);
        p += n;
        len -= n;

        rc = ngx_http_ollama_fetch_http_parse(h);
    }

    return rc;
}


static void
http_end(ngx_http_ollama_fetch_http_t *h)
{
    ngx_http_ollama_fetch_http_free(h);
    ngx_http_ollama_fetch_http_free(h);

    ngx_destroy_pool(h->pool);
}


/* The reply in pieces: up to "split", then "step" bytes each. */

static void
http_check(http_case_t *c, size_t split, size_t step)
{
    size_t                         n, done;
    ngx_int_t                      rc;
    ngx_uint_t                     closed;
    ngx_http_ollama_fetch_http_t   h;

    http_start(&h, MAX_SIZE);

    rc = http_feed(&h, c->reply.data, split);

    for (done = split; done < c->reply.len && rc == NGX_AGAIN; done += n) {
        n = ngx_min(step, c->reply.len - done);
        rc = http_feed(&h, c->reply.data + done, n);
    }

    closed = (rc == NGX_AGAIN);

    if (closed) {
        rc = ngx_http_ollama_fetch_http_eof(&h);
    }

    if (c->error) {
        assert_int_equal(rc, NGX_ERROR);
        assert_non_null(h.error);
        assert_string_equal(h.error, c->error);

    } else {
        assert_int_equal(rc, NGX_DONE);
        assert_int_equal(closed, c->closes);
        assert_int_equal(h.status, c->status);
        assert_int_equal(h.body.len, strlen(c->body));

        if (h.body.len) {
            assert_memory_equal(h.body.data, c->body, h.body.len);
        }
    }

    http_end(&h);
}


static void
http_case_test(void **state)
{
    http_case_t *c = *state;

    size_t  i;

    http_check(c, 0, 1);

    for (i = 0; i <= c->reply.len; i++) {
        http_check(c, i, c->reply.len);
    }
}


/* No part of a valid reply is one, unless it ends with the connection. */

static void
http_truncated_test(void **state)
{
    size_t                         n;
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    http_case_t                   *c;
    ngx_http_ollama_fetch_http_t   h;

    for (i = 0; i < unit_nelts(http_cases); i++) {

        c = &http_cases[i];

        if (c->error || c->closes) {
            continue;
        }

        for (n = 0; n < c->reply.len; n++) {

            http_start(&h, MAX_SIZE);

            rc = http_feed(&h, c->reply.data, n);

            if (rc == NGX_AGAIN) {
                assert_int_equal(ngx_http_ollama_fetch_http_eof(&h),
                                 NGX_ERROR);
                assert_non_null(h.error);

            } else {
                /* there was more behind the end of the reply */
                assert_int_equal(rc, NGX_DONE);
                assert_int_equal(h.body.len, strlen(c->body));
            }

            http_end(&h);
        }
    }
}


static void
http_header_test(void **state)
{
    u_char                        *p;
    size_t                         len;
    ngx_int_t                      rc;
    ngx_uint_t                     extra;
    ngx_http_ollama_fetch_http_t   h;

    p = malloc(HEADER + 1);
    assert_non_null(p);

    for (extra = 0; extra < 2; extra++) {

        len = HEADER + extra;

        memset(p, 'x', len);
        memcpy(p, OK "X: ", sizeof(OK "X: ") - 1);
        memcpy(p + len - 4, "\r\n\r\n", 4);

        http_start(&h, MAX_SIZE);

        rc = http_feed(&h, p, len);

        if (extra) {
            assert_int_equal(rc, NGX_ERROR);
            assert_string_equal(h.error, "invalid reply: too big a header");

        } else {
            assert_int_equal(rc, NGX_AGAIN);
            assert_int_equal(h.status, 200);
            assert_int_equal(http_feed(&h, (u_char *) "abc", 3), NGX_AGAIN);
            assert_int_equal(ngx_http_ollama_fetch_http_eof(&h), NGX_DONE);
            assert_int_equal(h.body.len, 3);
        }

        http_end(&h);
    }

    free(p);
}


/* Memory is taken for what was received, not for what was announced. */

static void
http_growth_test(void **state)
{
    size_t                         i, size;
    u_char                         piece[1000];
    ngx_int_t                      rc;
    ngx_http_ollama_fetch_http_t   h;

    static u_char  header[] = OK "Content-Length: 1000000\r\n\r\n";

    http_start(&h, 4 * 1024 * 1024);

    size = ngx_stub_pool_bytes(h.pool);

    assert_int_equal(http_feed(&h, header, sizeof(header) - 1), NGX_AGAIN);
    assert_int_equal(ngx_stub_pool_bytes(h.pool), size);

    rc = NGX_AGAIN;

    for (i = 0; i < 1000; i++) {

        assert_int_equal(rc, NGX_AGAIN);

        memset(piece, 'a' + i % 26, sizeof(piece));
        rc = http_feed(&h, piece, sizeof(piece));

        assert_true(ngx_stub_pool_bytes(h.pool)
                    < size + 8192 + 3 * sizeof(piece) * (i + 1));
    }

    assert_int_equal(rc, NGX_DONE);
    assert_int_equal(h.body.len, 1000000);

    for (i = 0; i < 1000000; i++) {
        if (h.body.data[i] != 'a' + i / 1000 % 26) {
            fail_msg("byte %zu", i);
        }
    }

    http_end(&h);
}


static void
http_memory_test(void **state)
{
    ngx_http_ollama_fetch_http_t  h;

    static u_char  reply[] = OK "Content-Length: 3\r\n\r\nabc";

    http_start(&h, MAX_SIZE);

    ngx_stub_fail_size = 4096;

    assert_int_equal(http_feed(&h, reply, sizeof(reply) - 1), NGX_ERROR);
    assert_null(h.error);

    ngx_stub_fail_size = 0;

    http_end(&h);

    ngx_memzero(&h, sizeof(ngx_http_ollama_fetch_http_t));
    h.pool = ngx_create_pool(4096, NULL);

    ngx_stub_fail_size = HEADER;

    assert_int_equal(ngx_http_ollama_fetch_http_init(&h), NGX_ERROR);

    ngx_stub_fail_size = 0;

    http_end(&h);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, http_case_test, http_cases, sizeof(http_case_t),
                  unit_nelts(http_cases));
    unit_add(&suite, "truncated replies", http_truncated_test, NULL);
    unit_add(&suite, "a header's size", http_header_test, NULL);
    unit_add(&suite, "memory for the body", http_growth_test, NULL);
    unit_add(&suite, "no memory", http_memory_test, NULL);

    return unit_run(&suite, "fetch_http");
}
