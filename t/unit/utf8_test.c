
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Texts that others sent, before they become JSON or a line of the log: always
 * valid UTF-8, wherever they are cut.
 */


#include "unit.h"

#include "util/ngx_http_ollama_utf8.h"

#include <jansson.h>


typedef struct {
    const char  *title;
    const char  *text;
    const char  *repaired;
    const char  *clean;
} utf8_case_t;


static utf8_case_t  utf8_cases[] = {
    { "empty", "", "", "" },
    { "ASCII", "a b~", "a b~", "a b~" },
    { "of each length", "a\xc3\xa4\xe2\x98\xba\xf0\x9f\x99\x82z",
      "a\xc3\xa4\xe2\x98\xba\xf0\x9f\x99\x82z",
      "a\xc3\xa4\xe2\x98\xba\xf0\x9f\x99\x82z" },
    { "the last one", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf",
      "\xf4\x8f\xbf\xbf" },
    { "controls", "a\n\x1b[0m\x7f", "a\n\x1b[0m\x7f", "a??[0m?" },
    { "controls beyond ASCII", "\xc2\x85\xc2\xa0", "\xc2\x85\xc2\xa0",
      "??\xc2\xa0" },
    { "Latin-1", "f\xfcr", "f?r", "f?r" },
    { "no first byte", "\x80\xbf" "a", "??a", "??a" },
    { "cut in two", "a\xc3", "a", "a" },
    { "cut in three", "a\xe2\x98", "a", "a" },
    { "cut in four", "a\xf0\x9f\x99", "a", "a" },
    { "cut within the text", "\xe2\x98" "a", "??a", "??a" },
    { "a character behind half of one", "\xe2\xc3\xa4", "?\xc3\xa4",
      "?\xc3\xa4" },
    { "longer than needed", "\xc0\x80\xe0\x80\x80", "?????", "?????" },
    { "a surrogate", "\xed\xa0\x80", "???", "???" },
    { "beyond the last one", "\xf4\x90\x80\x80\xf5\x80\x80\x80", "????????",
      "????????" },
};


static void
utf8_test(void **state)
{
    utf8_case_t *row = *state;

    u_char  text[64];
    size_t  len;

    len = strlen(row->text);

    memcpy(text, row->text, len);
    text[ngx_http_ollama_utf8_repair(text, len)] = '\0';
    assert_string_equal(text, row->repaired);

    memcpy(text, row->text, len);
    text[ngx_http_ollama_utf8_clean(text, len)] = '\0';
    assert_string_equal(text, row->clean);
}


/* Whatever the bytes are: jansson takes what is left. */

static void
utf8_random_test(void **state)
{
    u_char       text[16];
    size_t       n, len;
    json_t      *json;
    ngx_uint_t   i;

    static const u_char  bytes[] =
        "a\x80\x8f\x90\x9f\xa0\xbf\xc0\xc2\xdf\xe0\xed\xee\xf0\xf4\xf5\xff";

    srandom(1);

    for (i = 0; i < 200000; i++) {
        len = random() % sizeof(text);

        for (n = 0; n < len; n++) {
            text[n] = bytes[random() % (sizeof(bytes) - 1)];
        }

        len = ngx_http_ollama_utf8_repair(text, len);

        json = json_stringn((char *) text, len);
        assert_non_null(json);
        json_decref(json);
    }
}


static void
utf8_cut_test(void **state)
{
    size_t     max;
    ngx_str_t  text;

    static const size_t  want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 };

    ngx_str_set(&text, "a\xc3\xa4\xe2\x98\xba\xf0\x9f\x99\x82");

    for (max = 0; max < sizeof(want) / sizeof(want[0]); max++) {
        assert_int_equal(ngx_http_ollama_utf8_cut(&text, max), want[max]);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, utf8_test, utf8_cases, sizeof(utf8_case_t),
                  unit_nelts(utf8_cases));
    unit_add(&suite, "random bytes", utf8_random_test, NULL);
    unit_add(&suite, "cut", utf8_cut_test, NULL);

    return unit_run(&suite, "utf8");
}
