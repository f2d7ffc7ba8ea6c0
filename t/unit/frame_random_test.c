
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Random replies, most of them damaged: whatever the pieces are in which they
 * come, the same must be found, and the same byte be refused.
 */


#include "unit.h"

#include "reply/ngx_http_ollama_frame.h"


#define RANDOM_REPLIES  40000
#define RANDOM_MAX      512


typedef struct {
    ngx_int_t    rc;
    size_t       bad;        /* the last byte of the piece refused */
    size_t       good;       /* bytes let through, of all */
    ngx_uint_t   frames;
    ngx_int_t    prompt_tokens;
    ngx_int_t    generated_tokens;
    ngx_uint_t   done;
    ngx_uint_t   error;
    ngx_uint_t   line;
    ngx_uint_t   event;
    ngx_int_t    end;
    ngx_uint_t   end_error;
} random_found_t;


static const char  *random_lines[] = {
    "{\"message\":{\"content\":\"The\"},\"done\":false}\n",
    "{\"done\":true,\"eval_count\":12,\"prompt_eval_count\":3}\n",
    "{\"error\":\"x\"}\r\n", "{\"error\":null}\n", " {} \n", "\n", "\r\n",
    "{\"message\":{\"usage\":{\"output_tokens\":4}}}\n", "{\"done\":tru\n",
    "{\"a\":[1,2,{\"done\":true}],\"eval_count\":7}\n", "{}{}\n", "oops\n",
    ("{\"a\":\"\xc3\xa9\\u00e9\\\"0123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789\"}\n"),
    "{\"done0123456789012345678901234567890123456789012345678901\":true}\n"
};


static const char  *random_events[] = {
    "data: {\"choices\":[{\"delta\":{\"content\":\"The\"}}]}\n\n",
    "data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
    "data: {\"response\":{\"usage\":{\"input_tokens\":3}}}\n\n",
    "event: response.completed\n", "event: message_stop\r\n", "event: ping\n",
    "event: response.failed\n", "event: error\n", "data: {}\n", "data: {}\n\n",
    "data: {\"error\":{}}\n\n", "data: [DONE]\n\n", "data: [DONE]\r\n",
    ": comment\n", "id: 1\n", "retry:2\n", "\n", "\r\n", "x\n", "data\n",
    "data: \n", "data: [1]\n", "data:{\"a\":1} \n\n", "data: {\n",
    "data: }\r", "\r", "data: {}\r\r", "event: error\r", "\xef\xbb\xbf",
    "data: {\"type\":\"response.completed\"\n", "data: ,\"error\":1}\n"
};


static const char  *random_damage[] = {
    "\n", "\r", "{", "}", "[", "]", "\"", "\\", ",", ":", " ", "x", "1", "-",
    "\0", "\xff", "\xc3", "data: ", "\x01", "true"
};


static size_t
random_reply(u_char *p, ngx_http_ollama_frame_form_e form)
{
    size_t       len, n, at;
    ngx_uint_t   i;
    const char  *text;

    len = 0;

    for (i = 1 + unit_random(form == NGX_HTTP_OLLAMA_FRAME_WHOLE ? 2 : 5);
         i;
         i--)
    {
        text = (form == NGX_HTTP_OLLAMA_FRAME_SSE)
               ? random_events[unit_random(unit_nelts(random_events))]
               : random_lines[unit_random(unit_nelts(random_lines))];

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
random_read(u_char *text, size_t len, ngx_http_ollama_frame_form_e form,
    ngx_http_ollama_frame_end_e last, size_t step, random_found_t *found)
{
    size_t                    n, done, good;
    u_char                   *piece;
    ngx_pool_t               *pool;
    ngx_http_ollama_frame_t   frame;

    ngx_memzero(found, sizeof(random_found_t));

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_memzero(&frame, sizeof(ngx_http_ollama_frame_t));

    assert_int_equal(ngx_http_ollama_frame_init(&frame, pool, form, last),
                     NGX_OK);

    found->rc = NGX_OK;

    for (done = 0; done < len && found->rc == NGX_OK; done += n) {

        n = step ? step : 1 + unit_random(40);
        n = ngx_min(n, len - done);

        piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, text + done, n);

        found->rc = ngx_http_ollama_frame_feed(&frame, piece, n, &good);
        found->good = done + good;
        found->bad = done + n - 1;

        free(piece);
    }

    found->frames = frame.frames;
    found->prompt_tokens = frame.prompt_tokens;
    found->generated_tokens = frame.generated_tokens;
    found->done = frame.done;
    found->error = frame.error;
    found->line = frame.line;
    found->event = frame.event;

    if (found->rc == NGX_OK) {
        found->end = ngx_http_ollama_frame_end(&frame);
        found->end_error = frame.error;
    }

    ngx_destroy_pool(pool);
}


/* What was let through of a bad reply ends with a line, or as "line" says. */

static void
random_refused(u_char *text, random_found_t *whole, random_found_t *found,
    ngx_http_ollama_frame_form_e form)
{
    /* a complete one is refused for what comes after its end */
    assert_int_equal(found->done, whole->done);
    assert_true(found->good >= whole->good);

    if (form == NGX_HTTP_OLLAMA_FRAME_WHOLE || found->done) {
        return;
    }

    if (form == NGX_HTTP_OLLAMA_FRAME_SSE
        && found->good && text[found->good - 1] == '\r')
    {
        /* an LF would be of the same end, and end no event */
        assert_int_equal(found->line, found->event);
        return;
    }

    if (form == NGX_HTTP_OLLAMA_FRAME_SSE
        && found->good == 3 && text[2] == 0xbf)
    {
        /* a byte order mark */
        assert_int_equal(found->line, 0);
        return;
    }

    assert_int_equal(found->line,
                     found->good != 0 && text[found->good - 1] != '\n');
}


static void
random_test(void **state)
{
    size_t                         i, j, len;
    u_char                         text[RANDOM_MAX];
    ngx_uint_t                     refused;
    random_found_t                 whole, bytes, found;
    ngx_http_ollama_frame_end_e    last;
    ngx_http_ollama_frame_form_e   form;

    unit_seed(3);

    refused = 0;

    for (i = 0; i < RANDOM_REPLIES; i++) {

        form = unit_random(3);
        last = unit_random(5);

        len = random_reply(text, form);

        random_read(text, len, form, last, RANDOM_MAX, &whole);
        random_read(text, len, form, last, 1, &bytes);

        for (j = 0; j < 3; j++) {

            random_read(text, len, form, last, j ? 0 : 1, &found);

            if (found.rc != whole.rc) {
                fail_msg("reply %d: %d, then %d:\n%.*s", (int) i,
                         (int) whole.rc, (int) found.rc, (int) len, text);
            }

            if (whole.rc != NGX_OK) {

                /* not before the byte that is bad, nor a piece later */

                if (found.bad < bytes.bad
                    || found.bad >= bytes.bad + 40)
                {
                    fail_msg("reply %d: refused at %d, not %d:\n%.*s",
                             (int) i, (int) found.bad, (int) bytes.bad,
                             (int) len, text);
                }

                random_refused(text, &whole, &found, form);
                continue;
            }

            /* where the last piece ended is no matter */
            found.bad = whole.bad;

            if (memcmp(&found, &whole, sizeof(random_found_t)) != 0) {
                fail_msg("reply %d, form %d, end %d: not always the same:\n"
                         "%.*s", (int) i, (int) form, (int) last, (int) len,
                         text);
            }
        }

        if (whole.rc != NGX_OK) {
            random_refused(text, &whole, &whole, form);
            refused++;
        }
    }

    /* the replies are worth it */

    assert_true(refused >= RANDOM_REPLIES / 10
                && refused <= RANDOM_REPLIES * 9 / 10);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "random replies, in any pieces", random_test, NULL);

    return unit_run(&suite, "frame_random");
}
