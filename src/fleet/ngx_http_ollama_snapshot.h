
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SNAPSHOT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SNAPSHOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_report.h"


/*
 * What a server was found to have: one block of memory, never changed once it
 * is made.  Versions are never used again, so that who has a copy can see
 * whether it still holds.
 */

typedef struct {
    ngx_uint_t                     version;   /* > 0 */
    size_t                         size;      /* of the block */
    ngx_uint_t                     nmodels;
    ngx_uint_t                     dropped;   /* models there is more of */
    ngx_http_ollama_model_t       *models;    /* by key */
} ngx_http_ollama_snapshot_t;


ngx_http_ollama_snapshot_t *ngx_http_ollama_snapshot_build(
    ngx_http_ollama_report_t *report, uint64_t *content);
void ngx_http_ollama_snapshot_relocate(ngx_http_ollama_snapshot_t *s,
    ngx_http_ollama_snapshot_t *from);


#endif /* _NGX_HTTP_OLLAMA_SNAPSHOT_H_INCLUDED_ */
