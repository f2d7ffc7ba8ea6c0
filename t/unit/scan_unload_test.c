
/*
 * Copyright (C) the nginx-ollama authors
 */


/* Whether a body asks to unload a model: keep_alive is 0, no prompt. */


#include "unit.h"

#include "request/ngx_http_ollama_scan_unload.h"


typedef struct {
    const char  *value;     /* a number, or a text in quotes */
    int          at_once;
} unload_case_t;


static unload_case_t  unload_cases[] = {
    { "0", 1 }, { "-0", 1 }, { "0.000", 1 }, { "0e9", 1 }, { "0.0E+12", 1 },
    { "1", 0 }, { "-1", 0 }, { "0.5", 0 }, { "10", 0 }, { "1e-9", 0 },
    { "\"0\"", 1 }, { "\"0s\"", 1 }, { "\"-0m\"", 1 }, { "\"0h0m0.0s\"", 1 },
    { "\"5m\"", 0 }, { "\"0h1m\"", 0 }, { "\"0.01s\"", 0 }, { "\"\"", 0 },
    { "\"s\"", 0 }, { "null", 0 }
};


static void
unload_value(ngx_http_ollama_scan_unload_t *u, const char *key,
    const char *value)
{
    size_t         len;
    const u_char  *p;

    ngx_http_ollama_scan_unload_key(u, (const u_char *) key, strlen(key));

    p = (const u_char *) value;
    len = strlen(value);

    if (*p == '"') {
        ngx_http_ollama_scan_unload_string(u, p + 1, len - 2);

    } else if (*p == 'n') {
        ngx_http_ollama_scan_unload_other(u);

    } else {
        ngx_http_ollama_scan_unload_number(u, p, len);
    }
}


static void
unload_case_test(void **state)
{
    ngx_uint_t                      i;
    ngx_http_ollama_scan_unload_t   u;

    for (i = 0; i < unit_nelts(unload_cases); i++) {

        ngx_memzero(&u, sizeof(ngx_http_ollama_scan_unload_t));
        unload_value(&u, "Keep_ALIVE", unload_cases[i].value);

        if (u.at_once != unload_cases[i].at_once) {
            fail_msg("%s", unload_cases[i].value);
        }

        assert_int_equal(u.prompt, 0);

        /* the last one counts, and other members don't */

        unload_value(&u, "keep_alive", "7");
        assert_int_equal(u.at_once, 0);

        unload_value(&u, "keep_alive", "0");
        unload_value(&u, "keep_alive2", unload_cases[i].value);
        unload_value(&u, "", "\"x\"");
        assert_int_equal(u.at_once, 1);
    }
}


static void
unload_prompt_test(void **state)
{
    ngx_http_ollama_scan_unload_t  u;

    ngx_memzero(&u, sizeof(ngx_http_ollama_scan_unload_t));

    unload_value(&u, "prompt", "\"\"");
    assert_int_equal(u.prompt, 0);

    unload_value(&u, "PROMPT", "\"0\"");
    assert_int_equal(u.prompt, 1);

    unload_value(&u, "prompt", "null");
    assert_int_equal(u.prompt, 1);

    unload_value(&u, "prompt", "\"\"");
    assert_int_equal(u.prompt, 0);
    assert_int_equal(u.at_once, 0);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "keep_alive", unload_case_test, NULL);
    unit_add(&suite, "prompt", unload_prompt_test, NULL);

    return unit_run(&suite, "scan_unload");
}
