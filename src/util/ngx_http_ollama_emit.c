
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Writing JSON.  A walk over the caller's data calls the functions here, one
 * for each piece of the text.  It is done twice: first it measures the text,
 * then it writes it into memory of just that size.  Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_emit.h"
#include "util/ngx_http_ollama_word.h"


static void ngx_http_ollama_emit_put(ngx_http_ollama_emit_t *t, u_char *data,
    size_t len);
static u_char *ngx_http_ollama_emit_plain(u_char *p, u_char *last);


ngx_int_t
ngx_http_ollama_emit_make(ngx_pool_t *pool, ngx_http_ollama_emit_pt walk,
    void *data, ngx_str_t *text)
{
    ngx_http_ollama_emit_t  t;

    t.pos = NULL;
    t.len = 0;

    walk(&t, data);

    text->data = ngx_pnalloc(pool, t.len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    text->len = t.len;

    t.pos = text->data;
    t.len = 0;

    walk(&t, data);

    return NGX_OK;
}


static void
ngx_http_ollama_emit_put(ngx_http_ollama_emit_t *t, u_char *data, size_t len)
{
    t->len += len;

    if (t->pos && len) {
        t->pos = ngx_cpymem(t->pos, data, len);
    }
}


void
ngx_http_ollama_emit_add(ngx_http_ollama_emit_t *t, const char *s)
{
    ngx_http_ollama_emit_put(t, (u_char *) s, ngx_strlen(s));
}


void
ngx_http_ollama_emit_raw(ngx_http_ollama_emit_t *t, ngx_str_t *s)
{
    ngx_http_ollama_emit_put(t, s->data, s->len);
}


/*
 * What needs no escape, which is nearly all of a text, is found eight bytes at
 * a time and copied as a whole: some texts are megabytes.
 */

void
ngx_http_ollama_emit_escape(ngx_http_ollama_emit_t *t, ngx_str_t *s)
{
    u_char  *p, *last, *next;

    if (s->len == 0) {
        return;
    }

    p = s->data;
    last = p + s->len;

    for ( ;; ) {
        next = ngx_http_ollama_emit_plain(p, last);

        ngx_http_ollama_emit_put(t, p, next - p);

        for (p = next; p < last; p++) {

            if (*p >= 0x20 && *p != '"' && *p != '\\') {
                break;
            }

            t->len += 1 + ngx_escape_json(NULL, p, 1);

            if (t->pos) {
                t->pos = (u_char *) ngx_escape_json(t->pos, p, 1);
            }
        }

        if (p == last) {
            return;
        }
    }
}


/* Returns the first byte that needs an escape, or "last". */

static u_char *
ngx_http_ollama_emit_plain(u_char *p, u_char *last)
{
    uint64_t  word;

    while (last - p >= (ssize_t) sizeof(uint64_t)) {

        ngx_memcpy(&word, p, sizeof(uint64_t));

        if (ngx_http_ollama_word_is_escaped(word)) {
            break;
        }

        p += sizeof(uint64_t);
    }

    while (p < last && *p >= 0x20 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


void
ngx_http_ollama_emit_string(ngx_http_ollama_emit_t *t, ngx_str_t *s)
{
    ngx_http_ollama_emit_add(t, "\"");
    ngx_http_ollama_emit_escape(t, s);
    ngx_http_ollama_emit_add(t, "\"");
}


void
ngx_http_ollama_emit_number(ngx_http_ollama_emit_t *t, int64_t n)
{
    u_char  *p, buf[NGX_INT64_LEN];

    p = ngx_sprintf(buf, "%L", n);

    ngx_http_ollama_emit_put(t, buf, p - buf);
}


void
ngx_http_ollama_emit_ms(ngx_http_ollama_emit_t *t, int64_t us)
{
    u_char  *p, buf[NGX_INT64_LEN + 1];

    if (us < 0) {
        ngx_http_ollama_emit_add(t, "null");
        return;
    }

    us = us / 100 + (us % 100 >= 50);

    p = ngx_sprintf(buf, "%L.%L", us / 10, us % 10);

    ngx_http_ollama_emit_put(t, buf, p - buf);
}


void
ngx_http_ollama_emit_time(ngx_http_ollama_emit_t *t, int64_t ms)
{
    u_char    *p, buf[sizeof("\"9999-12-31T23:59:59.999Z\"")];
    ngx_tm_t   tm;

    if (ms <= 0) {
        ngx_http_ollama_emit_add(t, "null");
        return;
    }

    /* ngx_gmtime() ends with the year 9999 */
    ngx_gmtime((time_t) (ms / 1000), &tm);

    p = ngx_sprintf(buf, "\"%4d-%02d-%02dT%02d:%02d:%02d.%03LZ\"",
                    tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                    tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec, ms % 1000);

    ngx_http_ollama_emit_put(t, buf, p - buf);
}


/* Eight bytes at a time, as texts may be megabytes. */

uint64_t
ngx_http_ollama_emit_hash(ngx_str_t *text)
{
    size_t     rest, n;
    u_char    *p;
    uint64_t   h, word;

    p = text->data;
    h = 0xcbf29ce484222325ULL ^ text->len;

    for (rest = text->len; rest; rest -= n) {

        n = ngx_min(rest, sizeof(uint64_t));
        word = 0;

        ngx_memcpy(&word, p, n);
        p += n;

        h = ngx_http_ollama_emit_mix(h, word);
    }

    return h;
}


uint64_t
ngx_http_ollama_emit_mix(uint64_t hash, uint64_t more)
{
    hash = (hash ^ more) * 0x9e3779b97f4a7c15ULL;

    return hash ^ (hash >> 32);
}
