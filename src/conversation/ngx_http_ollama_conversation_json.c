
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What the gateway itself adds to the reply of a conversation: the members in
 * each frame, and the closing object.  Pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "conversation/ngx_http_ollama_conversation_json.h"
#include "util/ngx_http_ollama_emit.h"


typedef struct {
    ngx_uint_t   turn;
    ngx_str_t   *participant;
} ngx_http_ollama_conversation_front_t;


static void ngx_http_ollama_conversation_json_members(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_json_line_walk(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_json_whole_walk(
    ngx_http_ollama_emit_t *t, void *data);
static void ngx_http_ollama_conversation_json_end(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_conversation_end_t *end);
static void ngx_http_ollama_conversation_json_reply(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_conversation_reply_t *reply);
static void ngx_http_ollama_conversation_json_null(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value);


static const char  *ngx_http_ollama_conversation_json_reasons[] = {
    "\"max_turns\"",
    "\"cancelled\"",
    "\"error\""
};


ngx_int_t
ngx_http_ollama_conversation_json_front(ngx_pool_t *pool, ngx_uint_t turn,
    ngx_str_t *participant, ngx_str_t *front)
{
    ngx_http_ollama_conversation_front_t  members;

    members.turn = turn;
    members.participant = participant;

    return ngx_http_ollama_emit_make(pool,
                                     ngx_http_ollama_conversation_json_members,
                                     &members, front);
}


static void
ngx_http_ollama_conversation_json_members(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_conversation_front_t *members = data;

    ngx_http_ollama_emit_add(t, "\"turn\":");
    ngx_http_ollama_emit_number(t, members->turn);
    ngx_http_ollama_emit_add(t, ",\"participant\":");
    ngx_http_ollama_emit_string(t, members->participant);
    ngx_http_ollama_emit_add(t, ",");
}


ngx_int_t
ngx_http_ollama_conversation_json_line(ngx_pool_t *pool,
    ngx_http_ollama_conversation_end_t *end, ngx_str_t *text)
{
    return ngx_http_ollama_emit_make(pool,
                                   ngx_http_ollama_conversation_json_line_walk,
                                   end, text);
}


ngx_int_t
ngx_http_ollama_conversation_json_whole(ngx_pool_t *pool,
    ngx_http_ollama_conversation_end_t *end, ngx_str_t *text)
{
    return ngx_http_ollama_emit_make(pool,
                                  ngx_http_ollama_conversation_json_whole_walk,
                                  end, text);
}


static void
ngx_http_ollama_conversation_json_line_walk(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_conversation_json_end(t, data);
    ngx_http_ollama_emit_add(t, "}\n");
}


static void
ngx_http_ollama_conversation_json_whole_walk(ngx_http_ollama_emit_t *t,
    void *data)
{
    ngx_http_ollama_conversation_end_t *end = data;

    ngx_uint_t  i;

    ngx_http_ollama_conversation_json_end(t, end);
    ngx_http_ollama_emit_add(t, ",\"replies\":[");

    for (i = 0; i < end->nreplies; i++) {

        if (i) {
            ngx_http_ollama_emit_add(t, ",");
        }

        ngx_http_ollama_conversation_json_reply(t, &end->replies[i]);
    }

    ngx_http_ollama_emit_add(t, "]}");
}


/* The closing object, without its "}". */

static void
ngx_http_ollama_conversation_json_end(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_conversation_end_t *end)
{
    ngx_http_ollama_emit_add(t, "{\"type\":\"conversation\",\"done\":true,"
                                "\"done_reason\":");
    ngx_http_ollama_emit_add(t,
                       ngx_http_ollama_conversation_json_reasons[end->reason]);
    ngx_http_ollama_emit_add(t, ",\"turns\":");
    ngx_http_ollama_emit_number(t, end->turns);
    ngx_http_ollama_emit_add(t, ",\"task_id\":");
    ngx_http_ollama_emit_string(t, &end->task_id);
    ngx_http_ollama_conversation_json_null(t, ",\"session_id\":",
                                           &end->session_id);

    switch (end->saved) {

    case NGX_HTTP_OLLAMA_CONVERSATION_SAVED:
        ngx_http_ollama_emit_add(t, ",\"saved\":true");
        break;

    case NGX_HTTP_OLLAMA_CONVERSATION_UNSAVED:
        ngx_http_ollama_emit_add(t, ",\"saved\":false");
        break;

    default: /* NGX_HTTP_OLLAMA_CONVERSATION_UNKNOWN */
        break;
    }

    if (end->error.len) {
        ngx_http_ollama_emit_add(t, ",\"error\":");
        ngx_http_ollama_emit_string(t, &end->error);
    }
}


static void
ngx_http_ollama_conversation_json_reply(ngx_http_ollama_emit_t *t,
    ngx_http_ollama_conversation_reply_t *reply)
{
    ngx_str_t  stats;

    ngx_http_ollama_emit_add(t, "{\"turn\":");
    ngx_http_ollama_emit_number(t, reply->turn);
    ngx_http_ollama_emit_add(t, ",\"participant\":");
    ngx_http_ollama_emit_string(t, &reply->participant);
    ngx_http_ollama_emit_add(t, ",\"model\":");
    ngx_http_ollama_emit_string(t, &reply->model);
    ngx_http_ollama_conversation_json_null(t, ",\"server\":", &reply->server);
    ngx_http_ollama_emit_add(t, ",\"message\":");
    ngx_http_ollama_emit_raw(t, &reply->message);
    ngx_http_ollama_conversation_json_null(t, ",\"done_reason\":",
                                           &reply->done_reason);

    /* the members of the JSON object, if it has any */

    if (reply->stats.len > 2) {
        stats.data = reply->stats.data + 1;
        stats.len = reply->stats.len - 2;

        ngx_http_ollama_emit_add(t, ",");
        ngx_http_ollama_emit_raw(t, &stats);
    }

    ngx_http_ollama_emit_add(t, "}");
}


static void
ngx_http_ollama_conversation_json_null(ngx_http_ollama_emit_t *t,
    const char *name, ngx_str_t *value)
{
    ngx_http_ollama_emit_add(t, name);

    if (value->len) {
        ngx_http_ollama_emit_string(t, value);

    } else {
        ngx_http_ollama_emit_add(t, "null");
    }
}
