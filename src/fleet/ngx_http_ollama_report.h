
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REPORT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* bounds on what a server may say of itself */

#define NGX_HTTP_OLLAMA_REPORT_MODELS   1000
#define NGX_HTTP_OLLAMA_REPORT_SIZE     (4 * 1024 * 1024)  /* of a reply */
#define NGX_HTTP_OLLAMA_REPORT_OBJECT   (16 * 1024)        /* of a model */
#define NGX_HTTP_OLLAMA_REPORT_NAME     320
#define NGX_HTTP_OLLAMA_REPORT_VERSION  32


/*
 * A model of a server.  Everything of type ngx_str_t is UTF-8 without control
 * characters; what is called raw is a JSON text as the server sent it.
 */

typedef struct {
    ngx_str_t    key;             /* canonical name: these are compared */
    ngx_str_t    name;            /* as the server spells it */
    ngx_str_t    tag;             /* raw object of /api/tags; len 0: none */
    ngx_str_t    ps;              /* raw object of /api/ps; len 0: the model
                                     isn't loaded */
    ngx_str_t    details;         /* raw object; len 0: none */
    ngx_str_t    expires_at;      /* len 0: isn't loaded, or not told */
    int64_t      size;            /* bytes, on disk */
    int64_t      size_vram;       /* bytes; 0: isn't loaded, or not told */
    int64_t      context_length;  /* tokens; 0: isn't loaded, or not told */
    int64_t      modified;        /* microseconds since 1970 */
} ngx_http_ollama_model_t;


/*
 * What a server said in answer to /api/tags, /api/ps and /api/version.  Zero
 * it before ngx_http_ollama_report_init().
 */

typedef struct {
    ngx_pool_t  *pool;
    ngx_array_t  models;          /* ngx_http_ollama_model_t, by key */
    ngx_str_t    version;         /* len 0: not told */
    ngx_uint_t   dropped;         /* models that were left out as too many,
                                     too big or wrong */
    ngx_str_t    error;           /* after NGX_ERROR: what is wrong */

    void        *reply;           /* the report's own: being read */
} ngx_http_ollama_report_t;


typedef enum {
    NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS = 0,
    NGX_HTTP_OLLAMA_REPORT_PARSE_PS,
    NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION
} ngx_http_ollama_report_parse_kind_e;


ngx_int_t ngx_http_ollama_report_init(ngx_http_ollama_report_t *report,
    ngx_pool_t *pool);

/* a reply as a whole */

ngx_int_t ngx_http_ollama_report_tags(ngx_http_ollama_report_t *report,
    ngx_str_t *body);
ngx_int_t ngx_http_ollama_report_ps(ngx_http_ollama_report_t *report,
    ngx_str_t *body);
ngx_int_t ngx_http_ollama_report_version(ngx_http_ollama_report_t *report,
    ngx_str_t *body);

/* a reply slice by slice: 64K take about 0.2 ms, 1,000 models about 2 ms */

ngx_int_t ngx_http_ollama_report_begin(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body);
ngx_int_t ngx_http_ollama_report_read(ngx_http_ollama_report_t *report,
    size_t size);

ngx_http_ollama_model_t *ngx_http_ollama_report_find(
    ngx_http_ollama_model_t *models, ngx_uint_t n, ngx_str_t *key);


#endif /* _NGX_HTTP_OLLAMA_REPORT_H_INCLUDED_ */
