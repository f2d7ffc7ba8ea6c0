
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A request's body on its way in: it is read as a whole by nginx, parsed in
 * slices, and is sent to a server as it is, but for the members that are the
 * gateway's or forbidden, and what a session inserts.  Bytes of the body are
 * never copied: the buffers of the new body point into the old one, or into the
 * mapping of its file.
 *
 * While the body is read and parsed the request waits in the precontent phase;
 * then the phase is run again and returns ctx->status.
 *
 * What parsing needs is in ctx->pool, which is destroyed when the phase is run
 * again, or with the request.  The mapping exists until the body was sent.  The
 * folder may use util and core only.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "request/ngx_http_ollama_body.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_endpoint.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"
#include "request/ngx_http_ollama_scan.h"
#include "request/ngx_http_ollama_unpack.h"
#include "util/ngx_http_ollama_chain.h"
#include "util/ngx_http_ollama_id.h"


/*
 * bytes that are parsed at once: a millisecond at worst, for a body of nothing
 * but tokens (26 ns a byte), and some microseconds for a picture
 */

#define NGX_HTTP_OLLAMA_BODY_SLICE  (32 * 1024)

#define NGX_HTTP_OLLAMA_BODY_POOL   2048


static void ngx_http_ollama_body_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_body_map(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_body_parse(ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_body_parse_packed(
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_body_unpacked(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_body_wait(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_body_wait_next(ngx_event_t *ev);
static void ngx_http_ollama_body_wait_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_body_scan_result(ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc);
static ngx_uint_t ngx_http_ollama_body_may_hide(ngx_http_ollama_scan_t *scan);
static void ngx_http_ollama_body_forget(ngx_http_ollama_scan_t *scan);
static ngx_int_t ngx_http_ollama_body_rewrite(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static ngx_chain_t **ngx_http_ollama_body_link(
    ngx_http_ollama_body_insert_t *insert, ngx_chain_t **ll);
static ngx_int_t ngx_http_ollama_body_replace(ngx_http_request_t *r,
    ngx_chain_t *out, off_t size);


ngx_int_t
ngx_http_ollama_body_init(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_pool_cleanup_t  *cln;

    ctx->scan = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_scan_t));
    if (ctx->scan == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_ollama_body_cleanup;
    cln->data = ctx;

    /* a stream may be long, and need not have what only parsing needs */

    ctx->pool = ngx_create_pool(NGX_HTTP_OLLAMA_BODY_POOL,
                                r->connection->log);
    if (ctx->pool == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_ollama_unpack_init(r, ctx);
}


ngx_int_t
ngx_http_ollama_body_read(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    const ngx_http_ollama_body_parser_t *parser)
{
    ngx_int_t  rc;

    ctx->parser = parser;
    ctx->state = NGX_HTTP_OLLAMA_READING;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_ollama_body_read_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ctx->state = NGX_HTTP_OLLAMA_ROUTED;
        ctx->status = rc;
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


void
ngx_http_ollama_body_cleanup(void *data)
{
    ngx_http_ollama_ctx_t *ctx = data;

    if (ctx->wait) {
        ngx_http_ollama_timer_stop(ctx->wait);
    }

    if (ctx->pool) {
        ngx_destroy_pool(ctx->pool);
        ctx->pool = NULL;
    }

    ngx_http_ollama_body_unmap(ctx);
}


void
ngx_http_ollama_body_unmap(ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->map) {
        (void) munmap(ctx->map, ctx->map_size);
        ctx->map = NULL;
    }
}


static void
ngx_http_ollama_body_read_handler(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    rc = NGX_OK;

    if (r->request_body == NULL) {
        /* a subrequest whose parent has none */
        ctx->body = NULL;

    } else if (r->request_body->temp_file) {
        rc = ngx_http_ollama_body_map(r, ctx);

    } else {
        ctx->body = r->request_body->bufs;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_body_parse(ctx);
    }

    if (rc == NGX_AGAIN) {
        rc = ngx_http_ollama_body_wait(r, ctx);

        if (rc == NGX_AGAIN) {
            return;
        }
    }

    ctx->parser->done(r, ctx, rc);
}


/*
 * A body in a file is there as a whole.  It is mapped, not read: when nginx
 * tries another server it takes a body's file buffers for one range from offset
 * 0 on, so that buffers of parts of a file would be sent wrongly then.
 */

static ngx_int_t
ngx_http_ollama_body_map(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    off_t         size;
    u_char       *p;
    ngx_chain_t  *cl;

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        if (cl->buf->in_file && cl->buf->file_last > size) {
            size = cl->buf->file_last;
        }
    }

    if (size == 0) {
        return NGX_OK;
    }

    p = mmap(NULL, size, PROT_READ, MAP_PRIVATE,
             r->request_body->temp_file->file.fd, 0);

    if (p == MAP_FAILED) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, ngx_errno,
                      "mmap() of the request body \"%V\" failed",
                      &r->request_body->temp_file->file.name);
        return NGX_ERROR;
    }

    ctx->map = p;
    ctx->map_size = size;

    ctx->body = ngx_http_ollama_chain_text(r->pool, p, size);

    return ctx->body ? NGX_OK : NGX_ERROR;
}


/*
 * Gives the parser one slice, from ctx->body on.  NGX_AGAIN: there is more;
 * else the parser's result.
 */

static ngx_int_t
ngx_http_ollama_body_parse(ngx_http_ollama_ctx_t *ctx)
{
    size_t      n, left;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    if (ctx->unpack) {
        return ngx_http_ollama_body_parse_packed(ctx);
    }

    left = NGX_HTTP_OLLAMA_BODY_SLICE;

    while (ctx->body) {

        b = ctx->body->buf;

        n = ngx_min((size_t) (b->last - b->pos) - ctx->body_pos, left);

        if (n) {
            rc = ctx->parser->feed(ctx, b->pos + ctx->body_pos, n);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        left -= n;
        ctx->body_pos += n;

        if (b->pos + ctx->body_pos < b->last) {
            return NGX_AGAIN;
        }

        ctx->body = ctx->body->next;
        ctx->body_pos = 0;
    }

    return ctx->parser->end(ctx);
}


/* The same for a compressed body, which is replaced by the plain one. */

static ngx_int_t
ngx_http_ollama_body_parse_packed(ngx_http_ollama_ctx_t *ctx)
{
    size_t      left;
    u_char     *p;
    ngx_int_t   rc;
    ngx_buf_t  *b;

    left = NGX_HTTP_OLLAMA_BODY_SLICE;

    while (ctx->body) {

        b = ctx->body->buf;
        p = b->pos + ctx->body_pos;

        rc = ngx_http_ollama_unpack(ctx, &p, b->last, &left);

        ctx->body_pos = p - b->pos;

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->body = ctx->body->next;
        ctx->body_pos = 0;
    }

    rc = ngx_http_ollama_unpack_end(ctx);

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_body_unpacked(ctx->request, ctx);
    }

    return (rc == NGX_OK) ? ctx->parser->end(ctx) : rc;
}


static ngx_int_t
ngx_http_ollama_body_unpacked(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_unpack_t  *unpack;

    unpack = ctx->unpack;

    ngx_http_ollama_body_unmap(ctx);

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    if (ngx_http_ollama_body_replace(r, unpack->bufs, unpack->size)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->request_body->temp_file = unpack->file;

    return unpack->file ? ngx_http_ollama_body_map(r, ctx) : NGX_OK;
}


/* Lets other requests run before the next slice. */

static ngx_int_t
ngx_http_ollama_body_wait(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_timer_t  *wait;

    wait = ngx_palloc(r->pool, sizeof(ngx_http_ollama_timer_t));
    if (wait == NULL) {
        return NGX_ERROR;
    }

    ngx_http_ollama_timer_init(wait, ngx_http_ollama_body_wait_handler, r,
                               r->connection->log);

    /*
     * A worker that is to quit does so when no timer is left but cancelable
     * ones, whatever is posted: hence this one, which is not expected to fire,
     * and does no harm if it does.
     */

    wait->event.cancelable = 0;

    ctx->wait = wait;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_ollama_body_wait_next(&wait->event);

    return NGX_AGAIN;
}


static void
ngx_http_ollama_body_wait_next(ngx_event_t *ev)
{
    if (!ev->timer_set) {
        ngx_add_timer(ev, 1000);
    }

    ngx_post_event(ev, &ngx_posted_next_events);
}


static void
ngx_http_ollama_body_wait_handler(ngx_event_t *ev)
{
    ngx_int_t               rc;
    ngx_connection_t       *c;
    ngx_http_request_t     *r;
    ngx_http_ollama_ctx_t  *ctx;

    r = ngx_http_ollama_timer_data(ev);
    c = r->connection;

    ctx = ngx_http_ollama_get_ctx(r);

    ngx_http_set_log_request(c->log, r);

    rc = ngx_http_ollama_body_parse(ctx);

    if (rc == NGX_AGAIN) {
        ngx_http_ollama_body_wait_next(ev);
        return;
    }

    ngx_http_ollama_timer_stop(ctx->wait);

    ctx->parser->done(r, ctx, rc);
    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_ollama_body_scan_init(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_str_t                    session;
    ngx_uint_t                   flags;
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    flags = ctx->endpoint->scan;

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_FURTHER) {
        /* it may be without a model */
        flags |= NGX_HTTP_OLLAMA_SCAN_SESSION;
    }

    if (ngx_http_ollama_header_find(r, "x-ollama-session-id", &session)) {
        /* the session may have a model */
        flags |= NGX_HTTP_OLLAMA_SCAN_SESSION;
    }

    /* ollama_forbid is about what is asked of models, not of management */

    return ngx_http_ollama_scan_init(ctx->scan, r->pool, ctx->pool, flags,
                   ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT
                   ? NULL : olcf->forbid);
}


ngx_int_t
ngx_http_ollama_body_scan_feed(ngx_http_ollama_ctx_t *ctx, u_char *p,
    size_t size)
{
    if (ctx->scan->error.len) {
        /* not JSON, but it need not be */
        return NGX_OK;
    }

    return ngx_http_ollama_body_scan_result(ctx,
                              ngx_http_ollama_scan_feed(ctx->scan, p, size));
}


ngx_int_t
ngx_http_ollama_body_scan_end(ngx_http_ollama_ctx_t *ctx)
{
    if (ctx->scan->error.len) {
        return NGX_OK;
    }

    return ngx_http_ollama_body_scan_result(ctx,
                                        ngx_http_ollama_scan_end(ctx->scan));
}


static ngx_int_t
ngx_http_ollama_body_scan_result(ngx_http_ollama_ctx_t *ctx, ngx_int_t rc)
{
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ctx->endpoint->kind == NGX_HTTP_OLLAMA_ENDPOINT_FURTHER
        && !ngx_http_ollama_body_may_hide(ctx->scan))
    {
        ngx_http_ollama_body_forget(ctx->scan);
        return NGX_OK;
    }

    return ngx_http_ollama_error(ctx->request, ctx, NGX_HTTP_BAD_REQUEST,
                                 "invalid request body at byte %O: %V",
                                 ctx->scan->error_at, &ctx->scan->error);
}


/* Whether members that are forbidden would be sent on in what is JSON. */

static ngx_uint_t
ngx_http_ollama_body_may_hide(ngx_http_ollama_scan_t *scan)
{
    return scan->nforbid && scan->depth && scan->json.error == NULL;
}


/* What was found in a body that is sent on as it is. */

static void
ngx_http_ollama_body_forget(ngx_http_ollama_scan_t *scan)
{
    ngx_str_null(&scan->model);
    ngx_str_null(&scan->server_url);
    ngx_str_null(&scan->session_id);
    ngx_str_null(&scan->task_id);

    scan->cuts.nelts = 0;
    scan->removed = 0;
}


void
ngx_http_ollama_body_finish(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_int_t rc)
{
    ctx->state = NGX_HTTP_OLLAMA_ROUTED;
    ctx->status = (rc >= NGX_HTTP_SPECIAL_RESPONSE)
                  ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;

    if (rc == NGX_OK && ngx_http_ollama_body_rewrite(r, ctx) == NGX_OK) {
        ctx->status = NGX_DECLINED;
    }

    ngx_destroy_pool(ctx->pool);
    ctx->pool = NULL;

    if (r->request_body == NULL
        || (ctx->scan->cuts.nelts == 0 && ctx->ninsert == 0))
    {
        /* the body is sent as it is */
        ngx_http_ollama_body_unmap(ctx);
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


ngx_int_t
ngx_http_ollama_body_headers(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_scan_t  *scan;

    scan = ctx->scan;

    if (scan->server_url.len == 0) {
        (void) ngx_http_ollama_header_find(r, "x-ollama-server-url",
                                           &scan->server_url);
    }

    if (scan->session_id.len == 0) {
        (void) ngx_http_ollama_header_find(r, "x-ollama-session-id",
                                           &scan->session_id);
    }

    if (scan->task_id.len == 0
        && ngx_http_ollama_header_find(r, "x-ollama-task-id", &scan->task_id)
        && !ngx_http_ollama_id_is_valid(&scan->task_id))
    {
        return ngx_http_ollama_error(r, ctx, NGX_HTTP_BAD_REQUEST,
                                     "header X-Ollama-Task-Id must be 1 to 64 "
                                     "characters of A-Z a-z 0-9 _ -, not "
                                     "\"%V\"", &scan->task_id);
    }

    return NGX_OK;
}


/*
 * Makes the new body of what is between the cuts of the old one, and of what is
 * inserted.
 */

static ngx_int_t
ngx_http_ollama_body_rewrite(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    off_t                           at, end, n, size;
    ngx_buf_t                      *b;
    ngx_chain_t                    *in, *out, **ll;
    ngx_http_ollama_cut_t          *cut, *last;
    ngx_http_ollama_body_insert_t  *insert, *last_insert;

    if (ctx->scan->cuts.nelts == 0 && ctx->ninsert == 0) {
        return NGX_OK;
    }

    cut = ctx->scan->cuts.elts;
    last = cut + ctx->scan->cuts.nelts;

    insert = ctx->insert;
    last_insert = insert + ctx->ninsert;

    in = r->request_body->bufs;

    if (ctx->map) {
        in = ngx_http_ollama_chain_text(r->pool, ctx->map, ctx->map_size);
        if (in == NULL) {
            return NGX_ERROR;
        }
    }

    at = 0;
    size = 0;
    ll = &out;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;
        end = at + (b->last - b->pos);

        while (at < end) {

            if (insert < last_insert && insert->at <= at) {
                ll = ngx_http_ollama_body_link(insert, ll);
                size += insert->size;
                insert++;
                continue;
            }

            if (cut < last && cut->end <= at) {
                cut++;
                continue;
            }

            if (cut < last && cut->start <= at) {
                at = ngx_min(cut->end, end);
                continue;
            }

            n = (cut < last && cut->start < end) ? cut->start : end;

            if (insert < last_insert && insert->at < n) {
                n = insert->at;
            }

            n -= at;

            *ll = ngx_http_ollama_chain_text(r->pool, b->last - (end - at), n);
            if (*ll == NULL) {
                return NGX_ERROR;
            }

            ll = &(*ll)->next;
            size += n;
            at += n;
        }
    }

    *ll = NULL;

    return ngx_http_ollama_body_replace(r, out, size);
}


/* Adds an insertion to the end of a chain; returns the new end. */

static ngx_chain_t **
ngx_http_ollama_body_link(ngx_http_ollama_body_insert_t *insert,
    ngx_chain_t **ll)
{
    *ll = insert->chain;

    while (*ll) {
        ll = &(*ll)->next;
    }

    return ll;
}


static ngx_int_t
ngx_http_ollama_body_replace(ngx_http_request_t *r, ngx_chain_t *out,
    off_t size)
{
    ngx_http_request_body_t  *rb;

    if (r != r->main) {
        /* a subrequest has the main request's so far */

        rb = ngx_palloc(r->pool, sizeof(ngx_http_request_body_t));
        if (rb == NULL) {
            return NGX_ERROR;
        }

        *rb = *r->request_body;
        r->request_body = rb;
    }

    r->request_body->bufs = out;
    r->headers_in.content_length_n = size;

    return NGX_OK;
}


u_char *
ngx_http_ollama_body_span(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_http_ollama_cut_t *span, ngx_pool_t *pool)
{
    off_t         at, from, to, size;
    u_char       *copy, *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (ctx->map) {
        return ctx->map + span->start;
    }

    at = 0;
    copy = NULL;
    p = NULL;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        size = b->last - b->pos;

        from = ngx_max(span->start, at);
        to = ngx_min(span->end, at + size);

        if (from == span->start && to == span->end) {
            return b->pos + (from - at);
        }

        if (from < to) {

            if (copy == NULL) {
                copy = ngx_palloc(pool, span->end - span->start);
                if (copy == NULL) {
                    return NULL;
                }

                p = copy;
            }

            p = ngx_cpymem(p, b->pos + (from - at), to - from);
        }

        at += size;
    }

    return copy;
}
