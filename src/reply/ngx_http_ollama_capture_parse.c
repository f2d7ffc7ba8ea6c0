
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The parser's callbacks for a reply of a server: which value it is, by the
 * way down to it, and what to do with it.  Names are compared exactly, as
 * servers spell them in one way only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_capture_parse.h"


/* as frame has it: yajl keeps a byte for each level */
#define NGX_HTTP_OLLAMA_CAPTURE_DEPTH   256

/* digits of a number that surely fits */
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

static int ngx_http_ollama_capture_scalar(ngx_http_ollama_capture_t *said);
static int ngx_http_ollama_capture_open(ngx_http_ollama_capture_t *said,
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
    ngx_http_ollama_capture_t *said = data;

    if (said->key == key_done) {
        said->ending = value ? 1 : 0;
    }

    return ngx_http_ollama_capture_scalar(said);
}


static int
ngx_http_ollama_capture_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_capture_t *said = data;

    size_t                            i;
    int64_t                           n;
    ngx_http_ollama_capture_delta_t  *delta;

    if (said->key != key_index && said->key < key_stat) {
        return ngx_http_ollama_capture_scalar(said);
    }

    /* neither fractions nor what is less than none or beyond all bounds */

    if (len > NGX_HTTP_OLLAMA_CAPTURE_DIGITS) {
        return ngx_http_ollama_capture_scalar(said);
    }

    for (n = 0, i = 0; i < len; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return ngx_http_ollama_capture_scalar(said);
        }

        n = n * 10 + (p[i] - '0');
    }

    if (said->key >= key_stat) {
        said->told[said->key - key_stat] = n;
        said->counted = 1;

    } else if (ngx_http_ollama_capture_node(said) == node_call) {
        delta = said->deltas.elts;
        delta[said->deltas.nelts - 1].index = n;

    } else {
        said->choice = (n != 0);
    }

    return ngx_http_ollama_capture_scalar(said);
}


/* A string; it has been looked at before. */

static int
ngx_http_ollama_capture_value(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_capture_t *said = data;

    if (said->key == key_reason
        && said->form == NGX_HTTP_OLLAMA_CAPTURE_EVENTS
        && len)
    {
        said->ending = 1;
    }

    return ngx_http_ollama_capture_scalar(said);
}


/* At depth 0 it is in front of the line's object or behind it. */

static int
ngx_http_ollama_capture_scalar(ngx_http_ollama_capture_t *said)
{
    said->key = key_other;

    return said->depth != 0;
}


static int
ngx_http_ollama_capture_start_map(void *data)
{
    ngx_http_ollama_capture_t *said = data;

    if (said->depth == 0) {

        if (said->object) {
            /* a second one in the line */
            return 0;
        }

        said->object = 1;
        said->begin = ngx_http_ollama_capture_offset(said);

        return ngx_http_ollama_capture_open(said,
                            (said->form == NGX_HTTP_OLLAMA_CAPTURE_LINES
                             || said->form == NGX_HTTP_OLLAMA_CAPTURE_OBJECT)
                            ? node_chat : node_completion);
    }

    switch (ngx_http_ollama_capture_node(said)) {

    case node_choices:

        /* only the first one */

        said->node[said->depth - 1] = node_other;
        said->choice = 0;

        return ngx_http_ollama_capture_open(said, node_choice);

    case node_calls:
        return ngx_http_ollama_capture_open(said,
                                            ngx_http_ollama_capture_call(said));

    default:
        break;
    }

    return ngx_http_ollama_capture_open(said,
                                 (said->key == key_message) ? node_message
                                 : (said->key == key_delta) ? node_delta
                                 : (said->key == key_function) ? node_function
                                 : (said->key == key_usage) ? node_usage
                                 : node_other);
}


static int
ngx_http_ollama_capture_start_array(void *data)
{
    ngx_http_ollama_capture_t *said = data;

    if (said->depth == 0) {
        return 0;
    }

    if (said->key == key_choices) {
        return ngx_http_ollama_capture_open(said, node_choices);
    }

    if (said->key == key_calls) {

        ngx_http_ollama_strbuf_cut(&said->gather, &said->text[key_calls],
                                   said->mark[key_calls]);
        ngx_http_ollama_strbuf_cut(&said->gather, &said->parts, 0);
        said->deltas.nelts = 0;

        return ngx_http_ollama_capture_open(said, node_calls);
    }

    return ngx_http_ollama_capture_open(said, node_other);
}


static int
ngx_http_ollama_capture_open(ngx_http_ollama_capture_t *said, ngx_uint_t node)
{
    if (said->depth == NGX_HTTP_OLLAMA_CAPTURE_DEPTH) {
        return 0;
    }

    if (said->depth < NGX_HTTP_OLLAMA_CAPTURE_LEVELS) {
        said->node[said->depth] = (u_char) node;
    }

    said->depth++;

    /* elements of an array have no key */
    said->key = key_other;

    return 1;
}


static int
ngx_http_ollama_capture_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_capture_t *said = data;

    ngx_uint_t                       node;
    ngx_http_ollama_capture_name_t  *name;

    node = ngx_http_ollama_capture_node(said);

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

    said->key = name->key;

    return 1;
}


static int
ngx_http_ollama_capture_end_map(void *data)
{
    ngx_http_ollama_capture_t *said = data;

    if (said->raw && said->depth == said->raw_depth) {
        ngx_http_ollama_capture_raw_end(said);
    }

    if (ngx_http_ollama_capture_node(said) == node_choice && said->choice) {
        /* another one of several, after all */
        ngx_http_ollama_capture_drop(said);
    }

    if (--said->depth == 0) {
        ngx_http_ollama_capture_commit(said);
    }

    return 1;
}


static int
ngx_http_ollama_capture_end_array(void *data)
{
    ngx_http_ollama_capture_t *said = data;

    said->depth--;

    return 1;
}
