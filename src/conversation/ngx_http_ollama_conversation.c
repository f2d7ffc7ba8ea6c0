
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Models that talk with each other, turn by turn, in one reply.  A content
 * handler: the body has been read when it is called.  What can be checked
 * before anything is generated is (conversation_start), then one turn comes
 * after another, each a subrequest (conversation_turn), and Redis is waited for
 * in between where there is a session (conversation_session).
 *
 * ngx_http_ollama_conversation_next() is the one place that goes on.  It is
 * called by the request's own handlers, when a turn is over or Redis has
 * answered, so that nothing nests: neither subrequests nor functions.
 *
 * A stop is a flag that is looked at there; a turn that runs is ended first.
 * Whatever way it ends, the client gets one closing line, and what was said is
 * stored; where the client is gone, the cleanup stores it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation.h"
#include "conversation/ngx_http_ollama_conversation_json.h"
#include "conversation/ngx_http_ollama_conversation_prompt.h"
#include "conversation/ngx_http_ollama_conversation_save.h"
#include "conversation/ngx_http_ollama_conversation_session.h"
#include "conversation/ngx_http_ollama_conversation_start.h"
#include "conversation/ngx_http_ollama_conversation_state.h"
#include "conversation/ngx_http_ollama_conversation_turn.h"
#include "core/ngx_http_ollama_error.h"
#include "core/ngx_http_ollama_header.h"
#include "core/ngx_http_ollama_response.h"
#include "reply/ngx_http_ollama_tap.h"
#include "request/ngx_http_ollama_scan.h"
#include "task/ngx_http_ollama_task.h"


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
static ngx_int_t ngx_http_ollama_conversation_lines(
    ngx_http_ollama_conversation_t *conv);
static void ngx_http_ollama_conversation_write_handler(ngx_http_request_t *r);
static void ngx_http_ollama_conversation_flush(ngx_http_request_t *r);
static ngx_int_t ngx_http_ollama_conversation_turn_over(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_newline(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_keep(
    ngx_http_ollama_conversation_t *conv, ngx_http_ollama_turn_end_e end);
static ngx_int_t ngx_http_ollama_conversation_list(
    ngx_http_ollama_conversation_t *conv, ngx_http_ollama_turn_t *turn,
    ngx_http_ollama_turn_end_e end, ngx_str_t *message, ngx_str_t *stats);
static void ngx_http_ollama_conversation_end(
    ngx_http_ollama_conversation_t *conv);
static ngx_int_t ngx_http_ollama_conversation_send(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_conversation_end_t *end);
static void ngx_http_ollama_conversation_stop(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx);
static void ngx_http_ollama_conversation_cleanup(void *data);


/* how a turn has ended, for who reads of it later */

static ngx_str_t  ngx_http_ollama_conversation_status[] = {
    ngx_string("complete"),      /* NGX_HTTP_OLLAMA_TURN_COMPLETE */
    ngx_string("cancelled"),     /* NGX_HTTP_OLLAMA_TURN_CANCELLED */
    ngx_string("interrupted")    /* NGX_HTTP_OLLAMA_TURN_FAILED */
};


/* POST /api/chat/multi-model */

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

    rc = ngx_http_ollama_conversation_check(conv);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_ollama_task_begin(r, ctx, ngx_http_ollama_conversation_stop);

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

    if (ngx_http_ollama_conversation_start(conv) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_http_ollama_conversation_cleanup;
    ctx->conversation = conv;

    return conv;
}


/* NGX_OK: the request waits, and has a count for that. */

static ngx_int_t
ngx_http_ollama_conversation_begin(ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = conv->request;

    if (conv->saving) {
        rc = ngx_http_ollama_conversation_session_begin(conv);

        if (rc != NGX_OK) {
            return rc;
        }

    } else if (ngx_http_ollama_conversation_prompt_init(r->pool, conv->body)
               != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_ollama_conversation_write_handler;

    if (r->connection->read->ready) {
        /* the client may have gone already */
        ngx_post_event(r->connection->read, &ngx_posted_events);
    }

    r->main->count++;

    if (conv->saving == NULL) {
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

    if (conv->body->stream && conv->opened) {

        /*
         * while a turn waits for its server nothing is sent: first the client
         * shall have all of the one before
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
    ngx_int_t                     rc;
    ngx_http_request_t           *r;
    ngx_http_ollama_utterance_t  *utterance;

    r = conv->request;

    if (!conv->opened) {
        conv->opened = 1;

        utterance = ngx_array_push(&conv->said);
        if (utterance == NULL) {
            return NGX_ERROR;
        }

        if (ngx_http_ollama_conversation_say(r->pool, conv->body, utterance,
                                         NGX_HTTP_OLLAMA_CONVERSATION_USER,
                                         NULL, &conv->body->initial, 0)
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

    if (ngx_http_ollama_conversation_lines(conv) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_send_header(r);
}


/* Header lines that tell of the conversation. */

static ngx_int_t
ngx_http_ollama_conversation_lines(ngx_http_ollama_conversation_t *conv)
{
    if (conv->saving
        && ngx_http_ollama_header_add(conv->request, "X-Session-Id",
                                      &conv->ctx->scan->session_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_tap_headers(conv->request, conv->ctx);
}


/*
 * A turn is over, or the client takes more.  While a turn runs it is its
 * subrequest that is called.
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
        rc = ngx_http_ollama_conversation_turn_over(conv);

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


/* The client gets its time for what waits, as with any reply. */

static void
ngx_http_ollama_conversation_flush(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;

    if (wev->delayed) {
        /* by limit_rate, whose timer it is */
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


/* NGX_AGAIN: Redis has what was said, and will answer. */

static ngx_int_t
ngx_http_ollama_conversation_turn_over(ngx_http_ollama_conversation_t *conv)
{
    ngx_str_t                    *content;
    ngx_http_ollama_turn_t       *turn;
    ngx_http_ollama_turn_end_e    end;
    ngx_http_ollama_utterance_t  *utterance;

    turn = conv->turn;

    ngx_http_ollama_capture_end(turn->said);

    end = ngx_http_ollama_turn_end(turn);

    if (end == NGX_HTTP_OLLAMA_TURN_COMPLETE) {
        conv->turns++;

        content = &turn->said->text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str;
        conv->size += content->len;

        utterance = ngx_array_push(&conv->said);
        if (utterance == NULL) {
            return NGX_ERROR;
        }

        if (ngx_http_ollama_conversation_say(conv->request->pool, conv->body,
                                             utterance, turn->self, NULL,
                                             content, 0)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (end == NGX_HTTP_OLLAMA_TURN_FAILED) {
        ngx_http_ollama_turn_error(turn, &conv->error);

        ngx_log_error(NGX_LOG_INFO, conv->request->connection->log, 0,
                      "ollama conversation ends in turn %ui: %V",
                      turn->number, &conv->error);
    }

    if (conv->error.len || conv->turns == conv->body->max_turns) {
        /* its end can't be stopped any more */
        ngx_http_ollama_task_end(conv->ctx, 0);
    }

    if (turn->heard && turn->place != turn_start && conv->body->stream
        && ngx_http_ollama_conversation_newline(conv) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_ollama_conversation_keep(conv, end);
}


/* A server may leave out the end of its last line. */

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


/* What the turn has said is stored, or listed in the closing object. */

static ngx_int_t
ngx_http_ollama_conversation_keep(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_turn_end_e end)
{
    ngx_str_t                   message, stats, *status;
    ngx_pool_t                 *pool;
    ngx_http_ollama_capture_t  *said;
    ngx_http_ollama_turn_t     *turn;

    turn = conv->turn;
    conv->turn = NULL;

    said = turn->said;

    if ((!turn->heard && !conv->stopped)
        || (conv->body->stream && conv->saving == NULL))
    {
        ngx_destroy_pool(turn->pool);
        return NGX_OK;
    }

    pool = conv->body->stream ? turn->pool : conv->request->pool;

    if (ngx_http_ollama_capture_message(said, pool, &message) != NGX_OK
        || ngx_http_ollama_capture_stats(said, pool, &stats) != NGX_OK)
    {
        ngx_destroy_pool(turn->pool);
        return NGX_ERROR;
    }

    if (!conv->body->stream
        && ngx_http_ollama_conversation_list(conv, turn, end, &message, &stats)
           != NGX_OK)
    {
        ngx_destroy_pool(turn->pool);
        return NGX_ERROR;
    }

    if (conv->saving) {
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


/* In the pool of the request, as the message and the statistics are. */

static ngx_int_t
ngx_http_ollama_conversation_list(ngx_http_ollama_conversation_t *conv,
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
        reason = &turn->said->text[NGX_HTTP_OLLAMA_CAPTURE_REASON].str;

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

    conv->over = 1;
    ngx_http_ollama_task_end(ctx, 0);

    ngx_memzero(&end, sizeof(ngx_http_ollama_conversation_end_t));

    end.turns = conv->turns;
    end.task_id = ctx->scan->task_id;
    end.saved = ngx_http_ollama_conversation_save_result(conv);

    if (conv->saving) {
        end.session_id = ctx->scan->session_id;
        ngx_http_ollama_conversation_save_end(conv);
    }

    if (conv->stopped) {
        end.reason = NGX_HTTP_OLLAMA_CONVERSATION_CANCELLED;

    } else if (conv->error.len) {
        end.reason = NGX_HTTP_OLLAMA_CONVERSATION_FAILED;
        end.error = conv->error;
        ctx->outcome = conv->heard ? "interrupted" : "error";

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
            || ngx_http_ollama_conversation_lines(conv) != NGX_OK)
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
 * The task's way to be stopped: see ngx_http_ollama_task_stop_pt.  Redis, if
 * it is waited for, answers or fails by its time limit.
 */

static void
ngx_http_ollama_conversation_stop(ngx_http_request_t *r,
    ngx_http_ollama_ctx_t *ctx)
{
    ngx_http_ollama_conversation_t  *conv;

    conv = ctx->conversation;

    conv->stopped = 1;
    ctx->cancelled = 1;

    ngx_http_ollama_task_end(ctx, 1);

    if (conv->turn) {
        ngx_http_ollama_turn_stop(conv->turn);
    }
}


/* The request is over, and Redis' answers are waited for no more. */

static void
ngx_http_ollama_conversation_cleanup(void *data)
{
    ngx_http_ollama_conversation_t *conv = data;

    conv->over = 1;

    if (conv->turn && conv->turn->ctx == NULL) {
        /* it could not be begun */
        ngx_destroy_pool(conv->turn->pool);
        conv->turn = NULL;
    }

    if (conv->turn) {
        ngx_http_ollama_capture_end(conv->turn->said);
        (void) ngx_http_ollama_conversation_keep(conv,
                                       ngx_http_ollama_turn_end(conv->turn));
    }

    if (conv->saving) {
        ngx_http_ollama_conversation_save_end(conv);
    }
}
