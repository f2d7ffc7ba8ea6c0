
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Which paths manage models or servers: these and all below them, in any
 * spelling.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ollama_managed.h"
#include "util/ngx_http_ollama_path.h"


static ngx_str_t  ngx_http_ollama_managed_paths[] = {
    ngx_string("/api/pull"),
    ngx_string("/api/push"),
    ngx_string("/api/create"),
    ngx_string("/api/copy"),
    ngx_string("/api/delete"),
    ngx_string("/api/blobs"),
    ngx_string("/api/me"),
    ngx_string("/api/signout"),
    ngx_string("/api/user"),
    ngx_string("/api/experimental"),
    ngx_null_string
};


ngx_uint_t
ngx_http_ollama_managed(ngx_str_t *uri)
{
    ngx_str_t  *name;

    for (name = ngx_http_ollama_managed_paths; name->len; name++) {
        if (ngx_http_ollama_path_below(name, uri)) {
            return 1;
        }
    }

    return 0;
}
