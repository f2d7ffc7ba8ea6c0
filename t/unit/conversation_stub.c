
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The body of a conversation's request, read in one piece, byte by byte, and in
 * two pieces, divided at each place: all must find the same.  Each piece is
 * gone when the next one comes.
 */


#include "conversation_stub.h"


static char *conversation_put(char *p, char *last, ngx_str_t *text,
    const char *before, const char *after);
static void conversation_check_one(const char *title, size_t first,
    size_t step, const char *people, const char *rest, const char *error);


void
conversation_feed(conversation_run_t *run, u_char *body, size_t len,
    size_t first, size_t step)
{
    size_t                                  n, done;
    u_char                                 *piece;
    ngx_pool_t                             *temp;
    ngx_http_ollama_conversation_fields_t  *read;

    run->pool = ngx_create_pool(4096, NULL);
    assert_non_null(run->pool);

    temp = ngx_create_pool(4096, NULL);
    assert_non_null(temp);

    memset(&run->talk, 0xa5, sizeof(run->talk));

    read = ngx_http_ollama_conversation_body_begin(&run->talk, run->pool,
                                                   temp);
    assert_non_null(read);

    run->rc = NGX_OK;
    n = first;

    for (done = 0; done < len && run->rc == NGX_OK; done += n, n = step) {

        n = ngx_min(n, len - done);

        piece = malloc(n ? n : 1);
        assert_non_null(piece);

        memcpy(piece, body + done, n);

        run->rc = ngx_http_ollama_conversation_body_feed(read, piece, n);

        free(piece);
    }

    if (run->rc == NGX_OK) {
        run->rc = ngx_http_ollama_conversation_body_end(read);
    }

    ngx_destroy_pool(temp);
}


static char *
conversation_put(char *p, char *last, ngx_str_t *text, const char *before,
    const char *after)
{
    if (text->len == 0) {
        return p;
    }

    return p + snprintf(p, last - p, "%s%.*s%s", before, (int) text->len,
                        text->data, after);
}


static void
conversation_check_one(const char *title, size_t first, size_t step,
    const char *people, const char *rest, const char *error)
{
    char                                  got[2048], *p, *last;
    ngx_uint_t                            i;
    conversation_run_t                    run;
    ngx_http_ollama_participant_t        *participant;
    ngx_http_ollama_conversation_body_t  *talk;

    conversation_feed(&run, (u_char *) title, strlen(title), first, step);

    talk = &run.talk;

    if (error) {

        if (run.rc != NGX_DECLINED || talk->error.len != strlen(error)
            || memcmp(talk->error.data, error, talk->error.len) != 0)
        {
            fail_msg("pieces of %d, %d: %d \"%.*s\", not \"%s\"", (int) first,
                     (int) step, (int) run.rc, (int) talk->error.len,
                     talk->error.data, error);
        }

        ngx_destroy_pool(run.pool);
        return;
    }

    if (run.rc != NGX_OK) {
        fail_msg("pieces of %d, %d: %d \"%.*s\"", (int) first, (int) step,
                 (int) run.rc, (int) talk->error.len, talk->error.data);
    }

    p = got;
    last = got + sizeof(got);
    *p = '\0';

    for (i = 0; i < talk->n; i++) {
        participant = &talk->participant[i];

        p = conversation_put(p, last, &participant->name, i ? " " : "", "=");
        p = conversation_put(p, last, &participant->model, "", "");
        p = conversation_put(p, last, &participant->system, "\"", "\"");
        p = conversation_put(p, last, &participant->server_url, "@", "");
        p = conversation_put(p, last, &participant->options, "", "");
    }

    assert_string_equal(got, people);

    p = conversation_put(got, last, &talk->initial, "", "");
    p += snprintf(p, last - p, "|%d|", (int) talk->max_turns);
    p = conversation_put(p, last, &talk->session_id, "", "");
    p += snprintf(p, last - p, "|");
    p = conversation_put(p, last, &talk->task_id, "", "");
    (void) snprintf(p, last - p, "|%d", (int) talk->stream);

    assert_string_equal(got, rest);

    ngx_destroy_pool(run.pool);
}


void
conversation_check(const char *title, const char *people, const char *rest,
    const char *error)
{
    size_t  i, len;

    len = strlen(title);

    conversation_check_one(title, len, len, people, rest, error);
    conversation_check_one(title, 1, 1, people, rest, error);
    conversation_check_one(title, 3, 7, people, rest, error);

    for (i = 0; i < len; i++) {
        conversation_check_one(title, i, len, people, rest, error);
    }
}
