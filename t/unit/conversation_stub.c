
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The body of a conversation's request, read in one piece, byte by byte, and in
 * two pieces, divided at each place: all must find the same.  Each piece is
 * gone when the next one comes.
 */


#include "conversation_stub.h"

#include "util/ngx_http_ollama_lazyfree.h"


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

    memset(&run->body, 0xa5, sizeof(run->body));

    read = ngx_http_ollama_conversation_body_begin(&run->body, run->pool,
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
    ngx_http_ollama_conversation_body_t  *body;

    conversation_feed(&run, (u_char *) title, strlen(title), first, step);

    body = &run.body;

    if (error) {

        if (run.rc != NGX_DECLINED || body->error.len != strlen(error)
            || memcmp(body->error.data, error, body->error.len) != 0)
        {
            fail_msg("pieces of %d, %d: %d \"%.*s\", not \"%s\"", (int) first,
                     (int) step, (int) run.rc, (int) body->error.len,
                     body->error.data, error);
        }

        ngx_destroy_pool(run.pool);
        return;
    }

    if (run.rc != NGX_OK) {
        fail_msg("pieces of %d, %d: %d \"%.*s\"", (int) first, (int) step,
                 (int) run.rc, (int) body->error.len, body->error.data);
    }

    p = got;
    last = got + sizeof(got);
    *p = '\0';

    for (i = 0; i < body->n; i++) {
        participant = &body->participant[i];

        p = conversation_put(p, last, &participant->name, i ? " " : "", "=");
        p = conversation_put(p, last, &participant->model, "", "");
        p = conversation_put(p, last, &participant->system, "\"", "\"");
        p = conversation_put(p, last, &participant->server_url, "@", "");
        p = conversation_put(p, last, &participant->options, "", "");
    }

    assert_string_equal(got, people);

    p = conversation_put(got, last, &body->initial, "", "");
    p += snprintf(p, last - p, "|%d|", (int) body->max_turns);
    p = conversation_put(p, last, &body->session_id, "", "");
    p += snprintf(p, last - p, "|");
    p = conversation_put(p, last, &body->task_id, "", "");
    (void) snprintf(p, last - p, "|%d", (int) body->stream);

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


/* large memory is the pool's here, too */

u_char *
ngx_http_ollama_lazyfree_alloc(ngx_http_ollama_lazyfree_t *lazyfree,
    ngx_pool_t *pool, size_t size)
{
    return ngx_pnalloc(pool, size);
}
