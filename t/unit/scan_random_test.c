
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Random bodies, made of members whose fate is known when they are written:
 * each is written to the body, with whitespace and in any spelling, and, if
 * it is to reach the server, to what is expected, without whitespace.  What
 * the scanner leaves must be just that, and what it has found the last of
 * what was written.
 */


#include "scan_stub.h"


#define RANDOM_BODIES  10000
#define RANDOM_MAX     65536

#define RANDOM_FORBID  "keep_alive options.num_ctx options.a.b format tools.x"


typedef struct {
    size_t                     len;
    u_char                     text[RANDOM_MAX];
} random_text_t;


typedef struct {
    random_text_t              body;
    random_text_t              kept;      /* without whitespace */
    ngx_uint_t                 gone;      /* what is written now is cut */

    /* what must be found */

    char                       model[16];
    char                       server_url[16];
    char                       session_id[16];
    char                       task_id[16];
    ngx_http_ollama_stream_e   stream;
    uint32_t                   removed;
} random_body_t;


static void random_value(random_body_t *b, ngx_uint_t depth);


static void
random_put(random_text_t *t, const char *text)
{
    size_t  len;

    len = strlen(text);

    assert_true(t->len + len < RANDOM_MAX);

    memcpy(t->text + t->len, text, len);
    t->len += len;
}


/* A token, with whitespace around it in the body. */

static void
random_token(random_body_t *b, const char *token)
{
    static const char  *space[] = {
        "", "", "", "", "", "", " ", "  ", "\n", "\t", "\r\n    "
    };

    random_put(&b->body, space[unit_random(unit_nelts(space))]);
    random_put(&b->body, token);
    random_put(&b->body, space[unit_random(unit_nelts(space))]);

    if (!b->gone) {
        random_put(&b->kept, token);
    }
}


/* A key that Go takes for the name. */

static void
random_key(random_body_t *b, const char *name)
{
    char  key[512], *p;

    p = key;
    *p++ = '"';

    for ( /* void */ ; *name; name++) {

        switch (unit_random(8)) {

        case 0:
            p += sprintf(p, "\\u%04x", *name);
            break;

        case 1:
            p += sprintf(p, "\\u%04X", ngx_toupper(*name));
            break;

        case 2:
            *p++ = ngx_toupper(*name);
            break;

        case 3:
            if (*name == 's') {
                p += sprintf(p, "%s", unit_random(2) ? "\\u017f" : "\xc5\xbf");
                break;
            }

            if (*name == 'k') {
                p += sprintf(p, "%s",
                             unit_random(2) ? "\\u212A" : "\xe2\x84\xaa");
                break;
            }

            /* fall through */

        default:
            *p++ = *name;
            break;
        }
    }

    *p++ = '"';
    *p = '\0';

    random_token(b, key);
}


/* A key that is none of those that matter. */

static void
random_other_key(random_body_t *b)
{
    static const char  *keys[] = {
        "\"\"", "\"a\"", "\"task_idx\"", "\"task_i\"", "\"xmodel\"",
        "\"num_ctx\"", "\"\\\"task_id\\\"\"", "\"task_id \"",
        "\"{\\\"a\\\":[\"", "\"\\\\\"", "\"m\320\276del\"",
        "\"optionss\"", "\"keep-alive\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80\"", "\"a.b\"", "\"options.num_ctx\""
    };

    random_token(b, keys[unit_random(unit_nelts(keys))]);
}


/* Members of an object that isn't looked into; of any name. */

static void
random_members(random_body_t *b, ngx_uint_t depth)
{
    ngx_uint_t  i, n;

    static const char  *names[] = {
        "task_id", "session_id", "server_url", "model", "stream", "num_ctx",
        "options", "messages", "role", "keep_alive", "b"
    };

    n = unit_random(4);

    for (i = 0; i < n; i++) {

        if (i) {
            random_token(b, ",");
        }

        if (unit_random(2)) {
            random_key(b, names[unit_random(unit_nelts(names))]);

        } else {
            random_other_key(b);
        }

        random_token(b, ":");
        random_value(b, depth + 1);
    }
}


static void
random_value(random_body_t *b, ngx_uint_t depth)
{
    ngx_uint_t  i, n;

    static const char  *scalars[] = {
        "null", "true", "false", "0", "-1.5e+3", "123456789012345678901234",
        "\"\"", "\"x\"", "\"task_id\"", "\"\\\"},{\\\"model\\\":\\\"x\\\"\"",
        "\"\\\\\"", "\"\\u00e9\xc3\xa9\"", "\" , \"", "\"\\ud800\\\\x\""
    };

    switch (depth < 4 ? unit_random(4) : 2) {

    case 0:
        random_token(b, "{");
        random_members(b, depth);
        random_token(b, "}");
        return;

    case 1:
        random_token(b, "[");
        n = unit_random(4);

        for (i = 0; i < n; i++) {
            if (i) {
                random_token(b, ",");
            }

            random_value(b, depth + 1);
        }

        random_token(b, "]");
        return;

    default:
        random_token(b, scalars[unit_random(unit_nelts(scalars))]);
    }
}


/* The comma in front of a member, which goes with it. */

static void
random_comma(random_body_t *b, ngx_uint_t *first, ngx_uint_t *first_kept,
    ngx_uint_t gone)
{
    ngx_uint_t  outer;

    outer = b->gone;

    if (!*first) {
        b->gone = outer || gone || *first_kept;
        random_token(b, ",");
    }

    *first = 0;

    if (!gone) {
        *first_kept = 0;
    }

    b->gone = outer || gone;
}


/* The object "options", or the "a" in it: both have paths to members. */

static void
random_options(random_body_t *b, ngx_uint_t inner)
{
    ngx_uint_t  i, n, first, first_kept, outer;

    random_token(b, "{");

    outer = b->gone;
    first = 1;
    first_kept = 1;

    n = unit_random(5);

    for (i = 0; i < n; i++) {

        switch (unit_random(4)) {

        case 0:
        case 1:
            random_comma(b, &first, &first_kept, 1);
            random_key(b, inner ? "b" : "num_ctx");
            random_token(b, ":");
            random_value(b, 2);

            if (!outer) {
                b->removed |= inner ? 0x04 : 0x02;
            }

            break;

        case 2:
            if (!inner) {
                random_comma(b, &first, &first_kept, 0);
                random_key(b, "a");
                random_token(b, ":");
                random_options(b, 1);
                break;
            }

            /* fall through */

        default:
            random_comma(b, &first, &first_kept, 0);
            random_token(b, unit_random(2) ? "\"seed\"" : "\"x\"");
            random_token(b, ":");
            random_value(b, 2);
            break;
        }

        b->gone = outer;
    }

    random_token(b, "}");
}


/* A string or null; what is found then. */

static void
random_string(random_body_t *b, char *found)
{
    char   text[32];
    char  *p;
    int    n;

    if (unit_random(4) == 0) {
        random_token(b, "null");
        return;
    }

    p = found;

    for (n = 1 + unit_random(8); n; n--) {
        *p++ = "abcXYZ019-_"[unit_random(11)];
    }

    *p = '\0';

    p = text;
    *p++ = '"';

    for ( /* void */ ; *found; found++) {
        if (unit_random(4) == 0) {
            p += sprintf(p, "\\u%04x", *found);
            break;
        }

        *p++ = *found;
    }

    /* an escape may be the last that has room */

    if (*found) {
        found[1] = '\0';
    }

    *p++ = '"';
    *p = '\0';

    random_token(b, text);
}


static void
random_message(random_body_t *b)
{
    random_token(b, "{");

    random_key(b, "role");
    random_token(b, ":");
    random_token(b, "\"user\"");
    random_token(b, ",");

    random_key(b, "content");
    random_token(b, ":");
    random_token(b, "\"{\\\"task_id\\\":1}\"");

    if (unit_random(2)) {
        random_token(b, ",");
        random_key(b, "images");
        random_token(b, ":");
        random_token(b, "[");
        random_token(b, "\"QUJD\"");
        random_token(b, ",");
        random_token(b, "\"\"");
        random_token(b, "]");
    }

    if (unit_random(2)) {
        random_token(b, ",");
        random_key(b, "task_id");
        random_token(b, ":");
        random_value(b, 3);
    }

    random_token(b, "}");
}


static void
random_make(random_body_t *b)
{
    ngx_uint_t  i, n, first, first_kept, kind;

    ngx_memzero(b, sizeof(random_body_t));

    random_token(b, "{");

    first = 1;
    first_kept = 1;

    n = unit_random(12);

    for (i = 0; i <= n; i++) {

        /* there must be a model in the end */
        kind = (i == n) ? 3 : unit_random(12);

        random_comma(b, &first, &first_kept,
                     kind < 3 || kind == 9 || kind == 10);

        switch (kind) {

        case 0:
            random_key(b, "task_id");
            random_token(b, ":");
            random_string(b, b->task_id);
            break;

        case 1:
            random_key(b, "session_id");
            random_token(b, ":");
            random_string(b, b->session_id);
            break;

        case 2:
            random_key(b, "server_url");
            random_token(b, ":");
            random_string(b, b->server_url);
            break;

        case 3:
            random_key(b, "model");
            random_token(b, ":");
            random_string(b, b->model);
            break;

        case 4:
            random_key(b, "stream");
            random_token(b, ":");

            switch (unit_random(3)) {

            case 0:
                b->stream = NGX_HTTP_OLLAMA_STREAM_ON;
                random_token(b, "true");
                break;

            case 1:
                b->stream = NGX_HTTP_OLLAMA_STREAM_OFF;
                random_token(b, "false");
                break;

            default:
                b->stream = NGX_HTTP_OLLAMA_STREAM_UNSET;
                random_token(b, "null");
                break;
            }

            break;

        case 5:
        case 6:
            random_key(b, "options");
            random_token(b, ":");
            random_options(b, 0);
            break;

        case 7:
            random_key(b, "messages");
            random_token(b, ":");
            random_token(b, "[");
            random_message(b);
            random_token(b, ",");
            random_message(b);
            random_token(b, "]");
            break;

        case 8:
            /* a path leads here, but not through an array */
            random_key(b, "tools");
            random_token(b, ":");
            random_token(b, "[");
            random_token(b, "{\"x\":1}");
            random_token(b, "]");
            break;

        case 9:
            b->removed |= 0x01;
            random_key(b, "keep_alive");
            random_token(b, ":");
            random_value(b, 0);
            break;

        case 10:
            b->removed |= 0x08;
            random_key(b, "format");
            random_token(b, ":");
            random_value(b, 0);
            break;

        default:
            random_other_key(b);
            random_token(b, ":");
            random_value(b, 0);
            break;
        }

        b->gone = 0;
    }

    random_token(b, "}");
}


/* Takes the whitespace out of a text that is known to be right. */

static size_t
random_compact(u_char *p, size_t len)
{
    u_char      *last, *dst;
    ngx_uint_t   string;

    dst = p;
    string = 0;

    for (last = p + len; p < last; p++) {

        if (string) {
            if (*p == '\\') {
                *dst++ = *p++;

            } else if (*p == '"') {
                string = 0;
            }

        } else if (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n') {
            continue;

        } else if (*p == '"') {
            string = 1;
        }

        *dst++ = *p;
    }

    return len - (last - dst);
}


static void
random_found(ngx_str_t *got, const char *want, const char *name,
    random_body_t *b)
{
    if (got->len != strlen(want)
        || (got->len && memcmp(got->data, want, got->len) != 0))
    {
        fail_msg("%s is \"%.*s\", not \"%s\", in\n%.*s", name, (int) got->len,
                 got->data, want, (int) b->body.len, b->body.text);
    }
}


static void
random_check(random_body_t *b, ngx_uint_t pieces)
{
    size_t      n, done, len;
    scan_run_t  run;

    static u_char  sent[RANDOM_MAX];

    scan_start(&run, SCAN_CHAT, RANDOM_FORBID);

    for (done = 0; done < b->body.len && run.rc == NGX_OK; done += n) {

        n = (pieces == 0) ? b->body.len
            : (pieces == 1) ? 1
            : 1 + unit_random(pieces);
        n = ngx_min(n, b->body.len - done);

        scan_feed(&run, b->body.text + done, n);
    }

    if (run.rc == NGX_OK) {
        run.rc = ngx_http_ollama_scan_end(&run.scan);
    }

    if (b->model[0] == '\0' && b->session_id[0] == '\0') {
        /* null only, and no session that may have one */

        assert_int_equal(run.rc, NGX_DECLINED);
        assert_int_equal(run.scan.error.len,
                         sizeof("\"model\" is required") - 1);
        scan_finish(&run);
        return;
    }

    if (run.rc != NGX_OK) {
        fail_msg("\"%.*s\" at %d in\n%.*s", (int) run.scan.error.len,
                 run.scan.error.data, (int) run.scan.error_at,
                 (int) b->body.len, b->body.text);
    }

    random_found(&run.scan.model, b->model, "model", b);
    random_found(&run.scan.server_url, b->server_url, "server_url", b);
    random_found(&run.scan.session_id, b->session_id, "session_id", b);
    random_found(&run.scan.task_id, b->task_id, "task_id", b);

    assert_int_equal(run.scan.stream, b->stream);

    len = scan_sent(&run, b->body.text, b->body.len, sent);
    len = random_compact(sent, len);

    if (len != b->kept.len || memcmp(sent, b->kept.text, len) != 0) {
        fail_msg("sent is\n%.*s\nnot\n%.*s\nof\n%.*s", (int) len, sent,
                 (int) b->kept.len, b->kept.text, (int) b->body.len,
                 b->body.text);
    }

    assert_int_equal(run.scan.removed, b->removed);

    scan_finish(&run);
}


static void
random_test(void **state)
{
    ngx_uint_t             i;
    static random_body_t   b;

    unit_seed(2);

    for (i = 0; i < RANDOM_BODIES; i++) {

        random_make(&b);

        random_check(&b, 0);
        random_check(&b, 1);
        random_check(&b, 12);
        random_check(&b, b.body.len);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "random bodies, with what is taken out of them",
             random_test, NULL);

    return unit_run(&suite, "scan_random");
}
