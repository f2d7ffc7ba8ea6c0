
/*
 * Copyright (C) the nginx-ollama authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "draw.h"
#include "report.h"


/*
 * Compares policies of routing by simulation: see t/bench/README.md.
 *
 *     routing [--scenario A,B] [--load 0.5,0.8] [--policy A,B]
 *             [--seeds 21-30] [--each] [--quick] [--trace FILE]
 *             [--processes 2] [--calibrate]
 *
 * Exits with 1 if the simulation contradicts itself; a target that is missed
 * is only printed.
 */


#define MAIN_TRACE  "t/bench/routing/trace.txt"

/* what the mean time to the first token is at load 1 */
#define MAIN_MEAN   60.0


typedef struct {
    const char  *scenarios;
    const char  *policies;
    const char  *loads;
    const char  *trace;
    int          seed;
    int          last;
    int          processes;
    int          each;
    int          quick;
    int          calibrate;
} options_t;


static void main_options(options_t *o, int argc, char **argv);
static void main_usage(void);
static void main_plan(plan_t *plan, options_t *o);
static void main_loads(plan_t *plan, options_t *o, const scenario_t *s);
static void main_policies(plan_t *plan, options_t *o, const scenario_t *s,
    double load);
static void main_calibrate(options_t *o, trace_t *trace);
static double main_rate(options_t *o, trace_t *trace, const scenario_t *s,
    const policy_t *policy);
static int main_chosen(const char *list, const char *name);
static void main_names(const char *list, const char *kind);


int
main(int argc, char **argv)
{
    int         wrong;
    plan_t      plan;
    trace_t    *trace;
    options_t   o;

    main_options(&o, argc, argv);

    trace = trace_read(o.trace);

    if (trace == NULL) {
        return 1;
    }

    if (o.calibrate) {
        main_calibrate(&o, trace);
        trace_free(trace);
        return 0;
    }

    memset(&plan, 0, sizeof(plan_t));

    plan.seed = o.seed;
    plan.nseeds = o.last - o.seed + 1;

    main_plan(&plan, &o);
    plan_run(&plan, trace, o.processes);

    report_tables(&plan, o.each);
    targets_print(&plan);
    wrong = report_wrong(&plan);

    plan_free(&plan);
    trace_free(trace);

    return wrong != 0;
}


static void
main_options(options_t *o, int argc, char **argv)
{
    int          i;
    const char  *name, *value;

    memset(o, 0, sizeof(options_t));

    o->trace = MAIN_TRACE;
    o->seed = 21;
    o->last = 30;
    o->processes = sysconf(_SC_NPROCESSORS_ONLN);

    for (i = 1; i < argc; i++) {
        name = argv[i];

        if (strcmp(name, "--each") == 0) {
            o->each = 1;
            continue;
        }

        if (strcmp(name, "--quick") == 0) {
            o->quick = 1;
            o->last = o->seed + 1;
            continue;
        }

        if (strcmp(name, "--calibrate") == 0) {
            o->calibrate = 1;
            o->seed = 1;
            o->last = 4;
            continue;
        }

        if (i + 1 == argc) {
            main_usage();
        }

        value = argv[++i];

        if (strcmp(name, "--scenario") == 0) {
            main_names(value, name);
            o->scenarios = value;

        } else if (strcmp(name, "--policy") == 0) {
            main_names(value, name);
            o->policies = value;

        } else if (strcmp(name, "--load") == 0) {
            o->loads = value;

        } else if (strcmp(name, "--trace") == 0) {
            o->trace = value;

        } else if (strcmp(name, "--processes") == 0) {
            o->processes = atoi(value);

        } else if (strcmp(name, "--seeds") == 0
                   && sscanf(value, "%d-%d", &o->seed, &o->last) == 2)
        {
            continue;

        } else {
            main_usage();
        }
    }

    if (o->seed < 0 || o->last < o->seed || o->processes < 1) {
        main_usage();
    }
}


static void
main_usage(void)
{
    const policy_t    *p;
    const scenario_t  *s;

    fprintf(stderr,
            "usage: routing [--scenario A,B] [--load 0.5,0.8] [--policy A,B]\n"
            "               [--seeds 21-30] [--each] [--quick] [--trace FILE]\n"
            "               [--processes 2] [--calibrate]\n\nscenarios:\n");

    for (s = scenarios; s->name; s++) {
        fprintf(stderr, "    %-10s %s\n", s->name, s->title);
    }

    fprintf(stderr, "\npolicies:\n");

    for (p = policies; p->name; p++) {
        fprintf(stderr, "    %-10s %s\n", p->name, p->title);
    }

    exit(2);
}


static void
main_plan(plan_t *plan, options_t *o)
{
    const scenario_t  *s;

    for (s = scenarios; s->name; s++) {
        if (main_chosen(o->scenarios, s->name)) {
            main_loads(plan, o, s);
        }
    }
}


static void
main_loads(plan_t *plan, options_t *o, const scenario_t *s)
{
    char    *end;
    double   load;

    if (o->loads) {
        end = (char *) o->loads;

        do {
            load = strtod(end, &end);

            if (load <= 0 || (*end != ',' && *end != '\0')) {
                main_usage();
            }

            main_policies(plan, o, s, load);
        } while (*end++ == ',');

        return;
    }

    switch (s->traffic) {

    case TRAFFIC_LIGHT:
    case TRAFFIC_FLOOD:
        main_policies(plan, o, s, 0.5);
        return;

    case TRAFFIC_RARE:
        main_policies(plan, o, s, 1);
        return;

    case TRAFFIC_TRACE:
        main_policies(plan, o, s, 0.8);
        return;

    default:
        main_policies(plan, o, s, 0.8);

        if (!o->quick) {
            main_policies(plan, o, s, 0.5);
        }
    }
}


static void
main_policies(plan_t *plan, options_t *o, const scenario_t *s, double load)
{
    const policy_t  *p;

    for (p = policies; p->name; p++) {

        if (strcmp(p->name, "alike") == 0 && !scenario_has_owners(s)) {
            continue;
        }

        if (main_chosen(o->policies, p->name)) {
            plan_add(plan, s, load, p);
        }
    }
}


/* Prints the rates that are load 1, with the first of the policies chosen. */

static void
main_calibrate(options_t *o, trace_t *trace)
{
    const policy_t    *p;
    const scenario_t  *s;

    for (p = policies; !main_chosen(o->policies, p->name); p++) {
        /* void */
    }

    for (s = scenarios; s->name; s++) {

        if (main_chosen(o->scenarios, s->name)
            && s->traffic <= TRAFFIC_TRACE)
        {
            printf("%-10s %.4f\n", s->name, main_rate(o, trace, s, p));
            fflush(stdout);
        }
    }
}


/* By bisection, on the logarithm. */

static double
main_rate(options_t *o, trace_t *trace, const scenario_t *s,
    const policy_t *policy)
{
    int      i;
    double   low, high, load, mean;
    plan_t   plan;

    low = 0.7;
    high = 1.5;

    for (i = 0; i < 7; i++) {
        load = low * __builtin_sqrt(high / low);

        memset(&plan, 0, sizeof(plan_t));
        plan.seed = o->seed;
        plan.nseeds = o->last - o->seed + 1;

        plan_add(&plan, s, load, policy);
        plan_run(&plan, trace, o->processes);
        mean = plan_mean(&plan, &plan.cells[0], figure_mean);
        plan_free(&plan);

        if (mean < MAIN_MEAN) {
            low = load;

        } else {
            high = load;
        }
    }

    return low * __builtin_sqrt(high / low) * s->rate;
}


static int
main_chosen(const char *list, const char *name)
{
    size_t       len;
    const char  *p;

    if (list == NULL) {
        return 1;
    }

    len = strlen(name);

    for (p = list; p; p = strchr(p, ',')) {
        p += (*p == ',');

        if (strncmp(p, name, len) == 0 && (p[len] == ',' || p[len] == '\0')) {
            return 1;
        }
    }

    return 0;
}


/* A list has only names that there are. */

static void
main_names(const char *list, const char *kind)
{
    char        name[32];
    size_t      len;
    const char *p;

    for (p = list; *p; p += len + (p[len] == ',')) {
        len = strcspn(p, ",");

        if (len >= sizeof(name)) {
            main_usage();
        }

        memcpy(name, p, len);
        name[len] = '\0';

        if (strcmp(kind, "--policy") == 0 ? policy_find(name) == NULL
                                          : scenario_find(name) == NULL)
        {
            fprintf(stderr, "%s: there is no \"%s\"\n\n", kind, name);
            main_usage();
        }
    }
}
