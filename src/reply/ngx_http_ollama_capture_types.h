
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


/*
 * The types of capture, which collects a reply's text, for all of its files.
 */


/* levels of a reply's JSON at which it knows what a value is */
#define NGX_HTTP_OLLAMA_CAPTURE_LEVELS  8


typedef enum {
    NGX_HTTP_OLLAMA_CAPTURE_LINES = 0,   /* /api/chat: NDJSON */
    NGX_HTTP_OLLAMA_CAPTURE_OBJECT,      /* the same with "stream":false */
    NGX_HTTP_OLLAMA_CAPTURE_EVENTS,      /* /v1/chat/completions: SSE */
    NGX_HTTP_OLLAMA_CAPTURE_COMPLETION   /* the same without "stream" */
} ngx_http_ollama_capture_form_e;


/*
 * The texts, all UTF-8 but CAPTURE_TOOLS, and the names that OpenAI's replies
 * have for them.
 */

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
    unsigned                        whole:1;  /* a server would take it */
} ngx_http_ollama_capture_call_t;


/* Zero it before ngx_http_ollama_capture_init(). */

typedef struct {

    /* what was found, to be read after ngx_http_ollama_capture_end() */

    ngx_http_ollama_strbuf_text_t   text[NGX_HTTP_OLLAMA_CAPTURE_TEXTS];
    int64_t                         stat[NGX_HTTP_OLLAMA_CAPTURE_STATS];
                                              /* -1: unknown */
    ngx_array_t                     calls;    /* ..._capture_call_t */

    /* what may be read at any time */

    off_t                           open;     /* offset in the reply of the
                                                 final frame's object, or of
                                                 the one with finish_reason */
    off_t                           close;    /* and of the "}" at its end */

    unsigned                        last:1;   /* that object has come */
    unsigned                        truncated:1; /* there was more text than
                                                    "max" */
    unsigned                        failed:1; /* reading ended: it is no reply
                                                 of this form, or there is no
                                                 memory */

    /* state of the reply */

    unsigned                        over:1;   /* nothing more can come */
    ngx_http_ollama_capture_form_e  form;
    ngx_http_ollama_sse_t           sse;
    ngx_http_ollama_json_t          json;
    ngx_http_ollama_strbuf_t        strbuf;   /* of all texts but two: */
    ngx_http_ollama_strbuf_t        labels;   /* of the reason and the model */
    u_char                         *feed;     /* piece that was fed last */
    off_t                           pos;      /* its offset in the reply */
    u_char                         *piece;    /* part of it in the parser */
    off_t                           parsed;   /* bytes parsed before that */

    /* state of the line */

    unsigned                        object:1; /* it has its object */
    unsigned                        quoted:1; /* in a string */
    unsigned                        escaped:1; /* after a backslash in it */
    unsigned                        ending:1; /* the object is the final one */

    /*
     * state of the frame that is being read, and what was found in it, which is
     * dropped if it does not become whole
     */

    ngx_uint_t                      depth;
    ngx_uint_t                      key;      /* of the next value */
    ngx_uint_t                      choice;   /* 0: it is the first one */
    off_t                           begin;    /* its offset in the reply */
    u_char                          node[NGX_HTTP_OLLAMA_CAPTURE_LEVELS];
    ngx_http_ollama_strbuf_text_t  *target;   /* of the string; NULL: it is
                                                 not captured */
    ngx_http_ollama_strbuf_t       *target_buf;
    u_char                         *raw;      /* not NULL: in a raw object */
    size_t                          raw_len;  /* length of TOOLS before it */
    ngx_uint_t                      raw_depth;
    size_t                          committed[NGX_HTTP_OLLAMA_CAPTURE_TEXTS];
                                              /* lengths before the frame */
    int64_t                         frame_stat[NGX_HTTP_OLLAMA_CAPTURE_STATS];
    ngx_http_ollama_strbuf_text_t   parts;    /* strings of the deltas */
    ngx_array_t                     deltas;
    unsigned                        has_stats:1; /* frame_stat has some */
} ngx_http_ollama_capture_t;


#endif /* _NGX_HTTP_OLLAMA_CAPTURE_TYPES_H_INCLUDED_ */
