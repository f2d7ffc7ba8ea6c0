
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What each participant of a conversation sees: the bodies of turns, byte by
 * byte in a table, and against a plain model of what is promised with random
 * conversations.  And that memory grows with what is said, no faster.
 */


#include "conversation_stub.h"

#include "conversation/ngx_http_ollama_conversation_prompt.h"

#include <jansson.h>


#define PEOPLE  NGX_HTTP_OLLAMA_CONVERSATION_MAX

#define RANDOM_TALKS   3000
#define RANDOM_MOST    24       /* utterances */
#define RANDOM_TEXT    64       /* bytes of one */


/*
 * Utterances as "WHO:TEXT|WHO:TEXT": a participant's number, "u", the user, or
 * "o", somebody else, with a name behind if there is one.
 */

typedef struct {
    const char  *title;
    const char  *models;
    const char  *more;          /* members of the request's body */
    const char  *said;
    ngx_uint_t   self;
    const char  *want;
} view_case_t;


typedef struct {
    ngx_int_t    speaker;
    char         name[8];
    char         text[RANDOM_TEXT + 8];
} view_said_t;


static view_case_t  view_cases[] = {

    { "two: the first turn", "\"a\",\"b\"", "", "u:hi", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
      "\"stream\":true}" },

    { "two: the second turn, of the other", "\"a\",\"b\"", "", "u:hi|0:one", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
      "{\"role\":\"user\",\"content\":\"one\"}],\"stream\":true}" },

    { "two: the third turn", "\"a\",\"b\"", "", "u:hi|0:one|1:two", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
      "{\"role\":\"assistant\",\"content\":\"one\"},"
      "{\"role\":\"user\",\"content\":\"two\"}],\"stream\":true}" },

    { "two: several lines, as they are", "\"a\",\"b\"", "",
      "u:hi\nyou\n|0:one\n\ntwo", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\nyou\\n\"},{\"role\":\"user\",\"content\":\"one\\n\\ntwo\"}],"
      "\"stream\":true}" },

    { "two: of one model", "\"a\",\"a\"", "", "u:hi|0:one|1:two", 1,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
      "{\"role\":\"user\",\"content\":\"one\"},"
      "{\"role\":\"assistant\",\"content\":\"two\"}],\"stream\":true}" },

    { "two: a system prompt and options", "\"a\",\"b\"",
      "\"system_prompts\":{\"b\":\"be \\\"b\\\"\\n\"},\"options\":{\"seed\" : "
      "1}", "u:hi", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"system\",\"content\":"
      "\"be \\\"b\\\"\\n\"},{\"role\":\"user\",\"content\":\"hi\"}],"
      "\"stream\":true,\"options\":{\"seed\" : 1}}" },

    { "two: the system prompt is the other's", "\"a\",\"b\"",
      "\"system_prompts\":{\"b\":\"be b\"}", "u:hi", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
      "\"stream\":true}" },

    { "two: what was said before", "\"a\",\"b\"", "",
      "o:old|ox:older|u:hi", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"old\"},"
      "{\"role\":\"user\",\"content\":\"older\"},"
      "{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true}" },

    { "two: nothing was said", "\"a\",\"b\"", "", "", 0,
      "{\"model\":\"a\",\"messages\":[],\"stream\":true}" },

    { "two: nothing but a system prompt", "\"a\",\"b\"",
      "\"system_prompts\":{\"a\":\"s\"}", "", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"}],"
      "\"stream\":true}" },

    { "two: empty texts", "\"a\",\"b\"", "", "u:|0:|1:", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":\"\"},"
      "{\"role\":\"user\",\"content\":\"\"},"
      "{\"role\":\"assistant\",\"content\":\"\"}],\"stream\":true}" },

    { "a quote in the model's name", "\"a\\\"\",\"b\"", "", "u:hi", 0,
      "{\"model\":\"a\\\"\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\"}],\"stream\":true}" },

    { "three: the first turn", "\"a\",\"b\",\"c\"", "", "u:hi", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
      "\"stream\":true}" },

    { "three: the third turn, all joined", "\"a\",\"b\",\"c\"", "",
      "u:hi|0:one|1:two", 2,
      "{\"model\":\"c\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\na: one\\nb: two\"}],\"stream\":true}" },

    { "three: the fourth turn", "\"a\",\"b\",\"c\"", "",
      "u:hi|0:one|1:two|2:three", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},"
      "{\"role\":\"assistant\",\"content\":\"one\"},{\"role\":\"user\","
      "\"content\":\"b: two\\nc: three\"}],\"stream\":true}" },

    { "three: several lines, but not one's own", "\"a\",\"b\",\"c\"", "",
      "u:hi\nyou|0:one\ntwo|1:three\n\nfour\n|2:five\n", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\nyou\"},{\"role\":\"assistant\",\"content\":\"one\\ntwo\"},"
      "{\"role\":\"user\",\"content\":"
      "\"b: three\\n\\nb: four\\nc: five\"}],\"stream\":true}" },

    { "three: a line of blanks is nobody's", "\"a\",\"b\",\"c\"", "",
      "u:hi|1: \t\r\n  x\n\x0b\f\n|2:\x1f", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\n \\t\\r\\nb:   x\\n\\u000B\\f\\nc: \\u001F\"}],"
      "\"stream\":true}" },

    { "three: backslashes that are no newlines", "\"a\",\"b\",\"c\"", "",
      "u:hi|0:C:\\new\\\\now\n\\", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\na: C:\\\\new\\\\\\\\now\\na: \\\\\"}],\"stream\":true}" },

    { "three: empty texts, and only newlines", "\"a\",\"b\",\"c\"", "",
      "u:|0:|1:\n|2:\n\n", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"\\n\"},{\"role\":\"assistant\",\"content\":\"\\n\"},"
      "{\"role\":\"user\",\"content\":\"\\n\"}],\"stream\":true}" },

    { "three: names, and a model twice",
      "{\"model\":\"m\",\"name\":\"\\\"A\\\" \xc3\xa9\"},\"m\",\"m\"", "",
      "u:hi|0:one|1:two|2:three", 1,
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\n\\\"A\\\" \xc3\xa9: one\"},{\"role\":\"assistant\",\"content\":"
      "\"two\"},{\"role\":\"user\",\"content\":\"m#2: three\"}],"
      "\"stream\":true}" },

    { "three: a system prompt is alone", "\"a\",\"b\",\"c\"",
      "\"system_prompts\":{\"b\":\"s\"}", "u:hi|0:one", 1,
      "{\"model\":\"b\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
      "{\"role\":\"user\",\"content\":\"hi\\na: one\"}],\"stream\":true}" },

    { "three: what was said before", "\"a\",\"b\",\"c\"", "",
      "o:old\nx|oZ:older\nx|0:mine|o:x|u:hi", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"old\\nx\\nZ: older\\nZ: x\"},{\"role\":\"assistant\",\"content\":"
      "\"mine\"},{\"role\":\"user\",\"content\":\"x\\nhi\"}],"
      "\"stream\":true}" },

    { "three: one's own twice stay apart", "\"a\",\"b\",\"c\"", "",
      "0:one|0:two|u:hi", 0,
      "{\"model\":\"a\",\"messages\":[{\"role\":\"assistant\",\"content\":"
      "\"one\"},{\"role\":\"assistant\",\"content\":\"two\"},"
      "{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true}" },

    { "eight", "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"", "",
      "u:hi|0:1|1:2|2:3|3:4|4:5|5:6|6:7|7:8|0:9|1:10", 2,
      "{\"model\":\"c\",\"messages\":[{\"role\":\"user\",\"content\":"
      "\"hi\\na: 1\\nb: 2\"},{\"role\":\"assistant\",\"content\":\"3\"},"
      "{\"role\":\"user\",\"content\":"
      "\"d: 4\\ne: 5\\nf: 6\\ng: 7\\nh: 8\\na: 9\\nb: 10\"}],"
      "\"stream\":true}" },
};


static void
view_begin(conversation_run_t *run,
    ngx_http_ollama_conversation_said_t *said, const char *models,
    const char *more)
{
    char    body[1024];
    size_t  len;

    len = snprintf(body, sizeof(body), START "\"models\":[%s]%s%s}", models,
                   *more ? "," : "", more);

    conversation_feed(run, (u_char *) body, len, len, len);
    assert_int_equal(run->rc, NGX_OK);

    assert_int_equal(ngx_http_ollama_conversation_prompt_init(said, run->pool,
                                                              &run->body),
                     NGX_OK);
}


static void
view_say(ngx_http_ollama_conversation_said_t *said, ngx_int_t speaker,
    const char *name, const char *text, size_t len)
{
    ngx_str_t  n, t;

    n.data = (u_char *) name;
    n.len = strlen(name);

    t.data = (u_char *) text;
    t.len = len;

    assert_int_equal(ngx_http_ollama_conversation_prompt_add(said, speaker, &n,
                                                             &t, 0),
                     NGX_OK);
}


/* The turn's body as one text; what holds for each buf of it. */

static char *
view_text(ngx_http_ollama_conversation_said_t *said, ngx_uint_t self,
    size_t *taken)
{
    char         *text, *p;
    off_t         size;
    ngx_buf_t    *b;
    ngx_pool_t   *pool;
    ngx_chain_t  *chain, *cl;

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    size = -1;

    chain = ngx_http_ollama_conversation_prompt_make(said, pool, self, &size);
    assert_non_null(chain);

    text = malloc(size + 1);
    assert_non_null(text);

    p = text;

    for (cl = chain; cl; cl = cl->next) {
        b = cl->buf;

        assert_true(b->pos < b->last);
        assert_ptr_equal(b->start, b->pos);
        assert_ptr_equal(b->end, b->last);
        assert_true(b->memory);
        assert_false(b->temporary || b->in_file || b->last_buf || b->sync
                     || b->flush || b->last_in_chain || b->recycled);
        assert_true(b->last - b->pos <= size - (p - text));

        p = (char *) ngx_cpymem(p, b->pos, b->last - b->pos);
    }

    assert_int_equal(p - text, size);
    *p = '\0';

    *taken = ngx_stub_pool_peak(pool);

    ngx_destroy_pool(pool);

    return text;
}


static void
view_test(void **state)
{
    view_case_t *row = *state;

    char                                 *text, name[8];
    size_t                                taken, len;
    ngx_int_t                             speaker;
    ngx_uint_t                            i;
    const char                           *p;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    view_begin(&run, &said, row->models, row->more);

    for (p = row->said; *p; /* void */ ) {

        speaker = (*p == 'u') ? NGX_HTTP_OLLAMA_CONVERSATION_USER
                  : (*p == 'o') ? NGX_HTTP_OLLAMA_CONVERSATION_OTHER
                  : *p - '0';

        for (i = 0, p++; *p != ':'; i++) {
            name[i] = *p++;
        }

        name[i] = '\0';
        p++;

        len = strcspn(p, "|");

        view_say(&said, speaker, name, p, len);

        p += len + (p[len] == '|');
    }

    text = view_text(&said, row->self, &taken);

    assert_string_equal(text, row->want);

    free(text);
    ngx_destroy_pool(run.pool);
}


/* Text that others have escaped, in their own way. */

static void
view_json_test(void **state)
{
    char                                 *text;
    size_t                                taken;
    ngx_str_t                             name, json;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    static const char  want[] =
        "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":"
        "\"x\\\": one\\nx\\\": \\u003ctwo\\nx\\\": \\\\u000a\\nx\\\": "
        "\\u000b\\/\\u00\"}],\"stream\":true}";

    view_begin(&run, &said, "\"a\",\"b\",\"c\"", "");

    ngx_str_set(&name, "x\"");
    ngx_str_set(&json, "one\\u000a\\u003ctwo\\n\\\\u000a\\u000A\\u000b\\/"
                       "\\u00");

    assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said,
                                    NGX_HTTP_OLLAMA_CONVERSATION_OTHER,
                                    &name, &json, 1),
                     NGX_OK);

    text = view_text(&said, 0, &taken);

    assert_string_equal(text, want);

    free(text);

    /* nobody's name: as it is */

    assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said,
                                    NGX_HTTP_OLLAMA_CONVERSATION_OTHER,
                                    NULL, &json, 1),
                     NGX_OK);

    text = view_text(&said, 0, &taken);

    assert_non_null(strstr(text, "\\n" "one\\u000a\\u003ctwo\\n\\\\u000a"));

    free(text);

    ngx_destroy_pool(run.pool);
}


/* A history is joined to a few texts, which are sent from where they are. */

static void
view_history_test(void **state)
{
    char                                 *text;
    off_t                                 size;
    size_t                                taken;
    ngx_str_t                             json;
    ngx_uint_t                            i, people, bufs;
    ngx_chain_t                          *cl;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    static char  line[1000];

    static const char  *models[] = {
        "\"a\",\"b\"", "\"a\",\"b\",\"c\""
    };

    memset(line, 'x', sizeof(line));

    for (people = 2; people < 4; people++) {
        view_begin(&run, &said, models[people - 2], "");

        json.data = (u_char *) line;
        json.len = sizeof(line);

        for (i = 0; i < 5000; i++) {
            assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said,
                                            NGX_HTTP_OLLAMA_CONVERSATION_USER,
                                            NULL, &json, 1),
                             NGX_OK);
        }

        assert_true(said.utterances.nelts < 25);
        assert_true(ngx_stub_pool_peak(run.pool) < 6500000);

        cl = ngx_http_ollama_conversation_prompt_make(&said, run.pool, 0,
                                                      &size);
        assert_non_null(cl);

        for (bufs = 0; cl; cl = cl->next) {
            bufs++;
        }

        assert_true(bufs < 50);

        text = view_text(&said, 0, &taken);

        assert_true(taken < 60000);
        assert_int_equal(strlen(text), size);

        free(text);
        ngx_destroy_pool(run.pool);
    }
}


/* What servers are sent is counted, with the names before the lines. */

static void
view_limit_test(void **state)
{
    char                                 *lines;
    size_t                                size;
    ngx_str_t                             text;
    ngx_uint_t                            n;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    view_begin(&run, &said,
               "{\"model\":\"a\",\"name\":\"0123456789012345678901234567890123"
               "456789012345678901234567890123456789\"},\"b\",\"c\"", "");

    size = 200000;

    lines = malloc(size);
    assert_non_null(lines);

    text.data = (u_char *) lines;
    text.len = size;

    /* newlines only */

    memset(lines, '\n', size);

    for (n = 0; n < 100; n++) {
        assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said, 0,
                                                                 NULL, &text,
                                                                 0),
                         NGX_OK);
    }

    assert_true(said.size < 2 * 100 * (size + 50));

    /* a word in each */

    for (n = 1; n < size; n += 2) {
        lines[n] = 'x';
    }

    for (n = 0; n < 100; n++) {
        if (ngx_http_ollama_conversation_prompt_add(&said, 0, NULL, &text, 0)
            != NGX_OK)
        {
            break;
        }
    }

    assert_in_range(n, 1, 5);
    assert_true(said.size <= NGX_HTTP_OLLAMA_CONVERSATION_SIZE);
    assert_true(said.size > NGX_HTTP_OLLAMA_CONVERSATION_SIZE - 60 * size);
    assert_int_equal(said.utterances.nelts, 100 + n);

    free(lines);
    ngx_destroy_pool(run.pool);
}


/* What is promised, put down once more: the content as plain text. */

static char *
model_add(char *p, const char *name, const char *text)
{
    size_t  len;

    if (name == NULL) {
        return p + sprintf(p, "%s", text);
    }

    for ( ;; ) {
        len = strcspn(text, "\n");

        if (strspn(text, " \t\r\f\v") < len) {
            p += sprintf(p, "%s: ", name);
        }

        p += sprintf(p, "%.*s", (int) len, text);

        if (text[len] == '\0' || text[len + 1] == '\0') {
            return p;
        }

        p += sprintf(p, "\n");
        text += len + 1;
    }
}


static void
model_check(json_t *messages, view_said_t *said, ngx_uint_t n,
    ngx_uint_t people, ngx_int_t self)
{
    char         want[RANDOM_MOST * RANDOM_TEXT * 8], *p;
    json_t      *message;
    size_t       at;
    ngx_uint_t   i;
    const char  *role, *last;

    last = "";

    for (i = 0, at = 0; i < n; at++) {

        p = want;

        if (said[i].speaker == self) {
            role = "assistant";
            p += sprintf(p, "%s", said[i++].text);

        } else if (people == 2) {
            role = "user";
            p += sprintf(p, "%s", said[i++].text);

        } else {
            role = "user";

            for ( ;; ) {
                p = model_add(p, said[i].name[0] ? said[i].name : NULL,
                              said[i].text);

                if (++i == n || said[i].speaker == self) {
                    break;
                }

                p += sprintf(p, "\n");
            }
        }

        message = json_array_get(messages, at);

        assert_string_equal(json_string_value(json_object_get(message,
                                                              "role")),
                            role);
        assert_string_equal(json_string_value(json_object_get(message,
                                                              "content")),
                            want);
        assert_int_equal(json_object_size(message), 2);

        if (people > 2 && strcmp(role, "user") == 0) {
            assert_string_not_equal(last, "user");
        }

        last = role;
    }

    assert_int_equal(json_array_size(messages), at);
}


static void
view_random_text(char *text)
{
    ngx_uint_t  n;

    static const char  *parts[] = {
        "\n", "\n", "a", "b c", "\\", "\\n", "\"", "\r\n", "\x1f", "/",
        "\xc3\xa9", "\xf0\x9f\x98\x80", "a: ", "\\u000a"
    };

    *text = '\0';

    for (n = unit_random(10); n; n--) {
        strcat(text, parts[unit_random(unit_nelts(parts))]);
    }
}


static void
view_random_test(void **state)
{
    char                                 *text;
    json_t                               *json;
    size_t                                taken;
    view_said_t                           plain[RANDOM_MOST];
    ngx_uint_t                            people, i, n, round;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    static const char  *models[] = {
        "\"a\",\"a\"", "\"a\",\"b\",\"a\"", "\"a\",\"b\",\"c\",\"d\"",
        "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\""
    };

    unit_seed(1);

    for (round = 0; round < RANDOM_TALKS; round++) {

        view_begin(&run, &said, models[unit_random(unit_nelts(models))], "");

        people = run.body.n;
        n = unit_random(RANDOM_MOST);

        for (i = 0; i < n; i++) {
            plain[i].speaker = unit_random(people + 2);
            plain[i].speaker -= 2;
            plain[i].name[0] = '\0';

            if (plain[i].speaker == NGX_HTTP_OLLAMA_CONVERSATION_OTHER
                && unit_random(2))
            {
                strcpy(plain[i].name, "o\\\"");

            } else if (plain[i].speaker >= 0) {
                memcpy(plain[i].name,
                       run.body.participant[plain[i].speaker].name.data,
                       run.body.participant[plain[i].speaker].name.len);
                plain[i].name[
                    run.body.participant[plain[i].speaker].name.len] = '\0';
            }

            view_random_text(plain[i].text);

            view_say(&said, plain[i].speaker, plain[i].name, plain[i].text,
                     strlen(plain[i].text));
        }

        for (i = 0; i < people; i++) {

            text = view_text(&said, i, &taken);

            json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(json);

            model_check(json_object_get(json, "messages"), plain, n, people,
                        i);

            json_decref(json);
            free(text);
        }

        ngx_destroy_pool(run.pool);
    }
}


/* A hundred turns of three: what is said is kept a few times, not squared. */

static void
view_memory_test(void **state)
{
    char                                 *text;
    size_t                                before, sum, taken, sent;
    ngx_uint_t                            i;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    static char  line[40000];

    memset(line, 'x', sizeof(line));

    for (i = 99; i < sizeof(line); i += 100) {
        line[i] = '\n';
    }

    view_begin(&run, &said, "\"a\",\"b\",\"c\"", "");

    before = ngx_stub_pool_peak(run.pool);
    sum = 0;
    sent = 0;

    view_say(&said, NGX_HTTP_OLLAMA_CONVERSATION_USER, "", "hi", 2);

    for (i = 0; i < 100; i++) {

        text = view_text(&said, i % 3, &taken);

        assert_true(taken
                    < (2 * i + 16) * (sizeof(ngx_buf_t)
                                      + sizeof(ngx_chain_t) + 40));
        sent += strlen(text);
        free(text);

        view_say(&said, i % 3, "", line, sizeof(line));
        sum += sizeof(line);
    }

    assert_true(sent > 40 * sum);
    assert_true(ngx_stub_pool_peak(run.pool) - before < sum * 9 / 4);

    ngx_destroy_pool(run.pool);
}


static void
view_no_memory_test(void **state)
{
    off_t                                 size;
    ngx_str_t                             text;
    conversation_run_t                    run;
    ngx_http_ollama_conversation_said_t   said;

    view_begin(&run, &said, "\"a\",\"b\",\"c\"", "");

    ngx_str_set(&text, "a\nb");

    ngx_stub_fail_size = 4;
    assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said, 0, NULL,
                                                             &text, 0),
                     NGX_ERROR);

    ngx_stub_fail_size = sizeof("a: a\\na: b") - 1;
    assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said, 0, NULL,
                                                             &text, 0),
                     NGX_ERROR);

    ngx_stub_fail_size = sizeof("a\nb") - 1;
    assert_int_equal(ngx_http_ollama_conversation_prompt_add(&said,
                                            NGX_HTTP_OLLAMA_CONVERSATION_USER,
                                            NULL, &text, 1),
                     NGX_ERROR);

    view_say(&said, NGX_HTTP_OLLAMA_CONVERSATION_USER, "", "hi", 2);

    ngx_stub_fail_size = sizeof(ngx_buf_t);
    assert_null(ngx_http_ollama_conversation_prompt_make(&said, run.pool, 0,
                                                         &size));

    ngx_stub_fail_size = sizeof(ngx_chain_t);
    assert_null(ngx_http_ollama_conversation_prompt_make(&said, run.pool, 0,
                                                         &size));

    ngx_stub_fail_size = 0;
    assert_non_null(ngx_http_ollama_conversation_prompt_make(&said, run.pool, 0,
                                                             &size));

    ngx_stub_fail_size = size;
    assert_null(ngx_http_ollama_conversation_prompt_make(&said, run.pool, 0,
                                                         &size));

    ngx_stub_fail_size = sizeof("{\"model\":\"a\",\"messages\":[") - 1;
    assert_int_equal(ngx_http_ollama_conversation_prompt_init(&said, run.pool,
                                                              &run.body),
                     NGX_ERROR);

    ngx_stub_fail_size = 0;
    ngx_destroy_pool(run.pool);
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add_rows(&suite, view_test, view_cases, sizeof(view_case_t),
                  unit_nelts(view_cases));

    unit_add(&suite, "text that is JSON already", view_json_test, NULL);
    unit_add(&suite, "a long history", view_history_test, NULL);
    unit_add(&suite, "the limit", view_limit_test, NULL);
    unit_add(&suite, "random conversations", view_random_test, NULL);
    unit_add(&suite, "memory", view_memory_test, NULL);
    unit_add(&suite, "no memory", view_no_memory_test, NULL);

    return unit_run(&suite, "conversation_view");
}
