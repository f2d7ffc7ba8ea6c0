
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Snapshots: the same content gives the same number, any other another one;
 * and a copy holds when what it was copied from is gone.
 */


#include "unit.h"

#include "fleet/ngx_http_ollama_snapshot.h"


#define RANDOM_REPORTS  2000
#define RANDOM_MODELS   20


/* a report's models in a row: strings, then numbers */

typedef struct {
    const char              *strings[6];
    int64_t                  numbers[4];
} snapshot_row_t;


typedef struct {
    const char              *title;
    ngx_uint_t               n;
    snapshot_row_t           rows[2];
} snapshot_case_t;


/* where each string of a model is, in the order of a row */

static size_t  snapshot_strings[] = {
    offsetof(ngx_http_ollama_model_t, key),
    offsetof(ngx_http_ollama_model_t, name),
    offsetof(ngx_http_ollama_model_t, tag),
    offsetof(ngx_http_ollama_model_t, ps),
    offsetof(ngx_http_ollama_model_t, details),
    offsetof(ngx_http_ollama_model_t, expires_at)
};


/* no two of them have the same content */

static snapshot_case_t  snapshot_cases[] = {

    { "no models", 0, { { { NULL }, { 0 } } } },

    { "a model", 1, {
      { { "a:latest", "a", "{}", "", "", "" }, { 1, 0, 0, 4 } } } },

    { "another size", 1, {
      { { "a:latest", "a", "{}", "", "", "" }, { 2, 0, 0, 4 } } } },

    { "another size in memory", 1, {
      { { "a:latest", "a", "{}", "", "", "" }, { 1, 1, 0, 4 } } } },

    { "another context", 1, {
      { { "a:latest", "a", "{}", "", "", "" }, { 1, 0, 1, 4 } } } },

    { "modified later", 1, {
      { { "a:latest", "a", "{}", "", "", "" }, { 1, 0, 0, 5 } } } },

    { "another spelling", 1, {
      { { "a:latest", "A", "{}", "", "", "" }, { 1, 0, 0, 4 } } } },

    { "loaded", 1, {
      { { "a:latest", "a", "", "{}", "", "" }, { 1, 0, 0, 4 } } } },

    { "with details", 1, {
      { { "a:latest", "a", "", "", "{}", "" }, { 1, 0, 0, 4 } } } },

    { "expires", 1, {
      { { "a:latest", "a", "", "", "", "{}" }, { 1, 0, 0, 4 } } } },

    { "the same bytes, cut elsewhere", 1, {
      { { "a:lates", "ta", "{}", "", "", "" }, { 1, 0, 0, 4 } } } },

    { "two models", 2, {
      { { "a:latest", "a", "{}", "", "", "" }, { 1, 0, 0, 4 } },
      { { "b:latest", "b", "{}", "", "", "" }, { 1, 0, 0, 4 } } } },

    { "two with nothing to tell", 2, {
      { { "", "", "", "", "", "" }, { 0, 0, 0, 0 } },
      { { "", "", "", "", "", "" }, { 0, 0, 0, 0 } } } },

    { "one of these", 1, {
      { { "", "", "", "", "", "" }, { 0, 0, 0, 0 } } } },
};


static ngx_str_t *
snapshot_string(ngx_http_ollama_model_t *model, ngx_uint_t i)
{
    return (ngx_str_t *) ((u_char *) model + snapshot_strings[i]);
}


static void
snapshot_start(ngx_http_ollama_report_t *report)
{
    ngx_memzero(report, sizeof(ngx_http_ollama_report_t));

    report->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, NULL);
    assert_non_null(report->pool);

    assert_int_equal(ngx_http_ollama_report_init(report, report->pool),
                     NGX_OK);
}


/* Each string in memory of its own; one without a length has none. */

static void
snapshot_push(ngx_http_ollama_report_t *report, snapshot_row_t *row)
{
    ngx_str_t                *s;
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *model;

    model = ngx_array_push(&report->models);
    assert_non_null(model);

    for (i = 0; i < unit_nelts(snapshot_strings); i++) {
        s = snapshot_string(model, i);

        s->len = ngx_strlen(row->strings[i]);
        s->data = NULL;

        if (s->len) {
            s->data = ngx_pnalloc(report->pool, s->len);
            assert_non_null(s->data);
            ngx_memcpy(s->data, row->strings[i], s->len);
        }
    }

    model->size = row->numbers[0];
    model->size_vram = row->numbers[1];
    model->context_length = row->numbers[2];
    model->modified = row->numbers[3];
}


static void
snapshot_report(ngx_http_ollama_report_t *report, snapshot_case_t *c)
{
    ngx_uint_t  i;

    snapshot_start(report);

    for (i = 0; i < c->n; i++) {
        snapshot_push(report, &c->rows[i]);
    }
}


/* Has what the report has, and all of it within the block. */

static void
snapshot_equal(ngx_http_ollama_snapshot_t *s, ngx_http_ollama_report_t *report)
{
    u_char                   *first, *last;
    ngx_str_t                *one, *two;
    ngx_uint_t                i, k;
    ngx_http_ollama_model_t  *model;

    model = report->models.elts;

    first = (u_char *) s;
    last = first + s->size;

    assert_int_equal(s->nmodels, report->models.nelts);
    assert_ptr_equal(s->models, s + 1);

    for (i = 0; i < s->nmodels; i++) {

        for (k = 0; k < unit_nelts(snapshot_strings); k++) {
            one = snapshot_string(&s->models[i], k);
            two = snapshot_string(&model[i], k);

            assert_int_equal(one->len, two->len);
            assert_true(one->data >= first && one->data + one->len <= last);

            if (one->len) {
                assert_memory_equal(one->data, two->data, one->len);
            }
        }

        assert_true(s->models[i].size == model[i].size);
        assert_true(s->models[i].size_vram == model[i].size_vram);
        assert_true(s->models[i].context_length == model[i].context_length);
        assert_true(s->models[i].modified == model[i].modified);
    }
}


/* A copy at another place, and one of that; the first one is overwritten. */

static void
snapshot_copies(ngx_http_ollama_snapshot_t *s,
    ngx_http_ollama_report_t *report)
{
    size_t                       size;
    ngx_http_ollama_snapshot_t  *one, *two;

    size = s->size;

    one = malloc(size);
    two = malloc(size);
    assert_non_null(one);
    assert_non_null(two);

    ngx_memcpy(one, s, size);
    ngx_http_ollama_snapshot_relocate(one, s);

    ngx_memset(s, 0xa5, size);
    snapshot_equal(one, report);

    ngx_memcpy(two, one, size);
    ngx_http_ollama_snapshot_relocate(two, one);

    ngx_memset(one, 0x5a, size);
    snapshot_equal(two, report);

    free(one);
    free(two);
}


static void
snapshot_test(void **state)
{
    snapshot_case_t  *c = *state;

    uint64_t                     content, again;
    ngx_uint_t                   i;
    ngx_http_ollama_report_t     report, other;
    ngx_http_ollama_snapshot_t  *s, *t;

    snapshot_report(&report, c);

    s = ngx_http_ollama_snapshot_build(&report, &content);
    assert_non_null(s);
    snapshot_equal(s, &report);

    /* the same in other memory, then all the others */

    for (i = 0; i < unit_nelts(snapshot_cases); i++) {

        snapshot_report(&other, &snapshot_cases[i]);

        t = ngx_http_ollama_snapshot_build(&other, &again);
        assert_non_null(t);

        if (c == &snapshot_cases[i]) {
            assert_true(again == content);
            assert_int_equal(s->size, t->size);

        } else {
            assert_true(again != content);
        }

        ngx_destroy_pool(other.pool);
    }

    ngx_stub_fail_size = s->size;
    assert_null(ngx_http_ollama_snapshot_build(&report, &again));
    ngx_stub_fail_size = 0;

    snapshot_copies(s, &report);

    ngx_destroy_pool(report.pool);
}


static void
snapshot_random_test(void **state)
{
    char                         text[6][64];
    size_t                       len;
    uint64_t                     content, again;
    ngx_uint_t                   i, k, n;
    snapshot_row_t               row;
    ngx_http_ollama_report_t     report;
    ngx_http_ollama_model_t     *model;
    ngx_http_ollama_snapshot_t  *s;

    for (i = 0; i < RANDOM_REPORTS; i++) {

        snapshot_start(&report);

        for (n = 1 + unit_random(RANDOM_MODELS); n; n--) {

            for (k = 0; k < 6; k++) {
                len = unit_random(sizeof(text[k]));
                ngx_memset(text[k], 'a' + unit_random(26), len);
                text[k][len] = '\0';
                row.strings[k] = text[k];
            }

            for (k = 0; k < 4; k++) {
                row.numbers[k] = unit_random(1000);
            }

            snapshot_push(&report, &row);
        }

        s = ngx_http_ollama_snapshot_build(&report, &content);
        assert_non_null(s);

        snapshot_equal(s, &report);
        snapshot_copies(s, &report);

        /* one thing is changed, and back */

        model = report.models.elts;
        model += unit_random(report.models.nelts);

        model->modified++;
        assert_non_null(ngx_http_ollama_snapshot_build(&report, &again));
        assert_true(again != content);

        model->modified--;
        assert_non_null(ngx_http_ollama_snapshot_build(&report, &again));
        assert_true(again == content);

        ngx_destroy_pool(report.pool);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_seed(7);

    unit_add_rows(&suite, snapshot_test, snapshot_cases,
                  sizeof(snapshot_case_t), unit_nelts(snapshot_cases));

    unit_add(&suite, "random reports", snapshot_random_test, NULL);

    return unit_run(&suite, "snapshot");
}
