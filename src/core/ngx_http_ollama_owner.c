
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The owner of a request.  The module itself authenticates no one: the value of
 * "ollama_session_owner" comes from the administrator's authentication.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_sha1.h>

#include "core/ngx_http_ollama_owner.h"
#include "core/ngx_http_ollama_conf.h"


ngx_int_t
ngx_http_ollama_owner(ngx_http_request_t *r, ngx_str_t *owner)
{
    ngx_http_ollama_loc_conf_t  *olcf;

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ollama_module);

    ngx_str_null(owner);

    if (olcf->session_owner == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, olcf->session_owner, owner) != NGX_OK) {
        return NGX_ERROR;
    }

    return owner->len ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_ollama_owner_digest(ngx_http_request_t *r, u_char *digest)
{
    ngx_int_t   rc;
    ngx_str_t   owner;
    ngx_sha1_t  sha1;

    rc = ngx_http_ollama_owner(r, &owner);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && owner.len == 0) {
        ngx_memzero(digest, NGX_HTTP_OLLAMA_OWNER_SIZE);
        return NGX_OK;
    }

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, owner.data, owner.len);
    ngx_sha1_final(digest, &sha1);

    return NGX_OK;
}
