
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The marks of a prompt: equal for equal beginnings however the body is written
 * and divided, at most 64, and such that a conversation that goes on has those
 * of the requests before.
 */


#include "scan_stub.h"


#define MARKS_CHAT  (SCAN_CHAT|NGX_HTTP_OLLAMA_SCAN_PROMPT)
#define MARKS_V1    (SCAN_V1|NGX_HTTP_OLLAMA_SCAN_PROMPT)
#define MARKS_TEXT  (NGX_HTTP_OLLAMA_SCAN_STREAM|NGX_HTTP_OLLAMA_SCAN_PROMPT)

#define MARKS_BODY  (4 * 1024 * 1024)


/* what a scan has found */

typedef struct {
    ngx_uint_t               n;
    size_t                   text;
    uint64_t                 runner;
    ngx_uint_t               num_ctx;
    ngx_http_ollama_mark_t   mark[NGX_HTTP_OLLAMA_MARKS_MAX];
} marks_t;


/* two bodies, and how many marks they have in common */

typedef struct {
    const char              *title;        /* must be first */
    ngx_uint_t               flags;
    const char              *one;
    const char              *two;
    ngx_uint_t               n;            /* of the first */
    ngx_uint_t               shared;
    size_t                   text;         /* of the first */
} marks_case_t;


#define ONE  "{\"role\":\"user\",\"content\":\"Why?\"}"
#define TWO  "{\"role\":\"assistant\",\"content\":\"Because.\"}"
#define NEXT "{\"role\":\"user\",\"content\":\"Really?\"}"


static marks_case_t  marks_cases[] = {

    { "the same",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "]}",
      "{\"model\":\"m\",\"messages\":[" ONE "]}", 1, 1, 8 },

    { "a chat that goes on",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "," NEXT "]}",
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "," NEXT "," TWO "," ONE
      "]}", 3, 3, 36 },

    { "another first message",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "]}",
      "{\"model\":\"m\",\"messages\":[" TWO "," TWO "]}", 2, 0, 25 },

    { "another second message",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "," ONE "]}",
      "{\"model\":\"m\",\"messages\":[" ONE "," NEXT "," ONE "]}", 3, 1, 33 },

    { "the model, the options and the like make no difference",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "]}",
      "{\"options\":{\"num_ctx\":9,\"stop\":[\"a\"]},\"stream\":true,"
      "\"model\":\"n\",\"metadata\":{\"user\":\"x\"},\"task_id\":\"t\","
      "\"messages\":[" ONE "],\"max_tokens\":9,\"stop\":[\"b\"],"
      "\"format\":{\"type\":\"object\"},\"prompt\":\"no\"}", 1, 1, 8 },

    { "how it is spaced makes no difference",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "]}",
      " { \"model\" : \"m\",\n\t\"messages\" : [ { \"role\" :\n\"user\" , "
      "\"content\" : \"Why?\" } ,\r\n" TWO " ] } ", 2, 2, 25 },

    { "of equal keys the last one counts",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "]}",
      "{\"model\":\"m\",\"messages\":[" TWO "," NEXT "],\"Messages\":[" ONE
      "]}", 1, 1, 8 },

    { "where a text ends makes a difference",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"use\",\"content\":\"ra\"}]}",
      1, 0, 5 },

    { "it may be a list of parts",
      MARKS_V1,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "]}",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":["
      "{\"type\":\"text\",\"text\":\"Why?\"}]}," TWO "]}", 2, 2, 25 },

    { "where the client wants it cached makes no difference",
      MARKS_V1,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "]}",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":["
      "{\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"},\"type\":"
      "\"text\",\"text\":\"Why?\"}]}," TWO "]}", 2, 2, 25 },

    { "calls of tools",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":"
      "[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[\"b\",{},12],"
      "\"c\":{\"d\":\"e\"}}}}]}]}",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":"
      "[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[\"b\",{},12],"
      "\"c\":{\"d\":\"f\"}}}}]}]}", 1, 0, 14 },

    { "a picture is no text, but makes a difference",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\","
      "\"images\":[\"iVBORw0KGgo=\",\"/9j/4AAQ\"]}]}",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\","
      "\"images\":[\"iVBORw0KGgo=\",\"/9j/4AAR\"]}]}", 1, 0, 5 },

    { "a picture of OpenAI's",
      MARKS_V1,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\""
      ":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBO\"}},"
      "{\"type\":\"text\",\"text\":\"what\"}]}]}",
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\""
      ":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBP\"}},"
      "{\"type\":\"text\",\"text\":\"what\"}]}]}", 1, 0, 8 },

    { "a picture of Anthropic's",
      MARKS_V1,
      "{\"model\":\"m\",\"messages\":[" ONE ",{\"role\":\"user\",\"content\":["
      "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"i/p"
      "\",\"data\":\"iVBORw0KGgo=\"}},{\"type\":\"text\",\"text\":\"b\"}]}]}",
      "{\"model\":\"m\",\"messages\":[" ONE ",{\"role\":\"user\",\"content\":["
      "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"i/p"
      "\",\"data\":\"iVBORw0KGgp=\"}},{\"type\":\"text\",\"text\":\"b\"}]}]}",
      2, 1, 16 },

    { "tools behind the messages",
      MARKS_CHAT,
      "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"a\":\"b\"}],"
      "\"messages\":[" ONE "]}",
      "{\"messages\":[" ONE "],\"model\":\"m\","
      "\"tools\":[{\"type\":\"function\",\"a\":\"b\"}]}", 2, 2, 38 },

    { "other tools",
      MARKS_CHAT,
      "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"a\":\"b\"}],"
      "\"messages\":[" ONE "]}",
      "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"a\":\"c\"}],"
      "\"messages\":[" ONE "]}", 2, 0, 38 },

    { "no tools",
      MARKS_CHAT,
      "{\"model\":\"m\",\"tools\":[{\"a\":\"b\"}],\"messages\":[" ONE "]}",
      "{\"model\":\"m\",\"messages\":[" ONE "]}", 2, 0, 20 },

    { "Anthropic's system, and another conversation",
      MARKS_V1,
      "{\"model\":\"m\",\"messages\":[" ONE "," TWO "],\"system\":\"Hi\"}",
      "{\"model\":\"m\",\"system\":\"Hi\",\"messages\":[" TWO "]}", 3, 1, 30 },

    { "a system and tools in either order",
      MARKS_V1,
      "{\"model\":\"m\",\"tools\":[{\"a\":\"b\"}],\"system\":\"Hi\","
      "\"messages\":[" ONE "]}",
      "{\"model\":\"m\",\"system\":\"Hi\",\"messages\":[" ONE "],"
      "\"tools\":[{\"a\":\"b\"}]}", 2, 2, 25 },

    { "a system is not the same as tools",
      MARKS_V1,
      "{\"model\":\"m\",\"tools\":[\"Hi\"],\"messages\":[" ONE "]}",
      "{\"model\":\"m\",\"system\":[\"Hi\"],\"messages\":[" ONE "]}",
      2, 0, 15 },

    { "a prompt",
      MARKS_TEXT,
      "{\"model\":\"m\",\"prompt\":\"Once upon\",\"messages\":[" ONE "]}",
      "{\"prompt\":\"Once upon\",\"model\":\"m\"}", 1, 1, 9 },

    { "a prompt with a system",
      MARKS_TEXT,
      "{\"model\":\"m\",\"system\":\"Hi\",\"prompt\":\"Once upon\"}",
      "{\"model\":\"m\",\"prompt\":\"Once upon\",\"system\":\"Ho\"}", 2, 0,
      14 },

    { "a prompt with a picture",
      MARKS_TEXT,
      "{\"model\":\"m\",\"prompt\":\"what\",\"images\":[\"iVBO\"]}",
      "{\"model\":\"m\",\"prompt\":\"what\",\"images\":[\"iVBP\"]}", 2, 0,
      4 },

    { "a prompt in a list",
      MARKS_TEXT,
      "{\"model\":\"m\",\"prompt\":[\"Once\",\"upon\"]}",
      "{\"model\":\"m\",\"prompt\":[\"Once\",\"more\"]}", 2, 1, 8 },

    { "an input with instructions",
      MARKS_TEXT,
      "{\"model\":\"m\",\"instructions\":\"Hi\",\"input\":[" ONE "," TWO "]}",
      "{\"model\":\"m\",\"input\":[" ONE "," TWO "," NEXT "],"
      "\"instructions\":\"Hi\"}", 3, 3, 30 },

    { "an input that is a text",
      MARKS_TEXT,
      "{\"model\":\"m\",\"input\":\"Why?\"}",
      "{\"model\":\"m\",\"input\":\"Who?\"}", 1, 0, 4 },

    { "nothing to evaluate",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[]}",
      "{\"model\":\"m\"}", 0, 0, 0 },

    { "nothing but null",
      MARKS_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "],\"messages\":null}",
      "{\"model\":\"m\",\"messages\":[" ONE "]}", 0, 0, 0 },

    { "marks aren't wanted",
      SCAN_CHAT,
      "{\"model\":\"m\",\"messages\":[" ONE "],\"options\":{\"num_ctx\":9}}",
      "{\"model\":\"m\",\"messages\":[" ONE "]}", 0, 0, 0 },
};


/* Scans a piece of "first" bytes, and then pieces of "step" bytes. */

static void
marks_scan(marks_t *m, ngx_uint_t flags, const char *forbid, const char *body,
    size_t len, size_t first, size_t step)
{
    size_t       n, done;
    scan_run_t   run;

    ngx_memzero(m, sizeof(marks_t));

    scan_start(&run, flags, forbid);

    n = first;

    for (done = 0; done < len; done += n, n = step) {
        n = ngx_min(n, len - done);

        scan_feed(&run, (u_char *) body + done, n);

        if (run.rc != NGX_OK) {
            fail_msg("%.*s: %.*s", (int) ngx_min(len, 1000), body,
                     (int) run.scan.error.len, run.scan.error.data);
        }
    }

    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);

    /* what is found outlives what the scan itself needs */
    scan_release(&run);

    assert_null(run.scan.prompt);
    assert_true(run.scan.nmarks <= NGX_HTTP_OLLAMA_MARKS_MAX);

    m->n = run.scan.nmarks;
    m->text = run.scan.text;
    m->runner = run.scan.runner;
    m->num_ctx = run.scan.num_ctx;

    for (n = 0; n < m->n; n++) {
        m->mark[n] = run.scan.marks[n];

        assert_true(n == 0 || m->mark[n].text >= m->mark[n - 1].text);
        assert_true(m->mark[n].text <= m->text);
    }

    scan_finish(&run);
}


static void
marks_same(const char *body, size_t first, size_t step, marks_t *a, marks_t *b)
{
    ngx_uint_t  i;

    if (a->n != b->n || a->text != b->text || a->runner != b->runner) {
        fail_msg("%s: in pieces of %d, then %d: %d marks, %d bytes; not %d, "
                 "%d", body, (int) first, (int) step, (int) b->n,
                 (int) b->text, (int) a->n, (int) a->text);
    }

    for (i = 0; i < a->n; i++) {
        if (a->mark[i].hash != b->mark[i].hash
            || a->mark[i].text != b->mark[i].text)
        {
            fail_msg("%s: in pieces of %d, then %d: mark %d", body,
                     (int) first, (int) step, (int) i);
        }
    }
}


/* How many of the marks of "a" also "b" has. */

static ngx_uint_t
marks_shared(marks_t *a, marks_t *b)
{
    ngx_uint_t  i, k, n;

    for (i = 0, n = 0; i < a->n; i++) {
        for (k = 0; k < b->n; k++) {

            if (a->mark[i].hash == b->mark[k].hash) {
                assert_int_equal(a->mark[i].text, b->mark[k].text);
                n++;
                break;
            }
        }
    }

    return n;
}


/* The text of the last mark of "a" that also "b" has. */

static size_t
marks_prefix(marks_t *a, marks_t *b)
{
    ngx_uint_t  i, k;

    for (i = a->n; i; i--) {
        for (k = 0; k < b->n; k++) {

            if (a->mark[i - 1].hash == b->mark[k].hash) {
                return a->mark[i - 1].text;
            }
        }
    }

    return 0;
}


static void
marks_case_test(void **state)
{
    marks_case_t *c = *state;

    size_t      i, len;
    marks_t     one, two, piece;

    len = strlen(c->one);

    marks_scan(&one, c->flags, NULL, c->one, len, len, 1);
    marks_scan(&two, c->flags, NULL, c->two, strlen(c->two), 0, 5);

    assert_int_equal(one.n, c->n);
    assert_int_equal(one.text, c->text);
    assert_int_equal(marks_shared(&one, &two), c->shared);

    if (one.n) {
        assert_int_equal(one.mark[one.n - 1].text, one.text);
    }

    for (i = 0; i < len; i++) {
        marks_scan(&piece, c->flags, NULL, c->one, len, i, len);
        marks_same(c->one, i, len, &one, &piece);
    }

    for (i = 1; i < 9; i++) {
        marks_scan(&piece, c->flags, NULL, c->one, len, 0, i);
        marks_same(c->one, 0, i, &one, &piece);
    }
}


/* What is in front of a prompt, marked by the client as to be cached. */

static void
marks_cached_test(void **state)
{
    marks_t      one, two;
    const char  *body;

    body = "{\"model\":\"m\",\"system\":[{\"type\":\"text\",\"text\":\"Hi\"}],"
           "\"messages\":[" ONE "]}";
    marks_scan(&one, MARKS_V1, NULL, body, strlen(body), 9, 9);

    body = "{\"model\":\"m\",\"system\":[{\"type\":\"text\",\"text\":\"Hi\","
           "\"cache_control\":{\"type\":\"ephemeral\"}}],"
           "\"messages\":[" ONE "]}";
    marks_scan(&two, MARKS_V1, NULL, body, strlen(body), 9, 9);

    assert_int_equal(one.n, 2);
    assert_int_equal(two.n, 2);
    assert_true(one.mark[0].hash == two.mark[0].hash);
    assert_true(one.mark[1].hash == two.mark[1].hash);
}


/* A chat of "n" messages, the i-th of about size + i bytes. */

static size_t
marks_chat(char *body, ngx_uint_t n, size_t size)
{
    char        *p;
    size_t       k;
    ngx_uint_t   i;

    p = body + sprintf(body, "{\"model\":\"m\",\"messages\":[");

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s{\"role\":\"%s\",\"content\":\"%d ",
                     i ? "," : "", i % 2 ? "assistant" : "user", (int) i);

        for (k = 0; k < size + i; k++) {
            *p++ = 'a' + (k * 7 + i) % 26;
        }

        p += sprintf(p, "\"}");
    }

    p += sprintf(p, "]}");

    assert_true(p < body + MARKS_BODY);

    return p - body;
}


/*
 * Chats of any length that go on, by one message or by ten: the whole of the
 * earlier prompt is found, and what is in between at equal distances.
 */

static void
marks_long_test(void **state)
{
    char                *body;
    size_t               len, found;
    marks_t              earlier, later;
    ngx_uint_t           n, more, i;

    static const size_t  sizes[] = { 0, 100, 3000 };

    body = malloc(MARKS_BODY);
    assert_non_null(body);

    for (i = 0; i < unit_nelts(sizes); i++) {
        for (n = 1; n < 600; n = n * 3 / 2 + 1) {

            len = marks_chat(body, n, sizes[i]);
            marks_scan(&earlier, MARKS_CHAT, NULL, body, len, 0, 32768);

            for (more = 1; more <= 10; more += 3) {

                len = marks_chat(body, n + more, sizes[i]);
                marks_scan(&later, MARKS_CHAT, NULL, body, len, 0, 32768);

                found = marks_prefix(&earlier, &later);
                assert_int_equal(found, earlier.text);
                assert_true(later.text > earlier.text);

                if (n + more <= NGX_HTTP_OLLAMA_MARKS_LAST
                    && later.text < 80 * 1024)
                {
                    assert_int_equal(marks_shared(&earlier, &later),
                                     earlier.n);
                }

                assert_true(marks_shared(&earlier, &later)
                            >= ngx_min(n, NGX_HTTP_OLLAMA_MARKS_FIRST));
            }
        }
    }

    free(body);
}


/* Two prompts that are equal for a while share nearly all of that. */

static void
marks_fork_test(void **state)
{
    char        *body;
    size_t       at, len, found;
    marks_t      one, two;

    body = malloc(MARKS_BODY);
    assert_non_null(body);

    for (at = 5000; at < 2000000; at = at * 5 / 4) {

        len = sprintf(body, "{\"model\":\"m\",\"prompt\":\"");
        memset(body + len, 'a', 2000000);
        strcpy(body + len + 2000000, "\"}");

        marks_scan(&one, MARKS_TEXT, NULL, body, len + 2000002, 0, 32768);
        assert_int_equal(one.text, 2000000);
        assert_true(one.n > NGX_HTTP_OLLAMA_MARKS_GRID / 2);

        body[len + at] = 'b';

        marks_scan(&two, MARKS_TEXT, NULL, body, len + 2000002, 0, 32768);
        found = marks_prefix(&one, &two);

        assert_true(found <= at && found + 2000000 / 20 >= at);

        /* a prompt that is not much longer than what they share */

        strcpy(body + len + at + 1000, "\"}");

        marks_scan(&two, MARKS_TEXT, NULL, body, len + at + 1002, 0, 32768);
        found = marks_prefix(&one, &two);

        assert_true(found <= at && found + 2000000 / 20 >= at);
    }

    free(body);
}


/* A long text is marked each 2 KB, wherever the pieces of the body end. */

static void
marks_step_test(void **state)
{
    char         body[20000];
    size_t       len, step;
    marks_t      one, two;
    ngx_uint_t   i;

    len = sprintf(body, "{\"model\":\"m\",\"messages\":[{\"content\":\"");

    for (i = 0; i < 18000; i++) {
        body[len++] = 'a' + i * 5 % 23;
    }

    len += sprintf(body + len, "\"},{\"images\":[\"");

    for (i = 0; i < 1000; i++) {
        body[len++] = 'A' + i * 5 % 23;
    }

    len += sprintf(body + len, "\"],\"content\":\"what\"}]}");

    marks_scan(&one, MARKS_CHAT, NULL, body, len, len, 1);

    assert_int_equal(one.text, 18004);
    assert_int_equal(one.n, 8 + 2);

    for (i = 0; i < 8; i++) {
        assert_int_equal(one.mark[i].text, 2048 * (i + 1));
    }

    for (step = 1; step < 5000; step = step * 4 / 3 + 1) {
        marks_scan(&two, MARKS_CHAT, NULL, body, len, 77, step);
        marks_same("long", 77, step, &one, &two);
    }

    /* one byte of it matters to the marks behind it */

    body[5000] ^= 1;
    marks_scan(&two, MARKS_CHAT, NULL, body, len, len, 1);
    assert_int_equal(marks_shared(&one, &two), 2);

    body[5000] ^= 1;
    body[len - 100] ^= 1;
    marks_scan(&two, MARKS_CHAT, NULL, body, len, len, 1);
    assert_int_equal(marks_shared(&one, &two), one.n - 1);
}


/* Keys are no text, however long, nor what is nested too deep to be known. */

static void
marks_deep_test(void **state)
{
    char         body[30000];
    size_t       len, k;
    marks_t      one, two;
    ngx_uint_t   i, n;

    for (n = 50; n < 80; n++) {

        len = sprintf(body, "{\"model\":\"m\",\"messages\":[{\"content\":\"a\","
                            "\"x\":");

        for (i = 0; i < n; i++) {
            len += sprintf(body + len, i % 2 ? "{\"k%d" : "[\"l%d",
                           (int) i % 10);

            for (k = 0; i % 2 && k < 100; k++) {
                body[len++] = 'k';
            }

            len += sprintf(body + len, i % 2 ? "\":" : "\",");
        }

        memcpy(body + len, "\"b\"", 3);
        len += 3;

        while (i) {
            len += sprintf(body + len, --i % 2 ? "}" : "]");
        }

        len += sprintf(body + len, ",\"y\":\"cd\"}]}");

        marks_scan(&one, MARKS_CHAT, NULL, body, len, len, 1);

        assert_int_equal(one.n, 1);

        /* "a", "cd", those of the lists at 4 to 63, and "b" */
        assert_int_equal(one.text, 3 + 2 * ((ngx_min(n, 60) + 1) / 2)
                                   + (n + 3 < 64));

        for (i = 1; i < 200; i = i * 2 + 1) {
            marks_scan(&two, MARKS_CHAT, NULL, body, len, 50, i);
            marks_same("deep", 50, i, &one, &two);
        }
    }
}


/* What the server doesn't get is in no mark. */

static void
marks_forbidden_test(void **state)
{
    marks_t      one, two;
    const char  *body;

    body = "{\"model\":\"m\",\"messages\":[" ONE "]}";
    marks_scan(&one, MARKS_CHAT, NULL, body, strlen(body), 9, 9);

    body = "{\"model\":\"m\",\"system\":\"x\",\"tools\":[\"y\"],"
           "\"messages\":[" ONE "],\"options\":{\"num_ctx\":9,\"num_gpu\":1}}";

    marks_scan(&two, MARKS_CHAT, "tools system options", body, strlen(body),
               9, 9);
    marks_same(body, 9, 9, &one, &two);

    marks_scan(&two, MARKS_CHAT, "tools system options.num_ctx "
               "options.num_gpu", body, strlen(body), 9, 9);
    marks_same(body, 9, 9, &one, &two);

    marks_scan(&two, MARKS_CHAT, "tools system options.num_gpu", body,
               strlen(body), 9, 9);
    assert_int_equal(two.num_ctx, 9);
    assert_true(two.runner != 0);
}


static void
marks_session_test(void **state)
{
    ngx_str_t                id;
    ngx_http_ollama_mark_t   a, b;

    ngx_str_set(&id, "1b4e28ba-2fa1-11d2-883f-0016d3cca427");
    ngx_http_ollama_marks_session(&a, &id, 1000);
    ngx_http_ollama_marks_session(&b, &id, 2000);

    assert_true(a.hash == b.hash);
    assert_int_equal(a.text, 1000);
    assert_int_equal(b.text, 2000);

    ngx_str_set(&id, "1b4e28ba-2fa1-11d2-883f-0016d3cca428");
    ngx_http_ollama_marks_session(&b, &id, 1000);

    assert_true(a.hash != b.hash);
}


/* Marks cost the request's pool what they need, and no more. */

static void
marks_memory_test(void **state)
{
    char        *body;
    size_t       len, plain;
    scan_run_t   run;

    body = malloc(MARKS_BODY);
    assert_non_null(body);
    len = marks_chat(body, 9, 100);

    scan_start(&run, SCAN_CHAT, NULL);
    scan_feed(&run, (u_char *) body, len);
    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);
    plain = ngx_stub_pool_bytes(run.pool);
    scan_finish(&run);

    scan_start(&run, MARKS_CHAT, NULL);
    scan_feed(&run, (u_char *) body, len);
    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);
    assert_int_equal(ngx_stub_pool_bytes(run.pool) - plain,
                     9 * sizeof(ngx_http_ollama_mark_t));
    scan_finish(&run);

    /* no memory for it */

    scan_start(&run, MARKS_CHAT, NULL);
    scan_feed(&run, (u_char *) body, len);
    ngx_stub_fail_size = 9 * sizeof(ngx_http_ollama_mark_t);
    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_ERROR);
    ngx_stub_fail_size = 0;
    scan_finish(&run);

    free(body);
}


static int
marks_compare(const void *one, const void *two)
{
    const uint64_t *a = one, *b = two;

    return (*a > *b) - (*a < *b);
}


/* Texts that differ in few bits, or in what is next to each other. */

static void
marks_hash_test(void **state)
{
    u_char                  text[80];
    uint64_t                seen[30000];
    ngx_uint_t              i, k, n;
    ngx_http_ollama_hash_t  hash;

    n = 0;

    for (i = 0; i < sizeof(text) * 8; i++) {
        for (k = i; k < i + 40 && k < sizeof(text) * 8; k++) {

            memset(text, 'a', sizeof(text));
            text[i / 8] ^= 1 << i % 8;
            text[k / 8] ^= (k == i) ? 0 : 1 << k % 8;

            ngx_http_ollama_hash_init(&hash);
            ngx_http_ollama_hash_text(&hash, text, sizeof(text));
            seen[n++] = ngx_http_ollama_hash_value(&hash);
        }
    }

    for (i = 0; i <= sizeof(text); i++) {

        memset(text, 'a', sizeof(text));
        ngx_http_ollama_hash_init(&hash);
        ngx_http_ollama_hash_text(&hash, text, i);
        seen[n++] = ngx_http_ollama_hash_value(&hash);
    }

    assert_true(n < unit_nelts(seen));

    for (i = 0, k = 0; i < n; i++) {
        k += (seen[i] >> 63);
    }

    assert_true(k > n / 3 && k < n * 2 / 3);

    qsort(seen, n, sizeof(uint64_t), marks_compare);

    for (i = 1; i < n; i++) {
        assert_true(seen[i] != seen[i - 1]);
    }
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add_rows(&suite, marks_case_test, marks_cases, sizeof(marks_case_t),
                  unit_nelts(marks_cases));

    unit_add(&suite, "a system that is cached", marks_cached_test, NULL);
    unit_add(&suite, "long chats that go on", marks_long_test, NULL);
    unit_add(&suite, "two prompts that part", marks_fork_test, NULL);
    unit_add(&suite, "a long text", marks_step_test, NULL);
    unit_add(&suite, "nested deep", marks_deep_test, NULL);
    unit_add(&suite, "forbidden fields", marks_forbidden_test, NULL);
    unit_add(&suite, "a session", marks_session_test, NULL);
    unit_add(&suite, "the memory that marks need", marks_memory_test, NULL);
    unit_add(&suite, "no two hashes are equal", marks_hash_test, NULL);

    return unit_run(&suite, "marks");
}
