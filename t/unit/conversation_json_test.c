
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What we say in the reply of a conversation ourselves: in each frame, at the
 * end of a stream, and instead of one.
 */


#include "unit.h"

#include "conversation/ngx_http_ollama_conversation_json.h"

#include <jansson.h>


typedef struct {
    const char                           *title;
    ngx_http_ollama_conversation_end_t    end;
    const char                           *want;    /* but for its "}" */
} end_case_t;


typedef struct {
    const char                           *title;   /* the participant */
    ngx_uint_t                            turn;
    const char                           *want;
} front_case_t;


static end_case_t  end_cases[] = {

    { "the end", { .reason = NGX_HTTP_OLLAMA_CONVERSATION_DONE, .turns = 10,
                   .task_id = ngx_string("t") },
      "{\"type\":\"conversation\",\"done\":true,\"done_reason\":\"max_turns\","
      "\"turns\":10,\"task_id\":\"t\",\"session_id\":null" },

    { "stopped, before anything was said",
      { .reason = NGX_HTTP_OLLAMA_CONVERSATION_CANCELLED,
        .task_id = ngx_string("a-_Z") },
      "{\"type\":\"conversation\",\"done\":true,\"done_reason\":\"cancelled\","
      "\"turns\":0,\"task_id\":\"a-_Z\",\"session_id\":null" },

    { "failed",
      { .reason = NGX_HTTP_OLLAMA_CONVERSATION_FAILED, .turns = 1,
        .task_id = ngx_string("t"),
        .error = ngx_string("server \"h\": \xc3\xa9\n") },
      "{\"type\":\"conversation\",\"done\":true,\"done_reason\":\"error\","
      "\"turns\":1,\"task_id\":\"t\",\"session_id\":null,"
      "\"error\":\"server \\\"h\\\": \xc3\xa9\\n\"" },

    { "in a session",
      { .reason = NGX_HTTP_OLLAMA_CONVERSATION_DONE, .turns = 100,
        .task_id = ngx_string("t"), .session_id = ngx_string("s"),
        .saved = NGX_HTTP_OLLAMA_CONVERSATION_SAVED },
      "{\"type\":\"conversation\",\"done\":true,\"done_reason\":\"max_turns\","
      "\"turns\":100,\"task_id\":\"t\",\"session_id\":\"s\",\"saved\":true" },

    { "in a session, but lost",
      { .reason = NGX_HTTP_OLLAMA_CONVERSATION_FAILED, .turns = 2,
        .task_id = ngx_string("t"), .session_id = ngx_string("s"),
        .saved = NGX_HTTP_OLLAMA_CONVERSATION_UNSAVED,
        .error = ngx_string("x") },
      "{\"type\":\"conversation\",\"done\":true,\"done_reason\":\"error\","
      "\"turns\":2,\"task_id\":\"t\",\"session_id\":\"s\",\"saved\":false,"
      "\"error\":\"x\"" },
};


static front_case_t  front_cases[] = {

    { "alice", 1, "\"turn\":1,\"participant\":\"alice\"," },
    { "m#2", 100, "\"turn\":100,\"participant\":\"m#2\"," },
    { "\"A\\\" \xf0\x9f\x98\x80", 3,
      "\"turn\":3,\"participant\":\"\\\"A\\\\\\\" \xf0\x9f\x98\x80\"," },
};


static void
end_test(void **state)
{
    end_case_t *row = *state;

    json_t       *json;
    ngx_str_t     text;
    ngx_pool_t   *pool;
    const char   *want;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    want = row->want;

    assert_int_equal(ngx_http_ollama_conversation_json_line(pool, &row->end,
                                                            &text),
                     NGX_OK);

    assert_int_equal(text.len, strlen(want) + 2);
    assert_memory_equal(text.data, want, strlen(want));
    assert_memory_equal(text.data + strlen(want), "}\n", 2);

    json = json_loadb((char *) text.data, text.len, JSON_REJECT_DUPLICATES,
                      NULL);
    assert_non_null(json);
    json_decref(json);

    assert_int_equal(ngx_http_ollama_conversation_json_whole(pool, &row->end,
                                                             &text),
                     NGX_OK);

    assert_int_equal(text.len, strlen(want) + sizeof(",\"replies\":[]}") - 1);
    assert_memory_equal(text.data, want, strlen(want));
    assert_memory_equal(text.data + strlen(want), ",\"replies\":[]}",
                        sizeof(",\"replies\":[]}") - 1);

    ngx_destroy_pool(pool);
}


static void
front_test(void **state)
{
    front_case_t *row = *state;

    ngx_str_t    name, front;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    name.data = (u_char *) row->title;
    name.len = strlen(row->title);

    assert_int_equal(ngx_http_ollama_conversation_json_front(pool, row->turn,
                                                             &name, &front),
                     NGX_OK);
    assert_int_equal(front.len, strlen(row->want));
    assert_memory_equal(front.data, row->want, front.len);

    ngx_destroy_pool(pool);
}


static void
replies_test(void **state)
{
    json_t      *json;
    ngx_str_t    text;
    ngx_pool_t  *pool;

    ngx_http_ollama_conversation_end_t    end;
    ngx_http_ollama_conversation_reply_t  replies[3];

    static const char  want[] =
        "{\"type\":\"conversation\",\"done\":true,\"done_reason\":\"cancelled\""
        ",\"turns\":2,\"task_id\":\"t\",\"session_id\":null,\"replies\":["
        "{\"turn\":1,\"participant\":\"\\\"A\\\"\",\"model\":\"a\\\\b\","
        "\"server\":\"127.0.0.1:1\",\"message\":{\"role\":\"assistant\","
        "\"content\":\"x\"},\"done_reason\":\"stop\",\"total_duration\":5,"
        "\"eval_count\":1},"
        "{\"turn\":2,\"participant\":\"b\",\"model\":\"b\",\"server\":null,"
        "\"message\":{},\"done_reason\":\"length\"},"
        "{\"turn\":3,\"participant\":\"c\",\"model\":\"c\",\"server\":null,"
        "\"message\":{},\"done_reason\":null}]}";

    ngx_memzero(&end, sizeof(end));
    ngx_memzero(replies, sizeof(replies));

    end.reason = NGX_HTTP_OLLAMA_CONVERSATION_CANCELLED;
    end.turns = 2;
    ngx_str_set(&end.task_id, "t");
    end.replies = replies;
    end.nreplies = 3;

    replies[0].turn = 1;
    ngx_str_set(&replies[0].participant, "\"A\"");
    ngx_str_set(&replies[0].model, "a\\b");
    ngx_str_set(&replies[0].server, "127.0.0.1:1");
    ngx_str_set(&replies[0].message,
                "{\"role\":\"assistant\",\"content\":\"x\"}");
    ngx_str_set(&replies[0].done_reason, "stop");
    ngx_str_set(&replies[0].stats, "{\"total_duration\":5,\"eval_count\":1}");

    replies[1].turn = 2;
    ngx_str_set(&replies[1].participant, "b");
    ngx_str_set(&replies[1].model, "b");
    ngx_str_set(&replies[1].message, "{}");
    ngx_str_set(&replies[1].done_reason, "length");
    ngx_str_set(&replies[1].stats, "{}");

    replies[2].turn = 3;
    ngx_str_set(&replies[2].participant, "c");
    ngx_str_set(&replies[2].model, "c");
    ngx_str_set(&replies[2].message, "{}");

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    assert_int_equal(ngx_http_ollama_conversation_json_whole(pool, &end,
                                                             &text),
                     NGX_OK);
    assert_int_equal(text.len, strlen(want));
    assert_memory_equal(text.data, want, text.len);

    json = json_loadb((char *) text.data, text.len, JSON_REJECT_DUPLICATES,
                      NULL);
    assert_non_null(json);
    json_decref(json);

    ngx_stub_fail_size = text.len;
    assert_int_equal(ngx_http_ollama_conversation_json_whole(pool, &end,
                                                             &text),
                     NGX_ERROR);
    ngx_stub_fail_size = 0;

    ngx_destroy_pool(pool);
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add_rows(&suite, end_test, end_cases, sizeof(end_case_t),
                  unit_nelts(end_cases));
    unit_add_rows(&suite, front_test, front_cases, sizeof(front_case_t),
                  unit_nelts(front_cases));

    unit_add(&suite, "replies", replies_test, NULL);

    return unit_run(&suite, "conversation_text");
}
