
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The last frame of a generation that was stopped, of every endpoint, as a
 * stream or whole, at its beginning or later, whatever the model is called:
 * it is sound JSON in the framing that it has to have, our own parser finds
 * the reply complete, and it says what it is to say.
 */


#include "unit.h"

#include <jansson.h>

#include "reply/ngx_http_ollama_final_frame.h"
#include "reply/ngx_http_ollama_frame.h"


#define LINES  NGX_HTTP_OLLAMA_FRAME_LINES
#define SSE    NGX_HTTP_OLLAMA_FRAME_SSE
#define WHOLE  NGX_HTTP_OLLAMA_FRAME_WHOLE

#define MAX_EVENTS  8
#define MAX_TEXT    65536


typedef struct {
    const char                    *title;
    ngx_str_t                      path;
    ngx_http_ollama_frame_end_e    last;
    ngx_http_ollama_frame_form_e   form;
    const char                    *object;   /* of OpenAI's */
} last_case_t;


static last_case_t  last_cases[] = {

    { "chat", ngx_string("/api/chat"), NGX_HTTP_OLLAMA_END_DONE, LINES,
      NULL },
    { "chat, whole", ngx_string("/api/chat"), NGX_HTTP_OLLAMA_END_DONE, WHOLE,
      NULL },

    { "generate", ngx_string("/api/generate"), NGX_HTTP_OLLAMA_END_DONE,
      LINES, NULL },
    { "generate, whole", ngx_string("/api/generate"),
      NGX_HTTP_OLLAMA_END_DONE, WHOLE, NULL },

    { "chat completions", ngx_string("/v1/chat/completions"),
      NGX_HTTP_OLLAMA_END_MARK, SSE, "chat.completion.chunk" },
    { "chat completions, whole", ngx_string("/v1/chat/completions"),
      NGX_HTTP_OLLAMA_END_MARK, WHOLE, "chat.completion" },

    { "completions", ngx_string("/v1/completions"),
      NGX_HTTP_OLLAMA_END_MARK, SSE, "text_completion" },
    { "completions, whole", ngx_string("/v1/completions"),
      NGX_HTTP_OLLAMA_END_MARK, WHOLE, "text_completion" },

    { "responses", ngx_string("/v1/responses"),
      NGX_HTTP_OLLAMA_END_RESPONSE, SSE, "response" },
    { "responses, whole", ngx_string("/v1/responses"),
      NGX_HTTP_OLLAMA_END_RESPONSE, WHOLE, "response" },

    { "messages", ngx_string("/v1/messages"), NGX_HTTP_OLLAMA_END_MESSAGE,
      SSE, NULL },
    { "messages, whole", ngx_string("/v1/messages"),
      NGX_HTTP_OLLAMA_END_MESSAGE, WHOLE, NULL }
};


static ngx_str_t  models[] = {
    ngx_string("m1"),
    ngx_string("llama3.2:latest"),
    ngx_string(""),
    ngx_string("a\"b\\c/d"),
    ngx_string("\",\"done\":false,\"x\":\""),
    ngx_string("\n\r\t\b\f\x01\x1f\x7f"),
    ngx_string("data: [DONE]\n\n"),
    ngx_string("\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80 \xe2\x80\xa8"),
    ngx_string("100%s%V%n{}")
};


/* what there was before; the block is that of a message */

static struct {
    ngx_uint_t  frames;
    ngx_int_t   block;
    ngx_int_t   tokens;
} befores[] = {
    { 0, -1, -1 }, { 1, -1, -1 }, { 2, 0, -1 }, { 3, 0, 2 }, { 40, 11, 30 },
    { NGX_MAX_INT_T_VALUE, NGX_MAX_INT_T_VALUE, NGX_MAX_INT_T_VALUE }
};


typedef struct {
    char     name[64];       /* of the event; "": it has none */
    json_t  *data;
} last_event_t;


static ngx_uint_t
last_begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}


static json_t *
last_json(const char *text, size_t len)
{
    json_t        *value;
    json_error_t   error;

    value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (value == NULL) {
        fail_msg("%s at %d: %.*s", error.text, error.position, (int) len,
                 text);
    }

    assert_true(json_is_object(value));

    return value;
}


static const char *
last_text(json_t *value, const char *key)
{
    const char  *text;

    text = json_string_value(json_object_get(value, key));

    if (text == NULL) {
        fail_msg("there is no \"%s\"", key);
    }

    return text;
}


/* The events of a stream: each a name, or none, and one line of data. */

static ngx_uint_t
last_events(char *p, last_event_t *event)
{
    char        *nl;
    ngx_uint_t   n;

    for (n = 0; *p; n++) {

        assert_true(n < MAX_EVENTS);

        event[n].name[0] = '\0';
        event[n].data = NULL;

        if (last_begins(p, "event: ")) {
            nl = strchr(p, '\n');
            assert_non_null(nl);
            *nl = '\0';
            snprintf(event[n].name, sizeof(event[n].name), "%s", p + 7);
            p = nl + 1;
        }

        assert_true(last_begins(p, "data: "));

        nl = strchr(p, '\n');
        assert_non_null(nl);
        assert_int_equal(nl[1], '\n');
        *nl = '\0';

        if (strcmp(p, "data: [DONE]") == 0) {
            snprintf(event[n].name, sizeof(event[n].name), "[DONE]");

        } else {
            event[n].data = last_json(p + 6, strlen(p + 6));
        }

        p = nl + 2;
    }

    return n;
}


static void
last_ollama(last_case_t *row, json_t *data)
{
    json_t  *message;

    assert_true(json_is_true(json_object_get(data, "done")));
    assert_string_equal(last_text(data, "done_reason"), "cancelled");
    assert_string_equal(last_text(data, "created_at"),
                        "2026-11-23T06:07:08.009Z");

    if (last_begins((char *) row->path.data, "/api/chat")) {
        message = json_object_get(data, "message");
        assert_string_equal(last_text(message, "role"), "assistant");
        assert_string_equal(last_text(message, "content"), "");
        assert_null(json_object_get(data, "response"));

    } else {
        assert_string_equal(last_text(data, "response"), "");
        assert_null(json_object_get(data, "message"));
    }
}


static void
last_openai(last_case_t *row, json_t *data)
{
    json_t      *choice, *holder;
    const char  *key;

    assert_string_equal(last_text(data, "object"), row->object);
    assert_int_equal(json_integer_value(json_object_get(data, "created")),
                     1795414028);
    assert_int_equal(json_array_size(json_object_get(data, "choices")), 1);

    choice = json_array_get(json_object_get(data, "choices"), 0);

    assert_string_equal(last_text(choice, "finish_reason"), "stop");
    assert_int_equal(json_integer_value(json_object_get(choice, "index")), 0);

    if (strcmp(row->object, "text_completion") == 0) {
        assert_string_equal(last_text(data, "id"), "cmpl-task-1");
        assert_string_equal(last_text(choice, "text"), "");

    } else {
        key = (row->form == WHOLE) ? "message" : "delta";
        holder = json_object_get(choice, key);
        assert_string_equal(last_text(data, "id"), "chatcmpl-task-1");
        assert_string_equal(last_text(holder, "content"), "");
    }

    assert_int_equal(json_is_object(json_object_get(data, "usage")),
                     row->form == WHOLE);
}


static void
last_response(last_case_t *row, ngx_http_ollama_final_frame_t *last,
    json_t *data)
{
    assert_string_equal(last_text(data, "object"), row->object);
    assert_string_equal(last_text(data, "id"),
                        last->reply.len ? "resp_77" : "resp_task-1");
    assert_string_equal(last_text(data, "status"), "incomplete");
    assert_true(json_is_array(json_object_get(data, "output")));
}


static void
last_message(json_t *data, ngx_uint_t whole)
{
    assert_string_equal(last_text(data, "type"), "message");
    assert_string_equal(last_text(data, "id"), "msg_task-1");
    assert_string_equal(last_text(data, "role"), "assistant");
    assert_int_equal(json_array_size(json_object_get(data, "content")), 0);

    if (whole) {
        assert_string_equal(last_text(data, "stop_reason"), "end_turn");

    } else {
        assert_true(json_is_null(json_object_get(data, "stop_reason")));
    }
}


/* The events of a message: its start, if there was none, and all its ends. */

static json_t *
last_message_events(last_event_t *event, ngx_uint_t n,
    ngx_http_ollama_final_frame_t *last)
{
    json_t      *data, *first;
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {
        assert_string_equal(last_text(event[i].data, "type"), event[i].name);
    }

    i = 0;
    first = NULL;

    if (last->frames == 0) {
        assert_string_equal(event[i].name, "message_start");
        first = json_object_get(event[i++].data, "message");
        last_message(first, 0);
    }

    if (last->block != -1) {
        assert_string_equal(event[i].name, "content_block_stop");
        data = json_object_get(event[i++].data, "index");
        assert_int_equal(json_integer_value(data), last->block);
    }

    assert_int_equal(n, i + 2);
    assert_string_equal(event[i].name, "message_delta");

    data = json_object_get(event[i].data, "delta");
    assert_string_equal(last_text(data, "stop_reason"), "end_turn");

    data = json_object_get(event[i].data, "usage");
    data = json_object_get(data, "output_tokens");
    assert_int_equal(json_integer_value(data),
                     ngx_max(last->generated_tokens, 0));

    assert_string_equal(event[i + 1].name, "message_stop");

    return first;
}


/* The response in the last event; one that was not begun is begun. */

static json_t *
last_response_events(last_event_t *event, ngx_uint_t n,
    ngx_http_ollama_final_frame_t *last)
{
    json_t      *about, *first;
    ngx_uint_t   i, number;

    static char  *names[] = {
        "response.created", "response.in_progress", "response.incomplete"
    };

    assert_int_equal(n, last->frames ? 1 : 3);

    about = NULL;
    first = json_object_get(event[0].data, "response");

    for (i = 0; i < n; i++) {
        assert_string_equal(event[i].name, names[3 - n + i]);
        assert_string_equal(last_text(event[i].data, "type"), event[i].name);

        number = json_integer_value(json_object_get(event[i].data,
                                                    "sequence_number"));
        assert_int_equal(number, last->frames + i);

        about = json_object_get(event[i].data, "response");

        assert_string_equal(last_text(about, "id"), last_text(first, "id"));
        assert_string_equal(last_text(about, "model"),
                            last_text(first, "model"));

        if (i + 1 < n) {
            assert_string_equal(last_text(about, "status"), "in_progress");
            assert_true(json_is_null(json_object_get(about,
                                                     "incomplete_details")));
        }
    }

    return about;
}


static void
last_check(last_case_t *row, ngx_http_ollama_final_frame_t *last, char *text)
{
    json_t        *data, *about;
    size_t         len;
    ngx_uint_t     i, n;
    last_event_t   event[MAX_EVENTS];

    len = strlen(text);

    if (row->form == SSE) {
        n = last_events(text, event);

    } else {
        if (row->form == LINES) {
            assert_int_equal(text[--len], '\n');
        }

        assert_null(memchr(text, '\n', len));

        n = 1;
        event[0].data = last_json(text, len);
    }

    data = about = event[0].data;

    switch (row->last) {

    case NGX_HTTP_OLLAMA_END_MARK:
        last_openai(row, data);

        if (row->form == SSE) {
            assert_int_equal(n, 2);
            assert_string_equal(event[0].name, "");
            assert_string_equal(event[1].name, "[DONE]");
        }

        break;

    case NGX_HTTP_OLLAMA_END_RESPONSE:
        if (row->form == SSE) {
            about = last_response_events(event, n, last);
        }

        last_response(row, last, about);
        break;

    case NGX_HTTP_OLLAMA_END_MESSAGE:
        if (row->form == SSE) {
            about = last_message_events(event, n, last);

        } else {
            last_message(data, 1);
        }

        break;

    default: /* NGX_HTTP_OLLAMA_END_DONE */
        last_ollama(row, data);
        break;
    }

    if (about) {
        assert_int_equal(json_string_length(json_object_get(about, "model")),
                         last->model.len);
        assert_memory_equal(last_text(about, "model"), last->model.data,
                            last->model.len);
    }

    for (i = 0; i < n; i++) {
        json_decref(event[i].data);
    }
}


/* What listens to replies finds the end in it. */

static void
last_is_end(last_case_t *row, ngx_pool_t *pool, ngx_str_t *text)
{
    size_t                        good;
    ngx_http_ollama_frame_t       frame;
    ngx_http_ollama_frame_end_e   end;

    ngx_memzero(&frame, sizeof(ngx_http_ollama_frame_t));

    end = (row->form == WHOLE) ? NGX_HTTP_OLLAMA_END_OBJECT : row->last;

    assert_int_equal(ngx_http_ollama_frame_init(&frame, pool, row->form, end),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_frame_feed(&frame, text->data, text->len,
                                                &good), NGX_OK);
    assert_int_equal(ngx_http_ollama_frame_end(&frame), NGX_OK);
    assert_true(frame.done);
    assert_false(frame.error);
    assert_int_equal(frame.line, row->form == WHOLE);
    assert_false(frame.event);
    assert_false(frame.block);
}


static void
last_case_test(void **state)
{
    last_case_t *row = *state;

    static char  copy[MAX_TEXT];

    size_t                         size;
    ngx_log_t                      log;
    ngx_str_t                      text;
    ngx_uint_t                     i, j;
    ngx_pool_t                    *pool;
    ngx_http_ollama_final_frame_t  last;

    ngx_memzero(&log, sizeof(ngx_log_t));
    ngx_memzero(&last, sizeof(ngx_http_ollama_final_frame_t));

    last.path = row->path;
    last.last = row->last;
    last.form = row->form;
    ngx_str_set(&last.id, "task-1");
    last.sec = 1795414028;
    last.msec = 9;

    for (i = 0; i < unit_nelts(models); i++) {
        for (j = 0; j < unit_nelts(befores); j++) {

            last.model = models[i];
            last.frames = befores[j].frames;
            last.block = befores[j].block;
            last.reply.data = (u_char *) "resp_77";
            last.reply.len = befores[j].frames ? 7 : 0;
            last.generated_tokens = befores[j].tokens;

            pool = ngx_create_pool(4096, &log);

            assert_int_equal(ngx_http_ollama_final_frame(&last, pool, &text),
                             NGX_OK);
            assert_true(text.len < sizeof(copy));

            last_is_end(row, pool, &text);

            ngx_memcpy(copy, text.data, text.len);
            copy[text.len] = '\0';
            last_check(row, &last, copy);

            /* no memory: at each of its allocations */

            size = models[i].len + ngx_escape_json(NULL, models[i].data,
                                                   models[i].len);
            ngx_stub_fail_size = size;

            if (size) {
                assert_int_equal(ngx_http_ollama_final_frame(&last, pool,
                                                             &text),
                                 NGX_ERROR);
            }

            ngx_stub_fail_size = 0;
            ngx_destroy_pool(pool);
        }
    }
}


/* The longest names there can be find room. */

static void
last_long_test(void **state)
{
    static u_char  model[10000], id[64];
    static char    copy[MAX_TEXT * 4];

    ngx_log_t                      log;
    ngx_str_t                      text;
    ngx_uint_t                     i;
    ngx_pool_t                    *pool;
    ngx_http_ollama_final_frame_t  last;

    ngx_memzero(&log, sizeof(ngx_log_t));
    ngx_memzero(&last, sizeof(ngx_http_ollama_final_frame_t));
    ngx_memset(model, '\x01', sizeof(model));
    ngx_memset(id, 'x', sizeof(id));

    last.model.data = model;
    last.model.len = sizeof(model);
    last.id.data = id;
    last.id.len = sizeof(id);
    last.sec = 253402300799;
    last.msec = 999;
    last.block = NGX_MAX_INT_T_VALUE;
    last.generated_tokens = NGX_MAX_INT_T_VALUE;

    for (i = 0; i < unit_nelts(last_cases); i++) {

        last.path = last_cases[i].path;
        last.last = last_cases[i].last;
        last.form = last_cases[i].form;

        for (last.frames = 0; last.frames < 2; last.frames++) {

            pool = ngx_create_pool(4096, &log);

            assert_int_equal(ngx_http_ollama_final_frame(&last, pool, &text),
                             NGX_OK);
            assert_true(text.len < sizeof(copy));

            last_is_end(&last_cases[i], pool, &text);
            ngx_destroy_pool(pool);
        }
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, last_case_test, last_cases, sizeof(last_case_t),
                  unit_nelts(last_cases));
    unit_add(&suite, "long names", last_long_test, NULL);

    return unit_run(&suite, "last");
}
