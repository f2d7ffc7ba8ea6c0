
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REPORT_PARSE_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REPORT_PARSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_model.h"
#include "util/ngx_http_ollama_json.h"


typedef enum {
    NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS = 0,
    NGX_HTTP_OLLAMA_REPORT_PARSE_PS,
    NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION
} ngx_http_ollama_report_parse_kind_e;


/* a string of a model, until it is known whether the model is added */

typedef struct {
    ngx_uint_t                     found;
    size_t                         len;
    u_char                         data[NGX_HTTP_OLLAMA_REPORT_NAME];
} ngx_http_ollama_report_parse_text_t;


/* Zero it before ngx_http_ollama_report_parse_init(). */

typedef struct {

    /* what was found */

    ngx_array_t                          models;    /* in the server's order,
                                                       keys may be there more
                                                       than once */
    ngx_uint_t                           dropped;
    ngx_str_t                            version;
    ngx_str_t                            error;     /* after NGX_ERROR */

    /* of the reply as a whole */

    ngx_pool_t                          *pool;
    ngx_str_t                            body;
    ngx_http_ollama_report_parse_kind_e  kind;
    ngx_http_ollama_json_t               json;
    const char                          *refused;   /* why a callback did */

    ngx_uint_t                           depth;
    ngx_uint_t                           wanted;    /* key of what it is
                                                       about */
    ngx_uint_t                           top;       /* key at depth 1 */
    ngx_uint_t                           member;    /* key of a model */

    /* of the model being read */

    off_t                                start;
    off_t                                details;
    ngx_http_ollama_model_t              model;
    ngx_http_ollama_report_parse_text_t  name;
    ngx_http_ollama_report_parse_text_t  alias;     /* "model" */
    ngx_http_ollama_report_parse_text_t  expires;

    unsigned                             found:1;   /* the value wanted */
    unsigned                             list:1;    /* in the array of models */
    unsigned                             object:1;  /* in one of them */
} ngx_http_ollama_report_parse_t;


/*
 * Makes a zeroed struct ready for a reply.  What is found will be in the pool
 * or in the body, which must live as long.  NGX_ERROR: nothing can be had from
 * it, rp->error says why.
 */
ngx_int_t ngx_http_ollama_report_parse_init(ngx_http_ollama_report_parse_t *rp,
    ngx_pool_t *pool, ngx_http_ollama_report_parse_kind_e kind,
    ngx_str_t *body);

/*
 * Reads the next "size" bytes.  NGX_AGAIN: there are more; NGX_OK: that was
 * all, and what was found may be used; NGX_ERROR: as above.
 */
ngx_int_t ngx_http_ollama_report_parse_read(ngx_http_ollama_report_parse_t *rp,
    size_t size);


#endif /* _NGX_HTTP_OLLAMA_REPORT_PARSE_H_INCLUDED_ */
