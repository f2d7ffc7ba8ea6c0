
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What was captured of a reply, as JSON: the message that is stored, and sent
 * to a server of the same kind in later requests; the statistics; and the
 * module's own members in the reply's final frame.
 *
 * A tool call is written only if a server will take it: one that it refuses
 * would make the session useless, as each request has all of its messages.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture.h"
#include "util/ngx_http_ollama_emit.h"


/* bytes of a string that the parser is fed */
#define NGX_HTTP_OLLAMA_CAPTURE_SHOWN  16


static ngx_int_t ngx_http_ollama_capture_check_calls(
    ngx_http_ollama_capture_t *capture, ngx_pool_t *pool, ngx_uint_t *tools);
static ngx_int_t ngx_http_ollama_capture_is_object(ngx_pool_t *pool,
    ngx_str_t *text);
static void ngx_http_ollama_capture_message_walk(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_capture_calling_walk(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_capture_content(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_capture_t *capture);
static void ngx_http_ollama_capture_tools_walk(ngx_http_ollama_emit_t *t,
    void *data);
static void ngx_http_ollama_capture_stats_walk(ngx_http_ollama_emit_t *t,
    void *data);
static u_char *ngx_http_ollama_capture_last_byte(u_char *p, u_char *last);


static const char  *ngx_http_ollama_capture_stat_names[] = {
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration"
};


ngx_int_t
ngx_http_ollama_capture_message(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_uint_t  tools;

    if (ngx_http_ollama_capture_check_calls(capture, pool, &tools) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_ollama_emit_make(pool,
                                     tools
                                     ? ngx_http_ollama_capture_calling_walk
                                     : ngx_http_ollama_capture_message_walk,
                                     capture, text);
}


ngx_int_t
ngx_http_ollama_capture_tools(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_uint_t  tools;

    ngx_str_null(text);

    if (ngx_http_ollama_capture_check_calls(capture, pool, &tools) != NGX_OK) {
        return NGX_ERROR;
    }

    if (tools == 0) {
        return NGX_OK;
    }

    return ngx_http_ollama_emit_make(pool, ngx_http_ollama_capture_tools_walk,
                                     capture, text);
}


ngx_int_t
ngx_http_ollama_capture_stats(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_uint_t  i;

    ngx_str_null(text);

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {

        if (capture->stat[i] != -1) {
            return ngx_http_ollama_emit_make(pool,
                                             ngx_http_ollama_capture_stats_walk,
                                             capture, text);
        }
    }

    return NGX_OK;
}


/*
 * Sets "whole" of each call that came in parts, and *tools if there is any call
 * to write.  A call may have no arguments, if the reply is complete: then none
 * are missing.
 */

static ngx_int_t
ngx_http_ollama_capture_check_calls(ngx_http_ollama_capture_t *capture,
    ngx_pool_t *pool, ngx_uint_t *tools)
{
    ngx_int_t                        rc;
    ngx_uint_t                       i;
    ngx_http_ollama_capture_call_t  *call;

    *tools = (capture->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS].str.len != 0);

    call = capture->calls.elts;

    for (i = 0; i < capture->calls.nelts; i++) {

        call[i].whole = 0;

        if (call[i].name.str.len == 0) {
            continue;
        }

        if (call[i].arguments.str.len == 0) {
            call[i].whole = (capture->last && !capture->truncated);

        } else {

            rc = ngx_http_ollama_capture_is_object(pool,
                                                   &call[i].arguments.str);
            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            call[i].whole = (rc == NGX_OK);
        }

        *tools |= call[i].whole;
    }

    return NGX_OK;
}


/* NGX_DECLINED: the text is no JSON object. */

static ngx_int_t
ngx_http_ollama_capture_is_object(ngx_pool_t *pool, ngx_str_t *text)
{
    u_char                  *p, *last;
    ngx_int_t                rc;
    ngx_http_ollama_json_t   json;

    p = text->data;
    last = p + text->len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
        p++;
    }

    if (p == last || *p != '{') {
        return NGX_DECLINED;
    }

    ngx_memzero(&json, sizeof(ngx_http_ollama_json_t));

    if (ngx_http_ollama_json_init(&json, pool, NULL, NULL,
                                  NGX_HTTP_OLLAMA_CAPTURE_SHOWN, 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_ollama_json_feed(&json, text->data, text->len);

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_json_end(&json);
    }

    ngx_http_ollama_json_free(&json);

    return (rc == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_ollama_capture_message_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    ngx_http_ollama_capture_content(t, capture);
    ngx_http_ollama_emit_add(t, "}");
}


static void
ngx_http_ollama_capture_calling_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    ngx_http_ollama_capture_content(t, capture);
    ngx_http_ollama_emit_add(t, ",\"tool_calls\":");
    ngx_http_ollama_capture_tools_walk(t, capture);
    ngx_http_ollama_emit_add(t, "}");
}


static void
ngx_http_ollama_capture_content(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_capture_t *capture)
{
    ngx_str_t  *content;

    content = &capture->text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str;

    ngx_http_ollama_emit_add(t, "{\"role\":\"assistant\",\"content\":");
    ngx_http_ollama_emit_string(t, content);
}


static void
ngx_http_ollama_capture_tools_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    ngx_str_t                       *raw;
    ngx_uint_t                       i, n;
    ngx_http_ollama_capture_call_t  *call;

    ngx_http_ollama_emit_add(t, "[");

    raw = &capture->text[NGX_HTTP_OLLAMA_CAPTURE_TOOLS].str;

    if (raw->len) {
        ngx_http_ollama_emit_raw(t, raw);
    }

    n = 0;
    call = capture->calls.elts;

    for (i = 0; i < capture->calls.nelts; i++) {

        if (!call[i].whole) {
            continue;
        }

        ngx_http_ollama_emit_add(t, n++ ? ",{\"id\":" : "{\"id\":");
        ngx_http_ollama_emit_string(t, &call[i].id.str);
        ngx_http_ollama_emit_add(t, ",\"type\":\"function\",\"function\":"
                                    "{\"name\":");
        ngx_http_ollama_emit_string(t, &call[i].name.str);
        ngx_http_ollama_emit_add(t, ",\"arguments\":");

        if (call[i].arguments.str.len) {
            ngx_http_ollama_emit_string(t, &call[i].arguments.str);

        } else {
            ngx_http_ollama_emit_add(t, "\"{}\"");
        }

        ngx_http_ollama_emit_add(t, "}}");
    }

    ngx_http_ollama_emit_add(t, "]");
}


static void
ngx_http_ollama_capture_stats_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    ngx_uint_t  i, n;

    ngx_http_ollama_emit_add(t, "{");

    n = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_STATS; i++) {

        if (capture->stat[i] == -1) {
            continue;
        }

        ngx_http_ollama_emit_add(t, n++ ? ",\"" : "\"");
        ngx_http_ollama_emit_add(t, ngx_http_ollama_capture_stat_names[i]);
        ngx_http_ollama_emit_add(t, "\":");
        ngx_http_ollama_emit_number(t, capture->stat[i]);
    }

    ngx_http_ollama_emit_add(t, "}");
}


size_t
ngx_http_ollama_capture_mark(u_char *dst, ngx_str_t *frame,
    ngx_str_t *session_id, ngx_uint_t saved)
{
    u_char                  *p, *close, *last;
    ngx_str_t                part;
    ngx_http_ollama_emit_t   t;

    t.pos = dst;
    t.len = 0;

    p = frame->data;
    last = p + frame->len;

    close = ngx_http_ollama_capture_last_byte(p, last);

    if (close == NULL || *close != '}') {

        if (frame->len) {
            ngx_http_ollama_emit_raw(&t, frame);
        }

        return t.len;
    }

    part.data = p;
    part.len = close - p;

    ngx_http_ollama_emit_raw(&t, &part);

    p = ngx_http_ollama_capture_last_byte(p, close);

    ngx_http_ollama_emit_add(&t, (p && *p == '{') ? "\"session_id\":"
                                                  : ",\"session_id\":");
    ngx_http_ollama_emit_string(&t, session_id);
    ngx_http_ollama_emit_add(&t, saved ? ",\"saved\":true"
                                       : ",\"saved\":false");

    part.data = close;
    part.len = last - close;

    ngx_http_ollama_emit_raw(&t, &part);

    return t.len;
}


/* Returns the last byte before "last" that is no white space; NULL: none. */

static u_char *
ngx_http_ollama_capture_last_byte(u_char *p, u_char *last)
{
    while (last > p) {

        last--;

        if (*last != ' ' && *last != '\t' && *last != '\r' && *last != '\n') {
            return last;
        }
    }

    return NULL;
}
