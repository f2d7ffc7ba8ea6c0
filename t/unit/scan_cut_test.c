
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is cut out of a body: the gateway's own fields and the forbidden ones,
 * with one comma each, and nothing else.
 */


#include "scan_stub.h"


/* a row with just the model "m" in it, and a task "t" */

#define CUT(t, f, b, s, r)                                                    \
    { .title = t, .flags = SCAN_V1, .forbid = f, .body = ngx_string(b),       \
      .model = ngx_string("m"), .sent = ngx_string(s), .removed = r }

#define CUT_TASK(t, b, s)                                                     \
    { .title = t, .flags = SCAN_CHAT, .forbid = "keep_alive",                 \
      .body = ngx_string(b), .model = ngx_string("m"),                        \
      .task_id = ngx_string("t"), .sent = ngx_string(s) }


static scan_case_t  scan_cases[] = {

    /* our own fields */

    CUT_TASK("first",
             "{\"task_id\":\"t\",\"model\":\"m\",\"a\":1}",
             "{\"model\":\"m\",\"a\":1}"),

    CUT_TASK("in the middle",
             "{\"model\":\"m\",\"task_id\":\"t\",\"a\":1}",
             "{\"model\":\"m\",\"a\":1}"),

    CUT_TASK("last",
             "{\"model\":\"m\",\"a\":1,\"task_id\":\"t\"}",
             "{\"model\":\"m\",\"a\":1}"),

    CUT_TASK("first, with whitespace",
             " { \"task_id\" : \"t\" , \"model\" : \"m\" , \"a\" : 1 } \n",
             " {\"model\" : \"m\" , \"a\" : 1 } \n"),

    CUT_TASK("in the middle, with whitespace",
             " { \"model\" : \"m\" ,\n\t\"task_id\" : \"t\"\r\n , \"a\" : 1 }",
             " { \"model\" : \"m\"\r\n , \"a\" : 1 }"),

    CUT_TASK("last, with whitespace",
             " { \"model\" : \"m\" , \"a\" : 1 , \"task_id\" : \"t\" } ",
             " { \"model\" : \"m\" , \"a\" : 1 } "),

    CUT_TASK("on lines of their own",
             "{\n    \"task_id\": \"t\",\n    \"model\": \"m\",\n"
             "    \"session_id\": null,\n    \"a\": 1\n}\n",
             "{\"model\": \"m\",\n    \"a\": 1\n}\n"),

    CUT_TASK("several at the beginning",
             "{\"task_id\":\"a\",\"session_id\":null,\"task_id\":\"t\","
             "\"model\":\"m\"}",
             "{\"model\":\"m\"}"),

    CUT_TASK("several in the middle",
             "{\"model\":\"m\",\"task_id\":\"a\" , \"session_id\":null, "
             "\"task_id\":\"t\",\"a\":1}",
             "{\"model\":\"m\",\"a\":1}"),

    CUT_TASK("several at the end",
             "{\"a\":1,\"model\":\"m\",\"task_id\":\"a\",\"session_id\":null,"
             "\"task_id\":\"t\"}",
             "{\"a\":1,\"model\":\"m\"}"),

    CUT_TASK("every other one",
             "{\"task_id\":\"t\",\"model\":\"m\",\"session_id\":null,\"a\":1,"
             "\"task_id\":null,\"b\":2,\"task_id\":\"t\"}",
             "{\"model\":\"m\",\"a\":1,\"b\":2}"),

    CUT_TASK("two at the beginning, one at the end",
             "{\"task_id\":null,\"task_id\":null,\"model\":\"m\",\"task_id\":"
             "\"t\"}",
             "{\"model\":\"m\"}"),

    CUT_TASK("in any case",
             "{\"TASK_ID\":\"a\",\"model\":\"m\",\"tAsK_iD\":\"t\"}",
             "{\"model\":\"m\"}"),

    CUT_TASK("with escapes in the name",
             "{\"\\u0074\\u0061sk\\u005fid\":\"t\",\"model\":\"m\","
             "\"\\u0053ession_i\\u0064\":null}",
             "{\"model\":\"m\"}"),

    CUT_TASK("with the kelvin sign and the long s in the name",
             "{\"tas\xe2\x84\xaa_id\":null,\"ta\xc5\xbfk_id\":\"a\","
             "\"\\u017feSsion_id\":null,\"TA\\u017F\\u212a_ID\":\"t\","
             "\"model\":\"m\",\"\xc5\xbf" "erver_url\":null}",
             "{\"model\":\"m\"}"),

    CUT_TASK("names that only begin or end so",
             "{\"task_idx\":1,\"task_id\":\"t\",\"xtask_id\":2,\"task_i\":3,"
             "\"model\":\"m\",\"task_id\\u0000\":4,\"task\\u005f\":5}",
             "{\"task_idx\":1,\"xtask_id\":2,\"task_i\":3,"
             "\"model\":\"m\",\"task_id\\u0000\":4,\"task\\u005f\":5}"),

    CUT_TASK("below the top they are no fields of ours",
             "{\"model\":\"m\",\"a\":{\"task_id\":1},\"b\":[{\"session_id\":2,"
             "\"server_url\":3}],\"task_id\":\"t\",\"messages\":[{\"task_id\":"
             "4}],\"options\":{\"task_id\":5,\"model\":6}}",
             "{\"model\":\"m\",\"a\":{\"task_id\":1},\"b\":[{\"session_id\":2,"
             "\"server_url\":3}],\"messages\":[{\"task_id\":"
             "4}],\"options\":{\"task_id\":5,\"model\":6}}"),

    CUT_TASK("the name as a value",
             "{\"a\":\"task_id\",\"task_id\":\"t\",\"model\":\"m\","
             "\"b\":[\"task_id\",\"x\"]}",
             "{\"a\":\"task_id\",\"model\":\"m\","
             "\"b\":[\"task_id\",\"x\"]}"),

    CUT_TASK("background",
             "{\"background\":true,\"model\":\"m\",\"task_id\":\"t\","
             "\"bac\xe2\x84\xaaground\":false,\"a\":1,\"background\":null}",
             "{\"model\":\"m\",\"a\":1}"),

    CUT("under /v1 a body is the client's alone",
        "keep_alive",
        "{\"task_id\":\"a b\",\"session_id\":{\"model\":\"x\"},"
        "\"server_url\":[1],\"background\":1,\"model\":\"m\","
        "\"keep_alive\":1,\"task_id\":\"\\ud800\",\"background\":true}",
        "{\"task_id\":\"a b\",\"session_id\":{\"model\":\"x\"},"
        "\"server_url\":[1],\"background\":1,\"model\":\"m\","
        "\"task_id\":\"\\ud800\",\"background\":true}",
        "keep_alive"),

    { .title = "all, between others",
      .flags = SCAN_CHAT,
      .body = ngx_string("{\"model\":\"m\",\"server_url\":\"http:\\/\\/a\","
                         "\"stream\":false,\"session_id\":\"\\\"}\","
                         "\"background\":true,"
                         "\"options\":{},\"task_id\":\"t\"}"),
      .model = ngx_string("m"),
      .server_url = ngx_string("http://a"),
      .session_id = ngx_string("\"}"),
      .task_id = ngx_string("t"),
      .stream = NGX_HTTP_OLLAMA_STREAM_OFF,
      .sent = ngx_string("{\"model\":\"m\",\"stream\":false,\"options\":{}}")
    },


    /* forbidden fields */

    CUT("a field, first", "keep_alive",
        "{\"keep_alive\":0,\"model\":\"m\"}",
        "{\"model\":\"m\"}", "keep_alive"),

    CUT("a field, last", "keep_alive",
        "{\"model\":\"m\",\"keep_alive\":-1}",
        "{\"model\":\"m\"}", "keep_alive"),

    CUT("a field with a number up to the comma", "keep_alive",
        "{\"model\":\"m\",\"keep_alive\":1e9,\"a\":12}",
        "{\"model\":\"m\",\"a\":12}", "keep_alive"),

    CUT("a field with each literal", "keep_alive",
        "{\"keep_alive\":true,\"a\":1,\"keep_alive\":false,\"model\":\"m\","
        "\"keep_alive\":null}",
        "{\"a\":1,\"model\":\"m\"}", "keep_alive"),

    CUT("a field with everything in it", "keep_alive",
        "{\"model\":\"m\",\"keep_alive\":{\"a\":[1,{\"b\":\"}]\\\"\",\"c\":"
        "[]}],\"keep_alive\":[{}]},\"d\":1}",
        "{\"model\":\"m\",\"d\":1}", "keep_alive"),

    CUT("a field with an array in it", "keep_alive",
        "{\"keep_alive\":[{\"keep_alive\":1},[2]],\"model\":\"m\"}",
        "{\"model\":\"m\"}", "keep_alive"),

    CUT("a field in any case, with escapes and the kelvin sign", "keep_alive",
        "{\"KEEP_ALIVE\":0,\"model\":\"m\",\"\\u006beep_alive\":1,"
        "\"\xe2\x84\xaa" "eep_alive\":2,\"\\u212aeep_alive\":3,"
        "\"keep_alive_\":4}",
        "{\"model\":\"m\",\"keep_alive_\":4}", "keep_alive"),

    CUT("a path in any case in the configuration", "Options.Num_CTX",
        "{\"model\":\"m\",\"OPTIONS\":{\"num_ctx\":1,\"NUM_CTX\":2,\"a\":3}}",
        "{\"model\":\"m\",\"OPTIONS\":{\"a\":3}}", "Options.Num_CTX"),

    CUT("a field below the top is another", "keep_alive",
        "{\"model\":\"m\",\"options\":{\"keep_alive\":1},\"messages\":[{"
        "\"keep_alive\":2}]}",
        "{\"model\":\"m\",\"options\":{\"keep_alive\":1},\"messages\":[{"
        "\"keep_alive\":2}]}", ""),

    CUT("nothing forbidden is in it", "keep_alive options.num_ctx",
        "{\"model\":\"m\",\"options\":{\"a\":1},\"keep_alive_\":2}",
        "{\"model\":\"m\",\"options\":{\"a\":1},\"keep_alive_\":2}", ""),

    CUT("a path: first member", "options.num_ctx",
        "{\"model\":\"m\",\"options\":{\"num_ctx\":1,\"seed\":2}}",
        "{\"model\":\"m\",\"options\":{\"seed\":2}}", "options.num_ctx"),

    CUT("a path: member in the middle", "options.num_ctx",
        "{\"options\":{\"seed\":2,\"num_ctx\":1,\"stop\":[]},\"model\":\"m\"}",
        "{\"options\":{\"seed\":2,\"stop\":[]},\"model\":\"m\"}",
        "options.num_ctx"),

    CUT("a path: last member", "options.num_ctx",
        "{\"options\":{\"seed\":2,\"num_ctx\":1},\"model\":\"m\"}",
        "{\"options\":{\"seed\":2},\"model\":\"m\"}",
        "options.num_ctx"),

    CUT("a path: only member", "options.num_ctx",
        "{\"options\": { \"num_ctx\" : 1 } ,\"model\":\"m\"}",
        "{\"options\": { } ,\"model\":\"m\"}",
        "options.num_ctx"),

    CUT("two paths: all members there are", "options.num_ctx options.seed",
        "{\"options\":{\"seed\":1,\"num_ctx\":2,\"seed\":3},\"model\":\"m\"}",
        "{\"options\":{},\"model\":\"m\"}",
        "options.num_ctx options.seed"),

    CUT("a path: the object several times", "options.num_ctx",
        "{\"options\":{\"num_ctx\":1,\"a\":1},\"model\":\"m\",\"Options\":"
        "{\"b\":2,\"num_ctx\":2},\"options\":{\"num_ctx\":3},\"options\":{}}",
        "{\"options\":{\"a\":1},\"model\":\"m\",\"Options\":"
        "{\"b\":2},\"options\":{},\"options\":{}}",
        "options.num_ctx"),

    CUT("a path: the object is none", "options.num_ctx",
        "{\"options\":\"num_ctx\",\"options\":[\"num_ctx\",1],\"options\":1,"
        "\"options\":null,\"model\":\"m\",\"num_ctx\":2}",
        "{\"options\":\"num_ctx\",\"options\":[\"num_ctx\",1],\"options\":1,"
        "\"options\":null,\"model\":\"m\",\"num_ctx\":2}", ""),

    CUT("a path: objects in an array are others", "options.num_ctx",
        "{\"options\":[{\"num_ctx\":1},[{\"num_ctx\":2}],{\"num_ctx\":3}],"
        "\"model\":\"m\",\"options\":{\"a\":[{\"num_ctx\":4},{}],\"num_ctx\":5"
        "}}",
        "{\"options\":[{\"num_ctx\":1},[{\"num_ctx\":2}],{\"num_ctx\":3}],"
        "\"model\":\"m\",\"options\":{\"a\":[{\"num_ctx\":4},{}]"
        "}}", "options.num_ctx"),

    CUT("a path: an array where it has an object", "a.b.c a.x",
        "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"x\":3},\"a\":[{\"c\":4,\"x\":5}],"
        "\"a\":{\"b\":[{\"c\":6}],\"x\":7,\"y\":[[{\"c\":8}]]},"
        "\"model\":\"m\"}",
        "{\"a\":{\"b\":{\"d\":2}},\"a\":[{\"c\":4,\"x\":5}],"
        "\"a\":{\"b\":[{\"c\":6}],\"y\":[[{\"c\":8}]]},"
        "\"model\":\"m\"}", "a.b.c a.x"),

    CUT("a path: a level deeper it is another", "options.num_ctx",
        "{\"options\":{\"options\":{\"num_ctx\":1},\"a\":{\"num_ctx\":2}},"
        "\"a\":{\"options\":{\"num_ctx\":3}},\"model\":\"m\"}",
        "{\"options\":{\"options\":{\"num_ctx\":1},\"a\":{\"num_ctx\":2}},"
        "\"a\":{\"options\":{\"num_ctx\":3}},\"model\":\"m\"}", ""),

    CUT("a path: in messages it is another", "options.num_ctx",
        "{\"messages\":[{\"options\":{\"num_ctx\":1},\"num_ctx\":2,\"content\":"
        "\"{\\\"options\\\":{\\\"num_ctx\\\":1}}\"}],\"model\":\"m\"}",
        "{\"messages\":[{\"options\":{\"num_ctx\":1},\"num_ctx\":2,\"content\":"
        "\"{\\\"options\\\":{\\\"num_ctx\\\":1}}\"}],\"model\":\"m\"}", ""),

    CUT("a path: after an object of another name", "options.num_ctx",
        "{\"options\":{\"x\":{\"y\":{}}},\"other\":{\"num_ctx\":1},\"options\""
        ":{\"z\":[]},\"third\":{\"num_ctx\":2,\"options\":{}},\"model\":\"m\"}",
        "{\"options\":{\"x\":{\"y\":{}}},\"other\":{\"num_ctx\":1},\"options\""
        ":{\"z\":[]},\"third\":{\"num_ctx\":2,\"options\":{}},\"model\":\"m\"}",
        ""),

    CUT("an object and a member of it, both forbidden",
        "options options.num_ctx",
        "{\"model\":\"m\",\"options\":{\"num_ctx\":1,\"a\":2},\"b\":3}",
        "{\"model\":\"m\",\"b\":3}", "options"),

    CUT("an object and a member of it, the other way round",
        "options.num_ctx options",
        "{\"options\":{\"a\":2,\"num_ctx\":1},\"model\":\"m\"}",
        "{\"model\":\"m\"}", "options"),

    CUT("a path of four", "a.b.c.d",
        "{\"a\":{\"d\":0,\"b\":{\"c\":{\"d\":1,\"e\":{\"d\":2}},\"d\":3},\"c\":"
        "{\"d\":4}},\"b\":{\"c\":{\"d\":5}},\"model\":\"m\"}",
        "{\"a\":{\"d\":0,\"b\":{\"c\":{\"e\":{\"d\":2}},\"d\":3},\"c\":"
        "{\"d\":4}},\"b\":{\"c\":{\"d\":5}},\"model\":\"m\"}", "a.b.c.d"),

    CUT("paths that part late", "a.b.c a.b.d a.e",
        "{\"a\":{\"b\":{\"c\":1,\"x\":2,\"d\":3,\"e\":4},\"e\":5,\"f\":6},"
        "\"model\":\"m\"}",
        "{\"a\":{\"b\":{\"x\":2,\"e\":4},\"f\":6},"
        "\"model\":\"m\"}", "a.b.c a.b.d a.e"),

    CUT("the same name at each level", "a.a a.a.a.a",
        "{\"a\":{\"b\":{\"a\":{\"a\":1}},\"a\":{\"a\":{\"a\":2}}},"
        "\"model\":\"m\"}",
        "{\"a\":{\"b\":{\"a\":{\"a\":1}}},\"model\":\"m\"}", "a.a"),

    CUT("cuts at several levels, next to each other",
        "keep_alive options.num_ctx",
        "{\"keep_alive\":1,\"options\":{\"num_ctx\":1},\"keep_alive\":2,"
        "\"Options\":{\"num_ctx\":2,\"a\":{}},\"keep_alive\":3,\"model\":\"m\""
        "}",
        "{\"options\":{},\"Options\":{\"a\":{}},\"model\":\"m\""
        "}", "keep_alive options.num_ctx"),

    CUT("the same path twice", "keep_alive Keep_Alive",
        "{\"keep_alive\":1,\"model\":\"m\"}",
        "{\"model\":\"m\"}", "keep_alive Keep_Alive"),

    CUT("the model is read before it goes", "model",
        "{\"model\":\"m\"}", "{}", "model"),

    CUT("no paths", "",
        "{\"model\":\"m\",\"keep_alive\":1}",
        "{\"model\":\"m\",\"keep_alive\":1}", ""),

    CUT("as many paths as there may be",
        "a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9 "
        "c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 d0 d.1",
        "{\"a0\":1,\"x\":2,\"d0\":3,\"d\":{\"1\":4,\"2\":5},\"d.1\":6,"
        "\"model\":\"m\"}",
        "{\"x\":2,\"d\":{\"2\":5},\"d.1\":6,\"model\":\"m\"}", "a0 d0 d.1"),

    { .title = "our own and forbidden at once",
      .flags = SCAN_CHAT,
      .forbid = "task_id keep_alive session_id",
      .body = ngx_string("{\"task_id\":\"t\",\"keep_alive\":\"5m\","
                         "\"model\":\"m\",\"keep_alive\":{},\"task_id\":"
                         "null}"),
      .model = ngx_string("m"),
      .task_id = ngx_string("t"),
      .sent = ngx_string("{\"model\":\"m\"}"),
      .removed = "task_id keep_alive" },

    { .title = "a type that is wrong in what is forbidden",
      .flags = SCAN_CHAT,
      .forbid = "options",
      .body = ngx_string("{\"model\":\"m\",\"options\":[]}"),
      .error = "\"options\" must be an object, not an array", .at = 23 }
};


/* an allocation that fails says so, and not that the body is wrong */

static void
scan_memory_test(void **state)
{
    size_t      i;
    scan_run_t  run;

    static ngx_str_t  body =
        ngx_string("{\"model\":\"1234567\",\"task_id\":null,\"a\":1,"
                   "\"task_id\":null,\"a\":1,\"task_id\":null,\"a\":1,"
                   "\"task_id\":null,\"a\":1,\"task_id\":null,\"a\":1}");
    static ngx_str_t  wrong =
        ngx_string("{\"model\":\"m\n\"}");

    /* the model, the array of cuts when it grows */

    static size_t     sizes[] = { 7, 8 * sizeof(ngx_http_ollama_cut_t) };

    for (i = 0; i < unit_nelts(sizes); i++) {

        scan_start(&run, SCAN_CHAT, NULL);

        ngx_stub_fail_size = sizes[i];
        scan_feed(&run, body.data, body.len);
        ngx_stub_fail_size = 0;

        assert_int_equal(run.rc, NGX_ERROR);
        assert_int_equal(run.scan.error.len, 0);

        scan_finish(&run);
    }

    /* the text of an error */

    scan_start(&run, SCAN_CHAT, NULL);

    ngx_stub_fail_size = sizeof("a control character in a string") - 1;
    scan_feed(&run, wrong.data, wrong.len);
    ngx_stub_fail_size = 0;

    assert_int_equal(run.rc, NGX_ERROR);

    scan_finish(&run);
}


/* the body after a body: no scan leaves anything to the next */

static void
scan_again_test(void **state)
{
    ngx_uint_t  i;

    for (i = 0; i < 2 * unit_nelts(scan_cases); i++) {
        scan_check(&scan_cases[i % unit_nelts(scan_cases)], 7, 5);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, scan_case_test, scan_cases, sizeof(scan_case_t),
                  unit_nelts(scan_cases));
    unit_add(&suite, "one after the other", scan_again_test, NULL);
    unit_add(&suite, "out of memory", scan_memory_test, NULL);

    return unit_run(&suite, "scan_cut");
}
