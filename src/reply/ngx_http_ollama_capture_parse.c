
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The parser's callbacks: which value of a reply it is, by the objects and
 * arrays around it, and what to do with it.  Names are compared exactly, as
 * servers spell them in one way only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_parse.h"


/* as in frame.c: yajl keeps a byte for each level */
#define NGX_HTTP_OLLAMA_CAPTURE_DEPTH   256

/* digits at most of a number: no more than fit in an int64_t */
#define NGX_HTTP_OLLAMA_CAPTURE_DIGITS  18


typedef struct {
    ngx_http_ollama_capture_node_e  node;
    ngx_str_t                       name;
    ngx_uint_t                      key;
} ngx_http_ollama_capture_name_t;


static int ngx_http_ollama_capture_null(void *data);
static int ngx_http_ollama_capture_boolean(void *data, int value);
static int ngx_http_ollama_capture_number(void *data, const char *p,
    size_t len);
static int ngx_http_ollama_capture_value(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_capture_start_map(void *data);
static int ngx_http_ollama_capture_key(void *data, const u_char *p, size_t len);
static int ngx_http_ollama_capture_end_map(void *data);
static int ngx_http_ollama_capture_start_array(void *data);
static int ngx_http_ollama_capture_end_array(void *data);

static int ngx_http_ollama_capture_scalar(ngx_http_ollama_capture_t *capture);
static int ngx_http_ollama_capture_open(ngx_http_ollama_capture_t *capture,
    ngx_uint_t node);


const yajl_callbacks  ngx_http_ollama_capture_callbacks = {
    ngx_http_ollama_capture_null,
    ngx_http_ollama_capture_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_capture_number,
    ngx_http_ollama_capture_value,
    ngx_http_ollama_capture_start_map,
    ngx_http_ollama_capture_key,
    ngx_http_ollama_capture_end_map,
    ngx_http_ollama_capture_start_array,
    ngx_http_ollama_capture_end_array
};


/* Ollama: ChatResponse in api/types.go; OpenAI: openai/openai.go */

static ngx_http_ollama_capture_name_t  ngx_http_ollama_capture_names[] = {
    { node_chat, ngx_string("model"), key_model },
    { node_chat, ngx_string("message"), key_message },
    { node_chat, ngx_string("done"), key_done },
    { node_chat, ngx_string("done_reason"), key_reason },
    { node_chat, ngx_string("total_duration"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_TOTAL_DURATION },
    { node_chat, ngx_string("load_duration"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_LOAD_DURATION },
    { node_chat, ngx_string("prompt_eval_count"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_COUNT },
    { node_chat, ngx_string("prompt_eval_cached_count"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_CACHED_COUNT },
    { node_chat, ngx_string("prompt_eval_duration"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_DURATION },
    { node_chat, ngx_string("eval_count"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_EVAL_COUNT },
    { node_chat, ngx_string("eval_duration"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_EVAL_DURATION },

    { node_message, ngx_string("content"), key_content },
    { node_message, ngx_string("thinking"), key_thinking },
    { node_message, ngx_string("tool_calls"), key_calls },

    { node_completion, ngx_string("model"), key_model },
    { node_completion, ngx_string("choices"), key_choices },
    { node_completion, ngx_string("usage"), key_usage },

    { node_choice, ngx_string("index"), key_index },
    { node_choice, ngx_string("delta"), key_delta },
    { node_choice, ngx_string("message"), key_delta },
    { node_choice, ngx_string("finish_reason"), key_reason },

    { node_delta, ngx_string("content"), key_content },
    { node_delta, ngx_string("reasoning"), key_thinking },
    { node_delta, ngx_string("reasoning_content"), key_thinking },
    { node_delta, ngx_string("tool_calls"), key_calls },

    { node_call, ngx_string("index"), key_index },
    { node_call, ngx_string("id"), key_id },
    { node_call, ngx_string("function"), key_function },

    { node_function, ngx_string("name"), key_name },
    { node_function, ngx_string("arguments"), key_arguments },

    { node_usage, ngx_string("prompt_tokens"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_COUNT },
    { node_usage, ngx_string("completion_tokens"),
      key_stat + NGX_HTTP_OLLAMA_CAPTURE_EVAL_COUNT },

    { node_other, ngx_null_string, key_other }
};


static int
ngx_http_ollama_capture_null(void *data)
{
    return ngx_http_ollama_capture_scalar(data);
}


static int
ngx_http_ollama_capture_boolean(void *data, int value)
{
    ngx_http_ollama_capture_t *capture = data;

    if (capture->key == key_done) {
        capture->ending = value ? 1 : 0;
    }

    return ngx_http_ollama_capture_scalar(capture);
}


static int
ngx_http_ollama_capture_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_capture_t *capture = data;

    size_t                            i;
    int64_t                           n;
    ngx_http_ollama_capture_delta_t  *delta;

    if (capture->key != key_index && capture->key < key_stat) {
        return ngx_http_ollama_capture_scalar(capture);
    }

    /* no fractions, negative or huge numbers */

    if (len > NGX_HTTP_OLLAMA_CAPTURE_DIGITS) {
        return ngx_http_ollama_capture_scalar(capture);
    }

    for (n = 0, i = 0; i < len; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return ngx_http_ollama_capture_scalar(capture);
        }

        n = n * 10 + (p[i] - '0');
    }

    if (capture->key >= key_stat) {
        capture->frame_stat[capture->key - key_stat] = n;
        capture->has_stats = 1;

    } else if (ngx_http_ollama_capture_node(capture) == node_call) {
        delta = capture->deltas.elts;
        delta[capture->deltas.nelts - 1].index = n;

    } else {
        capture->choice = (n != 0);
    }

    return ngx_http_ollama_capture_scalar(capture);
}


/* A string, which was captured before: see ngx_http_ollama_capture_object(). */

static int
ngx_http_ollama_capture_value(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_capture_t *capture = data;

    if (capture->key == key_reason
        && capture->form == NGX_HTTP_OLLAMA_CAPTURE_EVENTS
        && len)
    {
        capture->ending = 1;
    }

    return ngx_http_ollama_capture_scalar(capture);
}


/* At depth 0 it is before or after the line's object, where none may be. */

static int
ngx_http_ollama_capture_scalar(ngx_http_ollama_capture_t *capture)
{
    capture->key = key_other;

    return capture->depth != 0;
}


static int
ngx_http_ollama_capture_start_map(void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    ngx_uint_t  node;

    if (capture->depth == 0) {

        if (capture->object) {
            /* a second one in the line */
            return 0;
        }

        capture->object = 1;
        capture->begin = ngx_http_ollama_capture_offset(capture);

        node = (capture->form == NGX_HTTP_OLLAMA_CAPTURE_LINES
                || capture->form == NGX_HTTP_OLLAMA_CAPTURE_OBJECT)
               ? node_chat : node_completion;

        return ngx_http_ollama_capture_open(capture, node);
    }

    switch (ngx_http_ollama_capture_node(capture)) {

    case node_choices:

        /* only the first one */

        capture->node[capture->depth - 1] = node_other;
        capture->choice = 0;

        return ngx_http_ollama_capture_open(capture, node_choice);

    case node_calls:
        node = ngx_http_ollama_capture_call(capture);

        return ngx_http_ollama_capture_open(capture, node);

    default:
        node = (capture->key == key_message) ? node_message
               : (capture->key == key_delta) ? node_delta
               : (capture->key == key_function) ? node_function
               : (capture->key == key_usage) ? node_usage
               : node_other;

        return ngx_http_ollama_capture_open(capture, node);
    }
}


static int
ngx_http_ollama_capture_start_array(void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    if (capture->depth == 0) {
        return 0;
    }

    if (capture->key == key_choices) {
        return ngx_http_ollama_capture_open(capture, node_choices);
    }

    if (capture->key == key_calls) {

        ngx_http_ollama_strbuf_cut(&capture->strbuf, &capture->text[key_calls],
                                   capture->committed[key_calls]);
        ngx_http_ollama_strbuf_cut(&capture->strbuf, &capture->parts, 0);
        capture->deltas.nelts = 0;

        return ngx_http_ollama_capture_open(capture, node_calls);
    }

    return ngx_http_ollama_capture_open(capture, node_other);
}


static int
ngx_http_ollama_capture_open(ngx_http_ollama_capture_t *capture,
    ngx_uint_t node)
{
    if (capture->depth == NGX_HTTP_OLLAMA_CAPTURE_DEPTH) {
        return 0;
    }

    if (capture->depth < NGX_HTTP_OLLAMA_CAPTURE_LEVELS) {
        capture->node[capture->depth] = (u_char) node;
    }

    capture->depth++;

    /* elements of an array have no key */
    capture->key = key_other;

    return 1;
}


static int
ngx_http_ollama_capture_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_capture_t *capture = data;

    ngx_uint_t                       node;
    ngx_http_ollama_capture_name_t  *name;

    node = ngx_http_ollama_capture_node(capture);

    if (node == node_other) {
        return 1;
    }

    for (name = ngx_http_ollama_capture_names; name->name.len; name++) {
        if (name->node == node
            && name->name.len == len
            && ngx_memcmp(p, name->name.data, len) == 0)
        {
            break;
        }
    }

    capture->key = name->key;

    return 1;
}


static int
ngx_http_ollama_capture_end_map(void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    if (capture->raw && capture->depth == capture->raw_depth) {
        ngx_http_ollama_capture_raw_end(capture);
    }

    if (capture->choice
        && ngx_http_ollama_capture_node(capture) == node_choice)
    {
        /* its index is known only now: it is not the first one */
        ngx_http_ollama_capture_drop(capture);
    }

    if (--capture->depth == 0) {
        ngx_http_ollama_capture_commit(capture);
    }

    return 1;
}


static int
ngx_http_ollama_capture_end_array(void *data)
{
    ngx_http_ollama_capture_t *capture = data;

    capture->depth--;

    return 1;
}
