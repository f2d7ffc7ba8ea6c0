
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The final frame of a generation that was stopped, as its endpoint has it: to
 * a client it is the proper end of a reply.  In Ollama's own frames the reason
 * is "cancelled".  The clients of the other interfaces accept no such reason:
 * there it is "stop", or what they have instead.
 *
 * The frames are those of Ollama 0.17: api/types.go, openai/openai.go,
 * openai/responses.go, anthropic/anthropic.go.  It uses no request, so that
 * unit tests can run it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_final_frame.h"


/* bytes at most of a frame without the model's name and the id */
#define NGX_HTTP_OLLAMA_FINAL_FRAME_MAX  2048


static u_char *ngx_http_ollama_final_frame_ollama(
    ngx_http_ollama_final_frame_t *final, ngx_str_t *model, u_char *p,
    u_char *end);
static u_char *ngx_http_ollama_final_frame_openai(
    ngx_http_ollama_final_frame_t *final, ngx_str_t *model, u_char *p,
    u_char *end);
static u_char *ngx_http_ollama_final_frame_response(
    ngx_http_ollama_final_frame_t *final, ngx_str_t *model, u_char *p,
    u_char *end);
static u_char *ngx_http_ollama_final_frame_status(
    ngx_http_ollama_final_frame_t *final, ngx_str_t *model, const char *status,
    u_char *p, u_char *end);
static u_char *ngx_http_ollama_final_frame_message(
    ngx_http_ollama_final_frame_t *final, ngx_str_t *model, u_char *p,
    u_char *end);
static ngx_int_t ngx_http_ollama_final_frame_escape(ngx_pool_t *pool,
    ngx_str_t *text, ngx_str_t *escaped);


ngx_int_t
ngx_http_ollama_final_frame(ngx_http_ollama_final_frame_t *final,
    ngx_pool_t *pool, ngx_str_t *text)
{
    u_char     *p, *end;
    size_t      size;
    ngx_str_t   model;

    if (ngx_http_ollama_final_frame_escape(pool, &final->model, &model)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    size = NGX_HTTP_OLLAMA_FINAL_FRAME_MAX + 3 * (model.len + final->id.len);

    text->data = ngx_pnalloc(pool, size);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    p = text->data;
    end = p + size;

    switch (final->last) {

    case NGX_HTTP_OLLAMA_END_MARK:
        p = ngx_http_ollama_final_frame_openai(final, &model, p, end);
        break;

    case NGX_HTTP_OLLAMA_END_RESPONSE:
        p = ngx_http_ollama_final_frame_response(final, &model, p, end);
        break;

    case NGX_HTTP_OLLAMA_END_MESSAGE:
        p = ngx_http_ollama_final_frame_message(final, &model, p, end);
        break;

    default: /* NGX_HTTP_OLLAMA_END_DONE */
        p = ngx_http_ollama_final_frame_ollama(final, &model, p, end);
        break;
    }

    text->len = p - text->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_final_frame_escape(ngx_pool_t *pool, ngx_str_t *text,
    ngx_str_t *escaped)
{
    escaped->len = text->len + ngx_escape_json(NULL, text->data, text->len);

    escaped->data = ngx_pnalloc(pool, escaped->len);
    if (escaped->data == NULL) {
        return NGX_ERROR;
    }

    ngx_escape_json(escaped->data, text->data, text->len);

    return NGX_OK;
}


static u_char *
ngx_http_ollama_final_frame_ollama(ngx_http_ollama_final_frame_t *final,
    ngx_str_t *model, u_char *p, u_char *end)
{
    ngx_tm_t    tm;
    ngx_uint_t  chat;

    ngx_gmtime(final->sec, &tm);

    chat = (ngx_strncmp(final->path.data, "/api/chat", final->path.len) == 0);

    p = ngx_slprintf(p, end,
                     "{\"model\":\"%V\","
                     "\"created_at\":\"%4d-%02d-%02dT%02d:%02d:%02d.%03uiZ\","
                     "%s,\"done\":true,\"done_reason\":\"cancelled\"",
                     model, tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                     tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec, final->msec,
                     chat ? "\"message\":{\"role\":\"assistant\","
                            "\"content\":\"\"}"
                          : "\"response\":\"\"");

    return ngx_slprintf(p, end, "}%s",
                        final->form == NGX_HTTP_OLLAMA_FRAME_LINES ? "\n"
                                                                  : "");
}


static u_char *
ngx_http_ollama_final_frame_openai(ngx_http_ollama_final_frame_t *final,
    ngx_str_t *model, u_char *p, u_char *end)
{
    ngx_uint_t   chat, whole;
    const char  *object, *content;

    chat = (ngx_strncmp(final->path.data, "/v1/chat/completions",
                        final->path.len)
            == 0);
    whole = (final->form == NGX_HTTP_OLLAMA_FRAME_WHOLE);

    if (chat) {
        object = whole ? "chat.completion" : "chat.completion.chunk";
        content = whole ? "\"message\":{\"role\":\"assistant\","
                          "\"content\":\"\"}"
                        : "\"delta\":{\"role\":\"assistant\","
                          "\"content\":\"\"}";

    } else {
        object = "text_completion";
        content = "\"text\":\"\"";
    }

    p = ngx_slprintf(p, end,
                     "%s{\"id\":\"%s-%V\",\"object\":\"%s\",\"created\":%T,"
                     "\"model\":\"%V\",\"system_fingerprint\":\"fp_ollama\","
                     "\"choices\":[{\"index\":0,%s,\"finish_reason\":"
                     "\"stop\"}]",
                     whole ? "" : "data: ", chat ? "chatcmpl" : "cmpl",
                     &final->id, object, final->sec, model, content);

    if (!whole) {
        return ngx_slprintf(p, end, "}\n\ndata: [DONE]\n\n");
    }

    /* it has counted no tokens */

    return ngx_slprintf(p, end,
                        ",\"usage\":{\"prompt_tokens\":0,"
                        "\"completion_tokens\":0,\"total_tokens\":0}}");
}


static u_char *
ngx_http_ollama_final_frame_response(ngx_http_ollama_final_frame_t *final,
    ngx_str_t *model, u_char *p, u_char *end)
{
    ngx_uint_t  n;

    if (final->form == NGX_HTTP_OLLAMA_FRAME_WHOLE) {
        return ngx_http_ollama_final_frame_status(final, model, "incomplete",
                                                  p, end);
    }

    n = final->frames;

    if (n == 0) {

        /* to clients a response is unknown until it is created */

        p = ngx_slprintf(p, end,
                         "event: response.created\n"
                         "data: {\"type\":\"response.created\","
                         "\"sequence_number\":%ui,\"response\":", n++);
        p = ngx_http_ollama_final_frame_status(final, model, "in_progress",
                                               p, end);

        p = ngx_slprintf(p, end,
                         "}\n\nevent: response.in_progress\n"
                         "data: {\"type\":\"response.in_progress\","
                         "\"sequence_number\":%ui,\"response\":", n++);
        p = ngx_http_ollama_final_frame_status(final, model, "in_progress",
                                               p, end);
        p = ngx_slprintf(p, end, "}\n\n");
    }

    p = ngx_slprintf(p, end,
                     "event: response.incomplete\n"
                     "data: {\"type\":\"response.incomplete\","
                     "\"sequence_number\":%ui,\"response\":", n);
    p = ngx_http_ollama_final_frame_status(final, model, "incomplete", p, end);

    return ngx_slprintf(p, end, "}\n\n");
}


/* The response as an object, with that status. */

static u_char *
ngx_http_ollama_final_frame_status(ngx_http_ollama_final_frame_t *final,
    ngx_str_t *model, const char *status, u_char *p, u_char *end)
{
    return ngx_slprintf(p, end,
                        "{\"id\":\"%s%V\",\"object\":\"response\","
                        "\"created_at\":%T,\"status\":\"%s\","
                        "\"error\":null,\"incomplete_details\":%s,"
                        "\"instructions\":null,"
                        "\"metadata\":{},\"model\":\"%V\",\"output\":[],"
                        "\"parallel_tool_calls\":true,\"temperature\":null,"
                        "\"tool_choice\":\"auto\",\"tools\":[],"
                        "\"top_p\":null,\"usage\":null}",
                        final->reply.len ? "" : "resp_",
                        final->reply.len ? &final->reply : &final->id,
                        final->sec, status,
                        ngx_strcmp(status, "incomplete") == 0
                        ? "{\"reason\":\"cancelled\"}" : "null",
                        model);
}


static u_char *
ngx_http_ollama_final_frame_message(ngx_http_ollama_final_frame_t *final,
    ngx_str_t *model, u_char *p, u_char *end)
{
    ngx_uint_t   whole;
    const char  *reason;

    whole = (final->form == NGX_HTTP_OLLAMA_FRAME_WHOLE);
    reason = whole ? "\"end_turn\"" : "null";

    if (!whole && final->frames == 0) {
        p = ngx_slprintf(p, end,
                         "event: message_start\n"
                         "data: {\"type\":\"message_start\",\"message\":");
    }

    if (whole || final->frames == 0) {
        p = ngx_slprintf(p, end,
                         "{\"id\":\"msg_%V\",\"type\":\"message\","
                         "\"role\":\"assistant\",\"model\":\"%V\","
                         "\"content\":[],\"stop_reason\":%s,"
                         "\"stop_sequence\":null,\"usage\":{"
                         "\"input_tokens\":0,\"output_tokens\":0}}",
                         &final->id, model, reason);
    }

    if (whole) {
        return p;
    }

    if (final->frames == 0) {
        p = ngx_slprintf(p, end, "}\n\n");
    }

    if (final->block != -1) {
        p = ngx_slprintf(p, end,
                         "event: content_block_stop\n"
                         "data: {\"type\":\"content_block_stop\","
                         "\"index\":%i}\n\n", final->block);
    }

    return ngx_slprintf(p, end,
                        "event: message_delta\n"
                        "data: {\"type\":\"message_delta\",\"delta\":{"
                        "\"stop_reason\":\"end_turn\","
                        "\"stop_sequence\":null},\"usage\":{"
                        "\"output_tokens\":%i}}\n\n"
                        "event: message_stop\n"
                        "data: {\"type\":\"message_stop\"}\n\n",
                        ngx_max(final->generated_tokens, 0));
}
