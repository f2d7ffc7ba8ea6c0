
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What clients say in sessions: messages, and the body by which a session is
 * made or changed.  An input is both.
 *
 * What must be so: the values of a message that is JSON are those that a plain
 * reader finds, and of any text they lie in it; a title is short, UTF-8 and
 * steers no terminal; and a body is taken only if the plain reader reads it,
 * with what it says, else it is said what is wrong.
 */


#include "fuzz.h"

#include "util/ngx_http_ollama_json.h"
#include "store/ngx_http_ollama_message.h"
#include "api/ngx_http_ollama_session_body.h"


#define FUZZ_DEPTH  4096


static void fuzz_message(ngx_str_t *text, fuzz_value_t *top);
static void fuzz_value_of(ngx_str_t *text, fuzz_value_t *top,
    const char *name, ngx_str_t *value);
static void fuzz_title(ngx_str_t *text);
static ngx_uint_t fuzz_characters(const char *name, ngx_str_t *text,
    ngx_uint_t line);
static void fuzz_body(ngx_str_t *text);
static void fuzz_body_form(ngx_str_t *text, fuzz_value_t *top,
    ngx_http_ollama_session_body_form_e form);
static void fuzz_field(fuzz_value_t *top, const char *name,
    ngx_http_ollama_store_field_t *field, size_t max, ngx_uint_t line);
static fuzz_value_t *fuzz_named(fuzz_value_t *top, const char *name);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char         *copy;
    ngx_str_t       text;
    fuzz_value_t   *top;
    fuzz_reader_t   reader;

    /* where ASan sees its end */

    copy = malloc(size ? size : 1);
    memcpy(copy, data, size);

    text.data = copy;
    text.len = size;

    fuzz_reader_init(&reader, copy, size, FUZZ_DEPTH);

    if (fuzz_reader_value(&reader, &top) != NGX_OK
        || fuzz_reader_end(&reader) != NGX_OK
        || top->type != fuzz_object)
    {
        top = NULL;
    }

    fuzz_message(&text, top);
    fuzz_title(&text);
    fuzz_body(&text);

    fuzz_check(memcmp(copy, data, size) == 0, "text changed");

    fuzz_reader_free(&reader);
    free(copy);

    return 0;
}


static void
fuzz_message(ngx_str_t *text, fuzz_value_t *top)
{
    ngx_int_t                  rc;
    ngx_http_ollama_message_t  message;

    rc = ngx_http_ollama_message_read(text, &message);

    fuzz_check(top == NULL || rc == NGX_OK, "an object is none");

    if (rc != NGX_OK) {
        return;
    }

    fuzz_value_of(text, top, "role", &message.role);
    fuzz_value_of(text, top, "content", &message.content);
    fuzz_value_of(text, top, "images", &message.images);
    fuzz_value_of(text, top, "tool_calls", &message.tool_calls);
    fuzz_value_of(text, top, "tool_name", &message.tool_name);
}


static void
fuzz_value_of(ngx_str_t *text, fuzz_value_t *top, const char *name,
    ngx_str_t *value)
{
    fuzz_value_t  *v;

    if (value->data) {
        fuzz_check(value->data >= text->data
                   && value->data + value->len <= text->data + text->len,
                   "%s lies elsewhere", name);
    }

    if (top == NULL) {
        return;
    }

    v = fuzz_named(top, name);

    fuzz_check((v == NULL) == (value->data == NULL), "%s", name);
    fuzz_check(v == NULL || fuzz_same(&v->raw, value), "%s: \"%.*s\"", name,
               (int) value->len, value->data);
}


static void
fuzz_title(ngx_str_t *text)
{
    u_char     buf[NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE];
    ngx_str_t  title;

    title.data = buf;
    title.len = ngx_http_ollama_message_title(text, buf);

    fuzz_check(title.len <= sizeof(buf), "%zu bytes", title.len);
    fuzz_check(fuzz_characters("title", &title, 1)
               <= NGX_HTTP_OLLAMA_MESSAGE_TITLE, "characters");
}


/* So many are in it. */

static ngx_uint_t
fuzz_characters(const char *name, ngx_str_t *text, ngx_uint_t line)
{
    u_char      *p, *last;
    uint32_t     ch;
    ngx_uint_t   n;

    if (text->len == 0) {
        return 0;
    }

    p = text->data;
    last = p + text->len;

    for (n = 0; p < last; n++) {

        ch = (*p < 0x80) ? *p++ : ngx_utf8_decode(&p, last - p);

        fuzz_check(ch <= 0x10ffff && (ch < 0xd800 || ch > 0xdfff),
                   "%s is no UTF-8", name);
        fuzz_check(!line || (ch >= 0x20 && (ch < 0x7f || ch > 0x9f)),
                   "%s has %x", name, ch);
    }

    return n;
}


static void
fuzz_body(ngx_str_t *text)
{
    fuzz_value_t   *top;
    fuzz_reader_t   reader;

    fuzz_reader_init(&reader, text->data, text->len, 10000);

    reader.bytes = 1;

    /* what is behind it doesn't count */

    if (fuzz_reader_value(&reader, &top) != NGX_OK
        || top->type != fuzz_object)
    {
        top = NULL;
    }

    fuzz_body_form(text, top, NGX_HTTP_OLLAMA_SESSION_BODY_CHANGE);
    fuzz_body_form(text, top, NGX_HTTP_OLLAMA_SESSION_BODY_CREATE);

    fuzz_reader_free(&reader);
}


static void
fuzz_body_form(ngx_str_t *text, fuzz_value_t *top,
    ngx_http_ollama_session_body_form_e form)
{
    ngx_int_t                        rc;
    ngx_pool_t                      *pool;
    ngx_http_ollama_session_body_t   body;

    ngx_memzero(&body, sizeof(ngx_http_ollama_session_body_t));

    pool = ngx_create_pool(4096, NULL);

    fuzz_check(ngx_http_ollama_session_body_init(&body, pool, form) == NGX_OK,
               "no memory");

    rc = text->len ? ngx_http_ollama_session_body_feed(&body, text->data,
                                                       text->len)
                   : NGX_OK;

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_session_body_end(&body);
    }

    if (rc != NGX_OK) {
        fuzz_check(rc == NGX_DECLINED && body.status && body.error.len,
                   "no word of it");

    } else if (text->len) {
        fuzz_check(top, "a body is none");

        fuzz_field(top, "title", &body.fields.title,
                   NGX_HTTP_OLLAMA_SESSION_TITLE, 1);
        fuzz_field(top, "model", &body.fields.model,
                   NGX_HTTP_OLLAMA_SESSION_MODEL, 1);
        fuzz_field(top, "system", &body.fields.system,
                   NGX_HTTP_OLLAMA_SESSION_SYSTEM, 0);
    }

    ngx_destroy_pool(pool);
}


static void
fuzz_field(fuzz_value_t *top, const char *name,
    ngx_http_ollama_store_field_t *field, size_t max, ngx_uint_t line)
{
    ngx_str_t      *value;
    fuzz_value_t   *v;

    v = fuzz_named(top, name);
    value = &field->value;

    fuzz_check((v != NULL) == field->given, "%s", name);

    if (v == NULL) {
        return;
    }

    fuzz_check(value->len <= max, "%s: %zu bytes", name, value->len);
    (void) fuzz_characters(name, value, line);

    if (v->type == fuzz_null) {
        fuzz_check(value->len == 0, "%s: null", name);
        return;
    }

    fuzz_check(v->type == fuzz_text && fuzz_same(&v->text, value),
               "%s: \"%.*s\"", name, (int) value->len, value->data);
}


/* The last one of the name, as Go reads keys. */

static fuzz_value_t *
fuzz_named(fuzz_value_t *top, const char *name)
{
    ngx_str_t      wanted;
    fuzz_value_t  *v, *found;

    wanted.data = (u_char *) name;
    wanted.len = strlen(name);

    found = NULL;

    for (v = top->first; v; v = v->next) {
        if (ngx_http_ollama_json_key_eq(v->key.data, v->key.len, &wanted)) {
            found = v;
        }
    }

    return found;
}
