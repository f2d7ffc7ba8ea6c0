
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The request scanner at its limits: bytes that are no UTF-8, nesting, values
 * as long as may be, and bodies that no memory could hold.
 */


#include "scan_stub.h"
#include "util/ngx_http_ollama_utf8.h"


/* how many bytes of a string the scanner looks at as a value */
#define SHOWN  (6 * NGX_HTTP_OLLAMA_SCAN_MAX_VALUE + 6)

/* what the scanner may take from a pool, whatever the body is */
#define MEMORY  (64 * 1024)

/* and for 10,000 levels, of each of which the parser notes a byte */
#define DEEP    (192 * 1024)

#define PIECE   (64 * 1024)


/* bytes in a string, which may be any; good: -1 if they are characters */

typedef struct {
    const char   *title;
    ngx_str_t     bytes;
    ngx_int_t     good;     /* -1: all are */
} scan_utf8_t;


typedef struct {
    const char   *title;
    const char   *open;     /* nested so many times, around nothing */
    const char   *close;
    ngx_uint_t    levels;   /* that "open" has */
} scan_depth_t;


/* a value of so many decoded bytes */

typedef struct {
    const char   *title;
    const char   *field;
    const char   *unit;     /* repeated */
    size_t        decoded;  /* bytes that it stands for */
    size_t        n;
    ngx_uint_t    fits;
} scan_length_t;


/* a body without end: "before", "unit" so many times, "after" */

typedef struct {
    const char   *title;
    const char   *forbid;
    const char   *before;
    const char   *unit;
    off_t         size;
    const char   *after;
    const char   *error;
    off_t         at;
} scan_huge_t;


static scan_utf8_t  scan_utf8[] = {
    { "UTF-8: U+0080, the first of two bytes", ngx_string("\xc2\x80"), -1 },
    { "UTF-8: U+07FF, the last", ngx_string("\xdf\xbf"), -1 },
    { "UTF-8: U+0800, the first of three bytes",
      ngx_string("\xe0\xa0\x80"), -1 },
    { "UTF-8: U+1000", ngx_string("\xe1\x80\x80"), -1 },
    { "UTF-8: U+D7FF, in front of the surrogates",
      ngx_string("\xed\x9f\xbf"), -1 },
    { "UTF-8: U+E000, behind them", ngx_string("\xee\x80\x80"), -1 },
    { "UTF-8: U+FEFF, a byte order mark", ngx_string("\xef\xbb\xbf"), -1 },
    { "UTF-8: U+FFFF, the last", ngx_string("\xef\xbf\xbf"), -1 },
    { "UTF-8: U+10000, the first of four bytes",
      ngx_string("\xf0\x90\x80\x80"), -1 },
    { "UTF-8: U+10FFFF, the last", ngx_string("\xf4\x8f\xbf\xbf"), -1 },
    { "UTF-8: one after the other",
      ngx_string("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"), -1 },

    { "UTF-8: a continuation alone", ngx_string("\x80"), 0 },
    { "UTF-8: the last continuation alone", ngx_string("\xbf"), 0 },
    { "UTF-8: overlong, two bytes for U+0000", ngx_string("\xc0\x80"), 0 },
    { "UTF-8: overlong, two bytes for a quote", ngx_string("\xc0\xa2"), 0 },
    { "UTF-8: overlong, two bytes for U+007F", ngx_string("\xc1\xbf"), 0 },
    { "UTF-8: overlong, three bytes", ngx_string("\xe0\x9f\xbf"), 1 },
    { "UTF-8: overlong, three bytes for a quote",
      ngx_string("\xe0\x80\xa2"), 1 },
    { "UTF-8: overlong, four bytes", ngx_string("\xf0\x8f\xbf\xbf"), 1 },
    { "UTF-8: overlong, five bytes", ngx_string("\xf8\x88\x80\x80\x80"), 0 },
    { "UTF-8: overlong, six bytes",
      ngx_string("\xfc\x84\x80\x80\x80\x80"), 0 },
    { "UTF-8: the first surrogate", ngx_string("\xed\xa0\x80"), 1 },
    { "UTF-8: the last surrogate", ngx_string("\xed\xbf\xbf"), 1 },
    { "UTF-8: U+110000", ngx_string("\xf4\x90\x80\x80"), 1 },
    { "UTF-8: U+140000", ngx_string("\xf5\x80\x80\x80"), 0 },
    { "UTF-8: 0xFE", ngx_string("\xfe"), 0 },
    { "UTF-8: 0xFF", ngx_string("\xff"), 0 },
    { "UTF-8: two bytes without the second", ngx_string("\xc3(" ), 1 },
    { "UTF-8: two bytes, cut by the quote", ngx_string("\xc3"), 1 },
    { "UTF-8: three bytes without the second", ngx_string("\xe2(\xac"), 1 },
    { "UTF-8: three bytes without the third", ngx_string("\xe2\x82("), 2 },
    { "UTF-8: three bytes, cut by the quote", ngx_string("\xe2\x82"), 2 },
    { "UTF-8: four bytes without the fourth",
      ngx_string("\xf0\x9f\x98\\n"), 3 },
    { "UTF-8: four bytes, cut by the quote", ngx_string("\xf0\x9f\x98"), 3 },
    { "UTF-8: a character begun in a character",
      ngx_string("\xe2\x82\xe2\x82\xac"), 2 },
    { "UTF-8: a continuation too many", ngx_string("\xc3\xa9\x80"), 2 },
    { "UTF-8: Latin-1", ngx_string("caf\xe9 "), 4 }
};


static scan_depth_t  scan_depths[] = {
    { "depth: arrays", "[", "]", 1 },
    { "depth: objects", "{\"a\":", "}", 1 },
    { "depth: both", "[{\"a\":", "}]", 2 },
    { "depth: with members beside", "[1,{\"b\":[],\"a\":", ",\"c\":{}},2]", 2 }
};


static scan_length_t  scan_lengths[] = {
    { "length: a model of 1024 bytes", "model", "x", 1, 1024, 1 },
    { "length: a model of 1025 bytes", "model", "x", 1, 1025, 0 },
    { "length: a model of 1024 bytes in escapes", "model", "\\u0078", 1, 1024,
      1 },
    { "length: a model of 1025 bytes in escapes", "model", "\\u0078", 1, 1025,
      0 },
    { "length: a model of 2000 bytes in escapes", "model", "\\u0078", 1, 2000,
      0 },
    { "length: a model of 512 characters of two bytes", "model", "\xc3\xa9",
      2, 512, 1 },
    { "length: a model of 512 of them in escapes", "model", "\\u00e9", 2, 512,
      1 },
    { "length: a model of 513 of them in escapes", "model", "\\u00e9", 2, 513,
      0 },
    { "length: a model of 256 surrogate pairs", "model", "\\ud83d\\ude00", 4,
      256, 1 },
    { "length: a model of 257 surrogate pairs", "model", "\\ud83d\\ude00", 4,
      257, 0 },
    { "length: a model of 341 characters of three bytes", "model",
      "\xe2\x82\xac", 3, 341, 1 },
    { "length: a model of 342 characters of three bytes", "model",
      "\xe2\x82\xac", 3, 342, 0 },
    { "length: a model of 10,000 bytes", "model", "x", 1, 10000, 0 },
    { "length: a server of 1024 bytes", "server_url", "x", 1, 1024, 1 },
    { "length: a server of 1025 bytes", "server_url", "x", 1, 1025, 0 },
    { "length: a session of 1025 bytes", "session_id", "x", 1, 1025, 0 },
    { "length: a task of 1025 bytes", "task_id", "x", 1, 1025, 0 },
    { "length: other values may be longer", "role", "x", 1, 20000, 1 }
};


static scan_huge_t  scan_huges[] = {

    { "huge: 50 MB of a picture", NULL,
      "{\"model\":\"m\",\"messages\":[{\"images\":[\"",
      "0123456789abcdefABCDEF+/0123456789abcdefABCDEF+/",
      50 * 1024 * 1024, "\"]}]}", NULL, 0 },

    { "huge: 20 MB of text outside of ASCII", NULL,
      "{\"model\":\"m\",\"messages\":[{\"content\":\"",
      "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\\n\\u00e9\\ud83d\\ude00\\\"\\\\ ",
      20 * 1024 * 1024, "\"}]}", NULL, 0 },

    { "huge: 20 MB in a key", NULL,
      "{\"model\":\"m\",\"", "0123456789",
      20 * 1024 * 1024, "\":1}", NULL, 0 },

    { "huge: 20 MB in a forbidden field", "keep_alive",
      "{\"model\":\"m\",\"keep_alive\":[", "\"0123456789\",{\"a\":[]},",
      20 * 1024 * 1024, "1]}", NULL, 0 },

    { "huge: 10 MB of whitespace in front", NULL,
      "", " \n\t\r", 10 * 1024 * 1024, "{\"model\":\"m\"}", NULL, 0 },

    { "huge: 10 MB of whitespace inside", NULL,
      "{", " \n\t\r", 10 * 1024 * 1024, "\"model\":\"m\"}", NULL, 0 },

    { "huge: 10 MB of whitespace behind", NULL,
      "{\"model\":\"m\"}", " \n\t\r", 10 * 1024 * 1024, "", NULL, 0 },

    { "huge: 10 MB of small members", NULL,
      "{\"model\":\"m\"", ",\"a\":1,\"b\":[true,null],\"c\":{\"d\":\"e\\n\"}",
      10 * 1024 * 1024, "}", NULL, 0 },

    { "huge: 10 MB of messages", NULL,
      "{\"model\":\"m\",\"messages\":[{}",
      ",{\"role\":\"user\",\"content\":\"why?\",\"images\":[\"\"]}",
      10 * 1024 * 1024, "]}", NULL, 0 },

    { "huge: 10 MB of numbers", NULL,
      "{\"model\":\"m\",\"a\":[0", ",-123.456e7,0", 10 * 1024 * 1024, "]}",
      NULL, 0 },

    { "huge: 10 MB of models", NULL,
      "{\"model\":\"m\"", ",\"model\":\"abcdefghijklmn\",\"model\":\"m\"",
      10 * 1024 * 1024, "}", NULL, 0 },

    { "huge: 10 MB of our own fields in a row", NULL,
      "{\"model\":\"m\"", ",\"task_id\":\"abcdefghijklmn\",\"task_id\":\"m\"",
      10 * 1024 * 1024, "}", NULL, 0 },

    { "huge: 10 MB of our own fields, not in a row", NULL,
      "{\"model\":\"m\"", ",\"a\":1,\"task_id\":\"x\"",
      10 * 1024 * 1024, "}",
      "too many members that are not for the server", 12 + 1024 * 20 + 6 },

    { "huge: 10 MB of forbidden fields, not in a row", "a.b",
      "{\"model\":\"m\"", ",\"a\":{\"b\":1}",
      10 * 1024 * 1024, "}",
      "too many members that are not for the server", 12 + 1024 * 12 + 6 },

    { "huge: a number", NULL,
      "{\"model\":\"m\",\"a\":-1", "0123456789", 10 * 1024 * 1024, "}",
      "a number or literal is too long", 17 + 512 },

    { "huge: letters", NULL,
      "{\"model\":\"m\",\"a\":1", "e", 10 * 1024 * 1024, "}",
      "malformed number, a digit is required after the exponent", 19 },

    { "huge: a nesting", NULL,
      "{\"model\":\"m\",\"a\":", "[", 10 * 1024 * 1024, "]",
      "nested deeper than 10000 levels", 17 + 9999 },

    { "huge: a string that never ends", NULL,
      "{\"model\":\"m\",\"a\":\"", "0123456789", 10 * 1024 * 1024, "",
      "unexpected end", 18 + 10 * 1024 * 1024 }
};


/* Runs a body of malloc()ed parts, and gives it back. */

static void
scan_long_check(scan_case_t *c)
{
    size_t  i;

    scan_check(c, c->body.len, 1);
    scan_check(c, 1, 1);
    scan_check(c, 7, 1000);

    /* around both ends of the string and what is shown of it */

    for (i = 0; i < c->body.len; i++) {

        if (i > 64 && i + 64 < c->body.len
            && (i < SHOWN - 16 || i > SHOWN + 64))
        {
            continue;
        }

        scan_check(c, i, c->body.len);
    }
}


static void
scan_utf8_test(void **state)
{
    scan_utf8_t *utf8 = *state;

    size_t        i, fill;
    u_char       *p;
    scan_case_t   c;

    static const char   *before[] = {
        "{\"model\":\"m\",\"a\":\"",
        "{\"model\":\"m\",\"",
        "{\"model\":\"m\",\"messages\":[{\"content\":\"",
    };

    static const char   *after[] = { "\"}", "\":1}", "\"}]}" };

    /* in front of it in the string */

    static const size_t  fills[] = {
        0, 1, SHOWN - 4, SHOWN - 3, SHOWN - 2, SHOWN - 1, SHOWN, SHOWN + 1000
    };

    /* each byte that is not of a character becomes three */

    i = ngx_http_ollama_utf8_mend(NULL, utf8->bytes.data, utf8->bytes.len);
    assert_int_equal(i == utf8->bytes.len, utf8->good == -1);

    for (i = 0; i < unit_nelts(before) * unit_nelts(fills); i++) {

        ngx_memzero(&c, sizeof(scan_case_t));

        c.flags = SCAN_CHAT;

        fill = fills[i / unit_nelts(before)];

        c.body.data = malloc(fill + 128);
        assert_non_null(c.body.data);

        p = c.body.data;
        p = ngx_cpymem(p, before[i % unit_nelts(before)],
                       strlen(before[i % unit_nelts(before)]));
        ngx_memset(p, 'x', fill);
        p += fill;

        ngx_str_set(&c.model, "m");

        p = ngx_cpymem(p, utf8->bytes.data, utf8->bytes.len);
        p = ngx_cpymem(p, after[i % unit_nelts(before)],
                       strlen(after[i % unit_nelts(before)]));

        c.body.len = p - c.body.data;

        if (fill <= 1) {
            scan_case_test((void *[]) { &c });

        } else {
            scan_check(&c, c.body.len, 1);
            scan_check(&c, SHOWN - 40, 1);
            scan_check(&c, SHOWN, 2);
            scan_check(&c, SHOWN + 21, 3);
        }

        free(c.body.data);
    }
}


static void
scan_depth_test(void **state)
{
    scan_depth_t *depth = *state;

    u_char       *p;
    size_t        i, n;
    ngx_uint_t    levels;
    scan_case_t   c;
    static char   before[] = "{\"model\":\"m\",\"a\":";

    for (levels = NGX_HTTP_OLLAMA_JSON_DEPTH - 2;
         levels <= NGX_HTTP_OLLAMA_JSON_DEPTH + 3;
         levels++)
    {
        /* the body is a level, too */
        n = (levels - 1) / depth->levels;

        ngx_memzero(&c, sizeof(scan_case_t));

        c.flags = SCAN_CHAT;
        c.body.data = malloc(sizeof(before) + 32 * (n + 1));
        assert_non_null(c.body.data);

        p = ngx_cpymem(c.body.data, before, sizeof(before) - 1);

        for (i = 0; i < n; i++) {
            p = ngx_cpymem(p, depth->open, strlen(depth->open));
        }

        *p++ = '0';

        for (i = 0; i < n; i++) {
            p = ngx_cpymem(p, depth->close, strlen(depth->close));
        }

        *p++ = '}';

        c.body.len = p - c.body.data;

        ngx_str_set(&c.model, "m");

        if (1 + n * depth->levels > NGX_HTTP_OLLAMA_JSON_DEPTH) {

            c.error = "nested deeper than 10000 levels";

            /* the bracket that opens one too many */

            for (i = 0, p = c.body.data; /* void */ ; p++) {
                if (*p == '{' || *p == '[') {

                    if (p[1] == ']') {
                        /* closed at once */
                        p++;
                        continue;
                    }

                    if (++i > NGX_HTTP_OLLAMA_JSON_DEPTH) {
                        break;
                    }
                }
            }

            c.at = p - c.body.data;
        }

        scan_check(&c, c.body.len, 1);
        scan_check(&c, 9999, 7);
        scan_check(&c, 10001, 1);

        free(c.body.data);
    }
}


/* all levels, left and entered again and again */

static void
scan_depth_again_test(void **state)
{
    size_t        i, j;
    u_char       *p;
    scan_case_t   c;

    static char   before[] = "{\"model\":\"m\"";

    ngx_memzero(&c, sizeof(scan_case_t));

    c.body.data = malloc(8 * (2 * NGX_HTTP_OLLAMA_JSON_DEPTH + 8) + 64);
    assert_non_null(c.body.data);

    p = ngx_cpymem(c.body.data, before, sizeof(before) - 1);

    for (i = 0; i < 8; i++) {
        p = ngx_cpymem(p, ",\"a\":", 5);

        for (j = 1; j < NGX_HTTP_OLLAMA_JSON_DEPTH; j++) {
            *p++ = '[';
        }

        for (j = 1; j < NGX_HTTP_OLLAMA_JSON_DEPTH; j++) {
            *p++ = ']';
        }
    }

    *p++ = '}';

    c.body.len = p - c.body.data;
    ngx_str_set(&c.model, "m");

    scan_check(&c, c.body.len, 1);
    scan_check(&c, 30000, 7);

    free(c.body.data);
}


static void
scan_length_test(void **state)
{
    scan_length_t *length = *state;

    char           error[64];
    size_t         i, unit;
    u_char        *p, *value;
    scan_run_t     run;
    scan_case_t    c;

    ngx_memzero(&c, sizeof(scan_case_t));

    unit = strlen(length->unit);

    c.flags = SCAN_CHAT;
    c.body.data = malloc(length->n * unit + 64);
    c.sent.data = malloc(length->n * unit + 64);
    value = malloc(length->n * length->decoded + 64);

    assert_non_null(c.body.data);
    assert_non_null(c.sent.data);
    assert_non_null(value);

    p = c.body.data;
    p += sprintf((char *) p, "{\"model\":\"m\",\"%s\":", length->field);

    if (!length->fits) {
        (void) snprintf(error, sizeof(error),
                        "\"%s\" is longer than 1024 bytes", length->field);
        c.error = error;
        c.at = p - c.body.data;
    }

    *p++ = '"';

    for (i = 0; i < length->n; i++) {
        p = ngx_cpymem(p, length->unit, unit);
    }

    p = ngx_cpymem(p, "\"}", 2);
    c.body.len = p - c.body.data;

    ngx_str_set(&c.model, "m");

    if (length->fits) {

        /* what the value is: as it would be with just one unit of it */

        scan_start(&run, c.flags, NULL);
        scan_feed(&run, (u_char *) "{\"model\":\"", 10);
        scan_feed(&run, (u_char *) length->unit, unit);
        scan_feed(&run, (u_char *) "\"}", 2);

        assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);
        assert_int_equal(run.scan.model.len, length->decoded);

        for (i = 0; i < length->n; i++) {
            memcpy(value + i * length->decoded, run.scan.model.data,
                   length->decoded);
        }

        scan_finish(&run);

        i = length->n * length->decoded;

        if (strcmp(length->field, "model") == 0) {
            c.model.data = value;
            c.model.len = i;

        } else if (strcmp(length->field, "server_url") == 0) {
            c.server_url.data = value;
            c.server_url.len = i;
        }
    }

    free(c.sent.data);
    ngx_str_null(&c.sent);

    if (c.server_url.data) {
        ngx_str_set(&c.sent, "{\"model\":\"m\"}");
    }

    scan_long_check(&c);

    free(c.body.data);
    free(value);
}


static void
scan_huge_test(void **state)
{
    scan_huge_t *huge = *state;

    off_t       done;
    size_t      unit, size;
    u_char     *piece;
    scan_run_t  run;

    unit = strlen(huge->unit);
    size = PIECE - PIECE % unit;

    piece = malloc(size);
    assert_non_null(piece);

    for (done = 0; done < (off_t) size; done += unit) {
        memcpy(piece + done, huge->unit, unit);
    }

    scan_start(&run, SCAN_CHAT, huge->forbid);

    scan_feed(&run, (u_char *) huge->before, strlen(huge->before));

    for (done = 0; done < huge->size && run.rc == NGX_OK; done += size) {
        size = ngx_min((off_t) size, huge->size - done);

        run.rc = ngx_http_ollama_scan_feed(&run.scan, piece, size);
    }

    /* a unit may have been cut */

    if (run.rc == NGX_OK && huge->size % unit) {
        size = unit - huge->size % unit;
        scan_feed(&run, piece + huge->size % unit, size);
        done += size;
    }

    if (run.rc == NGX_OK) {
        scan_feed(&run, (u_char *) huge->after, strlen(huge->after));
    }

    if (run.rc == NGX_OK) {
        run.rc = ngx_http_ollama_scan_end(&run.scan);
    }

    assert_in_range(scan_peak(&run), 1,
                    huge->unit[0] == '[' ? DEEP : MEMORY);

    if (huge->error) {
        assert_int_equal(run.rc, NGX_DECLINED);
        assert_int_equal(run.scan.error.len, strlen(huge->error));
        assert_memory_equal(run.scan.error.data, huge->error,
                            run.scan.error.len);

        if (strcmp(huge->error, "unexpected end") == 0) {
            assert_int_equal(run.scan.error_at, strlen(huge->before) + done);

        } else {
            assert_int_equal(run.scan.error_at, huge->at);
        }

    } else {
        assert_int_equal(run.rc, NGX_OK);
        assert_int_equal(run.scan.model.len, 1);
        assert_int_equal(run.scan.model.data[0], 'm');
    }

    scan_finish(&run);
    free(piece);
}


/* a plain request needs little */

static void
scan_memory_test(void **state)
{
    scan_run_t  run;

    static ngx_str_t  body =
        ngx_string("{\"model\":\"llama3.2:latest\",\"messages\":[{\"role\":"
                   "\"user\",\"content\":\"Why is the sky blue?\"}],"
                   "\"stream\":true,\"task_id\":\"abc\"}");

    scan_start(&run, SCAN_CHAT, NULL);
    scan_feed(&run, body.data, body.len);
    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);

    assert_true(scan_peak(&run) >= 1
                && scan_peak(&run) <= 8 * 1024);

    scan_finish(&run);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, scan_utf8_test, scan_utf8, sizeof(scan_utf8_t),
                  unit_nelts(scan_utf8));
    unit_add_rows(&suite, scan_depth_test, scan_depths, sizeof(scan_depth_t),
                  unit_nelts(scan_depths));
    unit_add(&suite, "depth: again and again", scan_depth_again_test, NULL);
    unit_add_rows(&suite, scan_length_test, scan_lengths,
                  sizeof(scan_length_t), unit_nelts(scan_lengths));
    unit_add_rows(&suite, scan_huge_test, scan_huges, sizeof(scan_huge_t),
                  unit_nelts(scan_huges));
    unit_add(&suite, "memory of a plain request", scan_memory_test, NULL);

    return unit_run(&suite, "scan_limit");
}
