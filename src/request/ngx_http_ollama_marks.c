
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The marks of a request's prompt: hashes of its text from the beginning up to
 * certain places, by which is known who has evaluated the same before.
 *
 * Marks are at the ends of the first and of the last messages, and at each
 * multiple of a distance, which is doubled when there would be too many: then
 * every other one is left, so that the marks of a prompt and those of a longer
 * one that begins with it are at the same places, with the same hashes.
 *
 * Of a body only the values count, as they are written: not how they are
 * spaced, nor which member of a message has them, nor whether a message's text
 * is a string or a list of parts.  Marks where a client wants its prompt to be
 * cached don't count either, as they move with each request.  What a model
 * sees in front of the messages may be anywhere in the body, and so is hashed
 * by itself: its members' hashes are summed up, and go into all marks at the
 * end.  Pictures are hashed but are no text.
 *
 * Pure functions: one state for a body, in memory of the caller.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_marks.h"
#include "util/ngx_http_ollama_json_key.h"


/* the depths that have a bit in marks->lists; deeper is nothing hashed */
#define NGX_HTTP_OLLAMA_MARKS_DEPTHS  64


typedef struct {
    ngx_str_t                      name;
    ngx_http_ollama_marks_part_e   part;
    ngx_uint_t                     messages;
} ngx_http_ollama_marks_member_t;


static void ngx_http_ollama_marks_member(ngx_http_ollama_marks_t *marks,
    const u_char *p, size_t len, off_t at);
static ngx_uint_t ngx_http_ollama_marks_is(const u_char *p, size_t len,
    const char *name, size_t size);
static void ngx_http_ollama_marks_restart(ngx_http_ollama_marks_t *marks);
static ngx_uint_t ngx_http_ollama_marks_is_text(
    ngx_http_ollama_marks_t *marks, ngx_uint_t depth);
static void ngx_http_ollama_marks_prompt(ngx_http_ollama_marks_t *marks,
    const u_char *p, size_t len);
static void ngx_http_ollama_marks_grid(ngx_http_ollama_marks_t *marks);
static void ngx_http_ollama_marks_message(ngx_http_ollama_marks_t *marks);


static const ngx_http_ollama_marks_member_t  ngx_http_ollama_marks_members[] =
{
    { ngx_string("messages"), NGX_HTTP_OLLAMA_MARKS_PROMPT, 1 },
    { ngx_string("prompt"), NGX_HTTP_OLLAMA_MARKS_PROMPT, 0 },
    { ngx_string("input"), NGX_HTTP_OLLAMA_MARKS_PROMPT, 0 },
    { ngx_string("system"), NGX_HTTP_OLLAMA_MARKS_FRONT, 0 },
    { ngx_string("tools"), NGX_HTTP_OLLAMA_MARKS_FRONT, 0 },
    { ngx_string("instructions"), NGX_HTTP_OLLAMA_MARKS_FRONT, 0 },
    { ngx_string("template"), NGX_HTTP_OLLAMA_MARKS_FRONT, 0 },
    { ngx_string("suffix"), NGX_HTTP_OLLAMA_MARKS_FRONT, 0 },
    { ngx_string("images"), NGX_HTTP_OLLAMA_MARKS_FRONT, 0 },
    { ngx_null_string, NGX_HTTP_OLLAMA_MARKS_NOTHING, 0 }
};


void
ngx_http_ollama_marks_init(ngx_http_ollama_marks_t *marks,
    ngx_uint_t messages)
{
    ngx_memzero(marks, sizeof(ngx_http_ollama_marks_t));

    marks->messages = messages ? 1 : 0;

    ngx_http_ollama_marks_restart(marks);
}


/* A prompt begins; of equal keys the last one counts. */

static void
ngx_http_ollama_marks_restart(ngx_http_ollama_marks_t *marks)
{
    ngx_http_ollama_hash_init(&marks->prompt);

    marks->nends = 0;
    marks->ngrid = 0;
    marks->step = NGX_HTTP_OLLAMA_MARKS_STEP;
}


void
ngx_http_ollama_marks_key(ngx_http_ollama_marks_t *marks, ngx_uint_t depth,
    const u_char *p, size_t len, off_t at, ngx_uint_t cut)
{
    marks->value = 1;

    if (depth == 1) {
        marks->part = NGX_HTTP_OLLAMA_MARKS_NOTHING;
        marks->skip = 0;
        marks->picture = 0;

        if (!cut) {
            ngx_http_ollama_marks_member(marks, p, len, at);
        }

        return;
    }

    if (marks->part == NGX_HTTP_OLLAMA_MARKS_NOTHING || marks->skip) {
        return;
    }

    if (cut
        || ngx_http_ollama_marks_is(p, len, "type", 4)
        || ngx_http_ollama_marks_is(p, len, "cache_control", 13))
    {
        marks->skip = depth;
        return;
    }

    if (marks->picture == 0
        && (ngx_http_ollama_marks_is(p, len, "images", 6)
            || ngx_http_ollama_marks_is(p, len, "image_url", 9)
            || ngx_http_ollama_marks_is(p, len, "data", 4)))
    {
        marks->picture = depth;
    }
}


static void
ngx_http_ollama_marks_member(ngx_http_ollama_marks_t *marks, const u_char *p,
    size_t len, off_t at)
{
    ngx_str_t                              name;
    ngx_uint_t                             i;
    const ngx_http_ollama_marks_member_t  *member;

    for (i = 0; /* void */ ; i++) {

        member = &ngx_http_ollama_marks_members[i];
        name = member->name;

        if (name.len == 0) {
            return;
        }

        if (ngx_http_ollama_json_key_eq(p, len, &name)) {
            break;
        }
    }

    if (member->part == NGX_HTTP_OLLAMA_MARKS_PROMPT) {

        if (member->messages != marks->messages) {
            return;
        }

        ngx_http_ollama_marks_restart(marks);

    } else {
        ngx_http_ollama_hash_init(&marks->other);

        if (ngx_http_ollama_marks_is(p, len, "images", 6)) {
            marks->picture = 1;
        }
    }

    marks->part = member->part;
    marks->index = i;
    marks->start = at;
}


static ngx_uint_t
ngx_http_ollama_marks_is(const u_char *p, size_t len, const char *name,
    size_t size)
{
    return len == size && ngx_memcmp(p, name, size) == 0;
}


void
ngx_http_ollama_marks_open(ngx_http_ollama_marks_t *marks, ngx_uint_t depth,
    ngx_uint_t list)
{
    marks->value = list ? 1 : 0;

    if (depth < NGX_HTTP_OLLAMA_MARKS_DEPTHS) {
        marks->lists &= ~(UINT64_C(1) << depth);
        marks->lists |= (uint64_t) marks->value << depth;
    }
}


/* Whether the value that begins, or has begun, is to be hashed. */

static ngx_uint_t
ngx_http_ollama_marks_is_text(ngx_http_ollama_marks_t *marks, ngx_uint_t depth)
{
    return marks->value
           && marks->part != NGX_HTTP_OLLAMA_MARKS_NOTHING
           && marks->skip == 0
           && depth < NGX_HTTP_OLLAMA_MARKS_DEPTHS;
}


void
ngx_http_ollama_marks_text(ngx_http_ollama_marks_t *marks, ngx_uint_t depth,
    const u_char *p, size_t len)
{
    if (!ngx_http_ollama_marks_is_text(marks, depth)) {
        return;
    }

    if (marks->part == NGX_HTTP_OLLAMA_MARKS_PROMPT) {

        if (marks->picture == 0) {
            ngx_http_ollama_marks_prompt(marks, p, len);
            return;
        }

        if (!marks->begun) {
            ngx_http_ollama_hash_init(&marks->other);
            marks->begun = 1;
        }
    }

    ngx_http_ollama_hash_text(&marks->other, p, len);
}


void
ngx_http_ollama_marks_text_end(ngx_http_ollama_marks_t *marks,
    ngx_uint_t depth)
{
    if (!ngx_http_ollama_marks_is_text(marks, depth)) {
        return;
    }

    if (marks->part == NGX_HTTP_OLLAMA_MARKS_FRONT) {
        ngx_http_ollama_hash_number(&marks->other, marks->other.len);
        return;
    }

    if (marks->begun) {
        ngx_http_ollama_hash_number(&marks->prompt,
                                ngx_http_ollama_hash_value(&marks->other));
        marks->begun = 0;
    }

    /* where a text ends makes a difference, too */
    ngx_http_ollama_hash_number(&marks->prompt, marks->prompt.len);
}


static void
ngx_http_ollama_marks_prompt(ngx_http_ollama_marks_t *marks, const u_char *p,
    size_t len)
{
    size_t  n;

    for ( ;; ) {
        n = marks->step * (marks->ngrid + 1) - marks->prompt.len;

        if (n > len) {
            break;
        }

        ngx_http_ollama_hash_text(&marks->prompt, p, n);
        ngx_http_ollama_marks_grid(marks);

        p += n;
        len -= n;
    }

    ngx_http_ollama_hash_text(&marks->prompt, p, len);
}


static void
ngx_http_ollama_marks_grid(ngx_http_ollama_marks_t *marks)
{
    ngx_uint_t  i;

    marks->grid[marks->ngrid++] = ngx_http_ollama_hash_value(&marks->prompt);

    if (marks->ngrid < NGX_HTTP_OLLAMA_MARKS_GRID) {
        return;
    }

    marks->ngrid /= 2;
    marks->step *= 2;

    for (i = 0; i < marks->ngrid; i++) {
        marks->grid[i] = marks->grid[2 * i + 1];
    }
}


void
ngx_http_ollama_marks_end(ngx_http_ollama_marks_t *marks, ngx_uint_t depth,
    off_t at)
{
    if (depth < NGX_HTTP_OLLAMA_MARKS_DEPTHS) {
        marks->value = (marks->lists >> depth) & 1;
    }

    if (depth == 2
        && marks->value
        && marks->part == NGX_HTTP_OLLAMA_MARKS_PROMPT)
    {
        ngx_http_ollama_marks_message(marks);
    }

    if (depth == 1) {

        if (marks->part == NGX_HTTP_OLLAMA_MARKS_FRONT) {
            marks->front += ngx_http_ollama_hash_mix(marks->index
                                + ngx_http_ollama_hash_value(&marks->other));

            if (marks->picture == 0) {
                marks->front_text += at - marks->start;
            }
        }

        if (marks->part == NGX_HTTP_OLLAMA_MARKS_PROMPT
            && marks->nends == 0
            && marks->prompt.len)
        {
            ngx_http_ollama_marks_message(marks);
        }

        marks->part = NGX_HTTP_OLLAMA_MARKS_NOTHING;
    }

    if (marks->skip == depth) {
        marks->skip = 0;
    }

    if (marks->picture == depth) {
        marks->picture = 0;
    }
}


/* A message ends, or a prompt that is a text. */

static void
ngx_http_ollama_marks_message(ngx_http_ollama_marks_t *marks)
{
    ngx_uint_t               i;
    ngx_http_ollama_mark_t  *mark;

    i = marks->nends++;

    mark = (i < NGX_HTTP_OLLAMA_MARKS_FIRST)
           ? &marks->first[i]
           : &marks->last[i % NGX_HTTP_OLLAMA_MARKS_LAST];

    mark->hash = ngx_http_ollama_hash_value(&marks->prompt);
    mark->text = marks->prompt.len;
}


ngx_uint_t
ngx_http_ollama_marks_count(ngx_http_ollama_marks_t *marks)
{
    return (marks->front != 0) + marks->ngrid
           + ngx_min(marks->nends, NGX_HTTP_OLLAMA_MARKS_FIRST
                                   + NGX_HTTP_OLLAMA_MARKS_LAST);
}


size_t
ngx_http_ollama_marks_size(ngx_http_ollama_marks_t *marks)
{
    return marks->front_text + marks->prompt.len;
}


void
ngx_http_ollama_marks_list(ngx_http_ollama_marks_t *marks,
    ngx_http_ollama_mark_t *list)
{
    size_t                   text;
    uint64_t                 front;
    ngx_uint_t               i, g, n;
    ngx_http_ollama_mark_t  *mark;

    front = ngx_http_ollama_hash_mix(marks->front);
    n = 0;

    if (marks->front) {
        list[n].hash = ngx_http_ollama_hash_mix(front);
        list[n++].text = marks->front_text;
    }

    i = 0;
    g = 0;

    while (i < marks->nends || g < marks->ngrid) {

        if (i == NGX_HTTP_OLLAMA_MARKS_FIRST
            && marks->nends > i + NGX_HTTP_OLLAMA_MARKS_LAST)
        {
            i = marks->nends - NGX_HTTP_OLLAMA_MARKS_LAST;
        }

        mark = (i < NGX_HTTP_OLLAMA_MARKS_FIRST)
               ? &marks->first[i]
               : &marks->last[i % NGX_HTTP_OLLAMA_MARKS_LAST];

        text = marks->step * (g + 1);

        if (g < marks->ngrid && (i == marks->nends || text < mark->text)) {
            list[n].hash = marks->grid[g++];
            list[n].text = text;

        } else {
            list[n] = *mark;
            i++;
        }

        list[n].hash = ngx_http_ollama_hash_mix(list[n].hash + front);
        list[n++].text += marks->front_text;
    }
}


void
ngx_http_ollama_marks_session(ngx_http_ollama_mark_t *mark,
    ngx_str_t *session_id, size_t text)
{
    ngx_http_ollama_hash_t  hash;

    ngx_http_ollama_hash_init(&hash);
    ngx_http_ollama_hash_text(&hash, session_id->data, session_id->len);

    mark->hash = ngx_http_ollama_hash_value(&hash);
    mark->text = text;
}
