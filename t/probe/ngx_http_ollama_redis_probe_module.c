
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A module for t/redis.t, which gives HTTP requests to Redis as they are: what
 * is tested is src/redis, without sessions around it.  It is loaded after the
 * module under test, and calls its functions.
 *
 *     redis_probe;                in a location: see the handler
 *     redis_probe_subscribe name; in http: each worker does, without a prefix
 *
 * A request's arguments are those of the command, one a line of its body, and
 * in its query:
 *
 *     script=N    the body is for the script below, its first N lines are keys
 *     count=N     the command is sent so often, at once
 *     forget=1    and forgotten at once: "forgotten"
 *     state=1     no command: "available" or "unavailable", the prefix, how
 *                 often the subscription began, and the messages
 *
 * The reply tells for each of them "unavailable", "error: ..", "refused: ..",
 * or what came; equal ones in a row once, with their number.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "redis/ngx_http_ollama_redis.h"


#define NGX_HTTP_OLLAMA_REDIS_PROBE_ARGS  64


typedef struct {
    ngx_str_t                      channel;
} ngx_http_ollama_redis_probe_conf_t;


typedef struct {
    ngx_http_request_t            *request;
    ngx_http_ollama_redis_call_t  *calls;
    ngx_uint_t                     ncalls;
    ngx_uint_t                     waiting;
    ngx_uint_t                     same;
    ngx_str_t                      last;
    ngx_chain_t                   *out;
    ngx_chain_t                  **tail;
    off_t                          size;
    unsigned                       issuing:1;
} ngx_http_ollama_redis_probe_ctx_t;


static ngx_int_t ngx_http_ollama_redis_probe_handler(ngx_http_request_t *r);
static void ngx_http_ollama_redis_probe_body_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ollama_redis_probe_arg(ngx_http_request_t *r,
    char *name);
static ngx_uint_t ngx_http_ollama_redis_probe_lines(ngx_http_request_t *r,
    ngx_str_t *argv);
static void ngx_http_ollama_redis_probe_done(
    ngx_http_ollama_redis_call_t *call, redisReply *reply);
static void ngx_http_ollama_redis_probe_reply(
    ngx_http_ollama_redis_probe_ctx_t *ctx, redisReply *reply);
static void ngx_http_ollama_redis_probe_say(
    ngx_http_ollama_redis_probe_ctx_t *ctx, const char *fmt, ...);
static void ngx_http_ollama_redis_probe_flush(
    ngx_http_ollama_redis_probe_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_redis_probe_send(
    ngx_http_ollama_redis_probe_ctx_t *ctx);
static void ngx_http_ollama_redis_probe_cleanup(void *data);
static void ngx_http_ollama_redis_probe_message(void *data,
    ngx_str_t *message);
static void ngx_http_ollama_redis_probe_reconnected(void *data);
static ngx_int_t ngx_http_ollama_redis_probe_init_process(
    ngx_cycle_t *cycle);
static void *ngx_http_ollama_redis_probe_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_ollama_redis_probe(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_ollama_redis_probe_commands[] = {

    { ngx_string("redis_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_ollama_redis_probe,
      0,
      0,
      NULL },

    { ngx_string("redis_probe_subscribe"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_ollama_redis_probe_conf_t, channel),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ollama_redis_probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_ollama_redis_probe_create_main_conf,
                                           /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_ollama_redis_probe_module = {
    NGX_MODULE_V1,
    &ngx_http_ollama_redis_probe_module_ctx,
                                           /* module context */
    ngx_http_ollama_redis_probe_commands,  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_ollama_redis_probe_init_process,
                                           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* what nginx's makefile would add for a dynamic module */

extern ngx_module_t  *ngx_modules[];
extern char          *ngx_module_names[];
extern char          *ngx_module_order[];

ngx_module_t  *ngx_modules[] = { &ngx_http_ollama_redis_probe_module, NULL };
char  *ngx_module_names[] = { "ngx_http_ollama_redis_probe_module", NULL };
char  *ngx_module_order[] = { NULL };


static ngx_http_ollama_redis_script_t  ngx_http_ollama_redis_probe_script =
    ngx_http_ollama_redis_script_text(
        "redis.call('INCR', KEYS[1])\n"
        "return {KEYS[1], ARGV[1], #KEYS, #ARGV}\n");

static ngx_http_ollama_redis_subscription_t  ngx_http_ollama_redis_probe_sub;

static ngx_uint_t  ngx_http_ollama_redis_probe_began;
static u_char      ngx_http_ollama_redis_probe_text[1024];
static size_t      ngx_http_ollama_redis_probe_len;


static ngx_int_t
ngx_http_ollama_redis_probe_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r,
                                    ngx_http_ollama_redis_probe_body_handler);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_ollama_redis_probe_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_str_t                           argv[NGX_HTTP_OLLAMA_REDIS_PROBE_ARGS];
    ngx_str_t                          *prefix;
    ngx_uint_t                          i, n, argc, keys, forget;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_ollama_redis_call_t       *call;
    ngx_http_ollama_redis_probe_ctx_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_ollama_redis_probe_ctx_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (ctx == NULL || cln == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ctx->request = r;
    ctx->tail = &ctx->out;

    cln->handler = ngx_http_ollama_redis_probe_cleanup;
    cln->data = ctx;

    if (ngx_http_ollama_redis_probe_arg(r, "state")) {

        prefix = ngx_http_ollama_redis_prefix();

        ngx_http_ollama_redis_probe_say(ctx, "%s prefix=%V began=%ui%*s",
                                        ngx_http_ollama_redis_available()
                                            ? "available" : "unavailable",
                                        prefix ? prefix
                                            : &(ngx_str_t) ngx_string("-"),
                                        ngx_http_ollama_redis_probe_began,
                                        ngx_http_ollama_redis_probe_len,
                                        ngx_http_ollama_redis_probe_text);

        ngx_http_finalize_request(r, ngx_http_ollama_redis_probe_send(ctx));
        return;
    }

    argc = ngx_http_ollama_redis_probe_lines(r, argv);
    keys = ngx_http_ollama_redis_probe_arg(r, "script");
    forget = ngx_http_ollama_redis_probe_arg(r, "forget");

    n = ngx_http_ollama_redis_probe_arg(r, "count");
    n = n ? n : 1;

    ctx->calls = ngx_pcalloc(r->pool, n * sizeof(ngx_http_ollama_redis_call_t));
    if (ctx->calls == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ctx->ncalls = n;
    ctx->issuing = 1;

    for (i = 0; i < n; i++) {
        call = &ctx->calls[i];

        call->handler = ngx_http_ollama_redis_probe_done;
        call->data = ctx;

        rc = keys ? ngx_http_ollama_redis_script(call,
                                        &ngx_http_ollama_redis_probe_script,
                                        keys, argc, argv)
                  : ngx_http_ollama_redis_command(call, argc, argv);

        if (rc != NGX_OK) {
            ngx_http_ollama_redis_probe_say(ctx, "unavailable");
            continue;
        }

        if (forget) {
            ngx_http_ollama_redis_forget(call);
            ngx_http_ollama_redis_probe_say(ctx, "forgotten");
            continue;
        }

        ctx->waiting++;
    }

    ctx->issuing = 0;

    /* what was sent must be a copy */

    for (i = 0; i < argc; i++) {
        ngx_memset(argv[i].data, '#', argv[i].len);
    }

    if (ctx->waiting == 0) {
        ngx_http_finalize_request(r, ngx_http_ollama_redis_probe_send(ctx));
        return;
    }

    r->read_event_handler = ngx_http_test_reading;
}


static ngx_uint_t
ngx_http_ollama_redis_probe_arg(ngx_http_request_t *r, char *name)
{
    ngx_int_t  n;
    ngx_str_t  value;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &value) != NGX_OK) {
        return 0;
    }

    n = ngx_atoi(value.data, value.len);

    return (n == NGX_ERROR) ? 0 : n;
}


static ngx_uint_t
ngx_http_ollama_redis_probe_lines(ngx_http_request_t *r, ngx_str_t *argv)
{
    u_char       *p, *last, *end, *text;
    off_t         size;
    ngx_uint_t    argc;
    ngx_chain_t  *cl;

    argc = 0;
    size = 0;

    if (r->request_body == NULL || r->request_body->temp_file) {
        return 0;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    text = ngx_palloc(r->pool, size + 1);
    if (text == NULL) {
        return 0;
    }

    last = text;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        last = ngx_cpymem(last, cl->buf->pos, ngx_buf_size(cl->buf));
    }

    for (p = text;
         p < last && argc < NGX_HTTP_OLLAMA_REDIS_PROBE_ARGS;
         p = end + 1)
    {
        end = ngx_strlchr(p, last, '\n');
        end = end ? end : last;

        argv[argc].data = p;
        argv[argc++].len = end - p;
    }

    return argc;
}


static void
ngx_http_ollama_redis_probe_done(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_connection_t                   *c;
    ngx_http_request_t                 *r;
    ngx_http_ollama_redis_probe_ctx_t  *ctx;

    ctx = call->data;

    if (ctx->issuing) {
        ngx_http_ollama_redis_probe_say(ctx, "called at once");
    }

    if (reply == NULL) {
        ngx_http_ollama_redis_probe_say(ctx, "%s: %V",
                                        call->refused ? "refused" : "error",
                                        &call->error);

    } else {
        ngx_http_ollama_redis_probe_reply(ctx, reply);
    }

    if (--ctx->waiting) {
        return;
    }

    r = ctx->request;
    c = r->connection;

    ngx_http_finalize_request(r, ngx_http_ollama_redis_probe_send(ctx));
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ollama_redis_probe_reply(ngx_http_ollama_redis_probe_ctx_t *ctx,
    redisReply *reply)
{
    size_t  i;

    switch (reply->type) {

    case REDIS_REPLY_ARRAY:
        ngx_http_ollama_redis_probe_say(ctx, "array %uz", reply->elements);

        for (i = 0; i < reply->elements && i < 8; i++) {
            ngx_http_ollama_redis_probe_reply(ctx, reply->element[i]);
        }

        break;

    case REDIS_REPLY_INTEGER:
        ngx_http_ollama_redis_probe_say(ctx, "integer %L",
                                        (int64_t) reply->integer);
        break;

    case REDIS_REPLY_NIL:
        ngx_http_ollama_redis_probe_say(ctx, "nil");
        break;

    case REDIS_REPLY_STATUS:
        ngx_http_ollama_redis_probe_say(ctx, "status %s", reply->str);
        break;

    default:
        if (reply->len > 64) {
            ngx_http_ollama_redis_probe_say(ctx, "string of %uz", reply->len);
            break;
        }

        ngx_http_ollama_redis_probe_say(ctx, "string %s", reply->str);
    }
}


static void
ngx_http_ollama_redis_probe_say(ngx_http_ollama_redis_probe_ctx_t *ctx,
    const char *fmt, ...)
{
    u_char     *last, text[2048];
    va_list     args;
    ngx_str_t   line;

    va_start(args, fmt);
    last = ngx_vslprintf(text, text + sizeof(text), fmt, args);
    va_end(args);

    if (ctx->same && ctx->last.len == (size_t) (last - text)
        && ngx_memcmp(ctx->last.data, text, ctx->last.len) == 0)
    {
        ctx->same++;
        return;
    }

    ngx_http_ollama_redis_probe_flush(ctx);

    line.data = text;
    line.len = last - text;

    ctx->last.len = line.len;
    ctx->last.data = ngx_pstrdup(ctx->request->pool, &line);
    ctx->same = ctx->last.data ? 1 : 0;
}


static void
ngx_http_ollama_redis_probe_flush(ngx_http_ollama_redis_probe_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (ctx->same == 0) {
        return;
    }

    cl = ngx_alloc_chain_link(ctx->request->pool);
    b = ngx_create_temp_buf(ctx->request->pool,
                            ctx->last.len + NGX_INT_T_LEN + 8);

    if (cl == NULL || b == NULL) {
        return;
    }

    b->last = ngx_cpymem(b->last, ctx->last.data, ctx->last.len);

    if (ctx->same > 1) {
        b->last = ngx_sprintf(b->last, " (%ui)", ctx->same);
    }

    *b->last++ = LF;

    cl->buf = b;
    cl->next = NULL;

    *ctx->tail = cl;
    ctx->tail = &cl->next;
    ctx->size += b->last - b->pos;
    ctx->same = 0;
}


static ngx_int_t
ngx_http_ollama_redis_probe_send(ngx_http_ollama_redis_probe_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_ollama_redis_probe_flush(ctx);

    if (ctx->out == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (cl = ctx->out; cl->next; cl = cl->next) { /* void */ }

    cl->buf->last_buf = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = ctx->size;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, ctx->out);
}


static void
ngx_http_ollama_redis_probe_cleanup(void *data)
{
    ngx_http_ollama_redis_probe_ctx_t *ctx = data;

    ngx_uint_t  i;

    for (i = 0; i < ctx->ncalls; i++) {
        ngx_http_ollama_redis_forget(&ctx->calls[i]);
    }
}


static void
ngx_http_ollama_redis_probe_message(void *data, ngx_str_t *message)
{
    u_char  *p, *last;

    p = ngx_http_ollama_redis_probe_text + ngx_http_ollama_redis_probe_len;
    last = ngx_http_ollama_redis_probe_text
           + sizeof(ngx_http_ollama_redis_probe_text);

    ngx_http_ollama_redis_probe_len = ngx_slprintf(p, last, " %V", message)
                                      - ngx_http_ollama_redis_probe_text;
}


static void
ngx_http_ollama_redis_probe_reconnected(void *data)
{
    ngx_http_ollama_redis_probe_began++;

    if (!ngx_http_ollama_redis_available()) {
        ngx_http_ollama_redis_probe_message(NULL,
                                   &(ngx_str_t) ngx_string("too-early"));
    }
}


static ngx_int_t
ngx_http_ollama_redis_probe_init_process(ngx_cycle_t *cycle)
{
    ngx_http_ollama_redis_probe_conf_t    *pcf;
    ngx_http_ollama_redis_subscription_t  *sub;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    pcf = ngx_http_cycle_get_module_main_conf(cycle,
                                          ngx_http_ollama_redis_probe_module);

    if (pcf == NULL || pcf->channel.len == 0) {
        return NGX_OK;
    }

    sub = &ngx_http_ollama_redis_probe_sub;

    sub->channel = pcf->channel;
    sub->handler = ngx_http_ollama_redis_probe_message;
    sub->reconnected = ngx_http_ollama_redis_probe_reconnected;

    return ngx_http_ollama_redis_subscribe(sub);
}


static void *
ngx_http_ollama_redis_probe_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_ollama_redis_probe_conf_t));
}


static char *
ngx_http_ollama_redis_probe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_ollama_redis_probe_handler;

    return NGX_CONF_OK;
}
