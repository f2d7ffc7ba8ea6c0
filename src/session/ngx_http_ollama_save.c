
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The reply in a session: it passes at once, but for the end of its last
 * frame, which waits until Redis has the message, and says so.
 *
 * The filters stand behind the tap's, so they see what the client gets: a
 * reply that was stopped has a last frame like any other.  Whatever way a
 * request ends, what was said is stored, and the lock of the session given
 * back, when the request is cleaned up at the latest; until then the lock is
 * renewed.
 *
 * "saved":false says that it isn't known whether the reply is stored.  What
 * Redis wasn't told then, or didn't answer to, outbox.c tells it again.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "session/ngx_http_ollama_save.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_header.h"
#include "reply/ngx_http_ollama_capture.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_frame_form.h"
#include "request/ngx_http_ollama_scan.h"
#include "store/ngx_http_ollama_lock.h"
#include "store/ngx_http_ollama_outbox.h"
#include "store/ngx_http_ollama_store.h"


/* free in a request's r->buffered */
#define NGX_HTTP_OLLAMA_SAVE_BUFFERED  0x08

/* of a reply, in bytes: what is more is not stored */
#define NGX_HTTP_OLLAMA_SAVE_MAX       (16 * 1024 * 1024)


struct ngx_http_ollama_save_s {
    ngx_http_request_t        *request;
    ngx_http_ollama_ctx_t     *ctx;
    ngx_http_ollama_store_t    store;     /* the save */
    ngx_http_ollama_lock_t     lock;

    int64_t                     n;         /* of the message; 0: none yet */
    ngx_http_ollama_capture_t  *said;      /* NULL: nothing is said */
    off_t                       pos;       /* bytes of the reply so far */

    ngx_http_ollama_store_message_t  message;  /* what was said, in the end */

    ngx_chain_t               *held;      /* what waits */
    ngx_chain_t              **last;

    unsigned                   asked:1;   /* there are new messages */
    unsigned                   over:1;    /* it was before it was stopped */
    unsigned                   holding:1;
    unsigned                   saving:1;  /* the end was begun */
    unsigned                   settled:1; /* it has ended, or outbox.c has it */
    unsigned                   refused:1; /* by the server, for good */
    unsigned                   passing:1; /* the rest goes as it comes */
    unsigned                   last_buf:1; /* of what waits, one is the last */
};


static void ngx_http_ollama_save_cleanup(void *data);
static ngx_int_t ngx_http_ollama_save_header_filter(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ollama_save_is_refused(ngx_http_request_t *r);
static ngx_http_ollama_capture_form_e ngx_http_ollama_save_form(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_save_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_chain_t **ngx_http_ollama_save_buf(ngx_http_ollama_save_t *keep,
    ngx_buf_t *b, ngx_chain_t **ll);
static size_t ngx_http_ollama_save_listen(ngx_http_ollama_save_t *keep,
    ngx_buf_t *b);
static ngx_int_t ngx_http_ollama_save_hold(ngx_http_ollama_save_t *keep,
    ngx_buf_t *b);
static ngx_int_t ngx_http_ollama_save_save(ngx_http_ollama_save_t *keep);
static ngx_int_t ngx_http_ollama_save_message(ngx_http_ollama_save_t *keep);
static void ngx_http_ollama_save_defer(ngx_http_ollama_save_t *keep);
static ngx_uint_t ngx_http_ollama_save_is_complete(
    ngx_http_ollama_save_t *keep);
static ngx_uint_t ngx_http_ollama_save_is_whole(ngx_http_ollama_save_t *keep);
static const char *ngx_http_ollama_save_status(ngx_http_ollama_save_t *keep);
static void ngx_http_ollama_save_saved(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_save_release(ngx_http_ollama_save_t *keep,
    ngx_uint_t saved);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_ollama_save_begin(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    int64_t ttl)
{
    ngx_http_cleanup_t      *cln;
    ngx_http_ollama_save_t  *keep;

    /* not of the pool: a save needs that, and what was said */

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_save_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    keep = cln->data;
    ngx_memzero(keep, sizeof(ngx_http_ollama_save_t));

    keep->request = r;
    keep->ctx = ctx;

    keep->store.handler = ngx_http_ollama_save_saved;
    keep->store.data = keep;
    keep->store.log = r->connection->log;
    keep->store.ttl = ttl;

    cln->handler = ngx_http_ollama_save_cleanup;

    ctx->save = keep;

    ngx_http_ollama_lock_begin(&keep->lock, &ctx->scan->session_id,
                               &ctx->holder, ttl, r->connection->log);

    return NGX_OK;
}


void
ngx_http_ollama_save_set_number(ngx_http_ollama_ctx_t *ctx, int64_t n)
{
    ctx->save->n = n;
    ctx->save->lock.n = n;
    ctx->save->asked = (ctx->scan->messages.nelts != 0);
}


/* The request is over: nothing waits for an answer of Redis any more. */

static void
ngx_http_ollama_save_cleanup(void *data)
{
    ngx_http_ollama_save_t *keep = data;

    ngx_http_ollama_lock_end(&keep->lock);
    ngx_http_ollama_store_forget(&keep->store);

    if (!keep->settled) {
        ngx_http_ollama_save_defer(keep);
    }
}


static ngx_int_t
ngx_http_ollama_save_header_filter(ngx_http_request_t *r)
{
    ngx_http_ollama_ctx_t   *ctx;
    ngx_http_ollama_save_t  *keep;

    ctx = ngx_http_ollama_get_ctx(r);
    keep = ctx ? ctx->save : NULL;

    if (keep && !keep->settled
        && r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        /* who reads that something failed may try again at once */
        keep->refused = ngx_http_ollama_save_is_refused(r);
        ngx_http_ollama_save_defer(keep);
    }

    if (keep == NULL || keep->n == 0 || keep->said
        || r->headers_out.status != NGX_HTTP_OK
        || (ctx->frame == NULL && !ctx->cancelled))
    {
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_ollama_header_add(r, "X-Session-Id", &ctx->scan->session_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    keep->said = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_capture_t));
    if (keep->said == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_capture_init(keep->said, r->pool,
                                     ngx_http_ollama_save_form(r, ctx),
                                     NGX_HTTP_OLLAMA_SAVE_MAX)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the last frame grows */
    ngx_http_clear_content_length(r);

    keep->last = &keep->held;

    return ngx_http_next_header_filter(r);
}


/*
 * The server won't have these messages, whenever it is asked: were they kept,
 * it would refuse all that follow, too.
 */

static ngx_uint_t
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


static ngx_http_ollama_capture_form_e
ngx_http_ollama_save_form(ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_frame_form_e  form;

    form = ngx_http_ollama_frame_form(ctx->endpoint, ctx->scan->stream,
                                      &r->headers_out.content_type);

    if (ctx->endpoint->last == NGX_HTTP_OLLAMA_END_DONE) {
        return (form == NGX_HTTP_OLLAMA_FRAME_WHOLE)
               ? NGX_HTTP_OLLAMA_CAPTURE_OBJECT : NGX_HTTP_OLLAMA_CAPTURE_LINES;
    }

    return (form == NGX_HTTP_OLLAMA_FRAME_SSE)
           ? NGX_HTTP_OLLAMA_CAPTURE_EVENTS
           : NGX_HTTP_OLLAMA_CAPTURE_COMPLETION;
}


static ngx_int_t
ngx_http_ollama_save_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                rc;
    ngx_chain_t             *cl, *out, **ll;
    ngx_http_ollama_ctx_t   *ctx;
    ngx_http_ollama_save_t  *keep;

    ctx = ngx_http_ollama_get_ctx(r);
    keep = ctx ? ctx->save : NULL;

    if (in == NULL || keep == NULL || keep->said == NULL || keep->passing) {
        return ngx_http_next_body_filter(r, in);
    }

    out = NULL;
    ll = &out;

    for (cl = in; cl; cl = cl->next) {
        ll = ngx_http_ollama_save_buf(keep, cl->buf, ll);
        if (ll == NULL) {
            return NGX_ERROR;
        }
    }

    *ll = NULL;

    rc = out ? ngx_http_next_body_filter(r, out) : NGX_OK;

    if (rc == NGX_ERROR || !keep->holding || keep->saving) {
        return rc;
    }

    if (ctx->error_sent && !ctx->frame->done) {
        /* it broke off after all */
        return ngx_http_ollama_save_release(keep, 0);
    }

    if ((keep->said->over || keep->last_buf)
        && ngx_http_ollama_save_save(keep) != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "ollama: the reply was not saved in its session yet: "
                      "Redis is not available");

        ngx_http_ollama_save_defer(keep);

        return ngx_http_ollama_save_release(keep, 0);
    }

    return rc;
}


/*
 * Takes a buffer of the reply.  What of it may go at once is linked to the
 * chain; returns the chain's end.
 */

static ngx_chain_t **
ngx_http_ollama_save_buf(ngx_http_ollama_save_t *keep, ngx_buf_t *b,
    ngx_chain_t **ll)
{
    size_t        n;
    ngx_buf_t    *copy;
    ngx_chain_t  *cl;

    n = 0;

    if (b == keep->ctx->final_buf) {
        keep->over = keep->said->last;

        if (*b->pos == '\n') {
            /* it comes in the middle of a line or an event */
            ngx_http_ollama_capture_cut(keep->said);
        }
    }

    if (!keep->holding) {
        n = ngx_http_ollama_save_listen(keep, b);
    }

    if (keep->holding && n == 0) {
        return ngx_http_ollama_save_hold(keep, b) == NGX_OK ? ll : NULL;
    }

    cl = ngx_alloc_chain_link(keep->request->pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = b;

    if (keep->holding) {

        /* the server's buffer is free as soon as nothing of it is left */

        copy = ngx_create_temp_buf(keep->request->pool, n);
        if (copy == NULL) {
            return NULL;
        }

        copy->last = ngx_cpymem(copy->last, b->pos, n);
        copy->flush = 1;
        b->pos += n;

        cl->buf = copy;

        if (ngx_http_ollama_save_hold(keep, b) != NGX_OK) {
            return NULL;
        }
    }

    *ll = cl;

    return &cl->next;
}


/*
 * Hears what is in the buffer.  Where the last frame ends in it the rest is
 * held from then on; returns how many bytes stand before that.
 */

static size_t
ngx_http_ollama_save_listen(ngx_http_ollama_save_t *keep, ngx_buf_t *b)
{
    off_t   pos;
    size_t  size;

    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    if (size == 0) {
        return 0;
    }

    pos = keep->pos;
    keep->pos += size;

    ngx_http_ollama_capture_feed(keep->said, b->pos, size);

    if (!keep->said->last
        || keep->said->close < pos || keep->said->close >= keep->pos)
    {
        return size;
    }

    keep->holding = 1;
    keep->ctx->save_held = 1;
    keep->request->buffered |= NGX_HTTP_OLLAMA_SAVE_BUFFERED;

    return keep->said->close - pos;
}


/* What is in the buffer waits, from the "}" of the last frame on. */

static ngx_int_t
ngx_http_ollama_save_hold(ngx_http_ollama_save_t *keep, ngx_buf_t *b)
{
    size_t        size;
    ngx_buf_t    *copy;
    ngx_chain_t  *cl;

    if (b->last_buf) {
        keep->last_buf = 1;
        b->last_buf = 0;
    }

    size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

    if (size == 0) {
        return NGX_OK;
    }

    if (keep->held) {
        /* the first one was heard */
        ngx_http_ollama_capture_feed(keep->said, b->pos, size);
    }

    copy = ngx_create_temp_buf(keep->request->pool, size);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    cl = ngx_alloc_chain_link(keep->request->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    copy->last = ngx_cpymem(copy->last, b->pos, size);
    b->pos = b->last;

    cl->buf = copy;
    cl->next = NULL;

    *keep->last = cl;
    keep->last = &cl->next;

    return NGX_OK;
}


/* Stores what was said, if anything was, and gives the session free. */

static ngx_int_t
ngx_http_ollama_save_save(ngx_http_ollama_save_t *keep)
{
    ngx_int_t  rc;

    keep->saving = 1;
    ngx_http_ollama_lock_end(&keep->lock);

    rc = ngx_http_ollama_save_message(keep);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_store_release(&keep->store,
                                             &keep->ctx->scan->session_id,
                                             &keep->ctx->holder);
    }

    return ngx_http_ollama_store_save(&keep->store,
                                      &keep->ctx->scan->session_id,
                                      &keep->ctx->holder, keep->n,
                                      &keep->message, 1);
}


/* Makes the message that is stored.  NGX_DECLINED: there is none. */

static ngx_int_t
ngx_http_ollama_save_message(ngx_http_ollama_save_t *keep)
{
    ngx_pool_t                       *pool;
    ngx_http_ollama_capture_t        *said;
    ngx_http_ollama_store_message_t  *message;

    said = keep->said;
    pool = keep->request->pool;
    message = &keep->message;

    if (said == NULL || keep->n == 0) {
        return NGX_DECLINED;
    }

    if (message->json.len) {
        return NGX_OK;
    }

    ngx_http_ollama_capture_end(said);

    if (!keep->asked && ngx_http_ollama_capture_is_empty(said)) {
        /* the model was loaded, or unloaded */
        return NGX_DECLINED;
    }

    if (!ngx_http_ollama_save_is_whole(keep)) {
        ngx_log_error(NGX_LOG_ERR, keep->request->connection->log, 0,
                      "ollama: the reply is saved in its session only in "
                      "part: it %s", said->truncated ? "is too long"
                                                     : "could not be read");
    }

    message->status.data = (u_char *) ngx_http_ollama_save_status(keep);
    message->status.len = ngx_strlen(message->status.data);
    message->model = keep->ctx->scan->model;
    message->server = keep->ctx->server;

    if (said->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str.len) {
        message->thinking = said->text[NGX_HTTP_OLLAMA_CAPTURE_THINKING].str;
    }

    if (ngx_http_ollama_capture_stats(said, pool, &message->stats) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_ollama_capture_message(said, pool, &message->json);
}


/* Redis is told without anybody who waits for it, and later if need be. */

static void
ngx_http_ollama_save_defer(ngx_http_ollama_save_t *keep)
{
    ngx_http_ollama_store_message_t  *message;

    message = (ngx_http_ollama_save_message(keep) == NGX_OK) ? &keep->message
                                                             : NULL;
    keep->saving = 1;
    keep->settled = 1;
    ngx_http_ollama_lock_end(&keep->lock);

    ngx_http_ollama_outbox_add(&keep->ctx->scan->session_id,
                               &keep->ctx->holder, keep->store.ttl,
                               keep->refused ? NGX_HTTP_OLLAMA_OUTBOX_WITHDRAW
                                             : keep->n,
                               message);
}


/* The server has said all; the tap may hear of that a byte later. */

static ngx_uint_t
ngx_http_ollama_save_is_complete(ngx_http_ollama_save_t *keep)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = keep->ctx;

    return (ctx->frame && ctx->frame->done)
           || (keep->said->last && !ctx->error_sent);
}


/* Nothing of what it has said by now is left out. */

static ngx_uint_t
ngx_http_ollama_save_is_whole(ngx_http_ollama_save_t *keep)
{
    if (keep->said->truncated) {
        return 0;
    }

    return !keep->said->failed || keep->said->last
           || !ngx_http_ollama_save_is_complete(keep);
}


static const char *
ngx_http_ollama_save_status(ngx_http_ollama_save_t *keep)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = keep->ctx;

    if (ctx->cancelled && !keep->over) {
        return "cancelled";
    }

    if (ngx_http_ollama_save_is_complete(keep)) {
        return ngx_http_ollama_save_is_whole(keep) ? "complete"
                                                   : "interrupted";
    }

    if (keep->request->connection->error
        || keep->request->connection->timedout
        || (ctx->finalized
            && ctx->finalize_rc == NGX_HTTP_CLIENT_CLOSED_REQUEST))
    {
        /* the client has gone */
        return "cancelled";
    }

    return "interrupted";
}


static void
ngx_http_ollama_save_saved(ngx_http_ollama_store_t *store)
{
    ngx_uint_t               saved;
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_ollama_save_t  *keep;

    keep = store->data;
    r = keep->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    saved = 0;
    keep->settled = 1;

    switch (store->result) {

    case NGX_HTTP_OLLAMA_STORE_OK:
        saved = !keep->said->truncated;
        break;

    case NGX_HTTP_OLLAMA_STORE_UNAVAILABLE:
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "ollama: the reply was not saved in its session yet: "
                      "Redis failed, or did not answer in time");

        ngx_http_ollama_save_defer(keep);
        break;

    default:
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "ollama: the reply was not saved in its session: it was "
                      "deleted, or another task has it");
        break;
    }

    if (ngx_http_ollama_save_release(keep, saved) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);

    } else if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        /* nginx waits for what was buffered */
        r->write_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


/* Sends what waited, with our own words in the last frame. */

static ngx_int_t
ngx_http_ollama_save_release(ngx_http_ollama_save_t *keep, ngx_uint_t saved)
{
    size_t               size;
    ngx_buf_t           *b, *first;
    ngx_str_t            tail;
    ngx_chain_t         *cl, *last;
    ngx_http_request_t  *r;

    r = keep->request;

    keep->passing = 1;
    keep->holding = 0;
    r->buffered &= ~NGX_HTTP_OLLAMA_SAVE_BUFFERED;

    /* the first byte is the "}" of the frame */

    first = keep->held->buf;

    tail.data = first->pos;
    tail.len = 1;
    size = ngx_http_ollama_capture_mark(NULL, &tail,
                                        &keep->ctx->scan->session_id, saved);

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_ERROR;
    }

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b->last += ngx_http_ollama_capture_mark(b->pos, &tail,
                                            &keep->ctx->scan->session_id,
                                            saved);
    first->pos++;

    cl->buf = b;
    cl->next = (first->pos == first->last) ? keep->held->next : keep->held;

    for (last = cl; last->next; last = last->next) { /* void */ }

    last->buf->flush = 1;
    last->buf->last_buf = keep->last_buf;
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
