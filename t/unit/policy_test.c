
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The choice of a server, step by step and as a whole: each step keeps those
 * that it should, in their order, and loses nobody; what is chosen stands in
 * no step behind another; equals are served in turn, by weight.
 */


#include "unit.h"

#include "balancer/ngx_http_ollama_policy.h"


#define RANDOM_CHOICES  100000
#define RANDOM_MAX      12
#define MAX             256


typedef ngx_uint_t (*choose_step_pt)(ngx_http_ollama_candidate_t *c,
    ngx_uint_t n);


typedef struct {
    const char        *title;
    choose_step_pt     step;      /* NULL: all of them */
    const char        *given;     /* as "a3/2rkw b0": in_flight, weight, and
                                     flags, by their first letters */
    const char        *left;      /* names, of all steps: of the chosen */
} choose_case_t;


/* candidates with what they point to */

typedef struct {
    ngx_uint_t                    n;
    ngx_http_ollama_candidate_t   c[MAX];
    ngx_int_t                     current[MAX];
    char                          name[MAX];
} choose_set_t;


static choose_case_t  choose_cases[] = {

    { "sound: one refuses", ngx_http_ollama_policy_sound, "a0 b0r c0", "ac" },
    { "sound: the first ones refuse", ngx_http_ollama_policy_sound,
      "a0r b0r c0 d0", "cd" },
    { "sound: all refuse", ngx_http_ollama_policy_sound, "a0r b0r", "ab" },
    { "sound: none refuses", ngx_http_ollama_policy_sound, "a0 b0", "ab" },

    { "known: one knows", ngx_http_ollama_policy_known, "a0 b9k c0", "b" },
    { "known: some know", ngx_http_ollama_policy_known,
      "a0 b0k c0 d0k e0k", "bde" },
    { "known: none knows", ngx_http_ollama_policy_known, "a0w b0", "ab" },

    { "warm: one is", ngx_http_ollama_policy_warm, "a0k b0k c7w", "c" },
    { "warm: none is", ngx_http_ollama_policy_warm, "a0k b0k c7", "abc" },

    { "least: the least", ngx_http_ollama_policy_least, "a3 b1 c2", "b" },
    { "least: equals", ngx_http_ollama_policy_least,
      "a3 b1 c2 d1 e1", "bde" },
    { "least: by weight", ngx_http_ollama_policy_least,
      "a2/1 b5/3 c2/1", "b" },
    { "least: equal by weight", ngx_http_ollama_policy_least,
      "a2/2 b3/3 c1/1 d4/3", "abc" },
    { "least: nobody is busy", ngx_http_ollama_policy_least,
      "a0/1 b0/9", "ab" },
    { "least: other flags don't matter", ngx_http_ollama_policy_least,
      "a1k b0r", "b" },
    { "least: rather seven requests than a load",
      ngx_http_ollama_policy_least, "a0 b7w", "b" },
    { "least: eight requests are a load", ngx_http_ollama_policy_least,
      "a0 b8w", "ab" },
    { "least: rather a load than nine requests",
      ngx_http_ollama_policy_least, "a0 b9w", "a" },
    { "least: a load and the requests there", ngx_http_ollama_policy_least,
      "a2 b9w", "b" },
    { "least: warm ones, by weight", ngx_http_ollama_policy_least,
      "a3w b8/3w", "b" },
    { "least: cold ones, by weight", ngx_http_ollama_policy_least,
      "a1 b2/3", "b" },
    { "least: a load doesn't take less time by weight",
      ngx_http_ollama_policy_least, "a0/4 b7w", "b" },
    { "least: requests at a warm one do", ngx_http_ollama_policy_least,
      "a0 b31/4w", "b" },

    { "next: the first of equals", ngx_http_ollama_policy_next,
      "a0 b0 c0", "a" },
    { "next: the heaviest", ngx_http_ollama_policy_next,
      "a0/1 b0/3 c0/2", "b" },

    { "all: one", NULL, "a9r", "a" },
    { "all: who refuses is idle, but not chosen", NULL, "a0rkw b9k", "b" },
    { "all: rather unknown than refusing", NULL, "a0rkw b9", "b" },
    { "all: rather known and cold than unknown", NULL, "a0 b9k", "b" },
    { "all: unknown, though said to be warm", NULL, "a0w b9k", "b" },
    { "all: rather warm and busy than idle and cold", NULL,
      "a0k b7kw", "b" },
    { "all: warm, if a load is worth the same", NULL, "a0/9k b8kw", "b" },
    { "all: rather idle and cold than warm and very busy", NULL,
      "a0k b9kw", "a" },
    { "all: the idler one of two warm ones", NULL, "a0k b3kw c2kw", "c" },
    { "all: all refuse, the warm one", NULL, "a0r b0rk c1rkw", "c" },
    { "all: equals, by weight", NULL, "a0kw b0/2kw", "b" }
};


static void
choose_set(choose_set_t *set, const char *given)
{
    char                         *end;
    ngx_http_ollama_candidate_t  *c;

    ngx_memzero(set, sizeof(choose_set_t));

    while (*given) {

        c = &set->c[set->n];

        set->name[set->n] = *given;
        c->peer = &set->name[set->n];
        c->current = &set->current[set->n];
        c->state.in_flight = strtoul(given + 1, &end, 10);
        c->weight = 1;

        if (*end == '/') {
            c->weight = strtol(end + 1, &end, 10);
        }

        for ( /* void */ ; *end && *end != ' '; end++) {
            c->state.refusing |= (*end == 'r');
            c->state.known |= (*end == 'k');
            c->state.warm |= (*end == 'w');
        }

        set->n++;
        given = end + (*end == ' ');
    }
}


static void
choose_case_test(void **state)
{
    choose_case_t *c = *state;

    char          *peer;
    ngx_uint_t     i, n;
    choose_set_t   set;

    choose_set(&set, c->given);

    if (c->step == NULL) {
        peer = ngx_http_ollama_policy(set.c, set.n);
        assert_non_null(peer);
        assert_int_equal(*peer, c->left[0]);
        return;
    }

    n = c->step(set.c, set.n);
    assert_int_equal(n, strlen(c->left));

    for (i = 0; i < n; i++) {
        peer = set.c[i].peer;
        assert_int_equal(*peer, c->left[i]);
    }
}


static void
choose_none_test(void **state)
{
    assert_null(ngx_http_ollama_policy(NULL, 0));
    assert_int_equal(ngx_http_ollama_policy_sound(NULL, 0), 0);
    assert_int_equal(ngx_http_ollama_policy_known(NULL, 0), 0);
    assert_int_equal(ngx_http_ollama_policy_warm(NULL, 0), 0);
    assert_int_equal(ngx_http_ollama_policy_least(NULL, 0), 0);
    assert_int_equal(ngx_http_ollama_policy_next(NULL, 0), 0);
}


/* nginx's order for weights 5, 1, 1, told in its log of 2012 */

static void
choose_turn_test(void **state)
{
    char          *peer, turn[15];
    ngx_uint_t     i;
    choose_set_t   set;

    ngx_int_t      current[3] = { 0, 0, 0 };

    for (i = 0; i < 14; i++) {
        choose_set(&set, "a0/5 b0/1 c0/1");

        set.c[0].current = &current[0];
        set.c[1].current = &current[1];
        set.c[2].current = &current[2];

        peer = ngx_http_ollama_policy(set.c, set.n);
        turn[i] = *peer;
    }

    turn[i] = '\0';

    assert_string_equal(turn, "aabacaaaabacaa");
}


/* One that is out for a while neither gains nor loses its turn. */

static void
choose_alone_test(void **state)
{
    choose_set_t  set;

    choose_set(&set, "a0/5");
    set.current[0] = 3;

    assert_int_equal(ngx_http_ollama_policy_next(set.c, 1), 1);
    assert_int_equal(set.current[0], 3);
}


/* a burst on idle servers: each gets what its weight says */

static void
choose_burst_test(void **state)
{
    char          *peer;
    ngx_uint_t     i, k;
    choose_set_t   set;

    ngx_uint_t     got[3] = { 0, 0, 0 };
    ngx_int_t      current[3] = { 0, 0, 0 };

    for (i = 0; i < 600; i++) {
        choose_set(&set, "a0/1 b0/2 c0/3");

        for (k = 0; k < 3; k++) {
            set.c[k].current = &current[k];
            set.c[k].state.in_flight = got[k];
        }

        peer = ngx_http_ollama_policy(set.c, set.n);
        got[*peer - 'a']++;
    }

    assert_int_equal(got[0], 100);
    assert_int_equal(got[1], 200);
    assert_int_equal(got[2], 300);
}


static void
choose_huge_test(void **state)
{
    char          *peer;
    choose_set_t   set;

    choose_set(&set, "a0 b0 c0");

    set.c[0].state.in_flight = NGX_MAX_SIZE_T_VALUE;
    set.c[0].weight = NGX_MAX_INT_T_VALUE;
    set.c[1].state.in_flight = NGX_MAX_SIZE_T_VALUE;
    set.c[1].weight = 1;
    set.c[2].state.in_flight = 1;
    set.c[2].weight = NGX_MAX_INT_T_VALUE;

    peer = ngx_http_ollama_policy(set.c, set.n);
    assert_int_equal(*peer, 'c');

    /* in the middle, and at the limits of 32 bits */

    choose_set(&set, "a0 b0");

    set.c[0].state.in_flight = 4294967295;
    set.c[0].weight = 2147483647;
    set.c[1].state.in_flight = 4294967294;
    set.c[1].weight = 2147483647;

    assert_int_equal(ngx_http_ollama_policy_least(set.c, set.n), 1);
    peer = set.c[0].peer;
    assert_int_equal(*peer, 'b');

    choose_set(&set, "a0w b0");

    set.c[0].state.in_flight = 4294967295;
    set.c[0].weight = 2147483647;
    set.c[1].state.in_flight = 4294967294;
    set.c[1].weight = 2147483647;

    assert_int_equal(ngx_http_ollama_policy_least(set.c, set.n), 1);
    peer = set.c[0].peer;
    assert_int_equal(*peer, 'a');

    /* weights that there should not be */

    choose_set(&set, "a1/0 b2/-5");

    peer = ngx_http_ollama_policy(set.c, set.n);
    assert_int_equal(*peer, 'a');
    assert_int_equal(set.current[0], 0);
}


/* Whether one stands before the other, by what the steps are about. */

static int
choose_better(ngx_http_ollama_candidate_t *a, ngx_http_ollama_candidate_t *b)
{
    ngx_uint_t  one, two;

    if (a->state.refusing != b->state.refusing) {
        return !a->state.refusing;
    }

    if (a->state.known != b->state.known) {
        return a->state.known;
    }

    one = (a->state.in_flight + (a->state.warm ? 0 : 8 * a->weight))
          * b->weight;
    two = (b->state.in_flight + (b->state.warm ? 0 : 8 * b->weight))
          * a->weight;

    return (one != two) ? one < two : a->state.warm > b->state.warm;
}


static void
choose_random_test(void **state)
{
    char                         *peer;
    uint64_t                      seen;
    ngx_int_t                     sum, before[RANDOM_MAX];
    ngx_uint_t                    i, k, n;
    choose_set_t                  set;
    ngx_http_ollama_candidate_t   given[RANDOM_MAX], *chosen;

    unit_seed(14);

    for (i = 0; i < RANDOM_CHOICES; i++) {

        ngx_memzero(&set, sizeof(choose_set_t));

        set.n = 1 + unit_random(RANDOM_MAX);
        sum = 0;

        for (k = 0; k < set.n; k++) {
            set.current[k] = (ngx_int_t) unit_random(21) - 10;
            before[k] = set.current[k];
            sum += before[k];

            set.c[k].peer = &set.name[k];
            set.c[k].current = &set.current[k];
            set.c[k].state.in_flight = unit_random(12);
            set.c[k].weight = 1 + unit_random(3);
            set.c[k].state.refusing = unit_random(2);
            set.c[k].state.known = unit_random(2);
            set.c[k].state.warm = unit_random(2);

            given[k] = set.c[k];
        }

        peer = ngx_http_ollama_policy(set.c, set.n);

        chosen = &given[peer - set.name];

        for (k = 0; k < set.n; k++) {
            assert_false(choose_better(&given[k], chosen));

            /* what one gives up, its equals have */
            sum -= set.current[k];

            /* those that aren't its equals keep their turn */
            if (choose_better(chosen, &given[k])) {
                assert_int_equal(set.current[k], before[k]);
            }
        }

        assert_int_equal(sum, 0);

        /* all are still there, each once */

        seen = 0;

        for (k = 0; k < set.n; k++) {
            n = (char *) set.c[k].peer - set.name;

            assert_true(n < set.n);
            assert_memory_equal(&set.c[k], &given[n],
                                sizeof(ngx_http_ollama_candidate_t));
            seen |= (uint64_t) 1 << n;
        }

        assert_int_equal(seen, ((uint64_t) 1 << set.n) - 1);
    }
}


int
main(void)
{
    unit_suite_t  suite = { NULL, 0 };

    unit_add_rows(&suite, choose_case_test, choose_cases,
                  sizeof(choose_case_t), unit_nelts(choose_cases));
    unit_add(&suite, "nobody", choose_none_test, NULL);
    unit_add(&suite, "nginx's turn", choose_turn_test, NULL);
    unit_add(&suite, "one alone", choose_alone_test, NULL);
    unit_add(&suite, "a burst", choose_burst_test, NULL);
    unit_add(&suite, "huge numbers", choose_huge_test, NULL);
    unit_add(&suite, "random choices", choose_random_test, NULL);

    return unit_run(&suite, "choose");
}
