
/*
 * A stand-in for an Ollama server: the command line and the loop.  Each other
 * file includes only files above it in this list:
 *
 * util     buffers, clocks
 * codec    SHA-256, gzip, base64
 * gojson   JSON as Go's encoding/json reads it
 * model    the models, their names and settings
 * record   what was asked and what became of it
 * gen      a reply that is being generated: its parts, and their text
 * events   a frame's text: event forms (Responses, Anthropic)
 * form     a frame's text: Ollama's and OpenAI's forms
 * req      a request
 * conn     a connection's life
 * listen   the listening sockets
 * origin   the origin of a page
 * conf     setting what model has
 * out      bytes of a reply: header, framing, cutting, the ways to end
 * access   Host and Origin of a request
 * control  /fake/
 * error    errors in the form of a path
 * lists    version, tags, ps, and OpenAI's lists
 * stream   pacing of a reply, and its faults
 * infer    requests that make a model speak: decoding and checks
 * manage   show, pull, copy and the like
 * route    paths
 * request  the request reader
 *
 *     fake [-a ADDRESS] [-p PORT] [-u PATH] [-c PORT] [-n NAME] [-x]
 *
 * -c opens a port that server.listen and fault "refuse" leave alone.
 */

#include "conf.h"
#include "conn.h"
#include "control.h"
#include "listen.h"
#include "out.h"
#include "request.h"
#include "stream.h"
#include "util.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>


static int fake_options(int argc, char **argv);
static void fake_usage(void);
static void fake_limits(void);
static void fake_stop(evutil_socket_t fd, short what, void *data);
static void fake_stdin(evutil_socket_t fd, short what, void *data);


static const fake_conn_handlers_t  fake_handlers = {
    fake_request_read,
    fake_out_drained,
    fake_out_pump,
    fake_out_free,
    fake_request_free
};


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

    /* a timer runs from when it is set, not from when this turn began */
    (void) event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME);

    fake_base = event_base_new_with_config(config);
    event_config_free(config);

    if (fake_base == NULL) {
        fprintf(stderr, "fake: no event base\n");
        return 1;
    }

    fake_conn_init(&fake_handlers);
    fake_stream_init();
    fake_conf_reset();

    if (fake_listen_init() != 0) {
        return 1;
    }

    term = evsignal_new(fake_base, SIGTERM, fake_stop, NULL);
    intr = evsignal_new(fake_base, SIGINT, fake_stop, NULL);
    (void) event_add(term, NULL);
    (void) event_add(intr, NULL);

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

    if (fake_listen_on.port >= 0) {
        printf("fake listening on %s:%d", fake_listen_on.address,
               fake_listen_on.port);

    } else {
        printf("fake listening on unix:%s", fake_listen_on.path);
    }

    if (fake_listen_on.control_port >= 0) {
        printf(" control on %s:%d", fake_listen_on.address,
               fake_listen_on.control_port);
    }

    printf("\n");
    fflush(stdout);

    (void) event_base_dispatch(fake_base);

    fake_listen_exit();

    /* all is freed, so that leak checkers have nothing to say */

    fake_conn_exit();
    fake_conf_exit();
    fake_control_exit();
    fake_stream_exit();

    event_free(term);
    event_free(intr);

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
            fake_listen_on.address = optarg;
            break;
        case 'p':
            fake_listen_on.port = atoi(optarg);
            break;
        case 'u':
            fake_listen_on.path = optarg;
            break;
        case 'c':
            fake_listen_on.control_port = atoi(optarg);
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

    if (optind < argc
        || (fake_listen_on.port < 0 && fake_listen_on.path == NULL))
    {
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
