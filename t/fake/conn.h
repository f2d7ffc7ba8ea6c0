
/* A connection's life */

#ifndef _FAKE_CONN_H_INCLUDED_
#define _FAKE_CONN_H_INCLUDED_

#include "req.h"


typedef enum {
    FAKE_STATE_LINE = 0,
    FAKE_STATE_HEADERS,
    FAKE_STATE_BODY,
    FAKE_STATE_CHUNK_SIZE,
    FAKE_STATE_CHUNK_DATA,
    FAKE_STATE_CHUNK_END,
    FAKE_STATE_TRAILER,
    FAKE_STATE_REPLY
} fake_state_e;


typedef enum {
    FAKE_FRAMING_LENGTH = 0,
    FAKE_FRAMING_CHUNKED,
    FAKE_FRAMING_EOF
} fake_framing_e;


typedef enum {
    FAKE_DO_NOTHING = 0,
    FAKE_DO_KEEPALIVE,
    FAKE_DO_FIN,
    FAKE_DO_RST
} fake_do_e;


typedef struct fake_conn_s  fake_conn_t;

typedef void (*fake_handler_pt)(fake_conn_t *c);


typedef struct {
    int               framing;
    int               todo;         /* fake_do_e, once all is written */
    int               end;          /* fake_end_e to record then */
    uint64_t          body;         /* offset in the body */
    uint64_t          wire;         /* the same, framing included */
    uint64_t          released;     /* wire bytes let out of pend */
    struct evbuffer  *pend;         /* NULL: nothing is cut */
    uint64_t         *cuts;         /* wire offsets, from split_at */
    size_t            ncuts;
    size_t            cut;
    size_t            split_at;     /* next element of the setting */
} fake_out_t;


struct fake_conn_s {
    fake_conn_t         *next;
    fake_conn_t         *prev;
    struct bufferevent  *bev;
    evutil_socket_t      fd;
    struct event        *timer;     /* of the reply */
    struct event        *pump;      /* of cut output and of RST */
    fake_handler_pt      handler;   /* what the timer calls */
    fake_handler_pt      drained;   /* called when output ran empty */
    fake_handler_pt      closed;    /* called when it is closed, or NULL */
    uint64_t             id;        /* in the record; 0: control */
    int                  state;
    size_t               head;      /* bytes of this request's header */
    unsigned             control:1;
    unsigned             poll:1;    /* asked by a gateway for itself */
    unsigned             dead:1;    /* closed, freed by the reaper */
    double               wait_until;
    fake_req_t          *req;
    fake_out_t           out;
};


/* what the program does with all connections */

typedef struct {
    fake_handler_pt      read;
    fake_handler_pt      written;      /* output ran empty */
    event_callback_fn    pump;         /* of the event of that name */
    fake_handler_pt      free_reply;
    fake_handler_pt      free_request; /* sets it to NULL */
} fake_conn_handlers_t;


extern fake_conn_t  fake_conns;


void fake_conn_init(const fake_conn_handlers_t *handlers);
void fake_conn_new(evutil_socket_t fd, int tcp);
void fake_conn_close(fake_conn_t *c, int end, int by_client);
void fake_conn_close_idle(void);
void fake_conn_reset_all(void);
void fake_conn_exit(void);
void fake_conn_next(fake_conn_t *c);
void fake_conn_timer(fake_conn_t *c, double ms, fake_handler_pt handler);
void fake_conn_kill(fake_conn_t *c);


#endif /* _FAKE_CONN_H_INCLUDED_ */
