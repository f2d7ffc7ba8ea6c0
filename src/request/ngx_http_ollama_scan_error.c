
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is said of a body that is invalid: the text of a refusal.  Its memory is
 * the scan's.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_scan_error.h"


static u_char *ngx_http_ollama_scan_error_copy(u_char *p, const char *text);


ngx_int_t
ngx_http_ollama_scan_error(ngx_http_ollama_scan_t *scan, off_t at,
    ngx_str_t *name, const char *text, const char *tail)
{
    u_char  *p;

    p = ngx_pnalloc(scan->pool, (name ? name->len + 3 : 0)
                                + ngx_strlen(text) + ngx_strlen(tail));
    if (p == NULL) {
        return NGX_ERROR;
    }

    scan->error.data = p;
    scan->error_at = at;

    if (name) {
        *p++ = '"';
        p = ngx_cpymem(p, name->data, name->len);
        *p++ = '"';
        *p++ = ' ';
    }

    p = ngx_http_ollama_scan_error_copy(p, text);
    p = ngx_http_ollama_scan_error_copy(p, tail);

    scan->error.len = p - scan->error.data;

    return NGX_DECLINED;
}


static u_char *
ngx_http_ollama_scan_error_copy(u_char *p, const char *text)
{
    return ngx_cpymem(p, text, ngx_strlen(text));
}
