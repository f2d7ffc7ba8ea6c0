
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The parser of replies to the module's own requests.  Of an input, the first
 * byte chooses how big a body may be, the second the pieces; the rest is what
 * the server sends until it closes the connection.
 *
 * What must be so: it is the same whole, byte by byte and in pieces; a body is
 * in bounds and was sent, as one piece unless it is in chunks; of a reply that
 * is complete before the end no part is a reply; memory has a bound.
 */


#include "fuzz.h"

#include "fleet/ngx_http_ollama_fetch_http.h"


#define FUZZ_HEADER  (16 * 1024)


typedef struct {
    ngx_int_t      rc;
    ngx_uint_t     closed;
    ngx_uint_t     chunks;
    size_t         used;      /* bytes up to the end of the piece */
    ngx_uint_t     status;
    ngx_str_t      body;      /* to be freed */
    const char    *error;
} fuzz_found_t;


static void fuzz_parse(u_char *text, size_t len, size_t max_size,
    uint64_t *state, size_t step, fuzz_found_t *found);
static ngx_int_t fuzz_feed(ngx_http_ollama_fetch_http_t *h, u_char *p,
    size_t len);
static void fuzz_equal(fuzz_found_t *one, fuzz_found_t *two);
static void fuzz_judge(u_char *text, size_t len, size_t max_size,
    fuzz_found_t *found);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t         len, max_size;
    u_char        *text;
    uint64_t       state;
    fuzz_found_t   whole, bytes, pieces, part;

    if (size < 2) {
        return 0;
    }

    max_size = data[0] * 8;
    state = data[1];

    text = (u_char *) data + 2;
    len = size - 2;

    fuzz_parse(text, len, max_size, NULL, len, &whole);
    fuzz_parse(text, len, max_size, NULL, 1, &bytes);
    fuzz_parse(text, len, max_size, &state, 0, &pieces);

    fuzz_equal(&whole, &bytes);
    fuzz_equal(&whole, &pieces);

    fuzz_judge(text, len, max_size, &bytes);

    if (bytes.rc == NGX_DONE && !bytes.closed) {

        /* what follows doesn't matter, and no byte could be left out */

        fuzz_parse(text, bytes.used, max_size, NULL, 1, &part);
        fuzz_equal(&whole, &part);
        free(part.body.data);

        fuzz_parse(text, bytes.used - 1, max_size, NULL, 1, &part);
        fuzz_check(part.rc == NGX_ERROR, "a part is a reply");
        free(part.body.data);
    }

    free(whole.body.data);
    free(bytes.body.data);
    free(pieces.body.data);

    return 0;
}


static void
fuzz_parse(u_char *text, size_t len, size_t max_size, uint64_t *state,
    size_t step, fuzz_found_t *found)
{
    size_t                         n, done, peak;
    u_char                        *piece;
    ngx_http_ollama_fetch_http_t   h;

    ngx_memzero(found, sizeof(fuzz_found_t));
    ngx_memzero(&h, sizeof(ngx_http_ollama_fetch_http_t));

    h.pool = ngx_create_pool(4096, NULL);
    h.max_size = max_size;

    if (ngx_http_ollama_fetch_http_init(&h) != NGX_OK) {
        abort();
    }

    found->rc = NGX_AGAIN;

    for (done = 0; done < len && found->rc == NGX_AGAIN; done += n) {

        n = state ? fuzz_piece(state, len - done) : ngx_min(step, len - done);

        piece = malloc(n);
        memcpy(piece, text + done, n);

        found->rc = fuzz_feed(&h, piece, n);

        free(piece);
    }

    found->used = done;

    if (found->rc == NGX_AGAIN) {
        found->closed = 1;
        found->rc = ngx_http_ollama_fetch_http_eof(&h);
    }

    fuzz_check(found->rc == NGX_DONE || found->rc == NGX_ERROR, "%d",
               (int) found->rc);
    fuzz_check((found->rc == NGX_DONE) == (h.error == NULL), "%s",
               h.error ? h.error : "");

    found->chunks = h.chunks;
    found->status = h.status;
    found->error = h.error;

    found->body.len = h.body.len;
    found->body.data = malloc(h.body.len + 1);
    memcpy(found->body.data, h.body.data ? h.body.data : (u_char *) "",
           h.body.len);

    peak = ngx_stub_pool_peak(h.pool);
    fuzz_check(peak <= FUZZ_HEADER + 8192 + 4 * max_size, "%zu bytes", peak);

    ngx_http_ollama_fetch_http_free(&h);
    ngx_destroy_pool(h.pool);
}


static ngx_int_t
fuzz_feed(ngx_http_ollama_fetch_http_t *h, u_char *p, size_t len)
{
    size_t     n;
    ngx_int_t  rc;

    rc = NGX_AGAIN;

    while (len && rc == NGX_AGAIN) {

        fuzz_check(h->in->last < h->in->end, "no room");

        n = ngx_min(len, (size_t) (h->in->end - h->in->last));

        h->in->last = ngx_cpymem(h->in->last, p, n);
        p += n;
        len -= n;

        rc = ngx_http_ollama_fetch_http_parse(h);
    }

    return rc;
}


static void
fuzz_equal(fuzz_found_t *one, fuzz_found_t *two)
{
    fuzz_check(one->rc == two->rc, "%d, %d", (int) one->rc, (int) two->rc);
    fuzz_check(one->error == two->error
               || (one->error && two->error
                   && strcmp(one->error, two->error) == 0),
               "%s, %s", one->error, two->error);

    if (one->rc == NGX_DONE) {
        fuzz_check(one->closed == two->closed, "closed");
        fuzz_check(one->status == two->status, "%d, %d", (int) one->status,
                   (int) two->status);
        fuzz_check(fuzz_same(&one->body, &two->body), "%zu, %zu bytes",
                   one->body.len, two->body.len);
    }
}


static void
fuzz_judge(u_char *text, size_t len, size_t max_size, fuzz_found_t *found)
{
    if (found->rc != NGX_DONE) {
        return;
    }

    fuzz_check(found->status >= 200 && found->status <= 999, "%d",
               (int) found->status);
    fuzz_check(found->body.len <= max_size, "%zu", found->body.len);
    fuzz_check(found->used <= len, "%zu", found->used);
    fuzz_check(memcmp(text, "HTTP/1.", 7) == 0, "not HTTP/1");

    if (found->chunks) {
        fuzz_check(!found->closed, "no last chunk");
        return;
    }

    /* the body is the end of what was used */

    fuzz_check(found->body.len <= found->used, "%zu", found->body.len);
    fuzz_check(memcmp(text + found->used - found->body.len, found->body.data,
                      found->body.len) == 0, "not what was sent");
}
