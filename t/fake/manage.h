
/* Show, pull, copy and the like */

#ifndef _FAKE_MANAGE_H_INCLUDED_
#define _FAKE_MANAGE_H_INCLUDED_

#include "conn.h"


void fake_show(fake_conn_t *c);
void fake_pull(fake_conn_t *c);
void fake_copy(fake_conn_t *c);
void fake_delete(fake_conn_t *c);
void fake_blob(fake_conn_t *c);


#endif /* _FAKE_MANAGE_H_INCLUDED_ */
