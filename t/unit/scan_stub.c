
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A row of a scanner's table as a test, for the scan_*_test.c files.
 *
 * The body is scanned in one piece, byte by byte, and in two pieces, divided
 * at each place: all must find the same.  Each piece is a copy of its own and
 * gone when the next one comes.  A body that is right is also cut off at each
 * place: then it must be refused with the place of the cut.
 */


#include "scan_stub.h"


static void scan_check_text(scan_case_t *c, const char *pieces,
    const char *name, ngx_str_t *got, ngx_str_t *want);
static void scan_check_found(scan_case_t *c, scan_run_t *run,
    const char *pieces);
static void scan_check_messages(scan_case_t *c, scan_run_t *run,
    const char *pieces);
static void scan_check_removed(scan_case_t *c, scan_run_t *run,
    const char *pieces);
static void scan_check_cut_off(scan_case_t *c);


void
scan_start(scan_run_t *run, ngx_uint_t flags, const char *forbid)
{
    size_t                     len;
    ngx_str_t                  path;
    ngx_array_t               *paths;
    ngx_http_ollama_forbid_t  *f;

    ngx_memzero(run, sizeof(scan_run_t));

    run->pool = ngx_create_pool(4096, NULL);
    assert_non_null(run->pool);

    run->temp = ngx_create_pool(4096, NULL);
    assert_non_null(run->temp);

    paths = NULL;

    if (forbid) {
        paths = ngx_array_create(run->pool, 4,
                                 sizeof(ngx_http_ollama_forbid_t));
        assert_non_null(paths);
    }

    while (forbid && *forbid) {

        len = strcspn(forbid, " ");

        path.len = len;
        path.data = (u_char *) forbid;

        f = ngx_array_push(paths);
        assert_non_null(f);
        assert_int_equal(ngx_http_ollama_forbid_path(f, run->pool, &path),
                         NGX_OK);

        forbid += len + (forbid[len] == ' ');
    }

    assert_int_equal(ngx_http_ollama_scan_init(&run->scan, run->pool,
                                               run->temp, flags, paths),
                     NGX_OK);
    run->rc = NGX_OK;
}


/* Feeds a copy that lasts no longer than the call. */

void
scan_feed(scan_run_t *run, u_char *p, size_t size)
{
    u_char  *piece;

    piece = malloc(size ? size : 1);
    assert_non_null(piece);

    if (size) {
        memcpy(piece, p, size);
    }

    run->rc = ngx_http_ollama_scan_feed(&run->scan, piece, size);

    assert_memory_equal(piece, p, size);

    free(piece);
}


/* Gives back what nobody needs who only asks what was found. */

void
scan_release(scan_run_t *run)
{
    if (run->temp) {
        ngx_destroy_pool(run->temp);
        run->temp = NULL;
    }
}


void
scan_finish(scan_run_t *run)
{
    scan_release(run);

    ngx_destroy_pool(run->pool);
}


/* The most that the scan has taken; before scan_release(). */

size_t
scan_peak(scan_run_t *run)
{
    return ngx_stub_pool_peak(run->pool) + ngx_stub_pool_peak(run->temp);
}


/* The body without what is cut out of it. */

size_t
scan_sent(scan_run_t *run, u_char *body, size_t len, u_char *sent)
{
    off_t                   at;
    u_char                 *p;
    ngx_uint_t              i;
    ngx_http_ollama_cut_t  *cut;

    p = sent;
    at = 0;

    cut = run->scan.cuts.elts;

    for (i = 0; i < run->scan.cuts.nelts; i++) {

        /* in order, apart from each other and not empty */

        assert_true(cut[i].start > at || (i == 0 && cut[i].start == at));
        assert_true(cut[i].end > cut[i].start);
        assert_true(cut[i].end <= (off_t) len);

        p = ngx_cpymem(p, body + at, cut[i].start - at);
        at = cut[i].end;
    }

    p = ngx_cpymem(p, body + at, len - at);

    return p - sent;
}


/* Scans a piece of "first" bytes, then pieces of "step" bytes, and checks. */

void
scan_check(scan_case_t *c, size_t first, size_t step)
{
    char        pieces[64];
    size_t      n, done;
    scan_run_t  run;

    (void) snprintf(pieces, sizeof(pieces), "%d, then %d bytes each",
                    (int) first, (int) step);

    scan_start(&run, c->flags, c->forbid);

    done = 0;
    n = first;

    for ( ;; ) {
        n = ngx_min(n, c->body.len - done);

        scan_feed(&run, c->body.data + done, n);

        done += n;
        n = step;

        if (run.rc != NGX_OK || done == c->body.len) {
            break;
        }
    }

    if (run.rc == NGX_OK) {
        run.rc = ngx_http_ollama_scan_end(&run.scan);
    }

    if (c->error == NULL) {
        scan_check_found(c, &run, pieces);
        scan_check_removed(c, &run, pieces);
        scan_finish(&run);
        return;
    }

    if (run.rc != NGX_DECLINED) {
        fail_msg("%s: not refused, but %d", pieces, (int) run.rc);
    }

    scan_release(&run);

    if (run.scan.error.len != strlen(c->error)
        || memcmp(run.scan.error.data, c->error, run.scan.error.len) != 0
        || run.scan.error_at != c->at)
    {
        fail_msg("%s: \"%.*s\" at %d, not \"%s\" at %d", pieces,
                 (int) run.scan.error.len, run.scan.error.data,
                 (int) run.scan.error_at, c->error, (int) c->at);
    }

    scan_finish(&run);
}


static void
scan_check_found(scan_case_t *c, scan_run_t *run, const char *pieces)
{
    size_t      len;
    u_char     *sent;
    ngx_str_t  *want;

    if (run->rc != NGX_OK) {
        fail_msg("%s: %d, \"%.*s\" at %d", pieces, (int) run->rc,
                 (int) run->scan.error.len, run->scan.error.data,
                 (int) run->scan.error_at);
    }

    sent = malloc(c->body.len);
    assert_non_null(sent);

    len = scan_sent(run, c->body.data, c->body.len, sent);
    want = c->sent.data ? &c->sent : &c->body;

    scan_check_messages(c, run, pieces);

    scan_release(run);

    scan_check_text(c, pieces, "model", &run->scan.model, &c->model);
    scan_check_text(c, pieces, "server_url", &run->scan.server_url,
                    &c->server_url);
    scan_check_text(c, pieces, "session_id", &run->scan.session_id,
                    &c->session_id);
    scan_check_text(c, pieces, "task_id", &run->scan.task_id, &c->task_id);

    if (run->scan.stream != c->stream) {
        fail_msg("%s: stream is %d, not %d", pieces, (int) run->scan.stream,
                 (int) c->stream);
    }

    if (len != want->len || memcmp(sent, want->data, len) != 0) {
        fail_msg("%s: the server is sent\n%.*s\nnot\n%.*s", pieces, (int) len,
                 sent, (int) want->len, want->data);
    }

    free(sent);
}


static void
scan_check_text(scan_case_t *c, const char *pieces, const char *name,
    ngx_str_t *got, ngx_str_t *want)
{
    if (got->len != want->len
        || (got->len && memcmp(got->data, want->data, got->len) != 0))
    {
        fail_msg("%s: %s is \"%.*s\", not \"%.*s\"", pieces, name,
                 (int) got->len, got->data, (int) want->len, want->data);
    }
}


/* As text: the messages, and the body from where the first one may go. */

static void
scan_check_messages(scan_case_t *c, scan_run_t *run, const char *pieces)
{
    char                    got[1024], *p;
    u_char                 *body;
    ngx_uint_t              i;
    ngx_http_ollama_cut_t  *message;

    if (c->messages == NULL) {
        return;
    }

    body = c->body.data;
    message = run->scan.messages.elts;

    p = got;
    *p = '\0';

    for (i = 0; i < run->scan.messages.nelts; i++) {
        p += sprintf(p, "%s%.*s", i ? "|" : "",
                     (int) (message[i].end - message[i].start),
                     body + message[i].start);
    }

    if (run->scan.messages_start) {
        (void) sprintf(p, "@%.*s",
                       (int) (c->body.len - run->scan.messages_start),
                       body + run->scan.messages_start);
    }

    if (strcmp(got, c->messages) != 0) {
        fail_msg("%s: messages \"%s\", not \"%s\"", pieces, got,
                 c->messages);
    }

    if (run->scan.messages_more) {
        fail_msg("%s: more messages than are told", pieces);
    }

    if (body[run->scan.close] != '}') {
        fail_msg("%s: the body closes at %d", pieces, (int) run->scan.close);
    }
}


static void
scan_check_removed(scan_case_t *c, scan_run_t *run, const char *pieces)
{
    char        removed[256], *p;
    ngx_uint_t  i;
    ngx_str_t  *name;

    p = removed;
    *p = '\0';

    for (i = 0; i < run->scan.nforbid; i++) {

        if (run->scan.removed & (1u << i)) {
            name = &run->scan.forbid[i].name;

            p += sprintf(p, "%s%.*s", p == removed ? "" : " ",
                         (int) name->len, name->data);
        }
    }

    if (strcmp(removed, c->removed ? c->removed : "") != 0) {
        fail_msg("%s: removed \"%s\", not \"%s\"", pieces, removed,
                 c->removed ? c->removed : "");
    }

    if (run->scan.nforbid < 32 && run->scan.removed >> run->scan.nforbid) {
        fail_msg("%s: removed is 0x%x", pieces, run->scan.removed);
    }
}


static void
scan_check_cut_off(scan_case_t *c)
{
    size_t       len, end;
    scan_run_t   run;
    scan_case_t  cut;

    ngx_memzero(&cut, sizeof(scan_case_t));

    cut.flags = c->flags;
    cut.forbid = c->forbid;
    cut.body.data = c->body.data;

    /* what is behind the object doesn't count */

    scan_start(&run, c->flags, c->forbid);
    scan_feed(&run, c->body.data, c->body.len);
    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);
    end = run.scan.close + 1;
    scan_finish(&run);

    for (len = 0; len < end; len++) {

        cut.body.len = len;
        cut.error = len ? "unexpected end" : "the body is empty";
        cut.at = len;

        scan_check(&cut, len, 1);
        scan_check(&cut, 1, 1);
    }
}


void
scan_case_test(void **state)
{
    scan_case_t *c = *state;

    size_t      i;
    ngx_uint_t  pools;

    pools = ngx_stub_pools;

    scan_check(c, c->body.len, 1);
    scan_check(c, 1, 1);
    scan_check(c, 0, 3);

    for (i = 0; i < c->body.len; i++) {
        scan_check(c, i, c->body.len);
    }

    if (c->error == NULL) {
        scan_check_cut_off(c);
    }

    assert_int_equal(ngx_stub_pools, pools);
}
