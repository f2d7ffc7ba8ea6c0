
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_MARKS_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MARKS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_hash.h"


/* the most marks of a prompt */
#define NGX_HTTP_OLLAMA_MARKS_MAX    64

/* those at ends of messages: the first ones and the last ones */
#define NGX_HTTP_OLLAMA_MARKS_FIRST  8
#define NGX_HTTP_OLLAMA_MARKS_LAST   16

/* those at equal distances, which are fewer than this */
#define NGX_HTTP_OLLAMA_MARKS_GRID   40

/* their distance in bytes, which is doubled when there would be more */
#define NGX_HTTP_OLLAMA_MARKS_STEP   2048


/*
 * A place in a prompt: two prompts with an equal hash have the same text up to
 * there.
 */

typedef struct {
    uint64_t                       hash;
    size_t                         text;     /* bytes up to there */
} ngx_http_ollama_mark_t;


typedef enum {
    NGX_HTTP_OLLAMA_MARKS_NOTHING = 0,
    NGX_HTTP_OLLAMA_MARKS_FRONT,     /* what is in front of the prompt */
    NGX_HTTP_OLLAMA_MARKS_PROMPT
} ngx_http_ollama_marks_part_e;


/* The marks of a body while it is read. */

typedef struct {
    ngx_http_ollama_hash_t         prompt;
    ngx_http_ollama_hash_t         other;    /* a picture or another member */

    uint64_t                       front;    /* sum over the members' hashes */
    size_t                         front_text;
    off_t                          start;    /* of the member's value */
    ngx_uint_t                     index;    /* of its name */
    ngx_http_ollama_marks_part_e   part;     /* which it is */

    uint64_t                       lists;    /* bits of depths: lists there */
    ngx_uint_t                     skip;     /* the depth of a member that is
                                                no text; 0: none */
    ngx_uint_t                     picture;  /* the same of a picture */
    unsigned                       messages:1; /* the prompt is of these */
    unsigned                       value:1;  /* the next string is no key */
    unsigned                       begun:1;  /* "other" has some of it */

    ngx_uint_t                     nends;
    ngx_http_ollama_mark_t         first[NGX_HTTP_OLLAMA_MARKS_FIRST];
    ngx_http_ollama_mark_t         last[NGX_HTTP_OLLAMA_MARKS_LAST];

    ngx_uint_t                     ngrid;
    size_t                         step;
    uint64_t                       grid[NGX_HTTP_OLLAMA_MARKS_GRID];
} ngx_http_ollama_marks_t;


/*
 * Prepares for a body; "messages": its prompt is the member of that name,
 * otherwise "prompt" or "input".
 */
void ngx_http_ollama_marks_init(ngx_http_ollama_marks_t *marks,
    ngx_uint_t messages);

/*
 * A member's key, whose end is at the offset "at" of the body.  A depth is that
 * of the object or the list something is in; 1 is the body itself.  "cut": the
 * server doesn't get the member.
 */
void ngx_http_ollama_marks_key(ngx_http_ollama_marks_t *marks,
    ngx_uint_t depth, const u_char *p, size_t len, off_t at, ngx_uint_t cut);

/* An object or a list begins, whose values are at "depth". */
void ngx_http_ollama_marks_open(ngx_http_ollama_marks_t *marks,
    ngx_uint_t depth, ngx_uint_t list);

/* The next bytes of a string as they are in the body; it may be a key. */
void ngx_http_ollama_marks_text(ngx_http_ollama_marks_t *marks,
    ngx_uint_t depth, const u_char *p, size_t len);

/* The string that was a value is whole. */
void ngx_http_ollama_marks_text_end(ngx_http_ollama_marks_t *marks,
    ngx_uint_t depth);

/* A value of any kind at "depth" ends at the offset "at" of the body. */
void ngx_http_ollama_marks_end(ngx_http_ollama_marks_t *marks,
    ngx_uint_t depth, off_t at);

/* How many marks there are, and the bytes of the whole prompt's text. */
ngx_uint_t ngx_http_ollama_marks_count(ngx_http_ollama_marks_t *marks);
size_t ngx_http_ollama_marks_size(ngx_http_ollama_marks_t *marks);

/* Writes the marks, the shortest first. */
void ngx_http_ollama_marks_list(ngx_http_ollama_marks_t *marks,
    ngx_http_ollama_mark_t *list);

/*
 * The one mark of a chat in a session, whose history is not in the body and has
 * "text" bytes.
 */
void ngx_http_ollama_marks_session(ngx_http_ollama_mark_t *mark,
    ngx_str_t *session_id, size_t text);


#endif /* _NGX_HTTP_OLLAMA_MARKS_H_INCLUDED_ */
