
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * nginx's parsers of a reply, for unit tests and fuzzers, which have nginx's
 * headers only: the same states and the same results, without what the module
 * doesn't use.
 */


#include "ngx_stub.h"

#include <ngx_http.h>


static int http_stub_digit(u_char ch);


ngx_buf_t *
ngx_create_temp_buf(ngx_pool_t *pool, size_t size)
{
    ngx_buf_t  *b;

    b = ngx_pcalloc(pool, sizeof(ngx_buf_t));
    if (b == NULL) {
        return NULL;
    }

    b->start = ngx_palloc(pool, size);
    if (b->start == NULL) {
        return NULL;
    }

    b->pos = b->start;
    b->last = b->start;
    b->end = b->start + size;
    b->temporary = 1;

    return b;
}


off_t
ngx_atoof(u_char *line, size_t n)
{
    return ngx_atoi(line, n);
}


/* of r only "state" and the version are used, as by nginx */

ngx_int_t
ngx_http_parse_status_line(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_http_status_t *status)
{
    u_char       ch, *p;

    enum {
        sw_start = 0,
        sw_first_major = 5,      /* behind "HTTP/" */
        sw_major,
        sw_first_minor,
        sw_minor,
        sw_status,
        sw_after_status,
        sw_text,
        sw_almost_done
    } state;

    state = r->state;

    for (p = b->pos; p < b->last; p++) {
        ch = *p;

        switch (state) {

        case sw_first_major:
            if (ch < '1' || ch > '9') {
                return NGX_ERROR;
            }

            r->http_major = ch - '0';
            state = sw_major;
            break;

        case sw_major:
            if (ch == '.') {
                state = sw_first_minor;
                break;
            }

            if (!isdigit(ch) || r->http_major > 99) {
                return NGX_ERROR;
            }

            r->http_major = r->http_major * 10 + (ch - '0');
            break;

        case sw_first_minor:
            if (!isdigit(ch)) {
                return NGX_ERROR;
            }

            r->http_minor = ch - '0';
            state = sw_minor;
            break;

        case sw_minor:
            if (ch == ' ') {
                state = sw_status;
                break;
            }

            if (!isdigit(ch) || r->http_minor > 99) {
                return NGX_ERROR;
            }

            r->http_minor = r->http_minor * 10 + (ch - '0');
            break;

        case sw_status:
            if (ch == ' ') {
                break;
            }

            if (!isdigit(ch)) {
                return NGX_ERROR;
            }

            status->code = status->code * 10 + (ch - '0');

            if (++status->count == 3) {
                state = sw_after_status;
            }

            break;

        case sw_after_status:
            if (ch == ' ' || ch == '.') {
                state = sw_text;
                break;
            }

            if (ch != CR && ch != LF) {
                return NGX_ERROR;
            }

            /* fall through */

        case sw_text:
            if (ch == CR) {
                state = sw_almost_done;

            } else if (ch == LF) {
                goto done;
            }

            break;

        case sw_almost_done:
            if (ch == LF) {
                goto done;
            }

            return NGX_ERROR;

        default: /* in "HTTP/" */
            if (ch != "HTTP/"[state]) {
                return NGX_ERROR;
            }

            state++;
            break;
        }
    }

    b->pos = p;
    r->state = state;

    return NGX_AGAIN;

done:

    b->pos = p + 1;
    r->state = sw_start;

    status->http_version = r->http_major * 1000 + r->http_minor;

    return NGX_OK;
}


ngx_int_t
ngx_http_parse_header_line(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_uint_t allow_underscores)
{
    u_char       ch, *p;

    enum {
        sw_start = 0,
        sw_name,
        sw_before_value,
        sw_value,
        sw_after_value,
        sw_almost_done,
        sw_header_almost_done
    } state;

    state = r->state;

    for (p = b->pos; p < b->last; p++) {
        ch = *p;

        if (ch == '\0') {
            return NGX_HTTP_PARSE_INVALID_HEADER;
        }

        switch (state) {

        case sw_start:
            r->header_name_start = p;
            r->invalid_header = 0;

            if (ch == CR) {
                state = sw_header_almost_done;
                break;
            }

            if (ch == LF) {
                goto header_done;
            }

            if (ch == ':') {
                return NGX_HTTP_PARSE_INVALID_HEADER;
            }

            state = sw_name;

            /* fall through */

        case sw_name:
            if (isalnum(ch) || ch == '-' || (ch == '_' && allow_underscores)) {
                break;
            }

            if (ch == ':') {
                r->header_name_end = p;
                state = sw_before_value;
                break;
            }

            if (p > r->header_name_start && (ch == CR || ch == LF)) {
                r->header_name_end = p;
                r->header_start = p;
                r->header_end = p;

                if (ch == LF) {
                    goto done;
                }

                state = sw_almost_done;
                break;
            }

            if (ch <= 0x20 || ch == 0x7f) {
                return NGX_HTTP_PARSE_INVALID_HEADER;
            }

            r->invalid_header = 1;
            break;

        case sw_before_value:
            if (ch == ' ') {
                break;
            }

            r->header_start = p;
            state = sw_value;

            /* fall through */

        case sw_value:
        case sw_after_value:
            if (ch == ' ') {
                if (state == sw_value) {
                    r->header_end = p;
                    state = sw_after_value;
                }

                break;
            }

            if (ch != CR && ch != LF) {
                state = sw_value;
                break;
            }

            if (state == sw_value) {
                r->header_end = p;
            }

            if (ch == LF) {
                goto done;
            }

            state = sw_almost_done;
            break;

        case sw_almost_done:
            if (ch == LF) {
                goto done;
            }

            if (ch != CR) {
                return NGX_HTTP_PARSE_INVALID_HEADER;
            }

            break;

        case sw_header_almost_done:
            if (ch == LF) {
                goto header_done;
            }

            return NGX_HTTP_PARSE_INVALID_HEADER;
        }
    }

    b->pos = p;
    r->state = state;

    return NGX_AGAIN;

done:

    b->pos = p + 1;
    r->state = sw_start;

    return NGX_OK;

header_done:

    b->pos = p + 1;
    r->state = sw_start;

    return NGX_HTTP_PARSE_HEADER_DONE;
}


ngx_int_t
ngx_http_parse_chunked(ngx_http_request_t *r, ngx_buf_t *b,
#if (nginx_version >= 1027002)
    ngx_http_chunked_t *ctx, ngx_uint_t keep_trailers)
#else
    ngx_http_chunked_t *ctx)
#endif
{
    int          digit;
    u_char       ch, *p;

    enum {
        sw_start = 0,
        sw_size,
        sw_extension,
        sw_extension_almost_done,
        sw_data,
        sw_after_data,
        sw_after_data_almost_done,
        sw_last_extension,
        sw_last_extension_almost_done,
        sw_trailer,
        sw_trailer_almost_done,
        sw_trailer_line,
        sw_trailer_line_almost_done
    } state;

    state = ctx->state;

    if (state == sw_data && ctx->size == 0) {
        state = sw_after_data;
    }

    for (p = b->pos; p < b->last; p++) {
        ch = *p;
        digit = http_stub_digit(ch);

        switch (state) {

        case sw_start:
            if (digit < 0) {
                return NGX_ERROR;
            }

            ctx->size = digit;
            state = sw_size;
            break;

        case sw_size:
            if (digit >= 0) {
                if (ctx->size > NGX_MAX_OFF_T_VALUE / 16) {
                    return NGX_ERROR;
                }

                ctx->size = ctx->size * 16 + digit;
                break;
            }

            if (ch != CR && ch != LF && ch != ';' && ch != ' ' && ch != '\t') {
                return NGX_ERROR;
            }

            state = ctx->size ? sw_extension : sw_last_extension;

            /* fall through */

        case sw_extension:
        case sw_last_extension:
            if (ch == CR) {
                state++;

            } else if (ch == LF) {
                state = (state == sw_extension) ? sw_data : sw_trailer;
            }

            break;

        case sw_data:
            goto data;

        case sw_after_data:
            if (ch == CR) {
                state = sw_after_data_almost_done;
                break;
            }

            /* fall through */

        case sw_after_data_almost_done:
            if (ch != LF) {
                return NGX_ERROR;
            }

            state = sw_start;
            break;

        case sw_trailer:
            if (ch == LF) {
                goto done;
            }

            state = (ch == CR) ? sw_trailer_almost_done : sw_trailer_line;
            break;

        case sw_trailer_line:
            if (ch == CR) {
                state = sw_trailer_line_almost_done;

            } else if (ch == LF) {
                state = sw_trailer;
            }

            break;

        case sw_trailer_almost_done:
            if (ch != LF) {
                return NGX_ERROR;
            }

            goto done;

        default: /* the others that are almost done */
            if (ch != LF) {
                return NGX_ERROR;
            }

            state = (state == sw_extension_almost_done) ? sw_data : sw_trailer;
            break;
        }
    }

    ctx->state = state;
    b->pos = p;

    return NGX_AGAIN;

data:

    ctx->state = state;
    b->pos = p;

    return NGX_OK;

done:

    ctx->state = 0;
    b->pos = p + 1;

    return NGX_DONE;
}


static int
http_stub_digit(u_char ch)
{
    if (isdigit(ch)) {
        return ch - '0';
    }

    ch |= 0x20;

    return (ch >= 'a' && ch <= 'f') ? ch - 'a' + 10 : -1;
}
