
/* Errors in the form that clients of a path expect */

#ifndef _FAKE_ERROR_H_INCLUDED_
#define _FAKE_ERROR_H_INCLUDED_

#include "conn.h"


void fake_error_reply(fake_conn_t *c, int form, int status, int direct,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));


#endif /* _FAKE_ERROR_H_INCLUDED_ */
