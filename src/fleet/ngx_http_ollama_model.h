
/*
 * Copyright (C) the nginx-ollama authors
 */


/* A model, as a report and a snapshot of a server have it. */


#ifndef _NGX_HTTP_OLLAMA_MODEL_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_MODEL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* limits on what a server may report */

#define NGX_HTTP_OLLAMA_REPORT_MODELS   1000
#define NGX_HTTP_OLLAMA_REPORT_SIZE     (4 * 1024 * 1024)  /* of a reply */
#define NGX_HTTP_OLLAMA_REPORT_OBJECT   (16 * 1024)        /* of a model */
#define NGX_HTTP_OLLAMA_REPORT_NAME     320
#define NGX_HTTP_OLLAMA_REPORT_VERSION  32


/*
 * All of type ngx_str_t is UTF-8 without control characters; what is called
 * raw is a JSON text as the server sent it.
 */

typedef struct {
    ngx_str_t    key;             /* canonical name, for comparison */
    ngx_str_t    name;            /* as the server spells it */
    ngx_str_t    tag;             /* raw object of /api/tags; len 0: none */
    ngx_str_t    ps;              /* raw object of /api/ps; len 0: the model
                                     isn't loaded */
    ngx_str_t    details;         /* raw object; len 0: none */
    ngx_str_t    expires_at;      /* len 0: not loaded, or not reported */
    int64_t      size;            /* bytes, on disk */
    int64_t      size_vram;       /* bytes; 0: not loaded, or not reported */
    int64_t      context_length;  /* tokens; 0: not loaded, or not reported */
    int64_t      modified;        /* microseconds since 1970 */
    uint64_t     digest;          /* hash of it, by /api/tags; 0: unknown */
    uint64_t     loaded;          /* the same by /api/ps */
    ngx_uint_t   warm;            /* in a snapshot: a model with this digest is
                                     loaded, under any name */
} ngx_http_ollama_model_t;


#endif /* _NGX_HTTP_OLLAMA_MODEL_H_INCLUDED_ */
