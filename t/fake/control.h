
/* /fake/ */

#ifndef _FAKE_CONTROL_H_INCLUDED_
#define _FAKE_CONTROL_H_INCLUDED_

#include "conn.h"


void fake_control(fake_conn_t *c);
void fake_control_exit(void);


#endif /* _FAKE_CONTROL_H_INCLUDED_ */
