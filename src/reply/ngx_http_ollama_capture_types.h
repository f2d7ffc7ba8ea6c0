
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_CAPTURE_TYPES_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_CAPTURE_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_sse.h"
#include "util/ngx_http_ollama_json.h"
#include "util/ngx_http_ollama_strbuf.h"


/* levels of a reply in which something is looked for */
#define NGX_HTTP_OLLAMA_CAPTURE_LEVELS  8


typedef enum {
    NGX_HTTP_OLLAMA_CAPTURE_LINES = 0,   /* /api/chat: NDJSON */
    NGX_HTTP_OLLAMA_CAPTURE_OBJECT,      /* the same with "stream":false */
    NGX_HTTP_OLLAMA_CAPTURE_EVENTS,      /* /v1/chat/completions: SSE */
    NGX_HTTP_OLLAMA_CAPTURE_COMPLETION   /* the same without "stream" */
} ngx_http_ollama_capture_form_e;


/* the texts, UTF-8 but for TOOLS, and what else they are for OpenAI */

typedef enum {
    NGX_HTTP_OLLAMA_CAPTURE_CONTENT = 0,
    NGX_HTTP_OLLAMA_CAPTURE_THINKING,    /* reasoning, reasoning_content */
    NGX_HTTP_OLLAMA_CAPTURE_TOOLS,       /* raw objects between commas; use
                                         ngx_http_ollama_capture_tools() */
    NGX_HTTP_OLLAMA_CAPTURE_REASON,      /* done_reason; finish_reason */
    NGX_HTTP_OLLAMA_CAPTURE_MODEL,
    NGX_HTTP_OLLAMA_CAPTURE_TEXTS
} ngx_http_ollama_capture_text_e;


/* the statistics, in Ollama's order */

typedef enum {
    NGX_HTTP_OLLAMA_CAPTURE_TOTAL_DURATION = 0,
    NGX_HTTP_OLLAMA_CAPTURE_LOAD_DURATION,
    NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_COUNT,
    NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_CACHED_COUNT,
    NGX_HTTP_OLLAMA_CAPTURE_PROMPT_EVAL_DURATION,
    NGX_HTTP_OLLAMA_CAPTURE_EVAL_COUNT,
    NGX_HTTP_OLLAMA_CAPTURE_EVAL_DURATION,
    NGX_HTTP_OLLAMA_CAPTURE_STATS
} ngx_http_ollama_capture_stat_e;


/* a tool call that came in parts: SSE only */

typedef struct {
    int64_t                         index;
    ngx_http_ollama_strbuf_text_t   id;
    ngx_http_ollama_strbuf_text_t   name;
    ngx_http_ollama_strbuf_text_t   arguments;
    unsigned                        whole:1;  /* may be sent back */
} ngx_http_ollama_capture_call_t;


/* Zero it before ngx_http_ollama_capture_init(). */

typedef struct {

    /* what was found, to be read after ngx_http_ollama_capture_end() */

    ngx_http_ollama_strbuf_text_t   text[NGX_HTTP_OLLAMA_CAPTURE_TEXTS];
    int64_t                         stat[NGX_HTTP_OLLAMA_CAPTURE_STATS];
                                                    /* -1: not told */
    ngx_array_t                     calls;    /* ..._said_call_t */

    /* what is known at once */

    off_t                           open;     /* the object that is the last,
                                                 or has finish_reason: where
                                                 in the reply it begins */
    off_t                           close;    /* and where its "}" is */

    unsigned                        last:1;   /* that object has come */
    unsigned                        truncated:1; /* there was more text than
                                                    "max" */
    unsigned                        failed:1; /* no further: something is no
                                                 such reply, or no memory */

    /* of the reply as a whole */

    unsigned                        over:1;   /* nothing more can come */
    ngx_http_ollama_capture_form_e  form;
    ngx_http_ollama_sse_t           sse;
    ngx_http_ollama_json_t          json;
    ngx_http_ollama_strbuf_t        gather;   /* all but the next's texts */
    ngx_http_ollama_strbuf_t        label;    /* of reason and model */
    off_t                           pos;      /* of the piece "feed" */
    u_char                         *feed;
    u_char                         *piece;    /* of it, being parsed */
    off_t                           parsed;   /* by json in front of it */

    /* of the line */

    unsigned                        object:1; /* it has its object */
    unsigned                        quoted:1; /* in a string */
    unsigned                        escaped:1; /* behind a backslash in it */
    unsigned                        ending:1; /* the object is the last */

    /* of the frame being read, and what goes if it doesn't become whole */

    ngx_uint_t                      depth;
    ngx_uint_t                      key;      /* of the value expected */
    ngx_uint_t                      choice;   /* its index */
    off_t                           begin;
    u_char                          node[NGX_HTTP_OLLAMA_CAPTURE_LEVELS];
    ngx_http_ollama_strbuf_text_t  *into;     /* where the string goes, */
    ngx_http_ollama_strbuf_t       *by;       /* and by which limit */
    u_char                         *raw;      /* not NULL: in a raw object */
    size_t                          raw_len;  /* of TOOLS in front of it */
    ngx_uint_t                      raw_depth;
    size_t                          mark[NGX_HTTP_OLLAMA_CAPTURE_TEXTS];
    int64_t                         told[NGX_HTTP_OLLAMA_CAPTURE_STATS];
    ngx_http_ollama_strbuf_text_t   parts;    /* strings of the deltas */
    ngx_array_t                     deltas;
    unsigned                        counted:1; /* one of "told" is */
} ngx_http_ollama_capture_t;


#endif /* _NGX_HTTP_OLLAMA_CAPTURE_TYPES_H_INCLUDED_ */
