
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Scans the body of a request that goes to a server: the model, the values of
 * the gateway's own fields, the ranges of messages, the marks of the prompt,
 * the options of the runner, and the ranges that are to be cut out.  The body
 * is only read, in pieces of any size, and only those values are copied.
 *
 * Keys are compared as by Go's encoding/json, because the server uses that:
 * letters match in either case, the last of equal keys wins, and null leaves a
 * plain field unchanged.
 *
 * A scan's memory is in two pools of the caller, and needs no cleanup.  It has
 * no request, so that unit tests and fuzzers can run it: may use util,
 * forbid, marks and the other files of scan only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan.h"
#include "request/ngx_http_ollama_scan_error.h"
#include "request/ngx_http_ollama_scan_field.h"


/* what yajl is shown of a string: a value of MAX_VALUE bytes as \u escapes */
#define NGX_HTTP_OLLAMA_SCAN_SHOWN  (6 * NGX_HTTP_OLLAMA_SCAN_MAX_VALUE + 6)


static int ngx_http_ollama_scan_null(void *data);
static int ngx_http_ollama_scan_boolean(void *data, int value);
static int ngx_http_ollama_scan_number(void *data, const char *p, size_t len);
static int ngx_http_ollama_scan_string(void *data, const u_char *p,
    size_t len);
static int ngx_http_ollama_scan_start_map(void *data);
static int ngx_http_ollama_scan_start_array(void *data);
static int ngx_http_ollama_scan_key(void *data, const u_char *p, size_t len);
static int ngx_http_ollama_scan_close(void *data);

static int ngx_http_ollama_scan_open(ngx_http_ollama_scan_t *scan,
    ngx_http_ollama_type_e type);
static ngx_http_ollama_scan_level_t *ngx_http_ollama_scan_level(
    ngx_http_ollama_scan_t *scan);
static ngx_int_t ngx_http_ollama_scan_message(ngx_http_ollama_scan_t *scan,
    off_t start);
static int ngx_http_ollama_scan_scalar(ngx_http_ollama_scan_t *scan,
    ngx_http_ollama_type_e type, off_t start);
static ngx_int_t ngx_http_ollama_scan_value_end(ngx_http_ollama_scan_t *scan);
static void ngx_http_ollama_scan_prompt_key(ngx_http_ollama_scan_t *scan,
    const u_char *p, size_t len, ngx_uint_t cut);
static void ngx_http_ollama_scan_prompt_text(ngx_http_ollama_scan_t *scan,
    off_t end);
static ngx_int_t ngx_http_ollama_scan_prompt_end(
    ngx_http_ollama_scan_t *scan);
static ngx_uint_t ngx_http_ollama_scan_is_stream(
    ngx_http_ollama_scan_t *scan);


static const yajl_callbacks  ngx_http_ollama_scan_callbacks = {
    ngx_http_ollama_scan_null,
    ngx_http_ollama_scan_boolean,
    NULL,                                /* integer: number is set */
    NULL,                                /* double */
    ngx_http_ollama_scan_number,
    ngx_http_ollama_scan_string,
    ngx_http_ollama_scan_start_map,
    ngx_http_ollama_scan_key,
    ngx_http_ollama_scan_close,
    ngx_http_ollama_scan_start_array,
    ngx_http_ollama_scan_close
};


ngx_int_t
ngx_http_ollama_scan_init(ngx_http_ollama_scan_t *scan, ngx_pool_t *pool,
    ngx_pool_t *temp, ngx_uint_t flags, ngx_array_t *forbid)
{
    scan->pool = pool;
    scan->flags = flags;

    if (forbid) {
        scan->forbid = forbid->elts;
        scan->nforbid = forbid->nelts;
    }

    /* from 0 on; the last ones are those of all that is deeper */

    scan->level = ngx_pcalloc(temp, (NGX_HTTP_OLLAMA_SCAN_LEVELS + 2)
                                    * sizeof(ngx_http_ollama_scan_level_t));
    if (scan->level == NULL) {
        return NGX_ERROR;
    }

    /* all paths lead to the body */
    scan->level[1].match = (uint32_t) -1;

    if (ngx_array_init(&scan->cuts, temp, 4, sizeof(ngx_http_ollama_cut_t))
        != NGX_OK
        || ngx_array_init(&scan->messages, temp, 4,
                          sizeof(ngx_http_ollama_cut_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (flags & NGX_HTTP_OLLAMA_SCAN_PROMPT) {

        scan->prompt = ngx_pcalloc(temp,
                                   sizeof(ngx_http_ollama_scan_prompt_t));
        if (scan->prompt == NULL) {
            return NGX_ERROR;
        }

        ngx_http_ollama_marks_init(&scan->prompt->marks,
                                   flags & NGX_HTTP_OLLAMA_SCAN_MESSAGES);
    }

    return ngx_http_ollama_json_init(&scan->json, temp,
                                     &ngx_http_ollama_scan_callbacks, scan,
                                     NGX_HTTP_OLLAMA_SCAN_SHOWN,
                                     NGX_HTTP_OLLAMA_JSON_REST
                                     |NGX_HTTP_OLLAMA_JSON_BYTES);
}


ngx_int_t
ngx_http_ollama_scan_feed(ngx_http_ollama_scan_t *scan, u_char *p, size_t size)
{
    if (scan->prompt) {
        scan->prompt->piece = p;
        scan->prompt->base = scan->json.pos;
    }

    if (ngx_http_ollama_json_feed(&scan->json, p, size) == NGX_OK) {

        if (scan->prompt && ngx_http_ollama_json_in_string(&scan->json)) {
            ngx_http_ollama_scan_prompt_text(scan, scan->json.pos);
        }

        return NGX_OK;
    }

    if (scan->json.error == NULL) {
        /* from a callback, which has set the error, or has no memory */
        return scan->error.len ? NGX_DECLINED : NGX_ERROR;
    }

    return ngx_http_ollama_scan_error(scan, scan->json.error_at, NULL,
                                      scan->json.error, "");
}


ngx_int_t
ngx_http_ollama_scan_end(ngx_http_ollama_scan_t *scan)
{
    ngx_str_t  name;

    if (scan->json.pos == 0) {
        return ngx_http_ollama_scan_error(scan, 0, NULL,
                                          "the body is empty", "");
    }

    if (ngx_http_ollama_json_end(&scan->json) != NGX_OK) {

        if (scan->json.error == NULL) {
            /* as above: the body is a number */
            return scan->error.len ? NGX_DECLINED : NGX_ERROR;
        }

        return ngx_http_ollama_scan_error(scan, scan->json.error_at, NULL,
                                          scan->json.error, "");
    }

    ngx_http_ollama_json_free(&scan->json);

    scan->close = scan->level[0].end - 1;

    if (scan->model.len == 0) {
        scan->model = scan->name;
        scan->model_at = scan->name_at;
    }

    if (scan->model.len == 0
        && scan->session_id.len == 0
        && !(scan->flags & NGX_HTTP_OLLAMA_SCAN_SESSION))
    {
        ngx_str_set(&name, "model");
        return ngx_http_ollama_scan_error(scan, scan->level[0].end, &name,
                                          "is required", "");
    }

    return scan->prompt ? ngx_http_ollama_scan_prompt_end(scan) : NGX_OK;
}


static int
ngx_http_ollama_scan_null(void *data)
{
    ngx_http_ollama_scan_t *scan = data;

    /*
     * null leaves a Go value unchanged, but makes a pointer nil, and "stream"
     * of Ollama's own endpoints is one: it has its default value again
     */

    if (ngx_http_ollama_scan_is_stream(scan)
        && (scan->flags & NGX_HTTP_OLLAMA_SCAN_OPTIONS))
    {
        scan->stream = NGX_HTTP_OLLAMA_STREAM_UNSET;
    }

    ngx_http_ollama_scan_unload_other(&scan->unload);

    if (scan->prompt) {
        ngx_http_ollama_scan_runner_null(&scan->prompt->runner);
    }

    if (scan->field && (scan->field->flags & NGX_HTTP_OLLAMA_SCAN_MESSAGES)) {

        if (scan->depth == 1) {
            /* a slice is nil then, too */
            scan->messages.nelts = 0;
            scan->messages_more = 0;
            scan->messages_start = 0;

        } else if (scan->depth == 2) {
            scan->messages_null = ngx_http_ollama_json_offset(&scan->json) - 4;
        }
    }

    return ngx_http_ollama_scan_scalar(scan, ngx_http_ollama_null,
                          ngx_http_ollama_json_offset(&scan->json) - 4);
}


static int
ngx_http_ollama_scan_boolean(void *data, int value)
{
    ngx_http_ollama_scan_t *scan = data;

    if (ngx_http_ollama_scan_is_stream(scan)) {
        scan->stream = value ? NGX_HTTP_OLLAMA_STREAM_ON
                             : NGX_HTTP_OLLAMA_STREAM_OFF;
    }

    if (scan->prompt) {
        ngx_http_ollama_scan_runner_boolean(&scan->prompt->runner, value);
    }

    return ngx_http_ollama_scan_scalar(scan, ngx_http_ollama_boolean,
                          ngx_http_ollama_json_offset(&scan->json)
                          - (value ? 4 : 5));
}


static int
ngx_http_ollama_scan_number(void *data, const char *p, size_t len)
{
    ngx_http_ollama_scan_t *scan = data;

    ngx_http_ollama_scan_unload_number(&scan->unload, (u_char *) p, len);

    if (scan->prompt) {
        ngx_http_ollama_scan_runner_number(&scan->prompt->runner,
                                           (u_char *) p, len);
        ngx_http_ollama_marks_text(&scan->prompt->marks, scan->depth,
                                   (u_char *) p, len);
        ngx_http_ollama_marks_text_end(&scan->prompt->marks, scan->depth);
    }

    return ngx_http_ollama_scan_scalar(scan, ngx_http_ollama_number,
                          ngx_http_ollama_json_offset(&scan->json) - len);
}


static int
ngx_http_ollama_scan_string(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_scan_t *scan = data;

    if (scan->depth == 1 && scan->field && scan->field->offset
        && ngx_http_ollama_scan_field_value(scan, p, len) != NGX_OK)
    {
        return 0;
    }

    ngx_http_ollama_scan_unload_string(&scan->unload, p, len);

    if (scan->prompt) {
        ngx_http_ollama_scan_prompt_text(scan,
                             ngx_http_ollama_json_offset(&scan->json) - 1);
        ngx_http_ollama_marks_text_end(&scan->prompt->marks, scan->depth);
    }

    return ngx_http_ollama_scan_scalar(scan, ngx_http_ollama_text,
                                       scan->json.string);
}


static int
ngx_http_ollama_scan_start_map(void *data)
{
    return ngx_http_ollama_scan_open(data, ngx_http_ollama_object);
}


static int
ngx_http_ollama_scan_start_array(void *data)
{
    return ngx_http_ollama_scan_open(data, ngx_http_ollama_list);
}


static int
ngx_http_ollama_scan_key(void *data, const u_char *p, size_t len)
{
    ngx_http_ollama_scan_t *scan = data;

    uint32_t                       whole;
    ngx_http_ollama_cut_t         *cut;
    ngx_http_ollama_scan_level_t  *level;

    level = ngx_http_ollama_scan_level(scan);

    /* for the members of the value, if it is an object */
    level[1].match = ngx_http_ollama_forbid_match(scan->forbid, scan->nforbid,
                                                  level->match, scan->depth,
                                                  p, len, &whole);

    scan->removed |= whole;

    level->cut = ngx_http_ollama_scan_field_key(scan, p, len) || whole;

    if (scan->prompt) {
        ngx_http_ollama_scan_prompt_key(scan, p, len, level->cut);
    }

    scan->unload.key = 0;

    if (scan->depth == 1
        && !level->cut
        && (scan->flags & NGX_HTTP_OLLAMA_SCAN_UNLOAD))
    {
        ngx_http_ollama_scan_unload_key(&scan->unload, p, len);
    }

    if (level->cut) {
        /* its members are not cut one by one */
        level[1].match = 0;
        return 1;
    }

    if (level->lead) {
        /* all members in front are cut, so this one's comma is, too */
        cut = scan->cuts.elts;
        cut[scan->cuts.nelts - 1].end = scan->json.string;
        level->lead = 0;
    }

    level->kept = 1;

    return 1;
}


static int
ngx_http_ollama_scan_close(void *data)
{
    ngx_http_ollama_scan_t *scan = data;

    ngx_http_ollama_cut_t  *message;

    scan->depth--;

    if (scan->depth == 2
        && scan->messages.nelts
        && !scan->messages_more
        && scan->field
        && (scan->field->flags & NGX_HTTP_OLLAMA_SCAN_MESSAGES))
    {
        message = scan->messages.elts;
        message[scan->messages.nelts - 1].end =
                                    ngx_http_ollama_json_offset(&scan->json);
    }

    return ngx_http_ollama_scan_value_end(scan) == NGX_OK;
}


/* An object or an array begins. */

static int
ngx_http_ollama_scan_open(ngx_http_ollama_scan_t *scan,
    ngx_http_ollama_type_e type)
{
    off_t                          start;
    ngx_http_ollama_scan_level_t  *level;

    start = ngx_http_ollama_json_offset(&scan->json) - 1;

    if (ngx_http_ollama_scan_field_type(scan, type, start) != NGX_OK) {
        return 0;
    }

    if (scan->depth == NGX_HTTP_OLLAMA_JSON_DEPTH) {
        (void) ngx_http_ollama_scan_error(scan, start, NULL,
                                          "nested deeper than 10000 levels",
                                          "");
        return 0;
    }

    scan->depth++;

    level = ngx_http_ollama_scan_level(scan);

    /* its elements are no values of the member */
    scan->unload.key = 0;

    if (scan->prompt) {
        scan->prompt->runner.key = 0;
        ngx_http_ollama_marks_open(&scan->prompt->marks, scan->depth,
                                   type == ngx_http_ollama_list);
    }

    if (scan->field && (scan->field->flags & NGX_HTTP_OLLAMA_SCAN_MESSAGES)
        && ngx_http_ollama_scan_message(scan, start) != NGX_OK)
    {
        return 0;
    }

    level->end = start + 1;
    level->kept = 0;
    level->lead = 0;
    level->cut = 0;

    if (type == ngx_http_ollama_list) {
        /* paths lead through objects only */
        level[1].match = 0;
    }

    return 1;
}


static ngx_http_ollama_scan_level_t *
ngx_http_ollama_scan_level(ngx_http_ollama_scan_t *scan)
{
    return &scan->level[ngx_min(scan->depth, NGX_HTTP_OLLAMA_SCAN_LEVELS)];
}


/* A list or an object of "messages" begins: the list itself, a message, … */

static ngx_int_t
ngx_http_ollama_scan_message(ngx_http_ollama_scan_t *scan, off_t start)
{
    ngx_http_ollama_cut_t  *message;

    if (scan->depth == 2) {
        /* the last of equal keys wins */
        scan->messages.nelts = 0;
        scan->messages_more = 0;
        scan->messages_start = start + 1;
    }

    if (scan->depth == 3) {

        if (scan->messages.nelts == NGX_HTTP_OLLAMA_SCAN_LIST) {
            scan->messages_more = 1;
            return NGX_OK;
        }

        message = ngx_array_push(&scan->messages);
        if (message == NULL) {
            return NGX_ERROR;
        }

        message->start = start;
        message->end = start;
    }

    return NGX_OK;
}


static int
ngx_http_ollama_scan_scalar(ngx_http_ollama_scan_t *scan,
    ngx_http_ollama_type_e type, off_t start)
{
    return ngx_http_ollama_scan_field_type(scan, type, start) == NGX_OK
           && ngx_http_ollama_scan_value_end(scan) == NGX_OK;
}


/* The value of a member, or of an element, has ended. */

static ngx_int_t
ngx_http_ollama_scan_value_end(ngx_http_ollama_scan_t *scan)
{
    ngx_http_ollama_cut_t         *cut;
    ngx_http_ollama_scan_level_t  *level;

    level = ngx_http_ollama_scan_level(scan);

    if (level->cut) {
        cut = scan->cuts.elts;

        if (scan->cuts.nelts
            && cut[scan->cuts.nelts - 1].end == level->end)
        {
            cut += scan->cuts.nelts - 1;

        } else {
            if (scan->cuts.nelts == NGX_HTTP_OLLAMA_SCAN_CUTS) {
                return ngx_http_ollama_scan_error(scan, level->end, NULL,
                                   "too many members that are not for "
                                   "the server", "");
            }

            cut = ngx_array_push(&scan->cuts);
            if (cut == NULL) {
                return NGX_ERROR;
            }

            /* from the end of the member in front, to cut the comma, too */
            cut->start = level->end;
        }

        cut->end = ngx_http_ollama_json_offset(&scan->json);

        level->lead = !level->kept;
        level->cut = 0;
    }

    level->end = ngx_http_ollama_json_offset(&scan->json);

    if (scan->prompt) {
        ngx_http_ollama_marks_end(&scan->prompt->marks, scan->depth,
                                  level->end);
    }

    return NGX_OK;
}


/* A member's key, of the body or deeper. */

static void
ngx_http_ollama_scan_prompt_key(ngx_http_ollama_scan_t *scan, const u_char *p,
    size_t len, ngx_uint_t cut)
{
    ngx_uint_t                      option;
    ngx_http_ollama_scan_prompt_t  *prompt;

    prompt = scan->prompt;

    ngx_http_ollama_marks_key(&prompt->marks, scan->depth, p, len,
                              ngx_http_ollama_json_offset(&scan->json), cut);

    /* only Ollama's own endpoints know these */

    option = (scan->depth == 2 && scan->field
              && scan->field->flags == NGX_HTTP_OLLAMA_SCAN_OPTIONS);

    if ((scan->flags & NGX_HTTP_OLLAMA_SCAN_OPTIONS)
        && !cut
        && !scan->level[1].cut
        && (scan->depth == 1 || option))
    {
        ngx_http_ollama_scan_runner_key(&prompt->runner, p, len, option);

    } else {
        prompt->runner.key = 0;
    }
}


/*
 * The bytes of the last string as they are in the body, up to "end", as far as
 * they are in the piece that is fed; those in front were taken with theirs.
 */

static void
ngx_http_ollama_scan_prompt_text(ngx_http_ollama_scan_t *scan, off_t end)
{
    off_t                           start;
    ngx_http_ollama_scan_prompt_t  *prompt;

    prompt = scan->prompt;

    start = ngx_max(scan->json.string + 1, prompt->taken);

    if (start < end) {
        ngx_http_ollama_marks_text(&prompt->marks, scan->depth,
                                   prompt->piece + (start - prompt->base),
                                   end - start);
        prompt->taken = end;
    }
}


/* The marks are left in no more memory than they need. */

static ngx_int_t
ngx_http_ollama_scan_prompt_end(ngx_http_ollama_scan_t *scan)
{
    ngx_http_ollama_scan_prompt_t  *prompt;

    prompt = scan->prompt;
    scan->prompt = NULL;

    scan->runner = ngx_http_ollama_scan_runner_hash(&prompt->runner);
    scan->num_ctx = ngx_http_ollama_scan_runner_num_ctx(&prompt->runner);
    scan->text = ngx_http_ollama_marks_size(&prompt->marks);
    scan->nmarks = ngx_http_ollama_marks_count(&prompt->marks);

    if (scan->nmarks == 0) {
        return NGX_OK;
    }

    scan->marks = ngx_palloc(scan->pool, scan->nmarks
                                         * sizeof(ngx_http_ollama_mark_t));
    if (scan->marks == NULL) {
        return NGX_ERROR;
    }

    ngx_http_ollama_marks_list(&prompt->marks, scan->marks);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ollama_scan_is_stream(ngx_http_ollama_scan_t *scan)
{
    return scan->depth == 1 && scan->field
           && scan->field->flags == NGX_HTTP_OLLAMA_SCAN_STREAM;
}
