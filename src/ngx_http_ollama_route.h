
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_ROUTE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_ROUTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "reply/ngx_http_ollama_frame.h"


typedef struct ngx_http_ollama_ctx_s  ngx_http_ollama_ctx_t;


typedef enum {
    NGX_HTTP_OLLAMA_ROUTE_MODEL = 0,   /* to a server, by the body's model */
    NGX_HTTP_OLLAMA_ROUTE_PLAIN,       /* to a server, as it is */
    NGX_HTTP_OLLAMA_ROUTE_MANAGEMENT,  /* the same, if it is allowed */
    NGX_HTTP_OLLAMA_ROUTE_LIST,        /* answered here, of what is known;
                                          while that is nothing, as PLAIN */
    NGX_HTTP_OLLAMA_ROUTE_OWN,         /* answered here */
    NGX_HTTP_OLLAMA_ROUTE_TALK,        /* the same, when its body is read */
    NGX_HTTP_OLLAMA_ROUTE_LATER        /* not built yet */
} ngx_http_ollama_route_kind_e;


/*
 * An endpoint.  A path that ends with "*" stands for all that go on from
 * there with one more element, with "**" for any number of them.
 */

typedef struct {
    ngx_str_t                     path;
    ngx_uint_t                    methods;  /* NGX_HTTP_GET, … */
    ngx_http_ollama_route_kind_e  kind;
    ngx_uint_t                    scan;     /* NGX_HTTP_OLLAMA_SCAN_… */
    ngx_http_ollama_frame_end_e   last;     /* of its stream */
    ngx_http_handler_pt           handler;  /* of what is answered here */
} ngx_http_ollama_route_t;


ngx_int_t ngx_http_ollama_route_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_OLLAMA_ROUTE_H_INCLUDED_ */
