
/*
 * The command line, the listening sockets, the loop.
 *
 *     fake [-a ADDRESS] [-p PORT] [-u PATH] [-c PORT] [-n NAME] [-x]
 *
 * -c opens a port that server.listen and fault "refuse" leave alone.
 */

#include "main.h"
#include "conf.h"
#include "conn.h"
#include "control.h"
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/listener.h>


#define FAKE_BACKLOG  65535


static int fake_options(int argc, char **argv);
static void fake_usage(void);
static void fake_limits(void);
static struct evconnlistener *fake_open_tcp(int *port);
static struct evconnlistener *fake_open_unix(void);
static int fake_open_main(void);
static void fake_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *addr, int len, void *data);
static void fake_accept_error(struct evconnlistener *listener, void *data);
static void fake_stop(evutil_socket_t fd, short what, void *data);
static void fake_stdin(evutil_socket_t fd, short what, void *data);
static void fake_relisten_handler(evutil_socket_t fd, short what,
    void *data);


static const char             *fake_address = "127.0.0.1";
static const char             *fake_path;
static int                     fake_port = -1;
static int                     fake_control_port = -1;
static struct evconnlistener  *fake_tcp;
static struct evconnlistener  *fake_unix;
static struct evconnlistener  *fake_control_tcp;
static struct event           *fake_relisten_event;


int
main(int argc, char **argv)
{
    int                   watch;
    struct event         *term, *intr, *in;
    struct event_config  *config;

    watch = fake_options(argc, argv);

    if (watch < 0) {
        fake_usage();
        return 2;
    }

    (void) signal(SIGPIPE, SIG_IGN);
    fake_limits();

    /* the coarse clock is off by 4 ms, more than tests and figures bear */

    config = event_config_new();
    (void) event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    fake_base = event_base_new_with_config(config);
    event_config_free(config);

    if (fake_base == NULL) {
        fprintf(stderr, "fake: no event base\n");
        return 1;
    }

    fake_conn_init();
    fake_conf_reset();

    if (fake_open_main() != 0) {
        return 1;
    }

    if (fake_control_port >= 0) {
        fake_control_tcp = fake_open_tcp(&fake_control_port);

        if (fake_control_tcp == NULL) {
            return 1;
        }
    }

    term = evsignal_new(fake_base, SIGTERM, fake_stop, NULL);
    intr = evsignal_new(fake_base, SIGINT, fake_stop, NULL);
    (void) event_add(term, NULL);
    (void) event_add(intr, NULL);

    fake_relisten_event = event_new(fake_base, -1, 0, fake_relisten_handler,
                                    NULL);

    in = NULL;

    if (watch) {
        in = event_new(fake_base, STDIN_FILENO, EV_READ | EV_PERSIST,
                       fake_stdin, NULL);

        /* epoll takes no plain file: such an input never closes */

        if (in && event_add(in, NULL) != 0) {
            event_free(in);
            in = NULL;
        }
    }

    if (fake_port >= 0) {
        printf("fake listening on %s:%d", fake_address, fake_port);

    } else {
        printf("fake listening on unix:%s", fake_path);
    }

    if (fake_control_port >= 0) {
        printf(" control on %s:%d", fake_address, fake_control_port);
    }

    printf("\n");
    fflush(stdout);

    (void) event_base_dispatch(fake_base);

    (void) fake_listen(0);

    if (fake_path) {
        (void) unlink(fake_path);
    }

    if (fake_control_tcp) {
        evconnlistener_free(fake_control_tcp);
    }

    /* all is freed, so that leak checkers have nothing to say */

    fake_conn_exit();
    fake_conf_exit();
    fake_control_exit();
    fake_stream_exit();

    event_free(term);
    event_free(intr);
    event_free(fake_relisten_event);

    if (in) {
        event_free(in);
    }

    event_base_free(fake_base);

    return 0;
}


/* whether to watch standard input; -1: wrong options */

static int
fake_options(int argc, char **argv)
{
    int  opt, watch;

    watch = 0;

    while ((opt = getopt(argc, argv, "a:p:u:c:n:xh")) != -1) {

        switch (opt) {
        case 'a':
            fake_address = optarg;
            break;
        case 'p':
            fake_port = atoi(optarg);
            break;
        case 'u':
            fake_path = optarg;
            break;
        case 'c':
            fake_control_port = atoi(optarg);
            break;
        case 'n':
            fake_name = optarg;
            break;
        case 'x':
            watch = 1;
            break;
        default:
            return -1;
        }
    }

    if (optind < argc || (fake_port < 0 && fake_path == NULL)) {
        return -1;
    }

    return watch;
}


static void
fake_usage(void)
{
    fprintf(stderr, "usage: fake [-a ADDRESS] [-p PORT] [-u PATH] "
                    "[-c CONTROL_PORT] [-n NAME] [-x]\n"
                    "at least one of -p and -u is needed\n");
}


static void
fake_limits(void)
{
    struct rlimit  limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }

    limit.rlim_cur = limit.rlim_max;

    (void) setrlimit(RLIMIT_NOFILE, &limit);
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

    snprintf(text, sizeof(text), strchr(fake_address, ':') ? "[%s]:%d"
                                                           : "%s:%d",
             fake_address, *port ? *port : 1);

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

    if (strlen(fake_path) >= sizeof(addr.sun_path)) {
        fprintf(stderr, "fake: path too long: %s\n", fake_path);
        return NULL;
    }

    strcpy(addr.sun_path, fake_path);
    (void) unlink(fake_path);

    listener = evconnlistener_new_bind(fake_base, fake_accept, NULL,
                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                           FAKE_BACKLOG, (struct sockaddr *) &addr,
                           sizeof(addr));
    if (listener == NULL) {
        fprintf(stderr, "fake: can't listen on %s: %s\n", fake_path,
                strerror(errno));
        return NULL;
    }

    evconnlistener_set_error_cb(listener, fake_accept_error);

    return listener;
}


static int
fake_open_main(void)
{
    if (fake_port >= 0 && fake_tcp == NULL) {
        fake_tcp = fake_open_tcp(&fake_port);

        if (fake_tcp == NULL) {
            return -1;
        }
    }

    if (fake_path && fake_unix == NULL) {
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
    return fake_port < 0 || strncmp(fake_address, "127.", 4) == 0
           || strcmp(fake_address, "::1") == 0;
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


static void
fake_stop(evutil_socket_t fd, short what, void *data)
{
    (void) event_base_loopbreak(fake_base);
}


static void
fake_stdin(evutil_socket_t fd, short what, void *data)
{
    char     buf[256];
    ssize_t  n;

    n = read(fd, buf, sizeof(buf));

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        (void) event_base_loopbreak(fake_base);
    }
}
