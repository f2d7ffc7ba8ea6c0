
/*
 * Copyright (C) the nginx-ollama authors
 */


/* Which texts are ids, and that random ones are, of the length asked for. */


#include "unit.h"

#include "util/ngx_http_ollama_id.h"


#define A16  "abcdefghijklmnop"
#define A64  A16 A16 A16 A16


typedef struct {
    const char  *title;
    ngx_str_t    id;
    ngx_uint_t   valid;
} id_case_t;


static id_case_t  id_cases[] = {
    { "a letter", ngx_string("a"), 1 },
    { "all kinds", ngx_string("azAZ09_-"), 1 },
    { "the longest", ngx_string(A64), 1 },
    { "empty", ngx_string(""), 0 },
    { "too long", ngx_string(A64 "a"), 0 },
    { "blank", ngx_string("a b"), 0 },
    { "slash", ngx_string("a/b"), 0 },
    { "below the letters", ngx_string("a@"), 0 },
    { "above the letters", ngx_string("a["), 0 },
    { "below the small letters", ngx_string("a`"), 0 },
    { "above the small letters", ngx_string("a{"), 0 },
    { "below the digits", ngx_string("/"), 0 },
    { "above the digits", ngx_string(":"), 0 },
    { "NUL", ngx_string("a\0"), 0 },
    { "control character", ngx_string("a\n"), 0 },
    { "beyond ASCII", ngx_string("\xc3\xa4"), 0 },
};


static void
id_valid_test(void **state)
{
    id_case_t  *c = *state;

    assert_int_equal(ngx_http_ollama_id_is_valid(&c->id), c->valid);
}


static void
id_random_test(void **state)
{
    ngx_str_t   id;
    ngx_uint_t  i;
    u_char      text[NGX_HTTP_OLLAMA_ID_RANDOM + 1];
    u_char      before[NGX_HTTP_OLLAMA_ID_RANDOM];

    ngx_memzero(before, sizeof(before));

    id.data = text;
    id.len = NGX_HTTP_OLLAMA_ID_RANDOM;

    for (i = 0; i < 100; i++) {
        text[NGX_HTTP_OLLAMA_ID_RANDOM] = '!';

        assert_int_equal(ngx_http_ollama_id_random(text, id.len, NULL),
                         NGX_OK);
        assert_true(ngx_http_ollama_id_is_valid(&id));
        assert_int_equal(text[NGX_HTTP_OLLAMA_ID_RANDOM], '!');
        assert_memory_not_equal(text, before, sizeof(before));

        ngx_memcpy(before, text, sizeof(before));
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, id_valid_test, id_cases, sizeof(id_case_t),
                  unit_nelts(id_cases));
    unit_add(&suite, "random", id_random_test, NULL);

    return unit_run(&suite, "id");
}
