
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SCAN_TYPES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SCAN_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_forbid.h"
#include "request/ngx_http_ollama_marks.h"
#include "request/ngx_http_ollama_scan_runner.h"
#include "request/ngx_http_ollama_scan_unload.h"
#include "util/ngx_http_ollama_json.h"


/*
 * The scanner of bodies, for all of its files.
 */


/* levels from which members are cut out; of deeper ones nothing is noted */
#define NGX_HTTP_OLLAMA_SCAN_LEVELS     (NGX_HTTP_OLLAMA_FORBID_DEPTH + 1)

/* the most ranges that are cut out of a body */
#define NGX_HTTP_OLLAMA_SCAN_CUTS       1024

/* the most messages whose ranges are stored */
#define NGX_HTTP_OLLAMA_SCAN_LIST       1024

/* the longest model name or address that makes sense, decoded */
#define NGX_HTTP_OLLAMA_SCAN_MAX_VALUE  1024


/* which types the fields of a body have, besides those all have in common */

#define NGX_HTTP_OLLAMA_SCAN_STREAM     0x01  /* "stream" is a boolean */
#define NGX_HTTP_OLLAMA_SCAN_NAME       0x02  /* "name" is an old "model" */
#define NGX_HTTP_OLLAMA_SCAN_OPTIONS    0x04  /* "options" is an object */
#define NGX_HTTP_OLLAMA_SCAN_MESSAGES   0x08  /* "messages" has objects */
#define NGX_HTTP_OLLAMA_SCAN_TEXT       0x10  /* a message is plain text */

/* the body may ask to unload the model */
#define NGX_HTTP_OLLAMA_SCAN_UNLOAD     0x1000

/* "model" may be missing: the header names a session, which may have one */
#define NGX_HTTP_OLLAMA_SCAN_SESSION    0x20

/* the body may have fields of the gateway, which are not for the server */
#define NGX_HTTP_OLLAMA_SCAN_OWN        0x40

/* the body may be a form, multipart/form-data, instead of JSON */
#define NGX_HTTP_OLLAMA_SCAN_FORM       0x80


/* a model evaluates the body's prompt: marks are made of it */
#define NGX_HTTP_OLLAMA_SCAN_PROMPT     0x100


typedef struct ngx_http_ollama_scan_s   ngx_http_ollama_scan_t;
typedef struct ngx_http_ollama_field_s  ngx_http_ollama_field_t;


/* bytes [start, end) of the body: to be cut out, or a message */

typedef struct {
    off_t                  start;
    off_t                  end;
} ngx_http_ollama_cut_t;


typedef struct {
    off_t                  end;       /* of the last member, or of the "{" */
    uint32_t               match;     /* forbidden paths that lead here */
    unsigned               kept:1;    /* a member is in front that is not cut */
    unsigned               lead:1;    /* all members in front are cut, so the
                                         next one's comma is, too */
    unsigned               cut:1;     /* the current member is cut */
} ngx_http_ollama_scan_level_t;


/* what is known of a body's prompt while it is scanned */

typedef struct {
    ngx_http_ollama_marks_t        marks;
    ngx_http_ollama_scan_runner_t  runner;
    u_char                        *piece;    /* of the body, that is fed */
    off_t                          base;     /* its offset */
    off_t                          taken;    /* to there the string that begins
                                                in front of it is in "marks" */
} ngx_http_ollama_scan_prompt_t;


typedef enum {
    NGX_HTTP_OLLAMA_STREAM_UNSET = 0,
    NGX_HTTP_OLLAMA_STREAM_ON,
    NGX_HTTP_OLLAMA_STREAM_OFF
} ngx_http_ollama_stream_e;


struct ngx_http_ollama_scan_s {
    ngx_http_ollama_json_t         json;
    ngx_pool_t                    *pool;
    ngx_uint_t                     flags;
    ngx_http_ollama_forbid_t      *forbid;
    ngx_uint_t                     nforbid;

    ngx_uint_t                     depth;
    ngx_http_ollama_field_t       *field;     /* of the body, or NULL */
    ngx_http_ollama_field_t       *sub;       /* of a message, or NULL */
    ngx_http_ollama_scan_level_t  *level;
    ngx_http_ollama_scan_prompt_t *prompt;    /* NULL: marks aren't wanted */

    /* what was found; strings are decoded and in the pool */

    ngx_str_t                      model;
    ngx_http_ollama_cut_t          model_at; /* its value; end 0: not there */
    ngx_str_t                      name;
    ngx_http_ollama_cut_t          name_at;
    ngx_str_t                      server_url;
    ngx_str_t                      session_id;
    ngx_str_t                      task_id;
    ngx_http_ollama_stream_e       stream;
    ngx_http_ollama_scan_unload_t  unload;

    ngx_http_ollama_mark_t        *marks;    /* of the prompt, in the pool */
    ngx_uint_t                     nmarks;
    size_t                         text;     /* bytes of the prompt */
    uint64_t                       runner;   /* hash of the options that need
                                                a runner of their own; 0: none
                                                is given */
    ngx_uint_t                     num_ctx;  /* if it is the only one, or 0 */

    uint32_t                       roomy;    /* bits of fields that have room
                                                for a value of any length */

    ngx_array_t                    messages; /* ngx_http_ollama_cut_t */
    off_t                          messages_start; /* after "["; 0: none */
    off_t                          messages_null; /* offset of the last null in
                                                a list of messages, which may
                                                be one before this list */
    off_t                          close;    /* offset of the body's "}" */
    ngx_array_t                    cuts;     /* ngx_http_ollama_cut_t */
    unsigned                       messages_more:1; /* than are in "messages" */
    uint32_t                       removed;  /* bits of forbid[] that are cut */

    /* what is wrong, after NGX_DECLINED */

    ngx_str_t                      error;
    off_t                          error_at; /* offset in the body */
};


#endif /* _NGX_HTTP_OLLAMA_SCAN_TYPES_H_INCLUDED_ */
