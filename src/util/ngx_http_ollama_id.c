
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Ids of tasks, sessions and gateways: which texts are ids, and random ones.
 * Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include <sys/random.h>

#include "util/ngx_http_ollama_id.h"


ngx_uint_t
ngx_http_ollama_id_is_valid(ngx_str_t *id)
{
    size_t  i;
    u_char  ch;

    if (id->len == 0 || id->len > NGX_HTTP_OLLAMA_ID_MAX) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {
        ch = id->data[i];

        if (!(ch >= '0' && ch <= '9')
            && !((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
            && ch != '_' && ch != '-')
        {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_ollama_id_random(u_char *id, size_t digits, ngx_log_t *log)
{
    u_char  bytes[NGX_HTTP_OLLAMA_ID_RANDOM / 2];

    if (getrandom(bytes, digits / 2, 0) != (ssize_t) (digits / 2)) {
        ngx_log_error(NGX_LOG_CRIT, log, ngx_errno, "getrandom() failed");
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(id, bytes, digits / 2);

    return NGX_OK;
}
