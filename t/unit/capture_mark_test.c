
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Our members in the last frame of a reply: nothing else of it may change, and
 * what is no object stays as it is.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_capture.h"


typedef struct {
    const char  *title;
    const char  *frame;
    const char  *id;
    ngx_uint_t   saved;
    const char  *want;
} mark_case_t;


static mark_case_t  mark_cases[] = {

    { "mark: a line",
      "{\"done\":true}\n", "abc", 1,
      "{\"done\":true,\"session_id\":\"abc\",\"saved\":true}\n" },

    { "mark: not saved",
      "{\"done\":true}", "abc", 0,
      "{\"done\":true,\"session_id\":\"abc\",\"saved\":false}" },

    { "mark: an empty object",
      " { \t}\r\n", "a", 1, " { \t\"session_id\":\"a\",\"saved\":true}\r\n" },

    { "mark: a member that is an empty object",
      "{\"a\":{}}", "a", 1,
      "{\"a\":{},\"session_id\":\"a\",\"saved\":true}" },

    { "mark: an event",
      "data: {\"choices\":[]}\n\n", "a-_", 1,
      "data: {\"choices\":[],\"session_id\":\"a-_\",\"saved\":true}\n\n" },

    { "mark: white space in front of the brace",
      "{\"a\":1\n}\n \t", "a", 1,
      "{\"a\":1\n,\"session_id\":\"a\",\"saved\":true}\n \t" },

    { "mark: the end of a frame",
      "}\n", "a", 1, ",\"session_id\":\"a\",\"saved\":true}\n" },

    { "mark: an id to be escaped",
      "{\"a\":1}", "\"\\\n", 1,
      "{\"a\":1,\"session_id\":\"\\\"\\\\\\n\",\"saved\":true}" },

    { "mark: no object", "data: [DONE]\n\n", "a", 1, "data: [DONE]\n\n" },
    { "mark: more behind it", "{} x", "a", 1, "{} x" },
    { "mark: blanks", " \n", "a", 1, " \n" },
    { "mark: nothing", "", "a", 1, "" }
};


static void
mark_case_test(void **state)
{
    mark_case_t *c = *state;

    size_t      len;
    u_char     *dst;
    ngx_str_t   frame, id;

    frame.data = (u_char *) c->frame;
    frame.len = strlen(c->frame);

    id.data = (u_char *) c->id;
    id.len = strlen(c->id);

    len = ngx_http_ollama_capture_mark(NULL, &frame, &id, c->saved);
    assert_int_equal(len, strlen(c->want));

    dst = malloc(len ? len : 1);
    assert_non_null(dst);

    assert_int_equal(ngx_http_ollama_capture_mark(dst, &frame, &id, c->saved),
                     len);
    assert_memory_equal(dst, c->want, len);

    free(dst);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, mark_case_test, mark_cases, sizeof(mark_case_t),
                  unit_nelts(mark_cases));

    return unit_run(&suite, "capture_mark");
}
