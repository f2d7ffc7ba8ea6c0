
/* The origin of a page, as replies tell of it */

#ifndef _FAKE_ORIGIN_H_INCLUDED_
#define _FAKE_ORIGIN_H_INCLUDED_

#include "conn.h"


int fake_origin_same(const fake_req_t *r);
void fake_origin_headers(fake_conn_t *c, fake_buf_t *more);


#endif /* _FAKE_ORIGIN_H_INCLUDED_ */
