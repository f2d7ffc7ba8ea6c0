
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
     * its tokens: [data] and [event] in front of their values, which have
     * their newlines; values of other fields have nothing in front; [empty]
     * and [invalid]
     */
    const char             *tokens;
} sse_case_t;


static sse_case_t  sse_cases[] = {

    { "sse: nothing", "", "" },

    { "sse: an event with data", "data: {\"a\":1}\n\n",
      "[data]{\"a\":1}\n[empty]" },

    { "sse: several events", "data: 1\n\ndata: 2\n\n",
      "[data]1\n[empty][data]2\n[empty]" },

    { "sse: an event with a name", "event: message_stop\ndata: {}\n\n",
      "[event]message_stop\n[data]{}\n[empty]" },

    { "sse: several lines of data", "data: 1\ndata: 2\n\n",
      "[data]1\n[data]2\n[empty]" },

    { "sse: no space in front of the value", "data:1\nevent:a\n",
      "[data]1\n[event]a\n" },

    { "sse: only one space is not of the value", "data:  1 \n",
      "[data] 1 \n" },

    { "sse: values without a byte", "data:\ndata: \nevent:\n",
      "[data]\n[data]\n[event]\n" },

    { "sse: a colon in a value", "data: a:b\ndata::\n",
      "[data]a:b\n[data]:\n" },

    { "sse: lines that end with CR LF", "data: 1\r\n\r\ndata: 2\r\n",
      "[data]1\r\n[empty][data]2\r\n" },

    { "sse: a CR at the start of a line", "\rdata: 1\n",
      "[data]1\n" },

    { "sse: empty lines only", "\n\r\n\n", "[empty][empty][empty]" },

    { "sse: a line that goes on", "data: {\"a\"", "[data]{\"a\"" },

    { "sse: a name that goes on", "data", "" },

    { "sse: a value that has not begun", "data: ", "" },

    { "sse: comments", ": ping\n:\n::\ndata: 1\n",
      " ping\n\n:\n[data]1\n" },

    { "sse: id and retry", "id: 7\nretry: 10\ndata: 1\n",
      "[other]7\n[other]10\n[data]1\n" },

    { "sse: another name", "foo: 1\ndata: 2\n",
      "[invalid] 1\n[data]2\n" },

    { "sse: names in capitals", "Data: 1\n", "[invalid] 1\n" },

    { "sse: names that begin or end like a field's",
      "dat: 1\ndatas: 1\nevents: 1\nevent : 1\nidd: 1\nxid: 1\n",
      "[invalid] 1\n[invalid] 1\n[invalid]: 1\n[invalid]: 1\n"
      "[invalid] 1\n[invalid] 1\n" },

    { "sse: a name that is too long", "message: 1\ndata: 2\n",
      "[invalid]e: 1\n[data]2\n" },

    { "sse: a space in front of a name", " data: 1\n",
      "[invalid] 1\n" },

    { "sse: a line without a colon", "data\n\nhello world\ndata: 1\n",
      "[invalid][empty][invalid]world\n[data]1\n" },

    { "sse: a CR in a name", "data\r: 1\n", "[invalid] 1\n" },

    { "sse: JSON without a field", "{\"a\":1}\n", "[invalid]1}\n" }
};


typedef struct {
    ngx_http_ollama_sse_t   sse;
    char                    tokens[256];
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
    u_char                       *copy, *p, *last, *before;
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

        switch (token) {

        case NGX_HTTP_OLLAMA_SSE_MORE:
            assert_ptr_equal(p, last);
            assert_int_not_equal(p[-1], '\n');
            break;

        case NGX_HTTP_OLLAMA_SSE_EMPTY:
            assert_int_equal(p[-1], '\n');
            sse_add(found, "[empty]", 7);
            break;

        case NGX_HTTP_OLLAMA_SSE_INVALID:
            sse_add(found, "[invalid]", 9);
            break;

        default: /* NGX_HTTP_OLLAMA_SSE_VALUE */

            assert_true(found->sse.value >= before && found->sse.value < p);
            assert_true(p == last || p[-1] == '\n');
            assert_null(memchr(found->sse.value, '\n',
                               p - 1 - found->sse.value));

            if (found->sse.first) {
                name = (found->sse.field == NGX_HTTP_OLLAMA_SSE_DATA)
                       ? "[data]"
                       : (found->sse.field == NGX_HTTP_OLLAMA_SSE_EVENT)
                       ? "[event]" : "[other]";

                sse_add(found, name, strlen(name));
            }

            sse_add(found, (char *) found->sse.value, p - found->sse.value);
            break;
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
        assert_memory_equal(found.tokens, "data: 1\n[data]2\n", 16);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, sse_case_test, sse_cases, sizeof(sse_case_t),
                  unit_nelts(sse_cases));
    unit_add(&suite, "sse: a line that is skipped", sse_skip_test, NULL);

    return unit_run(&suite, "sse");
}
