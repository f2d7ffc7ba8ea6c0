
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The bodies of conversations that are refused, with the reason and the place,
 * in any pieces; and how long things may be.
 */


#include "conversation_stub.h"


typedef struct {
    const char  *title;         /* the body */
    const char  *error;
} refused_case_t;


static refused_case_t  refused_cases[] = {

    { "", "the body is empty" },
    { " ", "the body is no JSON: unexpected end, at byte 1" },
    { "x", "the body is no JSON: invalid char in json text, at byte 0" },
    { "[]", "the body must be an object, not an array, at byte 0" },
    { " null", "the body must be an object, not null, at byte 1" },
    { "12", "the body must be an object, not a number, at byte 0" },
    { "{}", "\"models\" is required" },
    { START "}", "the body is no JSON: invalid object key (must be a string), "
      "at byte 24" },
    { START "\"models\":null}", "\"models\" is required" },
    { START "\"models\":[\"a\",\"b\"],\"models\":null}",
      "\"models\" is required" },
    { "{" MODELS "}", "\"initial_message\" is required, and must not be "
      "empty" },
    { "{" MODELS ",\"initial_message\":null}",
      "\"initial_message\" is required, and must not be empty" },
    { "{" MODELS ",\"initial_message\":\"\"}",
      "\"initial_message\" is required, and must not be empty" },


    /* counts */

    { START "\"models\":[]}", "\"models\" must have 2 to 8 entries, not 0, "
      "at byte 33" },
    { START "\"models\":[\"a\"]}", "\"models\" must have 2 to 8 entries, "
      "not 1, at byte 33" },
    { START "\"models\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\""
      "]}", "\"models\" must have 2 to 8 entries, not 9, at byte 33" },
    { START "\"models\":[1,2]}", "\"models[0]\" must be a string or an "
      "object, not a number, at byte 34" },
    { START "\"models\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\","
      "{\"model\":\"j\",\"name\":0}]}", "\"models[9].name\" must be a string, "
      "not a number, at byte 90" },


    /* types */

    { START "\"models\":\"a\"}", "\"models\" must be an array, not a string, "
      "at byte 33" },
    { START "\"models\":{}}", "\"models\" must be an array, not an object, "
      "at byte 33" },
    { START "\"models\":[\"a\",null]}", "\"models[1]\" must be a string or "
      "an object, not null, at byte 38" },
    { START "\"models\":[\"a\",[]]}", "\"models[1]\" must be a string or "
      "an object, not an array, at byte 38" },
    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\"},0]}",
      "\"models[1]\" must be a string or an object, not a number, at byte "
      "59" },
    { START "\"models\":[true,\"a\"]}", "\"models[0]\" must be a string or "
      "an object, not a boolean, at byte 34" },
    { START "\"models\":[\"a\",{\"model\":false}]}", "\"models[1].model\" must "
      "be a string, not a boolean, at byte 47" },
    { START "\"models\":[{\"model\":\"a\",\"options\":[]}]}",
      "\"models[0].options\" must be an object, not an array, at byte 57" },
    { START "\"models\":[{\"model\":\"a\",\"system\":{}}]}",
      "\"models[0].system\" must be a string, not an object, at byte 56" },
    { START "\"models\":[{\"model\":\"a\",\"server_url\":0}]}",
      "\"models[0].server_url\" must be a string, not a number, at byte 60" },
    { "{\"initial_message\":[]}", "\"initial_message\" must be a string, "
      "not an array, at byte 19" },
    { "{\"initial_message\":1}", "\"initial_message\" must be a string, "
      "not a number, at byte 19" },
    { BODY "\"options\":\"x\"}", "\"options\" must be an object, not a "
      "string, at byte 53" },
    { BODY "\"stream\":1}", "\"stream\" must be a boolean, not a number, at "
      "byte 52" },
    { BODY "\"stream\":\"false\"}", "\"stream\" must be a boolean, not a "
      "string, at byte 52" },
    { BODY "\"session_id\":1}", "\"session_id\" must be a string, not a "
      "number, at byte 56" },
    { BODY "\"task_id\":{}}", "\"task_id\" must be a string, not an object, "
      "at byte 53" },


    /* max_turns */

    { BODY "\"max_turns\":0}", "\"max_turns\" must be an integer from 1 to "
      "100, not 0, at byte 55" },
    { BODY "\"max_turns\":101}", "\"max_turns\" must be an integer from 1 to "
      "100, not 101, at byte 55" },
    { BODY "\"max_turns\":-1}", "\"max_turns\" must be an integer from 1 to "
      "100, not -1, at byte 55" },
    { BODY "\"max_turns\":1e9}", "\"max_turns\" must be an integer from 1 to "
      "100, not 1e9, at byte 55" },
    { BODY "\"max_turns\":1e1}", "\"max_turns\" must be an integer from 1 to "
      "100, not 1e1, at byte 55" },
    { BODY "\"max_turns\": 2.5 }", "\"max_turns\" must be an integer from 1 "
      "to 100, not 2.5, at byte 56" },
    { BODY "\"max_turns\":10000000000000000000000}", "\"max_turns\" must be an "
      "integer from 1 to 100, not 10000000000000000000, at byte 55" },
    { BODY "\"max_turns\":\"3\"}", "\"max_turns\" must be a number, not a "
      "string, at byte 55" },
    { BODY "\"max_turns\":[3]}", "\"max_turns\" must be a number, not an "
      "array, at byte 55" },
    { BODY "\"max_turns\":0,\"max_turns\":1}", "\"max_turns\" must be an "
      "integer from 1 to 100, not 0, at byte 55" },


    /* names */

    { START "\"models\":[\"a\",\"\"]}", "\"models[1]\" must be 1 to 1024 bytes "
      "without control characters, at byte 38" },
    { START "\"models\":[\"a\\n\",\"b\"]}", "\"models[0]\" must be 1 to 1024 "
      "bytes without control characters, at byte 34" },
    { START "\"models\":[{\"name\":\"x\"},\"b\"]}",
      "\"models[0].model\" is required, at byte 34" },
    { START "\"models\":[\"a\",{}]}",
      "\"models[1].model\" is required, at byte 38" },
    { START "\"models\":[{\"model\":null},\"b\"]}",
      "\"models[0].model\" is required, at byte 34" },
    { START "\"models\":[{\"model\":\"\"},\"b\"]}", "\"models[0].model\" must "
      "be 1 to 1024 bytes without control characters, at byte 43" },
    { START "\"models\":[{\"model\":\"a\",\"name\":\"\"},\"b\"]}",
      "\"models[0].name\" must be 1 to 128 bytes without control characters, "
      "at byte 54" },
    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\\u0085\"},\"b\"]}",
      "\"models[0].name\" must be 1 to 128 bytes without control characters, "
      "at byte 54" },
    { START "\"models\":[{\"model\":\"a\",\"name\":\"\\u007f\"},\"b\"]}",
      "\"models[0].name\" must be 1 to 128 bytes without control characters, "
      "at byte 54" },
    { START "\"models\":[{\"model\":\"a\",\"name\":\"\\ud83d\"},\"b\"]}",
      "\"models[0].name\" has half of a surrogate pair, at byte 54" },
    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\"},\"b\",{\"model\":"
      "\"c\",\"name\":\"\\u0078\"}]}", "\"models\" has two participants with "
      "the name \"x\", at byte 63" },


    /* system prompts */

    { BODY "\"system_prompts\":{\"a\":\"s\",\"c\":\"t\"}}",
      "\"system_prompts\" has \"c\", which is neither the name nor the model "
      "of a participant, at byte 69" },
    { BODY "\"system_prompts\":{\"A\":\"s\"}}",
      "\"system_prompts\" has \"A\", which is neither the name nor the model "
      "of a participant, at byte 61" },
    { BODY "\"system_prompts\":{\"\":null}}",
      "\"system_prompts\" has \"\", which is neither the name nor the model "
      "of a participant, at byte 61" },
    { BODY "\"system_prompts\":{\"a#2\":\"s\"}}",
      "\"system_prompts\" has \"a#2\", which is neither the name nor the model "
      "of a participant, at byte 61" },
    { BODY "\"system_prompts\":{\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\","
      "\"5\":\"\",\"6\":\"\",\"7\":\"\",\"8\":\"\",\"9\":\"\",\"10\":\"\","
      "\"11\":\"\",\"12\":\"\",\"13\":\"\",\"14\":\"\",\"15\":\"\",\"16\":\"\","
      "\"17\":\"\",\"18\":\"\",\"a\":\"\"}}",
      "\"system_prompts\" has \"1\", which is neither the name nor the model "
      "of a participant, at byte 61" },
    { BODY "\"system_prompts\":{\"a\":1}}", "\"system_prompts\" must have "
      "strings, not a number, at byte 65" },
    { BODY "\"system_prompts\":{\"a\":{}}}", "\"system_prompts\" must have "
      "strings, not an object, at byte 65" },
    { BODY "\"system_prompts\":[]}", "\"system_prompts\" must be an object, "
      "not an array, at byte 60" },
    { BODY "\"system_prompts\":{\"a\":\"\\udc00\"}}", "\"system_prompts\" has "
      "half of a surrogate pair, at byte 65" },


    /* ids */

    { BODY "\"task_id\":\"\"}", "\"task_id\" must be 1 to 64 characters of "
      "A-Z a-z 0-9 _ -, at byte 53" },
    { BODY "\"task_id\":\"a.b\"}", "\"task_id\" must be 1 to 64 characters of "
      "A-Z a-z 0-9 _ -, at byte 53" },
    { "{\"initial_message\":\"\\ud83d!\"}", "\"initial_message\" has half of "
      "a surrogate pair, at byte 19" },
};


static void
refused_test(void **state)
{
    refused_case_t *row = *state;

    conversation_check(row->title, NULL, NULL, row->error);
}


/* Lengths up to which, and from which on not. */

static void
limit_check(ngx_uint_t good, const char *fmt, size_t n, const char *error)
{
    char                *fill, *body;
    size_t               len;
    conversation_run_t   run;

    fill = malloc(n + 1);
    body = malloc(n + 1024);
    assert_non_null(fill);
    assert_non_null(body);

    memset(fill, 'x', n);
    fill[n] = '\0';

    len = snprintf(body, n + 1024, fmt, fill);

    conversation_feed(&run, (u_char *) body, len, len, len);

    if (good) {
        assert_int_equal(run.rc, NGX_OK);

    } else {
        assert_int_equal(run.rc, NGX_DECLINED);
        assert_int_equal(run.body.error.len, strlen(error));
        assert_memory_equal(run.body.error.data, error, strlen(error));
    }

    ngx_destroy_pool(run.pool);

    free(body);
    free(fill);
}


static void
limit_test(void **state)
{
    static const char  model[] = START "\"models\":[\"%s\",\"b\"]}";
    static const char  name[] = START "\"models\":[{\"model\":\"a\",\"name\":"
                                "\"%s\"},\"b\"]}";
    static const char  url[] = START "\"models\":[{\"model\":\"a\","
                               "\"server_url\":\"%s\"},\"b\"]}";
    static const char  session[] = BODY "\"session_id\":\"%s\"}";
    static const char  task[] = BODY "\"task_id\":\"%s\"}";

    limit_check(1, model, 1024, NULL);
    limit_check(0, model, 1025, "\"models[0]\" must be 1 to 1024 bytes without "
                                "control characters, at byte 34");
    limit_check(1, name, 128, NULL);
    limit_check(0, name, 129, "\"models[0].name\" must be 1 to 128 bytes "
                              "without control characters, at byte 54");
    limit_check(1, url, 1024, NULL);
    limit_check(0, url, 1025, "\"models[0].server_url\" is longer than 1024 "
                              "bytes, at byte 60");
    limit_check(1, session, 1024, NULL);
    limit_check(0, session, 1025, "\"session_id\" is longer than 1024 bytes, "
                                  "at byte 56");
    limit_check(1, task, 64, NULL);
    limit_check(0, task, 65, "\"task_id\" must be 1 to 64 characters of A-Z "
                             "a-z 0-9 _ -, at byte 53");
}


/* So many times the same in the middle of a body. */

static void
repeat_run(conversation_run_t *run, const char *before, const char *fmt,
    ngx_uint_t n, const char *after)
{
    char        *body, *p;
    size_t       size;
    ngx_uint_t   i;

    size = strlen(before) + n * (strlen(fmt) + 16) + strlen(after) + 1;

    body = malloc(size);
    assert_non_null(body);

    p = body + sprintf(body, "%s", before);

    for (i = 0; i < n; i++) {
        p += sprintf(p, fmt, (int) i);
    }

    p += sprintf(p, "%s", after);

    conversation_feed(run, (u_char *) body, p - body, 4096, 4096);

    free(body);
}


static void
repeat_test(void **state)
{
    conversation_run_t  run;

    static const char  members[] = "\"options\" has more than 128 members, at "
                                   "byte ";
    static const char  nested[] = "nested deeper than 10000 levels, at byte ";

    repeat_run(&run, BODY "\"options\":{\"0\":0", ",\"%d\":1", 128, "}}");
    assert_int_equal(run.rc, NGX_OK);
    ngx_destroy_pool(run.pool);

    repeat_run(&run, BODY "\"options\":{\"x\":0", ",\"%d\":1", 128, "}}");
    assert_int_equal(run.rc, NGX_DECLINED);
    assert_memory_equal(run.body.error.data, members, sizeof(members) - 1);
    ngx_destroy_pool(run.pool);

    repeat_run(&run, BODY "\"options\":{\"x\":0", ",\"x\":%d", 1000, "}}");
    assert_int_equal(run.rc, NGX_OK);
    assert_int_equal(run.body.participant[0].options.len, 9);
    ngx_destroy_pool(run.pool);

    repeat_run(&run, BODY "\"options\":{\"x\":", "[", 9997, "[]");
    assert_int_equal(run.rc, NGX_DECLINED);
    assert_memory_equal(run.body.error.data, "the body is no JSON", 19);
    ngx_destroy_pool(run.pool);

    repeat_run(&run, BODY "\"options\":{\"x\":", "[", 9998, "[");
    assert_int_equal(run.rc, NGX_DECLINED);
    assert_memory_equal(run.body.error.data, nested, sizeof(nested) - 1);
    ngx_destroy_pool(run.pool);
}


/* Whom an error is about is shown up to a length, in whole characters. */

static void
shown_test(void **state)
{
    size_t               n;
    u_char              *p, *last;
    conversation_run_t   run;

    repeat_run(&run, BODY "\"system_prompts\":{\"x", "\xe2\x82\xac", 1000,
               "\":\"\"}}");

    assert_int_equal(run.rc, NGX_DECLINED);

    p = run.body.error.data;
    last = p + run.body.error.len;

    for (n = 0; last - p >= 3; p++) {
        if (memcmp(p, "\xe2\x82\xac", 3) == 0) {
            n++;
        }
    }

    /* "x" and 42 of 3 bytes are 127 */
    assert_int_equal(n, 42);

    for (p = run.body.error.data; p < last; p += 1) {
        if (*p == 0xe2) {
            assert_memory_equal(p, "\xe2\x82\xac", 3);
        }
    }

    ngx_destroy_pool(run.pool);
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add_rows(&suite, refused_test, refused_cases, sizeof(refused_case_t),
                  unit_nelts(refused_cases));

    unit_add(&suite, "lengths", limit_test, NULL);
    unit_add(&suite, "members of options, and levels", repeat_test, NULL);
    unit_add(&suite, "what an error shows", shown_test, NULL);

    return unit_run(&suite, "conversation_refused");
}
