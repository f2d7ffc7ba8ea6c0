
/* The request reader */

#ifndef _FAKE_REQUEST_H_INCLUDED_
#define _FAKE_REQUEST_H_INCLUDED_

#include "conn.h"


#define FAKE_HEAD_MAX     (1024 * 1024)


void fake_request_read(fake_conn_t *c);
void fake_request_free(fake_conn_t *c);
void fake_request_bad(fake_conn_t *c, int status, const char *text);


#endif /* _FAKE_REQUEST_H_INCLUDED_ */
