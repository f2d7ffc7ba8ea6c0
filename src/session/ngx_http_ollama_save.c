
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Saves the reply of a chat in its session.  The reply passes at once, except
 * for the end of its final frame: that is held until Redis has the message, and
 * then tells the client so.  What follows the frame in an SSE stream is held,
 * too, but no more than a little, and not for long.
 *
 * The filters run after the tap's, so they see what the client gets: a reply
 * that was stopped has a final frame like any other.  However a request ends,
 * the captured text is stored and the session's lock released, at the latest
 * when the request is cleaned up; until then the lock is renewed.
 *
 * "saved":false means: not known to be stored.  The outbox then sends Redis
 * again what it did not get, or did not answer.
 *
 * The state is in memory of the request's pool, until the request is cleaned
 * up.  Uses the store, its lock and its outbox, and the capture of replies.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_save.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_header.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_rest.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_save_message.h"
#include "store/ngx_http_ollama_outbox.h"
#include "util/ngx_http_ollama_chain.h"


/* a bit of r->buffered that nginx doesn't use */
#define NGX_HTTP_OLLAMA_SAVE_BUFFERED  0x08

/*
 * how long what follows the last frame of an SSE stream is waited for, ms, and
 * how many bytes may be held
 */
#define NGX_HTTP_OLLAMA_SAVE_WAIT      2000
#define NGX_HTTP_OLLAMA_SAVE_HELD      (64 * 1024)

/* bytes of a reply's text; what is beyond is not stored */
#define NGX_HTTP_OLLAMA_SAVE_MAX       (16 * 1024 * 1024)


static void ngx_http_ollama_save_cleanup(void *data);
static ngx_int_t ngx_http_ollama_save_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_save_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_chain_t **ngx_http_ollama_save_buf(ngx_http_ollama_save_t *save,
    ngx_buf_t *b, ngx_chain_t **ll);
static size_t ngx_http_ollama_save_capture(ngx_http_ollama_save_t *save,
    ngx_buf_t *b);
static ngx_int_t ngx_http_ollama_save_hold(ngx_http_ollama_save_t *save,
    ngx_buf_t *b);
static ngx_int_t ngx_http_ollama_save_wait(ngx_http_ollama_save_t *save);
static ngx_int_t ngx_http_ollama_save_finish(ngx_http_ollama_save_t *save);
static ngx_int_t ngx_http_ollama_save_store_or_defer(
    ngx_http_ollama_save_t *save);
static ngx_int_t ngx_http_ollama_save_store(ngx_http_ollama_save_t *save);
static void ngx_http_ollama_save_defer(ngx_http_ollama_save_t *save);
static void ngx_http_ollama_save_done(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_save_flush(ngx_http_ollama_save_t *save,
    ngx_uint_t saved);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_ollama_save_begin(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    int64_t ttl)
{
    ngx_http_cleanup_t      *cln;
    ngx_http_ollama_save_t  *save;

    /* not a cleanup of the pool: to save needs the pool, and the capture */

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_save_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    save = cln->data;
    ngx_memzero(save, sizeof(ngx_http_ollama_save_t));

    save->request = r;
    save->ctx = ctx;

    save->store.handler = ngx_http_ollama_save_done;
    save->store.data = save;
    save->store.log = r->connection->log;
    save->store.ttl = ttl;

    cln->handler = ngx_http_ollama_save_cleanup;

    ctx->save = save;

    ngx_http_ollama_lock_begin(&save->lock, &ctx->scan->session_id,
                               &ctx->holder, ttl, r->connection->log);

    return NGX_OK;
}


void
ngx_http_ollama_save_set_number(ngx_http_ollama_ctx_t *ctx, int64_t n)
{
    ctx->save->n = n;
    ctx->save->lock.n = n;
    ctx->save->added = ctx->scan->messages.nelts;
}


/* The request has ended: Redis' answer is not waited for any more. */

static void
ngx_http_ollama_save_cleanup(void *data)
{
    ngx_http_ollama_save_t *save = data;

    ngx_http_ollama_lock_end(&save->lock);
    ngx_http_ollama_store_forget(&save->store);

    if (!save->settled) {
        ngx_http_ollama_save_defer(save);
    }
}


static ngx_int_t
ngx_http_ollama_save_header_filter(ngx_http_request_t *r)
{
    ngx_http_ollama_ctx_t   *ctx;
    ngx_http_ollama_save_t  *save;

    ctx = ngx_http_ollama_get_ctx(r);
    save = ctx ? ctx->save : NULL;

    if (save && !save->settled
        && r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        /* a client that reads the error may try again at once */
        save->refused = ngx_http_ollama_save_is_refused(r);
        ngx_http_ollama_save_defer(save);
    }

    if (save == NULL || save->n == 0 || save->capture
        || r->headers_out.status != NGX_HTTP_OK
        || (ctx->frame == NULL && !ctx->cancelled))
    {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_ollama_header_add(r, "X-Ollama-Session-Id",
                                   &ctx->scan->session_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    save->capture = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_capture_t));
    if (save->capture == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_capture_init(save->capture, r->pool,
                                     ngx_http_ollama_save_message_form(r, ctx),
                                     NGX_HTTP_OLLAMA_SAVE_MAX)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the final frame grows */
    ngx_http_clear_content_length(r);

    save->last = &save->held;

    return ngx_http_next_header_filter(r);
}


ngx_uint_t
ngx_http_ollama_save_is_refused(ngx_http_request_t *r)
{
    ngx_uint_t  status;

    status = r->headers_out.status;

    return r->upstream && r->upstream->headers_in.status_n == status
           && status >= NGX_HTTP_BAD_REQUEST
           && status < NGX_HTTP_INTERNAL_SERVER_ERROR
           && status != NGX_HTTP_REQUEST_TIME_OUT
           && status != NGX_HTTP_TOO_MANY_REQUESTS;
}


static ngx_int_t
ngx_http_ollama_save_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                rc;
    ngx_chain_t             *cl, *out, **ll;
    ngx_http_ollama_ctx_t   *ctx;
    ngx_http_ollama_save_t  *save;

    ctx = ngx_http_ollama_get_ctx(r);
    save = ctx ? ctx->save : NULL;

    if (in == NULL || save == NULL || save->capture == NULL || save->passing) {
        return ngx_http_next_body_filter(r, in);
    }

    out = NULL;
    ll = &out;

    for (cl = in; cl; cl = cl->next) {
        ll = ngx_http_ollama_save_buf(save, cl->buf, ll);
        if (ll == NULL) {
            return NGX_ERROR;
        }
    }

    *ll = NULL;

    rc = out ? ngx_http_next_body_filter(r, out) : NGX_OK;

    if (rc == NGX_ERROR || !save->holding || save->saving) {
        return rc;
    }

    if (ctx->error_sent && !ctx->frame->done) {
        /* it was truncated after all */
        return ngx_http_ollama_save_flush(save, 0);
    }

    if (!save->capture->over && !save->last_buf) {
        return (ngx_http_ollama_save_wait(save) == NGX_OK) ? rc : NGX_ERROR;
    }

    return (ngx_http_ollama_save_store_or_defer(save) == NGX_ERROR) ? NGX_ERROR
                                                                    : rc;
}


/*
 * In an SSE stream statistics and "[DONE]" may follow the last frame.  A server
 * that sends something else, or nothing, doesn't keep the session.
 */

static ngx_int_t
ngx_http_ollama_save_wait(ngx_http_ollama_save_t *save)
{
    ngx_http_request_t  *r;

    r = save->request;

    if (ngx_http_ollama_rest_wait(r, save->ctx, NGX_HTTP_OLLAMA_SAVE_WAIT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return (save->held_size > NGX_HTTP_OLLAMA_SAVE_HELD)
           ? ngx_http_ollama_rest_end(r, save->ctx) : NGX_OK;
}


/* Ends what is held in the server's place: whole events, and "[DONE]". */

static ngx_int_t
ngx_http_ollama_save_finish(ngx_http_ollama_save_t *save)
{
    u_char       *p, *end, *line;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    static ngx_str_t  done = ngx_string("\n\ndata: [DONE]\n\n");

    b = ngx_create_temp_buf(save->request->pool, save->held_size + done.len);
    if (b == NULL) {
        return NGX_ERROR;
    }

    for (cl = save->held; cl; cl = cl->next) {
        b->last = ngx_cpymem(b->last, cl->buf->pos,
                             cl->buf->last - cl->buf->pos);
    }

    /* the first byte is the "}" of the last frame, whose event may be open */

    end = b->pos + 1;
    line = b->pos;

    for (p = b->pos; p < b->last; p++) {

        if (*p != '\n') {
            continue;
        }

        if (p == line || (p == line + 1 && *line == '\r')) {
            end = p + 1;
        }

        line = p + 1;
    }

    if (end == b->pos + 1) {
        b->last = ngx_cpymem(end, done.data, done.len);

    } else {
        b->last = ngx_cpymem(end, done.data + 2, done.len - 2);
    }

    save->held->buf = b;
    save->held->next = NULL;

    save->ctx->frame->done = 1;
    save->final_seen = 1;

    return NGX_OK;
}


/* NGX_ERROR: no memory, or the client is gone. */

static ngx_int_t
ngx_http_ollama_save_store_or_defer(ngx_http_ollama_save_t *save)
{
    if (save->ctx->rest_ended && !save->ctx->frame->done
        && ngx_http_ollama_save_finish(save) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_save_store(save) == NGX_OK) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, save->request->connection->log, 0,
                  "ollama: the reply was not saved in its session yet: "
                  "Redis is not available");

    ngx_http_ollama_save_defer(save);

    return ngx_http_ollama_save_flush(save, 0);
}


/*
 * Takes a buffer of the reply.  The part of it that need not wait is linked to
 * the chain; returns the chain's new end, or NULL: no memory.
 */

static ngx_chain_t **
ngx_http_ollama_save_buf(ngx_http_ollama_save_t *save, ngx_buf_t *b,
    ngx_chain_t **ll)
{
    size_t        n;
    ngx_chain_t  *cl;

    n = 0;

    if (b == save->ctx->final_buf) {
        save->final_seen = save->capture->last;

        if (*b->pos == '\n') {
            /* the server's part ends in the middle of a line or an event */
            ngx_http_ollama_capture_cut(save->capture);
        }
    }

    if (!save->holding) {
        n = ngx_http_ollama_save_capture(save, b);
    }

    if (save->holding && n == 0) {
        return ngx_http_ollama_save_hold(save, b) == NGX_OK ? ll : NULL;
    }

    if (save->holding) {

        cl = ngx_http_ollama_chain_take(save->request->pool, b, n);

        if (cl == NULL || ngx_http_ollama_save_hold(save, b) != NGX_OK) {
            return NULL;
        }

        cl->buf->flush = 1;

    } else {
        cl = ngx_alloc_chain_link(save->request->pool);
        if (cl == NULL) {
            return NULL;
        }

        cl->buf = b;
    }

    *ll = cl;

    return &cl->next;
}


/*
 * Captures the text in the buffer.  If the final frame ends in it, all is held
 * from its "}" on; returns the number of bytes before that.
 */

static size_t
ngx_http_ollama_save_capture(ngx_http_ollama_save_t *save, ngx_buf_t *b)
{
    off_t   pos;
    size_t  size;

    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    if (size == 0) {
        return 0;
    }

    pos = save->pos;
    save->pos += size;

    ngx_http_ollama_capture_feed(save->capture, b->pos, size);

    if (!save->capture->last
        || save->capture->close < pos || save->capture->close >= save->pos)
    {
        return size;
    }

    save->holding = 1;
    save->request->buffered |= NGX_HTTP_OLLAMA_SAVE_BUFFERED;

    return save->capture->close - pos;
}


/* Copies the rest of the buffer to what is held. */

static ngx_int_t
ngx_http_ollama_save_hold(ngx_http_ollama_save_t *save, ngx_buf_t *b)
{
    size_t        size;
    ngx_chain_t  *cl;

    if (b->last_buf) {
        save->last_buf = 1;
        b->last_buf = 0;
    }

    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    if (size == 0) {
        return NGX_OK;
    }

    if (save->held_size > NGX_HTTP_OLLAMA_SAVE_HELD) {
        b->pos = b->last;
        return NGX_OK;
    }

    save->held_size += size;

    if (save->held) {
        /* the first buffer has been captured as a whole */
        ngx_http_ollama_capture_feed(save->capture, b->pos, size);
    }

    cl = ngx_http_ollama_chain_take(save->request->pool, b, size);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    *save->last = cl;
    save->last = &cl->next;

    return NGX_OK;
}


/* Stores the reply, if there is one, and releases the session's lock. */

static ngx_int_t
ngx_http_ollama_save_store(ngx_http_ollama_save_t *save)
{
    ngx_int_t  rc;

    save->saving = 1;
    save->ctx->saving = 1;

    ngx_http_ollama_lock_end(&save->lock);

    rc = ngx_http_ollama_save_message(save);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_store_release(&save->store,
                                             &save->ctx->scan->session_id,
                                             &save->ctx->holder);
    }

    return ngx_http_ollama_store_save(&save->store,
                                      &save->ctx->scan->session_id,
                                      &save->ctx->holder, save->n,
                                      &save->message, 1);
}


/* Leaves it to the outbox to store the reply and release the lock. */

static void
ngx_http_ollama_save_defer(ngx_http_ollama_save_t *save)
{
    ngx_http_ollama_store_message_t  *message;

    message = (ngx_http_ollama_save_message(save) == NGX_OK) ? &save->message
                                                             : NULL;
    save->saving = 1;
    save->settled = 1;
    ngx_http_ollama_lock_end(&save->lock);

    if (save->refused && save->n && save->added) {
        ngx_http_ollama_outbox_withdraw(&save->ctx->scan->session_id,
                                        &save->ctx->holder,
                                        save->n - save->added, save->n - 1);
        return;
    }

    ngx_http_ollama_outbox_add(&save->ctx->scan->session_id,
                               &save->ctx->holder, save->store.ttl, save->n,
                               message);
}


static void
ngx_http_ollama_save_done(ngx_http_ollama_store_t *store)
{
    ngx_uint_t               saved;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_ollama_save_t  *save;

    save = store->data;
    r = save->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    saved = 0;
    save->settled = 1;

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        saved = !save->capture->truncated;
        break;

    case NGX_HTTP_OLLAMA_STORE_UNAVAILABLE:
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "ollama: the reply was not saved in its session yet: "
                      "Redis failed, or did not answer in time");

        ngx_http_ollama_save_defer(save);
        break;

    default:
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "ollama: the reply was not saved in its session: it was "
                      "deleted, or another task has it");

        /* the lock stays if a message in front of the reply is missing */
        ngx_http_ollama_outbox_add(&save->ctx->scan->session_id,
                                   &save->ctx->holder, save->store.ttl, 0,
                                   NULL);
        break;
    }

    if (ngx_http_ollama_save_flush(save, saved) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);

    } else if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        /* nginx waits until r->buffered is clear */
        r->write_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


/* Sends what was held, with our own members added to the final frame. */

static ngx_int_t
ngx_http_ollama_save_flush(ngx_http_ollama_save_t *save, ngx_uint_t saved)
{
    size_t               size;
    ngx_buf_t           *b, *first;
    ngx_str_t            tail;
    ngx_chain_t         *cl, *last;
    ngx_http_request_t  *r;

    r = save->request;

    save->passing = 1;
    save->holding = 0;
    r->buffered &= ~NGX_HTTP_OLLAMA_SAVE_BUFFERED;

    /* the first byte is the "}" of the frame */

    first = save->held->buf;

    tail.data = first->pos;
    tail.len = 1;
    size = ngx_http_ollama_capture_mark(NULL, &tail,
                                        &save->ctx->scan->session_id, saved);

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b->last += ngx_http_ollama_capture_mark(b->pos, &tail,
                                            &save->ctx->scan->session_id,
                                            saved);
    first->pos++;

    cl->buf = b;
    cl->next = (first->pos == first->last) ? save->held->next : save->held;

    for (last = cl; last->next; last = last->next) { /* void */ }

    last->buf->flush = 1;
    last->buf->last_buf = save->last_buf;
    last->buf->last_in_chain = 1;

    return ngx_http_next_body_filter(r, cl);
}


ngx_int_t
ngx_http_ollama_save_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_ollama_save_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_save_body_filter;

    return NGX_OK;
}
