
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Makes messages, as they are stored, of those that session_import has found in
 * a body; one at a time, as the body may be large.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "api/ngx_http_ollama_session_imported.h"
#include "request/ngx_http_ollama_body.h"
#include "util/ngx_http_ollama_emit.h"
#include "util/ngx_http_ollama_strbuf.h"


/* the parts of a message's JSON */

typedef struct {
    ngx_str_t       name[NGX_HTTP_OLLAMA_SESSION_IMPORT_SENT];
    ngx_str_t       value[NGX_HTTP_OLLAMA_SESSION_IMPORT_SENT];
} ngx_http_ollama_session_imported_t;


static ngx_int_t ngx_http_ollama_session_imported_thinking(ngx_pool_t *pool,
    ngx_str_t *raw, ngx_str_t *thinking);
static void ngx_http_ollama_session_imported_json(ngx_http_ollama_emit_t *t,
    void *data);


/* by their index in "raw" */

static ngx_str_t  ngx_http_ollama_session_imported_names[] = {
    ngx_string("role"),
    ngx_string("content"),
    ngx_string("images"),
    ngx_string("tool_calls"),
    ngx_string("tool_name")
};


ngx_int_t
ngx_http_ollama_session_imported(ngx_http_ollama_session_import_t *import,
    ngx_uint_t i, ngx_http_request_t *r, ngx_http_ollama_ctx_t *ctx,
    ngx_pool_t *pool, ngx_http_ollama_store_message_t *message)
{
    ngx_str_t                                  raw;
    ngx_uint_t                                 k;
    ngx_time_t                                *tp;
    ngx_http_ollama_session_imported_t         json;
    ngx_http_ollama_session_import_message_t  *m;

    m = import->messages.elts;
    m += i;

    ngx_memzero(&json, sizeof(ngx_http_ollama_session_imported_t));
    ngx_memzero(message, sizeof(ngx_http_ollama_store_message_t));

    for (k = 0; k < NGX_HTTP_OLLAMA_SESSION_IMPORT_RAW; k++) {

        if (m->raw[k].end == 0) {
            continue;
        }

        raw.len = m->raw[k].end - m->raw[k].start;

        raw.data = ngx_http_ollama_body_span(r, ctx, &m->raw[k], pool);
        if (raw.data == NULL) {
            return NGX_ERROR;
        }

        if (k == NGX_HTTP_OLLAMA_SESSION_IMPORT_STATS) {
            message->stats = raw;

        } else if (k < NGX_HTTP_OLLAMA_SESSION_IMPORT_SENT) {
            json.name[k] = ngx_http_ollama_session_imported_names[k];
            json.value[k] = raw;

        } else if (ngx_http_ollama_session_imported_thinking(pool, &raw,
                                                           &message->thinking)
                   != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (json.value[NGX_HTTP_OLLAMA_SESSION_IMPORT_CONTENT].len == 0) {
        k = NGX_HTTP_OLLAMA_SESSION_IMPORT_CONTENT;

        json.name[k] = ngx_http_ollama_session_imported_names[k];
        ngx_str_set(&json.value[k], "\"\"");
    }

    message->status = m->status;
    message->model = m->model;
    message->server = m->server;
    message->participant = m->participant;
    message->created = m->created;

    if (message->status.len == 0) {
        ngx_str_set(&message->status, "complete");
    }

    if (message->created == 0) {
        tp = ngx_timeofday();
        message->created = (int64_t) tp->sec * 1000 + tp->msec;
    }

    return ngx_http_ollama_emit_make(pool,
                                     ngx_http_ollama_session_imported_json,
                                     &json, &message->json);
}


/* Decodes the string, which has its quotes. */

static ngx_int_t
ngx_http_ollama_session_imported_thinking(ngx_pool_t *pool, ngx_str_t *raw,
    ngx_str_t *thinking)
{
    ngx_http_ollama_strbuf_t       buf;
    ngx_http_ollama_strbuf_text_t  text;

    ngx_memzero(&text, sizeof(ngx_http_ollama_strbuf_text_t));

    ngx_http_ollama_strbuf_init(&buf, pool, raw->len);
    ngx_http_ollama_strbuf_begin(&buf);
    ngx_http_ollama_strbuf_decode(&buf, &text, raw->data + 1,
                                  raw->data + raw->len - 1);
    ngx_http_ollama_strbuf_end(&buf, &text);

    *thinking = text.str;

    return buf.failed ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_ollama_session_imported_json(ngx_http_ollama_emit_t *t, void *data)
{
    ngx_http_ollama_session_imported_t *json = data;

    ngx_uint_t  k, n;

    ngx_http_ollama_emit_add(t, "{");

    for (k = 0, n = 0; k < NGX_HTTP_OLLAMA_SESSION_IMPORT_SENT; k++) {

        if (json->value[k].len) {
            ngx_http_ollama_emit_add(t, n++ ? ",\"" : "\"");
            ngx_http_ollama_emit_raw(t, &json->name[k]);
            ngx_http_ollama_emit_add(t, "\":");
            ngx_http_ollama_emit_raw(t, &json->value[k]);
        }
    }

    ngx_http_ollama_emit_add(t, "}");
}
