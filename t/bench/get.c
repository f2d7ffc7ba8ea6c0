
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A load of GET requests over connections that stay open, for benchmarks: the
 * paths take turns, in an order drawn by chance in each round.
 *
 *     get CONNECTIONS RATE MS ROUNDS PORT:PID/PATH...
 *
 * Paths of one port use the same connections.  Each turn lasts MS milliseconds.
 * With RATE 0 each connection asks again as soon as it is answered.  Else so
 * many requests a second fall due, and one that finds no connection free waits
 * for it: a request's time begins when it is due, so that a server that stops
 * shows in all it should have answered.
 * PID is the process that answers, whose CPU time is taken.
 *
 * Every reply must be a 200 with a Content-Length.  Prints one JSON object:
 * for each path the bytes of its last reply; how many requests, how much time
 * and CPU time each turn took; and, with a RATE, the time of each request.
 * Times are nanoseconds.  Ends with 1 if anything went wrong.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>


#define HEAD     2048
#define EVENTS   256

/* no reply may be silent for so long */
#define TIMEOUT  20000


typedef struct {
    int          fd;
    unsigned     busy;
    unsigned     body;         /* the header is over */
    size_t       left;         /* of the body */
    size_t       nhead;
    uint64_t     start;
    char         head[HEAD];
} conn_t;


typedef struct {
    uint64_t     count;
    uint64_t     time;
    uint64_t     cpu;
} turn_t;


typedef struct {
    const char  *name;         /* as given */
    int          port;
    int          pid;
    conn_t      *conns;
    char        *request;
    size_t       len;
    size_t       bytes;
    uint64_t    *times;        /* of each request, if there is a rate */
    size_t       ntimes;
    turn_t      *turns;
} path_t;


static unsigned   nconns, nbusy;
static path_t    *path;        /* whose turn it is */
static uint64_t   count;       /* requests of this turn that were answered */
static int        ep, timer;


static uint64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static void
die(const char *what, const char *why)
{
    fprintf(stderr, "get: %s: %.200s\n", what, why);
    exit(1);
}


static void
conn_open(conn_t *c, int port)
{
    int                 on;
    struct sockaddr_in  address;
    struct epoll_event  ev;

    on = 1;

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    c->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (c->fd == -1
        || connect(c->fd, (struct sockaddr *) &address, sizeof(address)) == -1
        || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
    {
        die("connection", strerror(errno));
    }

    ev.events = EPOLLIN;
    ev.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) == -1) {
        die("epoll_ctl", strerror(errno));
    }
}


static void
conn_ask(conn_t *c, uint64_t start)
{
    c->busy = 1;
    c->body = 0;
    c->nhead = 0;
    c->start = start;
    nbusy++;

    if (send(c->fd, path->request, path->len, MSG_NOSIGNAL)
        != (ssize_t) path->len)
    {
        die("request", strerror(errno));
    }
}


/* Takes what belongs to the header.  Returns how many bytes of n did. */

static size_t
conn_header(conn_t *c, const char *p, size_t n)
{
    char    *end, *length;
    size_t   old;

    old = c->nhead;

    if (n > HEAD - 1 - old) {
        n = HEAD - 1 - old;
    }

    memcpy(c->head + old, p, n);
    c->nhead += n;
    c->head[c->nhead] = '\0';

    end = strstr(c->head, "\r\n\r\n");

    if (end == NULL) {
        if (c->nhead == HEAD - 1) {
            die("the header is too long", path->name);
        }

        return n;
    }

    end += 4;
    n = end - c->head - old;
    *(end - 1) = '\0';

    length = strcasestr(c->head, "\r\nContent-Length:");

    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || length == NULL) {
        die(path->name, c->head);
    }

    c->left = strtoul(length + sizeof("\r\nContent-Length:") - 1, NULL, 10);
    c->body = 1;
    path->bytes = c->left;

    return n;
}


static void
conn_read(conn_t *c)
{
    size_t       used;
    ssize_t      n;
    static char  buffer[262144];

    n = recv(c->fd, buffer, sizeof(buffer), 0);

    if (n <= 0) {
        die(path->name, n ? strerror(errno) : "the connection was closed");
    }

    if (!c->busy) {
        die(path->name, "a reply that nobody asked for");
    }

    used = c->body ? 0 : conn_header(c, buffer, n);

    if (c->body) {
        if (n - used > c->left) {
            die(path->name, "more than its Content-Length");
        }

        c->left -= n - used;

        if (c->left == 0) {
            if (path->times) {
                path->times[path->ntimes++] = now() - c->start;
            }

            c->busy = 0;
            nbusy--;
            count++;
        }
    }
}


/* CPU time that the process has had. */

static uint64_t
cpu(int pid)
{
    FILE      *f;
    char       name[64];
    uint64_t   ns;

    snprintf(name, sizeof(name), "/proc/%d/schedstat", pid);

    f = fopen(name, "r");

    if (f == NULL || fscanf(f, "%" SCNu64, &ns) != 1) {
        die(name, strerror(errno));
    }

    fclose(f);

    return ns;
}


static void
wake_at(uint64_t ns)
{
    struct itimerspec  its;

    memset(&its, 0, sizeof(its));
    its.it_value.tv_sec = ns / 1000000000;
    its.it_value.tv_nsec = ns % 1000000000;

    timerfd_settime(timer, TFD_TIMER_ABSTIME, &its, NULL);
}


/*
 * A turn of the path: asks until its end, or so many times at that rate, and
 * waits for what was asked.
 */

static void
turn(turn_t *t, unsigned rate, uint64_t total, uint64_t length)
{
    int                 i, n;
    unsigned            k;
    uint64_t            start, due, sent, used, ticks;
    struct epoll_event  events[EVENTS];

    count = 0;
    sent = 0;

    used = cpu(path->pid);
    start = now();

    for ( ;; ) {

        for (k = 0; k < nconns; k++) {

            due = rate ? start + sent * 1000000000 / rate : now();

            if (rate ? sent == total : due >= start + length) {
                break;
            }

            if (due > now()) {
                wake_at(due);
                break;
            }

            if (!path->conns[k].busy) {
                conn_ask(&path->conns[k], due);
                sent++;
            }
        }

        if (nbusy == 0
            && (rate ? sent == total : now() >= start + length))
        {
            break;
        }

        n = epoll_wait(ep, events, EVENTS, TIMEOUT);

        if (n == 0) {
            die(path->name, "no reply");
        }

        for (i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                conn_read(events[i].data.ptr);

            } else if (read(timer, &ticks, sizeof(ticks)) == -1) {
                die("timer", strerror(errno));
            }
        }
    }

    t->count = count;
    t->time = now() - start;
    t->cpu = cpu(path->pid) - used;
}


static void
print_turns(path_t *p, unsigned n)
{
    unsigned  i;

    printf("\"%s\":{\"bytes\":%zu,\"turns\":[", p->name, p->bytes);

    for (i = 0; i < n; i++) {
        printf("%s{\"count\":%" PRIu64 ",\"time\":%" PRIu64 ",\"cpu\":%"
               PRIu64 "}", i ? "," : "", p->turns[i].count, p->turns[i].time,
               p->turns[i].cpu);
    }

    printf("],\"times\":[");

    for (i = 0; i < p->ntimes; i++) {
        printf("%s%" PRIu64, i ? "," : "", p->times[i]);
    }

    printf("]}");
}


/* PORT:PID/PATH.  Connections are those of a path before with this port. */

static void
path_init(path_t *paths, unsigned n, char *arg, unsigned nrounds,
    uint64_t ntimes)
{
    int        len;
    char      *slash;
    path_t    *p;
    unsigned   i;

    p = &paths[n];
    slash = strchr(arg, '/');

    if (slash == NULL || sscanf(arg, "%d:%d/", &p->port, &p->pid) != 2) {
        die("not PORT:PID/PATH", arg);
    }

    len = asprintf(&p->request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   slash);

    p->name = arg;
    p->len = len;
    p->turns = calloc(nrounds, sizeof(turn_t));

    if (ntimes) {
        p->times = calloc(ntimes, sizeof(uint64_t));
    }

    for (i = 0; paths[i].port != p->port; i++) { /* void */ }

    p->conns = i < n ? paths[i].conns : calloc(nconns, sizeof(conn_t));

    if (len == -1 || p->turns == NULL || p->conns == NULL
        || (ntimes && p->times == NULL)) {
        die("memory", strerror(errno));
    }

    if (i == n) {
        for (i = 0; i < nconns; i++) {
            conn_open(&p->conns[i], p->port);
        }
    }
}


int
main(int argc, char **argv)
{
    unsigned             i, k, npaths, nrounds, round, rate;
    uint64_t             length, total;
    path_t              *paths, **order;
    struct epoll_event   ev;

    if (argc < 6 || atoi(argv[1]) < 1 || atoi(argv[4]) < 1) {
        fprintf(stderr, "usage: get CONNECTIONS RATE MS ROUNDS "
                        "PORT:PID/PATH...\n");
        return 2;
    }

    nconns = atoi(argv[1]);
    rate = atoi(argv[2]);
    length = strtoull(argv[3], NULL, 10) * 1000000;
    nrounds = atoi(argv[4]);
    npaths = argc - 5;

    /* of a turn, with a rate */
    total = (uint64_t) ((double) length * rate / 1e9);

    paths = calloc(npaths, sizeof(path_t));
    order = calloc(npaths, sizeof(path_t *));

    ep = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    ev.events = EPOLLIN;
    ev.data.ptr = NULL;

    if (paths == NULL || order == NULL || ep == -1 || timer == -1
        || epoll_ctl(ep, EPOLL_CTL_ADD, timer, &ev) == -1)
    {
        die("start", strerror(errno));
    }

    for (i = 0; i < npaths; i++) {
        path_init(paths, i, argv[5 + i], nrounds, nrounds * total);
        order[i] = &paths[i];
    }

    srandom((unsigned) now());

    for (round = 0; round < nrounds; round++) {

        for (i = npaths; i > 1; i--) {
            k = random() % i;
            path = order[k];
            order[k] = order[i - 1];
            order[i - 1] = path;
        }

        for (i = 0; i < npaths; i++) {
            path = order[i];
            turn(&path->turns[round], rate, total, length);
        }
    }

    printf("{");

    for (i = 0; i < npaths; i++) {
        printf("%s", i ? "," : "");
        print_turns(&paths[i], nrounds);
    }

    printf("}\n");

    return 0;
}
