
/* Who is loaded, who is worked on, and who waits for it */

#ifndef _FAKE_SCHED_H_INCLUDED_
#define _FAKE_SCHED_H_INCLUDED_

#include "conn.h"


#define FAKE_CONTEXT  4096          /* of a model that has no other */


void fake_sched_init(fake_handler_pt work);
void fake_sched_exit(void);
int fake_sched_enter(fake_conn_t *c, fake_model_t *m);
void fake_sched_leave(fake_gen_t *g);
void fake_sched_unload(fake_model_t *m);
void fake_sched_changed(void);
void fake_sched_removed(fake_model_t *m);


#endif /* _FAKE_SCHED_H_INCLUDED_ */
