
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The durations that a reply of Ollama tells, however the network has cut it;
 * and that others' are none.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_frame.h"


#define LINES  NGX_HTTP_OLLAMA_FRAME_LINES
#define SSE    NGX_HTTP_OLLAMA_FRAME_SSE
#define WHOLE  NGX_HTTP_OLLAMA_FRAME_WHOLE

#define FIRST  "{\"model\":\"m\",\"message\":{\"content\":\"The\"},"          \
               "\"done\":false}\n"

#define TIMES  "\"total_duration\":5191566416,\"load_duration\":2154458,"     \
               "\"prompt_eval_count\":26,\"prompt_eval_duration\":383809000," \
               "\"eval_count\":298,\"eval_duration\":4799921000"


typedef struct {
    const char                    *title;    /* must be first */
    ngx_http_ollama_frame_form_e   form;
    ngx_http_ollama_frame_end_e    last;
    ngx_str_t                      body;
    int64_t                        total;
    int64_t                        load;
    int64_t                        prompt_eval;
    int64_t                        eval;
} times_case_t;


static times_case_t  times_cases[] = {

    { "a chat's last frame", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string(FIRST "{\"done\":true,\"done_reason\":\"stop\"," TIMES "}\n"),
      5191566416, 2154458, 383809000, 4799921000 },

    { "in front of the end", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string(FIRST "{" TIMES ",\"done\":true}\n"),
      5191566416, 2154458, 383809000, 4799921000 },

    { "a reply in one piece", WHOLE, NGX_HTTP_OLLAMA_END_OBJECT,
      ngx_string("{\"model\":\"m\",\"response\":\"The sky\",\"done\":true,"
                 "\"context\":[1,2,3]," TIMES "}"),
      5191566416, 2154458, 383809000, 4799921000 },

    { "an embedding", WHOLE, NGX_HTTP_OLLAMA_END_OBJECT,
      ngx_string("{\"model\":\"m\",\"embeddings\":[[0.1,0.2]],"
                 "\"total_duration\":14143917,\"load_duration\":1019500,"
                 "\"prompt_eval_count\":8}"),
      14143917, 1019500, -1, -1 },

    { "zero, and a long one", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string("{\"done\":true,\"load_duration\":0,"
                 "\"total_duration\":999999999999999}\n"),
      999999999999999, 0, -1, -1 },

    { "none yet", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string(FIRST), -1, -1, -1, -1 },

    { "no durations", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string("{\"done\":true,\"total_duration\":-5,\"load_duration\":1.5,"
                 "\"prompt_eval_duration\":\"7\",\"eval_duration\":null}\n"),
      -1, -1, -1, -1 },

    { "too long", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string("{\"done\":true,\"total_duration\":9223372036854775808,"
                 "\"load_duration\":99999999999999999999}\n"),
      -1, -1, -1, -1 },

    { "of something inside", LINES, NGX_HTTP_OLLAMA_END_DONE,
      ngx_string("{\"message\":{" TIMES "},\"usage\":{" TIMES "},"
                 "\"load_duration\":[1],\"eval_duration\":{\"a\":2},"
                 "\"done\":true}\n"),
      -1, -1, -1, -1 },

    { "OpenAI's", SSE, NGX_HTTP_OLLAMA_END_MARK,
      ngx_string("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":26,"
                 "\"completion_tokens\":298}}\n\ndata: [DONE]\n\n"),
      -1, -1, -1, -1 }
};


static void
times_feed(times_case_t *c, size_t first)
{
    size_t                    good;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_memzero(&frame, sizeof(ngx_http_ollama_frame_t));

    assert_int_equal(ngx_http_ollama_frame_init(&frame, pool, c->form,
                                                c->last),
                     NGX_OK);

    assert_int_equal(frame.total_duration, -1);
    assert_int_equal(frame.load_duration, -1);
    assert_int_equal(frame.prompt_eval_duration, -1);
    assert_int_equal(frame.eval_duration, -1);

    assert_int_equal(ngx_http_ollama_frame_feed(&frame, c->body.data, first,
                                                &good),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_frame_feed(&frame, c->body.data + first,
                                                c->body.len - first, &good),
                     NGX_OK);

    assert_int_equal(frame.total_duration, c->total);
    assert_int_equal(frame.load_duration, c->load);
    assert_int_equal(frame.prompt_eval_duration, c->prompt_eval);
    assert_int_equal(frame.eval_duration, c->eval);

    ngx_destroy_pool(pool);
}


static void
times_case_test(void **state)
{
    size_t         first;
    times_case_t  *c = *state;

    for (first = 0; first <= c->body.len; first++) {
        times_feed(c, first);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, times_case_test, times_cases, sizeof(times_case_t),
                  unit_nelts(times_cases));

    return unit_run(&suite, "frame_times");
}
