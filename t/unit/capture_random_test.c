
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Random replies, most of them damaged, with random limits: whatever the
 * pieces are in which they come, the same must be found.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_capture.h"


#define RANDOM_REPLIES  30000
#define RANDOM_MAX      768


/* all that was found, as one text */

typedef struct {
    size_t       len;
    char         text[8192];
} random_found_t;


static const char  *random_lines[] = {
    "{\"message\":{\"content\":\"The\"},\"done\":false}\n",
    "{\"model\":\"m\",\"message\":{\"content\":\"a\\u00e9\\ud83d\\ude00\"}}\n",
    "{\"message\":{\"thinking\":\"\xc3\xa9\xf0\x9f\x98\x80\\n\\ud83d\"}}\r\n",
    "{\"message\":{\"tool_calls\":[{\"a\":{\"b\":[]}},{},1,{}]}}\n",
    ("{\"message\":{\"tool_calls\":[{}],\"content\":\"x\","
     "\"content\":\"y\"}}\n"),
    "{\"message\":{\"content\":[\"a\"]},\"model\":{}}\n", " {} \n", "\n",
    "{\"done\":true,\"eval_count\":12,\"total_duration\":3}\n", "oops\n",
    "{\"done_reason\":\"stop\",\"load_duration\":-1}\n", "{}{}\n"
};


static const char  *random_events[] = {
    "data: {\"choices\":[{\"delta\":{\"content\":\"The\"}}]}\n\n",
    ("data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"reasoning\":"
     "\"\\u00e9\\ude00\"},\"finish_reason\":null}]}\n\n"),
    ("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":"
     "\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n"),
    ("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,"
     "\"function\":{\"arguments\":\"\\\"x\\\":1}\"}},{\"index\":1,\"id\":"
     "\"b\",\"function\":{\"arguments\":\"{}\",\"name\":\"g\"}}]}}]}\n\n"),
    ("data: {\"choices\":[{\"delta\":{\"content\":\"no\"},\"index\":1,"
     "\"finish_reason\":\"stop\"}]}\n\n"),
    "data: {\"choices\":[{\"finish_reason\":\"stop\",\"delta\":{}}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n",
    "data: [DONE]\n\n", ": comment\n", "event: x\r\n", "\n", "data:\n",
    "data: {}\n\n"
};


static const char  *random_wholes[] = {
    "{\"message\":{\"content\":\"The\",\"tool_calls\":[{\"a\":1},{}]}",
    ",\"done_reason\":\"stop\",\"model\":\"m\"", ",\"eval_count\":5}\n",
    ("{\"choices\":[{\"message\":{\"content\":\"\\u00e9\",\"tool_calls\":["
     "{\"id\":\"a\"},{}]},\"finish_reason\":\"stop\"}]"),
    ",\"usage\":{\"completion_tokens\":1}}", "\n", "}"
};


static const char  *random_damage[] = {
    "\n", "\r", "{", "}", "[", "]", "\"", "\\", ",", ":", " ", "x", "1", "-",
    "\0", "\xff", "\xc3", "data: ", "\x01", "true", "\\u", "\\ud800", "null"
};


static const char *
random_piece(ngx_http_ollama_capture_form_e form)
{
    switch (form) {

    case NGX_HTTP_OLLAMA_CAPTURE_LINES:
        return random_lines[unit_random(unit_nelts(random_lines))];

    case NGX_HTTP_OLLAMA_CAPTURE_EVENTS:
        return random_events[unit_random(unit_nelts(random_events))];

    default:
        return random_wholes[unit_random(unit_nelts(random_wholes))];
    }
}


static size_t
random_reply(u_char *p, ngx_http_ollama_capture_form_e form)
{
    size_t       len, n, at;
    ngx_uint_t   i;
    const char  *text;

    len = 0;

    for (i = 1 + unit_random(7); i; i--) {
        text = random_piece(form);
        n = ngx_min(strlen(text), RANDOM_MAX - len);
        memcpy(p + len, text, n);
        len += n;
    }

    for (i = unit_random(3); i; i--) {

        at = unit_random(len + 1);

        switch (unit_random(3)) {

        case 0:
            if (at < len) {
                memmove(p + at, p + at + 1, len - at - 1);
                len--;
            }

            break;

        case 1:
            len = at;
            break;

        default:
            text = random_damage[unit_random(unit_nelts(random_damage))];
            n = strlen(text) + (text[0] == '\0');

            if (len + n <= RANDOM_MAX) {
                memmove(p + at + n, p + at, len - at);
                memcpy(p + at, text, n);
                len += n;
            }

            break;
        }
    }

    return len;
}


static void
random_add(random_found_t *found, ngx_str_t *text)
{
    assert_true(found->len + text->len < sizeof(found->text));

    if (text->len) {
        memcpy(found->text + found->len, text->data, text->len);
    }

    found->len += text->len;
    found->text[found->len++] = '\n';
}


static void
random_read(u_char *text, size_t len, ngx_http_ollama_capture_form_e form,
    size_t max, size_t step, random_found_t *found)
{
    size_t                           n, done;
    u_char                          *piece;
    ngx_str_t                        json;
    ngx_uint_t                       i;
    ngx_pool_t                      *pool;
    ngx_http_ollama_capture_t        capture;
    ngx_http_ollama_capture_call_t  *call;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_memzero(&capture, sizeof(ngx_http_ollama_capture_t));

    assert_int_equal(ngx_http_ollama_capture_init(&capture, pool, form, max),
                     NGX_OK);

    for (done = 0; done < len; done += n) {

        n = step ? step : 1 + unit_random(40);
        n = ngx_min(n, len - done);

        piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, text + done, n);

        ngx_http_ollama_capture_feed(&capture, piece, n);

        free(piece);
    }

    found->len = snprintf(found->text, sizeof(found->text),
                          "%d %d %d %d %ld %ld\n", capture.last, capture.over,
                          capture.truncated, capture.failed,
                          (long) capture.open, (long) capture.close);

    ngx_http_ollama_capture_end(&capture);

    for (i = 0; i < NGX_HTTP_OLLAMA_CAPTURE_TEXTS; i++) {
        random_add(found, &capture.text[i].str);
    }

    assert_int_equal(ngx_http_ollama_capture_message(&capture, pool, &json),
                     NGX_OK);
    random_add(found, &json);

    assert_int_equal(ngx_http_ollama_capture_stats(&capture, pool, &json),
                     NGX_OK);
    random_add(found, &json);

    /* all of it is given back */

    n = capture.strbuf.rest;

    for (i = 0; i <= NGX_HTTP_OLLAMA_CAPTURE_TOOLS; i++) {
        n += capture.text[i].str.len;
    }

    call = capture.calls.elts;

    for (i = 0; i < capture.calls.nelts; i++) {
        n += call[i].id.str.len + call[i].name.str.len
             + call[i].arguments.str.len;
    }

    assert_int_equal(n, max);

    ngx_destroy_pool(pool);
}


static void
random_test(void **state)
{
    size_t                          i, j, len, max;
    u_char                          text[RANDOM_MAX];
    ngx_uint_t                      failed, last, truncated;
    ngx_http_ollama_capture_form_e  form;

    static random_found_t  whole, found;

    unit_seed(5);

    last = 0;
    failed = 0;
    truncated = 0;

    for (i = 0; i < RANDOM_REPLIES; i++) {

        form = unit_random(4);
        max = unit_random(3) ? 4096 : unit_random(32);

        len = random_reply(text, form);

        random_read(text, len, form, max, RANDOM_MAX, &whole);

        for (j = 0; j < 4; j++) {

            random_read(text, len, form, max, j ? 0 : 1, &found);

            if (found.len != whole.len
                || memcmp(found.text, whole.text, found.len) != 0)
            {
                fail_msg("reply %d, form %d, at most %d:\n%.*s\n"
                         "as one:\n%.*s\nin pieces:\n%.*s",
                         (int) i, (int) form, (int) max, (int) len, text,
                         (int) whole.len, whole.text, (int) found.len,
                         found.text);
            }
        }

        last += (whole.text[0] == '1');
        truncated += (whole.text[4] == '1');
        failed += (whole.text[6] == '1');
    }

    /* the replies are worth it */

    assert_true(last >= RANDOM_REPLIES / 10
                && last <= RANDOM_REPLIES * 9 / 10);
    assert_true(failed >= RANDOM_REPLIES / 10
                && failed <= RANDOM_REPLIES * 9 / 10);
    assert_true(truncated >= RANDOM_REPLIES / 50
                && truncated <= RANDOM_REPLIES);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "random replies, in any pieces", random_test, NULL);

    return unit_run(&suite, "capture_random");
}
