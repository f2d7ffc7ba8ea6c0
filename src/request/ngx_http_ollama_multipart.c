
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Finds one field of a form (RFC 7578) that is read in pieces of any size, as
 * Go's mime/multipart would: the first part with that name that is no file.
 * Names of header fields and parameters match in either case, the field's name
 * does not.  A boundary may be quoted, and a form in which the first boundary
 * ends with LF alone has such lines everywhere.
 *
 * Fields that are forbidden are found, too, in any case of letters.
 *
 * Files pass without being stored: the memory is that of the struct.  It has no
 * request, so that unit tests and fuzzers can run it: may use nothing but
 * nginx's core and the type of forbidden fields.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "request/ngx_http_ollama_multipart.h"


typedef enum {
    sw_body = 0,    /* of a part, or in front of the first one */
    sw_delimiter,   /* behind a boundary: blanks, or a dash */
    sw_dash,        /* behind the first of two dashes */
    sw_blanks,      /* behind both of them */
    sw_line,        /* behind a boundary and CR */
    sw_header,      /* of a part */
    sw_done
} ngx_http_ollama_multipart_state_e;


static ngx_int_t ngx_http_ollama_multipart_body(
    ngx_http_ollama_multipart_t *form, u_char **pos, u_char *last);
static void ngx_http_ollama_multipart_again(
    ngx_http_ollama_multipart_t *form, u_char ch);
static ngx_int_t ngx_http_ollama_multipart_value(
    ngx_http_ollama_multipart_t *form, u_char ch);
static ngx_int_t ngx_http_ollama_multipart_boundary(
    ngx_http_ollama_multipart_t *form, u_char ch);
static ngx_int_t ngx_http_ollama_multipart_next(
    ngx_http_ollama_multipart_t *form);
static ngx_int_t ngx_http_ollama_multipart_found(
    ngx_http_ollama_multipart_t *form);
static ngx_int_t ngx_http_ollama_multipart_no_boundary(
    ngx_http_ollama_multipart_t *form, u_char ch);
static ngx_int_t ngx_http_ollama_multipart_header(
    ngx_http_ollama_multipart_t *form, u_char ch);
static ngx_uint_t ngx_http_ollama_multipart_is_wanted(
    ngx_http_ollama_multipart_t *form);
static ngx_uint_t ngx_http_ollama_multipart_is_field(
    ngx_http_ollama_multipart_t *form, u_char *p, u_char *last);
static void ngx_http_ollama_multipart_check(ngx_http_ollama_multipart_t *form,
    ngx_str_t *field);
static u_char *ngx_http_ollama_multipart_param(u_char *p, u_char *last,
    ngx_str_t *name, ngx_str_t *value);
static ngx_uint_t ngx_http_ollama_multipart_is_token(u_char ch);
static u_char *ngx_http_ollama_multipart_skip(u_char *p, u_char *last);
static ngx_uint_t ngx_http_ollama_multipart_eq(ngx_str_t *name,
    const char *text);


ngx_int_t
ngx_http_ollama_multipart_init(ngx_http_ollama_multipart_t *form,
    ngx_str_t *type)
{
    u_char     *p, *last;
    ngx_str_t   name, value;

    p = type->data;
    last = p + type->len;

    while (p < last && *p != ';' && *p != ' ' && *p != '\t') {
        p++;
    }

    name.data = type->data;
    name.len = p - type->data;

    if (!ngx_http_ollama_multipart_eq(&name, "multipart/form-data")) {
        return NGX_DECLINED;
    }

    /* values are unescaped in place */

    if (type->len > NGX_HTTP_OLLAMA_MULTIPART_HEADER) {
        return NGX_ERROR;
    }

    ngx_memcpy(form->buf, p, last - p);
    last = form->buf + (last - p);
    p = form->buf;

    for ( ;; ) {

        p = ngx_http_ollama_multipart_param(p, last, &name, &value);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (ngx_http_ollama_multipart_eq(&name, "boundary")) {
            break;
        }
    }

    if (value.len == 0 || value.len > NGX_HTTP_OLLAMA_MULTIPART_BOUNDARY) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(form->delimiter, "\r\n--", 4);
    (void) ngx_cpymem(p, value.data, value.len);

    form->ndelimiter = 4 + value.len;

    /* the first one may be at the very beginning */
    form->start = 2;
    form->matched = 2;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_multipart_feed(ngx_http_ollama_multipart_t *form, u_char *p,
    size_t size)
{
    u_char     *first, *last;
    ngx_int_t   rc;

    first = p;
    last = p + size;
    rc = NGX_OK;

    while (p < last && form->state != sw_done) {

        switch (form->state) {

        case sw_body:
            rc = ngx_http_ollama_multipart_body(form, &p, last);
            break;

        case sw_header:
            rc = ngx_http_ollama_multipart_header(form, *p);

            if (form->value.data == NULL) {
                form->value_at = form->pos + (p - first) + 1;
            }

            break;

        default:
            rc = ngx_http_ollama_multipart_boundary(form, *p);
            break;
        }

        if (rc != NGX_OK) {
            form->error_at = form->pos + (p - first);
            return rc;
        }

        p++;
    }

    form->pos += size;

    return NGX_OK;
}


ngx_int_t
ngx_http_ollama_multipart_end(ngx_http_ollama_multipart_t *form)
{
    if (form->state == sw_done || form->state == sw_blanks) {
        return NGX_OK;
    }

    form->error = "unexpected end of the form";
    form->error_at = form->pos;

    return NGX_DECLINED;
}


/*
 * Takes bytes up to a delimiter, or to "last"; *pos becomes the last of them.
 * A boundary has neither CR nor LF, so that a delimiter begins anew only with
 * its first byte.
 */

static ngx_int_t
ngx_http_ollama_multipart_body(ngx_http_ollama_multipart_t *form,
    u_char **pos, u_char *last)
{
    u_char  *p, ch;

    for (p = *pos; p < last; p++) {

        if (form->matched == form->start && form->start < 2
            && !form->wanted)
        {

            /* files are long */

            p = memchr(p, form->delimiter[form->start], last - p);

            if (p == NULL) {
                break;
            }
        }

        ch = *p;

        if (form->wanted
            && ngx_http_ollama_multipart_value(form, ch) != NGX_OK)
        {
            *pos = p;
            return NGX_DECLINED;
        }

        if (ch == form->delimiter[form->matched]) {
            form->matched++;

        } else {
            ngx_http_ollama_multipart_again(form, ch);
        }

        if (form->matched == form->ndelimiter) {
            form->state = sw_delimiter;
            *pos = p;
            return NGX_OK;
        }
    }

    *pos = last - 1;

    return NGX_OK;
}


/* A byte that doesn't continue the delimiter may begin another one. */

static void
ngx_http_ollama_multipart_again(ngx_http_ollama_multipart_t *form, u_char ch)
{
    /* lines in front of the first delimiter may end either way */

    form->start = form->lf || !form->parts;
    form->matched = form->start;

    if (ch == form->delimiter[form->start]) {
        form->matched++;
    }
}


/* A byte of the value, or of the delimiter behind it. */

static ngx_int_t
ngx_http_ollama_multipart_value(ngx_http_ollama_multipart_t *form, u_char ch)
{
    if (form->n == NGX_HTTP_OLLAMA_MULTIPART_VALUE
                   + NGX_HTTP_OLLAMA_MULTIPART_DELIMITER)
    {
        form->error = "is longer than 1024 bytes";
        return NGX_DECLINED;
    }

    form->buf[form->n++] = ch;

    return NGX_OK;
}


/* A byte behind a boundary, in its line. */

static ngx_int_t
ngx_http_ollama_multipart_boundary(ngx_http_ollama_multipart_t *form,
    u_char ch)
{
    switch (form->state) {

    case sw_delimiter:

        if (ch == '-' && !form->blank) {
            form->state = sw_dash;
            return NGX_OK;
        }

        if (ch == ' ' || ch == '\t') {
            form->blank = 1;
            return NGX_OK;
        }

        if (ch == '\r') {
            form->state = sw_line;
            return NGX_OK;
        }

        if (ch != '\n' || (form->parts && !form->lf)) {
            return ngx_http_ollama_multipart_no_boundary(form, ch);
        }

        form->lf = 1;
        break;

    case sw_dash:

        if (ch != '-') {
            form->error = "invalid boundary of the form";
            return NGX_DECLINED;
        }

        form->state = sw_blanks;

        return form->wanted ? ngx_http_ollama_multipart_found(form) : NGX_OK;

    case sw_blanks:

        if (ch == ' ' || ch == '\t') {
            return NGX_OK;
        }

        if (ch != '\r' && ch != '\n') {
            form->error = "invalid boundary of the form";
            return NGX_DECLINED;
        }

        form->state = sw_done;
        break;

    default: /* sw_line */

        if (ch != '\n' || form->lf) {
            form->error = "invalid boundary of the form";
            return NGX_DECLINED;
        }

        break;
    }

    return ngx_http_ollama_multipart_next(form);
}


/* The line has ended, and with it the part in front. */

static ngx_int_t
ngx_http_ollama_multipart_next(ngx_http_ollama_multipart_t *form)
{
    if (form->wanted && ngx_http_ollama_multipart_found(form) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (form->state != sw_done) {
        form->state = sw_header;
        form->n = 0;
    }

    form->parts = 1;
    form->blank = 0;

    return NGX_OK;
}


/* The field's part has ended; its delimiter is in the buffer, too. */

static ngx_int_t
ngx_http_ollama_multipart_found(ngx_http_ollama_multipart_t *form)
{
    form->n -= form->ndelimiter - form->start;

    if (form->n > NGX_HTTP_OLLAMA_MULTIPART_VALUE) {
        form->error = "is longer than 1024 bytes";
        return NGX_DECLINED;
    }

    ngx_memcpy(form->text, form->buf, form->n);

    form->value.data = form->text;
    form->value.len = form->n;
    form->wanted = 0;

    if (form->nforbid == 0) {
        form->state = sw_done;
    }

    return NGX_OK;
}


/* What seemed to be a boundary is only the beginning of another text. */

static ngx_int_t
ngx_http_ollama_multipart_no_boundary(ngx_http_ollama_multipart_t *form,
    u_char ch)
{
    if (form->blank) {
        form->error = "invalid boundary of the form";
        return NGX_DECLINED;
    }

    form->state = sw_body;

    ngx_http_ollama_multipart_again(form, ch);

    return form->wanted ? ngx_http_ollama_multipart_value(form, ch) : NGX_OK;
}


/* A byte of a part's header, which ends with an empty line. */

static ngx_int_t
ngx_http_ollama_multipart_header(ngx_http_ollama_multipart_t *form, u_char ch)
{
    if (ch == '\r') {
        /* one in front of LF is of the line's end, and others are of nothing */
        return NGX_OK;
    }

    if (form->n == NGX_HTTP_OLLAMA_MULTIPART_HEADER) {
        form->error = "the header of a part of the form is too long";
        return NGX_DECLINED;
    }

    if (ch == '\n' && (form->n == 0 || form->buf[form->n - 1] == '\n')) {
        form->wanted = ngx_http_ollama_multipart_is_wanted(form);

        if (form->refused) {
            form->error = "a field of the form is forbidden";
            return NGX_DECLINED;
        }

        form->state = sw_body;
        form->n = 0;

        /* a part without a line has no CRLF in front of the delimiter */

        form->start = 2;
        form->matched = 2;

        return NGX_OK;
    }

    form->buf[form->n++] = ch;

    return NGX_OK;
}


/* Whether the header in the buffer is that of the field. */

static ngx_uint_t
ngx_http_ollama_multipart_is_wanted(ngx_http_ollama_multipart_t *form)
{
    u_char     *p, *s, *end, *last;
    ngx_str_t   name;

    p = form->buf;
    last = p + form->n;

    while (p < last) {

        /* a line, with those that continue it */

        for (end = p; end < last; end++) {

            if (*end != '\n') {
                continue;
            }

            if (end + 1 == last || (end[1] != ' ' && end[1] != '\t')) {
                break;
            }

            *end = ' ';
        }

        for (s = p; s < end && *s != ':'; s++) { /* void */ }

        name.data = p;
        name.len = s - p;

        if (s < end
            && ngx_http_ollama_multipart_eq(&name, "content-disposition"))
        {
            return ngx_http_ollama_multipart_is_field(form, s + 1, end);
        }

        p = end + 1;
    }

    return 0;
}


/* Whether this value of Content-Disposition names the field, and no file. */

static ngx_uint_t
ngx_http_ollama_multipart_is_field(ngx_http_ollama_multipart_t *form,
    u_char *p, u_char *last)
{
    u_char     *next;
    ngx_str_t   name, value, field;

    p = ngx_http_ollama_multipart_skip(p, last);

    name.data = p;

    while (p < last && ngx_http_ollama_multipart_is_token(*p)) {
        p++;
    }

    name.len = p - name.data;

    if (!ngx_http_ollama_multipart_eq(&name, "form-data")) {
        return 0;
    }

    ngx_str_null(&field);

    for ( ;; ) {

        next = ngx_http_ollama_multipart_param(p, last, &name, &value);
        if (next == NULL) {
            break;
        }

        p = next;

        if (ngx_http_ollama_multipart_eq(&name, "name")) {
            field = value;

        } else if (value.len
                   && (ngx_http_ollama_multipart_eq(&name, "filename")
                       || ngx_http_ollama_multipart_eq(&name, "filename*")))
        {
            return 0;
        }
    }

    /* a header that isn't valid names nothing */

    p = ngx_http_ollama_multipart_skip(p, last);

    if (p < last && *p == ';') {
        p = ngx_http_ollama_multipart_skip(p + 1, last);
    }

    if (p != last) {
        return 0;
    }

    ngx_http_ollama_multipart_check(form, &field);

    /* the first one counts */

    return form->value.data == NULL
           && field.len == form->name.len
           && ngx_strncmp(field.data, form->name.data, field.len) == 0;
}


/* Whether the field is a forbidden one. */

static void
ngx_http_ollama_multipart_check(ngx_http_ollama_multipart_t *form,
    ngx_str_t *field)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    for (i = 0; i < form->nforbid; i++) {
        name = &form->forbid[i].name;

        if (field->len == name->len
            && ngx_strncasecmp(field->data, name->data, name->len) == 0)
        {
            form->refused = name;
            return;
        }
    }
}


/*
 * Finds the next parameter: "; name=token" or "; name="quoted"", unescaped in
 * place.  Returns what is behind it; NULL: there is none, or it is invalid.
 */

static u_char *
ngx_http_ollama_multipart_param(u_char *p, u_char *last, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *dst;

    p = ngx_http_ollama_multipart_skip(p, last);

    if (p == last || *p != ';') {
        return NULL;
    }

    p = ngx_http_ollama_multipart_skip(p + 1, last);

    name->data = p;

    while (p < last && ngx_http_ollama_multipart_is_token(*p)) {
        p++;
    }

    name->len = p - name->data;

    p = ngx_http_ollama_multipart_skip(p, last);

    if (p == last || *p != '=') {
        return NULL;
    }

    p = ngx_http_ollama_multipart_skip(p + 1, last);

    value->data = p;

    if (p == last || *p != '"') {

        while (p < last && ngx_http_ollama_multipart_is_token(*p)) {
            p++;
        }

        value->len = p - value->data;

        return value->len ? p : NULL;
    }

    dst = p;

    for (p++; p < last && *p != '"'; p++) {

        if (*p == '\\' && p + 1 < last
            && !ngx_http_ollama_multipart_is_token(p[1]))
        {
            p++;
        }

        *dst++ = *p;
    }

    if (p == last) {
        return NULL;
    }

    value->len = dst - value->data;

    return p + 1;
}


/* RFC 2045, 5.1 */

static ngx_uint_t
ngx_http_ollama_multipart_is_token(u_char ch)
{
    return ch > 0x20 && ch < 0x7f
           && ngx_strchr("()<>@,;:\\\"/[]?=", ch) == NULL;
}


static u_char *
ngx_http_ollama_multipart_skip(u_char *p, u_char *last)
{
    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p;
}


/* Whether a name is this text, which is in lower case. */

static ngx_uint_t
ngx_http_ollama_multipart_eq(ngx_str_t *name, const char *text)
{
    return name->len == ngx_strlen(text)
           && ngx_strncasecmp(name->data, (u_char *) text, name->len) == 0;
}
