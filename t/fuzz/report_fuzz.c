
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The reader of servers' replies.  Of an input, the first byte chooses the
 * reply to read, the second the slices; the rest is the reply.  For /api/ps it
 * begins with that to /api/tags, up to a NUL.
 *
 * What must be so: slices give what the whole gives; a plain reader finds the
 * same models, versions, and faults; what is kept is fit to be shown.  The
 * rest is also taken for a server's URL, a time, and a model's name, which
 * must stay within bounds, and a key must be its own.
 */


#include "fuzz.h"

#include "util/ngx_http_ollama_json.h"
#include "fleet/ngx_http_ollama_model_name.h"
#include "fleet/ngx_http_ollama_server_url.h"
#include "fleet/ngx_http_ollama_report.h"
#include "util/ngx_http_ollama_parse_time.h"


#define FUZZ_DEPTH   64
#define FUZZ_NUMBER  9007199254740991.0
#define FUZZ_DIGITS  4096


static void fuzz_names(ngx_str_t *text);
static void fuzz_read(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body, uint64_t *state);
static void fuzz_same_report(ngx_http_ollama_report_t *one,
    ngx_http_ollama_report_t *two);
static void fuzz_shown(ngx_http_ollama_report_t *report);
static void fuzz_clean(ngx_str_t *text);
static fuzz_value_t *fuzz_member(fuzz_value_t *object, const char *name);
static ngx_uint_t fuzz_expect(ngx_http_ollama_report_parse_kind_e kind,
    ngx_str_t *body, ngx_http_ollama_report_t *report, ngx_uint_t dropped);
static void fuzz_version(fuzz_value_t *top, ngx_http_ollama_report_t *report);
static ngx_uint_t fuzz_good_version(fuzz_value_t *v);
static ngx_uint_t fuzz_models(ngx_http_ollama_report_parse_kind_e kind,
    ngx_str_t *body, fuzz_value_t *list, ngx_http_ollama_report_t *report,
    ngx_uint_t dropped);
static ngx_str_t *fuzz_name(fuzz_value_t *object);
static ngx_uint_t fuzz_good_name(fuzz_value_t *v);
static void fuzz_numbers(ngx_http_ollama_model_t *model, fuzz_value_t *object,
    ngx_uint_t ps);
static int64_t fuzz_number_of(fuzz_value_t *object, const char *name);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                              *p;
    uint64_t                             state;
    ngx_str_t                            tags, body;
    ngx_uint_t                           dropped;
    ngx_pool_t                          *pool;
    ngx_http_ollama_report_t             whole, slices;
    ngx_http_ollama_report_parse_kind_e  kind;

    if (size < 2) {
        return 0;
    }

    kind = data[0] % 3;
    state = data[1];

    body.data = (u_char *) data + 2;
    body.len = size - 2;

    fuzz_names(&body);

    tags.len = 0;

    if (kind == NGX_HTTP_OLLAMA_REPORT_PARSE_PS) {
        p = memchr(body.data, '\0', body.len);

        if (p) {
            tags.data = body.data;
            tags.len = p - body.data;
            body.data = p + 1;
            body.len -= tags.len + 1;
        }
    }

    pool = ngx_create_pool(4096, NULL);

    ngx_memzero(&whole, sizeof(ngx_http_ollama_report_t));
    ngx_memzero(&slices, sizeof(ngx_http_ollama_report_t));

    if (ngx_http_ollama_report_init(&whole, pool) != NGX_OK
        || ngx_http_ollama_report_init(&slices, pool) != NGX_OK)
    {
        abort();
    }

    if (tags.len) {
        fuzz_read(&whole, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS, &tags, NULL);
        fuzz_read(&slices, NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS, &tags, &state);
        fuzz_same_report(&whole, &slices);
    }

    dropped = whole.dropped;
    ngx_str_null(&whole.error);
    ngx_str_null(&slices.error);

    fuzz_read(&whole, kind, &body, NULL);
    fuzz_read(&slices, kind, &body, &state);
    fuzz_same_report(&whole, &slices);

    fuzz_shown(&whole);

    fuzz_check(fuzz_expect(kind, &body, &whole, dropped)
               == (whole.error.len == 0),
               "\"%.*s\"", (int) whole.error.len, whole.error.data);

    ngx_destroy_pool(pool);

    return 0;
}


static void
fuzz_names(ngx_str_t *text)
{
    u_char      *url;
    int64_t      usec;
    ngx_str_t    name, key, again, server;
    ngx_uint_t   tls;

    name.len = ngx_min(text->len, 400);
    name.data = malloc(name.len + 1);
    memcpy(name.data, text->data, name.len);

    key.data = malloc(name.len + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
    key.len = ngx_http_ollama_model_name_key(key.data, &name);

    fuzz_check(key.len <= name.len + NGX_HTTP_OLLAMA_MODEL_NAME_MORE, "%zu",
               key.len);

    again.data = malloc(key.len + NGX_HTTP_OLLAMA_MODEL_NAME_MORE);
    again.len = ngx_http_ollama_model_name_key(again.data, &key);

    fuzz_check(fuzz_same(&key, &again), "\"%.*s\"", (int) key.len, key.data);

    (void) ngx_http_ollama_model_name_namespace(&name, &server);
    fuzz_check(server.len, "no namespace");

    url = malloc(name.len + sizeof(":443"));

    if (ngx_http_ollama_server_url(url, &name, &server, &tls) == NGX_OK) {
        fuzz_check(server.len < name.len + sizeof(":443"), "%zu", server.len);
        fuzz_check(server.len >= 3 && tls <= 2, "%zu, %d", server.len,
                   (int) tls);
    }

    usec = ngx_http_ollama_parse_time(&name);
    fuzz_check(usec >= -1, "time %lld", (long long) usec);

    free(name.data);
    free(key.data);
    free(again.data);
    free(url);
}


static void
fuzz_read(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body, uint64_t *state)
{
    size_t      done, n;
    ngx_int_t   rc;

    if (state == NULL) {

        switch (kind) {

        case NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS:
            rc = ngx_http_ollama_report_tags(report, body);
            break;

        case NGX_HTTP_OLLAMA_REPORT_PARSE_PS:
            rc = ngx_http_ollama_report_ps(report, body);
            break;

        default:
            rc = ngx_http_ollama_report_version(report, body);
            break;
        }

    } else {

        rc = ngx_http_ollama_report_begin(report, kind, body);

        if (rc != NGX_OK) {
            abort();
        }

        done = 0;

        do {
            n = fuzz_piece(state, body->len - done);
            rc = ngx_http_ollama_report_read(report, n);
            done += n;
        } while (rc == NGX_AGAIN);
    }

    fuzz_check(rc == NGX_OK || rc == NGX_ERROR, "%d", (int) rc);
    fuzz_check((rc == NGX_OK) == (report->error.len == 0), "%d", (int) rc);
}


static void
fuzz_same_report(ngx_http_ollama_report_t *one, ngx_http_ollama_report_t *two)
{
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *a, *b;

    fuzz_check((one->error.len == 0) == (two->error.len == 0), "in slices");
    fuzz_check(one->models.nelts == two->models.nelts, "in slices");
    fuzz_check(one->dropped == two->dropped, "in slices");
    fuzz_check(fuzz_same(&one->version, &two->version), "in slices");

    a = one->models.elts;
    b = two->models.elts;

    for (i = 0; i < one->models.nelts; i++) {
        fuzz_check(fuzz_same(&a[i].key, &b[i].key)
                   && fuzz_same(&a[i].name, &b[i].name)
                   && fuzz_same(&a[i].tag, &b[i].tag)
                   && fuzz_same(&a[i].ps, &b[i].ps)
                   && fuzz_same(&a[i].details, &b[i].details)
                   && fuzz_same(&a[i].expires_at, &b[i].expires_at)
                   && a[i].size == b[i].size
                   && a[i].size_vram == b[i].size_vram
                   && a[i].context_length == b[i].context_length
                   && a[i].modified == b[i].modified,
                   "in slices: \"%.*s\"", (int) a[i].key.len, a[i].key.data);
    }
}


static void
fuzz_shown(ngx_http_ollama_report_t *report)
{
    ngx_str_t                 expires;
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *model;

    model = report->models.elts;

    for (i = 0; i < report->models.nelts; i++, model++) {

        fuzz_check(model->name.len
                   && model->name.len <= NGX_HTTP_OLLAMA_REPORT_NAME, "%zu",
                   model->name.len);

        fuzz_clean(&model->name);
        fuzz_clean(&model->key);

        expires = model->expires_at;
        fuzz_check(expires.len == 0
                   || ngx_http_ollama_parse_time(&expires) >= 0,
                   "\"%.*s\"", (int) expires.len, expires.data);

        fuzz_check(ngx_http_ollama_report_find(report->models.elts,
                                               report->models.nelts,
                                               &model->key)
                   == model, "\"%.*s\"", (int) model->key.len,
                   model->key.data);
    }
}


/* UTF-8 without control characters */

static void
fuzz_clean(ngx_str_t *text)
{
    u_char         *quoted;
    size_t          i;
    ngx_int_t       rc;
    fuzz_value_t   *v;
    fuzz_reader_t   reader;

    quoted = malloc(text->len + 2);
    quoted[0] = '"';

    for (i = 0; i < text->len; i++) {

        fuzz_check(text->data[i] >= 0x20 && text->data[i] != 0x7f, "%d",
                   text->data[i]);

        /* the reader must not find the end or an escape */
        quoted[i + 1] = (text->data[i] == '"' || text->data[i] == '\\')
                        ? '.' : text->data[i];
    }

    quoted[i + 1] = '"';

    fuzz_reader_init(&reader, quoted, text->len + 2, 1);
    rc = fuzz_reader_value(&reader, &v);
    fuzz_check(rc == NGX_OK, "\"%.*s\"", (int) text->len, text->data);

    fuzz_reader_free(&reader);
    free(quoted);
}


/* The last member that Go takes for that field. */

static fuzz_value_t *
fuzz_member(fuzz_value_t *object, const char *name)
{
    ngx_str_t      field;
    fuzz_value_t  *v, *found;

    field.data = (u_char *) name;
    field.len = strlen(name);

    found = NULL;

    for (v = object->first; v; v = v->next) {
        if (ngx_http_ollama_json_key_eq(v->key.data, v->key.len, &field)) {
            found = v;
        }
    }

    return found;
}


/* Whether the reply is right; then the report must have what it says. */

static ngx_uint_t
fuzz_expect(ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body,
    ngx_http_ollama_report_t *report, ngx_uint_t dropped)
{
    ngx_uint_t      good;
    const char     *key;
    fuzz_value_t   *top, *v;
    fuzz_reader_t   reader;

    fuzz_reader_init(&reader, body->data, body->len, FUZZ_DEPTH);

    good = fuzz_reader_value(&reader, &top) == NGX_OK
           && fuzz_reader_end(&reader) == NGX_OK
           && top->type == fuzz_object;

    if (good) {
        key = (kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION) ? "version"
                                                             : "models";
        good = (fuzz_member(top, key) != NULL);

        /* none of them may be wrong */

        for (v = top->first; v; v = v->next) {

            ngx_str_t  field;

            field.data = (u_char *) key;
            field.len = strlen(key);

            if (!ngx_http_ollama_json_key_eq(v->key.data, v->key.len,
                                             &field))
            {
                continue;
            }

            if (kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION) {
                good &= fuzz_good_version(v);

            } else {
                good &= (v->type == fuzz_list || v->type == fuzz_null);
            }
        }
    }

    if (good && kind == NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION) {
        fuzz_version(top, report);

    } else if (good) {
        good = fuzz_models(kind, body, fuzz_member(top, "models"), report,
                           dropped);
    }

    fuzz_reader_free(&reader);

    return good;
}


static void
fuzz_version(fuzz_value_t *top, ngx_http_ollama_report_t *report)
{
    fuzz_value_t  *v;

    v = fuzz_member(top, "version");

    fuzz_check(fuzz_same(&report->version, &v->text), "\"%.*s\"",
               (int) report->version.len, report->version.data);
}


static ngx_uint_t
fuzz_good_version(fuzz_value_t *v)
{
    size_t  i;

    if (v->type != fuzz_text || v->text.len == 0 || v->text.len > 32) {
        return 0;
    }

    for (i = 0; i < v->text.len; i++) {
        if (!isprint(v->text.data[i]) || strchr("\"\\", v->text.data[i])) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
fuzz_models(ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body,
    fuzz_value_t *list, ngx_http_ollama_report_t *report, ngx_uint_t dropped)
{
    u_char                    key[NGX_HTTP_OLLAMA_REPORT_NAME
                                  + NGX_HTTP_OLLAMA_MODEL_NAME_MORE];
    ngx_str_t                *name, k, raw;
    ngx_uint_t                i, n, ps, left;
    fuzz_value_t             *v;
    ngx_http_ollama_model_t  *model;

    ps = (kind == NGX_HTTP_OLLAMA_REPORT_PARSE_PS);
    left = 0;

    for (v = list->first; v; v = v->next) {

        name = (v->type == fuzz_object) ? fuzz_name(v) : NULL;

        if (name == NULL || v->raw.len > NGX_HTTP_OLLAMA_REPORT_OBJECT) {
            left++;
            continue;
        }

        k.data = key;
        k.len = ngx_http_ollama_model_name_key(key, name);

        model = ngx_http_ollama_report_find(report->models.elts,
                                            report->models.nelts, &k);

        fuzz_check(model, "\"%.*s\" is missing", (int) k.len, k.data);

        /* the one that is kept of several has its object */

        raw = ps ? model->ps : model->tag;

        if (raw.data == v->raw.data) {
            fuzz_check(fuzz_same(&raw, &v->raw), "raw");
            fuzz_numbers(model, v, ps);
            fuzz_check(model->tag.len && ps ? 1
                       : fuzz_same(&model->name, name), "\"%.*s\"",
                       (int) name->len, name->data);
        }
    }

    fuzz_check(report->dropped == dropped + left, "%d of %d",
               (int) (report->dropped - dropped), (int) left);

    /* there are no others than those of the list */

    model = report->models.elts;

    for (i = 0, n = 0; i < report->models.nelts; i++) {
        raw = ps ? model[i].ps : model[i].tag;

        if (raw.len) {
            n++;
            fuzz_check(raw.data > body->data
                       && raw.data + raw.len < body->data + body->len, "raw");
        }
    }

    for (v = list->first; v; v = v->next) {
        for (i = 0; i < report->models.nelts; i++) {
            raw = ps ? model[i].ps : model[i].tag;

            if (raw.data == v->raw.data) {
                n--;
            }
        }
    }

    fuzz_check(n == 0, "%d too many", (int) n);

    return 1;
}


static ngx_str_t *
fuzz_name(fuzz_value_t *object)
{
    ngx_str_t      field;
    fuzz_value_t  *v, *name, *alias;

    name = NULL;
    alias = NULL;

    for (v = object->first; v; v = v->next) {

        if (v->type != fuzz_text) {
            continue;
        }

        ngx_str_set(&field, "name");

        if (ngx_http_ollama_json_key_eq(v->key.data, v->key.len, &field)) {
            name = v;
        }

        ngx_str_set(&field, "model");

        if (ngx_http_ollama_json_key_eq(v->key.data, v->key.len, &field)) {
            alias = v;
        }
    }

    if (name == NULL) {
        name = alias;
    }

    return (name && fuzz_good_name(name)) ? &name->text : NULL;
}


static ngx_uint_t
fuzz_good_name(fuzz_value_t *v)
{
    size_t  i;

    if (v->halves
        || v->text.len == 0
        || v->text.len > NGX_HTTP_OLLAMA_REPORT_NAME)
    {
        return 0;
    }

    for (i = 0; i < v->text.len; i++) {

        if (v->text.data[i] < 0x20 || v->text.data[i] == 0x7f) {
            return 0;
        }

        /* U+0080 to U+009F */

        if (v->text.data[i] == 0xc2 && (v->text.data[i + 1] & 0x60) == 0) {
            return 0;
        }
    }

    return 1;
}


static void
fuzz_numbers(ngx_http_ollama_model_t *model, fuzz_value_t *object,
    ngx_uint_t ps)
{
    fuzz_value_t  *v;

    if (ps) {
        fuzz_check(model->size_vram == fuzz_number_of(object, "size_vram"),
                   "%lld", (long long) model->size_vram);
        fuzz_check(model->context_length
                   == fuzz_number_of(object, "context_length"), "%lld",
                   (long long) model->context_length);
        return;
    }

    fuzz_check(model->size == fuzz_number_of(object, "size"), "%lld",
               (long long) model->size);

    v = fuzz_member(object, "details");

    if (v && v->type == fuzz_object) {
        fuzz_check(fuzz_same(&model->details, &v->raw), "details");
    }
}


/* of the last one that is a number at all */

static int64_t
fuzz_number_of(fuzz_value_t *object, const char *name)
{
    char           text[FUZZ_DIGITS];
    size_t         i;
    double         d;
    ngx_str_t      field;
    fuzz_value_t  *v, *found;

    field.data = (u_char *) name;
    field.len = strlen(name);

    found = NULL;

    for (v = object->first; v; v = v->next) {
        if (v->type == fuzz_number
            && ngx_http_ollama_json_key_eq(v->key.data, v->key.len, &field))
        {
            found = v;
        }
    }

    if (found == NULL || found->raw.len >= sizeof(text)) {
        return 0;
    }

    for (i = 0; i < found->raw.len; i++) {
        if (!isdigit(found->raw.data[i])) {
            return 0;
        }
    }

    memcpy(text, found->raw.data, found->raw.len);
    text[found->raw.len] = '\0';

    d = strtod(text, NULL);

    return (d > FUZZ_NUMBER) ? 0 : (int64_t) d;
}
