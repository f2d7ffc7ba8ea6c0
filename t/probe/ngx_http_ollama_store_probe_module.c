
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A module for t/session_store.t, which does to a session what a generation
 * does: what is tested is src/store, without chats around it.  It is loaded
 * after the module under test, and calls its functions.
 *
 *     store_probe;          in a location
 *
 * A request's body has a line for each of the operation's arguments, the first
 * one names it:
 *
 *     begin sid owner task lock       renew sid task lock
 *     page sid after limit bytes      release sid task
 *     add sid task n message ...
 *     save sid task n last m s model server k st p
 *
 * The reply's first line is the result, and in others comes what was found.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "store/ngx_http_ollama_store.h"


#define NGX_HTTP_OLLAMA_STORE_PROBE_ARGS  32


typedef struct {
    ngx_http_ollama_store_t   store;
    ngx_http_request_t       *request;
    ngx_str_t                 args[NGX_HTTP_OLLAMA_STORE_PROBE_ARGS];
    ngx_uint_t                n;
} ngx_http_ollama_store_probe_ctx_t;


static ngx_int_t ngx_http_ollama_store_probe_handler(ngx_http_request_t *r);
static void ngx_http_ollama_store_probe_body_handler(ngx_http_request_t *r);
static void ngx_http_ollama_store_probe_lines(
    ngx_http_ollama_store_probe_ctx_t *ctx);
static ngx_int_t ngx_http_ollama_store_probe_begin(
    ngx_http_ollama_store_probe_ctx_t *ctx);
static void ngx_http_ollama_store_probe_done(ngx_http_ollama_store_t *store);
static ngx_int_t ngx_http_ollama_store_probe_send(
    ngx_http_ollama_store_probe_ctx_t *ctx);
static void ngx_http_ollama_store_probe_cleanup(void *data);
static char *ngx_http_ollama_store_probe(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_ollama_store_probe_commands[] = {

    { ngx_string("store_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_ollama_store_probe,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ollama_store_probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_ollama_store_probe_module = {
    NGX_MODULE_V1,
    &ngx_http_ollama_store_probe_module_ctx,
                                           /* module context */
    ngx_http_ollama_store_probe_commands,  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
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

ngx_module_t  *ngx_modules[] = { &ngx_http_ollama_store_probe_module, NULL };
char  *ngx_module_names[] = { "ngx_http_ollama_store_probe_module", NULL };
char  *ngx_module_order[] = { NULL };


static ngx_int_t
ngx_http_ollama_store_probe_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r,
                                    ngx_http_ollama_store_probe_body_handler);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_ollama_store_probe_body_handler(ngx_http_request_t *r)
{
    ngx_uint_t                          i;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_ollama_store_probe_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_ollama_store_probe_ctx_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_ollama_store_probe_ctx_t));

    cln->handler = ngx_http_ollama_store_probe_cleanup;

    ctx->request = r;
    ctx->store.handler = ngx_http_ollama_store_probe_done;
    ctx->store.data = ctx;
    ctx->store.log = r->connection->log;
    ctx->store.ttl = 100000;

    ngx_http_ollama_store_probe_lines(ctx);

    if (ngx_http_ollama_store_probe_begin(ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_SERVICE_UNAVAILABLE);
        return;
    }

    /* what was sent must be a copy */

    for (i = 0; i < ctx->n; i++) {
        ngx_memset(ctx->args[i].data, '#', ctx->args[i].len);
    }

    r->read_event_handler = ngx_http_test_reading;
}


static void
ngx_http_ollama_store_probe_lines(ngx_http_ollama_store_probe_ctx_t *ctx)
{
    u_char       *p, *text, *last, *end;
    ngx_chain_t  *cl;

    text = ngx_palloc(ctx->request->pool,
                      ctx->request->headers_in.content_length_n + 1);

    if (text == NULL || ctx->request->request_body == NULL) {
        return;
    }

    last = text;

    for (cl = ctx->request->request_body->bufs; cl; cl = cl->next) {
        last = ngx_cpymem(last, cl->buf->pos, ngx_buf_size(cl->buf));
    }

    for (p = text;
         p <= last && ctx->n < NGX_HTTP_OLLAMA_STORE_PROBE_ARGS;
         p = end + 1)
    {
        end = ngx_strlchr(p, last, '\n');
        end = end ? end : last;

        ctx->args[ctx->n].data = p;
        ctx->args[ctx->n++].len = end - p;
    }
}


static ngx_int_t
ngx_http_ollama_store_probe_begin(ngx_http_ollama_store_probe_ctx_t *ctx)
{
    ngx_str_t                        *a;
    ngx_http_ollama_store_t          *store;
    ngx_http_ollama_store_message_t   message;

#define is(name, count)                                                      \
    (ctx->n >= count && a[0].len == sizeof(name) - 1                         \
     && ngx_strncmp(a[0].data, name, a[0].len) == 0)
#define number(i)  ngx_atoi(a[i].data, a[i].len)

    a = ctx->args;
    store = &ctx->store;

    if (is("begin", 5)) {
        return ngx_http_ollama_store_begin(store, &a[1], &a[2], &a[3],
                                           number(4));
    }

    if (is("page", 5)) {
        return ngx_http_ollama_store_page(store, &a[1], number(2), number(3),
                                          number(4));
    }

    if (is("add", 5)) {
        return ngx_http_ollama_store_add(store, &a[1], &a[2], number(3),
                                         &a[4], ctx->n - 4);
    }

    if (is("save", 12)) {
        message.json = a[5];
        message.status = a[6];
        message.model = a[7];
        message.server = a[8];
        message.thinking = a[9];
        message.stats = a[10];
        message.participant = a[11];

        return ngx_http_ollama_store_save(store, &a[1], &a[2], number(3),
                                          &message, number(4));
    }

    if (is("renew", 4)) {
        return ngx_http_ollama_store_renew(store, &a[1], &a[2], number(3), 0);
    }

    if (is("release", 3)) {
        return ngx_http_ollama_store_release(store, &a[1], &a[2]);
    }

    return NGX_ERROR;
}


static void
ngx_http_ollama_store_probe_done(ngx_http_ollama_store_t *store)
{
    ngx_connection_t                   *c;
    ngx_http_request_t                 *r;
    ngx_http_ollama_store_probe_ctx_t  *ctx;

    ctx = store->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_finalize_request(r, ngx_http_ollama_store_probe_send(ctx));
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_ollama_store_probe_send(ngx_http_ollama_store_probe_ctx_t *ctx)
{
    u_char                    *p, *last;
    ngx_str_t                  text, type, json;
    ngx_uint_t                 i;
    ngx_http_ollama_store_t   *store;
    ngx_http_complex_value_t   cv;

    static const char  *results[] = { "ok", "none", "gone", "busy", "lost",
                                      "unavailable" };

    store = &ctx->store;

    text.data = ngx_pnalloc(ctx->request->pool, 65536);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    last = text.data + 65536;

    p = ngx_slprintf(text.data, last,
                     "%s\ntask=%V title=%V model=%V system=%V last=%L "
                     "total=%ui unanswered=%ui begun=%L more=%d\n",
                     results[store->result], &store->task,
                     &store->session.title, &store->session.model,
                     &store->session.system, store->last, store->total,
                     store->unanswered, store->begun, (int) store->more);

    for (i = 0; i < store->n; i++) {
        ngx_http_ollama_store_get_json(store, i, &json);
        p = ngx_slprintf(p, last, "%V\n", &json);
    }

    text.len = p - text.data;

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));
    cv.value = text;
    ngx_str_set(&type, "text/plain");

    return ngx_http_send_response(ctx->request, NGX_HTTP_OK, &type, &cv);
}


static void
ngx_http_ollama_store_probe_cleanup(void *data)
{
    ngx_http_ollama_store_probe_ctx_t *ctx = data;

    ngx_http_ollama_store_forget(&ctx->store);
}


static char *
ngx_http_ollama_store_probe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_ollama_store_probe_handler;

    return NGX_CONF_OK;
}
