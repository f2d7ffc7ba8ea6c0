
/* The listening sockets */

#ifndef _FAKE_LISTEN_H_INCLUDED_
#define _FAKE_LISTEN_H_INCLUDED_

#include "conn.h"


typedef struct {
    const char  *address;
    const char  *path;              /* of a Unix socket, or NULL */
    int          port;              /* -1: none */
    int          control_port;      /* -1: none */
} fake_listen_on_t;


extern fake_listen_on_t  fake_listen_on;

int fake_listen_init(void);
void fake_listen_exit(void);
int fake_listen(int on);
void fake_relisten(double ms);
int fake_is_loopback(void);


#endif /* _FAKE_LISTEN_H_INCLUDED_ */
