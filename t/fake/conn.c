
/*
 * A connection's life.
 *
 * A connection lives from accept to fake_conn_close(), which ends it for
 * the outside at once; the memory goes with the next turn of the loop, so
 * callers up the stack may still look at c->dead.  Reading stays on while a
 * reply is made: that is how a client's close is noticed.  Bytes that come
 * meanwhile wait in the input buffer.
 */

#include "conn.h"
#include "record.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>


static void fake_conn_read(struct bufferevent *bev, void *data);
static void fake_conn_write(struct bufferevent *bev, void *data);
static void fake_conn_event(struct bufferevent *bev, short what, void *data);
static void fake_conn_timed(evutil_socket_t fd, short what, void *data);
static void fake_conn_reap(evutil_socket_t fd, short what, void *data);


fake_conn_t  fake_conns;

static const fake_conn_handlers_t  *fake_handlers;
static struct event                *fake_reaper;
static fake_conn_t                 *fake_dead;


void
fake_conn_init(const fake_conn_handlers_t *handlers)
{
    fake_handlers = handlers;

    fake_conns.next = &fake_conns;
    fake_conns.prev = &fake_conns;

    fake_reaper = event_new(fake_base, -1, 0, fake_conn_reap, NULL);
}


static void
fake_conn_reap(evutil_socket_t fd, short what, void *data)
{
    fake_conn_t  *c;

    while (fake_dead) {
        c = fake_dead;
        fake_dead = c->next;

        event_free(c->timer);
        event_free(c->pump);
        free(c);
    }
}


void
fake_conn_new(evutil_socket_t fd, int tcp)
{
    int           on;
    fake_conn_t  *c;

    if (tcp) {
        on = 1;
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int));
    }

    c = fake_alloc(sizeof(fake_conn_t));

    c->fd = fd;
    c->bev = bufferevent_socket_new(fake_base, fd, BEV_OPT_CLOSE_ON_FREE);
    c->timer = event_new(fake_base, -1, 0, fake_conn_timed, c);
    c->pump = event_new(fake_base, -1, 0, fake_handlers->pump, c);

    if (c->bev == NULL || c->timer == NULL || c->pump == NULL) {
        fprintf(stderr, "fake: out of memory\n");
        abort();
    }

    c->next = fake_conns.next;
    c->prev = &fake_conns;
    c->next->prev = c;
    fake_conns.next = c;

    c->id = fake_rec_conn_open(0);
    fake_open[0]++;

    bufferevent_setcb(c->bev, fake_conn_read, fake_conn_write,
                      fake_conn_event, c);
    (void) bufferevent_set_max_single_read(c->bev, 256 * 1024);
    (void) bufferevent_enable(c->bev, EV_READ | EV_WRITE);

    fake_rec_changed();
}


/* end: what to record of a request that is still going on */

void
fake_conn_close(fake_conn_t *c, int end, int by_client)
{
    if (c->dead) {
        return;
    }

    c->dead = 1;

    c->next->prev = c->prev;
    c->prev->next = c->next;

    event_del(c->timer);
    event_del(c->pump);
    bufferevent_free(c->bev);
    fake_handlers->free_reply(c);

    if (c->closed) {
        c->closed(c);
    }

    if (!c->control) {
        fake_open[c->poll]--;
        fake_rec_conn_closed(c->id, by_client);
    }

    if (c->req) {
        if (!c->control && c->req->rec) {
            fake_rec_ended(c->req->rec, end);
        }

        fake_handlers->free_request(c);
    }

    c->next = fake_dead;
    fake_dead = c;

    event_active(fake_reaper, EV_TIMEOUT, 0);

    fake_rec_changed();
}


/* a close that the other side sees as RST, whatever was sent before */

void
fake_conn_kill(fake_conn_t *c)
{
    struct linger  linger;

    linger.l_onoff = 1;
    linger.l_linger = 0;

    (void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));

    fake_conn_close(c, FAKE_END_DIED, 0);
}


/* those that no request goes on at, nor has begun to come */

void
fake_conn_close_idle(void)
{
    fake_conn_t  *c, *next;

    for (c = fake_conns.next; c != &fake_conns; c = next) {
        next = c->next;

        if (!c->control && !c->req
            && evbuffer_get_length(bufferevent_get_input(c->bev)) == 0)
        {
            fake_conn_close(c, FAKE_END_DIED, 0);
        }
    }
}


/* streams are closed; idle connections stay, numbered anew */

void
fake_conn_reset_all(void)
{
    fake_conn_t  *c, *next;

    for (c = fake_conns.next; c != &fake_conns; c = next) {
        next = c->next;

        if (!c->control && c->req) {
            fake_conn_close(c, FAKE_END_DIED, 0);
        }
    }

    fake_rec_reset();

    for (c = fake_conns.next; c != &fake_conns; c = c->next) {
        if (!c->control) {
            c->id = fake_rec_conn_open(c->poll);
        }
    }
}


/* at the end of the program */

void
fake_conn_exit(void)
{
    while (fake_conns.next != &fake_conns) {
        fake_conn_close(fake_conns.next, FAKE_END_DIED, 0);
    }

    fake_conn_reap(-1, 0, NULL);
    event_free(fake_reaper);
    fake_rec_reset();
}


/* the reply is out: the next request, which may already be here */

void
fake_conn_next(fake_conn_t *c)
{
    event_del(c->timer);
    c->handler = NULL;
    c->drained = NULL;

    fake_handlers->free_reply(c);

    if (!c->control && c->req->rec) {
        fake_rec_ended(c->req->rec, FAKE_END_COMPLETE);
    }

    fake_handlers->free_request(c);
    c->state = FAKE_STATE_LINE;
    c->head = 0;

    if (evbuffer_get_length(bufferevent_get_input(c->bev))) {
        bufferevent_trigger(c->bev, EV_READ,
                        BEV_TRIG_IGNORE_WATERMARKS | BEV_OPT_DEFER_CALLBACKS);
    }
}


void
fake_conn_timer(fake_conn_t *c, double ms, fake_handler_pt handler)
{
    struct timeval  tv;

    c->handler = handler;

    tv.tv_sec = (time_t) (ms / 1000);
    tv.tv_usec = (suseconds_t) ((ms - tv.tv_sec * 1000.0) * 1000);

    (void) event_add(c->timer, &tv);
}


static void
fake_conn_timed(evutil_socket_t fd, short what, void *data)
{
    fake_conn_t      *c = data;
    fake_handler_pt   handler;

    handler = c->handler;

    if (!c->dead && handler) {
        c->handler = NULL;
        handler(c);
    }
}


static void
fake_conn_read(struct bufferevent *bev, void *data)
{
    fake_conn_t  *c = data;

    if (!c->dead) {
        fake_handlers->read(c);
    }
}


static void
fake_conn_write(struct bufferevent *bev, void *data)
{
    fake_conn_t  *c = data;

    if (!c->dead) {
        fake_handlers->written(c);
    }
}


static void
fake_conn_event(struct bufferevent *bev, short what, void *data)
{
    fake_conn_t  *c = data;

    if (!c->dead && (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) {
        fake_conn_close(c, FAKE_END_CLIENT, 1);
    }
}
