
/* Bytes of a reply: header, framing, cutting, the ways to end */

#ifndef _FAKE_OUT_H_INCLUDED_
#define _FAKE_OUT_H_INCLUDED_

#include "conn.h"


#define FAKE_GO_BUFFER    2048                 /* of Go's replies */


void fake_out_header(fake_conn_t *c, fake_buf_t *wire, int status,
    const char *type, int framing, uint64_t length, const char *more);
void fake_out_body(fake_conn_t *c, fake_buf_t *wire, const char *data,
    size_t len);
void fake_out_raw(fake_conn_t *c, fake_buf_t *wire, const char *data,
    size_t len);
void fake_out_cutting(fake_conn_t *c);
void fake_out_flush(fake_conn_t *c, fake_buf_t *wire);
size_t fake_out_waiting(fake_conn_t *c);
void fake_out_finish(fake_conn_t *c, fake_buf_t *wire, int todo, int end);
void fake_out_end(fake_conn_t *c, fake_buf_t *wire);
void fake_out_drained(fake_conn_t *c);
void fake_out_pump(evutil_socket_t fd, short what, void *data);
void fake_out_free(fake_conn_t *c);
void fake_out_reply(fake_conn_t *c, int status, const char *type,
    const char *data, size_t len, const char *more);
void fake_out_json(fake_conn_t *c, int status, json_t *json);
void fake_out_error(fake_conn_t *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *fake_status_text(int status);


#endif /* _FAKE_OUT_H_INCLUDED_ */
