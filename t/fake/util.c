
/*
 * Buffers that grow, clocks, and text in Go's JSON form.  Out of memory
 * ends the process: a test tool has nothing better to do.
 */

#include "util.h"

#include <stdarg.h>
#include <time.h>


struct event_base  *fake_base;
const char         *fake_name = "";


void *
fake_alloc(size_t size)
{
    void  *p;

    p = calloc(1, size ? size : 1);
    if (p == NULL) {
        fprintf(stderr, "fake: out of memory\n");
        abort();
    }

    return p;
}


char *
fake_strndup(const char *s, size_t len)
{
    char  *p;

    p = fake_alloc(len + 1);
    memcpy(p, s, len);

    return p;
}


void
fake_buf_need(fake_buf_t *b, size_t more)
{
    char    *p;
    size_t   size;

    if (b->size - b->len > more) {
        return;
    }

    size = b->size ? b->size : 256;

    while (size - b->len <= more) {
        size *= 2;
    }

    p = realloc(b->data, size);
    if (p == NULL) {
        fprintf(stderr, "fake: out of memory\n");
        abort();
    }

    b->data = p;
    b->size = size;
}


/* there is always a zero byte behind the data, which len doesn't count */

void
fake_buf_add(fake_buf_t *b, const void *data, size_t len)
{
    fake_buf_need(b, len);

    if (len) {
        memcpy(b->data + b->len, data, len);
    }

    b->len += len;
    b->data[b->len] = '\0';
}


void
fake_buf_str(fake_buf_t *b, const char *s)
{
    fake_buf_add(b, s, strlen(s));
}


void
fake_buf_fmt(fake_buf_t *b, const char *fmt, ...)
{
    int      n;
    va_list  args, again;

    va_start(args, fmt);
    va_copy(again, args);

    fake_buf_need(b, 128);

    n = vsnprintf(b->data + b->len, b->size - b->len, fmt, args);

    if (n > 0 && (size_t) n >= b->size - b->len) {
        fake_buf_need(b, n + 1);
        n = vsnprintf(b->data + b->len, b->size - b->len, fmt, again);
    }

    if (n > 0) {
        b->len += n;
    }

    va_end(again);
    va_end(args);
}


void
fake_buf_free(fake_buf_t *b)
{
    free(b->data);
    memset(b, 0, sizeof(fake_buf_t));
}


/* the length of the valid UTF-8 sequence that starts here, 0 if none does */

size_t
fake_utf8_len(const unsigned char *s, size_t len)
{
    size_t         i, n;
    unsigned char  lo, hi;

    lo = 0x80;
    hi = 0xbf;

    if (s[0] < 0x80) {
        return 1;

    } else if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        n = 2;

    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        n = 3;
        lo = (s[0] == 0xe0) ? 0xa0 : 0x80;
        hi = (s[0] == 0xed) ? 0x9f : 0xbf;

    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
        lo = (s[0] == 0xf0) ? 0x90 : 0x80;
        hi = (s[0] == 0xf4) ? 0x8f : 0xbf;

    } else {
        return 0;
    }

    if (len < n || s[1] < lo || s[1] > hi) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}


/* the inside of a JSON string, escaped as Go's json.Marshal does */

void
fake_buf_json(fake_buf_t *b, const char *s, size_t len)
{
    size_t                n;
    const unsigned char  *p, *last;

    p = (const unsigned char *) s;
    last = p + len;

    while (p < last) {

        n = fake_utf8_len(p, last - p);

        if (n == 0) {
            fake_buf_str(b, "\\ufffd");
            p++;
            continue;
        }

        if (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8) {
            fake_buf_fmt(b, "\\u20%02x", p[2] & 0x3f);

        } else if (*p == '"' || *p == '\\') {
            fake_buf_fmt(b, "\\%c", *p);

        } else if (*p == '\n') {
            fake_buf_str(b, "\\n");

        } else if (*p == '\r') {
            fake_buf_str(b, "\\r");

        } else if (*p == '\t') {
            fake_buf_str(b, "\\t");

        } else if (*p < 0x20 || *p == '<' || *p == '>' || *p == '&') {
            fake_buf_fmt(b, "\\u%04x", *p);

        } else {
            fake_buf_add(b, p, n);
        }

        p += n;
    }
}


uint64_t
fake_now_ns(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


double
fake_now_ms(void)
{
    return fake_now_ns() / 1e6;
}


/*
 * The time of day as Go writes it in JSON.  The part down to the second
 * is kept: it's written with every frame.
 */

void
fake_buf_time(fake_buf_t *b)
{
    int              i;
    long             ns;
    char             frac[9];
    struct tm        tm;
    struct timespec  ts;

    static time_t    sec = -1;
    static char      text[32];
    static size_t    len;

    clock_gettime(CLOCK_REALTIME, &ts);

    if (ts.tv_sec != sec) {
        sec = ts.tv_sec;
        gmtime_r(&sec, &tm);
        len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &tm);
    }

    ns = ts.tv_nsec;

    for (i = 8; i >= 0; i--) {
        frac[i] = '0' + ns % 10;
        ns /= 10;
    }

    fake_buf_add(b, text, len);
    fake_buf_add(b, frac, 9);
    fake_buf_add(b, "Z", 1);
}


long
fake_unix_time(void)
{
    return (long) time(NULL);
}


const char *
fake_http_date(void)
{
    time_t          now;
    struct tm       tm;

    static time_t   sec = -1;
    static char     text[40];

    now = time(NULL);

    if (now != sec) {
        sec = now;
        gmtime_r(&now, &tm);
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }

    return text;
}


int
fake_hex(int ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    if (ch >= 'A' && ch <= 'F') {
        return ch - 'A' + 10;
    }

    return -1;
}
