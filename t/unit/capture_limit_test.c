
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is collected of a reply that is long, has many frames or many tool
 * calls, and when there is no memory.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_capture.h"


#define LINES   NGX_HTTP_OLLAMA_CAPTURE_LINES
#define OBJECT  NGX_HTTP_OLLAMA_CAPTURE_OBJECT
#define EVENTS  NGX_HTTP_OLLAMA_CAPTURE_EVENTS

#define MAX     (16 * 1024 * 1024)

/* as it is written, and a comma */
#define CALL    "{\"id\":\"\",\"type\":\"function\",\"function\":{\"name\":"   \
                "\"f\",\"arguments\":\"{}\"}},"


static void
limit_start(ngx_http_ollama_capture_t *capture, ngx_pool_t **pool,
    ngx_http_ollama_capture_form_e form)
{
    *pool = ngx_create_pool(4096, NULL);
    assert_non_null(*pool);

    ngx_memzero(capture, sizeof(ngx_http_ollama_capture_t));

    assert_int_equal(ngx_http_ollama_capture_init(capture, *pool, form, MAX),
                     NGX_OK);
}


static const char *
limit_flags(ngx_http_ollama_capture_t *capture)
{
    static char  flags[64];

    (void) snprintf(flags, sizeof(flags), "%s%s%s%s",
                    capture->last ? " last" : "", capture->over ? " over" : "",
                    capture->truncated ? " truncated" : "",
                    capture->failed ? " failed" : "");

    return flags[0] ? flags + 1 : "";
}


/* One string of megabytes, and many frames: neither time nor memory runs. */

static void
limit_huge_test(void **state)
{
    size_t                     i, size;
    u_char                     text[4096];
    ngx_pool_t                *pool;
    ngx_http_ollama_capture_t  capture;

    static u_char  begin[] = "{\"message\":{\"content\":\"";
    static u_char  end[] = "\"},\"done\":true}";

    size = 8 * 1024 * 1024;

    limit_start(&capture, &pool, OBJECT);
    ngx_http_ollama_capture_feed(&capture, begin, sizeof(begin) - 1);

    memset(text, 'x', sizeof(text));

    for (i = 0; i < size; i += 1023) {
        ngx_http_ollama_capture_feed(&capture, text, 1023);
    }

    ngx_http_ollama_capture_feed(&capture, end, sizeof(end) - 1);

    assert_string_equal(limit_flags(&capture), "last over");
    assert_int_equal(capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str.len, i);
    assert_true(ngx_stub_pool_peak(pool) < 4 * size);

    ngx_destroy_pool(pool);
}


static void
limit_many_test(void **state)
{
    size_t                     i, bytes;
    ngx_pool_t                *pool;
    ngx_http_ollama_capture_t  capture;

    static u_char  frame[] = "data: {\"choices\":[{\"delta\":{\"content\":"
                             "\"ab\"}}]}\n\n";
    static u_char  part[] = "data: {\"choices\":[{\"delta\":{\"tool_calls\":"
                            "[{\"function\":{\"arguments\":\" \"}}]}}]}"
                            "\n\n";

    limit_start(&capture, &pool, EVENTS);

    for (bytes = 0, i = 0; i < 100000; i++) {
        ngx_http_ollama_capture_feed(&capture, frame, sizeof(frame) - 1);
        ngx_http_ollama_capture_feed(&capture, part, sizeof(part) - 1);

        if (i == 90000) {
            bytes = ngx_stub_pool_bytes(pool);
        }
    }

    assert_string_equal(limit_flags(&capture), "");
    assert_int_equal(capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str.len,
                     200000);
    assert_int_equal(capture.calls.nelts, 1);

    /* nothing a frame, and no more than doubling leaves */
    assert_int_equal(ngx_stub_pool_bytes(pool), bytes);
    assert_true(ngx_stub_pool_peak(pool) < 1024 * 1024);

    ngx_destroy_pool(pool);
}


/* Tool calls have memory of ours, which no limit of bytes counts. */

static void
limit_calls_test(void **state)
{
    char                       part[256];
    int                        len;
    ngx_str_t                  text;
    ngx_uint_t                 i;
    ngx_pool_t                *pool;
    ngx_http_ollama_capture_t  capture;

    limit_start(&capture, &pool, EVENTS);

    for (i = 0; i < 1000; i++) {
        len = snprintf(part, sizeof(part), "data: {\"choices\":[{\"delta\":{"
                       "\"tool_calls\":[{\"index\":%d,\"function\":{\"name\":"
                       "\"f\",\"arguments\":\"{}\"}}]}}]}\n\n", (int) i);
        ngx_http_ollama_capture_feed(&capture, (u_char *) part, len);
    }

    assert_string_equal(limit_flags(&capture), "truncated");
    assert_int_equal(capture.calls.nelts, 128);

    ngx_http_ollama_capture_end(&capture);
    assert_int_equal(ngx_http_ollama_capture_tools(&capture, pool, &text),
                     NGX_OK);
    assert_int_equal(text.len, 128 * (sizeof(CALL) - 1) + 1);

    ngx_destroy_pool(pool);
}


/* No memory: what was found stays as it was. */

static void
limit_memory_test(void **state)
{
    ngx_pool_t                *pool;
    ngx_http_ollama_capture_t  capture;

    static u_char  first[] = "{\"message\":{\"content\":\"abc\"}}\n";
    static u_char  second[] = "{\"message\":{\"content\":\""
                              "0123456789012345678901234567890123456789"
                              "0123456789012345678901234567890123456789"
                              "0123456789012345678901234567890123456789"
                              "0123456789012345678901234567890123456789"
                              "0123456789012345678901234567890123456789"
                              "0123456789012345678901234567890123456789"
                              "0123456789012345678901234567890123456789"
                              "\"}}\n";

    limit_start(&capture, &pool, LINES);
    ngx_http_ollama_capture_feed(&capture, first, sizeof(first) - 1);

    ngx_stub_fail_size = 512;
    ngx_http_ollama_capture_feed(&capture, second, sizeof(second) - 1);
    ngx_stub_fail_size = 0;

    ngx_http_ollama_capture_feed(&capture, first, sizeof(first) - 1);
    ngx_http_ollama_capture_end(&capture);

    assert_true(capture.failed);
    assert_int_equal(capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str.len, 3);
    assert_memory_equal(capture.text[NGX_HTTP_OLLAMA_CAPTURE_CONTENT].str.data,
                        "abc", 3);

    ngx_destroy_pool(pool);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "a string of megabytes", limit_huge_test, NULL);
    unit_add(&suite, "many frames", limit_many_test, NULL);
    unit_add(&suite, "many tool calls", limit_calls_test, NULL);
    unit_add(&suite, "no memory", limit_memory_test, NULL);

    return unit_run(&suite, "capture_limit");
}
