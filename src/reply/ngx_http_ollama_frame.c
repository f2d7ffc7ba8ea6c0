
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Parses a reply frame by frame, in pieces that may be cut anywhere: it counts
 * frames and tokens, takes the durations that Ollama tells, and tells if the
 * reply is complete, if it is an error, and where something begins that is no
 * frame.  It neither holds nor changes the reply.
 *
 * The text in the frames is not needed here, so yajl is given no callback for
 * strings, and decodes none.
 *
 * A parser is a part of its caller's memory; what yajl needs is of the pool
 * that init() was given, and is freed with it.  It uses no request, so that
 * unit tests and fuzzers can run it.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_frame.h"
#include "reply/ngx_http_ollama_event.h"
#include "reply/ngx_http_ollama_frame_parse.h"


/*
 * Bytes of a string that yajl is fed: it needs the longest key, if all of it is
 * written as \u escapes.
 */
#define NGX_HTTP_OLLAMA_FRAME_STRING  128

/* yajl keeps a byte for each level */
#define NGX_HTTP_OLLAMA_FRAME_DEPTH   256


typedef enum {
    key_other = 0,
    key_done,
    key_error,
    key_usage,
    key_holder,     /* what a usage or a response's id is in */
    key_id,
    key_type,
    key_prompt_eval_count,
    key_eval_count,
    key_prompt_tokens,
    key_generated_tokens,
    key_total_duration,
    key_load_duration,
    key_prompt_eval_duration,
    key_eval_duration
} ngx_http_ollama_frame_key_e;


typedef struct {
    ngx_str_t                    name;
    ngx_http_ollama_frame_key_e  key;
} ngx_http_ollama_frame_name_t;


static int ngx_http_ollama_frame_null(void *data);
static int ngx_http_ollama_frame_boolean(void *data, int value);
static int ngx_http_ollama_frame_number(void *data, const char *p,
    size_t len);
static void ngx_http_ollama_frame_figure(ngx_http_ollama_frame_t *frame,
    off_t n);
static int ngx_http_ollama_frame_string(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_frame_start_map(void *data);
static int ngx_http_ollama_frame_start_array(void *data);
static int ngx_http_ollama_frame_open(ngx_http_ollama_frame_t *frame);
static int ngx_http_ollama_frame_key(void *data, const u_char *p, size_t len);
static int ngx_http_ollama_frame_end_map(void *data);
static int ngx_http_ollama_frame_end_array(void *data);

static ngx_uint_t ngx_http_ollama_frame_is_over(
    ngx_http_ollama_frame_t *frame);
static ngx_int_t ngx_http_ollama_frame_rest(u_char *start, u_char *p,
    u_char *last, size_t *good);
static ngx_int_t ngx_http_ollama_frame_lines(ngx_http_ollama_frame_t *frame,
    u_char *p, u_char *last, u_char **good);
static ngx_int_t ngx_http_ollama_frame_whole(ngx_http_ollama_frame_t *frame,
    u_char *p, u_char *last, u_char **good);
static u_char *ngx_http_ollama_frame_skip_space(u_char *p, u_char *last);


static const yajl_callbacks  ngx_http_ollama_frame_callbacks = {
    ngx_http_ollama_frame_null,
    ngx_http_ollama_frame_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_frame_number,
    NULL,                                /* string */
    ngx_http_ollama_frame_start_map,
    ngx_http_ollama_frame_key,
    ngx_http_ollama_frame_end_map,
    ngx_http_ollama_frame_start_array,
    ngx_http_ollama_frame_end_array
};


/* Strings take time: they are decoded only where there may be an id. */

static const yajl_callbacks  ngx_http_ollama_frame_id_callbacks = {
    ngx_http_ollama_frame_null,
    ngx_http_ollama_frame_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_frame_number,
    ngx_http_ollama_frame_string,
    ngx_http_ollama_frame_start_map,
    ngx_http_ollama_frame_key,
    ngx_http_ollama_frame_end_map,
    ngx_http_ollama_frame_start_array,
    ngx_http_ollama_frame_end_array
};


/*
 * Ollama: DurationMetrics in api/types.go.  OpenAI: "usage", in a response's
 * event in "response".  Anthropic: "usage", in the first event in "message".
 *
 * By length, so that most keys of a frame are compared with few.
 */

static ngx_http_ollama_frame_name_t  ngx_http_ollama_frame_names[] = {
    { ngx_string("id"), key_id },
    { ngx_string("done"), key_done },
    { ngx_string("type"), key_type },
    { ngx_string("error"), key_error },
    { ngx_string("usage"), key_usage },
    { ngx_string("message"), key_holder },
    { ngx_string("response"), key_holder },
    { ngx_string("eval_count"), key_eval_count },
    { ngx_string("input_tokens"), key_prompt_tokens },
    { ngx_string("eval_duration"), key_eval_duration },
    { ngx_string("load_duration"), key_load_duration },
    { ngx_string("output_tokens"), key_generated_tokens },
    { ngx_string("prompt_tokens"), key_prompt_tokens },
    { ngx_string("total_duration"), key_total_duration },
    { ngx_string("completion_tokens"), key_generated_tokens },
    { ngx_string("prompt_eval_count"), key_prompt_eval_count },
    { ngx_string("prompt_eval_duration"), key_prompt_eval_duration },
    { ngx_null_string, key_other }
};


ngx_int_t
ngx_http_ollama_frame_init(ngx_http_ollama_frame_t *frame, ngx_pool_t *pool,
    ngx_http_ollama_frame_form_e form, ngx_http_ollama_frame_end_e last)
{
    frame->form = form;
    frame->last = last;
    frame->prompt_tokens = -1;
    frame->generated_tokens = -1;
    frame->total_duration = -1;
    frame->load_duration = -1;
    frame->prompt_eval_duration = -1;
    frame->eval_duration = -1;

    return ngx_http_ollama_json_init(&frame->json, pool,
                                     (last == NGX_HTTP_OLLAMA_END_RESPONSE)
                                     ? &ngx_http_ollama_frame_id_callbacks
                                     : &ngx_http_ollama_frame_callbacks, frame,
                                     NGX_HTTP_OLLAMA_FRAME_STRING,
                                     form != NGX_HTTP_OLLAMA_FRAME_WHOLE);
}


ngx_int_t
ngx_http_ollama_frame_feed(ngx_http_ollama_frame_t *frame, u_char *p,
    size_t size, size_t *good)
{
    u_char     *end;
    ngx_int_t   rc;
    ngx_uint_t  line;

    *good = size;

    if (ngx_http_ollama_frame_is_over(frame)) {
        return ngx_http_ollama_frame_rest(p, p, p + size, good);
    }

    end = p;
    line = frame->line;

    switch (frame->form) {

    case NGX_HTTP_OLLAMA_FRAME_LINES:
        rc = ngx_http_ollama_frame_lines(frame, p, p + size, &end);
        break;

    case NGX_HTTP_OLLAMA_FRAME_SSE:
        rc = ngx_http_ollama_frame_sse(frame, p, p + size, &end);
        break;

    default: /* NGX_HTTP_OLLAMA_FRAME_WHOLE */
        rc = ngx_http_ollama_frame_whole(frame, p, p + size, &end);
        break;
    }

    if (rc != NGX_OK) {
        *good = end - p;
        frame->line = (end == p) ? line : (frame->event && end[-1] == '\r');
        frame->done = 0;
        return rc;
    }

    if (ngx_http_ollama_frame_is_over(frame)) {
        return ngx_http_ollama_frame_rest(p, end, p + size, good);
    }

    return NGX_OK;
}


/* The final frame has come, and so has the end of its line or event. */

static ngx_uint_t
ngx_http_ollama_frame_is_over(ngx_http_ollama_frame_t *frame)
{
    return frame->done && !frame->line && !frame->event
           && frame->form != NGX_HTTP_OLLAMA_FRAME_WHOLE;
}


/* The rest of the piece, from "p" on, can only be white space. */

static ngx_int_t
ngx_http_ollama_frame_rest(u_char *start, u_char *p, u_char *last,
    size_t *good)
{
    p = ngx_http_ollama_frame_skip_space(p, last);

    if (p == last) {
        return NGX_OK;
    }

    *good = p - start;

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_ollama_frame_end(ngx_http_ollama_frame_t *frame)
{
    u_char      *good;
    ngx_uint_t   event;

    if (!frame->done
        && frame->form == NGX_HTTP_OLLAMA_FRAME_SSE
        && frame->line)
    {
        /*
         * the last line has no newline: it may be the final one, and otherwise
         * stays open
         */

        event = frame->event;

        (void) ngx_http_ollama_frame_sse(frame, (u_char *) "\n",
                                         (u_char *) "\n" + 1, &good);

        frame->line = 1;
        frame->event = event;
    }

    return frame->done ? NGX_OK : NGX_DECLINED;
}


/* Sets *good to the end of the last whole line. */

static ngx_int_t
ngx_http_ollama_frame_lines(ngx_http_ollama_frame_t *frame, u_char *p,
    u_char *last, u_char **good)
{
    u_char     *nl, *end;
    ngx_int_t   rc;

    while (p < last) {

        nl = memchr(p, '\n', last - p);
        end = nl ? nl + 1 : last;

        rc = ngx_http_ollama_frame_object(frame, p, end, nl != NULL);
        if (rc != NGX_OK) {
            return rc;
        }

        frame->line = (nl == NULL);
        p = end;

        if (nl) {
            *good = p;
            frame->object = 0;

            if (frame->done) {
                return NGX_OK;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_frame_whole(ngx_http_ollama_frame_t *frame, u_char *p,
    u_char *last, u_char **good)
{
    ngx_int_t  rc;

    if (p == last) {
        return NGX_OK;
    }

    rc = ngx_http_ollama_frame_object(frame, p, last, 0);

    if (rc == NGX_OK) {
        frame->line = (last[-1] != '\n');
    }

    return rc;
}


ngx_int_t
ngx_http_ollama_frame_object(ngx_http_ollama_frame_t *frame, u_char *p,
    u_char *last, ngx_uint_t line_end)
{
    off_t    begin;
    u_char  *s;

    begin = frame->json.pos;

    if (!frame->object) {

        s = ngx_http_ollama_frame_skip_space(p, last);

        if (s < last && *s != '{') {
            return NGX_DECLINED;
        }
    }

    if (ngx_http_ollama_json_feed(&frame->json, p, last - p) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (!frame->object) {
        return NGX_OK;
    }

    if (frame->depth) {
        return line_end ? NGX_DECLINED : NGX_OK;
    }

    /* yajl would accept another value */

    s = (frame->close > begin) ? p + (frame->close - begin) : p;

    return (ngx_http_ollama_frame_skip_space(s, last) == last) ? NGX_OK
                                                               : NGX_DECLINED;
}


static u_char *
ngx_http_ollama_frame_skip_space(u_char *p, u_char *last)
{
    while (p < last && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
        p++;
    }

    return p;
}


static int
ngx_http_ollama_frame_null(void *data)
{
    ngx_http_ollama_frame_t *frame = data;

    if (frame->depth == 1 && frame->key[0] == key_error) {
        /* "error":null is none */
        frame->failing = 0;
    }

    return 1;
}


static int
ngx_http_ollama_frame_boolean(void *data, int value)
{
    ngx_http_ollama_frame_t *frame = data;

    if (frame->depth == 1 && frame->key[0] == key_done
        && frame->last == NGX_HTTP_OLLAMA_END_DONE)
    {
        frame->ending = value;
    }

    return 1;
}


static int
ngx_http_ollama_frame_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_frame_t *frame = data;

    off_t       n;
    ngx_uint_t  depth;

    depth = frame->depth;

    if (depth == 0 || depth > 3) {
        return 1;
    }

    /* no fractions, and no number that is too large for a count */

    n = (len < 16) ? ngx_atoof((u_char *) p, len) : NGX_ERROR;
    if (n == NGX_ERROR) {
        return 1;
    }

    if (depth == 1) {
        ngx_http_ollama_frame_figure(frame, n);
        return 1;
    }

    switch (frame->key[depth - 1]) {

    case key_prompt_tokens:
    case key_generated_tokens:
        break;

    default:
        return 1;
    }

    if (frame->key[depth - 2] != key_usage
        || (depth == 3 && frame->key[0] != key_holder))
    {
        return 1;
    }

    if (frame->key[depth - 1] == key_prompt_tokens) {
        frame->prompt_tokens = n;

    } else {
        frame->generated_tokens = n;
    }

    return 1;
}


/* Those of Ollama's own API. */

static void
ngx_http_ollama_frame_figure(ngx_http_ollama_frame_t *frame, off_t n)
{
    switch (frame->key[0]) {

    case key_prompt_eval_count:
        frame->prompt_tokens = n;
        break;

    case key_eval_count:
        frame->generated_tokens = n;
        break;

    case key_total_duration:
        frame->total_duration = n;
        break;

    case key_load_duration:
        frame->load_duration = n;
        break;

    case key_prompt_eval_duration:
        frame->prompt_eval_duration = n;
        break;

    case key_eval_duration:
        frame->eval_duration = n;
        break;

    default:
        break;
    }
}


/*
 * The id of a response, if JSON needs no escapes for it; and its events' types,
 * as their clients need no other name.
 */

static int
ngx_http_ollama_frame_string(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_frame_t *frame = data;

    size_t  i;

    if (frame->depth == 1 && frame->key[0] == key_type) {
        ngx_http_ollama_frame_event(frame, ngx_http_ollama_event(p, len));
        return 1;
    }

    if (frame->nid
        || frame->depth != 2
        || frame->key[0] != key_holder
        || frame->key[1] != key_id
        || len > NGX_HTTP_OLLAMA_FRAME_ID)
    {
        return 1;
    }

    for (i = 0; i < len; i++) {
        if (p[i] < ' ' || p[i] > '~' || p[i] == '"' || p[i] == '\\') {
            return 1;
        }
    }

    ngx_memcpy(frame->id, p, len);
    frame->nid = len;

    return 1;
}


static int
ngx_http_ollama_frame_start_map(void *data)
{
    ngx_http_ollama_frame_t *frame = data;

    if (frame->depth == 0) {

        if (frame->object) {
            /* a second one in the line */
            return 0;
        }

        frame->object = 1;
        frame->error = 0;
    }

    return ngx_http_ollama_frame_open(frame);
}


static int
ngx_http_ollama_frame_start_array(void *data)
{
    ngx_http_ollama_frame_t *frame = data;

    /* at depth 0 it comes after the line's object */

    return frame->depth && ngx_http_ollama_frame_open(frame);
}


static int
ngx_http_ollama_frame_open(ngx_http_ollama_frame_t *frame)
{
    if (frame->depth == NGX_HTTP_OLLAMA_FRAME_DEPTH) {
        return 0;
    }

    if (frame->depth < 3) {
        /* elements of an array have no key */
        frame->key[frame->depth] = key_other;
    }

    frame->depth++;

    return 1;
}


static int
ngx_http_ollama_frame_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_frame_t *frame = data;

    ngx_http_ollama_frame_key_e    key;
    ngx_http_ollama_frame_name_t  *name;

    if (frame->depth > 3) {
        return 1;
    }

    key = key_other;

    for (name = ngx_http_ollama_frame_names;
         name->name.len && name->name.len <= len;
         name++)
    {
        if (len == name->name.len
            && ngx_memcmp(p, name->name.data, len) == 0)
        {
            key = name->key;
            break;
        }
    }

    frame->key[frame->depth - 1] = key;

    if (frame->depth == 1 && key == key_error) {
        frame->failing = 1;
    }

    return 1;
}


static int
ngx_http_ollama_frame_end_map(void *data)
{
    ngx_http_ollama_frame_t *frame = data;

    if (--frame->depth) {
        return 1;
    }

    frame->frames++;
    frame->close = ngx_http_ollama_json_offset(&frame->json);

    frame->whole = 1;
    ngx_http_ollama_frame_object_end(frame);

    return 1;
}


void
ngx_http_ollama_frame_object_end(ngx_http_ollama_frame_t *frame)
{
    if (frame->ending || frame->last == NGX_HTTP_OLLAMA_END_OBJECT) {
        frame->done = 1;
    }

    if (frame->failing) {
        frame->error = 1;
        frame->failing = 0;
    }
}


static int
ngx_http_ollama_frame_end_array(void *data)
{
    ngx_http_ollama_frame_t *frame = data;

    frame->depth--;

    return 1;
}
