
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * A load of chat streams, for benchmarks: keeps a number of streams open at
 * once until so many have ended, and checks and times every frame.
 *
 *     load PORT PATH STREAMS TOTAL FRAMES RAMP BODY
 *
 * Streams are opened one after the other, RAMP microseconds apart, so that
 * what is timed is not a storm of connections.
 *
 * Every stream must have FRAMES frames, numbered "w0 ", "w1 ", ... in their
 * content, and a last one with "done":true.  A frame's "created_at" is the
 * time when the stand-in server sent it, CLOCK_MONOTONIC in nanoseconds (its
 * setting "stamp"), so that a frame's delay is known on the same machine.
 *
 * BODY is that of all requests, or "@" and a file, whose lines are the bodies:
 * they take turns.  "saved" counts the last frames that say "saved":true.
 *
 * Prints one JSON object.  Times in it are nanoseconds.  Ends with 1 if a
 * stream failed, or a frame was lost, doubled, out of order or changed.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define BUFFER   8192
#define HEAD     512
#define EVENTS   512

/* a stream that hears nothing for so long has failed */
#define TIMEOUT  60000


/* buckets of 1/256 of a power of two: a figure is right within 0.4 % */

#define BITS     8
#define PARTS    (1 << BITS)
#define BUCKETS  ((64 - BITS + 1) * PARTS)


typedef struct {
    uint64_t   count;
    uint64_t   max;
    uint64_t   bucket[BUCKETS];
} histogram_t;


typedef enum {
    st_connect = 0,
    st_header,
    st_size,
    st_data,
    st_crlf,
    st_trailer
} state_e;


typedef struct {
    int        fd;
    state_e    state;
    size_t     chunk;          /* bytes of the chunk to come */
    unsigned   frame;          /* the next one expected */
    unsigned   done;
    uint64_t   start;
    void      *next;           /* in the list of those to be opened */
    size_t     nhead;
    size_t     nframe;
    char       head[HEAD];     /* a header line, or a chunk's size */
    char       line[BUFFER];   /* a frame, which may lie in two chunks */
} stream_t;


static struct {
    unsigned     started;
    unsigned     ended;
    unsigned     failed;
    uint64_t     frames;
    uint64_t     lost;
    uint64_t     saved;
    char         error[256];
    histogram_t  first;        /* time to the first frame */
    histogram_t  delay;        /* of every frame */
    histogram_t  last;         /* of the last frames */
} result;


static struct sockaddr_in  address;
static char              **requests;
static unsigned            nrequests, next_request;
static unsigned             total, expected;
static uint64_t             ramp, next_open;
static stream_t            *waiting;
static int                 ep;


static uint64_t
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static void
histogram_add(histogram_t *h, uint64_t value)
{
    unsigned  exponent;

    if (value < PARTS) {
        h->bucket[value]++;

    } else {
        exponent = 63 - BITS - __builtin_clzll(value);
        h->bucket[exponent * PARTS + (value >> exponent)]++;
    }

    h->count++;

    if (value > h->max) {
        h->max = value;
    }
}


static uint64_t
histogram_value(histogram_t *h, double part)
{
    unsigned  i;
    uint64_t  seen, rank;

    rank = (uint64_t) (part * (double) h->count);
    seen = 0;

    for (i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];

        if (seen > rank) {
            return i < PARTS ? i : (uint64_t) (PARTS + i % PARTS)
                                   << (i / PARTS - 1);
        }
    }

    return h->max;
}


static void
fail(const char *what, const char *line)
{
    char  *p;

    if (result.failed++ == 0) {
        snprintf(result.error, sizeof(result.error), "%s: %.150s", what,
                 line);

        /* it goes into JSON */
        for (p = result.error; *p; p++) {
            if (*p == '"' || *p == '\\' || (unsigned char) *p < ' ') {
                *p = '\'';
            }
        }
    }
}


static void
stream_open(stream_t *s)
{
    int                 on;
    struct epoll_event  ev;

    on = 1;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (s->fd == -1
        || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1
        || (connect(s->fd, (struct sockaddr *) &address, sizeof(address))
            == -1
            && errno != EINPROGRESS))
    {
        fprintf(stderr, "load: connection %u: %s\n", result.started,
                strerror(errno));
        exit(1);
    }

    s->state = st_connect;
    s->chunk = 0;
    s->frame = 0;
    s->done = 0;
    s->nhead = 0;
    s->nframe = 0;
    s->start = now();

    ev.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    ev.data.ptr = s;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &ev) == -1) {
        perror("load: epoll_ctl");
        exit(1);
    }

    result.started++;
}


/* A stream is over: its place is the next one's. */

static void
stream_close(stream_t *s)
{
    close(s->fd);
    s->fd = -1;

    if (s->done != 1 || s->frame != expected) {
        result.lost += expected - (s->frame < expected ? s->frame : expected);
    }

    result.ended++;

    s->next = waiting;
    waiting = s;
}


/* Opens what is due.  Returns the milliseconds until the next is. */

static int
streams_open(void)
{
    uint64_t   time;
    stream_t  *s;

    while (waiting && result.started < total) {

        time = now();

        if (time < next_open) {
            return (int) ((next_open - time) / 1000000) + 1;
        }

        s = waiting;
        waiting = s->next;
        stream_open(s);

        next_open = (next_open ? next_open : time) + ramp;
    }

    return TIMEOUT;
}


static void
stream_frame(stream_t *s)
{
    char      *p, want[32];
    uint64_t   sent, time;

    time = now();

    s->line[s->nframe] = '\0';
    s->nframe = 0;

    if (s->done) {
        fail("a frame after the last one", s->line);
        return;
    }

    p = strstr(s->line, "\"created_at\":\"");
    sent = p ? strtoull(p + sizeof("\"created_at\":\"") - 1, NULL, 10) : 0;

    if (sent == 0 || sent > time) {
        fail("a frame without its time", s->line);
        return;
    }

    histogram_add(&result.delay, time - sent);

    if (s->frame == 0) {
        histogram_add(&result.first, time - s->start);
    }

    if (strstr(s->line, "\"done\":true")) {
        s->done = 1;
        histogram_add(&result.last, time - sent);

        if (strstr(s->line, "\"saved\":true")) {
            result.saved++;
        }

        if (s->frame != expected) {
            fail("the last frame comes too early", s->line);
        }

        return;
    }

    snprintf(want, sizeof(want), "\"content\":\"w%u ", s->frame);

    if (strstr(s->line, want) == NULL) {
        fail("not the expected frame", s->line);
        return;
    }

    s->frame++;
    result.frames++;
}


/* A byte of the framing.  Returns 1 if the reply is over. */

static int
stream_byte(stream_t *s, char ch)
{
    size_t  len;

    if (ch != '\n') {
        if (s->nhead == HEAD - 1) {
            fail("a header line is too long", "");
            return 1;
        }

        s->head[s->nhead++] = ch;
        return 0;
    }

    len = s->nhead;
    s->head[len] = '\0';
    s->nhead = 0;

    switch (s->state) {

    case st_header:
        if (len <= 1) {
            s->state = st_size;

        } else if (strncmp(s->head, "HTTP/", 5) == 0
                   && strncmp(s->head + 8, " 200", 4) != 0)
        {
            fail("a bad status", s->head);
            return 1;
        }

        return 0;

    case st_size:
        s->chunk = strtoul(s->head, NULL, 16);
        s->state = s->chunk ? st_data : st_trailer;
        return 0;

    case st_crlf:
        s->state = st_size;
        return 0;

    default: /* st_trailer */
        return len <= 1;
    }
}


/* Returns 1 if the reply is over. */

static int
stream_data(stream_t *s, const char *p, size_t n)
{
    size_t       left;
    const char  *end, *nl;

    end = p + n;

    while (p < end) {

        if (s->state != st_data) {
            if (stream_byte(s, *p++)) {
                return 1;
            }

            continue;
        }

        left = (size_t) (end - p) < s->chunk ? (size_t) (end - p) : s->chunk;
        nl = memchr(p, '\n', left);

        if (nl) {
            left = nl + 1 - p;
        }

        if (s->nframe + left >= BUFFER) {
            fail("a frame is too long", "");
            return 1;
        }

        memcpy(s->line + s->nframe, p, left);
        s->nframe += left;
        s->chunk -= left;
        p += left;

        if (nl) {
            stream_frame(s);
        }

        if (s->chunk == 0) {
            s->state = st_crlf;
        }
    }

    return 0;
}


static void
stream_event(stream_t *s, uint32_t events)
{
    int          error;
    char        *request;
    size_t       request_len;
    ssize_t      n;
    socklen_t    len;
    static char  buffer[65536];

    if (s->state == st_connect && (events & (EPOLLOUT | EPOLLERR))) {

        error = 0;
        len = sizeof(error);
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len);

        if (error) {
            fail("no connection", strerror(error));
            stream_close(s);
            return;
        }

        request = requests[next_request++ % nrequests];
        request_len = strlen(request);

        if (send(s->fd, request, request_len, MSG_NOSIGNAL)
            != (ssize_t) request_len)
        {
            fail("the request could not be sent at once", strerror(errno));
            stream_close(s);
            return;
        }

        s->state = st_header;
    }

    for ( ;; ) {
        n = recv(s->fd, buffer, sizeof(buffer), 0);

        if (n > 0) {
            if (stream_data(s, buffer, n)) {
                break;
            }

            continue;
        }

        if (n == -1 && errno == EAGAIN) {
            return;
        }

        fail("cut", n ? strerror(errno) : "closed before its end");
        break;
    }

    stream_close(s);
}


static void
add_request(const char *path, const char *body)
{
    requests = realloc(requests, (nrequests + 1) * sizeof(char *));

    if (requests == NULL
        || asprintf(&requests[nrequests++],
                    "POST %s HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\n"
                    "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                    path, strlen(body), body)
           == -1)
    {
        perror("load");
        exit(1);
    }
}


static void
add_requests(const char *path, const char *body)
{
    FILE    *file;
    char    *line;
    size_t   size;
    ssize_t  n;

    if (body[0] != '@') {
        add_request(path, body);
        return;
    }

    line = NULL;
    size = 0;
    file = fopen(body + 1, "r");

    while (file && (n = getline(&line, &size, file)) > 0) {
        line[n - 1] = '\0';
        add_request(path, line);
    }

    if (nrequests == 0) {
        fprintf(stderr, "load: there are no bodies in %s\n", body + 1);
        exit(2);
    }

    fclose(file);
    free(line);
}


static void
print_histogram(const char *name, histogram_t *h)
{
    printf(",\"%s\":{\"count\":%" PRIu64 ",\"p50\":%" PRIu64
           ",\"p99\":%" PRIu64 ",\"max\":%" PRIu64 "}",
           name, h->count, histogram_value(h, 0.5), histogram_value(h, 0.99),
           h->max);
}


int
main(int argc, char **argv)
{
    int                  i, n, timeout;
    unsigned             streams;
    uint64_t             start;
    stream_t            *s;
    struct rlimit        limit;
    struct epoll_event   events[EVENTS];

    if (argc != 8) {
        fprintf(stderr,
                "usage: load PORT PATH STREAMS TOTAL FRAMES RAMP BODY\n");
        return 2;
    }

    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    streams = atoi(argv[3]);
    total = atoi(argv[4]);
    expected = atoi(argv[5]);
    ramp = strtoull(argv[6], NULL, 10) * 1000;

    if (streams == 0 || total < streams) {
        fprintf(stderr, "load: STREAMS must be at least 1, TOTAL at least "
                        "STREAMS\n");
        return 2;
    }

    add_requests(argv[2], argv[7]);

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    ep = epoll_create1(0);
    s = calloc(streams, sizeof(stream_t));

    if (ep == -1 || s == NULL) {
        perror("load");
        return 1;
    }

    start = now();

    for (i = streams - 1; i >= 0; i--) {
        s[i].next = waiting;
        waiting = &s[i];
    }

    while (result.ended < total) {

        timeout = streams_open();
        n = epoll_wait(ep, events, EVENTS, timeout);

        if (n == 0 && timeout == TIMEOUT) {
            fail("nothing came for a minute", "");
            result.lost += (uint64_t) (total - result.ended) * expected;
            break;
        }

        for (i = 0; i < n; i++) {
            stream_event(events[i].data.ptr, events[i].events);
        }
    }

    printf("{\"streams\":%u,\"failed\":%u,\"error\":\"%s\","
           "\"frames\":%" PRIu64 ",\"lost\":%" PRIu64
           ",\"saved\":%" PRIu64 ",\"time\":%" PRIu64,
           result.ended, result.failed, result.error, result.frames,
           result.lost, result.saved, now() - start);

    print_histogram("first", &result.first);
    print_histogram("delay", &result.delay);
    print_histogram("last", &result.last);

    printf("}\n");

    return result.failed || result.lost;
}
