
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The body of a conversation's request.  Of an input, two bytes choose the
 * pieces, the rest is the body.  A byte 0xfe, which no JSON has, and the two
 * after it stand for n times 8 equal bytes, so that limits are met in short
 * inputs.
 *
 * What must be so: any pieces give what one piece gives; a body is taken if a
 * plain reader of it, with the rules of docs/api.md put down once more below,
 * says that it ought to be, and then the same is found; the first turn's body
 * of each participant is JSON; and memory grows with the body only.
 */


#include "fuzz.h"

#include "conversation/ngx_http_ollama_conversation_body.h"
#include "conversation/ngx_http_ollama_conversation_prompt.h"
#include "util/ngx_http_ollama_id.h"


#define FUZZ_BODY   262144
#define FUZZ_DEPTH  10000

#define FUZZ_MAX      NGX_HTTP_OLLAMA_CONVERSATION_MAX
#define FUZZ_OPTIONS  NGX_HTTP_OLLAMA_CONVERSATION_OPTIONS


typedef struct {
    ngx_pool_t                           *pool;
    ngx_http_ollama_conversation_body_t   body;
    ngx_int_t                             rc;
} fuzz_run_t;


typedef struct {
    fuzz_value_t                         *member[FUZZ_OPTIONS];
    ngx_uint_t                            n;
} fuzz_options_t;


typedef struct {
    ngx_str_t                             name;
    ngx_str_t                             model;
    ngx_str_t                             system;
    ngx_uint_t                            system_given;
    ngx_str_t                             server_url;
    fuzz_options_t                        options;
    u_char                                made[2048];
} fuzz_person_t;


/* what must be found */

typedef struct {
    ngx_uint_t                            wrong;
    fuzz_person_t                         person[FUZZ_MAX + 1];
    ngx_uint_t                            n;
    fuzz_value_t                         *prompts;
    fuzz_options_t                        options;
    ngx_str_t                             initial;
    ngx_str_t                             session_id;
    ngx_str_t                             task_id;
    ngx_uint_t                            max_turns;
    ngx_uint_t                            stream;
} fuzz_want_t;


static void fuzz_read(fuzz_run_t *run, u_char *body, size_t len,
    uint64_t *state, size_t step);
static void fuzz_compare(fuzz_run_t *one, fuzz_run_t *run);
static void fuzz_judge(fuzz_run_t *run, u_char *body, size_t len);
static ngx_uint_t fuzz_expect(fuzz_want_t *want, u_char *body, size_t len,
    fuzz_reader_t *reader);
static void fuzz_field(fuzz_want_t *want, fuzz_value_t *v);
static void fuzz_entry(fuzz_want_t *want, fuzz_value_t *entry);
static void fuzz_string(fuzz_want_t *want, fuzz_value_t *v, size_t max,
    ngx_uint_t line, ngx_str_t *value);
static void fuzz_prompts(fuzz_want_t *want, fuzz_value_t *v);
static void fuzz_turns(fuzz_want_t *want, fuzz_value_t *v);
static void fuzz_options(fuzz_want_t *want, fuzz_value_t *v,
    fuzz_options_t *options);
static void fuzz_names(fuzz_want_t *want);
static ngx_uint_t fuzz_is_taken(fuzz_want_t *want, ngx_str_t *name,
    fuzz_person_t *but);
static void fuzz_systems(fuzz_want_t *want);
static void fuzz_person(ngx_http_ollama_participant_t *got,
    fuzz_person_t *person, fuzz_options_t *common);
static fuzz_value_t *fuzz_member(fuzz_options_t *options, ngx_str_t *key);
static ngx_uint_t fuzz_named(fuzz_value_t *v, const char *name);
static void fuzz_view(fuzz_run_t *run);
static ngx_uint_t fuzz_is_written(ngx_str_t *json, ngx_str_t *text);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t      len, n;
    uint64_t    state;
    fuzz_run_t  one, run;

    static u_char  body[FUZZ_BODY];

    if (size < 2) {
        return 0;
    }

    state = data[0] * 256 + data[1];

    for (len = 0, n = 2; n < size && len < FUZZ_BODY - 2048; n++) {

        if (data[n] == 0xfe && n + 2 < size) {
            memset(body + len, data[n + 2], 8 * data[n + 1]);
            len += 8 * data[n + 1];
            n += 2;
            continue;
        }

        body[len++] = data[n];
    }

    fuzz_read(&one, body, len, NULL, len);
    fuzz_judge(&one, body, len);

    fuzz_read(&run, body, len, &state, 0);
    fuzz_compare(&one, &run);

    if (len < 2048) {
        fuzz_read(&run, body, len, NULL, 1);
        fuzz_compare(&one, &run);
    }

    ngx_destroy_pool(one.pool);

    fuzz_check(ngx_stub_pools == 0, "%d", (int) ngx_stub_pools);

    return 0;
}


static void
fuzz_read(fuzz_run_t *run, u_char *body, size_t len, uint64_t *state,
    size_t step)
{
    size_t                                  n, done, peak;
    u_char                                 *piece;
    ngx_pool_t                             *temp;
    ngx_http_ollama_conversation_fields_t  *read;

    run->pool = ngx_create_pool(4096, NULL);
    temp = ngx_create_pool(4096, NULL);

    memset(&run->body, 0xa5, sizeof(run->body));

    read = ngx_http_ollama_conversation_body_begin(&run->body, run->pool,
                                                   temp);
    fuzz_check(read, "begin");

    run->rc = NGX_OK;

    for (done = 0; done < len && run->rc == NGX_OK; done += n) {

        n = state ? fuzz_piece(state, len - done)
                  : ngx_min(step, len - done);

        /* gone after the call, and with nothing behind it */

        piece = malloc(n);
        memcpy(piece, body + done, n);

        run->rc = ngx_http_ollama_conversation_body_feed(read, piece, n);

        free(piece);
    }

    if (run->rc == NGX_OK) {
        run->rc = ngx_http_ollama_conversation_body_end(read);
    }

    peak = ngx_stub_pool_peak(run->pool) + ngx_stub_pool_peak(temp);

    fuzz_check(peak <= 65536 + 16 * len, "%zu bytes of %zu", peak, len);
    fuzz_check(run->rc == NGX_OK || run->rc == NGX_DECLINED, "%d",
               (int) run->rc);
    fuzz_check((run->rc == NGX_DECLINED) == (run->body.error.len != 0),
               "%d", (int) run->rc);

    ngx_destroy_pool(temp);
}


/* What is found in other pieces, which goes then. */

static void
fuzz_compare(fuzz_run_t *one, fuzz_run_t *run)
{
    ngx_uint_t                            i;
    ngx_http_ollama_participant_t        *p, *q;
    ngx_http_ollama_conversation_body_t  *a, *b;

    a = &one->body;
    b = &run->body;

    fuzz_check(one->rc == run->rc && fuzz_same(&a->error, &b->error),
               "\"%.*s\", \"%.*s\"", (int) a->error.len, a->error.data,
               (int) b->error.len, b->error.data);

    if (one->rc != NGX_OK) {
        ngx_destroy_pool(run->pool);
        return;
    }

    fuzz_check(a->n == b->n && a->max_turns == b->max_turns
               && a->stream == b->stream, "in pieces");
    fuzz_check(fuzz_same(&a->initial, &b->initial), "in pieces");
    fuzz_check(fuzz_same(&a->session_id, &b->session_id), "in pieces");
    fuzz_check(fuzz_same(&a->task_id, &b->task_id), "in pieces");

    for (i = 0; i < a->n; i++) {
        p = &a->participant[i];
        q = &b->participant[i];

        fuzz_check(fuzz_same(&p->name, &q->name), "in pieces");
        fuzz_check(fuzz_same(&p->model, &q->model), "in pieces");
        fuzz_check(fuzz_same(&p->system, &q->system), "in pieces");
        fuzz_check(fuzz_same(&p->server_url, &q->server_url), "in pieces");
        fuzz_check(fuzz_same(&p->options, &q->options), "in pieces");
    }

    ngx_destroy_pool(run->pool);
}


/* Ought the body to be taken, and is what was found in it right? */

static void
fuzz_judge(fuzz_run_t *run, u_char *body, size_t len)
{
    ngx_uint_t                            i, good;
    fuzz_reader_t                         reader;
    ngx_http_ollama_conversation_body_t  *found;

    static fuzz_want_t  want;

    found = &run->body;

    ngx_memzero(&want, sizeof(fuzz_want_t));

    good = fuzz_expect(&want, body, len, &reader);

    if (run->rc != NGX_OK) {
        fuzz_check(!good, "refused: \"%.*s\"", (int) found->error.len,
                   found->error.data);

        fuzz_reader_free(&reader);
        return;
    }

    fuzz_check(good, "taken");

    fuzz_check(found->n == want.n, "%d", (int) found->n);
    fuzz_check(found->max_turns == want.max_turns, "%d",
               (int) found->max_turns);
    fuzz_check(found->stream == want.stream, "%d", found->stream);
    fuzz_check(fuzz_is_written(&found->initial, &want.initial), "value");
    fuzz_check(fuzz_same(&found->session_id, &want.session_id), "value");
    fuzz_check(fuzz_same(&found->task_id, &want.task_id), "value");

    for (i = 0; i < want.n; i++) {
        fuzz_person(&found->participant[i], &want.person[i], &want.options);
    }

    fuzz_view(run);
    fuzz_reader_free(&reader);
}


static ngx_uint_t
fuzz_expect(fuzz_want_t *want, u_char *body, size_t len,
    fuzz_reader_t *reader)
{
    ngx_uint_t     i;
    fuzz_value_t  *top, *v;

    want->max_turns = 10;
    want->stream = 1;

    fuzz_reader_init(reader, body, len, FUZZ_DEPTH);

    if (fuzz_reader_value(reader, &top) != NGX_OK
        || top->type != fuzz_object)
    {
        return 0;
    }

    for (v = top->first; v; v = v->next) {
        fuzz_field(want, v);
    }

    if (want->wrong || want->n < 2 || want->n > FUZZ_MAX
        || want->initial.len == 0)
    {
        return 0;
    }

    for (i = 0; i < want->n; i++) {
        if (want->person[i].model.len == 0) {
            return 0;
        }
    }

    fuzz_names(want);
    fuzz_systems(want);

    return !want->wrong;
}


static void
fuzz_field(fuzz_want_t *want, fuzz_value_t *v)
{
    fuzz_value_t  *entry;

    if (fuzz_named(v, "models")) {
        want->n = 0;

        if (v->type != fuzz_list) {
            want->wrong |= (v->type != fuzz_null);
            return;
        }

        for (entry = v->first; entry; entry = entry->next) {
            fuzz_entry(want, entry);
            want->n++;
        }

    } else if (fuzz_named(v, "initial_message")) {
        fuzz_string(want, v, FUZZ_BODY, 0, &want->initial);

    } else if (fuzz_named(v, "session_id")) {
        fuzz_string(want, v, 1024, 0, &want->session_id);

    } else if (fuzz_named(v, "task_id")) {
        fuzz_string(want, v, 64, 0, &want->task_id);

        if (v->type == fuzz_text && !ngx_http_ollama_id_is_valid(&v->text)) {
            want->wrong = 1;
        }

    } else if (fuzz_named(v, "system_prompts")) {
        fuzz_prompts(want, v);

    } else if (fuzz_named(v, "options")) {
        fuzz_options(want, v, &want->options);

    } else if (fuzz_named(v, "max_turns")) {
        fuzz_turns(want, v);

    } else if (fuzz_named(v, "stream")) {
        want->stream = (v->raw.data[0] != 'f');
        want->wrong |= (v->type != fuzz_boolean && v->type != fuzz_null);
    }
}


static void
fuzz_entry(fuzz_want_t *want, fuzz_value_t *entry)
{
    fuzz_value_t   *v;
    fuzz_person_t  *person;

    person = &want->person[ngx_min(want->n, FUZZ_MAX)];

    ngx_memzero(person, sizeof(fuzz_person_t));

    if (entry->type == fuzz_text) {
        fuzz_string(want, entry, 1024, 1, &person->model);
        return;
    }

    if (entry->type != fuzz_object) {
        want->wrong = 1;
        return;
    }

    for (v = entry->first; v; v = v->next) {

        if (fuzz_named(v, "model")) {
            fuzz_string(want, v, 1024, 1, &person->model);

        } else if (fuzz_named(v, "name")) {
            fuzz_string(want, v, 128, 1, &person->name);

        } else if (fuzz_named(v, "system")) {
            fuzz_string(want, v, FUZZ_BODY, 0, &person->system);
            person->system_given |= (v->type == fuzz_text);

        } else if (fuzz_named(v, "server_url")) {
            fuzz_string(want, v, 1024, 0, &person->server_url);

        } else if (fuzz_named(v, "options")) {
            fuzz_options(want, v, &person->options);
        }
    }
}


/* Null leaves a string as it was. */

static void
fuzz_string(fuzz_want_t *want, fuzz_value_t *v, size_t max, ngx_uint_t line,
    ngx_str_t *value)
{
    size_t   i;
    u_char  *p;

    if (v->type != fuzz_text) {
        want->wrong |= (v->type != fuzz_null);
        return;
    }

    if (v->halves || v->text.len > max || (line && v->text.len == 0)) {
        want->wrong = 1;
        return;
    }

    p = v->text.data;

    for (i = 0; line && i < v->text.len; i++) {
        if (p[i] < ' ' || p[i] == 0x7f
            || (p[i] == 0xc2 && p[i + 1] >= 0x80 && p[i + 1] <= 0x9f))
        {
            want->wrong = 1;
        }
    }

    *value = v->text;
}


static void
fuzz_prompts(fuzz_want_t *want, fuzz_value_t *v)
{
    fuzz_value_t  **last;

    if (v->type != fuzz_object) {
        want->prompts = NULL;
        want->wrong |= (v->type != fuzz_null);
        return;
    }

    for (last = &want->prompts; *last; last = &(*last)->next) { /* void */ }

    *last = v->first;

    for (v = v->first; v; v = v->next) {
        if ((v->type != fuzz_text && v->type != fuzz_null) || v->halves) {
            want->wrong = 1;
        }
    }
}


static void
fuzz_turns(fuzz_want_t *want, fuzz_value_t *v)
{
    ngx_uint_t  n;

    if (v->type == fuzz_null) {
        return;
    }

    for (n = 1; n <= 100; n++) {

        char  text[8];

        (void) snprintf(text, sizeof(text), "%d", (int) n);

        if (v->type == fuzz_number && fuzz_is(&v->raw, text)) {
            want->max_turns = n;
            return;
        }
    }

    want->wrong = 1;
}


static void
fuzz_options(fuzz_want_t *want, fuzz_value_t *v, fuzz_options_t *options)
{
    ngx_uint_t  i;

    if (v->type != fuzz_object) {
        options->n = 0;
        want->wrong |= (v->type != fuzz_null);
        return;
    }

    for (v = v->first; v; v = v->next) {

        for (i = 0; i < options->n; i++) {
            if (fuzz_same(&options->member[i]->key, &v->key)) {
                break;
            }
        }

        if (i == FUZZ_OPTIONS) {
            want->wrong = 1;
            return;
        }

        options->member[i] = v;
        options->n = ngx_max(options->n, i + 1);
    }
}


static void
fuzz_names(fuzz_want_t *want)
{
    size_t          len;
    ngx_uint_t      i, count;
    fuzz_person_t  *person;

    for (i = 0; i < want->n; i++) {
        person = &want->person[i];

        if (person->name.len && fuzz_is_taken(want, &person->name, person)) {
            want->wrong = 1;
        }
    }

    for (i = 0; i < want->n; i++) {
        person = &want->person[i];

        if (person->name.len) {
            continue;
        }

        person->name = person->model;

        for (count = 2; fuzz_is_taken(want, &person->name, person); count++) {
            len = person->model.len;
            memcpy(person->made, person->model.data, len);

            person->name.data = person->made;
            person->name.len = len + sprintf((char *) person->made + len,
                                             "#%d", (int) count);
        }
    }
}


static ngx_uint_t
fuzz_is_taken(fuzz_want_t *want, ngx_str_t *name, fuzz_person_t *but)
{
    ngx_uint_t  i;

    for (i = 0; i < want->n; i++) {
        if (&want->person[i] != but
            && fuzz_same(&want->person[i].name, name))
        {
            return 1;
        }
    }

    return 0;
}


static void
fuzz_systems(fuzz_want_t *want)
{
    ngx_str_t      *system;
    ngx_uint_t      i, found, by_name;
    fuzz_value_t   *v;
    fuzz_person_t  *person;

    for (v = want->prompts; v; v = v->next) {

        found = 0;

        for (i = 0; i < want->n; i++) {
            found |= fuzz_same(&v->key, &want->person[i].name)
                     || fuzz_same(&v->key, &want->person[i].model);
        }

        want->wrong |= !found;
    }

    for (i = 0; i < want->n; i++) {
        person = &want->person[i];
        system = &person->system;

        if (person->system_given) {
            continue;
        }

        by_name = 0;

        for (v = want->prompts; v; v = v->next) {

            if (fuzz_same(&v->key, &person->name)) {
                *system = v->text;
                by_name = 1;

            } else if (!by_name && fuzz_same(&v->key, &person->model)) {
                *system = v->text;
            }
        }
    }
}


static void
fuzz_person(ngx_http_ollama_participant_t *got, fuzz_person_t *person,
    fuzz_options_t *common)
{
    ngx_uint_t      i, n;
    fuzz_value_t   *top, *v, *want[2 * FUZZ_OPTIONS];
    fuzz_reader_t   reader;

    fuzz_check(fuzz_same(&got->name, &person->name), "\"%.*s\", \"%.*s\"",
               (int) got->name.len, got->name.data,
               (int) person->name.len, person->name.data);
    fuzz_check(fuzz_same(&got->model, &person->model), "\"%.*s\"",
               (int) got->model.len, got->model.data);
    fuzz_check(fuzz_is_written(&got->system, &person->system), "\"%.*s\"",
               (int) got->system.len, got->system.data);
    fuzz_check(fuzz_same(&got->server_url, &person->server_url), "value");

    n = 0;

    for (i = 0; i < common->n; i++) {
        if (fuzz_member(&person->options, &common->member[i]->key) == NULL) {
            want[n++] = common->member[i];
        }
    }

    for (i = 0; i < person->options.n; i++) {
        want[n++] = person->options.member[i];
    }

    if (n == 0) {
        fuzz_check(got->options.len == 0, "%.*s", (int) got->options.len,
                   got->options.data);
        return;
    }

    fuzz_reader_init(&reader, got->options.data, got->options.len, FUZZ_DEPTH);

    fuzz_check(fuzz_reader_value(&reader, &top) == NGX_OK
               && fuzz_reader_end(&reader) == NGX_OK
               && top->type == fuzz_object,
               "%.*s", (int) got->options.len, got->options.data);

    for (i = 0, v = top->first; v; v = v->next, i++) {
        fuzz_check(i < n && fuzz_same(&v->raw_key, &want[i]->raw_key)
                   && fuzz_same(&v->raw, &want[i]->raw),
                   "%.*s", (int) got->options.len, got->options.data);
    }

    fuzz_check(i == n, "%.*s", (int) got->options.len, got->options.data);

    fuzz_reader_free(&reader);
}


static fuzz_value_t *
fuzz_member(fuzz_options_t *options, ngx_str_t *key)
{
    ngx_uint_t  i;

    for (i = 0; i < options->n; i++) {
        if (fuzz_same(&options->member[i]->key, key)) {
            return options->member[i];
        }
    }

    return NULL;
}


/* Whether Go takes the key for the name, in lower case. */

static ngx_uint_t
fuzz_named(fuzz_value_t *v, const char *name)
{
    char        folded[64];
    size_t      i, n;
    ngx_str_t  *key;

    key = &v->key;

    for (i = 0, n = 0; i < key->len && n < sizeof(folded) - 1; n++) {

        if (i + 1 < key->len && memcmp(key->data + i, "\xc5\xbf", 2) == 0) {
            folded[n] = 's';
            i += 2;

        } else if (i + 2 < key->len
                   && memcmp(key->data + i, "\xe2\x84\xaa", 3) == 0)
        {
            folded[n] = 'k';
            i += 3;

        } else {
            folded[n] = tolower(key->data[i]);
            i++;
        }
    }

    return i == key->len && n == strlen(name)
           && memcmp(folded, name, n) == 0;
}


/* The first turn's body of each is JSON, if all that was given is put in it. */

static void
fuzz_view(fuzz_run_t *run)
{
    off_t                                 size;
    u_char                               *text, *p;
    ngx_uint_t                            i;
    ngx_chain_t                          *cl;
    fuzz_value_t                         *top;
    fuzz_reader_t                         reader;
    ngx_http_ollama_conversation_said_t   said;

    fuzz_check(ngx_http_ollama_conversation_prompt_init(&said, run->pool,
                                                        &run->body)
               == NGX_OK
               && ngx_http_ollama_conversation_prompt_add(&said,
                      NGX_HTTP_OLLAMA_CONVERSATION_USER, NULL,
                      &run->body.initial, 1)
                  == NGX_OK
               && ngx_http_ollama_conversation_prompt_add(&said, 1, NULL,
                      &run->body.initial, 0)
                  == NGX_OK,
               "said");

    for (i = 0; i < run->body.n; i++) {

        cl = ngx_http_ollama_conversation_prompt_make(&said, run->pool, i,
                                                      &size);

        text = malloc(size);

        for (p = text; cl; cl = cl->next) {
            p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
        }

        fuzz_check(p - text == size, "%d", (int) size);

        fuzz_reader_init(&reader, text, size, FUZZ_DEPTH);

        fuzz_check(fuzz_reader_value(&reader, &top) == NGX_OK
                   && fuzz_reader_end(&reader) == NGX_OK
                   && top->type == fuzz_object,
                   "%.*s", (int) size, text);

        fuzz_reader_free(&reader);
        free(text);
    }
}


/* Whether what is between the quotes of a JSON string means the text. */

static ngx_uint_t
fuzz_is_written(ngx_str_t *json, ngx_str_t *text)
{
    u_char         *string;
    ngx_uint_t      same;
    fuzz_value_t   *value;
    fuzz_reader_t   reader;

    string = malloc(json->len + 2);

    string[0] = '"';
    string[json->len + 1] = '"';
    memcpy(string + 1, json->data ? json->data : string, json->len);

    fuzz_reader_init(&reader, string, json->len + 2, FUZZ_DEPTH);

    same = fuzz_reader_value(&reader, &value) == NGX_OK
           && fuzz_reader_end(&reader) == NGX_OK
           && value->type == fuzz_text
           && fuzz_same(&value->text, text);

    fuzz_reader_free(&reader);
    free(string);

    return same;
}


/* large memory is the pool's here, too */

u_char *
ngx_http_ollama_lazyfree_alloc(ngx_http_ollama_lazyfree_t *lazyfree,
    ngx_pool_t *pool, size_t size)
{
    return ngx_pnalloc(pool, size);
}
