
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Before a conversation begins: takes from the request what its turns will
 * need, and checks what can be checked without a server or Redis: the
 * participants' models and options, and the session's id and owner.  Memory is
 * that of the request's pool.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_conversation_start.h"
#include "balancer/ngx_http_ollama_candidates.h"
#include "balancer/ngx_http_ollama_names.h"
#include "conversation/ngx_http_ollama_conversation_json.h"
#include "conversation/ngx_http_ollama_conversation_session.h"
#include "core/ngx_http_ollama_conf.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "request/ngx_http_ollama_scan.h"
#include "util/ngx_http_ollama_json.h"


#define NGX_HTTP_OLLAMA_CONVERSATION_POOL  4096


static ngx_int_t ngx_http_ollama_conversation_start_headers(
    ngx_http_ollama_conversation_t *conv);
static ngx_uint_t ngx_http_ollama_conversation_start_is_own(ngx_str_t *name);
static ngx_int_t ngx_http_ollama_conversation_start_model(
    ngx_http_ollama_conversation_t *conv, ngx_uint_t i);
static ngx_int_t ngx_http_ollama_conversation_start_forbid(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_participant_t *participant);
static void ngx_http_ollama_conversation_start_cut(
    ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_participant_t *participant, ngx_http_ollama_scan_t *scan,
    ngx_str_t *text);


ngx_int_t
ngx_http_ollama_conversation_start(ngx_http_ollama_conversation_t *conv)
{
    ngx_http_request_t          *r;
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_ollama_loc_conf_t  *olcf;

    r = conv->request;

    if (ngx_array_init(&conv->replies, r->pool, 4,
                       sizeof(ngx_http_ollama_conversation_reply_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* turns start with the variables that have been evaluated so far */

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    conv->variables = ngx_palloc(r->pool, cmcf->variables.nelts
                                          * sizeof(ngx_http_variable_value_t));
    if (conv->variables == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(conv->variables, r->variables,
               cmcf->variables.nelts * sizeof(ngx_http_variable_value_t));

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    conv->uri.len = olcf->prefix.len + sizeof("/api/chat") - 1;

    conv->uri.data = ngx_pnalloc(r->pool, conv->uri.len);
    if (conv->uri.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(conv->uri.data, "%V/api/chat", &olcf->prefix);

    return ngx_http_ollama_conversation_start_headers(conv);
}


/* The client's header lines that servers get, as with any chat. */

static ngx_int_t
ngx_http_ollama_conversation_start_headers(ngx_http_ollama_conversation_t *conv)
{
    ngx_uint_t           i;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h, *line;
    ngx_http_request_t  *r;

    r = conv->request;

    if (ngx_list_init(&conv->headers, r->pool, 20, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (ngx_http_ollama_conversation_start_is_own(&h[i].key)) {
            continue;
        }

        line = ngx_list_push(&conv->headers);
        if (line == NULL) {
            return NGX_ERROR;
        }

        *line = h[i];
    }

    line = ngx_list_push(&conv->headers);
    if (line == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(line, sizeof(ngx_table_elt_t));

    line->hash = 1;
    ngx_str_set(&line->key, "Content-Type");
    line->lowcase_key = (u_char *) "content-type";
    ngx_str_set(&line->value, "application/json");

    conv->type = line;

    return NGX_OK;
}


/* Tells if a header line is about the body, or meant for the gateway. */

static ngx_uint_t
ngx_http_ollama_conversation_start_is_own(ngx_str_t *name)
{
    ngx_uint_t  i;

    static ngx_str_t  names[] = {
        ngx_string("Content-Length"),
        ngx_string("Content-Type"),
        ngx_string("Content-Encoding"),
        ngx_string("Transfer-Encoding"),
        ngx_string("Expect"),
        ngx_string("X-Ollama-Server-Url"),
        ngx_string("X-Ollama-Session-Id"),
        ngx_string("X-Ollama-Task-Id")
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (name->len == names[i].len
            && ngx_strncasecmp(name->data, names[i].data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_ollama_conversation_start_check(ngx_http_ollama_conversation_t *conv)
{
    ngx_int_t               rc;
    ngx_str_t               url;
    ngx_uint_t              i;
    ngx_http_ollama_ctx_t  *ctx;

    ctx = conv->ctx;

    /* the header line is for participants that have none of their own */
    url = ctx->scan->server_url;

    for (i = 0; i < conv->body->n; i++) {

        if (conv->body->participant[i].server_url.len == 0) {
            conv->body->participant[i].server_url = url;
        }

        rc = ngx_http_ollama_conversation_start_model(conv, i);

        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_http_ollama_conversation_start_forbid(conv,
                                                 &conv->body->participant[i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_str_null(&ctx->scan->model);
    ngx_str_null(&ctx->scan->server_url);

    return ctx->scan->session_id.len
           ? ngx_http_ollama_conversation_session_check(conv) : NGX_OK;
}


/*
 * Finds the participant's model, which is a server's from now on, and checks
 * that a server can take its chats.  If all are full now,
 * only the first participant is refused: for the others there may be a free
 * slot when it is their turn.
 */

static ngx_int_t
ngx_http_ollama_conversation_start_model(ngx_http_ollama_conversation_t *conv,
    ngx_uint_t i)
{
    ngx_int_t                       rc;
    ngx_uint_t                      aliased;
    ngx_http_ollama_ctx_t          *ctx;
    ngx_http_ollama_loc_conf_t     *olcf;
    ngx_http_ollama_candidates_t    candidates;
    ngx_http_ollama_participant_t  *participant;

    ctx = conv->ctx;

    if (ctx->cancelled) {
        /* while its models were looked for: no turn begins */
        return NGX_OK;
    }

    participant = &conv->body->participant[i];

    rc = ngx_http_ollama_names_find(conv->request, &participant->model,
                                    &participant->server_url, &aliased);

    if (rc == NGX_DECLINED) {
        return ngx_http_ollama_names_refuse(conv->request, ctx,
                                            &participant->model);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (participant->model.len == 0) {
        return ngx_http_ollama_error(conv->request, ctx, NGX_HTTP_BAD_REQUEST,
                                     "\"models[%ui].model\" is required", i);
    }

    olcf = ngx_http_get_module_loc_conf(conv->request, ngx_http_ollama_module);

    if (!olcf->fixed) {
        /* the turn will find out */
        return NGX_OK;
    }

    ctx->scan->model = participant->model;
    ctx->scan->server_url = participant->server_url;

    rc = ngx_http_ollama_candidates_find(conv->request, ctx, olcf->up,
                                         &candidates);

    if (rc == NGX_DECLINED || (rc == NGX_HTTP_SERVICE_UNAVAILABLE
                               && candidates.full && i > 0))
    {
        return NGX_OK;
    }

    return rc;
}


/* Applies ollama_forbid to the options, as to those of any chat. */

static ngx_int_t
ngx_http_ollama_conversation_start_forbid(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_participant_t *participant)
{
    u_char                      *p;
    ngx_int_t                    rc;
    ngx_str_t                    text;
    ngx_pool_t                  *temp;
    ngx_http_request_t          *r;
    ngx_http_ollama_scan_t       scan;
    ngx_http_ollama_loc_conf_t  *olcf;

    r = conv->request;
    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    if (olcf->forbid == NULL || participant->options.len == 0) {
        return NGX_OK;
    }

    text.len = sizeof("{\"options\":}") - 1 + participant->options.len;

    text.data = ngx_pnalloc(r->pool, text.len);
    temp = ngx_create_pool(NGX_HTTP_OLLAMA_CONVERSATION_POOL,
                           r->connection->log);

    if (text.data == NULL || temp == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p = ngx_cpymem(text.data, "{\"options\":", sizeof("{\"options\":") - 1);
    p = ngx_cpymem(p, participant->options.data, participant->options.len);
    *p = '}';

    ngx_memzero(&scan, sizeof(ngx_http_ollama_scan_t));

    rc = ngx_http_ollama_scan_init(&scan, r->pool, temp,
                                   NGX_HTTP_OLLAMA_SCAN_OPTIONS
                                   |NGX_HTTP_OLLAMA_SCAN_SESSION,
                                   olcf->forbid);
    if (rc == NGX_OK) {
        rc = ngx_http_ollama_scan_feed(&scan, text.data, text.len);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_ollama_scan_end(&scan);
    }

    if (rc == NGX_OK) {
        ngx_http_ollama_conversation_start_cut(conv, participant, &scan, &text);

    } else if (rc == NGX_DECLINED) {
        rc = ngx_http_ollama_error(r, conv->ctx, NGX_HTTP_BAD_REQUEST,
                                   "invalid options: %V", &scan.error);

    } else {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_destroy_pool(temp);

    return rc;
}


/* Removes the fields that "scan" has found in {"options":...}. */

static void
ngx_http_ollama_conversation_start_cut(ngx_http_ollama_conversation_t *conv,
    ngx_http_ollama_participant_t *participant, ngx_http_ollama_scan_t *scan,
    ngx_str_t *text)
{
    u_char                  *p, *from;
    ngx_uint_t               i;
    ngx_http_ollama_cut_t   *cut;
    ngx_http_ollama_scan_t  *all;

    if (scan->cuts.nelts == 0) {
        return;
    }

    /* which fields were removed, for the reply's header */

    all = conv->ctx->scan;
    all->forbid = scan->forbid;
    all->nforbid = scan->nforbid;
    all->removed |= scan->removed;

    cut = scan->cuts.elts;
    p = text->data;
    from = text->data;

    for (i = 0; i < scan->cuts.nelts; i++) {
        p = ngx_movemem(p, from, text->data + cut[i].start - from);
        from = text->data + cut[i].end;
    }

    p = ngx_movemem(p, from, text->data + text->len - from);
    text->len = p - text->data;

    ngx_str_null(&participant->options);

    if (text->len > sizeof("{\"options\":}") - 1) {
        participant->options.data = text->data + sizeof("{\"options\":") - 1;
        participant->options.len = text->len - (sizeof("{\"options\":}") - 1);
    }
}
