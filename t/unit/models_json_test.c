
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Servers and models as JSON: each list byte for byte, the lowest of several
 * versions, and which entry of several servers is shown for a model.
 */


#include "unit.h"

#include "api/ngx_http_ollama_models_json.h"


#define MAX_SNAPSHOTS  4
#define RANDOM_MERGES  2000
#define RANDOM_MODELS  12


typedef struct {
    const char                  *title;
    const char                  *versions;  /* separated by blanks; "!": of
                                               a server that is not up */
    const char                  *lowest;    /* NULL: none */
} version_case_t;


typedef struct {
    const char                  *title;
    ngx_http_ollama_emit_pt      walk;
    const char                  *tags[MAX_SNAPSHOTS];
    const char                  *ps[MAX_SNAPSHOTS];
    const char                  *want;
} list_case_t;


/* the servers' snapshots, and their memory */

typedef struct {
    ngx_pool_t                  *pool;
    ngx_uint_t                   n;
    ngx_http_ollama_snapshot_t  *snapshots[MAX_SNAPSHOTS + 1];
} list_fleet_t;


static version_case_t  version_cases[] = {

    { "none", "", NULL },
    { "one", "0.17.4", "0.17.4" },
    { "none is up", "!0.17.4 !0.9", NULL },
    { "the lowest is not up", "!0.1 0.17.4", "0.17.4" },
    { "one is unknown", "- 0.17.4 -", "0.17.4" },
    { "numbers, not letters", "0.17.4 0.9.12 0.10.0", "0.9.12" },
    { "of the same the first", "0.9.0 0.9.0", "0.9.0" },
    { "more numbers", "0.9.1 0.9", "0.9" },
    { "zeroes don't count", "0.9.0 0.9", "0.9.0" },
    { "leading zeroes", "0.010 0.9", "0.9" },
    { "before it is released", "0.9.10 0.9.10-rc1 0.9.11", "0.9.10-rc1" },
    { "two of these", "0.9.10-rc2 0.9.10-rc1", "0.9.10-rc1" },
    { "but not below those before", "0.9.10-rc1 0.9.9", "0.9.9" },
    { "built by somebody", "0.9.10+b 0.9.10+a", "0.9.10+a" },
    { "digits without end", "99999999999999999999999 1.0", "1.0" },
    { "two of these, too", "99999999999999999999999.2 "
                           "88888888888888888888888.1",
      "88888888888888888888888.1" },
    { "no version at all", "x 0.0.1", "x" },
    { "points", ". .. ...", "." },
};


static list_case_t  list_cases[] = {

    /* of one server */

    { "models: none", ngx_http_ollama_models_json_models,
      { "" }, { NULL }, "[]" },

    { "models: one", ngx_http_ollama_models_json_models,
      { "{\"name\":\"a\",\"size\":7,\"details\":{\"x\": [1]}}" }, { NULL },
      "[{\"name\":\"a\",\"size\":7,\"loaded\":false,\"expires_at\":null,"
      "\"size_vram\":0,\"context_length\":null,\"details\":{\"x\": [1]}}]" },

    { "models: loaded", ngx_http_ollama_models_json_models,
      { "{\"name\":\"a\",\"size\":7}" },
      { "{\"name\":\"A:latest\",\"size\":9,\"size_vram\":8,"
        "\"expires_at\":\"2026-03-02T02:00:00.5+02:00\","
        "\"context_length\":4096}" },
      "[{\"name\":\"a\",\"size\":7,\"loaded\":true,"
      "\"expires_at\":\"2026-03-02T00:00:00.500Z\",\"size_vram\":8,"
      "\"context_length\":4096,\"details\":{}}]" },

    { "models: loaded, no details", ngx_http_ollama_models_json_models,
      { "" }, { "{\"name\":\"a\"}" },
      "[{\"name\":\"a\",\"size\":0,\"loaded\":true,\"expires_at\":null,"
      "\"size_vram\":0,\"context_length\":null,\"details\":{}}]" },

    { "models: for ever", ngx_http_ollama_models_json_models,
      { "" },
      { "{\"name\":\"a\",\"expires_at\":\"9999-12-31T23:59:59-23:59\"}" },
      "[{\"name\":\"a\",\"size\":0,\"loaded\":true,"
      "\"expires_at\":\"9999-12-31T23:59:59.000Z\",\"size_vram\":0,"
      "\"context_length\":null,\"details\":{}}]" },

    { "models: a name to be escaped", ngx_http_ollama_models_json_models,
      { "{\"name\":\"a\\\"\\\\b\"}" }, { NULL },
      "[{\"name\":\"a\\\"\\\\b\",\"size\":0,\"loaded\":false,"
      "\"expires_at\":null,\"size_vram\":0,\"context_length\":null,"
      "\"details\":{}}]" },

    /* merged */

    { "tags: no server", ngx_http_ollama_models_json_tags, { NULL }, { NULL },
      "{\"models\":[]}" },

    { "tags: no models", ngx_http_ollama_models_json_tags, { "", "" }, { NULL },
      "{\"models\":[]}" },

    { "tags: as they were sent", ngx_http_ollama_models_json_tags,
      { "{\"name\" : \"a\", \"x\":[ 1 ]}" }, { NULL },
      "{\"models\":[{\"name\" : \"a\", \"x\":[ 1 ]}]}" },

    { "tags: not what is loaded only", ngx_http_ollama_models_json_tags,
      { "{\"name\":\"a\"}" }, { "{\"name\":\"b\"}" },
      "{\"models\":[{\"name\":\"a\"}]}" },

    { "tags: of two the newer", ngx_http_ollama_models_json_tags,
      { "{\"name\":\"a\",\"modified_at\":\"2026-03-01T00:00:00Z\"}",
        "{\"name\":\"A:latest\",\"modified_at\":\"2026-03-02T00:00:00Z\"}",
        "{\"name\":\"a\",\"modified_at\":\"2026-03-01T23:00:00Z\"}" },
      { NULL },
      "{\"models\":[{\"name\":\"A:latest\","
      "\"modified_at\":\"2026-03-02T00:00:00Z\"}]}" },

    { "tags: of equal ones the first", ngx_http_ollama_models_json_tags,
      { "{\"name\":\"a\",\"x\":1}", "{\"name\":\"a\",\"x\":2}" }, { NULL },
      "{\"models\":[{\"name\":\"a\",\"x\":1}]}" },

    { "tags: newest first, then by name", ngx_http_ollama_models_json_tags,
      { "{\"name\":\"d\"},{\"name\":\"b\"}",
        "{\"name\":\"c\",\"modified_at\":\"2026-03-01T00:00:00Z\"},"
        "{\"name\":\"a\"}" },
      { NULL },
      "{\"models\":[{\"name\":\"c\",\"modified_at\":\"2026-03-01T00:00:00Z\"},"
      "{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"d\"}]}" },

    { "ps: of two the one that stays longer", ngx_http_ollama_models_json_ps,
      { "{\"name\":\"a\"}", "" },
      { "{\"name\":\"a\",\"expires_at\":\"2026-03-01T00:00:00Z\"}",
        "{\"name\":\"a\",\"expires_at\":\"2026-03-01T00:00:00.1Z\"},"
        "{\"name\":\"b\"}" },
      "{\"models\":[{\"name\":\"a\",\"expires_at\":"
      "\"2026-03-01T00:00:00.1Z\"},{\"name\":\"b\"}]}" },

    { "ps: nothing is loaded", ngx_http_ollama_models_json_ps,
      { "{\"name\":\"a\"}" }, { "" }, "{\"models\":[]}" },

    { "openai", ngx_http_ollama_models_json_openai,
      { "{\"name\":\"a:1\",\"modified_at\":\"2026-03-02T00:00:00.9Z\"},"
        "{\"name\":\"Ns/b\"}",
        "{\"name\":\"host/x/c\"}" }, { NULL },
      "{\"object\":\"list\",\"data\":["
      "{\"id\":\"a:1\",\"object\":\"model\",\"created\":1772409600,"
      "\"owned_by\":\"library\"},"
      "{\"id\":\"host/x/c\",\"object\":\"model\",\"created\":0,"
      "\"owned_by\":\"x\"},"
      "{\"id\":\"Ns/b\",\"object\":\"model\",\"created\":0,"
      "\"owned_by\":\"Ns\"}]}" },

    { "openai: none", ngx_http_ollama_models_json_openai, { NULL }, { NULL },
      "{\"object\":\"list\",\"data\":[]}" },
};


static ngx_str_t
list_body(ngx_pool_t *pool, const char *models)
{
    ngx_str_t  body;

    body.len = ngx_strlen(models) + sizeof("{\"models\":[]}") - 1;
    body.data = ngx_pnalloc(pool, body.len + 1);
    assert_non_null(body.data);

    sprintf((char *) body.data, "{\"models\":[%s]}", models);

    return body;
}


static void
list_fleet_start(list_fleet_t *fleet)
{
    fleet->n = 0;
    fleet->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, NULL);
    assert_non_null(fleet->pool);
}


/* A server with these models; ps is NULL: it has no /api/ps. */

static ngx_http_ollama_snapshot_t *
list_fleet_add(list_fleet_t *fleet, const char *tags, const char *ps)
{
    uint64_t                     content;
    ngx_str_t                    body;
    ngx_http_ollama_report_t     report;
    ngx_http_ollama_snapshot_t  *s;

    ngx_memzero(&report, sizeof(ngx_http_ollama_report_t));

    assert_int_equal(ngx_http_ollama_report_init(&report, fleet->pool),
                     NGX_OK);

    body = list_body(fleet->pool, tags);
    assert_int_equal(ngx_http_ollama_report_tags(&report, &body), NGX_OK);

    if (ps) {
        body = list_body(fleet->pool, ps);
        assert_int_equal(ngx_http_ollama_report_ps(&report, &body), NGX_OK);
    }

    s = ngx_http_ollama_snapshot_build(&report, &content);
    assert_non_null(s);

    fleet->snapshots[fleet->n++] = s;

    return s;
}


static void
list_check(ngx_pool_t *pool, ngx_http_ollama_emit_pt walk, void *data,
    const char *want)
{
    ngx_str_t  text;

    assert_int_equal(ngx_http_ollama_emit_make(pool, walk, data, &text),
                     NGX_OK);
    assert_int_equal(text.len, ngx_strlen(want));
    assert_memory_equal(text.data, want, text.len);
}


static void
list_test(void **state)
{
    list_case_t  *c = *state;

    ngx_uint_t    i;
    ngx_array_t   picks;
    list_fleet_t  fleet;

    list_fleet_start(&fleet);

    for (i = 0; i < MAX_SNAPSHOTS && c->tags[i]; i++) {
        (void) list_fleet_add(&fleet, c->tags[i], c->ps[i]);
    }

    if (c->walk == ngx_http_ollama_models_json_models) {
        list_check(fleet.pool, c->walk, fleet.snapshots[0], c->want);

    } else {
        assert_int_equal(ngx_http_ollama_models_json_merge(fleet.pool,
                                      fleet.snapshots, fleet.n,
                                      c->walk == ngx_http_ollama_models_json_ps,
                                      &picks),
                         NGX_OK);
        list_check(fleet.pool, c->walk, &picks, c->want);
    }

    ngx_destroy_pool(fleet.pool);
}


static void
list_lowest_test(void **state)
{
    version_case_t  *c = *state;

    char                    *text, *word, *rest;
    ngx_str_t               *lowest;
    ngx_pool_t              *pool;
    ngx_array_t              views;
    ngx_http_ollama_view_t  *view;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, NULL);
    assert_non_null(pool);

    assert_int_equal(ngx_array_init(&views, pool, 4,
                                    sizeof(ngx_http_ollama_view_t)),
                     NGX_OK);

    text = strdup(c->versions);
    assert_non_null(text);

    for (word = strtok_r(text, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest))
    {
        view = ngx_array_push(&views);
        assert_non_null(view);
        ngx_memzero(view, sizeof(ngx_http_ollama_view_t));

        view->status = NGX_HTTP_OLLAMA_UP;

        if (*word == '!') {
            word++;
            view->status = NGX_HTTP_OLLAMA_DOWN;
        }

        if (*word != '-') {
            /* in memory that ends where it ends */
            view->version.len = ngx_strlen(word);
            view->version.data = ngx_pnalloc(pool, view->version.len);
            assert_non_null(view->version.data);
            ngx_memcpy(view->version.data, word, view->version.len);
        }
    }

    lowest = ngx_http_ollama_models_json_lowest(&views);

    if (c->lowest == NULL) {
        assert_null(lowest);

    } else {
        assert_non_null(lowest);
        assert_int_equal(lowest->len, ngx_strlen(c->lowest));
        assert_memory_equal(lowest->data, c->lowest, lowest->len);
    }

    free(text);
    ngx_destroy_pool(pool);
}


static void
list_view_walk(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_upstream_t  up;

    ngx_memzero(&up, sizeof(ngx_http_ollama_upstream_t));

    ngx_http_ollama_emit_add(t, "{\"url\":");
    ngx_http_ollama_models_json_url(t, &up, data);
    ngx_http_ollama_models_json_view(t, data);
    ngx_http_ollama_emit_add(t, "}");
}


static void
list_view_test(void **state)
{
    ngx_pool_t              *pool;
    ngx_http_ollama_view_t   view;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, NULL);
    assert_non_null(pool);

    ngx_memzero(&view, sizeof(ngx_http_ollama_view_t));

    ngx_str_set(&view.name, "gpu1:11434");
    ngx_str_set(&view.address, "10.0.0.1:11434");
    view.latency = -1;

    list_check(pool, list_view_walk, &view,
               "{\"url\":\"http://gpu1:11434\",\"status\":\"checking\","
               "\"checked_at\":null,\"latency_ms\":null,\"version\":null,"
               "\"error\":null,\"in_flight\":0,\"max_conns\":0}");

    view.status = NGX_HTTP_OLLAMA_UP;
    view.several = 1;
    view.checked = 1772409600123;
    view.latency = 1440;
    view.in_flight = 2;
    view.max_conns = 4;
    ngx_str_set(&view.version, "0.17.4");

    list_check(pool, list_view_walk, &view,
               "{\"url\":\"http://gpu1:11434\","
               "\"address\":\"10.0.0.1:11434\",\"status\":\"up\","
               "\"checked_at\":\"2026-03-02T00:00:00.123Z\","
               "\"latency_ms\":1.4,\"version\":\"0.17.4\",\"error\":null,"
               "\"in_flight\":2,\"max_conns\":4}");

    view.status = NGX_HTTP_OLLAMA_DOWN;
    view.several = 0;
    ngx_str_set(&view.error, "the certificate does not match \"gpu1\"");

    list_check(pool, list_view_walk, &view,
               "{\"url\":\"http://gpu1:11434\",\"status\":\"down\","
               "\"checked_at\":\"2026-03-02T00:00:00.123Z\","
               "\"latency_ms\":1.4,\"version\":\"0.17.4\","
               "\"error\":\"the certificate does not match \\\"gpu1\\\"\","
               "\"in_flight\":2,\"max_conns\":4}");

    ngx_destroy_pool(pool);
}


/* The hash differs only if what the list shows differs. */

static void
list_hash_test(void **state)
{
    uint64_t                     tags, ps;
    list_fleet_t                 fleet;
    ngx_http_ollama_snapshot_t  *s;

    list_fleet_start(&fleet);

    s = list_fleet_add(&fleet, "{\"name\":\"a\"},{\"name\":\"b\"}",
                       "{\"name\":\"b\"}");

    tags = ngx_http_ollama_models_json_hash(s, 0);
    ps = ngx_http_ollama_models_json_hash(s, 1);

    assert_true(tags != ps);

    s = list_fleet_add(&fleet, "{\"name\":\"b\"},{\"name\":\"a\"}",
                       "{\"name\":\"b\"}");

    assert_true(ngx_http_ollama_models_json_hash(s, 0) == tags);
    assert_true(ngx_http_ollama_models_json_hash(s, 1) == ps);

    s = list_fleet_add(&fleet, "{\"name\":\"a\"},{\"name\":\"b\"}",
                       "{\"name\":\"a\"}");

    assert_true(ngx_http_ollama_models_json_hash(s, 0) == tags);
    assert_true(ngx_http_ollama_models_json_hash(s, 1) != ps);

    s = list_fleet_add(&fleet, "{\"name\":\"a\",\"x\":1},{\"name\":\"b\"}",
                       "{\"name\":\"b\"}");

    assert_true(ngx_http_ollama_models_json_hash(s, 0) != tags);
    assert_true(ngx_http_ollama_models_json_hash(s, 1) == ps);

    /* 0 stands for a server without a snapshot */

    s = list_fleet_add(&fleet, "", NULL);

    assert_true(ngx_http_ollama_models_json_hash(s, 0) != 0);
    assert_true(ngx_http_ollama_models_json_hash(s, 1) != 0);

    ngx_destroy_pool(fleet.pool);
}


/* Tells if "pick" is what a search through all snapshots finds. */

static void
list_pick_check(list_fleet_t *fleet, ngx_http_ollama_pick_t *pick)
{
    ngx_uint_t                i, k;
    ngx_http_ollama_model_t  *model, *best;

    best = NULL;

    for (i = 0; i < fleet->n; i++) {
        model = fleet->snapshots[i]->models;

        for (k = 0; k < fleet->snapshots[i]->nmodels; k++) {

            if (model[k].key.len == pick->model->key.len
                && ngx_memcmp(model[k].key.data, pick->model->key.data,
                              model[k].key.len)
                   == 0
                && (best == NULL || model[k].modified > best->modified))
            {
                best = &model[k];
            }
        }
    }

    assert_ptr_equal(best, pick->model);
    assert_true(best->modified == pick->rank);
}


static void
list_random_test(void **state)
{
    char                     tags[RANDOM_MODELS * 64 + 1], *p;
    ngx_uint_t               i, k, n, m, key, keys, seen[64];
    ngx_array_t              picks;
    list_fleet_t             fleet;
    ngx_http_ollama_pick_t  *pick;

    for (i = 0; i < RANDOM_MERGES; i++) {

        list_fleet_start(&fleet);

        ngx_memzero(seen, sizeof(seen));
        keys = 1 + unit_random(unit_nelts(seen));
        m = 0;

        for (k = unit_random(MAX_SNAPSHOTS + 1); k; k--) {

            p = tags;
            *p = '\0';

            for (n = unit_random(RANDOM_MODELS + 1); n; n--) {
                key = unit_random(keys);
                m += (seen[key]++ == 0);

                p += sprintf(p, "%s{\"name\":\"m%d\",\"modified_at\":"
                             "\"2026-03-01T00:00:0%dZ\"}",
                             p == tags ? "" : ",", (int) key,
                             (int) unit_random(4));
            }

            (void) list_fleet_add(&fleet, tags, NULL);
        }

        assert_int_equal(ngx_http_ollama_models_json_merge(fleet.pool,
                                                           fleet.snapshots,
                                                           fleet.n, 0, &picks),
                         NGX_OK);
        assert_int_equal(picks.nelts, m);

        pick = picks.elts;

        for (k = 0; k < picks.nelts; k++) {
            list_pick_check(&fleet, &pick[k]);

            if (k) {
                assert_true(pick[k - 1].rank >= pick[k].rank);
            }
        }

        ngx_destroy_pool(fleet.pool);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_seed(8);

    unit_add_rows(&suite, list_lowest_test, version_cases,
                  sizeof(version_case_t), unit_nelts(version_cases));
    unit_add_rows(&suite, list_test, list_cases, sizeof(list_case_t),
                  unit_nelts(list_cases));

    unit_add(&suite, "a server", list_view_test, NULL);
    unit_add(&suite, "hashes", list_hash_test, NULL);
    unit_add(&suite, "random merges", list_random_test, NULL);

    return unit_run(&suite, "list");
}
