
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * One turn of a conversation: a chat like any other, except that it is a
 * subrequest, made here.  It starts at the phase in which the conversation's
 * own request found its endpoint, in the same location and with the same
 * variables, but with a body and header lines of its own; so it is balanced,
 * tried again, counted and tapped as all chats are.
 *
 * The filters run after the tap's.  Each frame is passed on as it comes,
 * wherever it is divided among buffers, with the turn and the participant
 * inserted before its members: no byte of it is copied or held.  What isn't a
 * reply is not sent, but the error in it is read.
 *
 * The post handler only notes how the turn ended: then nginx runs the
 * conversation's request, which goes on.  So turns don't nest, and nothing here
 * begins the next one.
 *
 * A turn lives in a pool of its own, from ngx_http_ollama_turn_begin() until
 * conversation.c, or conversation_save, destroys that pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_turn.h"
#include "conversation/ngx_http_ollama_conversation_json.h"
#include "balancer/ngx_http_ollama_queue.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "reply/ngx_http_ollama_capture.h"
#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_rest.h"
#include "reply/ngx_http_ollama_stop.h"
#include "request/ngx_http_ollama_scan.h"


#define NGX_HTTP_OLLAMA_TURN_POOL  4096


static ngx_int_t ngx_http_ollama_turn_request(ngx_http_ollama_turn_t *turn);
static ngx_int_t ngx_http_ollama_turn_body(ngx_http_ollama_turn_t *turn,
    ngx_http_request_t *sr);
static ngx_int_t ngx_http_ollama_turn_ctx(ngx_http_ollama_turn_t *turn,
    ngx_http_request_t *sr);
static ngx_int_t ngx_http_ollama_turn_post_handler(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static ngx_int_t ngx_http_ollama_turn_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_turn_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_ollama_turn_consume(ngx_http_ollama_turn_t *turn,
    ngx_chain_t *in);
static ngx_chain_t **ngx_http_ollama_turn_buf(ngx_http_ollama_turn_t *turn,
    ngx_buf_t *b, ngx_chain_t **ll);
static u_char *ngx_http_ollama_turn_find(ngx_http_ollama_turn_t *turn,
    u_char *p, u_char *last);
static void ngx_http_ollama_turn_add_head(ngx_http_ollama_turn_t *turn,
    u_char *p, u_char *last);
static ngx_chain_t **ngx_http_ollama_turn_add_buf(ngx_http_ollama_turn_t *turn,
    u_char *p, u_char *last, ngx_chain_t **ll);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_ollama_turn_begin(ngx_http_ollama_conversation_t *conv)
{
    ngx_pool_t              *pool;
    ngx_http_request_t      *r;
    ngx_http_ollama_turn_t  *turn;

    r = conv->request;

    pool = ngx_create_pool(NGX_HTTP_OLLAMA_TURN_POOL, r->connection->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    turn = ngx_pcalloc(pool, sizeof(ngx_http_ollama_turn_t));
    if (turn == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    turn->conversation = conv;
    turn->self = conv->turns % conv->body->n;
    turn->number = conv->turns + 1;
    turn->participant = &conv->body->participant[turn->self];
    turn->pool = pool;

    conv->turn = turn;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "ollama turn %ui: \"%V\"", turn->number,
                   &turn->participant->name);

    turn->capture = ngx_pcalloc(pool, sizeof(ngx_http_ollama_capture_t));
    if (turn->capture == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_ollama_capture_init(turn->capture, pool,
                                     NGX_HTTP_OLLAMA_CAPTURE_LINES,
                                     ngx_min(NGX_HTTP_OLLAMA_CONVERSATION_REPLY,
                                             NGX_HTTP_OLLAMA_CONVERSATION_SIZE
                                             - conv->said.size))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* in the request's pool: it may be still unsent when the turn has ended */

    if (ngx_http_ollama_conversation_json_front(r->pool, turn->number,
                                                &turn->participant->name,
                                                &turn->front)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_turn_request(turn);
}


/* Makes the subrequest; nginx runs it when the request's handler returns. */

static ngx_int_t
ngx_http_ollama_turn_request(ngx_http_ollama_turn_t *turn)
{
    ngx_http_request_t              *r, *sr;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_ollama_conversation_t  *conv;

    conv = turn->conversation;
    r = conv->request;

    conv->post.handler = ngx_http_ollama_turn_post_handler;
    conv->post.data = conv;

    if (ngx_http_subrequest(r, &conv->uri, NULL, &sr, &conv->post,
                            NGX_HTTP_SUBREQUEST_CLONE)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    turn->request = sr;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    sr->phase_handler = conv->ctx->phase;
    sr->content_handler = conv->ctx->pass;

    /* variables that one turn evaluates must not be seen by the next */

    sr->variables = ngx_palloc(r->pool, cmcf->variables.nelts
                                        * sizeof(ngx_http_variable_value_t));
    if (sr->variables == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(sr->variables, conv->variables,
               cmcf->variables.nelts * sizeof(ngx_http_variable_value_t));

    if (ngx_http_ollama_turn_body(turn, sr) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_ollama_turn_ctx(turn, sr);
}


/* The bufs are freed with the turn. */

static ngx_int_t
ngx_http_ollama_turn_body(ngx_http_ollama_turn_t *turn,
    ngx_http_request_t *sr)
{
    off_t                            size;
    ngx_chain_t                     *out;
    ngx_http_request_body_t         *rb;
    ngx_http_ollama_conversation_t  *conv;

    conv = turn->conversation;

    out = ngx_http_ollama_conversation_prompt_make(&conv->said, turn->pool,
                                                   turn->self, &size);
    if (out == NULL) {
        return NGX_ERROR;
    }

    rb = ngx_pcalloc(turn->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_ERROR;
    }

    rb->bufs = out;

    sr->request_body = rb;
    sr->headers_in.headers = conv->headers;
    sr->headers_in.content_type = conv->type;
    sr->headers_in.content_length = NULL;
    sr->headers_in.content_length_n = size;
    sr->headers_in.chunked = 0;

    return NGX_OK;
}


/* Sets up the ctx as that of a chat whose body has been read and scanned. */

static ngx_int_t
ngx_http_ollama_turn_ctx(ngx_http_ollama_turn_t *turn, ngx_http_request_t *sr)
{
    ngx_http_ollama_ctx_t   *ctx;
    ngx_http_ollama_scan_t  *scan;

    ctx = ngx_http_ollama_make_ctx(sr);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    scan = ngx_pcalloc(sr->pool, sizeof(ngx_http_ollama_scan_t));
    if (scan == NULL) {
        return NGX_ERROR;
    }

    scan->model = turn->participant->model;
    scan->server_url = turn->participant->server_url;
    scan->stream = NGX_HTTP_OLLAMA_STREAM_ON;
    scan->text = sr->headers_in.content_length_n;

    /* what a participant was told before is in the cache where that was */

    scan->marks = &turn->mark;
    scan->nmarks = 1;
    ngx_http_ollama_marks_session(&turn->mark,
                                  &turn->conversation->ctx->scan->task_id,
                                  scan->text);

    ctx->scan = scan;
    ctx->turn = turn;
    turn->ctx = ctx;

    /* route.c has nothing left to do */

    ctx->endpoint = turn->conversation->ctx->turn_endpoint;
    ctx->state = NGX_HTTP_OLLAMA_ROUTED;
    ctx->status = NGX_DECLINED;

    return NGX_OK;
}


/*
 * May be called more than once.  If the client is gone nginx ends the whole
 * request; else the conversation goes on, however the turn ended.
 */

static ngx_int_t
ngx_http_ollama_turn_post_handler(ngx_http_request_t *r, void *data,
    ngx_int_t rc)
{
    ngx_http_ollama_conversation_t *conv = data;

    ngx_http_ollama_turn_t  *turn;

    turn = conv->turn;

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || r->connection->error
        || turn == NULL
        || turn->request != r)
    {
        return rc;
    }

    if (!turn->ended) {
        turn->ended = 1;
        turn->rc = rc;
    }

    return NGX_OK;
}


void
ngx_http_ollama_turn_stop(ngx_http_ollama_turn_t *turn)
{
    ngx_http_request_t  *r;

    r = turn->request;

    if (turn->ended) {
        return;
    }

    if (r->upstream == NULL) {
        ngx_http_ollama_queue_stop(turn->ctx);

    } else if (r->upstream->cleanup) {
        ngx_http_ollama_stop(r, turn->ctx);
    }
}


ngx_http_ollama_turn_end_e
ngx_http_ollama_turn_end(ngx_http_ollama_turn_t *turn)
{
    ngx_http_ollama_ctx_t      *ctx;
    ngx_http_ollama_capture_t  *capture;

    ctx = turn->ctx;
    capture = turn->capture;

    if (turn->is_reply
        && ctx->frame->done && !ctx->frame->error
        && !capture->truncated && !capture->failed)
    {
        return NGX_HTTP_OLLAMA_TURN_COMPLETE;
    }

    if (turn->conversation->stopped || !turn->ended) {
        /* not ended: the client is gone */
        return NGX_HTTP_OLLAMA_TURN_CANCELLED;
    }

    return NGX_HTTP_OLLAMA_TURN_FAILED;
}


static ngx_int_t
ngx_http_ollama_turn_header_filter(ngx_http_request_t *r)
{
    ngx_http_ollama_ctx_t  *ctx;

    ctx = ngx_http_ollama_get_ctx(r);

    if (ctx && ctx->turn
        && r->headers_out.status == NGX_HTTP_OK
        && ctx->frame && ctx->frame->form == NGX_HTTP_OLLAMA_FRAME_LINES)
    {
        ctx->turn->is_reply = 1;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_ollama_turn_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                        rc;
    ngx_buf_t                       *b;
    ngx_time_t                      *tp;
    ngx_chain_t                     *cl, *out, **ll;
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_turn_t          *turn;
    ngx_http_ollama_conversation_t  *conv;

    ctx = ngx_http_ollama_get_ctx(r);
    turn = ctx ? ctx->turn : NULL;

    if (turn == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    conv = turn->conversation;

    out = NULL;
    ll = &out;

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (turn->is_reply && ngx_buf_in_memory(b) && b->pos < b->last) {
            ngx_http_ollama_capture_feed(turn->capture, b->pos,
                                         b->last - b->pos);
        }

        if (turn->is_reply && conv->body->stream) {
            ll = ngx_http_ollama_turn_buf(turn, b, ll);
            if (ll == NULL) {
                return NGX_ERROR;
            }
        }
    }

    *ll = NULL;

    if (turn->capture->pos && !conv->has_output) {
        tp = ngx_timeofday();

        conv->has_output = 1;
        conv->ctx->ttft = (ngx_msec_int_t)
                             ((tp->sec - conv->request->start_sec) * 1000
                              + (tp->msec - conv->request->start_msec));
        conv->ctx->ttft = ngx_max(conv->ctx->ttft, 0);
    }

    /* of a reply that is too long no more is needed */

    if (turn->is_reply && turn->capture->truncated && !turn->ended
        && ngx_http_ollama_rest_end(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (in && out == NULL) {
        ngx_http_ollama_turn_consume(turn, in);
        return NGX_OK;
    }

    rc = ngx_http_next_body_filter(r, out);

    ngx_chain_update_chains(r->pool, &conv->free, &conv->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_ollama_module);

    return rc;
}


/* Takes what is not sent; its first bytes may be an error. */

static void
ngx_http_ollama_turn_consume(ngx_http_ollama_turn_t *turn, ngx_chain_t *in)
{
    u_char     *p;
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ngx_buf_in_memory(b)) {

            if (turn->is_reply) {
                for (p = b->pos; p; /* void */ ) {
                    p = ngx_http_ollama_turn_find(turn, p, b->last);
                }

            } else {
                ngx_http_ollama_turn_add_head(turn, b->pos, b->last);
            }
        }

        b->pos = b->last;
        b->file_pos = b->file_last;
    }
}


/*
 * Links a buffer of the reply to the chain, divided where frames begin in it.
 * Returns the chain's new end, or NULL: no memory.  The last piece is the
 * buffer itself: nginx reuses the memory when that is sent.
 */

static ngx_chain_t **
ngx_http_ollama_turn_buf(ngx_http_ollama_turn_t *turn, ngx_buf_t *b,
    ngx_chain_t **ll)
{
    u_char       *p, *front, *last;
    ngx_chain_t  *cl;

    front = turn->front.data;

    p = ngx_buf_in_memory(b) ? b->pos : NULL;

    while (p) {
        p = ngx_http_ollama_turn_find(turn, p, b->last);

        if (p == NULL) {
            break;
        }

        if (b->pos < p) {
            ll = ngx_http_ollama_turn_add_buf(turn, b->pos, p, ll);
            if (ll == NULL) {
                return NULL;
            }
        }

        /* an object without members of its own needs no comma */
        last = front + turn->front.len - (*p == '}');

        ll = ngx_http_ollama_turn_add_buf(turn, front, last, ll);
        if (ll == NULL) {
            return NULL;
        }

        b->pos = p;
    }

    cl = ngx_alloc_chain_link(turn->request->pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    *ll = cl;

    return &cl->next;
}


/*
 * Follows the lines from "p" on.  Returns where the first member of the next
 * object begins, or that object's "}" if it has none; NULL: no object begins
 * before "last".
 */

static u_char *
ngx_http_ollama_turn_find(ngx_http_ollama_turn_t *turn, u_char *p,
    u_char *last)
{
    u_char  ch, *end;

    while (p < last) {
        ch = *p;

        if (turn->state == turn_rest) {

            end = memchr(p, '\n', last - p);
            end = end ? end + 1 : last;

            ngx_http_ollama_turn_add_head(turn, p, end);

            if (*(end - 1) == '\n') {
                turn->state = turn_line;
                turn->has_error = (ngx_strncmp(turn->head, "{\"error\"", 8)
                                   == 0);
            }

            p = end;
            continue;
        }

        if (turn->state == turn_object && ch > ' ') {
            turn->state = turn_rest;
            return p;
        }

        if (turn->state == turn_line && ch == '{') {
            turn->state = turn_object;

            if (!turn->has_error) {
                turn->head_len = 0;
            }

            ngx_http_ollama_turn_add_head(turn, p, p + 1);

        } else if (turn->state == turn_line && ch > ' ') {
            turn->state = turn_rest;

        } else if (ch == '\n') {
            turn->state = turn_line;
        }

        p++;
    }

    return NULL;
}


static void
ngx_http_ollama_turn_add_head(ngx_http_ollama_turn_t *turn, u_char *p,
    u_char *last)
{
    size_t  n;

    if (turn->has_error) {
        return;
    }

    n = ngx_min((size_t) (last - p),
                NGX_HTTP_OLLAMA_TURN_HEAD - turn->head_len);

    ngx_memcpy(turn->head + turn->head_len, p, n);
    turn->head_len += n;
}


static ngx_chain_t **
ngx_http_ollama_turn_add_buf(ngx_http_ollama_turn_t *turn, u_char *p,
    u_char *last, ngx_chain_t **ll)
{
    ngx_buf_t                       *b;
    ngx_chain_t                     *cl;
    ngx_http_ollama_conversation_t  *conv;

    conv = turn->conversation;

    cl = ngx_chain_get_free_buf(turn->request->pool, &conv->free);
    if (cl == NULL) {
        return NULL;
    }

    b = cl->buf;

    b->start = p;
    b->pos = p;
    b->last = last;
    b->end = last;
    b->memory = 1;
    b->tag = (ngx_buf_tag_t) &ngx_http_ollama_module;

    *ll = cl;

    return &cl->next;
}


ngx_int_t
ngx_http_ollama_turn_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_ollama_turn_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_ollama_turn_body_filter;

    return NGX_OK;
}
