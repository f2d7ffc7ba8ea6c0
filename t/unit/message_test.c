
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Stored messages: the values of their members, the titles made of them, and
 * that a text which is no message does no harm, wherever it ends.
 */


#include "unit.h"

#include "store/ngx_http_ollama_message.h"


#define RANDOM_TEXTS   200000
#define RANDOM_PIECES  24


typedef struct {
    const char  *title;         /* the text */
    const char  *role;          /* NULL: none */
    const char  *content;
    const char  *images;
    const char  *tool_calls;
    const char  *tool_name;
} message_case_t;


typedef struct {
    const char  *title;         /* what is in the content's quotes */
    const char  *want;
} title_case_t;


static message_case_t  message_cases[] = {

    { "{}", NULL, NULL, NULL, NULL, NULL },
    { "{\"role\":\"user\",\"content\":\"a\"}", "\"user\"", "\"a\"", NULL,
      NULL, NULL },
    { " {\n\"role\" :\t\"user\" ,\r\"content\": \"a\" } ", "\"user\"",
      "\"a\"", NULL, NULL, NULL },
    { "{\"content\":\"a\\\\\",\"role\":\"\\\"}\"}", "\"\\\"}\"",
      "\"a\\\\\"", NULL, NULL, NULL },
    { "{\"images\":[\"]\",\"}\"],\"tool_calls\":[{\"a\":[{}]}],\"x\":1}",
      NULL, NULL, "[\"]\",\"}\"]", "[{\"a\":[{}]}]", NULL },
    { "{\"a\":{\"content\":\"x\"},\"content\":null}", NULL, "null", NULL,
      NULL, NULL },
    { "{\"content\":1.5e3 ,\"tool_name\":true}", NULL, "1.5e3", NULL, NULL,
      "true" },
    { "{\"content\":\"a\",\"CONTENT\":\"b\"}", NULL, "\"b\"", NULL, NULL,
      NULL },
    { "{\"r\\u006fle\":\"a\"}", "\"a\"", NULL, NULL, NULL, NULL },
    { "{\"role2\":\"a\",\"rol\":\"b\",\"\":\"c\"}", NULL, NULL, NULL, NULL,
      NULL },
    { "{\"rolerolerolerolerolerolerolerolerole\":\"a\"}", NULL, NULL, NULL,
      NULL, NULL },
};


static title_case_t  title_cases[] = {

    { "a", "a" },
    { "", "" },
    { " \\n\\t ", "" },
    { "one\\ntwo", "one" },
    { "one\\rtwo", "one" },
    { "\\n\\r\\n  one  \\ntwo", "one" },
    { "a\\tb", "a b" },
    { "a\\/\\\"\\\\b", "a/\"\\b" },
    { "a\\u0007\\b\\fb", "ab" },
    { "a\\u202eb\\u2066c\\ufeffd", "abcd" },
    { "a\\u2028b", "a" },
    { "\\u00e9\xc3\xa9", "\xc3\xa9\xc3\xa9" },
    { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" },
    { "\\ud83d", "\xef\xbf\xbd" },
    { "\\ud83da", "\xef\xbf\xbd" "a" },
    { "\\ud83d\\u0041", "\xef\xbf\xbd" "A" },
    { "\\ude00", "\xef\xbf\xbd" },
    { "\xff", "\xef\xbf\xbd" },
    { "\xc3", "\xef\xbf\xbd" },
    { "12345678901234567890123456789012345678901234567890123456789012345678901"
      "234567890",
      "12345678901234567890123456789012345678901234567890123456789012345678901"
      "234567890" },
    { "12345678901234567890123456789012345678901234567890123456789012345678901"
      "2345678901",
      "12345678901234567890123456789012345678901234567890123456789012345678901"
      "234567890" },
};


static void
message_check(ngx_str_t *value, const char *want)
{
    if (want == NULL) {
        assert_null(value->data);
        return;
    }

    assert_int_equal(value->len, ngx_strlen(want));
    assert_memory_equal(value->data, want, value->len);
}


static void
message_read(void **state)
{
    message_case_t *row = *state;

    ngx_str_t                  text;
    ngx_http_ollama_message_t  message;

    text.data = (u_char *) row->title;
    text.len = ngx_strlen(row->title);

    assert_int_equal(ngx_http_ollama_message_read(&text, &message), NGX_OK);

    message_check(&message.role, row->role);
    message_check(&message.content, row->content);
    message_check(&message.images, row->images);
    message_check(&message.tool_calls, row->tool_calls);
    message_check(&message.tool_name, row->tool_name);
}


static void
message_title(void **state)
{
    title_case_t *row = *state;

    char       buf[1024];
    u_char     title[NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE];
    size_t     len;
    ngx_str_t  text;

    text.data = (u_char *) buf;
    text.len = snprintf(buf, sizeof(buf),
                        "{\"role\":\"user\",\"content\":\"%s\"}", row->title);

    len = ngx_http_ollama_message_title(&text, title);

    assert_int_equal(len, ngx_strlen(row->want));
    assert_memory_equal(title, row->want, len);
}


/* The longest title fills its buffer. */

static void
message_title_long(void **state)
{
    int        i;
    char       buf[4096], *p;
    u_char     title[NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE];
    ngx_str_t  text;

    p = buf + snprintf(buf, sizeof(buf), "{\"role\":\"user\",\"content\":\"");

    for (i = 0; i < 100; i++) {
        p += snprintf(p, 16, "\\ud83d\\ude00");
    }

    p += snprintf(p, 16, "\"}");

    text.data = (u_char *) buf;
    text.len = p - buf;

    assert_int_equal(ngx_http_ollama_message_title(&text, title),
                     sizeof(title));
    assert_memory_equal(title + sizeof(title) - 4, "\xf0\x9f\x98\x80", 4);
}


/* Any bytes; in memory of just their size, for the sanitizers. */

static void
message_random(void **state)
{
    size_t                     len;
    u_char                     title[NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE];
    u_char                     buf[RANDOM_PIECES * 16], *p;
    ngx_str_t                  text;
    ngx_uint_t                 i, k, n;
    ngx_http_ollama_message_t  message;

    static const char  *pieces[] = {
        "{", "}", "[", "]", "\"", "\\", "\\\"", ":", ",", " ", "null", "1",
        "\"role\":\"user\"", "\"content\":", "\"text\":", "\"a\"", "\\ud83d",
        "\\u", "\xc3", "\xf0\x9f", "{\"role\":\"user\",", "\n"
    };

    unit_seed(1);

    for (i = 0; i < RANDOM_TEXTS; i++) {

        p = buf;

        for (n = unit_random(RANDOM_PIECES); n; n--) {
            k = unit_random(unit_nelts(pieces));
            p = ngx_cpymem(p, pieces[k], ngx_strlen(pieces[k]));
        }

        text.len = p - buf;
        text.data = malloc(text.len ? text.len : 1);
        assert_non_null(text.data);
        ngx_memcpy(text.data, buf, text.len);

        (void) ngx_http_ollama_message_read(&text, &message);

        assert_true(message.content.data == NULL
                    || (message.content.data >= text.data
                        && message.content.data + message.content.len
                           <= text.data + text.len));

        len = ngx_http_ollama_message_title(&text, title);
        assert_true(len <= sizeof(title));

        free(text.data);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, message_read, message_cases,
                  sizeof(message_case_t), unit_nelts(message_cases));
    unit_add_rows(&suite, message_title, title_cases, sizeof(title_case_t),
                  unit_nelts(title_cases));
    unit_add(&suite, "the longest title", message_title_long, NULL);
    unit_add(&suite, "random texts", message_random, NULL);

    return unit_run(&suite, "message");
}
