
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * How long a process holds up its event loop, for benchmarks: preloaded into
 * nginx, this notes each step, from one return of epoll_wait() to its next
 * call.  The file that BENCH_STEPS names is mapped before nginx makes its
 * worker process, and read while that runs:
 *
 *     how many steps there were, then a ring of STEPS times three numbers: when
 *     the step began, how long it took, and its CPU time, in nanoseconds
 *     (CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID), all of 64 bits
 */


#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>


#define STEPS  (1 << 20)


typedef struct {
    uint64_t   start;
    uint64_t   time;
    uint64_t   cpu;
} step_t;


typedef struct {
    uint64_t   count;
    step_t     step[STEPS];
} steps_t;


typedef int (*wait_pt)(int ep, struct epoll_event *events, int n,
    int timeout);


static wait_pt    next_wait;
static steps_t   *steps;
static uint64_t   began, began_cpu;


static uint64_t
now(clockid_t clock)
{
    struct timespec  ts;

    clock_gettime(clock, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


__attribute__((constructor)) static void
steps_init(void)
{
    int          fd;
    void        *p;
    const char  *path;

    /* a function's address that dlsym() has comes as one of data */
    *(void **) &next_wait = dlsym(RTLD_NEXT, "epoll_wait");

    path = getenv("BENCH_STEPS");
    fd = path ? open(path, O_RDWR) : -1;

    if (fd == -1) {
        return;
    }

    if (ftruncate(fd, sizeof(steps_t)) == 0) {
        p = mmap(NULL, sizeof(steps_t), PROT_READ | PROT_WRITE, MAP_SHARED,
                 fd, 0);

        steps = (p == MAP_FAILED) ? NULL : p;
    }

    close(fd);
}


int
epoll_wait(int ep, struct epoll_event *events, int n, int timeout)
{
    int      rc;
    step_t  *step;

    if (steps == NULL) {
        return next_wait(ep, events, n, timeout);
    }

    if (began) {
        step = &steps->step[steps->count % STEPS];
        step->start = began;
        step->time = now(CLOCK_MONOTONIC) - began;
        step->cpu = now(CLOCK_THREAD_CPUTIME_ID) - began_cpu;
        __atomic_store_n(&steps->count, steps->count + 1, __ATOMIC_RELEASE);
    }

    rc = next_wait(ep, events, n, timeout);

    began_cpu = now(CLOCK_THREAD_CPUTIME_ID);
    began = now(CLOCK_MONOTONIC);

    return rc;
}
