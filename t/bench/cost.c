
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The module's own work for one frame, or for one kilobyte of a request, as
 * often as is said, for counting instructions: see t/bench/instructions.
 *
 *     cost frame|sse|scan|image TIMES
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdio.h>

#include "reply/ngx_http_ollama_frame.h"
#include "request/ngx_http_ollama_scan.h"


typedef struct {
    const char  *name;
    void       (*run)(ngx_pool_t *pool, ngx_uint_t times);
} cost_t;


static void cost_frame(ngx_pool_t *pool, ngx_uint_t times);
static void cost_sse(ngx_pool_t *pool, ngx_uint_t times);
static void cost_scan(ngx_pool_t *pool, ngx_uint_t times);
static void cost_image(ngx_pool_t *pool, ngx_uint_t times);
static void cost_frames(ngx_pool_t *pool, ngx_uint_t times,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last,
    const char *text);
static void cost_body(ngx_pool_t *pool, ngx_uint_t times, const char *first,
    const char *repeated, const char *end);
static void cost_fail(const char *what);


static cost_t  costs[] = {
    { "frame", cost_frame },
    { "sse", cost_sse },
    { "scan", cost_scan },
    { "image", cost_image },
    { NULL, NULL }
};


int
main(int argc, char **argv)
{
    cost_t      *cost;
    ngx_pool_t  *pool;

    for (cost = costs; argc == 3 && cost->name; cost++) {

        if (strcmp(argv[1], cost->name) == 0) {
            pool = ngx_create_pool(4096, NULL);
            cost->run(pool, atoi(argv[2]));
            ngx_destroy_pool(pool);
            return 0;
        }
    }

    fprintf(stderr, "usage: cost frame|sse|scan|image TIMES\n");
    return 2;
}


static void
cost_frame(ngx_pool_t *pool, ngx_uint_t times)
{
    cost_frames(pool, times, NGX_HTTP_OLLAMA_FRAME_LINES,
                NGX_HTTP_OLLAMA_END_DONE,
                "{\"model\":\"llama3.2:latest\",\"created_at\":\"2026-11-23T"
                "02:46:37.736150170Z\",\"message\":{\"role\":\"assistant\","
                "\"content\":\" the\"},\"done\":false}\n");
}


static void
cost_sse(ngx_pool_t *pool, ngx_uint_t times)
{
    cost_frames(pool, times, NGX_HTTP_OLLAMA_FRAME_SSE,
                NGX_HTTP_OLLAMA_END_MARK,
                "data: {\"id\":\"chatcmpl-3\",\"object\":\"chat.completion."
                "chunk\",\"created\":1795401997,\"model\":\"llama3.2\","
                "\"system_fingerprint\":\"fp_ollama\",\"choices\":[{\"index\""
                ":0,\"delta\":{\"role\":\"assistant\",\"content\":\" the\"},"
                "\"finish_reason\":null}]}\n\n");
}


/* messages of 1 KB */

static void
cost_scan(ngx_pool_t *pool, ngx_uint_t times)
{
    char    text[1024];
    size_t  head;

    head = sprintf(text, ",{\"role\":\"user\",\"content\":\"");

    memset(text + head, 'a', sizeof(text) - head);
    memcpy(text + sizeof(text) - 4, "\"}", 3);

    cost_body(pool, times, "{\"model\":\"m\",\"messages\":[{}", text, "]}");
}


/* 1 KB of a picture */

static void
cost_image(ngx_pool_t *pool, ngx_uint_t times)
{
    char  text[1025];

    memset(text, 'A', sizeof(text));
    text[1024] = '\0';

    cost_body(pool, times,
              "{\"model\":\"m\",\"messages\":[{\"images\":[\"", text,
              "\"]}]}");
}


static void
cost_frames(ngx_pool_t *pool, ngx_uint_t times,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last,
    const char *text)
{
    size_t                    len, good;
    ngx_uint_t                i;
    ngx_http_ollama_frame_t  *frame;

    frame = ngx_pcalloc(pool, sizeof(ngx_http_ollama_frame_t));

    if (frame == NULL
        || ngx_http_ollama_frame_init(frame, pool, form, last) != NGX_OK)
    {
        cost_fail("init");
    }

    len = strlen(text);

    for (i = 0; i < times; i++) {
        if (ngx_http_ollama_frame_feed(frame, (u_char *) text, len, &good)
            != NGX_OK)
        {
            cost_fail("feed");
        }
    }

    if (frame->frames != times) {
        cost_fail("frames");
    }
}


static void
cost_body(ngx_pool_t *pool, ngx_uint_t times, const char *first,
    const char *repeated, const char *end)
{
    size_t                   len;
    ngx_uint_t               i;
    ngx_http_ollama_scan_t  *scan;

    scan = ngx_pcalloc(pool, sizeof(ngx_http_ollama_scan_t));

    if (scan == NULL
        || ngx_http_ollama_scan_init(scan, pool, pool,
                                     NGX_HTTP_OLLAMA_SCAN_MESSAGES
                                     |NGX_HTTP_OLLAMA_SCAN_PROMPT, NULL)
           != NGX_OK
        || ngx_http_ollama_scan_feed(scan, (u_char *) first, strlen(first))
           != NGX_OK)
    {
        cost_fail("init");
    }

    len = strlen(repeated);

    for (i = 0; i < times; i++) {
        if (ngx_http_ollama_scan_feed(scan, (u_char *) repeated, len)
            != NGX_OK)
        {
            cost_fail("feed");
        }
    }

    if (ngx_http_ollama_scan_feed(scan, (u_char *) end, strlen(end))
        != NGX_OK
        || ngx_http_ollama_scan_end(scan) != NGX_OK)
    {
        cost_fail("end");
    }
}


static void
cost_fail(const char *what)
{
    fprintf(stderr, "cost: failed: %s\n", what);
    exit(1);
}
