
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The field "model" of a form, as Go's mime/multipart would find it, wherever
 * the network has cut the form.
 */


#include "unit.h"

#include "request/ngx_http_ollama_multipart.h"


#define MULTIPART_TYPE  "multipart/form-data; boundary=xx"

#define MULTIPART_NAME  "Content-Disposition: form-data; name="
#define MULTIPART_FILE                                                       \
    "--xx\r\n" MULTIPART_NAME "\"file\"; filename=\"a.wav\"\r\n"             \
    "Content-Type: audio/wav\r\n\r\n"                                        \
    "\r\n--x\r\n--xy\r\n\r\n-xx\n--xx\r\r\n--" "\r\n"

#define MULTIPART_FORM(header, value)                                        \
    "--xx\r\n" header "\r\n\r\n" value "\r\n--xx--\r\n"

#define MULTIPART_1024(c)                                                    \
    c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c


typedef struct {
    const char             *title;    /* must be first */
    const char             *type;
    const char             *text;
    const char             *value;    /* NULL: none is found */
    const char             *error;    /* NULL: it is valid */
    const char             *forbid;   /* another field; NULL: none */
} multipart_case_t;


static multipart_case_t  multipart_cases[] = {

    { "multipart: the field alone", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "\"model\"", "m1"), "m1", NULL, NULL },

    { "multipart: behind a file with what looks like boundaries",
      MULTIPART_TYPE,
      MULTIPART_FILE MULTIPART_FORM(MULTIPART_NAME "\"model\"", "m1"), "m1",
      NULL, NULL },

    { "multipart: the first one counts", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n"
      MULTIPART_FORM(MULTIPART_NAME "model", "m2"), "m1", NULL, NULL },

    { "multipart: nothing behind it is looked at", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n--xx\r\nx", "m1",
      NULL, NULL },

    { "multipart: a value of several lines", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model", "a\r\n--x\r\n\r\nb\n--xx"),
      "a\r\n--x\r\n\r\nb\n--xx", NULL, NULL },

    { "multipart: an empty value", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model", ""), "", NULL, NULL },

    { "multipart: a part without a line", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\n--xx--", "", NULL, NULL },

    { "multipart: a part without a header", MULTIPART_TYPE,
      "--xx\r\n\r\nname=\"model\"\r\n"
      MULTIPART_FORM(MULTIPART_NAME "model", "m1"), "m1", NULL, NULL },

    { "multipart: text in front and behind", MULTIPART_TYPE,
      "x --xx\r\n-\r\n\r\n" MULTIPART_FORM(MULTIPART_NAME "\"n\"", "m1")
      MULTIPART_FORM(MULTIPART_NAME "model", "m2"), NULL, NULL, NULL },

    { "multipart: lines that end with LF", MULTIPART_TYPE,
      "--xx\n" MULTIPART_NAME "\"a\"\n\n\n\n--xx \n"
      MULTIPART_NAME "\"model\"\n\nm1\r\n--xx--\n", "m1\r", NULL, NULL },

    { "multipart: blanks behind a boundary", MULTIPART_TYPE,
      "--xx \t\r\n" MULTIPART_NAME "\"model\"\r\n\r\nm1\r\n--xx \r\n", "m1",
      NULL, NULL },

    { "multipart: names of header fields in any case", MULTIPART_TYPE,
      MULTIPART_FORM("a: b\r\nCONTENT-disposition:Form-Data;NAME=model",
                     "m1"), "m1", NULL, NULL },

    { "multipart: a header field in two lines", MULTIPART_TYPE,
      MULTIPART_FORM("Content-Disposition: form-data;\r\n\tname=\"model\"",
                     "m1"), "m1", NULL, NULL },

    { "multipart: escapes in the name", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "\"model\\\"\"", "m1"), NULL, NULL, NULL },

    { "multipart: the name's case counts", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "\"Model\"", "m1"), NULL, NULL, NULL },

    { "multipart: a file of this name is none", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "\"model\"; filename=a", "m1"), NULL,
      NULL, NULL },

    { "multipart: an empty name of a file is none", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "\"model\"; filename=\"\"", "m1"), "m1",
      NULL, NULL },

    { "multipart: another disposition is none", MULTIPART_TYPE,
      MULTIPART_FORM("Content-Disposition: inline; name=model", "m1"), NULL,
      NULL, NULL },

    { "multipart: an invalid header names nothing", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model; x", "m1"), NULL, NULL, NULL },

    { "multipart: a semicolon at the end", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model; ", "m1"), "m1", NULL, NULL },

    { "multipart: no field", MULTIPART_TYPE, "--xx--", NULL, NULL, NULL },

    { "multipart: a quoted boundary",
      "Multipart/Form-Data ; a=\"\\\";boundary=y\" ; Boundary = \"x x:\\\"\"",
      "--x x:\"\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n--x x:\"--", "m1",
      NULL, NULL },

    { "multipart: nothing", MULTIPART_TYPE, "", NULL,
      "unexpected end of the form", NULL },

    { "multipart: JSON", MULTIPART_TYPE, "{\"model\":\"m1\"}", NULL,
      "unexpected end of the form", NULL },

    { "multipart: cut in the value", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n--xx", NULL,
      "unexpected end of the form", NULL },

    { "multipart: cut in a header", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n", NULL,
      "unexpected end of the form", NULL },

    { "multipart: one dash behind a boundary", MULTIPART_TYPE, "--xx-a", NULL,
      "invalid boundary of the form", NULL },

    { "multipart: text behind a boundary", MULTIPART_TYPE, "--xx \ta", NULL,
      "invalid boundary of the form", NULL },

    { "multipart: text behind the last boundary", MULTIPART_TYPE,
      "--xx-- a", NULL, "invalid boundary of the form", NULL },

    { "multipart: CR without LF", MULTIPART_TYPE, "--xx\ra", NULL,
      "invalid boundary of the form", NULL },

    { "multipart: a value of 1024 bytes", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model",
          MULTIPART_1024("0123456789abcdef0123456789abcdef")),
      MULTIPART_1024("0123456789abcdef0123456789abcdef"), NULL, NULL },

    { "multipart: a value of 1025 bytes", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model",
          MULTIPART_1024("0123456789abcdef0123456789abcdef") "0"), NULL,
      "is longer than 1024 bytes", NULL },

    { "multipart: a long value", MULTIPART_TYPE,
      MULTIPART_FORM(MULTIPART_NAME "model",
          MULTIPART_1024("0123456789abcdef0123456789abcdef")
          MULTIPART_1024("0123456789abcdef0123456789abcdef")), NULL,
      "is longer than 1024 bytes", NULL },

    { "multipart: a long header", MULTIPART_TYPE,
      MULTIPART_FORM("a: " MULTIPART_1024("0123456789abcdef0123456789abcdef")
          MULTIPART_1024("0123456789abcdef0123456789abcdef")
          MULTIPART_1024("0123456789abcdef0123456789abcdef")
          MULTIPART_1024("0123456789abcdef0123456789abcdef"), "m1"), NULL,
      "the header of a part of the form is too long", NULL },

    { "multipart: a forbidden field behind it", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n"
      MULTIPART_FORM(MULTIPART_NAME "\"Keep_Alive\"", "1"), NULL,
      "a field of the form is forbidden", "keep_alive" },

    { "multipart: a forbidden field in front", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "keep_alive\r\n\r\n1\r\n"
      MULTIPART_FORM(MULTIPART_NAME "model", "m1"), NULL,
      "a field of the form is forbidden", "keep_alive" },

    { "multipart: a file is no forbidden field", MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n"
      MULTIPART_FORM(MULTIPART_NAME "a; filename=a", "1"), "m1", NULL, "a" },

    { "multipart: the first one counts, and all is looked at", MULTIPART_TYPE,
      MULTIPART_FILE "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n"
      MULTIPART_FORM(MULTIPART_NAME "model", "m2"), "m1", NULL, "a" },

    { "multipart: damaged behind it, where fields are forbidden",
      MULTIPART_TYPE,
      "--xx\r\n" MULTIPART_NAME "model\r\n\r\nm1\r\n--xx\r\nx", NULL,
      "unexpected end of the form", "a" }
};


typedef struct {
    const char             *title;    /* must be first */
    const char             *type;
    ngx_int_t               rc;
} multipart_type_t;


static multipart_type_t  multipart_types[] = {

    { "multipart type: none", "", NGX_DECLINED },
    { "multipart type: JSON", "application/json", NGX_DECLINED },
    { "multipart type: of another kind", "multipart/mixed; boundary=x",
      NGX_DECLINED },
    { "multipart type: a longer name", "multipart/form-datax; boundary=x",
      NGX_DECLINED },
    { "multipart type: no boundary", "multipart/form-data", NGX_ERROR },
    { "multipart type: an empty one", "multipart/form-data; boundary=\"\"",
      NGX_ERROR },
    { "multipart type: one without its quote",
      "multipart/form-data; boundary=\"x", NGX_ERROR },
    { "multipart type: one of 71 bytes",
      "multipart/form-data; boundary=01234567890123456789012345678901234567890"
      "123456789012345678901234567890", NGX_ERROR },
    { "multipart type: one of 70 bytes",
      "multipart/form-data; boundary=01234567890123456789012345678901234567890"
      "12345678901234567890123456789", NGX_OK },
    { "multipart type: with other parameters",
      "multipart/form-data; charset=utf-8; boundary=x; a=b", NGX_OK },
    { "multipart type: in other letters", "MULTIPART/FORM-DATA;BOUNDARY=x",
      NGX_OK }
};


static ngx_int_t
multipart_init(ngx_http_ollama_multipart_t *form, const char *type)
{
    ngx_str_t  s;

    ngx_memzero(form, sizeof(ngx_http_ollama_multipart_t));
    ngx_str_set(&form->name, "model");

    s.data = (u_char *) type;
    s.len = ngx_strlen(type);

    return ngx_http_ollama_multipart_init(form, &s);
}


static void
multipart_check(multipart_case_t *c, size_t size, size_t cut)
{
    size_t                       at, n, len;
    u_char                      *p;
    ngx_int_t                    rc;
    ngx_http_ollama_forbid_t     forbid;
    ngx_http_ollama_multipart_t  form;

    assert_int_equal(multipart_init(&form, c->type), NGX_OK);

    if (c->forbid) {
        forbid.name.data = (u_char *) c->forbid;
        forbid.name.len = ngx_strlen(c->forbid);
        form.forbid = &forbid;
        form.nforbid = 1;
    }

    len = ngx_strlen(c->text);
    rc = NGX_OK;

    for (at = 0; at < len && rc == NGX_OK; at += n) {

        n = cut ? (at < cut ? cut : len - at) : size;
        n = ngx_min(n, len - at);

        /* so that a sanitizer sees what is read beyond it */

        p = malloc(n);
        assert_non_null(p);
        memcpy(p, c->text + at, n);

        rc = ngx_http_ollama_multipart_feed(&form, p, n);

        free(p);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_multipart_end(&form);
    }

    if (c->error) {
        assert_int_equal(rc, NGX_DECLINED);
        assert_string_equal(form.error, c->error);
        assert_true(form.error_at <= (off_t) len);
        return;
    }

    assert_int_equal(rc, NGX_OK);

    if (c->value == NULL) {
        assert_null(form.value.data);
        return;
    }

    assert_non_null(form.value.data);
    assert_int_equal(form.value.len, ngx_strlen(c->value));
    assert_memory_equal(form.value.data, c->value, form.value.len);
    assert_memory_equal(c->text + form.value_at, c->value, form.value.len);
}


static void
multipart_test(void **state)
{
    size_t             i, len;
    multipart_case_t  *c;

    c = *state;
    len = ngx_strlen(c->text);

    multipart_check(c, len + 1, 0);

    for (i = 1; i < 8; i++) {
        multipart_check(c, i, 0);
    }

    for (i = 1; i < ngx_min(len, 400); i++) {
        multipart_check(c, 0, i);
    }
}


static void
multipart_type_test(void **state)
{
    multipart_type_t             *t;
    ngx_http_ollama_multipart_t   form;

    t = *state;

    assert_int_equal(multipart_init(&form, t->type), t->rc);
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add_rows(&suite, multipart_test, multipart_cases,
                  sizeof(multipart_case_t), unit_nelts(multipart_cases));
    unit_add_rows(&suite, multipart_type_test, multipart_types,
                  sizeof(multipart_type_t), unit_nelts(multipart_types));

    return unit_run(&suite, "multipart");
}
