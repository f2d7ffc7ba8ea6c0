
/* Buffers, clocks, and what all files share */

#ifndef _FAKE_UTIL_H_INCLUDED_
#define _FAKE_UTIL_H_INCLUDED_

/* before all system headers, so a file includes its own header first */

#define _GNU_SOURCE

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stdio.h>

#include <event2/event.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <jansson.h>


/* handlers have the parameters that libevent gives them */

#pragma GCC diagnostic ignored "-Wunused-parameter"


typedef struct {
    char    *data;
    size_t   len;
    size_t   size;
} fake_buf_t;


typedef struct {
    const char  *data;
    size_t       len;
} fake_str_t;


extern struct event_base  *fake_base;
extern const char         *fake_name;      /* of this server */


void *fake_alloc(size_t size);
char *fake_strndup(const char *s, size_t len);
void fake_buf_need(fake_buf_t *b, size_t more);
void fake_buf_add(fake_buf_t *b, const void *data, size_t len);
void fake_buf_str(fake_buf_t *b, const char *s);
void fake_buf_fmt(fake_buf_t *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void fake_buf_json(fake_buf_t *b, const char *s, size_t len);
void fake_buf_free(fake_buf_t *b);
size_t fake_utf8_len(const unsigned char *s, size_t len);
uint64_t fake_now_ns(void);
double fake_now_ms(void);
void fake_buf_time(fake_buf_t *b);
long fake_unix_time(void);
const char *fake_http_date(void);
int fake_hex(int ch);


#endif /* _FAKE_UTIL_H_INCLUDED_ */
