
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Why a turn has failed, for the closing line: what the gateway or the server
 * said, or what can be told from how the reply ended.  Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "conversation/ngx_http_ollama_turn_error.h"
#include "core/ngx_http_ollama_ctx.h"
#include "core/ngx_http_ollama_error.h"
#include "util/ngx_http_ollama_strbuf.h"
#include "util/ngx_http_ollama_utf8.h"


static ngx_int_t ngx_http_ollama_turn_error_read(ngx_http_ollama_turn_t *turn,
    ngx_str_t *error);


void
ngx_http_ollama_turn_error(ngx_http_ollama_turn_t *turn, ngx_str_t *error)
{
    u_char                 *p;
    ngx_http_request_t     *r;
    ngx_http_ollama_ctx_t  *ctx;

    r = turn->request;
    ctx = turn->ctx;

    if (turn->capture->truncated) {

        if (turn->conversation->said.size
            > NGX_HTTP_OLLAMA_CONVERSATION_SIZE
              - NGX_HTTP_OLLAMA_CONVERSATION_REPLY)
        {
            ngx_http_ollama_turn_error_too_long(error);

        } else {
            ngx_str_set(error, "a reply has become longer than 16 MB");
        }

        return;
    }

    if (ctx->error.len) {
        *error = ctx->error;
        return;
    }

    if (ngx_http_ollama_turn_error_read(turn, error) == NGX_OK) {
        return;
    }

    if (turn->rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        *error = *ngx_http_ollama_error_text(turn->rc);
        return;
    }

    ngx_str_set(error, "a server sent no reply that can be read");

    p = ngx_pnalloc(r->pool, sizeof("server \"\" answered with status ") - 1
                             + ctx->server.len + NGX_INT_T_LEN);

    if (p && r->headers_out.status && r->headers_out.status != NGX_HTTP_OK) {
        error->data = p;
        error->len = ngx_sprintf(p, "server \"%V\" answered with status %ui",
                                 &ctx->server, r->headers_out.status)
                     - p;
    }
}


void
ngx_http_ollama_turn_error_too_long(ngx_str_t *error)
{
    ngx_str_set(error, "the conversation has become longer than 64 MB");
}


/*
 * The error that the server sent, {"error":"..."}; of a long one only the part
 * that was kept.  NGX_DECLINED: there is none.
 */

static ngx_int_t
ngx_http_ollama_turn_error_read(ngx_http_ollama_turn_t *turn,
    ngx_str_t *error)
{
    u_char                         *p, *last, *start;
    ngx_uint_t                      i;
    ngx_http_ollama_strbuf_t        buf;
    ngx_http_ollama_strbuf_text_t   text;

    static ngx_str_t  tokens[] = {
        ngx_string("{"), ngx_string("\"error\""), ngx_string(":"),
        ngx_string("\"")
    };

    p = turn->head;
    last = p + turn->head_len;

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == '\r'
                            || *p == '\n'))
        {
            p++;
        }

        if ((size_t) (last - p) < tokens[i].len
            || ngx_memcmp(p, tokens[i].data, tokens[i].len) != 0)
        {
            return NGX_DECLINED;
        }

        p += tokens[i].len;
    }

    for (start = p; p < last && *p != '"'; p++) {
        if (*p == '\\') {
            p++;
        }
    }

    ngx_memzero(&text, sizeof(ngx_http_ollama_strbuf_text_t));

    ngx_http_ollama_strbuf_init(&buf, turn->request->pool,
                                NGX_HTTP_OLLAMA_TURN_HEAD);
    ngx_http_ollama_strbuf_begin(&buf);
    ngx_http_ollama_strbuf_decode(&buf, &text, start, ngx_min(p, last));
    ngx_http_ollama_strbuf_end(&buf, &text);

    /* it may be cut within a character, or not be UTF-8 at all */

    error->data = text.str.data;
    error->len = ngx_http_ollama_utf8_repair(text.str.data, text.str.len);

    return error->len ? NGX_OK : NGX_DECLINED;
}
