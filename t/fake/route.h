
/* Paths */

#ifndef _FAKE_ROUTE_H_INCLUDED_
#define _FAKE_ROUTE_H_INCLUDED_

#include "conn.h"


void fake_route(fake_conn_t *c);


#endif /* _FAKE_ROUTE_H_INCLUDED_ */
