
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The time of a round trip to Redis, for benchmarks: sends a command so many
 * times, one after the other, and waits for each answer as nginx does.
 *
 *     trip SOCKET COUNT ARG...
 *
 * The answer must be one string, number or status.  Prints the nanoseconds
 * that each took, as a JSON array.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>


#define BUFFER  65536


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
    fprintf(stderr, "trip: %s: %s\n", what, why);
    exit(1);
}


static size_t
command(char *p, int argc, char **argv)
{
    int    i;
    char  *start, *end;

    start = p;
    end = p + BUFFER;
    p += snprintf(p, end - p, "*%d\r\n", argc);

    for (i = 0; i < argc; i++) {
        p += snprintf(p, end - p, "$%zu\r\n%s\r\n", strlen(argv[i]), argv[i]);

        if (p >= end) {
            die(argv[i], "too long");
        }
    }

    return p - start;
}


/* Whether all of the answer is there. */

static int
is_whole(const char *p, size_t n)
{
    char  *end;
    long   size;

    if (p[0] == '-') {
        die("Redis said", p);
    }

    if (p[0] != '$') {
        return p[n - 1] == '\n';
    }

    size = strtol(p + 1, &end, 10);

    return *end == '\r' && n == (size_t) (end - p) + 2 + size + 2;
}


int
main(int argc, char **argv)
{
    int                  fd, ep, i, count;
    size_t               len, got;
    ssize_t              n;
    uint64_t             start;
    struct sockaddr_un   address;
    struct epoll_event   ev;
    static char          out[BUFFER], in[BUFFER];

    if (argc < 4) {
        fprintf(stderr, "usage: trip SOCKET COUNT ARG...\n");
        return 2;
    }

    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    count = atoi(argv[2]);
    len = command(out, argc - 3, argv + 3);

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ep = epoll_create1(0);
    ev.events = EPOLLIN;
    ev.data.fd = fd;

    if (fd == -1 || ep == -1
        || connect(fd, (struct sockaddr *) &address, sizeof(address)) == -1
        || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1)
    {
        die(argv[1], strerror(errno));
    }

    for (i = 0; i < count; i++) {
        start = now();

        if (send(fd, out, len, MSG_NOSIGNAL) != (ssize_t) len) {
            die("send", strerror(errno));
        }

        got = 0;

        do {
            (void) epoll_wait(ep, &ev, 1, -1);

            n = recv(fd, in + got, BUFFER - 1 - got, 0);

            if (n <= 0) {
                die("recv", n ? strerror(errno) : "closed");
            }

            got += n;
            in[got] = '\0';

        } while (!is_whole(in, got));

        printf("%c%" PRIu64, i ? ',' : '[', now() - start);
    }

    printf("]\n");

    return 0;
}
