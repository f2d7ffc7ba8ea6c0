
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A probe of a server: its version, its models, and those that are loaded.
 *
 * A probe is a struct of the caller's, in a pool of the caller's, and makes its
 * three requests with one fetch after the other.  The handler may free the
 * probe and its pool, so nothing is touched after it.  A long reply is read
 * slice by slice, with an event that is posted, so that other events are
 * handled meanwhile.
 *
 * A server is up if it answers the request for the list of models.  Some
 * servers with Ollama's API lack the other two endpoints, and what these would
 * report stays unknown.  Redirects are not followed: no request goes to an
 * address that isn't configured.
 *
 * It may use fetch and report; it knows nothing of the fleet's memory.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_probe.h"


/* so much of a reply is read at once, in 0.2 ms */
#define NGX_HTTP_OLLAMA_PROBE_SLICE  (64 * 1024)


typedef struct {
    ngx_str_t                            uri;
    ngx_http_ollama_report_parse_kind_e  kind;
} ngx_http_ollama_probe_ask_t;


static void ngx_http_ollama_probe_next(ngx_http_ollama_probe_t *probe);
static void ngx_http_ollama_probe_tls_name(ngx_http_ollama_probe_t *probe,
    ngx_str_t *name);
static void ngx_http_ollama_probe_handler(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_probe_take(ngx_http_ollama_probe_t *probe);
static ngx_int_t ngx_http_ollama_probe_read(ngx_http_ollama_probe_t *probe);
static void ngx_http_ollama_probe_read_handler(ngx_event_t *ev);
static void ngx_http_ollama_probe_taken(ngx_http_ollama_probe_t *probe,
    ngx_int_t rc);
static ngx_int_t ngx_http_ollama_probe_wrong(ngx_http_ollama_probe_t *probe,
    const char *fmt, ...);


static ngx_http_ollama_probe_ask_t
    ngx_http_ollama_probe_asks[NGX_HTTP_OLLAMA_PROBE_STEPS] =
{
    { ngx_string("/api/version"), NGX_HTTP_OLLAMA_REPORT_PARSE_VERSION },
    { ngx_string("/api/tags"), NGX_HTTP_OLLAMA_REPORT_PARSE_TAGS },
    { ngx_string("/api/ps"), NGX_HTTP_OLLAMA_REPORT_PARSE_PS }
};


ngx_int_t
ngx_http_ollama_probe(ngx_http_ollama_probe_t *probe)
{
    probe->connected = -1;
    probe->step = NGX_HTTP_OLLAMA_PROBE_VERSION;
    ngx_str_set(&probe->error, "");
    ngx_str_set(&probe->note, "");

    ngx_http_ollama_timer_init(&probe->event,
                               ngx_http_ollama_probe_read_handler, probe,
                               probe->log);

    if (ngx_http_ollama_report_init(&probe->report, probe->pool) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_ollama_probe_next(probe);

    return NGX_OK;
}


void
ngx_http_ollama_probe_cancel(ngx_http_ollama_probe_t *probe)
{
    ngx_http_ollama_fetch_cancel(&probe->fetch);
    ngx_http_ollama_timer_stop(&probe->event);
}


static void
ngx_http_ollama_probe_next(ngx_http_ollama_probe_t *probe)
{
    ngx_http_ollama_fetch_t  *f;

    f = &probe->fetch;

    ngx_memzero(f, sizeof(ngx_http_ollama_fetch_t));

    f->pool = probe->pool;
    f->log = probe->log;
    f->sockaddr = probe->view.sockaddr;
    f->socklen = probe->view.socklen;
    f->name = probe->view.address;
    f->uri = ngx_http_ollama_probe_asks[probe->step].uri;
    f->timeout = probe->up->timeout;
    f->max_size = NGX_HTTP_OLLAMA_REPORT_SIZE;
    f->ssl = probe->up->ssl;
    f->ssl_verify = probe->up->ssl_verify;
    f->handler = ngx_http_ollama_probe_handler;
    f->data = probe;

    if (f->ssl) {
        ngx_http_ollama_probe_tls_name(probe, &f->ssl_name);
    }

    ngx_http_ollama_fetch(f);
}


/* As in nginx's proxy: the host of the server line, if no other is set. */

static void
ngx_http_ollama_probe_tls_name(ngx_http_ollama_probe_t *probe, ngx_str_t *name)
{
    u_char  *p, *last;

    *name = probe->up->ssl_name;

    if (name->len) {
        return;
    }

    *name = probe->view.name;

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
    ngx_http_ollama_probe_t  *probe;

    probe = f->data;

    probe->elapsed[probe->step] = f->elapsed;

    if (probe->step == NGX_HTTP_OLLAMA_PROBE_VERSION) {
        probe->connected = f->connected;
    }

    ngx_http_ollama_probe_taken(probe, ngx_http_ollama_probe_take(probe));
}


/*
 * Begins to read a reply.  NGX_OK: the probe can go on; NGX_AGAIN: there is
 * more to be read; NGX_ERROR: the probe has failed.
 */

static ngx_int_t
ngx_http_ollama_probe_take(ngx_http_ollama_probe_t *probe)
{
    ngx_http_ollama_fetch_t      *f;
    ngx_http_ollama_probe_ask_t  *ask;

    f = &probe->fetch;

    if (f->result != NGX_HTTP_OLLAMA_FETCH_OK) {
        probe->result = f->result;
        probe->error = f->error;
        return NGX_ERROR;
    }

    if (f->status == NGX_HTTP_NOT_FOUND
        && probe->step != NGX_HTTP_OLLAMA_PROBE_TAGS)
    {
        return NGX_OK;
    }

    if (f->status != NGX_HTTP_OK) {
        return ngx_http_ollama_probe_wrong(probe, "status %ui", f->status);
    }

    ask = &ngx_http_ollama_probe_asks[probe->step];

    if (ngx_http_ollama_report_begin(&probe->report, ask->kind, &f->body)
        != NGX_OK)
    {
        return ngx_http_ollama_probe_wrong(probe, "%V", &probe->report.error);
    }

    return ngx_http_ollama_probe_read(probe);
}


static ngx_int_t
ngx_http_ollama_probe_read(ngx_http_ollama_probe_t *probe)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_report_read(&probe->report,
                                     NGX_HTTP_OLLAMA_PROBE_SLICE);

    if (rc == NGX_ERROR) {
        return ngx_http_ollama_probe_wrong(probe, "%V", &probe->report.error);
    }

    if (rc == NGX_OK && probe->step == NGX_HTTP_OLLAMA_PROBE_TAGS) {
        probe->ntags = probe->report.models.nelts;
    }

    return rc;
}


static void
ngx_http_ollama_probe_read_handler(ngx_event_t *ev)
{
    ngx_http_ollama_probe_t  *probe;

    probe = ngx_http_ollama_timer_data(ev);

    ngx_http_ollama_probe_taken(probe, ngx_http_ollama_probe_read(probe));
}


static void
ngx_http_ollama_probe_taken(ngx_http_ollama_probe_t *probe, ngx_int_t rc)
{
    if (rc == NGX_AGAIN) {
        ngx_post_event(&probe->event.event, &ngx_posted_next_events);
        return;
    }

    if (rc == NGX_OK && probe->step + 1 < NGX_HTTP_OLLAMA_PROBE_STEPS) {
        probe->step++;
        ngx_http_ollama_probe_next(probe);
        return;
    }

    probe->handler(probe);
}


/*
 * The reply isn't one to the request of this step.  If that is for the list of
 * models the probe has failed; else it is noted, unless something else is.
 */

static ngx_int_t
ngx_http_ollama_probe_wrong(ngx_http_ollama_probe_t *probe, const char *fmt,
    ...)
{
    u_char     *p, *last, *end;
    va_list     args;
    ngx_int_t   rc;
    ngx_str_t  *text;

    if (probe->step == NGX_HTTP_OLLAMA_PROBE_TAGS) {
        probe->result = NGX_HTTP_OLLAMA_FETCH_INVALID;
        text = &probe->error;
        rc = NGX_ERROR;

    } else {

        if (probe->note.len) {
            return NGX_OK;
        }

        probe->noted = probe->step;
        text = &probe->note;
        rc = NGX_OK;
    }

    p = ngx_pnalloc(probe->pool, NGX_HTTP_OLLAMA_FETCH_ERROR);
    if (p == NULL) {
        ngx_str_set(text, "nginx is out of memory");
        return rc;
    }

    end = p + NGX_HTTP_OLLAMA_FETCH_ERROR;

    last = ngx_slprintf(p, end, "GET %V: ",
                        &ngx_http_ollama_probe_asks[probe->step].uri);

    va_start(args, fmt);
    last = ngx_vslprintf(last, end, fmt, args);
    va_end(args);

    text->data = p;
    text->len = last - p;

    return rc;
}
