
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What a process held is released when it is dead, also if its pid is that of
 * another process by now, and not while it lives.
 */


#include "unit.h"

#include <sys/wait.h>

#include "util/ngx_http_ollama_procs.h"


static ngx_http_ollama_procs_t  procs;
static ngx_uint_t               procs_freed;


static void
procs_free(ngx_queue_t *q)
{
    ngx_queue_remove(q);
    procs_freed++;
}


/* Reaps as often as it takes to compare each process. */

static void
procs_reap(ngx_uint_t rounds)
{
    for ( /* void */ ; rounds; rounds--) {
        ngx_current_msec += 100;
        ngx_http_ollama_procs_reap_locked(&procs, procs_free);
    }
}


static ngx_http_ollama_proc_t *
procs_enter(ngx_pid_t pid, ngx_queue_t *q)
{
    ngx_http_ollama_proc_t  *proc;

    ngx_pid = pid;
    proc = ngx_http_ollama_procs_take_locked(&procs, procs_free);
    ngx_queue_insert_tail(&proc->held, q);

    ngx_pid = getpid();

    return proc;
}


static void
procs_setup(void)
{
    ngx_pid = getpid();
    procs_freed = 0;
    ngx_http_ollama_procs_init(&procs);
    (void) ngx_http_ollama_procs_take_locked(&procs, procs_free);
}


static void
procs_dead_test(void **state)
{
    pid_t         pid;
    ngx_queue_t   q;

    procs_setup();

    pid = fork();
    assert_true(pid != -1);

    if (pid == 0) {
        _exit(0);
    }

    (void) procs_enter(pid, &q);
    assert_int_equal(waitpid(pid, NULL, 0), pid);

    procs_reap(1);
    assert_int_equal(procs_freed, 1);
}


static void
procs_alive_test(void **state)
{
    ngx_queue_t              q;
    ngx_http_ollama_proc_t  *proc;

    procs_setup();

    proc = procs_enter(getppid(), &q);
    assert_true(proc->start != 0);

    procs_reap(5);
    assert_int_equal(procs_freed, 0);
    assert_int_equal(proc->pid, getppid());
}


static void
procs_reused_test(void **state)
{
    ngx_queue_t              one, two;
    ngx_http_ollama_proc_t  *proc;

    procs_setup();

    proc = procs_enter(getppid(), &one);
    proc->start--;

    /* not at once, but as soon as there is time for it */

    ngx_http_ollama_procs_reap_locked(&procs, procs_free);
    assert_int_equal(procs_freed, 0);

    (void) procs_enter(1, &two);

    procs_reap(2);
    assert_int_equal(procs_freed, 1);
    assert_int_equal(proc->pid, 0);
}


static void
procs_unknown_test(void **state)
{
    ngx_queue_t              q;
    ngx_http_ollama_proc_t  *proc;

    procs_setup();

    proc = procs_enter(getppid(), &q);
    proc->start = 0;

    procs_reap(5);
    assert_int_equal(procs_freed, 0);
}


static void
procs_leave_test(void **state)
{
    ngx_queue_t              q;
    ngx_http_ollama_proc_t  *proc;

    procs_setup();

    proc = procs_enter(getppid(), &q);
    ngx_http_ollama_procs_leave_locked(proc, procs_free);

    assert_int_equal(procs_freed, 1);
    assert_int_equal(proc->pid, 0);

    /* and one that takes the same pid releases what it finds */

    (void) procs_enter(getppid(), &q);
    ngx_pid = getppid();
    (void) ngx_http_ollama_procs_take_locked(&procs, procs_free);
    ngx_pid = getpid();

    assert_int_equal(procs_freed, 2);
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add(&suite, "a dead process", procs_dead_test, NULL);
    unit_add(&suite, "one that lives", procs_alive_test, NULL);
    unit_add(&suite, "one whose pid is another's now", procs_reused_test,
             NULL);
    unit_add(&suite, "one whose start is unknown", procs_unknown_test, NULL);
    unit_add(&suite, "one that leaves", procs_leave_test, NULL);

    return unit_run(&suite, "procs");
}
