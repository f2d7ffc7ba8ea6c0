
/* Command line, listening, the loop */

#ifndef _FAKE_MAIN_H_INCLUDED_
#define _FAKE_MAIN_H_INCLUDED_

#include "util.h"


int fake_listen(int on);
void fake_relisten(double ms);
int fake_is_loopback(void);


#endif /* _FAKE_MAIN_H_INCLUDED_ */
