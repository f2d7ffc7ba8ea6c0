
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The options of a body that need a runner of their own: equal hashes for what
 * Ollama takes for the same, other ones for all else.
 */


#include "scan_stub.h"


#define RUNNER_CHAT  (SCAN_CHAT|NGX_HTTP_OLLAMA_SCAN_PROMPT)


/* members of two bodies; "one" gives no options if "two" is NULL */

typedef struct {
    const char  *one;
    const char  *two;
    int          same;
    ngx_uint_t   num_ctx;      /* of the first */
} runner_case_t;


static runner_case_t  runner_cases[] = {

    { "\"options\":{}", NULL, 1, 0 },
    { "\"options\":{\"temperature\":1,\"stop\":[\"num_ctx\",5]}", NULL, 1, 0 },
    { "\"shift\":true", NULL, 1, 0 },
    { "\"shift\":null", NULL, 1, 0 },
    { "\"shift\":false,\"shift\":true", NULL, 1, 0 },
    { "\"num_ctx\":4096", NULL, 1, 0 },
    { "\"x\":{\"num_ctx\":4096}", NULL, 1, 0 },
    { "\"x\":{\"options\":{\"num_ctx\":4096}}", NULL, 1, 0 },
    { "\"messages\":[{\"options\":{\"num_ctx\":4096}}]", NULL, 1, 0 },
    { "\"options\":{\"x\":{\"num_ctx\":4096}}", NULL, 1, 0 },
    { "\"options\":{\"num_ctx\":[4096,{}]}", NULL, 1, 0 },
    { "\"options\":{\"Num_Ctx\":4096}", NULL, 1, 0 },
    { "\"options\":{\"num_ctx\":4096},\"options\":null", NULL, 1, 0 },
    { "\"options\":{\"num_ctx\":4096,\"num_ctx\":null}", NULL, 1, 0 },
    { "\"options\":{\"num_gpu\":true},\"options\":{\"num_gpu\":null}", NULL,
      1, 0 },

    { "\"options\":{\"num_ctx\":4096}", "\"options\":{\"num_ctx\":4096.0}",
      1, 4096 },
    { "\"options\":{\"num_ctx\":4096}", "\"OPTIONS\":{\"num_ctx\":4.096e3}",
      1, 4096 },
    { "\"options\":{\"num_ctx\":4096.9}", "\"options\":{\"num_ctx\":4096}",
      1, 4096 },
    { "\"options\":{\"num_ctx\":4096}",
      "\"options\":{\"num_ctx\":9},\"options\":{\"num_ctx\":4096}", 1, 4096 },
    { "\"options\":{\"num_ctx\":4096,\"num_gpu\":1}",
      "\"options\":{\"num_gpu\":1,\"a\":2,\"num_ctx\":4096}", 1, 0 },
    { "\"options\":{\"num_ctx\":4096,\"num_gpu\":1}",
      "\"options\":{\"num_gpu\":1},\"options\":{\"num_ctx\":4096}", 1, 0 },
    { "\"shift\":false", "\"options\":null,\"Shift\":false", 1, 0 },
    { "\"shift\":false", "\"shift\":false,\"options\":null", 1, 0 },

    { "\"options\":{\"num_ctx\":4096}", "\"options\":{\"num_ctx\":4097}",
      0, 4096 },
    { "\"options\":{\"num_ctx\":0}", "\"options\":{}", 0, 0 },
    { "\"options\":{\"num_ctx\":-1}", "\"options\":{\"num_ctx\":1}", 0, 0 },
    { "\"options\":{\"num_ctx\":4096}", "\"options\":{\"num_batch\":4096}",
      0, 4096 },
    { "\"options\":{\"num_gpu\":1}", "\"options\":{\"main_gpu\":1}", 0, 0 },
    { "\"options\":{\"num_thread\":1}", "\"options\":{\"num_gpu\":1}", 0, 0 },
    { "\"options\":{\"num_gpu\":0}", "\"options\":{}", 0, 0 },
    { "\"options\":{\"use_mmap\":true}", "\"options\":{\"use_mmap\":false}",
      0, 0 },
    { "\"options\":{\"use_mmap\":false}", "\"options\":{}", 0, 0 },
    { "\"options\":{\"num_ctx\":4096}",
      "\"options\":{\"num_ctx\":4096},\"shift\":false", 0, 4096 },
    { "\"shift\":false", "", 0, 0 },
    { "\"options\":{\"num_ctx\":1,\"num_gpu\":2}",
      "\"options\":{\"num_ctx\":2,\"num_gpu\":1}", 0, 0 },
    { "\"options\":{\"num_ctx\":1e300}", "\"options\":{\"num_ctx\":1}",
      0, 9000000000000000000 },
};


static uint64_t
runner_scan(const char *members, ngx_uint_t flags, ngx_uint_t *num_ctx,
    size_t step)
{
    char         body[256];
    size_t       n, len, done;
    uint64_t     hash;
    scan_run_t   run;

    len = snprintf(body, sizeof(body), "{\"model\":\"m\"%s%s}",
                   *members ? "," : "", members);
    assert_true(len < sizeof(body));

    scan_start(&run, flags, NULL);

    for (done = 0; done < len; done += n) {
        n = ngx_min(step, len - done);
        scan_feed(&run, (u_char *) body + done, n);
        assert_int_equal(run.rc, NGX_OK);
    }

    assert_int_equal(ngx_http_ollama_scan_end(&run.scan), NGX_OK);

    *num_ctx = run.scan.num_ctx;
    hash = run.scan.runner;

    scan_finish(&run);

    return hash;
}


static void
runner_case_test(void **state)
{
    size_t          step;
    uint64_t        one, two;
    ngx_uint_t      i, num_ctx;
    runner_case_t  *c;

    for (i = 0; i < unit_nelts(runner_cases); i++) {

        c = &runner_cases[i];

        for (step = 1; step < 200; step = step * 2 + 1) {

            two = c->two ? runner_scan(c->two, RUNNER_CHAT, &num_ctx, step)
                         : 0;
            one = runner_scan(c->one, RUNNER_CHAT, &num_ctx, step);

            if ((one == two) != c->same || num_ctx != c->num_ctx) {
                fail_msg("%s, %s: %d", c->one, c->two ? c->two : "nothing",
                         (int) num_ctx);
            }
        }

        /* under /v1 there are no options */

        one = runner_scan(c->one, SCAN_V1|NGX_HTTP_OLLAMA_SCAN_PROMPT,
                          &num_ctx, 9);

        assert_true(one == 0);
        assert_int_equal(num_ctx, 0);
    }
}


int
main(void)
{
    unit_suite_t  suite;

    ngx_memzero(&suite, sizeof(unit_suite_t));

    unit_add(&suite, "equal and other options", runner_case_test, NULL);

    return unit_run(&suite, "scan_runner");
}
