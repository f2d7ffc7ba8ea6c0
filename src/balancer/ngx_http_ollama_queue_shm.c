
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The queues of upstreams in the fleet's zone, and the scheduler's view of the
 * fleet.  A queue lives as long as the zone.  A ticket is on the list of the
 * process whose request it is, and is freed by that, or by another one when it
 * has died.  A server that is granted stays until the ticket is freed.
 *
 * A process whose ticket was granted, or refused, by another one sees it by its
 * mail counter.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "balancer/ngx_http_ollama_queue_shm.h"
#include "balancer/ngx_http_ollama_policy.h"
#include "balancer/ngx_http_ollama_sched.h"
#include "balancer/ngx_http_ollama_sched_dispatch.h"
#include "fleet/ngx_http_ollama_fleet.h"


/* prefixes of prompts that are remembered, unless the zone is small: 2.4 MB */
#define NGX_HTTP_OLLAMA_QUEUE_PREFIXES  32768


static void ngx_http_ollama_queue_prefix_locked(
    ngx_http_ollama_queue_sh_t *queue);
static ngx_uint_t ngx_http_ollama_queue_options(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o, ngx_uint_t max,
    void *data);
static void ngx_http_ollama_queue_find_locked(
    ngx_http_ollama_queue_set_t *set);
static void ngx_http_ollama_queue_option(ngx_http_ollama_candidate_t *c,
    ngx_http_ollama_option_t *o);
static void ngx_http_ollama_queue_look(ngx_http_ollama_candidate_t *c);
static float ngx_http_ollama_queue_cached(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o,
    ngx_http_ollama_runner_t *runner, float *back, void *data);
static ngx_int_t ngx_http_ollama_queue_grant(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_uint_t i, void *data);
static void ngx_http_ollama_queue_refuse(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, void *data);
static ngx_http_ollama_capacity_t *ngx_http_ollama_queue_next(
    ngx_http_ollama_sched_t *s, ngx_http_ollama_capacity_t *c, void *data);
static ngx_http_ollama_queue_ticket_t *ngx_http_ollama_queue_ticket(
    ngx_http_ollama_ticket_t *t);
static void ngx_http_ollama_queue_dead_locked(ngx_http_ollama_held_t *held);


static const ngx_http_ollama_sched_ops_t  ngx_http_ollama_queue_ops = {
    ngx_http_ollama_queue_options,
    ngx_http_ollama_queue_cached,
    ngx_http_ollama_queue_grant,
    ngx_http_ollama_queue_refuse,
    ngx_http_ollama_queue_next
};


void
ngx_http_ollama_queue_shm_init_worker(void)
{
    ngx_http_ollama_slot_set_dead(ngx_http_ollama_queue_dead_locked);
}


ngx_http_ollama_queue_sh_t *
ngx_http_ollama_queue_known_locked(ngx_http_ollama_upstream_t *up)
{
    ngx_str_t                   *host;
    ngx_queue_t                 *q, *queues;
    ngx_http_ollama_queue_sh_t  *queue;

    if (up->sched) {
        return up->sched;
    }

    host = &up->uscf->host;
    queues = ngx_http_ollama_fleet_queues_locked();

    for (q = ngx_queue_head(queues);
         q != ngx_queue_sentinel(queues);
         q = ngx_queue_next(q))
    {
        queue = ngx_queue_data(q, ngx_http_ollama_queue_sh_t, queue);

        if (queue->name.len == host->len
            && ngx_memcmp(queue->name.data, host->data, host->len) == 0)
        {
            up->sched = queue;
            return queue;
        }
    }

    return NULL;
}


ngx_http_ollama_queue_sh_t *
ngx_http_ollama_queue_get_locked(ngx_http_ollama_upstream_t *up)
{
    ngx_str_t                   *host;
    ngx_http_ollama_queue_sh_t  *queue;

    queue = ngx_http_ollama_queue_known_locked(up);

    if (queue) {
        return queue;
    }

    host = &up->uscf->host;

    queue = ngx_http_ollama_fleet_alloc_locked(
                          sizeof(ngx_http_ollama_queue_sh_t) + host->len);
    if (queue == NULL) {
        return NULL;
    }

    queue->name.len = host->len;
    queue->name.data = (u_char *) (queue + 1);
    ngx_memcpy(queue->name.data, host->data, host->len);

    ngx_http_ollama_queue_prefix_locked(queue);

    ngx_queue_insert_tail(ngx_http_ollama_fleet_queues_locked(),
                          &queue->queue);
    up->sched = queue;

    return queue;
}


/*
 * All upstreams have one table, as the numbers of their servers differ.
 * Without it no server is believed to have a prompt in its cache.
 */

static void
ngx_http_ollama_queue_prefix_locked(ngx_http_ollama_queue_sh_t *queue)
{
    void                        *p;
    size_t                       size;
    ngx_queue_t                 *queues;
    ngx_http_ollama_queue_sh_t  *first;

    queues = ngx_http_ollama_fleet_queues_locked();

    if (!ngx_queue_empty(queues)) {
        first = ngx_queue_data(ngx_queue_head(queues),
                               ngx_http_ollama_queue_sh_t, queue);
        queue->prefix = first->prefix;
        return;
    }

    size = ngx_http_ollama_prefix_size(NGX_HTTP_OLLAMA_QUEUE_PREFIXES);
    size = ngx_min(size, ngx_http_ollama_fleet_size() / 6);

    p = ngx_http_ollama_fleet_alloc_locked(size);

    if (p) {
        queue->prefix = ngx_http_ollama_prefix_init(p, size);
    }
}


ngx_http_ollama_queue_ticket_t *
ngx_http_ollama_queue_create_locked(ngx_http_ollama_queue_sh_t *queue,
    ngx_http_ollama_candidates_t *search, ngx_http_ollama_mark_t *mark,
    ngx_uint_t n)
{
    u_char                          *p;
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ngx_http_ollama_fleet_alloc_locked(
                                      sizeof(ngx_http_ollama_queue_ticket_t)
                                      + n * sizeof(ngx_http_ollama_mark_t)
                                      + search->wanted.key.len
                                      + search->pin.len);
    if (qt == NULL) {
        return NULL;
    }

    qt->queue = queue;
    qt->proc = ngx_http_ollama_slot_proc();
    qt->generation = ngx_http_ollama_fleet_generation();
    qt->wanted = search->wanted;
    qt->tls = search->tls;

    qt->mark = (ngx_http_ollama_mark_t *) (qt + 1);
    qt->nmarks = n;

    p = ngx_cpymem((u_char *) qt->mark, mark,
                   n * sizeof(ngx_http_ollama_mark_t));

    qt->wanted.key.data = p;
    p = ngx_cpymem(p, search->wanted.key.data, search->wanted.key.len);

    qt->pin.data = p;
    qt->pin.len = search->pin.len;
    ngx_memcpy(p, search->pin.data, search->pin.len);

    ngx_http_ollama_slot_hold_locked(&qt->held);

    return qt;
}


void
ngx_http_ollama_queue_free_locked(ngx_http_ollama_queue_ticket_t *qt,
    ngx_http_ollama_figures_t *f)
{
    ngx_uint_t                   number;
    ngx_http_ollama_runner_t    *runner;
    ngx_http_ollama_capacity_t  *c;

    c = qt->ticket.capacity;
    runner = qt->ticket.runner;
    number = c ? c->number : 0;

    if (ngx_http_ollama_sched_end(&qt->queue->sched, &qt->ticket, f,
                                  ngx_current_msec))
    {
        ngx_http_ollama_fleet_probe_locked(qt->server);
    }

    if (c && f && f->ok && qt->queue->prefix) {
        /* the tokens that were used are those with this prompt's */
        ngx_http_ollama_prefix_add(qt->queue->prefix, qt->mark, qt->nmarks,
                                   runner->weights, number, runner->used,
                                   ngx_current_msec);
    }

    if (qt->server) {
        ngx_http_ollama_fleet_drop_locked(qt->server);
    }

    ngx_queue_remove(&qt->held.queue);
    ngx_http_ollama_fleet_free_locked(qt);
}


/* Its slot is on the list, too. */

static void
ngx_http_ollama_queue_dead_locked(ngx_http_ollama_held_t *held)
{
    ngx_http_ollama_queue_free_locked((ngx_http_ollama_queue_ticket_t *) held,
                                      NULL);
}


ngx_int_t
ngx_http_ollama_queue_arrive_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_queue_ticket_t *qt)
{
    ngx_http_ollama_queue_set_t  set;

    set.up = up;
    set.ticket = NULL;

    if (ngx_http_ollama_sched_arrive(&qt->queue->sched, &qt->ticket,
                                     ngx_current_msec)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ngx_http_ollama_sched_dispatch(&qt->queue->sched, &qt->ticket,
                                   &ngx_http_ollama_queue_ops, &set,
                                   ngx_current_msec);
    return NGX_OK;
}


void
ngx_http_ollama_queue_dispatch_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_queue_sh_t *queue, ngx_http_ollama_capacity_t *c)
{
    ngx_http_ollama_queue_set_t  set;

    set.up = up;
    set.ticket = NULL;

    if (c) {
        ngx_http_ollama_sched_dispatch_server(&queue->sched, c,
                                              &ngx_http_ollama_queue_ops, &set,
                                              ngx_current_msec);
        return;
    }

    queue->dispatched = ngx_current_msec;

    ngx_http_ollama_sched_dispatch(&queue->sched, NULL,
                                   &ngx_http_ollama_queue_ops, &set,
                                   ngx_current_msec);
}


void
ngx_http_ollama_queue_due_locked(ngx_http_ollama_upstream_t *up,
    ngx_http_ollama_queue_ticket_t *qt)
{
    ngx_http_ollama_queue_set_t  set;

    set.up = up;
    set.ticket = NULL;

    qt->ticket.due = 1;

    ngx_http_ollama_sched_dispatch(&qt->queue->sched, &qt->ticket,
                                   &ngx_http_ollama_queue_ops, &set,
                                   ngx_current_msec);
}


ngx_http_ollama_candidate_t *
ngx_http_ollama_queue_choose_locked(ngx_http_ollama_queue_set_t *set,
    ngx_http_ollama_queue_ticket_t *qt)
{
    ngx_int_t                     i;
    ngx_uint_t                    n;
    ngx_http_ollama_cost_t        cost;
    ngx_http_ollama_option_t      o[NGX_HTTP_OLLAMA_FLEET_SERVERS];
    ngx_http_ollama_candidate_t  *c;

    set->ticket = NULL;

    for (n = 0; n < set->n; n++) {
        ngx_http_ollama_queue_option(&set->c[n], &o[n]);
    }

    ngx_http_ollama_sched_count(&qt->queue->sched, &qt->ticket,
                                ngx_current_msec);

    i = ngx_http_ollama_sched_choose(&qt->queue->sched, &qt->ticket, o, n,
                                     &cost, &ngx_http_ollama_queue_ops, set,
                                     ngx_current_msec);
    if (i < 0) {
        return NULL;
    }

    c = &set->c[i];

    if (ngx_http_ollama_queue_grant(&qt->queue->sched, &qt->ticket, i, set)
        != NGX_OK)
    {
        return NULL;
    }

    (void) ngx_http_ollama_sched_grant(&qt->queue->sched, &qt->ticket, &o[i],
                                       &cost, ngx_current_msec);
    return c;
}


static ngx_uint_t
ngx_http_ollama_queue_options(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o, ngx_uint_t max,
    void *data)
{
    ngx_http_ollama_queue_set_t *set = data;

    ngx_uint_t                       i;
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ngx_http_ollama_queue_ticket(t);

    if (qt->generation != ngx_http_ollama_fleet_generation()) {
        return NGX_HTTP_OLLAMA_SCHED_OTHERS;
    }

    ngx_memzero(&set->search, sizeof(ngx_http_ollama_candidates_t));

    set->search.up = set->up;
    set->search.wanted = qt->wanted;
    set->search.pin = qt->pin;
    set->search.tls = qt->tls;
    set->search.busy = 1;

    ngx_http_ollama_queue_find_locked(set);

    for (i = 0; i < set->n; i++) {
        ngx_http_ollama_queue_option(&set->c[i], &o[i]);
    }

    return set->n;
}


/* Backup servers are used if no other one is up. */

static void
ngx_http_ollama_queue_find_locked(ngx_http_ollama_queue_set_t *set)
{
    ngx_uint_t                     i, n;
    ngx_http_upstream_rr_peers_t  *peers;

    for ( ;; ) {

        n = 0;

        for (peers = set->up->uscf->peer.data; peers && n == 0;
             peers = peers->next)
        {
            n = ngx_http_ollama_candidates_find_locked(&set->search, peers,
                                                       NULL, set->c);
        }

        if (n || set->search.any
            || !ngx_http_ollama_candidates_is_any_left(&set->search))
        {
            break;
        }

        set->search.any = 1;
    }

    set->n = 0;
    set->free = 0;

    for (i = 0; i < n; i++) {

        set->free += !set->c[i].state.full;

        /* the fleet had no room for others, which nothing is known of */
        if (set->c[i].server) {
            set->c[set->n++] = set->c[i];
        }
    }

    set->n = ngx_http_ollama_policy_sound(set->c, set->n);
    set->n = ngx_http_ollama_policy_known(set->c, set->n);
}


static void
ngx_http_ollama_queue_option(ngx_http_ollama_candidate_t *c,
    ngx_http_ollama_option_t *o)
{
    ngx_http_ollama_queue_look(c);

    o->capacity = c->state.capacity;
    o->weights = c->state.weights;
    o->size = c->state.size;
    o->limit = c->state.limit;
    o->in_flight = c->state.in_flight;
    o->weight = c->weight;
    o->warm = c->state.warm;
}


/* Takes over what the last probe has found loaded, once. */

static void
ngx_http_ollama_queue_look(ngx_http_ollama_candidate_t *c)
{
    ngx_msec_t                   started;
    ngx_uint_t                   n;
    ngx_http_ollama_resident_t   r[NGX_HTTP_OLLAMA_RUNNERS];

    if (c->state.probed == c->state.capacity->looked) {
        return;
    }

    n = ngx_http_ollama_model_state_residents_locked(c->server, r,
                                           NGX_HTTP_OLLAMA_RUNNERS, &started);

    ngx_http_ollama_sched_look(c->state.capacity, r, n, started);

    c->state.capacity->looked = started;
}


static float
ngx_http_ollama_queue_cached(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_http_ollama_option_t *o,
    ngx_http_ollama_runner_t *runner, float *back, void *data)
{
    ngx_http_ollama_queue_set_t *set = data;

    double                           ago;
    size_t                           text;
    ngx_msec_t                       since;
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ngx_http_ollama_queue_ticket(t);

    if (qt->nmarks == 0 || qt->queue->prefix == NULL || t->bytes == 0) {
        return 0;
    }

    if (set->ticket != t) {
        /* the weights of a name are the same at all servers, or nearly so */
        ngx_http_ollama_prefix_lookup(qt->queue->prefix, qt->mark, qt->nmarks,
                                      o->weights, &set->found);
        set->ticket = t;
    }

    since = ngx_max(runner->cold_at, o->capacity->born);

    text = ngx_http_ollama_prefix_cached(&set->found, o->capacity->number,
                                         since, runner->used, runner->reach,
                                         &ago);
    *back = ago;

    return (text < t->bytes) ? text * t->tokens / t->bytes : t->tokens;
}


static ngx_int_t
ngx_http_ollama_queue_grant(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, ngx_uint_t i, void *data)
{
    ngx_http_ollama_queue_set_t *set = data;

    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ngx_http_ollama_queue_ticket(t);

    qt->slot = ngx_http_ollama_slot_acquire_locked(set->c[i].server,
                                                   &qt->wanted, qt->proc);
    if (qt->slot == NULL) {
        return NGX_DECLINED;
    }

    /* in this order, as the process may be killed at any time */

    ngx_http_ollama_fleet_hold_locked(set->c[i].server);
    qt->server = set->c[i].server;
    qt->servers = set->free;
    qt->state = NGX_HTTP_OLLAMA_QUEUE_GRANTED;

    ngx_atomic_fetch_add(&qt->proc->mail, 1);

    return NGX_OK;
}


static void
ngx_http_ollama_queue_refuse(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_ticket_t *t, void *data)
{
    ngx_http_ollama_queue_ticket_t  *qt;

    qt = ngx_http_ollama_queue_ticket(t);

    qt->state = NGX_HTTP_OLLAMA_QUEUE_REFUSED;

    ngx_atomic_fetch_add(&qt->proc->mail, 1);
}


static ngx_http_ollama_capacity_t *
ngx_http_ollama_queue_next(ngx_http_ollama_sched_t *s,
    ngx_http_ollama_capacity_t *c, void *data)
{
    ngx_http_ollama_queue_set_t *set = data;

    return ngx_http_ollama_fleet_capacity_next_locked(set->up, c);
}


static ngx_http_ollama_queue_ticket_t *
ngx_http_ollama_queue_ticket(ngx_http_ollama_ticket_t *t)
{
    return (ngx_http_ollama_queue_ticket_t *)
               ((u_char *) t - offsetof(ngx_http_ollama_queue_ticket_t,
                                        ticket));
}
