
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Random replies, most of them damaged: whatever comes, what is made of it is
 * in order, within its bounds and fit to be shown; and slices make the same.
 */


#include "unit.h"

#include "util/ngx_http_ollama_json.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "fleet/ngx_http_ollama_report.h"


#define RANDOM_REPLIES  40000
#define RANDOM_MAX      1024


static const char  *random_members[] = {
    "\"name\":\"a\"", "\"name\":\"A:latest\"", "\"name\":\"library/b\"",
    "\"model\":\"c:1\"", "\"name\":\"\\u0007\"", "\"name\":7",
    "\"name\":\"\\ud800\"", "\"size\":12", "\"size\":-1", "\"size_vram\":3",
    "\"size\":1e400", "\"details\":{\"format\":\"gguf\",\"x\":[{},[]]}",
    "\"details\":[]", "\"context_length\":4096", "\"x\":{\"name\":\"y\"}",
    "\"expires_at\":\"2025-06-01T12:34:56Z\"", "\"modified_at\":\"x\"",
    "\"modified_at\":\"1999-06-01T12:34:56.123+01:00\""
};


static const char  *random_damage[] = {
    "\"", "{", "}", "[", "]", ",", ":", "\\", "\\u0000", "null", "0", " ",
    "\x01", "\xff", "\xc2\x85", "\"models\":", "\"models\":[{}],", "\0"
};


static size_t
random_reply(char *p)
{
    size_t       len, n, at;
    ngx_uint_t   i, k;
    const char  *text;

    len = (size_t) sprintf(p, "{\"models\":[");

    for (i = unit_random(5); i; i--) {

        p[len++] = '{';

        for (k = unit_random(6); k; k--) {
            text = random_members[unit_random(unit_nelts(random_members))];
            len += (size_t) sprintf(p + len, "%s%s", text, k > 1 ? "," : "");
        }

        p[len++] = '}';

        if (i > 1) {
            p[len++] = ',';
        }
    }

    p[len++] = ']';
    p[len++] = '}';

    if (unit_random(3) == 0) {
        return len;
    }

    for (i = 1 + unit_random(3); i; i--) {

        at = unit_random(len + 1);

        switch (unit_random(3)) {

        case 0:
            if (at < len) {
                memmove(p + at, p + at + 1, len - at - 1);
                len--;
            }

            break;

        case 1:
            if (unit_random(4) == 0) {
                len = at;
            }

            break;

        default:
            text = random_damage[unit_random(unit_nelts(random_damage))];
            n = strlen(text) + (text[0] == '\0');

            memmove(p + at + n, p + at, len - at);
            memcpy(p + at, text, n);
            len += n;

            break;
        }
    }

    return len;
}


static void
random_clean(ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        assert_true(text->data[i] >= 0x20 && text->data[i] != 0x7f);
    }
}


/* A raw object is JSON by itself. */

static void
random_raw(ngx_str_t *raw)
{
    ngx_pool_t              *pool;
    yajl_callbacks           callbacks;
    ngx_http_ollama_json_t   json;

    if (raw->len == 0) {
        return;
    }

    assert_true(raw->len >= 2 && raw->data[0] == '{'
                && raw->data[raw->len - 1] == '}');

    pool = ngx_create_pool(4096, NULL);
    assert_non_null(pool);

    ngx_memzero(&callbacks, sizeof(yajl_callbacks));
    ngx_memzero(&json, sizeof(ngx_http_ollama_json_t));

    assert_int_equal(ngx_http_ollama_json_init(&json, pool, &callbacks, NULL,
                                               64, 0),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_json_feed(&json, raw->data, raw->len),
                     NGX_OK);
    assert_int_equal(ngx_http_ollama_json_end(&json), NGX_OK);

    ngx_destroy_pool(pool);
}


static void
random_check(ngx_http_ollama_report_t *report)
{
    u_char                    key[1024];
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *model;

    model = report->models.elts;

    for (i = 0; i < report->models.nelts; i++, model++) {

        assert_true(model->name.len > 0
                    && model->name.len <= NGX_HTTP_OLLAMA_REPORT_NAME);

        assert_int_equal(ngx_http_ollama_model_name_key(key, &model->name),
                         model->key.len);
        assert_memory_equal(key, model->key.data, model->key.len);

        random_clean(&model->name);
        random_clean(&model->expires_at);

        random_raw(&model->tag);
        random_raw(&model->ps);
        random_raw(&model->details);

        assert_true(model->tag.len || model->ps.len);
        assert_true(model->size >= 0 && model->size_vram >= 0
                    && model->context_length >= 0 && model->modified >= 0);

        assert_ptr_equal(ngx_http_ollama_report_find(report->models.elts,
                                                     report->models.nelts,
                                                     &model->key),
                         model);
    }
}


static void
random_same(ngx_str_t *a, ngx_str_t *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}


static void
random_equal(ngx_http_ollama_report_t *a, ngx_http_ollama_report_t *b)
{
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *m, *n;

    assert_int_equal(a->models.nelts, b->models.nelts);
    assert_int_equal(a->dropped, b->dropped);

    m = a->models.elts;
    n = b->models.elts;

    for (i = 0; i < a->models.nelts; i++) {
        random_same(&m[i].key, &n[i].key);
        random_same(&m[i].name, &n[i].name);
        random_same(&m[i].tag, &n[i].tag);
        random_same(&m[i].ps, &n[i].ps);
        random_same(&m[i].details, &n[i].details);
        random_same(&m[i].expires_at, &n[i].expires_at);

        assert_true(m[i].size == n[i].size
                    && m[i].size_vram == n[i].size_vram
                    && m[i].context_length == n[i].context_length
                    && m[i].modified == n[i].modified);
    }
}


static void
random_test(void **state)
{
    char                        tags[RANDOM_MAX], ps[RANDOM_MAX];
    ngx_int_t                   rc[2], slices;
    ngx_str_t                   body[2];
    ngx_uint_t                  i, k, refused;
    ngx_pool_t                 *pool;
    ngx_http_ollama_report_t    report[2];

    unit_seed(15);

    refused = 0;

    for (i = 0; i < RANDOM_REPLIES; i++) {

        pool = ngx_create_pool(4096, NULL);
        assert_non_null(pool);

        body[0].data = (u_char *) tags;
        body[0].len = random_reply(tags);
        body[1].data = (u_char *) ps;
        body[1].len = random_reply(ps);

        for (k = 0; k < 2; k++) {
            ngx_memzero(&report[k], sizeof(ngx_http_ollama_report_t));
            assert_int_equal(ngx_http_ollama_report_init(&report[k], pool),
                             NGX_OK);
        }

        rc[0] = ngx_http_ollama_report_tags(&report[0], &body[0]);
        rc[1] = ngx_http_ollama_report_ps(&report[0], &body[1]);

        random_check(&report[0]);

        for (k = 0; k < 2; k++) {

            slices = ngx_http_ollama_report_begin(&report[1], k, &body[k]);
            assert_int_equal(slices, NGX_OK);

            do {
                slices = ngx_http_ollama_report_read(&report[1],
                                                     1 + unit_random(40));
            } while (slices == NGX_AGAIN);

            if (slices != rc[k]) {
                fail_msg("reply %d: %d, in slices %d:\n%.*s", (int) i,
                         (int) rc[k], (int) slices, (int) body[k].len,
                         body[k].data);
            }

            refused += (rc[k] != NGX_OK);
        }

        random_equal(&report[0], &report[1]);

        ngx_destroy_pool(pool);
    }

    /* the replies are worth it */

    assert_true(refused >= RANDOM_REPLIES / 5
                && refused <= RANDOM_REPLIES * 9 / 5);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "random replies, at once and in slices", random_test,
             NULL);

    return unit_run(&suite, "report_random");
}
