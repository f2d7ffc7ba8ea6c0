
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Times as Go's encoding/json writes and accepts them: RFC 3339 with up to nine
 * digits of a second's fraction.  A pure function.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "util/ngx_http_ollama_parse_time.h"


#define NGX_HTTP_OLLAMA_PARSE_TIME_DAY  86400


static ngx_int_t ngx_http_ollama_parse_time_number(u_char **p, u_char *last,
    ngx_int_t max, u_char next);
static ngx_int_t ngx_http_ollama_parse_time_fraction(u_char **p, u_char *last);
static ngx_int_t ngx_http_ollama_parse_time_zone(u_char *p, u_char *last,
    int64_t *offset);
static ngx_int_t ngx_http_ollama_parse_time_days(ngx_int_t year,
    ngx_int_t month);
static int64_t ngx_http_ollama_parse_time_epoch(ngx_int_t year, ngx_int_t month,
    ngx_int_t day);


int64_t
ngx_http_ollama_parse_time(ngx_str_t *text)
{
    u_char     *p, *last;
    int64_t     sec, offset;
    ngx_int_t   year, month, day, hour, min, s, usec;

    if (text->len < sizeof("1970-01-01T00:00:00Z") - 1) {
        return NGX_ERROR;
    }

    p = text->data;
    last = p + text->len;

    /* "19" and "70-" */

    year = ngx_http_ollama_parse_time_number(&p, last, 99, 0);
    s = ngx_http_ollama_parse_time_number(&p, last, 99, '-');

    if (year == NGX_ERROR || s == NGX_ERROR) {
        return NGX_ERROR;
    }

    year = year * 100 + s;

    month = ngx_http_ollama_parse_time_number(&p, last, 12, '-');
    day = ngx_http_ollama_parse_time_number(&p, last, 31, 'T');
    hour = ngx_http_ollama_parse_time_number(&p, last, 23, ':');
    min = ngx_http_ollama_parse_time_number(&p, last, 59, ':');
    s = ngx_http_ollama_parse_time_number(&p, last, 59, 0);
    usec = ngx_http_ollama_parse_time_fraction(&p, last);

    if (month < 1
        || day < 1
        || day > ngx_http_ollama_parse_time_days(year, month)
        || hour == NGX_ERROR
        || min == NGX_ERROR
        || s == NGX_ERROR
        || usec == NGX_ERROR
        || ngx_http_ollama_parse_time_zone(p, last, &offset) != NGX_OK)
    {
        return NGX_ERROR;
    }

    sec = ngx_http_ollama_parse_time_epoch(year, month, day)
          * NGX_HTTP_OLLAMA_PARSE_TIME_DAY
          + (hour * 60 + min) * 60 + s - offset;

    return (sec < 0) ? 0 : sec * 1000000 + usec;
}


/* Two digits up to "max", then "next", if that isn't 0. */

static ngx_int_t
ngx_http_ollama_parse_time_number(u_char **p, u_char *last, ngx_int_t max,
    u_char next)
{
    u_char     *s;
    ngx_int_t   n;

    s = *p;

    if (last - s < (next ? 3 : 2)) {
        return NGX_ERROR;
    }

    n = ngx_atoi(s, 2);

    if (n == NGX_ERROR || n > max || (next && s[2] != next)) {
        return NGX_ERROR;
    }

    *p = s + (next ? 3 : 2);

    return n;
}


/* Returns microseconds; further digits are ignored. */

static ngx_int_t
ngx_http_ollama_parse_time_fraction(u_char **p, u_char *last)
{
    u_char      *s;
    ngx_int_t    usec;
    ngx_uint_t   i;

    s = *p;

    if (s == last || *s != '.') {
        return 0;
    }

    s++;
    usec = 0;

    for (i = 0; s < last && *s >= '0' && *s <= '9'; i++) {

        if (i == 9) {
            return NGX_ERROR;
        }

        if (i < 6) {
            usec = usec * 10 + (*s - '0');
        }

        s++;
    }

    if (i == 0) {
        return NGX_ERROR;
    }

    while (i++ < 6) {
        usec *= 10;
    }

    *p = s;

    return usec;
}


/* "Z", or like "+02:00"; *offset: seconds ahead of UTC. */

static ngx_int_t
ngx_http_ollama_parse_time_zone(u_char *p, u_char *last, int64_t *offset)
{
    u_char     sign;
    ngx_int_t  hour, min;

    *offset = 0;

    if (p == last) {
        return NGX_ERROR;
    }

    sign = *p++;

    if (sign == 'Z') {
        return (p == last) ? NGX_OK : NGX_ERROR;
    }

    if (sign != '+' && sign != '-') {
        return NGX_ERROR;
    }

    hour = ngx_http_ollama_parse_time_number(&p, last, 23, ':');
    min = ngx_http_ollama_parse_time_number(&p, last, 59, 0);

    if (hour == NGX_ERROR || min == NGX_ERROR || p != last) {
        return NGX_ERROR;
    }

    *offset = (hour * 60 + min) * 60;

    if (sign == '-') {
        *offset = -*offset;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ollama_parse_time_days(ngx_int_t year, ngx_int_t month)
{
    static const u_char  days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (month == 2
        && year % 4 == 0
        && (year % 100 != 0 || year % 400 == 0))
    {
        return 29;
    }

    return days[month - 1];
}


/* Days since 1970 in the Gregorian calendar, see ngx_http_parse_time(). */

static int64_t
ngx_http_ollama_parse_time_epoch(ngx_int_t year, ngx_int_t month, ngx_int_t day)
{
    /* count years from March on: the leap day is the last one then */

    month -= 2;

    if (month <= 0) {
        month += 12;
        year -= 1;
    }

    return 365 * (int64_t) year + year / 4 - year / 100 + year / 400
           + 367 * month / 12 - 30
           + day - 1
           - 719527 + 31 + 28;
}
