
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ENDPOINT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ENDPOINT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef enum {
    NGX_HTTP_OLLAMA_ENDPOINT_MODEL = 0,     /* to a server that has the model
                                               in the body */
    NGX_HTTP_OLLAMA_ENDPOINT_FURTHER,       /* of ollama_pass: the same, if
                                               there is one in the body */
    NGX_HTTP_OLLAMA_ENDPOINT_PASS,          /* to a server, unchanged */
    NGX_HTTP_OLLAMA_ENDPOINT_MANAGEMENT,    /* to the first server that is up,
                                               if it is allowed */
    NGX_HTTP_OLLAMA_ENDPOINT_UPLOAD,        /* the same, with a body of any
                                               size */
    NGX_HTTP_OLLAMA_ENDPOINT_LIST,          /* answered here from memory; like
                                               PASS until a server was
                                               probed */
    NGX_HTTP_OLLAMA_ENDPOINT_LOCAL,         /* answered here */
    NGX_HTTP_OLLAMA_ENDPOINT_CONVERSATION,  /* the same, after its body was
                                               read */
    NGX_HTTP_OLLAMA_ENDPOINT_NOT_IMPLEMENTED
} ngx_http_ollama_endpoint_kind_e;


/* what marks the end of a reply */

typedef enum {
    NGX_HTTP_OLLAMA_END_OBJECT = 0,   /* the object itself */
    NGX_HTTP_OLLAMA_END_DONE,         /* "done":true, Ollama's */
    NGX_HTTP_OLLAMA_END_MARK,         /* data: [DONE], OpenAI's chat */
    NGX_HTTP_OLLAMA_END_RESPONSE,     /* event: response.completed, … */
    NGX_HTTP_OLLAMA_END_MESSAGE,      /* event: message_stop, Anthropic's */
    NGX_HTTP_OLLAMA_END_ANY           /* the object itself; replies of other
                                         types are not followed */
} ngx_http_ollama_frame_end_e;


/*
 * A path that ends with "*" stands for all paths that continue with one more
 * element, "**" for any number of them.
 */

typedef struct {
    ngx_str_t                        path;
    ngx_uint_t                       methods;  /* NGX_HTTP_GET, ... */
    ngx_http_ollama_endpoint_kind_e  kind;
    ngx_uint_t                       scan;     /* NGX_HTTP_OLLAMA_SCAN_... */
    ngx_http_ollama_frame_end_e      last;     /* of its reply */
    ngx_http_handler_pt              handler;  /* NULL: it is not local */
} ngx_http_ollama_endpoint_t;


#endif /* _NGX_HTTP_OLLAMA_ENDPOINT_H_INCLUDED_ */
