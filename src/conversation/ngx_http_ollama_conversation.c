
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Models that talk to each other, turn by turn, in one reply.  A content
 * handler: the body has been read when it is called.  First all is checked
 * that can be checked before anything is generated (conversation_start), then
 * turns follow one another, each a subrequest (conversation_turn); in a session
 * Redis is waited for in between (conversation_session, conversation_save).
 *
 * ngx_http_ollama_conversation_next(), which the other files know as
 * conv->next(), is the only place that decides what comes next.  It is called
 * by handlers of the request itself, when a turn has ended or Redis has
 * answered, so that neither subrequests nor functions nest.
 *
 * A stop only sets a flag that is read there; if a turn runs, that is ended
 * first.  However a conversation ends, the client gets one closing line, and
 * the replies are stored; if the client is gone, the cleanup stores them.
 *
 * The state (conversation_state.h) is in memory of the request's pool, until
 * the request is cleaned up.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation.h"
#include "conversation/ngx_http_ollama_conversation_json.h"
#include "conversation/ngx_http_ollama_conversation_save.h"
#include "conversation/ngx_http_ollama_conversation_session.h"
#include "conversation/ngx_http_ollama_conversation_start.h"
#include "conversation/ngx_http_ollama_conversation_state.h"
#include "conversation/ngx_http_ollama_conversation_turn.h"
#include "conversation/ngx_http_ollama_turn_error.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"
#include "core/ngx_http_ollama_response.h"
#include "reply/ngx_http_ollama_tap.h"
#include "request/ngx_http_ollama_body.h"
#include "request/ngx_http_ollama_scan.h"
#include "session/ngx_http_ollama_save.h"
#include "task/ngx_http_ollama_task.h"
#include "util/ngx_http_ollama_utf8.h"


static ngx_http_ollama_conversation_t *ngx_http_ollama_conversation_create(
    ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_conversation_begin(
    ngx_http_ollama_conversation_t *conv);
static void ngx_http_ollama_conversation_next(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_turn(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_header(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_header_lines(
    ngx_http_ollama_conversation_t *conv);
static void ngx_http_ollama_conversation_write_handler(ngx_http_request_t *r);
static void ngx_http_ollama_conversation_flush(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_conversation_turn_done(
    ngx_http_ollama_conversation_t *conv);
static void ngx_http_ollama_conversation_log_error(
    ngx_http_ollama_conversation_t *conv, ngx_uint_t turn);
static ngx_int_t ngx_http_ollama_conversation_newline(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_record(
    ngx_http_ollama_conversation_t *conv, ngx_http_ollama_turn_end_e end);
static ngx_int_t ngx_http_ollama_conversation_add_reply(
    ngx_http_ollama_conversation_t *conv, ngx_http_ollama_turn_t *turn,
    ngx_http_ollama_turn_end_e end, ngx_str_t *message, ngx_str_t *stats);
static void ngx_http_ollama_conversation_end(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_send(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_conversation_end_t *end);
static void ngx_http_ollama_conversation_cleanup(void *data);


/* how a turn has ended, as the session's history says it */

static ngx_str_t  ngx_http_ollama_conversation_status[] = {
    ngx_string("complete"),      /* NGX_HTTP_OLLAMA_TURN_COMPLETE */
    ngx_string("cancelled"),     /* NGX_HTTP_OLLAMA_TURN_CANCELLED */
    ngx_string("interrupted")    /* NGX_HTTP_OLLAMA_TURN_FAILED */
};


ngx_int_t
ngx_http_ollama_conversation_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_conversation_t  *conv;

    ctx = ngx_http_ollama_get_ctx(r);

    conv = ngx_http_ollama_conversation_create(r, ctx);
    if (conv == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_ollama_conversation_start_check(conv);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ctx->has_task ? NGX_OK
                       : ngx_http_ollama_task_begin(r, ctx,
                                            ngx_http_ollama_conversation_stop);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_error_task_in_use(r, ctx,
                                                 &ctx->scan->task_id);
    }

    rc = ngx_http_ollama_conversation_begin(conv);

    if (rc != NGX_OK) {
        return rc;
    }

    return NGX_DONE;
}


static ngx_http_ollama_conversation_t *
ngx_http_ollama_conversation_create(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_cleanup_t              *cln;
    ngx_http_ollama_conversation_t  *conv;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_http_ollama_conversation_t));
    if (cln == NULL) {
        return NULL;
    }

    conv = cln->data;
    ngx_memzero(conv, sizeof(ngx_http_ollama_conversation_t));

    conv->request = r;
    conv->ctx = ctx;
    conv->body = ctx->conv_body;
    conv->next = ngx_http_ollama_conversation_next;
    conv->stopped = ctx->cancelled;

    if (ngx_http_ollama_conversation_start(conv) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_http_ollama_conversation_cleanup;
    ctx->conversation = conv;

    return conv;
}


/* NGX_OK: the request waits, r->main->count includes that. */

static ngx_int_t
ngx_http_ollama_conversation_begin(ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = conv->request;

    if (conv->save) {
        rc = ngx_http_ollama_conversation_session_begin(conv);

        if (rc != NGX_OK) {
            return rc;
        }

    } else if (ngx_http_ollama_conversation_prompt_init(&conv->said, r->pool,
                                                        conv->body)
               != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_ollama_conversation_write_handler;

    if (r->connection->read->ready) {
        /* the client may have closed the connection already */
        ngx_post_event(r->connection->read, &ngx_posted_events);
    }

    r->main->count++;

    if (conv->save == NULL) {
        ngx_http_ollama_conversation_next(conv);
    }

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_next(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_request_t  *r;

    r = conv->request;

    if (conv->stopped || conv->error.len
        || conv->turns == conv->body->max_turns)
    {
        ngx_http_ollama_conversation_end(conv);
        return;
    }

    if (conv->body->stream && conv->started) {

        /*
         * nothing is sent while a turn waits for its server: so the client
         * must get all of the turn before first
         */

        if (ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }

        if (r->buffered || r->connection->buffered) {
            conv->draining = 1;
            ngx_http_ollama_conversation_flush(r);
            return;
        }
    }

    if (ngx_http_ollama_conversation_turn(conv) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static ngx_int_t
ngx_http_ollama_conversation_turn(ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = conv->request;

    if (!conv->started) {
        conv->started = 1;

        if (conv->save == NULL
            && ngx_http_ollama_conversation_prompt_add(&conv->said,
                                         NGX_HTTP_OLLAMA_CONVERSATION_USER,
                                         NULL, &conv->body->initial, 1)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (conv->body->stream) {
            rc = ngx_http_ollama_conversation_header(conv);

            if (rc == NGX_ERROR || rc > NGX_OK) {
                return NGX_ERROR;
            }

            if (ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR) {
                return NGX_ERROR;
            }
        }
    }

    return ngx_http_ollama_turn_begin(conv);
}


/* The header of a stream. */

static ngx_int_t
ngx_http_ollama_conversation_header(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_request_t  *r;

    r = conv->request;

    r->headers_out.status = NGX_HTTP_OK;

    ngx_str_set(&r->headers_out.content_type, "application/x-ndjson");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_ollama_conversation_header_lines(conv) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_send_header(r);
}


/* Header lines about the conversation. */

static ngx_int_t
ngx_http_ollama_conversation_header_lines(ngx_http_ollama_conversation_t *conv)
{
    if (conv->save
        && ngx_http_ollama_header_add(conv->request, "X-Ollama-Session-Id",
                                      &conv->ctx->scan->session_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_tap_headers(conv->request, conv->ctx);
}


/*
 * A turn has ended, or the client can take more.  While a turn runs, nginx
 * calls its subrequest's handler instead.
 */

static void
ngx_http_ollama_conversation_write_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_connection_t                *c;
    ngx_http_ollama_ctx_t           *ctx;
    ngx_http_ollama_conversation_t  *conv;

    c = r->connection;
    ctx = ngx_http_ollama_get_ctx(r);
    conv = ctx->conversation;

    if (c->write->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (conv->turn && conv->turn->ended) {
        rc = ngx_http_ollama_conversation_turn_done(conv);

        if (rc == NGX_OK) {
            ngx_http_ollama_conversation_next(conv);

        } else if (rc == NGX_ERROR) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    if (c->write->delayed) {
        return;
    }

    if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    if (conv->draining && !r->buffered && !c->buffered) {
        conv->draining = 0;
        ngx_http_ollama_conversation_flush(r);
        ngx_http_ollama_conversation_next(conv);
        return;
    }

    ngx_http_ollama_conversation_flush(r);
}


/* Gives the client its send_timeout for what is buffered, as any reply. */

static void
ngx_http_ollama_conversation_flush(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;

    if (wev->delayed) {
        /* by limit_rate, which uses the timer */
        return;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->buffered || r->connection->buffered) {
        ngx_add_timer(wev, clcf->send_timeout);

    } else if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


/* NGX_AGAIN: the reply is on its way to Redis, conv->next() will be called. */

static ngx_int_t
ngx_http_ollama_conversation_turn_done(ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t                    rc;
    ngx_http_ollama_turn_t      *turn;
    ngx_http_ollama_turn_end_e   end;

    turn = conv->turn;

    ngx_http_ollama_capture_end(turn->capture);

    end = ngx_http_ollama_turn_end(turn);

    if (end == NGX_HTTP_OLLAMA_TURN_COMPLETE) {
        conv->turns++;

        rc = ngx_http_ollama_conversation_prompt_add(&conv->said, turn->self,
                  NULL,
                  &turn->capture->text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str, 0);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED && conv->turns < conv->body->max_turns) {
            ngx_http_ollama_turn_error_too_long(&conv->error);
        }
    }

    if (end == NGX_HTTP_OLLAMA_TURN_FAILED) {
        ngx_http_ollama_turn_error(turn, &conv->error);
    }

    if (conv->error.len) {
        ngx_http_ollama_conversation_log_error(conv, turn->number);
    }

    if (conv->error.len || conv->turns == conv->body->max_turns) {
        /* it ends now: there is nothing to stop any more */
        ngx_http_ollama_task_end(conv->ctx, 0);
    }

    if (turn->is_reply && turn->state != turn_line && conv->body->stream
        && ngx_http_ollama_conversation_newline(conv) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_conversation_record(conv, end);
}


/* The error may be a server's text. */

static void
ngx_http_ollama_conversation_log_error(ngx_http_ollama_conversation_t *conv,
    ngx_uint_t turn)
{
    size_t  len;
    u_char  text[NGX_HTTP_OLLAMA_TURN_HEAD];

    len = ngx_min(conv->error.len, sizeof(text));

    ngx_memcpy(text, conv->error.data, len);

    len = ngx_http_ollama_utf8_clean(text, len);

    ngx_log_error(NGX_LOG_INFO, conv->request->connection->log, 0,
                  "ollama conversation ends in turn %ui: %*s", turn, len,
                  text);
}


/* A server may leave out the newline of its last line. */

static ngx_int_t
ngx_http_ollama_conversation_newline(ngx_http_ollama_conversation_t *conv)
{
    ngx_chain_t  *out;

    static ngx_str_t  newline = ngx_string("\n");

    if (ngx_http_ollama_response_add(conv->request->pool, &out, &newline)
        == NULL)
    {
        return NGX_ERROR;
    }

    out->buf->flush = 1;

    return (ngx_http_output_filter(conv->request, out) == NGX_ERROR)
           ? NGX_ERROR : NGX_OK;
}


/*
 * Records the reply of a turn: it is stored in the session, or listed in the
 * closing object, or both.  Destroys the turn, or hands it to
 * conversation_save.  NGX_AGAIN: conv->next() will be called.
 */

static ngx_int_t
ngx_http_ollama_conversation_record(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_turn_end_e end)
{
    ngx_str_t                   message, stats, *status;
    ngx_pool_t                 *pool;
    ngx_http_ollama_capture_t  *capture;
    ngx_http_ollama_turn_t     *turn;

    turn = conv->turn;
    conv->turn = NULL;

    capture = turn->capture;

    if (conv->save && conv->turns == 0
        && ngx_http_ollama_save_is_refused(turn->request))
    {
        conv->save->refused = 1;
    }

    if ((!turn->is_reply && !conv->stopped)
        || (conv->body->stream && conv->save == NULL))
    {
        ngx_destroy_pool(turn->pool);
        return NGX_OK;
    }

    pool = conv->body->stream ? turn->pool : conv->request->pool;

    if (ngx_http_ollama_capture_message(capture, pool, &message) != NGX_OK
        || ngx_http_ollama_capture_stats(capture, pool, &stats) != NGX_OK)
    {
        ngx_destroy_pool(turn->pool);
        return NGX_ERROR;
    }

    if (!conv->body->stream
        && ngx_http_ollama_conversation_add_reply(conv, turn, end, &message,
                                                  &stats)
           != NGX_OK)
    {
        ngx_destroy_pool(turn->pool);
        return NGX_ERROR;
    }

    if (conv->save) {
        status = &ngx_http_ollama_conversation_status[end];

        return ngx_http_ollama_conversation_save(conv, turn, status, &message,
                                       &stats,
                                       conv->stopped || conv->error.len
                                       || conv->turns
                                          == conv->body->max_turns);
    }

    ngx_destroy_pool(turn->pool);

    return NGX_OK;
}


/* Its memory is the request's pool, as that of "message" and "stats". */

static ngx_int_t
ngx_http_ollama_conversation_add_reply(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_turn_t *turn, ngx_http_ollama_turn_end_e end,
    ngx_str_t *message, ngx_str_t *stats)
{
    ngx_str_t                             *reason;
    ngx_http_ollama_conversation_reply_t  *reply;

    reply = ngx_array_push(&conv->replies);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(reply, sizeof(ngx_http_ollama_conversation_reply_t));

    reply->turn = turn->number;
    reply->participant = turn->participant->name;
    reply->model = turn->participant->model;
    reply->server = turn->ctx->server;
    reply->message = *message;
    reply->stats = *stats;

    if (end == NGX_HTTP_OLLAMA_TURN_CANCELLED) {
        reply->done_reason = ngx_http_ollama_conversation_status[end];

    } else if (end == NGX_HTTP_OLLAMA_TURN_COMPLETE) {
        reason = &turn->capture->text[NGX_HTTP_OLLAMA_CAPTURE_REASON].str;

        reply->done_reason.data = ngx_pstrdup(conv->request->pool, reason);
        if (reply->done_reason.data == NULL) {
            return NGX_ERROR;
        }

        reply->done_reason.len = reason->len;
    }

    return NGX_OK;
}


static void
ngx_http_ollama_conversation_end(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_ollama_ctx_t               *ctx;
    ngx_http_ollama_conversation_end_t   end;

    ctx = conv->ctx;

    conv->ended = 1;
    ngx_http_ollama_task_end(ctx, 0);

    ngx_memzero(&end, sizeof(ngx_http_ollama_conversation_end_t));

    end.turns = conv->turns;
    end.task_id = ctx->scan->task_id;
    end.saved = ngx_http_ollama_conversation_save_result(conv);

    if (conv->save) {
        end.session_id = ctx->scan->session_id;
        ngx_http_ollama_conversation_save_end(conv);
    }

    if (conv->stopped) {
        end.reason = NGX_HTTP_OLLAMA_CONVERSATION_CANCELLED;

    } else if (conv->error.len) {
        end.reason = NGX_HTTP_OLLAMA_CONVERSATION_FAILED;
        end.error = conv->error;
        ctx->outcome = conv->has_output ? "interrupted" : "error";

    } else {
        end.reason = NGX_HTTP_OLLAMA_CONVERSATION_DONE;
        ctx->outcome = "ok";
    }

    ngx_http_finalize_request(conv->request,
                              ngx_http_ollama_conversation_send(conv, &end));
}


static ngx_int_t
ngx_http_ollama_conversation_send(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_conversation_end_t *end)
{
    ngx_int_t            rc;
    ngx_str_t            text;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = conv->request;

    if (!conv->body->stream) {
        end->replies = conv->replies.elts;
        end->nreplies = conv->replies.nelts;

        if (ngx_http_ollama_conversation_json_whole(r->pool, end, &text)
            != NGX_OK
            || ngx_http_ollama_conversation_header_lines(conv) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_ollama_response_text(r, &text, 0);
    }

    if (!r->header_sent) {
        rc = ngx_http_ollama_conversation_header(conv);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            return rc;
        }
    }

    if (ngx_http_ollama_conversation_json_line(r->pool, end, &text) != NGX_OK
        || ngx_http_ollama_response_add(r->pool, &out, &text) == NULL)
    {
        return NGX_ERROR;
    }

    out->buf->last_buf = 1;
    out->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, out);
}


/*
 * If Redis is waited for, it answers or fails by its time limit, and then the
 * conversation ends.
 */

void
ngx_http_ollama_conversation_stop(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_connection_t                *c;
    ngx_http_ollama_conversation_t  *conv;

    conv = ctx->conversation;

    ctx->cancelled = 1;

    ngx_http_ollama_task_end(ctx, 1);

    if (conv == NULL) {

        /* it says so when it begins, which the claim of its id waits for */

        if (ctx->state == NGX_HTTP_OLLAMA_READING) {
            c = r->connection;

            ngx_http_ollama_body_finish(r, ctx, NGX_OK);
            ngx_http_run_posted_requests(c);
        }

        return;
    }

    conv->stopped = 1;

    if (conv->turn) {
        ngx_http_ollama_turn_stop(conv->turn);
    }
}


/* The request has ended: Redis is not waited for any more. */

static void
ngx_http_ollama_conversation_cleanup(void *data)
{
    ngx_http_ollama_conversation_t *conv = data;

    conv->ended = 1;

    if (conv->turn && conv->turn->ctx == NULL) {
        /* it could not begin: there is no subrequest to ask */
        ngx_destroy_pool(conv->turn->pool);
        conv->turn = NULL;
    }

    if (conv->turn) {
        ngx_http_ollama_capture_end(conv->turn->capture);
        (void) ngx_http_ollama_conversation_record(conv,
                                       ngx_http_ollama_turn_end(conv->turn));
    }

    if (conv->save) {
        ngx_http_ollama_conversation_save_end(conv);
    }
}
