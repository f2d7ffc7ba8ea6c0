
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


/* bytes in which a line's end is looked for at a time: there are two kinds */
#define NGX_HTTP_OLLAMA_SSE_WINDOW  256


static ngx_int_t ngx_http_ollama_sse_name(ngx_http_ollama_sse_t *sse,
    u_char ch);
static ngx_uint_t ngx_http_ollama_sse_is_mark(ngx_http_ollama_sse_t *sse,
    u_char ch);
static void ngx_http_ollama_sse_field(ngx_http_ollama_sse_t *sse);
static u_char *ngx_http_ollama_sse_find_end(u_char *p, u_char *last);
static u_char *ngx_http_ollama_sse_line_end(ngx_http_ollama_sse_t *sse,
    u_char *p, u_char *last);


ngx_http_ollama_sse_token_e
ngx_http_ollama_sse_next(ngx_http_ollama_sse_t *sse, u_char **pos,
    u_char *last)
{
    u_char  ch, *p;

    p = *pos;

    if (sse->cr && p < last) {
        sse->cr = 0;

        if (*p == '\n') {
            *pos = p + 1;
            return NGX_HTTP_OLLAMA_SSE_MORE;
        }
    }

    while (p < last) {

        ch = *p;

        switch (sse->state) {

        case sse_start:

            if (ch == '\n' || ch == '\r') {
                *pos = ngx_http_ollama_sse_line_end(sse, p, last);
                return NGX_HTTP_OLLAMA_SSE_EMPTY;
            }

            sse->line = 1;
            sse->nname = 0;
            sse->state = sse_name;

            /* fall through */

        case sse_name:

            if (ch == '\n' || ch == '\r') {
                ngx_http_ollama_sse_field(sse);

                sse->first = 1;
                sse->value = p;
                sse->end = p;
                *pos = ngx_http_ollama_sse_line_end(sse, p, last);

                return NGX_HTTP_OLLAMA_SSE_VALUE;
            }

            p++;

            if (ngx_http_ollama_sse_name(sse, ch) != NGX_OK) {
                ngx_http_ollama_sse_skip(sse);
                *pos = p;

                return NGX_HTTP_OLLAMA_SSE_INVALID;
            }

            break;

        case sse_space:

            if (ch == ' ') {
                p++;
            }

            sse->state = sse_first;
            break;

        default: /* sse_first, sse_value */
            sse->first = (sse->state == sse_first);
            sse->value = p;
            sse->end = ngx_http_ollama_sse_find_end(p, last);

            if (sse->end == last) {
                sse->state = sse_value;
                *pos = last;

            } else {
                *pos = ngx_http_ollama_sse_line_end(sse, sse->end, last);
            }

            return NGX_HTTP_OLLAMA_SSE_VALUE;
        }
    }

    *pos = p;
    return NGX_HTTP_OLLAMA_SSE_MORE;
}


/* A byte in front of a line's colon, or that. */

static ngx_int_t
ngx_http_ollama_sse_name(ngx_http_ollama_sse_t *sse, u_char ch)
{
    if (sse->nname && sse->name[0] == 0xef
        && !ngx_http_ollama_sse_is_mark(sse, ch))
    {
        /* a part of a mark is no name */
        return NGX_DECLINED;
    }

    if (ch == ':') {
        ngx_http_ollama_sse_field(sse);
        sse->state = sse_space;
        return NGX_OK;
    }

    if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
        && !(ch >= '0' && ch <= '9')
        && ch != '_' && ch != '-' && ch != '.'
        && !ngx_http_ollama_sse_is_mark(sse, ch))
    {
        return NGX_DECLINED;
    }

    if (sse->nname < NGX_HTTP_OLLAMA_SSE_NAME) {
        sse->name[sse->nname] = ch;
    }

    if (sse->nname <= NGX_HTTP_OLLAMA_SSE_NAME) {
        sse->nname++;
    }

    if (sse->nname == 3 && ch == 0xbf) {
        /* the mark is whole, and no part of the line */
        sse->begun = 1;
        sse->line = 0;
        sse->state = sse_start;
    }

    return NGX_OK;
}


/* Whether it is the next byte of a byte order mark at the very beginning. */

static ngx_uint_t
ngx_http_ollama_sse_is_mark(ngx_http_ollama_sse_t *sse, u_char ch)
{
    static const u_char  mark[] = { 0xef, 0xbb, 0xbf };

    return !sse->begun
           && sse->nname < sizeof(mark)
           && ch == mark[sse->nname]
           && (sse->nname == 0 || sse->name[0] == mark[0]);
}


/* A comment has no name. */

static void
ngx_http_ollama_sse_field(ngx_http_ollama_sse_t *sse)
{
    if (sse->nname == 4 && ngx_memcmp(sse->name, "data", 4) == 0) {
        sse->field = NGX_HTTP_OLLAMA_SSE_DATA;

    } else if (sse->nname == 5 && ngx_memcmp(sse->name, "event", 5) == 0) {
        sse->field = NGX_HTTP_OLLAMA_SSE_EVENT;

    } else {
        sse->field = NGX_HTTP_OLLAMA_SSE_OTHER;
    }
}


static u_char *
ngx_http_ollama_sse_find_end(u_char *p, u_char *last)
{
    u_char  *end, *nl, *cr;

    for ( /* void */ ; p < last; p = end) {

        end = (last - p > NGX_HTTP_OLLAMA_SSE_WINDOW)
              ? p + NGX_HTTP_OLLAMA_SSE_WINDOW : last;

        nl = memchr(p, '\n', end - p);
        cr = memchr(p, '\r', (nl ? nl : end) - p);

        if (cr || nl) {
            return cr ? cr : nl;
        }
    }

    return last;
}


/* Returns where the next line begins. */

static u_char *
ngx_http_ollama_sse_line_end(ngx_http_ollama_sse_t *sse, u_char *p,
    u_char *last)
{
    sse->begun = 1;
    sse->line = 0;
    sse->state = sse_start;

    if (*p++ == '\n') {
        return p;
    }

    if (p == last) {
        sse->cr = 1;
        return p;
    }

    return (*p == '\n') ? p + 1 : p;
}


void
ngx_http_ollama_sse_skip(ngx_http_ollama_sse_t *sse)
{
    sse->begun = 1;
    sse->field = NGX_HTTP_OLLAMA_SSE_OTHER;
    sse->line = 1;
    sse->state = sse_value;
}


u_char *
ngx_http_ollama_sse_event_end(ngx_http_ollama_sse_t *sse, u_char *p,
    u_char *last)
{
    ngx_http_ollama_sse_t  copy;

    copy = *sse;

    while (p < last) {
        if (ngx_http_ollama_sse_next(&copy, &p, last)
            == NGX_HTTP_OLLAMA_SSE_EMPTY)
        {
            return p;
        }
    }

    return last;
}
