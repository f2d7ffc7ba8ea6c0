
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * One look at a server: what it has, what it has loaded, and its version.
 *
 * A look is a struct of its caller's, in a pool of the caller's, and makes its
 * three requests with one fetch after the other.  Its handler is called once,
 * from the event loop, and may do with the look and its pool what it likes, so
 * nothing is touched after it.  A long reply is read slice by slice, with one
 * event, so that others get their turn meanwhile.
 *
 * The list of models is what makes a server one of Ollama's: it is up if it
 * answers that.  Some that speak Ollama's API lack the other two, and what
 * they would tell stays unknown.  Redirects are not followed: no request goes
 * to an address that isn't configured.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_probe.h"


/* of a reply read at once: 0.2 ms */
#define NGX_HTTP_OLLAMA_PROBE_SLICE  (64 * 1024)


typedef struct {
    ngx_str_t                            uri;
    ngx_http_ollama_report_parse_kind_e  kind;
} ngx_http_ollama_probe_ask_t;


static void ngx_http_ollama_probe_next(ngx_http_ollama_probe_t *look);
static void ngx_http_ollama_probe_tls_name(ngx_http_ollama_probe_t *look,
    ngx_str_t *name);
static void ngx_http_ollama_probe_handler(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_probe_take(ngx_http_ollama_probe_t *look);
static ngx_int_t ngx_http_ollama_probe_read(ngx_http_ollama_probe_t *look);
static void ngx_http_ollama_probe_read_handler(ngx_event_t *ev);
static void ngx_http_ollama_probe_taken(ngx_http_ollama_probe_t *look,
    ngx_int_t rc);
static ngx_int_t ngx_http_ollama_probe_wrong(ngx_http_ollama_probe_t *look,
    const char *fmt, ...);


static ngx_http_ollama_probe_ask_t
    ngx_http_ollama_probe_asks[NGX_HTTP_OLLAMA_PROBE_STEPS] =
{
    { ngx_string("/api/version"), NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION },
    { ngx_string("/api/tags"), NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS },
    { ngx_string("/api/ps"), NGX_HTTP_OLLAMA_REPORT_PARSE_PS }
};


/*
 * Begins a look.  After NGX_OK its handler is called later, unless
 * ngx_http_ollama_probe_cancel() comes first; after NGX_ERROR it never is.
 */

ngx_int_t
ngx_http_ollama_probe(ngx_http_ollama_probe_t *look)
{
    look->connected = -1;
    look->step = NGX_HTTP_OLLAMA_PROBE_VERSION;
    ngx_str_set(&look->error, "");
    ngx_str_set(&look->note, "");

    look->event.data = look;
    look->event.handler = ngx_http_ollama_probe_read_handler;
    look->event.log = look->log;

    if (ngx_http_ollama_report_init(&look->report, look->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_ollama_probe_next(look);

    return NGX_OK;
}


/* Ends a look without calling its handler; harmless where none has begun. */

void
ngx_http_ollama_probe_cancel(ngx_http_ollama_probe_t *look)
{
    ngx_http_ollama_fetch_cancel(&look->fetch);

    if (look->event.posted) {
        ngx_delete_posted_event(&look->event);
    }
}


static void
ngx_http_ollama_probe_next(ngx_http_ollama_probe_t *look)
{
    ngx_http_ollama_fetch_t  *f;

    f = &look->fetch;

    ngx_memzero(f, sizeof(ngx_http_ollama_fetch_t));

    f->pool = look->pool;
    f->log = look->log;
    f->sockaddr = look->view.sockaddr;
    f->socklen = look->view.socklen;
    f->name = look->view.address;
    f->uri = ngx_http_ollama_probe_asks[look->step].uri;
    f->timeout = look->up->timeout;
    f->max_size = NGX_HTTP_OLLAMA_REPORT_SIZE;
    f->ssl = look->up->ssl;
    f->ssl_verify = look->up->ssl_verify;
    f->handler = ngx_http_ollama_probe_handler;
    f->data = look;

    if (f->ssl) {
        ngx_http_ollama_probe_tls_name(look, &f->ssl_name);
    }

    ngx_http_ollama_fetch(f);
}


/* As with nginx's proxy: the host of the server line, if no other is set. */

static void
ngx_http_ollama_probe_tls_name(ngx_http_ollama_probe_t *look, ngx_str_t *name)
{
    u_char  *p, *last;

    *name = look->up->ssl_name;

    if (name->len) {
        return;
    }

    *name = look->view.name;

    if (name->len >= 5 && ngx_strncasecmp(name->data, (u_char *) "unix:", 5)
                          == 0)
    {
        ngx_str_set(name, "localhost");
        return;
    }

    last = name->data + name->len;

    if (name->len && name->data[0] == '[') {

        p = ngx_strlchr(name->data, last, ']');

        if (p) {
            name->data++;
            name->len = p - name->data;
        }

        return;
    }

    p = ngx_strlchr(name->data, last, ':');

    if (p) {
        name->len = p - name->data;
    }
}


static void
ngx_http_ollama_probe_handler(ngx_http_ollama_fetch_t *f)
{
    ngx_http_ollama_probe_t  *look;

    look = f->data;

    look->elapsed[look->step] = f->elapsed;

    if (look->step == NGX_HTTP_OLLAMA_PROBE_VERSION) {
        look->connected = f->connected;
    }

    ngx_http_ollama_probe_taken(look, ngx_http_ollama_probe_take(look));
}


/*
 * Judges a reply.  NGX_OK: the look may go on; NGX_AGAIN: there is more to be
 * read; NGX_ERROR: the look has failed.
 */

static ngx_int_t
ngx_http_ollama_probe_take(ngx_http_ollama_probe_t *look)
{
    ngx_http_ollama_fetch_t      *f;
    ngx_http_ollama_probe_ask_t  *ask;

    f = &look->fetch;

    if (f->result != NGX_HTTP_OLLAMA_FETCH_OK) {
        look->result = f->result;
        look->error = f->error;
        return NGX_ERROR;
    }

    if (f->status == NGX_HTTP_NOT_FOUND
        && look->step != NGX_HTTP_OLLAMA_PROBE_TAGS)
    {
        return NGX_OK;
    }

    if (f->status != NGX_HTTP_OK) {
        return ngx_http_ollama_probe_wrong(look, "status %ui", f->status);
    }

    ask = &ngx_http_ollama_probe_asks[look->step];

    if (ngx_http_ollama_report_begin(&look->report, ask->kind, &f->body)
        != NGX_OK)
    {
        return ngx_http_ollama_probe_wrong(look, "%V", &look->report.error);
    }

    return ngx_http_ollama_probe_read(look);
}


static ngx_int_t
ngx_http_ollama_probe_read(ngx_http_ollama_probe_t *look)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_report_read(&look->report,
                                     NGX_HTTP_OLLAMA_PROBE_SLICE);

    if (rc == NGX_ERROR) {
        return ngx_http_ollama_probe_wrong(look, "%V", &look->report.error);
    }

    if (rc == NGX_OK && look->step == NGX_HTTP_OLLAMA_PROBE_TAGS) {
        look->ntags = look->report.models.nelts;
    }

    return rc;
}


static void
ngx_http_ollama_probe_read_handler(ngx_event_t *ev)
{
    ngx_http_ollama_probe_t  *look;

    look = ev->data;

    ngx_http_ollama_probe_taken(look, ngx_http_ollama_probe_read(look));
}


static void
ngx_http_ollama_probe_taken(ngx_http_ollama_probe_t *look, ngx_int_t rc)
{
    if (rc == NGX_AGAIN) {
        ngx_post_event(&look->event, &ngx_posted_next_events);
        return;
    }

    if (rc == NGX_OK && look->step + 1 < NGX_HTTP_OLLAMA_PROBE_STEPS) {
        look->step++;
        ngx_http_ollama_probe_next(look);
        return;
    }

    look->handler(look);
}


/*
 * What was got is a reply, but not one to this step.  With the list of models
 * the look has failed; else it is noted, unless something is already.
 */

static ngx_int_t
ngx_http_ollama_probe_wrong(ngx_http_ollama_probe_t *look, const char *fmt, ...)
{
    u_char     *p, *last, *end;
    va_list     args;
    ngx_int_t   rc;
    ngx_str_t  *text;

    if (look->step == NGX_HTTP_OLLAMA_PROBE_TAGS) {
        look->result = NGX_HTTP_OLLAMA_FETCH_INVALID;
        text = &look->error;
        rc = NGX_ERROR;

    } else {

        if (look->note.len) {
            return NGX_OK;
        }

        look->noted = look->step;
        text = &look->note;
        rc = NGX_OK;
    }

    p = ngx_pnalloc(look->pool, NGX_HTTP_OLLAMA_FETCH_ERROR);
    if (p == NULL) {
        ngx_str_set(text, "nginx is out of memory");
        return rc;
    }

    end = p + NGX_HTTP_OLLAMA_FETCH_ERROR;

    last = ngx_slprintf(p, end, "GET %V: ",
                        &ngx_http_ollama_probe_asks[look->step].uri);

    va_start(args, fmt);
    last = ngx_vslprintf(last, end, fmt, args);
    va_end(args);

    text->data = p;
    text->len = last - p;

    return rc;
}
