
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_SNAPSHOT_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_SNAPSHOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_report.h"


/*
 * The models of a server by its last good probe: one block of memory, which is
 * never changed.  Versions are never used again, so that readers can see
 * whether their copy is still valid.
 */

typedef struct {
    ngx_uint_t                     version;   /* > 0 */
    size_t                         size;      /* of the block */
    ngx_uint_t                     nmodels;
    ngx_uint_t                     dropped;   /* models that are left out */
    ngx_http_ollama_model_t       *models;    /* by key */
} ngx_http_ollama_snapshot_t;


/*
 * Makes a snapshot, in the report's pool, and a hash by which another one with
 * the same content is recognized.  NULL: no memory.
 */
ngx_http_ollama_snapshot_t *ngx_http_ollama_snapshot_build(
    ngx_http_ollama_report_t *report, uint64_t *content);

/* Corrects the addresses in a snapshot that was copied from "from". */
void ngx_http_ollama_snapshot_relocate(ngx_http_ollama_snapshot_t *s,
    ngx_http_ollama_snapshot_t *from);


#endif /* _NGX_HTTP_OLLAMA_SNAPSHOT_H_INCLUDED_ */
