
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
 * A server is up if it answers the request for its version, also if it refuses
 * it for lack of a key.  A busy Ollama holds its lists for seconds, around the
 * load of a model: a list that is late or fails is noted, and what it would
 * report is left as it was known.  Some servers with Ollama's API have no
 * version: these are up if the list of models is answered.
 * Redirects are not followed: no request goes to an address that isn't
 * configured.
 *
 * It may use fetch and report; it knows nothing of the fleet's memory.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "fleet/ngx_http_ollama_probe.h"


/* so much of a reply is read at once, in 0.2 ms */
#define NGX_HTTP_OLLAMA_PROBE_SLICE  (64 * 1024)

/* ms for each list in a brief probe */
#define NGX_HTTP_OLLAMA_PROBE_BRIEF  500


typedef struct {
    ngx_str_t                            uri;
    ngx_http_ollama_report_parse_kind_e  kind;
} ngx_http_ollama_probe_ask_t;


static void ngx_http_ollama_probe_next(ngx_http_ollama_probe_t *probe);
static ngx_uint_t ngx_http_ollama_probe_is_brief(
    ngx_http_ollama_probe_t *probe);
static void ngx_http_ollama_probe_tls_name(ngx_http_ollama_probe_t *probe,
    ngx_str_t *name);
static void ngx_http_ollama_probe_handler(ngx_http_ollama_fetch_t *f);
static ngx_int_t ngx_http_ollama_probe_take(ngx_http_ollama_probe_t *probe);
static ngx_int_t ngx_http_ollama_probe_no_reply(
    ngx_http_ollama_probe_t *probe);
static ngx_int_t ngx_http_ollama_probe_status(ngx_http_ollama_probe_t *probe);
static ngx_uint_t ngx_http_ollama_probe_decides(
    ngx_http_ollama_probe_t *probe);
static ngx_int_t ngx_http_ollama_probe_read(ngx_http_ollama_probe_t *probe);
static void ngx_http_ollama_probe_read_handler(ngx_event_t *ev);
static void ngx_http_ollama_probe_taken(ngx_http_ollama_probe_t *probe,
    ngx_int_t rc);
static ngx_int_t ngx_http_ollama_probe_unread(ngx_http_ollama_probe_t *probe);
static ngx_int_t ngx_http_ollama_probe_note(ngx_http_ollama_probe_t *probe,
    const char *fmt, ...);
static void ngx_http_ollama_probe_text(ngx_http_ollama_probe_t *probe,
    ngx_str_t *text, const char *fmt, va_list args);
static ngx_int_t ngx_http_ollama_probe_fail(ngx_http_ollama_probe_t *probe,
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
    f->headers = &probe->up->headers;
    f->timeout = probe->up->timeout;

    if (ngx_http_ollama_probe_is_brief(probe)) {
        f->timeout = ngx_min(f->timeout, NGX_HTTP_OLLAMA_PROBE_BRIEF);
    }

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


static ngx_uint_t
ngx_http_ollama_probe_is_brief(ngx_http_ollama_probe_t *probe)
{
    return probe->brief && probe->step >= probe->brief;
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
        return ngx_http_ollama_probe_no_reply(probe);
    }

    if (f->status != NGX_HTTP_OK) {
        return ngx_http_ollama_probe_status(probe);
    }

    ask = &ngx_http_ollama_probe_asks[probe->step];

    if (ngx_http_ollama_report_begin(&probe->report, ask->kind, &f->body)
        != NGX_OK)
    {
        return ngx_http_ollama_probe_unread(probe);
    }

    return ngx_http_ollama_probe_read(probe);
}


static ngx_int_t
ngx_http_ollama_probe_no_reply(ngx_http_ollama_probe_t *probe)
{
    ngx_http_ollama_fetch_t  *f;

    f = &probe->fetch;

    if (ngx_http_ollama_probe_decides(probe)
        || f->result == NGX_HTTP_OLLAMA_FETCH_LATE)
    {
        probe->result = f->result;
        probe->error = f->error;
        return NGX_ERROR;
    }

    /* a server that was up a moment ago is asked again for its version */

    probe->again |= (f->result == NGX_HTTP_OLLAMA_FETCH_UNREACHABLE
                     || ngx_http_ollama_probe_is_brief(probe));

    return ngx_http_ollama_probe_note(probe, "%V", &f->error);
}


/* Any other status than 200. */

static ngx_int_t
ngx_http_ollama_probe_status(ngx_http_ollama_probe_t *probe)
{
    ngx_uint_t  status;

    status = probe->fetch.status;

    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:

        probe->report.denied |=
                              (probe->step == NGX_HTTP_OLLAMA_PROBE_TAGS);
        break;

    case NGX_HTTP_NOT_FOUND:

        if (probe->step == NGX_HTTP_OLLAMA_PROBE_VERSION) {
            probe->unversioned = 1;
            return NGX_OK;
        }

        if (probe->step == NGX_HTTP_OLLAMA_PROBE_PS) {
            /* it never tells what is loaded */
            probe->report.has_ps = 1;
            return NGX_OK;
        }

        /* fall through */

    default:

        if (ngx_http_ollama_probe_decides(probe)
            && status != NGX_HTTP_TOO_MANY_REQUESTS)
        {
            return ngx_http_ollama_probe_fail(probe, "status %ui", status);
        }
    }

    return ngx_http_ollama_probe_note(probe, "status %ui", status);
}


/* Whether the server is down if this step fails. */

static ngx_uint_t
ngx_http_ollama_probe_decides(ngx_http_ollama_probe_t *probe)
{
    return probe->step == NGX_HTTP_OLLAMA_PROBE_VERSION
           || (probe->step == NGX_HTTP_OLLAMA_PROBE_TAGS
               && probe->unversioned);
}


static ngx_int_t
ngx_http_ollama_probe_read(ngx_http_ollama_probe_t *probe)
{
    ngx_int_t  rc;

    rc = ngx_http_ollama_report_read(&probe->report,
                                     NGX_HTTP_OLLAMA_PROBE_SLICE);

    if (rc == NGX_ERROR) {
        return ngx_http_ollama_probe_unread(probe);
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
 * The reply is none to the request of this step.  What sends anything at all
 * for a version may be no Ollama.
 */

static ngx_int_t
ngx_http_ollama_probe_unread(ngx_http_ollama_probe_t *probe)
{
    if (probe->step == NGX_HTTP_OLLAMA_PROBE_VERSION) {
        probe->unversioned = 1;

    } else if (ngx_http_ollama_probe_decides(probe)) {
        return ngx_http_ollama_probe_fail(probe, "%V", &probe->report.error);
    }

    return ngx_http_ollama_probe_note(probe, "%V", &probe->report.error);
}


/* The server is up in spite of this; what is wrong first is noted. */

static ngx_int_t
ngx_http_ollama_probe_note(ngx_http_ollama_probe_t *probe, const char *fmt,
    ...)
{
    va_list  args;

    if (probe->note.len) {
        return NGX_OK;
    }

    probe->noted = probe->step;

    va_start(args, fmt);
    ngx_http_ollama_probe_text(probe, &probe->note, fmt, args);
    va_end(args);

    return NGX_OK;
}


/* The server is down because of this. */

static ngx_int_t
ngx_http_ollama_probe_fail(ngx_http_ollama_probe_t *probe, const char *fmt,
    ...)
{
    va_list  args;

    probe->result = NGX_HTTP_OLLAMA_FETCH_INVALID;

    va_start(args, fmt);
    ngx_http_ollama_probe_text(probe, &probe->error, fmt, args);
    va_end(args);

    return NGX_ERROR;
}


static void
ngx_http_ollama_probe_text(ngx_http_ollama_probe_t *probe, ngx_str_t *text,
    const char *fmt, va_list args)
{
    u_char  *p, *last, *end;

    p = ngx_pnalloc(probe->pool, NGX_HTTP_OLLAMA_FETCH_ERROR);
    if (p == NULL) {
        ngx_str_set(text, "nginx is out of memory");
        return;
    }

    end = p + NGX_HTTP_OLLAMA_FETCH_ERROR;

    last = ngx_slprintf(p, end, "GET %V: ",
                        &ngx_http_ollama_probe_asks[probe->step].uri);
    last = ngx_vslprintf(last, end, fmt, args);

    text->data = p;
    text->len = last - p;
}
