
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is made of a server's replies: which models with which values, what
 * is left out, which replies are refused and why.  A reply is read at once,
 * byte by byte and in slices; all must come to the same.
 */


#include "unit.h"

#include "fleet/ngx_http_ollama_report.h"


#define MAX_TEXT      4096

/* written as "@" in a row's text: an object as Ollama has it */
#define TAG_DETAILS   "{\"format\":\"gguf\",\"families\":[\"a\",{}]}"


typedef struct {
    const char      *title;
    const char      *tags;      /* NULL: not asked */
    const char      *ps;
    const char      *want;      /* see report_print() */
    const char      *error;     /* of the last reply */
} report_case_t;


typedef struct {
    const char      *title;
    ngx_str_t        body;
    const char      *version;   /* NULL: an error */
    const char      *error;
} version_case_t;


/* an earlier report and one that lacks a list; what comes to be known then */

typedef struct {
    const char      *title;
    const char      *old_tags;
    const char      *old_ps;
    const char      *tags;      /* NULL: not answered */
    const char      *ps;
    const char      *want;
} keep_case_t;


/* a model as a line: key, name, size, modified; what is loaded in brackets */

static report_case_t  report_cases[] = {

    /* whole replies */

    { "no models", "{\"models\":[]}", NULL, "", NULL },
    { "models are null", "{\"models\":null}", NULL, "", NULL },

    { "as Ollama says it",
      "{\"models\":[{\"name\":\"llama3.2:latest\","
      "\"model\":\"llama3.2:latest\",\"size\":2019393189,"
      "\"modified_at\":\"1970-01-01T02:00:01.5+02:00\","
      "\"digest\":\"a80c4f17acd5\",\"details\":{\"format\":\"gguf\"}}]}",
      NULL,
      "llama3.2:latest llama3.2:latest 2019393189 1500000 "
      "{\"format\":\"gguf\"}\n", NULL },

    { "sorted by key",
      "{\"models\":[{\"name\":\"b\"},{\"name\":\"C\"},{\"name\":\"a:1\"},"
      "{\"name\":\"a\"},{\"name\":\"a:10\"}]}", NULL,
      "a:1 a:1 0 0\n" "a:10 a:10 0 0\n" "a:latest a 0 0\n" "b:latest b 0 0\n"
      "c:latest C 0 0\n", NULL },

    { "other keys around",
      "{\"x\":{\"models\":[{\"name\":\"b\"}]},\"version\":1,\"models\":["
      "{\"name\":\"a\"}],\"y\":[[]]}", NULL, "a:latest a 0 0\n", NULL },

    { "keys as Go reads them",
      "{\"MODELS\":[{\"Name\":\"a\",\"\\u017fIZE\":1}]}", NULL,
      "a:latest a 1 0\n", NULL },

    { "the last list counts",
      "{\"models\":[{\"name\":\"a\"},1],\"models\":[{\"name\":\"b\"}]}", NULL,
      "b:latest b 0 0\n", NULL },

    { "the last list is null",
      "{\"models\":[{\"name\":\"a\"},1],\"models\":null}", NULL, "", NULL },

    /* names */

    { "model instead of name", "{\"models\":[{\"model\":\"a\"}]}", NULL,
      "a:latest a 0 0\n", NULL },
    { "name and model", "{\"models\":[{\"model\":\"a\",\"name\":\"b\"}]}",
      NULL, "b:latest b 0 0\n", NULL },
    { "model instead of name, behind a name",
      "{\"models\":[{\"name\":\"a\"},{\"model\":\"b\"}]}", NULL,
      "a:latest a 0 0\nb:latest b 0 0\n", NULL },
    { "the last name", "{\"models\":[{\"name\":\"a\",\"name\":\"b\"}]}", NULL,
      "b:latest b 0 0\n", NULL },
    { "escapes in a name",
      "{\"models\":[{\"name\":\"\\u0061\\/\\\"\\u00e9\\ud83d\\ude00\"}]}",
      NULL, "a/\"\xc3\xa9\xf0\x9f\x98\x80:latest "
      "a/\"\xc3\xa9\xf0\x9f\x98\x80 0 0\n", NULL },
    { "no name, behind a model",
      "{\"models\":[{\"model\":\"a\"},{\"size\":1}]}", NULL,
      "a:latest a 0 0\ndropped 1\n", NULL },
    { "no name", "{\"models\":[{\"size\":1},{\"name\":\"a\"}]}", NULL,
      "a:latest a 0 0\ndropped 1\n", NULL },
    { "an empty name", "{\"models\":[{\"name\":\"\",\"model\":\"b\"}]}", NULL,
      "dropped 1\n", NULL },
    { "a name that is none", "{\"models\":[{\"name\":1},{\"name\":null},"
      "{\"name\":{\"name\":\"a\"}},{\"name\":[\"a\"]},{\"name\":true}]}", NULL,
      "dropped 5\n", NULL },
    { "control characters in names",
      "{\"models\":[{\"name\":\"a\\n\"},{\"name\":\"\\u0000\"},"
      "{\"name\":\"a\\u001f\"},{\"name\":\"\x7f\"},{\"name\":\"\\u007f\"},"
      "{\"name\":\"\\u0080\"},{\"name\":\"x\\u009f\"},"
      "{\"name\":\"\\u00a0\"}]}", NULL,
      "\xc2\xa0:latest \xc2\xa0 0 0\ndropped 7\n", NULL },
    { "half of a pair in a name",
      "{\"models\":[{\"name\":\"a\\ud83d\"},{\"name\":\"\\ude00\"},"
      "{\"name\":\"b\"}]}", NULL, "b:latest b 0 0\ndropped 2\n", NULL },
    { "a name of another object",
      "{\"models\":[{\"details\":{\"name\":\"a\"}},[\"name\",\"a\"],"
      "[{\"name\":\"a\"}]]}", NULL, "dropped 3\n", NULL },

    /* models that are none */

    { "objects in another list",
      "{\"models\":[{\"size\":1}],\"x\":[{\"name\":\"a\"},{}]}", NULL,
      "dropped 1\n", NULL },

    { "not objects",
      "{\"models\":[1,null,\"a\",true,[],[[{}]],{}]}", NULL, "dropped 7\n",
      NULL },

    /* the same model twice */

    { "the last of two",
      "{\"models\":[{\"name\":\"A\",\"size\":1},{\"name\":\"b\"},"
      "{\"name\":\"a:latest\",\"size\":2}]}", NULL,
      "a:latest a:latest 2 0\nb:latest b 0 0\n", NULL },
    { "the newest of three",
      "{\"models\":["
      "{\"name\":\"a\",\"modified_at\":\"1970-01-01T00:00:01Z\"},"
      "{\"name\":\"A\",\"modified_at\":\"1970-01-01T00:00:02Z\"},"
      "{\"name\":\"a:latest\"}]}", NULL, "a:latest A 0 2000000\n", NULL },

    /* values */

    { "sizes that are none",
      "{\"models\":[{\"name\":\"a\",\"size\":-1},"
      "{\"name\":\"b\",\"size\":1.5},{\"name\":\"c\",\"size\":1e3},"
      "{\"name\":\"d\",\"size\":9007199254740992},"
      "{\"name\":\"e\",\"size\":18446744073709551617},"
      "{\"name\":\"f\",\"size\":99999999999999999999999999999999999999},"
      "{\"name\":\"g\",\"size\":\"1\"},{\"name\":\"h\",\"size\":null},"
      "{\"name\":\"i\",\"size\":-0},{\"name\":\"j\",\"size\":[1]},"
      "{\"name\":\"k\",\"size\":{\"size\":1}}]}", NULL,
      "a:latest a 0 0\nb:latest b 0 0\nc:latest c 0 0\nd:latest d 0 0\n"
      "e:latest e 0 0\nf:latest f 0 0\ng:latest g 0 0\nh:latest h 0 0\n"
      "i:latest i 0 0\nj:latest j 0 0\nk:latest k 0 0\n", NULL },
    { "the greatest size",
      "{\"models\":[{\"name\":\"a\",\"size\":9007199254740991}]}", NULL,
      "a:latest a 9007199254740991 0\n", NULL },
    { "the last size",
      "{\"models\":[{\"name\":\"a\",\"size\":1,\"size\":2}]}", NULL,
      "a:latest a 2 0\n", NULL },
    { "a time that is none",
      "{\"models\":[{\"name\":\"a\",\"modified_at\":\"yesterday\"},"
      "{\"name\":\"b\",\"modified_at\":\"0001-01-01T00:00:00Z\"},"
      "{\"name\":\"c\",\"modified_at\":7}]}", NULL,
      "a:latest a 0 0\nb:latest b 0 0\nc:latest c 0 0\n", NULL },
    { "details",
      "{\"models\":[{\"name\":\"a\",\"details\":" TAG_DETAILS "},"
      "{\"name\":\"b\",\"details\":null},{\"name\":\"c\",\"details\":[{}]},"
      "{\"name\":\"d\",\"x\":{},\"details\":{}},"
      "{\"name\":\"e\",\"details\":{ },\"x\":{\"a\":{}}}]}", NULL,
      "a:latest a 0 0 " TAG_DETAILS "\nb:latest b 0 0\nc:latest c 0 0\n"
      "d:latest d 0 0 {}\ne:latest e 0 0 { }\n", NULL },
    { "what only ps tells, in tags",
      "{\"models\":[{\"name\":\"a\",\"expires_at\":\"1970-01-01T00:00:01Z\","
      "\"size_vram\":1,\"context_length\":1}]}", NULL, "a:latest a 0 0\n",
      NULL },

    /* what is loaded */

    { "nothing loaded", "{\"models\":[{\"name\":\"a\"}]}",
      "{\"models\":[]}", "a:latest a 0 0\n", NULL },
    { "one loaded",
      "{\"models\":[{\"name\":\"a\",\"size\":1},{\"name\":\"b\",\"size\":2,"
      "\"details\":{\"x\":1}}]}",
      "{\"models\":[{\"name\":\"B:latest\",\"model\":\"b\",\"size\":5,"
      "\"details\":{},\"expires_at\":\"2025-06-01T12:34:56.7+02:00\","
      "\"size_vram\":3,\"context_length\":4096}]}",
      "a:latest a 1 0\n"
      "b:latest b 2 0 {\"x\":1} [3 4096 2025-06-01T12:34:56.7+02:00]\n",
      NULL },
    { "one loaded that isn't there",
      "{\"models\":[{\"name\":\"c\",\"size\":1}]}",
      "{\"models\":[{\"name\":\"d\",\"size\":5},{\"name\":\"b\",\"size\":5,"
      "\"modified_at\":\"1970-01-01T00:00:01Z\",\"details\":{}},"
      "{\"name\":\"C\",\"details\":{ }}]}",
      "+b:latest b 0 0 {} [0 0 ]\nc:latest c 1 0 { } [0 0 ]\n"
      "+d:latest d 0 0 [0 0 ]\n", NULL },
    { "the last of two loaded", "{\"models\":[]}",
      "{\"models\":[{\"name\":\"a\",\"size_vram\":1,\"details\":{}},"
      "{\"name\":\"A\",\"size_vram\":2}]}", "+a:latest A 0 0 [2 0 ]\n",
      NULL },
    { "an end that is no time",
      "{\"models\":null}",
      "{\"models\":[{\"name\":\"a\",\"expires_at\":\"\\\"\"},"
      "{\"name\":\"b\",\"expires_at\":\"2025-06-01T12:34:56Z\","
      "\"expires_at\":\"never\"},{}]}",
      "+a:latest a 0 0 [0 0 ]\n+b:latest b 0 0 [0 0 ]\ndropped 1\n", NULL },
    { "an end of another one", "{\"models\":[]}",
      "{\"models\":[{\"name\":\"a\",\"expires_at\":\"2025-06-01T12:34:56Z\"},"
      "{\"name\":\"b\"}]}",
      "+a:latest a 0 0 [0 0 2025-06-01T12:34:56Z]\n+b:latest b 0 0 [0 0 ]\n",
      NULL },
    { "both left some out",
      "{\"models\":[1,{\"name\":\"a\"}]}", "{\"models\":[{},2]}",
      "a:latest a 0 0\ndropped 3\n", NULL },
    { "ps is wrong", "{\"models\":[1,{\"name\":\"a\"}]}",
      "{\"models\":[2,{\"name\":\"a\"},{\"name\":\"b\"}]",
      "a:latest a 0 0\ndropped 1\n", "unexpected end" },

    /* what is no such reply */

    { "empty", "", NULL, "", "unexpected end" },
    { "blank", " \n", NULL, "", "unexpected end" },
    { "not JSON", "<html>", NULL, "", "invalid char in json text" },
    { "text", "404 page not found", NULL, "",
      NULL },
    { "cut off", "{\"models\":[{\"name\":\"a\"}", NULL, "",
      "unexpected end" },
    { "more behind it", "{\"models\":[]}{}", NULL, "", "trailing garbage" },
    { "a list", "[{\"models\":[]}]", NULL, "", "not an object" },
    { "a string", "\"models\"", NULL, "", "not an object" },
    { "null", "null", NULL, "", "not an object" },
    { "a number", "1 ", NULL, "", "not an object" },
    { "no models in it", "{\"error\":\"x\"}", NULL, "",
      "no \"models\" in it" },
    { "models are an object", "{\"models\":{\"name\":\"a\"}}", NULL, "",
      "\"models\" is not an array" },
    { "models are a string", "{\"models\":\"a\"}", NULL, "",
      "\"models\" is not an array" },
    { "models are a number", "{\"models\":[],\"models\":1}", NULL, "",
      "\"models\" is not an array" },
    { "models are false", "{\"models\":false}", NULL, "",
      "\"models\" is not an array" },
    { "a control character", "{\"models\":[{\"name\":\"a\",\"x\":\"\x01\"}]}",
      NULL, "", "a control character in a string" },
    { "bad UTF-8", "{\"models\":[{\"name\":\"a\",\"x\":\"\xff\"}]}",
      NULL, "", "invalid UTF-8 in a string" },
    { "a surrogate in UTF-8", "{\"models\":[{\"name\":\"\xed\xa0\x80\"}]}",
      NULL, "", "invalid UTF-8 in a string" }
};


static version_case_t  version_cases[] = {

    { "as Ollama says it", ngx_string("{\"version\":\"0.17.4\"}"), "0.17.4",
      NULL },
    { "with more", ngx_string("{\"a\":[],\"Version\":\"0.17.4-rc1+x (y)\"}"),
      "0.17.4-rc1+x (y)", NULL },
    { "escaped", ngx_string("{\"version\":\"\\u0031\"}"), "1", NULL },
    { "twice", ngx_string("{\"version\":\"1\",\"version\":\"2\"}"), "2",
      NULL },
    { "models beside it", ngx_string("{\"models\":1,\"version\":\"2\"}"), "2",
      NULL },
    { "the longest",
      ngx_string("{\"version\":\"01234567890123456789012345678901\"}"),
      "01234567890123456789012345678901", NULL },
    { "too long",
      ngx_string("{\"version\":\"012345678901234567890123456789012\"}"),
      NULL, "\"version\" is not a version" },
    { "empty", ngx_string("{\"version\":\"\"}"), NULL,
      "\"version\" is not a version" },
    { "a quote", ngx_string("{\"version\":\"\\\"\"}"), NULL,
      "\"version\" is not a version" },
    { "a backslash", ngx_string("{\"version\":\"\\\\\"}"), NULL,
      "\"version\" is not a version" },
    { "a control character", ngx_string("{\"version\":\"1\\u001b\"}"), NULL,
      "\"version\" is not a version" },
    { "DEL", ngx_string("{\"version\":\"1\x7f\"}"), NULL,
      "\"version\" is not a version" },
    { "outside of ASCII", ngx_string("{\"version\":\"1\xc3\xa9\"}"), NULL,
      "\"version\" is not a version" },
    { "half of a pair", ngx_string("{\"version\":\"1\\ud800\"}"), NULL,
      "\"version\" is not a version" },
    { "a good one, then a bad one",
      ngx_string("{\"version\":\"1\",\"version\":2}"), NULL,
      "\"version\" is not a version" },
    { "null", ngx_string("{\"version\":null}"), NULL,
      "\"version\" is not a version" },
    { "an object", ngx_string("{\"version\":{}}"), NULL,
      "\"version\" is not a version" },
    { "a list", ngx_string("{\"version\":[\"1\"]}"), NULL,
      "\"version\" is not a version" },
    { "none", ngx_string("{\"x\":{\"version\":\"1\"}}"), NULL,
      "no \"version\" in it" },
    { "not JSON", ngx_string("{"), NULL, "unexpected end" }
};


static keep_case_t  keep_cases[] = {

    { "nothing lacks", "{\"models\":[{\"name\":\"a\"}]}",
      "{\"models\":[{\"name\":\"a\"}]}", "{\"models\":[{\"name\":\"b\"}]}",
      "{\"models\":[]}", "b:latest b 0 0\n" },

    { "no ps: what was loaded is so, if it is still there",
      "{\"models\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"}]}",
      "{\"models\":[{\"name\":\"a\",\"size_vram\":5},"
      "{\"name\":\"b\",\"context_length\":7},{\"name\":\"z\"}]}",
      "{\"models\":[{\"name\":\"b\"},{\"name\":\"d\"}]}", NULL,
      "b:latest b 0 0 [0 7 ]\nd:latest d 0 0\n" },

    { "no tags: models stay, what is loaded is new",
      "{\"models\":[{\"name\":\"a\"},{\"name\":\"b\",\"size\":3}]}",
      "{\"models\":[{\"name\":\"a\",\"size_vram\":5},{\"name\":\"y\"}]}",
      NULL, "{\"models\":[{\"name\":\"b\",\"size_vram\":6},"
      "{\"name\":\"z\"},{\"name\":\"\"}]}",
      "a:latest a 0 0\nb:latest b 3 0 [6 0 ]\n+z:latest z 0 0 [0 0 ]\n"
      "dropped 1\n" },

    { "no tags: what was left out is still there",
      "{\"models\":[{\"name\":\"a\"},{\"name\":\"\"}]}", NULL,
      NULL, "{\"models\":[]}", "a:latest a 0 0\ndropped 1\n" },

    { "no tags, and there were none", "{\"models\":[]}", NULL, NULL,
      "{\"models\":[]}", "" }
};


/* Reads a copy of the body that lives as long as the pool. */

static ngx_int_t
report_read(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, const char *text, size_t len,
    size_t slice)
{
    ngx_int_t  rc;
    ngx_str_t  body;

    body.len = len;
    body.data = ngx_pnalloc(report->pool, len);
    assert_non_null(body.data);
    memcpy(body.data, text, len);

    if (slice == 0) {

        switch (kind) {
        case NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS:
            return ngx_http_ollama_report_tags(report, &body);
        case NGX_HTTP_OLLAMA_REPORT_PARSE_PS:
            return ngx_http_ollama_report_ps(report, &body);
        default:
            return ngx_http_ollama_report_version(report, &body);
        }
    }

    rc = ngx_http_ollama_report_begin(report, kind, &body);

    while (rc == NGX_OK || rc == NGX_AGAIN) {

        rc = ngx_http_ollama_report_read(report, slice);

        if (rc != NGX_AGAIN) {
            assert_null(report->parse);
            return rc;
        }
    }

    return rc;
}


static void
report_init(ngx_http_ollama_report_t *report)
{
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_memzero(report, sizeof(ngx_http_ollama_report_t));
    assert_int_equal(ngx_http_ollama_report_init(report, pool), NGX_OK);
}


/* A line a model, with a "+" if the tags don't have it. */

static void
report_print(ngx_http_ollama_report_t *report, char *p, char *last)
{
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *model;

    *p = '\0';
    model = report->models.elts;

    for (i = 0; i < report->models.nelts; i++, model++) {

        p += snprintf(p, last - p, "%s%.*s %.*s %lld %lld",
                      model->tag.len ? "" : "+",
                      (int) model->key.len, model->key.data,
                      (int) model->name.len, model->name.data,
                      (long long) model->size, (long long) model->modified);

        if (model->details.len) {
            p += snprintf(p, last - p, " %.*s", (int) model->details.len,
                          model->details.data);
        }

        if (model->ps.len) {
            p += snprintf(p, last - p, " [%lld %lld %.*s]",
                          (long long) model->size_vram,
                          (long long) model->context_length,
                          (int) model->expires_at.len,
                          model->expires_at.data);

        } else {
            assert_true(model->size_vram == 0 && model->context_length == 0
                        && model->expires_at.len == 0);
        }

        p += snprintf(p, last - p, "\n");

        if (model->tag.len) {
            assert_true(model->tag.data[0] == '{'
                        && model->tag.data[model->tag.len - 1] == '}');
        }

        assert_ptr_equal(ngx_http_ollama_report_find(report->models.elts,
                                                     report->models.nelts,
                                                     &model->key),
                         model);
    }

    if (report->dropped) {
        p += snprintf(p, last - p, "dropped %d\n", (int) report->dropped);
    }

    assert_true(p < last);
}


static void
report_error(ngx_http_ollama_report_t *report, const char *want)
{
    if (want
        && (report->error.len != strlen(want)
            || memcmp(report->error.data, want, report->error.len) != 0))
    {
        fail_msg("\"%.*s\", not \"%s\"", (int) report->error.len,
                 report->error.data, want);
    }

    assert_true(report->error.len > 0 && report->error.len < 64);
}


static void
report_check(report_case_t *c, size_t slice)
{
    char                      text[MAX_TEXT];
    ngx_int_t                 rc;
    ngx_http_ollama_report_t  report;

    report_init(&report);

    rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS, c->tags,
                     strlen(c->tags), slice);

    if (c->ps) {
        assert_int_equal(rc, NGX_OK);
        rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_PS, c->ps,
                         strlen(c->ps), slice);
    }

    if (rc != NGX_OK) {
        assert_int_equal(rc, NGX_ERROR);
        report_error(&report, c->error);

    } else {
        assert_null(c->error);
    }

    report_print(&report, text, text + MAX_TEXT);
    assert_string_equal(text, c->want);

    ngx_destroy_pool(report.pool);
}


static void
report_case_test(void **state)
{
    report_check(*state, 0);
    report_check(*state, 1);
    report_check(*state, 7);
    report_check(*state, 64);
}


static void
version_case_test(void **state)
{
    version_case_t *c = *state;

    size_t                    slice;
    ngx_int_t                 rc;
    ngx_http_ollama_report_t  report;

    for (slice = 0; slice < 3; slice++) {

        report_init(&report);

        rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION,
                         (char *) c->body.data, c->body.len, slice);

        if (c->version) {
            assert_int_equal(rc, NGX_OK);
            assert_int_equal(report.version.len, strlen(c->version));
            assert_memory_equal(report.version.data, c->version,
                                report.version.len);

        } else {
            assert_int_equal(rc, NGX_ERROR);
            assert_int_equal(report.version.len, 0);
            report_error(&report, c->error);
        }

        assert_int_equal(report.models.nelts, 0);

        ngx_destroy_pool(report.pool);
    }
}


/* "{"models":[" and "n" of the models that the format makes of numbers */

static char *
report_many(ngx_uint_t n, const char *format)
{
    char        *text, *p;
    ngx_uint_t   i;

    text = malloc(32 + n * 64);
    assert_non_null(text);

    p = text + sprintf(text, "{\"models\":[");

    for (i = 0; i < n; i++) {
        /* no order */
        p += sprintf(p, "%s", i ? "," : "");
        p += sprintf(p, format, (int) (i * 7919 % 10007));
    }

    (void) sprintf(p, "]}");

    return text;
}


static void
report_count_test(void **state)
{
    char                      *text;
    ngx_uint_t                 i;
    ngx_http_ollama_model_t   *model;
    ngx_http_ollama_report_t   report;

    report_init(&report);

    text = report_many(NGX_HTTP_OLLAMA_REPORT_MODELS + 5,
                       "{\"name\":\"m%05d\"}");
    assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                 text, strlen(text), 0),
                     NGX_OK);
    free(text);

    assert_int_equal(report.models.nelts, NGX_HTTP_OLLAMA_REPORT_MODELS);
    assert_int_equal(report.dropped, 5);

    model = report.models.elts;

    for (i = 1; i < report.models.nelts; i++) {
        assert_true(memcmp(model[i - 1].key.data, model[i].key.data, 6) < 0);
    }

    /* no room for one more, but for those that are there */

    text = "{\"models\":[{\"name\":\"new\"},{\"name\":\"m00000\"}]}";
    assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_PS, text,
                                 strlen(text), 0),
                     NGX_OK);

    assert_int_equal(report.models.nelts, NGX_HTTP_OLLAMA_REPORT_MODELS);
    assert_int_equal(report.dropped, 6);

    model = report.models.elts;
    assert_true(model[0].ps.len > 0);

    ngx_destroy_pool(report.pool);
}


/* However long the list is, the memory is that of what is kept. */

static void
report_memory_test(void **state)
{
    char                      *text;
    size_t                     bytes, few;
    ngx_uint_t                 i, n;
    ngx_http_ollama_report_t   report;

    few = 0;

    for (i = 0; i < 2; i++) {

        n = i ? 60000 : 1000;

        report_init(&report);

        text = report_many(n, "{\"name\":\"m%05d\"}");

        assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                     text, strlen(text), 0),
                         NGX_OK);

        bytes = ngx_stub_pool_bytes(report.pool) - strlen(text);

        if (i == 0) {
            few = bytes;
            assert_true(few < 600 * 1024);

        } else {
            assert_true(bytes <= few);
        }

        free(text);
        ngx_destroy_pool(report.pool);
    }
}


static void
report_long_name_test(void **state)
{
    char                       text[8192], *p;
    ngx_uint_t                 i, len;
    const char                *unit;
    ngx_http_ollama_report_t   report;

    for (i = 0; i < 8; i++) {

        /* just fitting, and one byte more; plain and in escapes */

        len = NGX_HTTP_OLLAMA_REPORT_NAME + (i & 1);
        unit = (i & 2) ? "\\u0061" : "a";

        p = text + sprintf(text, "{\"models\":[{\"%s\":\"",
                           (i & 4) ? "model" : "name");

        while (len--) {
            p += sprintf(p, "%s", unit);
        }

        (void) sprintf(p, "\"}]}");

        report_init(&report);
        assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                     text, strlen(text), 0),
                         NGX_OK);
        assert_int_equal(report.models.nelts, !(i & 1));
        assert_int_equal(report.dropped, i & 1);
        ngx_destroy_pool(report.pool);
    }
}


static void
report_big_object_test(void **state)
{
    char                      *text;
    size_t                     extra, len;
    ngx_http_ollama_report_t   report;

    static const char  start[] = "{\"models\":[";
    static const char  model[] = "{\"name\":\"a\",\"x\":\"\"}";

    text = malloc(2 * NGX_HTTP_OLLAMA_REPORT_OBJECT);
    assert_non_null(text);

    for (extra = 0; extra < 2; extra++) {

        len = NGX_HTTP_OLLAMA_REPORT_OBJECT + extra - strlen(model);

        (void) sprintf(text, "%s{\"name\":\"a\",\"x\":\"%0*d\"}]}", start,
                       (int) len, 0);

        report_init(&report);
        assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                     text, strlen(text), 0),
                         NGX_OK);
        assert_int_equal(report.models.nelts, !extra);
        assert_int_equal(report.dropped, extra);
        ngx_destroy_pool(report.pool);
    }

    free(text);
}


static void
report_big_body_test(void **state)
{
    char                      *text;
    size_t                     i, len;
    ngx_int_t                  rc;
    ngx_http_ollama_report_t   report;

    for (i = 0; i < 2; i++) {

        len = NGX_HTTP_OLLAMA_REPORT_SIZE + i;
        text = malloc(len);
        assert_non_null(text);

        memset(text, ' ', len);
        memcpy(text, "{\"models\":[]}", 13);

        report_init(&report);
        rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS, text, len,
                         0);

        assert_int_equal(rc, i ? NGX_ERROR : NGX_OK);

        if (i) {
            report_error(&report, "too big");
        }

        free(text);
        ngx_destroy_pool(report.pool);
    }
}


static void
report_deep_test(void **state)
{
    char                       text[256], *p;
    ngx_int_t                  rc;
    ngx_uint_t                 i, k, depth;
    ngx_http_ollama_report_t   report;

    for (i = 0; i < 2; i++) {

        /* three levels are around it */
        depth = 61 + i;

        p = text + sprintf(text, "{\"models\":[{\"name\":\"a\",\"x\":");

        for (k = 0; k < depth; k++) {
            *p++ = '[';
        }

        for (k = 0; k < depth; k++) {
            *p++ = ']';
        }

        (void) sprintf(p, "}]}");

        report_init(&report);
        rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS, text,
                         strlen(text), 0);

        assert_int_equal(rc, i ? NGX_ERROR : NGX_OK);

        if (i) {
            report_error(&report, "nested too deeply");
        }

        ngx_destroy_pool(report.pool);
    }
}


/*
 * Wherever memory ends, the reply is refused and changes nothing; but in yajl,
 * which doesn't look.
 */

static void
report_memory_end_test(void **state)
{
    char                      *tags;
    ngx_int_t                  rc;
    ngx_uint_t                 i;
    ngx_http_ollama_report_t   report;

    static const char  ps[] = "{\"models\":[{\"name\":\"llama\","
                              "\"expires_at\":\"2025-06-01T12:34:56Z\"}]}";

    static const size_t  sizes[] = {
        3,                                     /* "123" */
        sizeof("123:latest") - 1,
        16 * sizeof(ngx_http_ollama_model_t),
        32 * sizeof(ngx_http_ollama_model_t),
        sizeof("llama") - 1,
        sizeof("llama:latest") - 1,
        sizeof("2025-06-01T12:34:56Z") - 1
    };

    tags = report_many(17, "{\"name\":\"%03d\"}");

    for (i = 0; i < unit_nelts(sizes); i++) {

        report_init(&report);

        ngx_stub_fail_size = sizes[i];

        rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS, tags,
                         strlen(tags), 0);

        assert_int_equal(rc, (i < 4) ? NGX_ERROR : NGX_OK);
        assert_int_equal(report.models.nelts, (i < 4) ? 0 : 17);

        if (rc == NGX_OK) {
            rc = report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_PS, ps,
                             sizeof(ps) - 1, 0);

            assert_int_equal(rc, NGX_ERROR);
            assert_int_equal(report.models.nelts, 17);
        }

        ngx_stub_fail_size = 0;

        report_error(&report, "no memory");

        ngx_destroy_pool(report.pool);
    }

    /* no room for a further model */

    report_init(&report);

    assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                 "{\"models\":null}", 15, 0),
                     NGX_OK);

    report.models.nalloc = 0;
    ngx_stub_fail_size = 2 * sizeof(ngx_http_ollama_model_t);

    assert_int_equal(report_read(&report, NGX_HTTP_OLLAMA_REPORT_PARSE_PS, ps,
                                 sizeof(ps) - 1, 0),
                     NGX_OK);

    ngx_stub_fail_size = 0;

    assert_int_equal(report.models.nelts, 0);
    assert_int_equal(report.dropped, 1);

    ngx_destroy_pool(report.pool);

    free(tags);
}


static void
keep_case_test(void **state)
{
    char                       text[MAX_TEXT];
    keep_case_t               *row = *state;
    ngx_http_ollama_report_t   old, report;

    report_init(&old);
    report_init(&report);

    assert_int_equal(report_read(&old, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                 row->old_tags, strlen(row->old_tags), 0),
                     NGX_OK);

    if (row->old_ps) {
        assert_int_equal(report_read(&old, NGX_HTTP_OLLAMA_REPORT_PARSE_PS,
                                     row->old_ps, strlen(row->old_ps), 0),
                         NGX_OK);
    }

    if (row->tags) {
        assert_int_equal(report_read(&report,
                                     NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS,
                                     row->tags, strlen(row->tags), 0),
                         NGX_OK);
    }

    if (row->ps) {
        assert_int_equal(report_read(&report,
                                     NGX_HTTP_OLLAMA_REPORT_PARSE_PS,
                                     row->ps, strlen(row->ps), 0),
                         NGX_OK);
    }

    assert_int_equal(report.has_tags, row->tags != NULL);
    assert_int_equal(report.has_ps, row->ps != NULL);

    assert_int_equal(ngx_http_ollama_report_keep(&report, old.models.elts,
                                                 old.models.nelts,
                                                 old.dropped),
                     NGX_OK);

    report_print(&report, text, text + sizeof(text));
    assert_string_equal(text, row->want);

    ngx_destroy_pool(report.pool);
    ngx_destroy_pool(old.pool);
}


static void
report_find_test(void **state)
{
    ngx_str_t  key = ngx_string("a");

    assert_null(ngx_http_ollama_report_find(NULL, 0, &key));
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, report_case_test, report_cases,
                  sizeof(report_case_t), unit_nelts(report_cases));
    unit_add_rows(&suite, version_case_test, version_cases,
                  sizeof(version_case_t), unit_nelts(version_cases));

    unit_add_rows(&suite, keep_case_test, keep_cases, sizeof(keep_case_t),
                  unit_nelts(keep_cases));

    unit_add(&suite, "too many models", report_count_test, NULL);
    unit_add(&suite, "memory is that of what is kept", report_memory_test,
             NULL);
    unit_add(&suite, "the longest name", report_long_name_test, NULL);
    unit_add(&suite, "the biggest object", report_big_object_test, NULL);
    unit_add(&suite, "the biggest body", report_big_body_test, NULL);
    unit_add(&suite, "the deepest value", report_deep_test, NULL);
    unit_add(&suite, "memory ends", report_memory_end_test, NULL);
    unit_add(&suite, "nothing to find", report_find_test, NULL);

    return unit_run(&suite, "report");
}
