
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Who takes part in a conversation and what they are told, by its request's
 * body, in any pieces.  Each body is also cut off at each place.
 */


#include "conversation_stub.h"


typedef struct {
    const char  *title;         /* the body */
    const char  *people;        /* name=model "system" @server_url options */
    const char  *rest;          /* if it isn't the usual one */
} body_case_t;


static body_case_t  body_cases[] = {

    /* participants */

    { START MODELS "}", "a=a b=b", NULL },

    { " { \"models\" :\n[ \"a\" ,\t\"b\" ] , \"initial_message\" : \"hi\" } \n",
      "a=a b=b", NULL },

    { START "\"models\":[\"a\",\"b\",\"c\"]}", "a=a b=b c=c", NULL },

    { START "\"models\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}",
      "a=a b=b c=c d=d e=e f=f g=g h=h", NULL },

    { START "\"models\":[\"a\",{\"model\":\"b\"}]}", "a=a b=b", NULL },

    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\",\"system\":\"s\","
      "\"server_url\":\"http:\\/\\/h\",\"options\":{\"seed\":1}},\"b\"]}",
      "x=a\"s\"@http://h{\"seed\":1} b=b", NULL },

    { START "\"models\":[{\"model\":\"a\",\"think\":[{\"model\":3}],\"x\":{"
      "\"name\":4}},\"b\"],\"x\":{\"models\":[{\"name\":5}]},\"models2\":6}",
      "a=a b=b", NULL },

    { START "\"models\":[{\"MODEL\":\"a\",\"Name\":\"x\",\"\xc5\xbfystem\":"
      "\"s\",\"\\u0073erver_url\":\"h\"},\"b\"]}",
      "x=a\"s\"@h b=b", NULL },

    { START "\"models\":[{\"model\":\"a\",\"name\":null,\"system\":null,"
      "\"server_url\":null,\"options\":null},\"b\"]}", "a=a b=b", NULL },


    /* names */

    { START "\"models\":[\"a\",\"a\"]}", "a=a a#2=a", NULL },

    { START "\"models\":[\"a\",\"b\",\"a\",\"b\",\"a\"]}",
      "a=a b=b a#2=a b#2=b a#3=a", NULL },

    { START "\"models\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}",
      "a=a a#2=a a#3=a a#4=a a#5=a a#6=a a#7=a a#8=a", NULL },

    { START "\"models\":[\"a\",\"a#2\",\"a\"]}", "a=a a#2=a#2 a#3=a", NULL },

    { START "\"models\":[\"a\",\"a\",\"a#2\"]}", "a=a a#2=a a#2#2=a#2", NULL },

    { START "\"models\":[\"a\",{\"model\":\"b\",\"name\":\"a\"}]}",
      "a#2=a a=b", NULL },

    { START "\"models\":[\"a\",\"a\",{\"model\":\"b\",\"name\":\"a#2\"}]}",
      "a=a a#3=a a#2=b", NULL },

    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\"},"
      "{\"model\":\"a\",\"name\":\"X\"},\"a\"]}", "x=a X=a a=a", NULL },

    { START "\"models\":[\"a\",\"a:latest\",\"A\"]}",
      "a=a a:latest=a:latest A=A", NULL },

    { START "\"models\":[{\"model\":\"a\",\"name\":\"\\\"\xc3\xa9\\ud83d"
      "\\ude00 \\\\\"},\"b\"]}", "\"\xc3\xa9\xf0\x9f\x98\x80 \\=a b=b", NULL },


    /* system prompts */

    { BODY "\"system_prompts\":{\"a\":\"s\"}}", "a=a\"s\" b=b", NULL },

    { START "\"system_prompts\":{\"b\":\"t\",\"a\":\"s\"}," MODELS "}",
      "a=a\"s\" b=b\"t\"", NULL },

    { START "\"models\":[\"a\",\"a\"],\"system_prompts\":{\"a\":\"s\"}}",
      "a=a\"s\" a#2=a\"s\"", NULL },

    { START "\"models\":[\"a\",\"a\"],\"system_prompts\":{\"a\":\"s\","
      "\"a#2\":\"t\"}}", "a=a\"s\" a#2=a\"t\"", NULL },

    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\"},{\"model\":\"a\","
      "\"name\":\"y\"}],\"system_prompts\":{\"a\":\"s\",\"y\":\"t\"}}",
      "x=a\"s\" y=a\"t\"", NULL },

    { START "\"models\":[\"a\",{\"model\":\"b\",\"name\":\"a\"}],"
      "\"system_prompts\":{\"a\":\"s\",\"b\":\"t\"}}",
      "a#2=a\"s\" a=b\"s\"", NULL },

    { START "\"models\":[{\"model\":\"a\",\"system\":\"own\"},\"a\"],"
      "\"system_prompts\":{\"a\":\"s\"}}", "a=a\"own\" a#2=a\"s\"", NULL },

    { START "\"models\":[{\"model\":\"a\",\"system\":\"\"},\"b\"],"
      "\"system_prompts\":{\"a\":\"s\"}}", "a=a b=b", NULL },

    { START "\"models\":[{\"model\":\"a\",\"name\":\"x\"},\"b\"],"
      "\"system_prompts\":{\"a\":\"s\",\"x\":\"\"}}", "x=a b=b", NULL },

    { BODY "\"system_prompts\":{\"a\":null}}", "a=a b=b", NULL },

    { BODY "\"system_prompts\":{\"a\":\"s\",\"a\":null}}", "a=a b=b", NULL },

    { BODY "\"system_prompts\":{\"a\":\"s\",\"\\u0061\":\"t\\n\"}}",
      "a=a\"t\\n\" b=b", NULL },

    { BODY "\"system_prompts\":{\"a\":\"s\",\"b\":\"u\"},"
      "\"system_prompts\":{\"a\":\"t\"}}", "a=a\"t\" b=b\"u\"", NULL },

    { BODY "\"system_prompts\":{\"x\":\"s\"},\"system_prompts\":null}",
      "a=a b=b", NULL },

    { BODY "\"system_prompts\":{}}", "a=a b=b", NULL },


    /* options */

    { BODY "\"options\":{\"seed\":1,\"stop\":[\"}\"]}}",
      "a=a{\"seed\":1,\"stop\":[\"}\"]} b=b{\"seed\":1,\"stop\":[\"}\"]}",
      NULL },

    { START "\"models\":[{\"model\":\"a\",\"options\":{\"seed\":2,\"x\":{}}},"
      "\"b\"],\"options\":{\"top_k\":1,\"seed\":1,\"min_p\":0.5}}",
      "a=a{\"top_k\":1,\"min_p\":0.5,\"seed\":2,\"x\":{}} "
      "b=b{\"top_k\":1,\"seed\":1,\"min_p\":0.5}", NULL },

    { START "\"options\":{\"seed\":1},\"models\":[{\"model\":\"a\",\"options\":"
      "{\"\\u0073eed\":-1.50e+02}},\"b\"]}",
      "a=a{\"\\u0073eed\":-1.50e+02} b=b{\"seed\":1}", NULL },

    { START "\"options\":{\"seed\":1},\"models\":[{\"model\":\"a\",\"options\":"
      "{\"SEED\":2}},\"b\"]}",
      "a=a{\"seed\":1,\"SEED\":2} b=b{\"seed\":1}", NULL },

    { START "\"options\":{\"stop\":{\"a\":1}},\"models\":[{\"model\":\"a\","
      "\"options\":{\"stop\":{\"b\":2}}},\"b\"]}",
      "a=a{\"stop\":{\"b\":2}} b=b{\"stop\":{\"a\":1}}", NULL },

    { START "\"options\":{\"a\" : 1 ,\n\"b\":true , \"c\":null\t},"
      "\"models\":[\"a\",\"b\"]}",
      "a=a{\"a\" : 1,\"b\":true,\"c\":null} "
      "b=b{\"a\" : 1,\"b\":true,\"c\":null}", NULL },

    { BODY "\"options\":{\"a\":1,\"b\":2,\"a\":[\"a\",{\"a\":3}]}}",
      "a=a{\"a\":[\"a\",{\"a\":3}],\"b\":2} "
      "b=b{\"a\":[\"a\",{\"a\":3}],\"b\":2}", NULL },

    { BODY "\"options\":{\"a\":\"\\ud83d\",\"\\ud83d\":1}}",
      "a=a{\"a\":\"\\ud83d\",\"\\ud83d\":1} b=b{\"a\":\"\\ud83d\",\"\\ud83d\":"
      "1}", NULL },

    { BODY "\"options\":{\"a\":1,\"c\":1},\"options\":{\"b\":2,\"c\":3}}",
      "a=a{\"a\":1,\"c\":3,\"b\":2} b=b{\"a\":1,\"c\":3,\"b\":2}", NULL },

    { BODY "\"options\":{\"a\":1},\"options\":null,\"options\":{\"b\":2}}",
      "a=a{\"b\":2} b=b{\"b\":2}", NULL },

    { BODY "\"options\":{\"a\":1},\"options\":null}", "a=a b=b", NULL },

    { BODY "\"options\":{}}", "a=a b=b", NULL },

    { START "\"models\":[{\"model\":\"a\",\"options\":{\"a\":1},\"options\":{"
      "}},{\"model\":\"b\",\"options\":{\"b\":1},\"options\":null}],"
      "\"options\":{\"c\":1}}", "a=a{\"c\":1,\"a\":1} b=b{\"c\":1}", NULL },


    /* the last one of a name */

    { START "\"models\":[\"x\",\"y\",\"z\"]," MODELS "}", "a=a b=b", NULL },

    { START "\"models\":[],\"models\":null," MODELS "}", "a=a b=b", NULL },

    { START "\"models\":[\"x\",{\"model\":\"y\",\"name\":\"n\",\"system\":"
      "\"s\",\"options\":{\"a\":1}}]," MODELS "}", "a=a b=b", NULL },

    { START "\"models\":[{\"model\":\"x\",\"model\":\"a\",\"name\":\"y\","
      "\"name\":\"z\"},\"b\"]}", "z=a b=b", NULL },

    { "{\"initial_message\":\"\",\"initial_message\":\"hi\",\"INITIAL_MESSAGE\""
      ":null," MODELS "}", "a=a b=b", NULL },


    /* the rest */

    { BODY "\"max_turns\":1}", "a=a b=b", "hi|1|||1" },
    { BODY "\"max_turns\":100}", "a=a b=b", "hi|100|||1" },
    { BODY "\"max_turns\":null}", "a=a b=b", NULL },
    { BODY "\"max_turns\":3,\"max_turns\":null}", "a=a b=b", "hi|3|||1" },
    { BODY "\"max_turns\":3,\"Max_Turns\":4}", "a=a b=b", "hi|4|||1" },
    { BODY "\"background\":true}", "a=a b=b", NULL },
    { BODY "\"background\":false}", "a=a b=b", NULL },
    { BODY "\"stream\":true}", "a=a b=b", NULL },
    { BODY "\"stream\":false}", "a=a b=b", "hi|10|||0" },
    { BODY "\"stream\":null}", "a=a b=b", NULL },
    { BODY "\"stream\":false,\"stream\":null}", "a=a b=b", NULL },
    { BODY "\"task_id\":\"t-_9\",\"session_id\":\"s\"}", "a=a b=b",
      "hi|10|s|t-_9|1" },
    { BODY "\"task_id\":null,\"session_id\":null}", "a=a b=b", NULL },
    { BODY "\"session_id\":\"no such !\"}", "a=a b=b", "hi|10|no such !||1" },
    { BODY "\"session_id\":\"\"}", "a=a b=b", NULL },
    { "{\"initial_message\":\" \\n\"," MODELS "}", "a=a b=b", " \\n|10|||1" },
    { "{\"initial_message\":\"\\\"\\u00e9\xc3\xa9\\ud83d\\ude00\\/\\t\","
      MODELS "}", "a=a b=b",
      "\\\"\\u00e9\xc3\xa9\\ud83d\\ude00\\/\\t|10|||1" },
};


static void
body_test(void **state)
{
    body_case_t *row = *state;

    char                error[128];
    size_t              len;
    conversation_run_t  run;

    conversation_check(row->title, row->people,
                       row->rest ? row->rest : "hi|10|||1", NULL);

    /* cut off */

    for (len = strrchr(row->title, '}') - row->title; len; len--) {

        conversation_feed(&run, (u_char *) row->title, len, len, len);

        assert_int_equal(run.rc, NGX_DECLINED);

        (void) snprintf(error, sizeof(error),
                        "the body is no JSON: unexpected end, at byte %d",
                        (int) len);

        assert_int_equal(run.body.error.len, strlen(error));
        assert_memory_equal(run.body.error.data, error, strlen(error));

        ngx_destroy_pool(run.pool);
    }
}


/*
 * A long text in many pieces is neither gone over again with each nor kept
 * more than a few times; what isn't asked for isn't kept at all.
 */

static void
huge_run(const char *before, const char *after, size_t *found, size_t *taken)
{
    size_t                                  i;
    u_char                                  text[1023];
    ngx_int_t                               rc;
    ngx_pool_t                             *pool, *temp;
    ngx_http_ollama_conversation_body_t     result;
    ngx_http_ollama_conversation_fields_t  *read;

    pool = ngx_create_pool(4096, NULL);
    temp = ngx_create_pool(4096, NULL);

    read = ngx_http_ollama_conversation_body_begin(&result, pool, temp);
    assert_non_null(read);

    rc = ngx_http_ollama_conversation_body_feed(read, (u_char *) before,
                                                strlen(before));
    assert_int_equal(rc, NGX_OK);

    memset(text, 'x', sizeof(text));

    for (i = 0; i < 1024; i++) {
        rc = ngx_http_ollama_conversation_body_feed(read, text, sizeof(text));
        assert_int_equal(rc, NGX_OK);
    }

    rc = ngx_http_ollama_conversation_body_feed(read, (u_char *) after,
                                                strlen(after));
    assert_int_equal(rc, NGX_OK);

    assert_int_equal(ngx_http_ollama_conversation_body_end(read), NGX_OK);

    *found = result.initial.len;
    *taken = ngx_stub_pool_peak(pool) + ngx_stub_pool_peak(temp);

    ngx_destroy_pool(temp);
    ngx_destroy_pool(pool);
}


static void
huge_test(void **state)
{
    size_t  found, taken;

    huge_run("{" MODELS ",\"initial_message\":\"", "\"}", &found, &taken);

    assert_int_equal(found, 1024 * 1023);
    assert_true(taken < 5 * found);

    huge_run(BODY "\"messages\":[\"", "\"]}", &found, &taken);

    assert_int_equal(found, 2);
    assert_true(taken < 65536);
}


/* A text of 1 MB when it is decoded is taken, however it is written. */

static void
text_limit_test(void **state)
{
    char                *body, *p;
    size_t               n, over;
    ngx_uint_t           i, where;
    conversation_run_t   run;

    static const struct {
        const char      *written;
        size_t           len;
    } chars[] = {
        { "x", 1 }, { "\\n", 1 }, { "\\u0000", 1 }, { "\\u00e9", 2 },
        { "\\u20ac", 3 }, { "\\ud83d\\ude00", 4 }, { "\xe2\x82\xac", 3 }
    };

    static const char  *before[] = {
        "{" MODELS ",\"initial_message\":\"",
        BODY "\"system_prompts\":{\"a\":\"",
        START "\"models\":[\"b\",{\"model\":\"a\",\"system\":\""
    };

    static const char  *after[] = { "\"}", "\"}}", "\"}]}" };

    body = malloc(8 * 1024 * 1024);
    assert_non_null(body);

    for (where = 0; where < unit_nelts(before); where++) {
        for (i = 0; i < unit_nelts(chars); i++) {
            for (over = 0; over < 2; over++) {

                p = body + sprintf(body, "%s", before[where]);

                for (n = 1048576 / chars[i].len; n; n--) {
                    p = stpcpy(p, chars[i].written);
                }

                for (n = 1048576 % chars[i].len + over; n; n--) {
                    *p++ = 'y';
                }

                p += sprintf(p, "%s", after[where]);

                conversation_feed(&run, (u_char *) body, p - body, 32768,
                                  32768);

                assert_int_equal(run.rc, over ? NGX_DECLINED : NGX_OK);
                assert_int_equal(run.body.too_large, over);

                ngx_destroy_pool(run.pool);
            }
        }
    }

    free(body);
}


/* Whatever it is that makes the body long. */

static void
body_limit_test(void **state)
{
    char                *body, *p;
    size_t               len;
    conversation_run_t   run;

    for (len = 16777216; len < 16777218; len++) {
        body = malloc(len);
        assert_non_null(body);

        memset(body, ' ', len);
        p = body + sprintf(body, "%s", BODY "\"other\":1");
        *p = ' ';
        body[len - 1] = '}';

        conversation_feed(&run, (u_char *) body, len, 32768, 32768);

        assert_int_equal(run.rc, (len == 16777216) ? NGX_OK : NGX_DECLINED);
        assert_int_equal(run.body.too_large, len != 16777216);

        ngx_destroy_pool(run.pool);
        free(body);
    }
}


/*
 * Whichever allocation fails: it is said, or the body is read all the same.
 * Those of yajl, all of them small and at the beginning, must not fail.
 */

static void
memory_test(void **state)
{
    size_t                                  size;
    ngx_int_t                               rc;
    ngx_uint_t                              failed[2];
    ngx_pool_t                             *pool, *temp;
    ngx_http_ollama_conversation_body_t     result;
    ngx_http_ollama_conversation_fields_t  *read;

    static u_char  body[] = START "\"models\":[\"model\",\"model\",{\"model\":"
                            "\"abc\",\"name\":\"abcdefg\",\"system\":"
                            "\"abcdefghijk\",\"options\":{\"abcdefgh\":1}}],"
                            "\"system_prompts\":{\"model\":\"abcdefghijklm\"},"
                            "\"options\":{\"abcdefghi\":1,\"b\":2}}";

    failed[0] = 0;
    failed[1] = 0;

    for (size = 1; size < 8192; size++) {

        pool = ngx_create_pool(4096, NULL);
        temp = ngx_create_pool(4096, NULL);

        ngx_stub_fail_size = (size > 1024) ? size : 0;

        read = ngx_http_ollama_conversation_body_begin(&result, pool, temp);

        if (read == NULL) {
            failed[0]++;
            goto next;
        }

        ngx_stub_fail_size = 0;

        rc = ngx_http_ollama_conversation_body_feed(read, body, 1);
        assert_int_equal(rc, NGX_OK);

        ngx_stub_fail_size = size;

        rc = ngx_http_ollama_conversation_body_feed(read, body + 1,
                                                    sizeof(body) - 2);

        if (rc == NGX_OK) {
            rc = ngx_http_ollama_conversation_body_end(read);
        }

        if (rc == NGX_OK) {
            assert_int_equal(result.n, 3);
            assert_int_equal(result.participant[1].name.len, 7);
            assert_int_equal(result.participant[2].options.len, 34);

        } else {
            assert_int_equal(rc, NGX_ERROR);
            failed[1]++;
        }

    next:

        ngx_stub_fail_size = 0;

        ngx_destroy_pool(temp);
        ngx_destroy_pool(pool);
    }

    assert_int_equal(failed[0], 1);
    assert_true(failed[1] >= 12);

    /* what is to say why, and the list of a participant's options */

    pool = ngx_create_pool(4096, NULL);

    read = ngx_http_ollama_conversation_body_begin(&result, pool, pool);
    assert_non_null(read);

    ngx_stub_fail_size = 512;
    rc = ngx_http_ollama_conversation_body_feed(read, (u_char *) "[", 1);
    assert_int_equal(rc, NGX_ERROR);

    ngx_stub_fail_size = 2 * sizeof(ngx_str_t);
    read = ngx_http_ollama_conversation_body_begin(&result, pool, pool);
    assert_null(read);

    ngx_stub_fail_size = 0;
    ngx_destroy_pool(pool);
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add_rows(&suite, body_test, body_cases, sizeof(body_case_t),
                  unit_nelts(body_cases));

    unit_add(&suite, "a long text in many pieces", huge_test, NULL);
    unit_add(&suite, "the longest texts", text_limit_test, NULL);
    unit_add(&suite, "the longest body", body_limit_test, NULL);
    unit_add(&suite, "no memory", memory_test, NULL);

    return unit_run(&suite, "conversation_body");
}
