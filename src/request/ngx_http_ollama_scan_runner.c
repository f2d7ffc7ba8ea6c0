
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a body says of the runner of its model: the options for which Ollama
 * loads a loaded model again if they differ, as Ollama reads them.  Names of
 * options must be equal byte by byte, numbers are cut to whole ones, the last
 * of equal keys counts, and null takes an option back, or all of them.  "shift"
 * is no option but a field of the body, and true unless it is given.
 *
 * Pure functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_runner.h"
#include "util/ngx_http_ollama_hash.h"
#include "util/ngx_http_ollama_json_key.h"


/* members of the body; options are 1 and more, in the order of the table */
#define NGX_HTTP_OLLAMA_SCAN_RUNNER_SHIFT    NGX_HTTP_OLLAMA_SCAN_RUNNER_OPTIONS
#define NGX_HTTP_OLLAMA_SCAN_RUNNER_ALL                                      \
    (NGX_HTTP_OLLAMA_SCAN_RUNNER_OPTIONS + 1)

/* the first one */
#define NGX_HTTP_OLLAMA_SCAN_RUNNER_NUM_CTX  1


#define ngx_http_ollama_scan_runner_bit(key)  ((ngx_uint_t) 1 << ((key) - 1))


static void ngx_http_ollama_scan_runner_set(
    ngx_http_ollama_scan_runner_t *runner, int64_t value);
static int64_t ngx_http_ollama_scan_runner_whole(const u_char *p, size_t len);


static const ngx_str_t  ngx_http_ollama_scan_runner_options[] = {
    ngx_string("num_ctx"),
    ngx_string("num_batch"),
    ngx_string("num_gpu"),
    ngx_string("main_gpu"),
    ngx_string("num_thread"),
    ngx_string("use_mmap"),
    ngx_null_string
};


void
ngx_http_ollama_scan_runner_key(ngx_http_ollama_scan_runner_t *runner,
    const u_char *p, size_t len, ngx_uint_t option)
{
    ngx_str_t         shift, options;
    ngx_uint_t        i;
    const ngx_str_t  *name;

    runner->key = 0;

    if (!option) {
        ngx_str_set(&shift, "shift");
        ngx_str_set(&options, "options");

        if (ngx_http_ollama_json_key_eq(p, len, &shift)) {
            runner->key = NGX_HTTP_OLLAMA_SCAN_RUNNER_SHIFT;

        } else if (ngx_http_ollama_json_key_eq(p, len, &options)) {
            runner->key = NGX_HTTP_OLLAMA_SCAN_RUNNER_ALL;
        }

        return;
    }

    name = ngx_http_ollama_scan_runner_options;

    for (i = 0; name[i].len; i++) {

        if (len == name[i].len && ngx_memcmp(p, name[i].data, len) == 0) {
            runner->key = i + 1;
            return;
        }
    }
}


void
ngx_http_ollama_scan_runner_number(ngx_http_ollama_scan_runner_t *runner,
    const u_char *p, size_t len)
{
    ngx_http_ollama_scan_runner_set(runner,
                             ngx_http_ollama_scan_runner_whole(p, len));
}


void
ngx_http_ollama_scan_runner_boolean(ngx_http_ollama_scan_runner_t *runner,
    ngx_uint_t value)
{
    if (runner->key == NGX_HTTP_OLLAMA_SCAN_RUNNER_SHIFT && value) {
        /* as if it were not given */
        ngx_http_ollama_scan_runner_null(runner);
        return;
    }

    ngx_http_ollama_scan_runner_set(runner, value);
}


void
ngx_http_ollama_scan_runner_null(ngx_http_ollama_scan_runner_t *runner)
{
    if (runner->key == NGX_HTTP_OLLAMA_SCAN_RUNNER_ALL) {
        runner->given &= ngx_http_ollama_scan_runner_bit(
                                           NGX_HTTP_OLLAMA_SCAN_RUNNER_SHIFT);

    } else if (runner->key) {
        runner->given &= ~ngx_http_ollama_scan_runner_bit(runner->key);
    }
}


static void
ngx_http_ollama_scan_runner_set(ngx_http_ollama_scan_runner_t *runner,
    int64_t value)
{
    if (runner->key && runner->key != NGX_HTTP_OLLAMA_SCAN_RUNNER_ALL) {
        runner->given |= ngx_http_ollama_scan_runner_bit(runner->key);
        runner->value[runner->key - 1] = value;
    }
}


/* A number of JSON without its fraction, within the bounds of the type. */

static int64_t
ngx_http_ollama_scan_runner_whole(const u_char *p, size_t len)
{
    char    text[64];
    double  d;

    /* a longer one can't be meant */

    len = ngx_min(len, sizeof(text) - 1);
    ngx_memcpy(text, p, len);
    text[len] = '\0';

    d = strtod(text, NULL);

    d = ngx_min(d, 9e18);
    d = ngx_max(d, -9e18);

    return (int64_t) d;
}


uint64_t
ngx_http_ollama_scan_runner_hash(ngx_http_ollama_scan_runner_t *runner)
{
    uint64_t    hash;
    ngx_uint_t  i;

    hash = 0;

    for (i = 0; i < NGX_HTTP_OLLAMA_SCAN_RUNNER_OPTIONS; i++) {

        if (runner->given & ((ngx_uint_t) 1 << i)) {
            hash = ngx_http_ollama_hash_mix(hash + i + 1);
            hash = ngx_http_ollama_hash_mix(hash ^ runner->value[i]);
        }
    }

    return hash;
}


ngx_uint_t
ngx_http_ollama_scan_runner_num_ctx(ngx_http_ollama_scan_runner_t *runner)
{
    ngx_uint_t  key;

    key = NGX_HTTP_OLLAMA_SCAN_RUNNER_NUM_CTX;

    if (runner->given != ngx_http_ollama_scan_runner_bit(key)
        || runner->value[key - 1] <= 0)
    {
        return 0;
    }

    return runner->value[key - 1];
}
