
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A snapshot of a server's models, made of its report: a single block, which
 * can be copied to other memory, if its addresses are corrected afterwards.
 * Pure functions; they may use the report only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_snapshot.h"


static void ngx_http_ollama_snapshot_warm(ngx_http_ollama_model_t *models,
    ngx_uint_t n);
static u_char *ngx_http_ollama_snapshot_put(ngx_str_t *dst, ngx_str_t *src,
    ngx_http_ollama_snapshot_t *s, u_char *p);


ngx_http_ollama_snapshot_t *
ngx_http_ollama_snapshot_build(ngx_http_ollama_report_t *report,
    uint64_t *content)
{
    u_char                      *p;
    size_t                       size, head;
    ngx_uint_t                   i, n;
    ngx_http_ollama_model_t     *from, *to;
    ngx_http_ollama_snapshot_t  *s;

    n = report->models.nelts;
    from = report->models.elts;

    head = sizeof(ngx_http_ollama_snapshot_t)
           + n * sizeof(ngx_http_ollama_model_t);
    size = head;

    for (i = 0; i < n; i++) {
        size += from[i].key.len + from[i].name.len + from[i].tag.len
                + from[i].ps.len + from[i].details.len
                + from[i].expires_at.len;
    }

    s = ngx_pcalloc(report->pool, size);
    if (s == NULL) {
        return NULL;
    }

    /* addresses begin at 0 here: the same content gives the same bytes */

    s->size = size;
    s->nmodels = n;
    s->dropped = report->dropped;
    s->models = (ngx_http_ollama_model_t *)
                    sizeof(ngx_http_ollama_snapshot_t);

    to = (ngx_http_ollama_model_t *) (s + 1);
    p = (u_char *) s + head;

    for (i = 0; i < n; i++) {
        to[i].size = from[i].size;
        to[i].size_vram = from[i].size_vram;
        to[i].context_length = from[i].context_length;
        to[i].modified = from[i].modified;
        to[i].digest = from[i].digest;
        to[i].loaded = from[i].loaded;

        p = ngx_http_ollama_snapshot_put(&to[i].key, &from[i].key, s, p);
        p = ngx_http_ollama_snapshot_put(&to[i].name, &from[i].name, s, p);
        p = ngx_http_ollama_snapshot_put(&to[i].tag, &from[i].tag, s, p);
        p = ngx_http_ollama_snapshot_put(&to[i].ps, &from[i].ps, s, p);
        p = ngx_http_ollama_snapshot_put(&to[i].details, &from[i].details,
                                         s, p);
        p = ngx_http_ollama_snapshot_put(&to[i].expires_at,
                                         &from[i].expires_at, s, p);
    }

    ngx_http_ollama_snapshot_warm(to, n);

    *content = ((uint64_t) size << 32)
               | ngx_murmur_hash2((u_char *) s, size);

    ngx_http_ollama_snapshot_relocate(s, NULL);

    return s;
}


/*
 * A server has one runner for all names of the same weights, and reports it
 * under the name that it was loaded by.
 */

static void
ngx_http_ollama_snapshot_warm(ngx_http_ollama_model_t *models, ngx_uint_t n)
{
    ngx_uint_t  i, k;

    for (i = 0; i < n; i++) {

        if (models[i].ps.len) {
            models[i].warm = 1;
        }

        if (models[i].loaded == 0) {
            continue;
        }

        for (k = 0; k < n; k++) {
            if (models[k].digest == models[i].loaded) {
                models[k].warm = 1;
            }
        }
    }
}


static u_char *
ngx_http_ollama_snapshot_put(ngx_str_t *dst, ngx_str_t *src,
    ngx_http_ollama_snapshot_t *s, u_char *p)
{
    dst->len = src->len;
    dst->data = (u_char *) (uintptr_t) (p - (u_char *) s);

    if (src->len) {
        p = ngx_cpymem(p, src->data, src->len);
    }

    return p;
}


void
ngx_http_ollama_snapshot_relocate(ngx_http_ollama_snapshot_t *s,
    ngx_http_ollama_snapshot_t *from)
{
    uintptr_t                 by;
    ngx_uint_t                i;
    ngx_http_ollama_model_t  *m;

    by = (uintptr_t) s - (uintptr_t) from;

    s->models = (void *) ((uintptr_t) s->models + by);

    for (i = 0; i < s->nmodels; i++) {
        m = &s->models[i];

        m->key.data = (void *) ((uintptr_t) m->key.data + by);
        m->name.data = (void *) ((uintptr_t) m->name.data + by);
        m->tag.data = (void *) ((uintptr_t) m->tag.data + by);
        m->ps.data = (void *) ((uintptr_t) m->ps.data + by);
        m->details.data = (void *) ((uintptr_t) m->details.data + by);
        m->expires_at.data = (void *) ((uintptr_t) m->expires_at.data + by);
    }
}
