
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_REPORT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_REPORT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_model.h"
#include "fleet/ngx_http_ollama_report_parse.h"


/*
 * What a server answered to /api/tags, /api/ps and /api/version.  Zero it
 * before ngx_http_ollama_report_init().
 */

typedef struct {
    ngx_pool_t  *pool;
    ngx_array_t  models;          /* ngx_http_ollama_model_t, by key */
    ngx_str_t    version;         /* len 0: not reported */
    ngx_uint_t   dropped;         /* models that were left out as too many,
                                     too big or wrong */
    ngx_str_t    error;           /* after NGX_ERROR: what is wrong */

    ngx_http_ollama_report_parse_t  *parse;   /* of the reply being read */

    unsigned     has_tags:1;      /* the list was answered */
    unsigned     has_ps:1;
    unsigned     denied:1;        /* it was refused for lack of rights: 401 or
                                     403 */
} ngx_http_ollama_report_t;


/*
 * Makes a zeroed report ready.  All that it will have is in the pool or in the
 * replies' bodies, which must live as long.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_report_init(ngx_http_ollama_report_t *report,
    ngx_pool_t *pool);

/*
 * Each reads a whole reply: that to /api/tags, whose models replace any that
 * the report has; then that to /api/ps, which marks models as loaded and adds
 * those that are not among them, as they were removed or have come since; that
 * to /api/version.  NGX_ERROR: it is no such reply, report->error says why and
 * the rest of the report is unchanged.
 */
ngx_int_t ngx_http_ollama_report_tags(ngx_http_ollama_report_t *report,
    ngx_str_t *body);
ngx_int_t ngx_http_ollama_report_ps(ngx_http_ollama_report_t *report,
    ngx_str_t *body);
ngx_int_t ngx_http_ollama_report_version(ngx_http_ollama_report_t *report,
    ngx_str_t *body);

/*
 * Begins to read one of the three replies slice by slice, with
 * ngx_http_ollama_report_read().  NGX_ERROR: as above.
 */
ngx_int_t ngx_http_ollama_report_begin(ngx_http_ollama_report_t *report,
    ngx_http_ollama_report_parse_kind_e kind, ngx_str_t *body);

/*
 * Reads the next "size" bytes: 64K take about 0.2 ms, 1,000 models about 2 ms.
 * NGX_AGAIN: there are more; NGX_OK: that was all and the report has it;
 * NGX_ERROR: as above.
 */
ngx_int_t ngx_http_ollama_report_read(ngx_http_ollama_report_t *report,
    size_t size);

/*
 * Puts what an earlier report has, "n" models by key of which "dropped" more
 * were left out, in place of a list that this report lacks.  One of the two
 * lists must be there.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_ollama_report_keep(ngx_http_ollama_report_t *report,
    ngx_http_ollama_model_t *models, ngx_uint_t n, ngx_uint_t dropped);

/* Finds a model by its key among "n", sorted by key.  NULL: there is none. */
ngx_http_ollama_model_t *ngx_http_ollama_report_find(
    ngx_http_ollama_model_t *models, ngx_uint_t n, ngx_str_t *key);


#endif /* _NGX_HTTP_OLLAMA_REPORT_H_INCLUDED_ */
