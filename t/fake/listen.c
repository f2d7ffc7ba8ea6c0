
/*
 * The listening sockets, which can be closed and opened again.
 */

#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/listener.h>


#define FAKE_BACKLOG  65535


static struct evconnlistener *fake_open_tcp(int *port);
static struct evconnlistener *fake_open_unix(void);
static int fake_open_main(void);
static void fake_relisten_handler(evutil_socket_t fd, short what,
    void *data);
static void fake_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *addr, int len, void *data);
static void fake_accept_error(struct evconnlistener *listener, void *data);


fake_listen_on_t               fake_listen_on = { "127.0.0.1", NULL, -1, -1 };

static struct evconnlistener  *fake_tcp;
static struct evconnlistener  *fake_unix;
static struct evconnlistener  *fake_control_tcp;
static struct event           *fake_relisten_event;


int
fake_listen_init(void)
{
    fake_relisten_event = event_new(fake_base, -1, 0, fake_relisten_handler,
                                    NULL);

    if (fake_relisten_event == NULL || fake_open_main() != 0) {
        return -1;
    }

    if (fake_listen_on.control_port >= 0) {
        fake_control_tcp = fake_open_tcp(&fake_listen_on.control_port);

        if (fake_control_tcp == NULL) {
            return -1;
        }
    }

    return 0;
}


/* at the end of the program */

void
fake_listen_exit(void)
{
    (void) fake_listen(0);

    if (fake_listen_on.path) {
        (void) unlink(fake_listen_on.path);
    }

    if (fake_control_tcp) {
        evconnlistener_free(fake_control_tcp);
    }

    event_free(fake_relisten_event);
}


/* port 0 becomes the one that was found */

static struct evconnlistener *
fake_open_tcp(int *port)
{
    char                      text[128];
    int                       len;
    socklen_t                 size;
    struct evconnlistener    *listener;
    struct sockaddr_storage   addr;

    snprintf(text, sizeof(text), strchr(fake_listen_on.address, ':') ? "[%s]:%d"
                                                           : "%s:%d",
             fake_listen_on.address, *port ? *port : 1);

    len = sizeof(addr);

    if (evutil_parse_sockaddr_port(text, (struct sockaddr *) &addr, &len)
        != 0)
    {
        fprintf(stderr, "fake: invalid address \"%s\"\n", text);
        return NULL;
    }

    /* no port and no address length apart from the two families' */

    if (*port == 0) {
        if (addr.ss_family == AF_INET6) {
            ((struct sockaddr_in6 *) &addr)->sin6_port = 0;

        } else {
            ((struct sockaddr_in *) &addr)->sin_port = 0;
        }
    }

    listener = evconnlistener_new_bind(fake_base, fake_accept, port,
                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE
                           | LEV_OPT_CLOSE_ON_EXEC, FAKE_BACKLOG,
                           (struct sockaddr *) &addr, len);
    if (listener == NULL) {
        fprintf(stderr, "fake: can't listen on %s: %s\n", text,
                strerror(errno));
        return NULL;
    }

    evconnlistener_set_error_cb(listener, fake_accept_error);

    if (*port == 0) {
        size = sizeof(addr);

        if (getsockname(evconnlistener_get_fd(listener),
                        (struct sockaddr *) &addr, &size) == 0)
        {
            *port = ntohs(addr.ss_family == AF_INET6
                          ? ((struct sockaddr_in6 *) &addr)->sin6_port
                          : ((struct sockaddr_in *) &addr)->sin_port);
        }
    }

    return listener;
}


static struct evconnlistener *
fake_open_unix(void)
{
    struct sockaddr_un      addr;
    struct evconnlistener  *listener;

    memset(&addr, 0, sizeof(addr));
    addr.sun_family = AF_UNIX;

    if (strlen(fake_listen_on.path) >= sizeof(addr.sun_path)) {
        fprintf(stderr, "fake: path too long: %s\n", fake_listen_on.path);
        return NULL;
    }

    strcpy(addr.sun_path, fake_listen_on.path);
    (void) unlink(fake_listen_on.path);

    listener = evconnlistener_new_bind(fake_base, fake_accept, NULL,
                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                           FAKE_BACKLOG, (struct sockaddr *) &addr,
                           sizeof(addr));
    if (listener == NULL) {
        fprintf(stderr, "fake: can't listen on %s: %s\n", fake_listen_on.path,
                strerror(errno));
        return NULL;
    }

    evconnlistener_set_error_cb(listener, fake_accept_error);

    return listener;
}


static int
fake_open_main(void)
{
    if (fake_listen_on.port >= 0 && fake_tcp == NULL) {
        fake_tcp = fake_open_tcp(&fake_listen_on.port);

        if (fake_tcp == NULL) {
            return -1;
        }
    }

    if (fake_listen_on.path && fake_unix == NULL) {
        fake_unix = fake_open_unix();

        if (fake_unix == NULL) {
            return -1;
        }
    }

    return 0;
}


/* as a program that ends: no idle connection stays; replies go on */

int
fake_listen(int on)
{
    if (fake_relisten_event) {
        (void) event_del(fake_relisten_event);
    }

    if (on) {
        return fake_open_main();
    }

    if (fake_tcp) {
        evconnlistener_free(fake_tcp);
        fake_tcp = NULL;
    }

    if (fake_unix) {
        evconnlistener_free(fake_unix);
        fake_unix = NULL;
    }

    fake_conn_close_idle();

    return 0;
}


void
fake_relisten(double ms)
{
    struct timeval  tv;

    tv.tv_sec = (time_t) (ms / 1000);
    tv.tv_usec = (suseconds_t) ((ms - tv.tv_sec * 1000.0) * 1000);

    (void) event_add(fake_relisten_event, &tv);
}


static void
fake_relisten_handler(evutil_socket_t fd, short what, void *data)
{
    (void) fake_open_main();
}


int
fake_is_loopback(void)
{
    const char  *address;

    address = fake_listen_on.address;

    return fake_listen_on.port < 0 || strncmp(address, "127.", 4) == 0
           || strcmp(address, "::1") == 0;
}


static void
fake_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *addr, int len, void *data)
{
    fake_conn_new(fd, addr->sa_family != AF_UNIX);
}


/* out of descriptors: those waiting are taken when others have closed */

static void
fake_accept_error(struct evconnlistener *listener, void *data)
{
    int             err;
    struct timeval  tv;

    err = EVUTIL_SOCKET_ERROR();

    if (err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM) {
        fprintf(stderr, "fake: accept: %s\n", strerror(err));

        tv.tv_sec = 0;
        tv.tv_usec = 10000;
        (void) nanosleep(&(struct timespec) { 0, tv.tv_usec * 1000 }, NULL);
    }
}
