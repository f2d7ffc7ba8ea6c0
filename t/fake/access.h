
/* Host and Origin */

#ifndef _FAKE_ACCESS_H_INCLUDED_
#define _FAKE_ACCESS_H_INCLUDED_

#include "conn.h"


typedef enum {
    FAKE_HOST_FOREIGN = 0,
    FAKE_HOST_NAME,
    FAKE_HOST_ADDRESS
} fake_host_e;


int fake_origin_check(fake_conn_t *c);
fake_host_e fake_host_allowed(const char *header);


#endif /* _FAKE_ACCESS_H_INCLUDED_ */
