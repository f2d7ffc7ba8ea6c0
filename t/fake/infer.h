
/* Requests that make a model speak: decoding and checks */

#ifndef _FAKE_INFER_H_INCLUDED_
#define _FAKE_INFER_H_INCLUDED_

#include "conn.h"
#include "gojson.h"


void fake_infer(fake_conn_t *c, int form);
void fake_infer_missing(fake_conn_t *c, int form, const char *name,
    size_t len, int show);
int fake_decode(fake_conn_t *c, const char *type, fake_field_t *fields,
    fake_buf_t *err);


#endif /* _FAKE_INFER_H_INCLUDED_ */
