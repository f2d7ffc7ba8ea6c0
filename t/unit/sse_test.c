
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The lines of a stream of server-sent events: which field a line has, and what
 * its value is.  The same must come out however the network has cut the
 * stream.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_sse.h"


typedef struct {
    const char             *title;    /* must be first */
    const char             *stream;

    /*
     * its tokens: [data], [event] and [other] in front of their values, and
     * "|" where a line ends; [empty] and [invalid]
     */
    const char             *tokens;
} sse_case_t;


static sse_case_t  sse_cases[] = {

    { "sse: nothing", "", "" },

    { "sse: an event with data", "data: {\"a\":1}\n\n",
      "[data]{\"a\":1}|[empty]" },

    { "sse: several events", "data: 1\n\ndata: 2\n\n",
      "[data]1|[empty][data]2|[empty]" },

    { "sse: an event with a name", "event: message_stop\ndata: {}\n\n",
      "[event]message_stop|[data]{}|[empty]" },

    { "sse: several lines of data", "data: 1\ndata: 2\n\n",
      "[data]1|[data]2|[empty]" },

    { "sse: no space in front of the value", "data:1\nevent:a\n",
      "[data]1|[event]a|" },

    { "sse: only one space is not of the value", "data:  1 \n",
      "[data] 1 |" },

    { "sse: values without a byte", "data:\ndata: \nevent:\n",
      "[data]|[data]|[event]|" },

    { "sse: a colon in a value", "data: a:b\ndata::\n",
      "[data]a:b|[data]:|" },

    { "sse: lines that end with CR LF", "data: 1\r\n\r\ndata: 2\r\n",
      "[data]1|[empty][data]2|" },

    { "sse: lines that end with CR", "data: 1\r\rdata: 2\revent:\r\r",
      "[data]1|[empty][data]2|[event]|[empty]" },

    { "sse: lines that end in all ways",
      "data: 1\r\n\rdata: 2\n\r\ndata: 3\r\n\ndata: 4\n\r\n\r",
      "[data]1|[empty][data]2|[empty][data]3|[empty][data]4|[empty][empty]" },

    { "sse: LF CR ends two lines", "data: 1\n\rdata: 2\n",
      "[data]1|[empty][data]2|" },

    { "sse: a CR at the start of a line", "\rdata: 1\n",
      "[empty][data]1|" },

    { "sse: empty lines only", "\n\r\n\n\r\r\n",
      "[empty][empty][empty][empty][empty]" },

    { "sse: a line that goes on", "data: {\"a\"", "[data]{\"a\"" },

    { "sse: a name that goes on", "data", "" },

    { "sse: a value that has not begun", "data: ", "" },

    { "sse: comments", ": ping\n:\n::\ndata: 1\n",
      "[other]ping|[other]|[other]:|[data]1|" },

    { "sse: id and retry", "id: 7\nretry: 10\ndata: 1\n",
      "[other]7|[other]10|[data]1|" },

    { "sse: another name", "foo: 1\ndata: 2\n",
      "[other]1|[data]2|" },

    { "sse: names in capitals", "Data: 1\n", "[other]1|" },

    { "sse: names that begin or end like a field's",
      "dat: 1\ndatas: 1\nevents: 1\nevent : 1\nidd: 1\nxid: 1\n",
      "[other]1|[other]1|[other]1|[invalid]: 1|[other]1|[other]1|" },

    { "sse: a long name", "message-Id_2.x: 1\ndata: 2\n",
      "[other]1|[data]2|" },

    { "sse: a space in front of a name", " data: 1\n",
      "[invalid]data: 1|" },

    { "sse: fields without a colon",
      "data\n\nevent\r\nid\noops\nmessages\ndata: 1\n",
      "[data]|[empty][event]|[other]|[other]|[other]|[data]1|" },

    { "sse: what can't be a field",
      "hello world\n<html>\ndata: 1\na\tb\n\x01\n\xc3\xa9: 1\nd\xef: 1\n",
      "[invalid]world|[invalid]html>|[data]1|[invalid]b|[invalid]|"
      "[invalid]\xa9: 1|[invalid]: 1|" },

    { "sse: a CR in a name", "data\r: 1\n", "[data]|[other]1|" },

    { "sse: JSON without a field", "{\"a\":1}\n", "[invalid]\"a\":1}|" },

    { "sse: a byte order mark", "\xef\xbb\xbf" "data: 1\n\n",
      "[data]1|[empty]" },

    { "sse: an empty line behind a byte order mark",
      "\xef\xbb\xbf\r\n\xef\xbb\xbf" "da: 1\n",
      "[empty][invalid]\xbb\xbf" "da: 1|" },

    { "sse: a byte order mark in other places",
      "\n\xef\xbb\xbf" "a: 1\ndata: \xef\xbb\xbf\n",
      "[empty][invalid]\xbb\xbf" "a: 1|[data]\xef\xbb\xbf|" },

    { "sse: two byte order marks", "\xef\xbb\xbf\xef\xbb\xbf" "a: 1\n",
      "[invalid]\xbb\xbf" "a: 1|" },

    { "sse: a part of a byte order mark", "\xef\xbb" "a: 1\n",
      "[invalid]: 1|" },

    { "sse: the end of a long line",
      "data: 0123456789012345678901234567890123456789012345678901234567890123"
      "0123456789012345678901234567890123456789012345678901234567890123456789"
      "0123456789012345678901234567890123456789012345678901234567890123456789"
      "01234567890123456789012345678901234567890123456789x\r1\n",
      "[data]0123456789012345678901234567890123456789012345678901234567890123"
      "0123456789012345678901234567890123456789012345678901234567890123456789"
      "0123456789012345678901234567890123456789012345678901234567890123456789"
      "01234567890123456789012345678901234567890123456789x|[other]|" }
};


typedef struct {
    ngx_http_ollama_sse_t   sse;
    char                    tokens[512];
    size_t                  len;
} sse_found_t;


static void
sse_add(sse_found_t *found, const char *text, size_t len)
{
    assert_true(found->len + len < sizeof(found->tokens));

    memcpy(found->tokens + found->len, text, len);
    found->len += len;
}


/* Reads a copy that lasts no longer than the call. */

static void
sse_read(sse_found_t *found, const char *text, size_t size)
{
    size_t                        len;
    u_char                       *copy, *p, *last, *before, *value;
    const char                   *name;
    ngx_http_ollama_sse_token_e   token;

    copy = malloc(size ? size : 1);
    assert_non_null(copy);

    memcpy(copy, text, size);

    p = copy;
    last = copy + size;

    while (p < last) {

        before = p;
        token = ngx_http_ollama_sse_next(&found->sse, &p, last);

        assert_true(p > before && p <= last);

        if (token == NGX_HTTP_OLLAMA_SSE_INVALID) {
            assert_int_equal(found->sse.line, 1);
            sse_add(found, "[invalid]", 9);
            continue;
        }

        if (token == NGX_HTTP_OLLAMA_SSE_MORE) {
            assert_true(p == last || (p == before + 1 && *before == '\n'));
            continue;
        }

        assert_true(p == last || !found->sse.line);
        assert_int_equal(found->sse.line,
                         p[-1] != '\n' && p[-1] != '\r');

        if (token == NGX_HTTP_OLLAMA_SSE_EMPTY) {
            sse_add(found, "[empty]", 7);
            continue;
        }

        value = found->sse.value;
        len = found->sse.end - value;

        assert_true(value >= before && value + len <= p);
        assert_null(memchr(value, '\n', len));
        assert_null(memchr(value, '\r', len));

        if (found->sse.first) {
            name = (found->sse.field == NGX_HTTP_OLLAMA_SSE_DATA) ? "[data]"
                   : (found->sse.field == NGX_HTTP_OLLAMA_SSE_EVENT)
                   ? "[event]" : "[other]";

            sse_add(found, name, strlen(name));
        }

        sse_add(found, (char *) value, len);

        if (!found->sse.line) {
            sse_add(found, "|", 1);
        }
    }

    assert_memory_equal(copy, text, size);
    free(copy);
}


/* Reads a piece of "first" bytes, then pieces of "step" bytes, and checks. */

static void
sse_check(sse_case_t *c, size_t first, size_t step)
{
    size_t       n, done, len;
    sse_found_t  found;

    memset(&found, 0, sizeof(sse_found_t));

    len = strlen(c->stream);
    n = first;

    for (done = 0; done < len || n == 0; done += n, n = step) {
        n = ngx_min(n, len - done);
        sse_read(&found, c->stream + done, n);

        if (done + n == len) {
            break;
        }
    }

    if (found.len != strlen(c->tokens)
        || memcmp(found.tokens, c->tokens, found.len) != 0)
    {
        fail_msg("%d, then %d bytes each: \"%.*s\", not \"%s\"", (int) first,
                 (int) step, (int) found.len, found.tokens, c->tokens);
    }
}


static void
sse_case_test(void **state)
{
    sse_case_t *c = *state;

    size_t  i, len;

    len = strlen(c->stream);

    sse_check(c, len, 1);
    sse_check(c, 1, 1);
    sse_check(c, 0, 3);

    for (i = 0; i < len; i++) {
        sse_check(c, i, len);
        sse_check(c, i, 1);
    }
}


/* Wherever a line is left, the next one is read as ever. */

static void
sse_skip_test(void **state)
{
    static const char  text[] = "event: data\ndata: {\"a\":1}\n\n";

    size_t       i;
    sse_found_t  found;

    for (i = 0; i < sizeof(text); i++) {

        memset(&found, 0, sizeof(sse_found_t));

        sse_read(&found, text, i);
        ngx_http_ollama_sse_skip(&found.sse);

        found.len = 0;
        sse_read(&found, "data: 1\ndata: 2\n", 16);

        assert_int_equal(found.len, 16);
        assert_memory_equal(found.tokens, "data: 1|[data]2|", 16);
    }
}


/* Where an event ends, from any place in it on. */

static void
sse_event_end_test(void **state)
{
    static const char  *texts[] = {
        "event: a\ndata: {\"a\":1}\n\n", "data: 1\r\n\r\n", "data: 1\r\r",
        "data\n\r", "\n", ": x\r\ny\n\r\n"
    };

    u_char       *text, *end;
    size_t        i, n, len;
    sse_found_t   found, before;

    for (n = 0; n < unit_nelts(texts); n++) {

        len = strlen(texts[n]);
        text = malloc(len + 7);

        memcpy(text, texts[n], len);
        memcpy(text + len, "data: 2", 7);

        for (i = 0; i < len; i++) {

            memset(&found, 0, sizeof(sse_found_t));
            sse_read(&found, (char *) text, i);
            before = found;

            if (strstr(found.tokens, "[empty]")) {
                /* only the LF of its end has not come */
                assert_int_equal(text[i], '\n');
                continue;
            }

            end = ngx_http_ollama_sse_event_end(&found.sse, text + i,
                                                text + len + 7);

            /* the LF that may follow is of the end, too */
            assert_true(end == text + len);
            assert_memory_equal(&found, &before, sizeof(sse_found_t));

            assert_ptr_equal(ngx_http_ollama_sse_event_end(&found.sse,
                                                           text + i,
                                                           text + len - 1),
                             text + len - 1);
        }

        free(text);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, sse_case_test, sse_cases, sizeof(sse_case_t),
                  unit_nelts(sse_cases));
    unit_add(&suite, "sse: a line that is skipped", sse_skip_test, NULL);
    unit_add(&suite, "sse: the end of an event", sse_event_end_test, NULL);

    return unit_run(&suite, "sse");
}
