
/* Pacing of a reply, and its faults */

#ifndef _FAKE_STREAM_H_INCLUDED_
#define _FAKE_STREAM_H_INCLUDED_

#include "conn.h"


#define FAKE_FLOOD_MAX    (1024ULL * 1024 * 1024)


void fake_stream_start(fake_conn_t *c, fake_model_t *m);
void fake_stream_free(fake_req_t *r);
void fake_stream_init(void);
void fake_stream_exit(void);


#endif /* _FAKE_STREAM_H_INCLUDED_ */
