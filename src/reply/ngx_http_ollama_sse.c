
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The lines of a stream of server-sent events, in pieces that may be cut
 * anywhere: which field a line has, and where its value is.  Values are neither
 * copied nor interpreted.
 *
 * It has no memory of its own, and uses nothing of nginx but its types.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "reply/ngx_http_ollama_sse.h"


typedef enum {
    sse_start = 0,
    sse_name,
    sse_space,      /* which may follow the colon, and is not of the value */
    sse_first,      /* byte of the value */
    sse_value
} ngx_http_ollama_sse_state_e;


static ngx_int_t ngx_http_ollama_sse_field(ngx_http_ollama_sse_t *sse);


ngx_http_ollama_sse_token_e
ngx_http_ollama_sse_next(ngx_http_ollama_sse_t *sse, u_char **pos,
    u_char *last)
{
    u_char  ch, *p, *nl;

    p = *pos;

    while (p < last) {

        switch (sse->state) {

        case sse_start:
            ch = *p++;

            if (ch == '\n') {
                *pos = p;
                return NGX_HTTP_OLLAMA_SSE_EMPTY;
            }

            if (ch == ':') {
                ngx_http_ollama_sse_skip(sse);

            } else if (ch != '\r') {
                sse->name[0] = ch;
                sse->nname = 1;
                sse->state = sse_name;
            }

            break;

        case sse_name:
            ch = *p++;

            if (ch == ':' && ngx_http_ollama_sse_field(sse) == NGX_OK) {
                sse->state = sse_space;
                break;
            }

            if (ch == ':' || ch == '\n'
                || sse->nname == NGX_HTTP_OLLAMA_SSE_NAME)
            {
                ngx_http_ollama_sse_skip(sse);

                if (ch == '\n') {
                    sse->state = sse_start;
                }

                *pos = p;
                return NGX_HTTP_OLLAMA_SSE_INVALID;
            }

            sse->name[sse->nname++] = ch;
            break;

        case sse_space:
            if (*p == ' ') {
                p++;
            }

            sse->state = sse_first;
            break;

        default: /* sse_first, sse_value */
            sse->first = (sse->state == sse_first);
            sse->value = p;

            nl = memchr(p, '\n', last - p);

            sse->state = nl ? sse_start : sse_value;
            *pos = nl ? nl + 1 : last;

            return NGX_HTTP_OLLAMA_SSE_VALUE;
        }
    }

    *pos = p;
    return NGX_HTTP_OLLAMA_SSE_MORE;
}


/* NGX_DECLINED: there is no field by this name. */

static ngx_int_t
ngx_http_ollama_sse_field(ngx_http_ollama_sse_t *sse)
{
    if (sse->nname == 4 && ngx_memcmp(sse->name, "data", 4) == 0) {
        sse->field = NGX_HTTP_OLLAMA_SSE_DATA;
        return NGX_OK;
    }

    if (sse->nname == 5 && ngx_memcmp(sse->name, "event", 5) == 0) {
        sse->field = NGX_HTTP_OLLAMA_SSE_EVENT;
        return NGX_OK;
    }

    if ((sse->nname == 2 && ngx_memcmp(sse->name, "id", 2) == 0)
        || (sse->nname == 5 && ngx_memcmp(sse->name, "retry", 5) == 0))
    {
        sse->field = NGX_HTTP_OLLAMA_SSE_OTHER;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


void
ngx_http_ollama_sse_skip(ngx_http_ollama_sse_t *sse)
{
    sse->field = NGX_HTTP_OLLAMA_SSE_OTHER;
    sse->state = sse_value;
}
