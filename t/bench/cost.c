
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The module's own work for one frame, for one kilobyte of a request, or for
 * one choice of a server, as often as is said, for counting instructions: see
 * t/bench/instructions.
 *
 *     cost frame|sse|scan|image|choice TIMES
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <stdio.h>
#include <stdlib.h>

#include "balancer/ngx_http_ollama_prefix.h"
#include "balancer/ngx_http_ollama_sched.h"
#include "balancer/ngx_http_ollama_sched_dispatch.h"
#include "balancer/ngx_http_ollama_sched_state.h"
#include "reply/ngx_http_ollama_frame.h"
#include "request/ngx_http_ollama_scan.h"


/* servers that all have the model, and models that each has loaded */
#define COST_SERVERS  256
#define COST_RUNNERS  4

/* bytes of a prompt between two marks */
#define COST_MARK     1000


typedef struct {
    ngx_http_ollama_sched_t         sched;
    ngx_http_ollama_capacity_t      capacity[COST_SERVERS];
    ngx_http_ollama_prefix_t       *prefix;
    ngx_http_ollama_prefix_found_t  found;
    ngx_http_ollama_mark_t          mark[NGX_HTTP_OLLAMA_MARKS_MAX];
} cost_fleet_t;


typedef struct {
    const char  *name;
    void       (*run)(ngx_pool_t *pool, ngx_uint_t times);
} cost_t;


static void cost_frame(ngx_pool_t *pool, ngx_uint_t times);
static void cost_sse(ngx_pool_t *pool, ngx_uint_t times);
static void cost_scan(ngx_pool_t *pool, ngx_uint_t times);
static void cost_image(ngx_pool_t *pool, ngx_uint_t times);
static void cost_choice(ngx_pool_t *pool, ngx_uint_t times);
static void cost_choice_one(cost_fleet_t *f, ngx_msec_t now);
static float cost_choice_cached(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o,
    ngx_http_ollama_runner_t *runner, float *back, void *data);
static ngx_http_ollama_capacity_t *cost_choice_next(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, void *data);
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
    { "choice", cost_choice },
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

    fprintf(stderr, "usage: cost frame|sse|scan|image|choice TIMES\n");
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


/*
 * A request that gets a server, and is at its end: with a lookup of its prompt,
 * but without the walk of nginx's peers.
 */

static void
cost_choice(ngx_pool_t *pool, ngx_uint_t times)
{
    size_t         size;
    ngx_uint_t     i, k;
    cost_fleet_t  *f;

    f = calloc(1, sizeof(cost_fleet_t));
    size = ngx_http_ollama_prefix_size(32768);

    f->prefix = ngx_http_ollama_prefix_init(malloc(size), size);

    for (i = 0; i < NGX_HTTP_OLLAMA_MARKS_MAX; i++) {
        f->mark[i].hash = ngx_http_ollama_hash_mix(i + 1);
        f->mark[i].text = COST_MARK * (i + 1);
    }

    for (i = 0; i < COST_SERVERS; i++) {
        f->capacity[i].number = i;

        for (k = 1; k <= COST_RUNNERS; k++) {
            ngx_http_ollama_sched_make_runner(&f->capacity[i], k)->warm = 1;
        }
    }

    for (i = 0; i < times; i++) {
        cost_choice_one(f, 1000000 + 10 * i);
    }

    free(f->prefix);
    free(f);
}


static void
cost_choice_one(cost_fleet_t *f, ngx_msec_t now)
{
    ngx_int_t                           chosen;
    ngx_uint_t                          i;
    ngx_http_ollama_cost_t              cost;
    ngx_http_ollama_option_t            o[COST_SERVERS];
    ngx_http_ollama_ticket_t            t;
    ngx_http_ollama_figures_t           figures;

    static ngx_http_ollama_sched_ops_t  ops = {
        NULL, cost_choice_cached, NULL, NULL, cost_choice_next
    };

    ngx_memzero(&t, sizeof(t));
    t.line = 1;
    t.model = COST_RUNNERS;
    t.bytes = COST_MARK * NGX_HTTP_OLLAMA_MARKS_MAX;

    ngx_http_ollama_sched_count(&f->sched, &t, now);

    for (i = 0; i < COST_SERVERS; i++) {
        ngx_memzero(&o[i], sizeof(ngx_http_ollama_option_t));
        o[i].capacity = &f->capacity[i];
        o[i].weights = COST_RUNNERS;
        o[i].size = 4;
        o[i].weight = 1;
        o[i].warm = 1;
    }

    ngx_http_ollama_prefix_lookup(f->prefix, f->mark, NGX_HTTP_OLLAMA_MARKS_MAX,
                                  t.model, &f->found);

    chosen = ngx_http_ollama_sched_choose(&f->sched, &t, o, COST_SERVERS, &cost,
                                          &ops, f, now);

    if (chosen < 0
        || ngx_http_ollama_sched_grant(&f->sched, &t, &o[chosen], &cost, now)
           != NGX_OK)
    {
        cost_fail("no server was chosen");
    }

    figures.ok = 1;
    figures.load = 0;
    figures.prompt = 1;
    figures.generate = 1;
    figures.prompt_tokens = 16000;
    figures.generated_tokens = 100;

    (void) ngx_http_ollama_sched_end(&f->sched, &t, &figures, now + 5);

    ngx_http_ollama_prefix_add(f->prefix, f->mark, NGX_HTTP_OLLAMA_MARKS_MAX,
                               t.model, o[chosen].capacity->number,
                               t.runner->used, now);
}


static float
cost_choice_cached(ngx_http_ollama_sched_t *s, ngx_http_ollama_ticket_t *t,
    ngx_http_ollama_option_t *o, ngx_http_ollama_runner_t *runner, float *back,
    void *data)
{
    cost_fleet_t *f = data;

    size_t  text;
    double  ago;

    text = ngx_http_ollama_prefix_cached(&f->found, o->capacity->number, 0,
                                         runner->used, runner->reach, &ago);
    *back = ago;

    return text * t->tokens / t->bytes;
}


static ngx_http_ollama_capacity_t *
cost_choice_next(ngx_http_ollama_sched_t *s, ngx_http_ollama_capacity_t *c,
    void *data)
{
    cost_fleet_t *f = data;

    c = c ? c + 1 : f->capacity;

    return (c < f->capacity + COST_SERVERS) ? c : NULL;
}


static void
cost_fail(const char *what)
{
    fprintf(stderr, "cost: failed: %s\n", what);
    exit(1);
}
