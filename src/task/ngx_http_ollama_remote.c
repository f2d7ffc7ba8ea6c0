
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Generations as the gateways that share a Redis know them, so that any of them
 * can have any generation stopped.
 *
 *     Ptask:{ID}     HASH    of a running generation: gate, the worker that has
 *                            it, owner (a digest), session
 *     Pgate:GATE     STRING  exists as long as that worker lives and is
 *                            connected; "0": it is not subscribed to what
 *                            follows
 *     Pgate:WORKER   channel that the worker listens on, for Redis to know at
 *                            once when it is gone; a gate begins with WORKER
 *     Pcancel:{ID}   STRING  flag: the generation of this owner is to be
 *                            stopped
 *     Pcancel        channel of "stop ID OWNER", and of "done ID OWNER" or
 *                            "late ID OWNER": it was stopped, or had ended
 *
 * The flag decides; a message only makes it known at once.  A message that is
 * lost delays a stop until the worker's connection is back, when it checks the
 * flags of all its generations.
 *
 * A generation is in a queue of this worker from "enter" to "leave", and
 * doesn't wait for any of this, unless it claims its id.  Few of them are
 * announced at a time, so that other commands aren't delayed.
 *
 * What the worker couldn't say while it was not connected, mainly that
 * generations have ended, is said by a new gate: tasks of the old one are dead.
 * Uses redis and util; knows no HTTP.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "task/ngx_http_ollama_remote.h"
#include "redis/ngx_http_ollama_redis_conf.h"
#include "task/ngx_http_ollama_remote_script.h"
#include "task/ngx_http_ollama_remote_stop.h"
#include "util/ngx_http_ollama_id.h"
#include "util/ngx_http_ollama_timer.h"


/* when the key of a worker expires, and how often it is renewed, ms */
#define NGX_HTTP_OLLAMA_REMOTE_ALIVE   "6000"
#define NGX_HTTP_OLLAMA_REMOTE_RENEW   2000

/* a generation that runs longer can't be found by other gateways, ms */
#define NGX_HTTP_OLLAMA_REMOTE_TASK    "86400000"

/* how many generations are announced at once, and the pause after that, ms */
#define NGX_HTTP_OLLAMA_REMOTE_BATCH   64
#define NGX_HTTP_OLLAMA_REMOTE_PAUSE   50

/* when what Redis has refused, or didn't take, is tried again, ms */
#define NGX_HTTP_OLLAMA_REMOTE_AGAIN   500

/* digits of a worker's id, with which each of its gates begins */
#define NGX_HTTP_OLLAMA_REMOTE_WORKER  NGX_HTTP_OLLAMA_REMOTE_SCRIPT_WORKER
#define NGX_HTTP_OLLAMA_REMOTE_GATE    (2 * NGX_HTTP_OLLAMA_REMOTE_WORKER)

/* of a message, before the id, and with all of it */
#define NGX_HTTP_OLLAMA_REMOTE_WORD    (sizeof("stop ") - 1)
#define NGX_HTTP_OLLAMA_REMOTE_TEXT    (NGX_HTTP_OLLAMA_REMOTE_WORD           \
                                        + NGX_HTTP_OLLAMA_ID_MAX + 1          \
                                        + 2 * NGX_HTTP_OLLAMA_OWNER_SIZE)


/* of this worker */

typedef struct {
    ngx_str_t                             gate;     /* its id; len 0: nothing
                                                       is done */
    ngx_http_ollama_remote_stop_pt        stop;
    ngx_http_ollama_redis_subscription_t  life;
    ngx_http_ollama_redis_subscription_t  sub;
    ngx_http_ollama_timer_t               announce; /* posted: a generation has
                                                       begun */
    ngx_http_ollama_timer_t               renew;

    ngx_rbtree_t                          ids;      /* all generations */
    ngx_rbtree_node_t                     ids_sentinel;
    ngx_queue_t                           known;    /* that Redis was told of */
    ngx_queue_t                           unknown;  /* the others */
    ngx_queue_t                           left;     /* ends without a reply */
    ngx_http_ollama_redis_call_t          dead;     /* that deletes gates */
    ngx_str_t                             old;      /* gate that may not be
                                                       deleted; len 0: none */
    unsigned                              lost:1;   /* an end isn't known */
    unsigned                              refused:1; /* is a beginning */

    u_char                                old_id[NGX_HTTP_OLLAMA_REMOTE_GATE];
    u_char                                id[NGX_HTTP_OLLAMA_REMOTE_GATE];
    u_char                                living[NGX_HTTP_OLLAMA_REDIS_PREFIX
                                              + sizeof("gate:") - 1
                                              + NGX_HTTP_OLLAMA_REMOTE_WORKER];
    u_char                                channel[NGX_HTTP_OLLAMA_REDIS_PREFIX
                                                  + sizeof("cancel") - 1];
    ngx_http_ollama_remote_stops_t        stops;
} ngx_http_ollama_remote_worker_t;


/* the end of a generation that Redis is told of */

typedef struct {
    ngx_queue_t                           queue;
    ngx_http_ollama_redis_call_t          call;
} ngx_http_ollama_remote_left_t;


static void ngx_http_ollama_remote_announce_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_remote_announce(
    ngx_http_ollama_remote_t *remote);
static const char *ngx_http_ollama_remote_life(void);
static void ngx_http_ollama_remote_announced(
    ngx_http_ollama_redis_call_t *call, redisReply *reply);
static void ngx_http_ollama_remote_left(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);
static void ngx_http_ollama_remote_lost(void);
static void ngx_http_ollama_remote_renew_handler(ngx_event_t *ev);
static void ngx_http_ollama_remote_announce_all(void);
static void ngx_http_ollama_remote_arm(void);
static void ngx_http_ollama_remote_renew(void);
static void ngx_http_ollama_remote_reconnected(void *data);
static void ngx_http_ollama_remote_message(void *data, ngx_str_t *message);
static void ngx_http_ollama_remote_new_gate(void);
static void ngx_http_ollama_remote_dead(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);
static void ngx_http_ollama_remote_stop_local(ngx_str_t *id, ngx_str_t *owner);
static void ngx_http_ollama_remote_publish_late(
    ngx_http_ollama_remote_t *remote);
static u_char *ngx_http_ollama_remote_write(u_char *p, const char *word,
    ngx_http_ollama_remote_t *remote);


static ngx_http_ollama_remote_worker_t  ngx_http_ollama_remote;


ngx_int_t
ngx_http_ollama_remote_init_worker(ngx_http_ollama_remote_stop_pt stop)
{
    u_char                           *p;
    ngx_str_t                        *prefix;
    ngx_http_ollama_remote_worker_t  *worker;

    prefix = ngx_http_ollama_redis_prefix();

    if (prefix == NULL) {
        return NGX_OK;
    }

    worker = &ngx_http_ollama_remote;

    if (ngx_http_ollama_id_random(worker->id, sizeof(worker->id),
                                  ngx_cycle->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    worker->gate.data = worker->id;
    worker->gate.len = sizeof(worker->id);

    worker->stop = stop;

    ngx_rbtree_init(&worker->ids, &worker->ids_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&worker->known);
    ngx_queue_init(&worker->unknown);
    ngx_queue_init(&worker->left);

    ngx_http_ollama_timer_init(&worker->announce,
                               ngx_http_ollama_remote_announce_handler, NULL,
                               ngx_cycle->log);
    ngx_http_ollama_timer_init(&worker->renew,
                               ngx_http_ollama_remote_renew_handler, NULL,
                               ngx_cycle->log);

    p = ngx_cpymem(worker->living, prefix->data, prefix->len);
    p = ngx_cpymem(p, "gate:", sizeof("gate:") - 1);
    p = ngx_cpymem(p, worker->id, NGX_HTTP_OLLAMA_REMOTE_WORKER);

    worker->life.channel.data = worker->living;
    worker->life.channel.len = p - worker->living;

    if (ngx_http_ollama_redis_subscribe(&worker->life) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(worker->channel, prefix->data, prefix->len);
    p = ngx_cpymem(p, "cancel", sizeof("cancel") - 1);

    worker->sub.channel.data = worker->channel;
    worker->sub.channel.len = p - worker->channel;
    worker->sub.handler = ngx_http_ollama_remote_message;

    ngx_http_ollama_remote_stop_init(&worker->stops, &worker->sub.channel);

    worker->sub.reconnected = ngx_http_ollama_remote_reconnected;

    return ngx_http_ollama_redis_subscribe(&worker->sub);
}


void
ngx_http_ollama_remote_exit_worker(void)
{
    ngx_queue_t  *q;

    if (ngx_http_ollama_remote.gate.len == 0) {
        return;
    }

    ngx_http_ollama_remote.gate.len = 0;
    ngx_http_ollama_remote_stop_init(&ngx_http_ollama_remote.stops, NULL);

    while (!ngx_queue_empty(&ngx_http_ollama_remote.left)) {
        q = ngx_queue_head(&ngx_http_ollama_remote.left);
        ngx_queue_remove(q);

        ngx_free(ngx_queue_data(q, ngx_http_ollama_remote_left_t, queue));
    }
}


ngx_int_t
ngx_http_ollama_remote_stop(ngx_http_ollama_remote_stop_t *stop,
    ngx_pool_t *pool, ngx_str_t *id, u_char *owner)
{
    return ngx_http_ollama_remote_stop_ask(&ngx_http_ollama_remote.stops, stop,
                                           pool, id, owner);
}


void
ngx_http_ollama_remote_enter(ngx_http_ollama_remote_t *remote)
{
    if (ngx_http_ollama_remote.gate.len == 0
        || remote->id.len > NGX_HTTP_OLLAMA_ID_MAX)
    {
        return;
    }

    remote->entered = 1;

    remote->node.str = remote->id;
    remote->node.node.key = ngx_crc32_short(remote->id.data, remote->id.len);

    ngx_rbtree_insert(&ngx_http_ollama_remote.ids, &remote->node.node);
    ngx_queue_insert_tail(&ngx_http_ollama_remote.unknown, &remote->queue);

    /* after the commands that the generation itself sends in this turn */

    ngx_post_event(&ngx_http_ollama_remote.announce.event, &ngx_posted_events);
}


static void
ngx_http_ollama_remote_announce_handler(ngx_event_t *ev)
{
    if (!ngx_http_ollama_remote.refused) {
        ngx_http_ollama_remote_announce_all();
    }

    ngx_http_ollama_remote_arm();
}


/* NGX_ERROR: Redis takes no more now. */

static ngx_int_t
ngx_http_ollama_remote_announce(ngx_http_ollama_remote_t *remote)
{
    u_char                                hex[2 * NGX_HTTP_OLLAMA_OWNER_SIZE];
    ngx_str_t                             owner;
    ngx_http_ollama_remote_script_args_t  args;

    owner.data = hex;
    owner.len = ngx_hex_dump(hex, remote->owner, NGX_HTTP_OLLAMA_OWNER_SIZE)
                - hex;

    ngx_http_ollama_remote_script_init(&args);

    ngx_http_ollama_remote_script_key(&args, "task:{", &remote->id, "}");
    ngx_http_ollama_remote_script_key(&args, "gate:",
                                      &ngx_http_ollama_remote.gate, "");
    ngx_http_ollama_remote_script_key(&args, "cancel:{", &remote->id, "}");

    ngx_http_ollama_remote_script_str(&args, &ngx_http_ollama_remote.gate);
    ngx_http_ollama_remote_script_str(&args, &owner);
    ngx_http_ollama_remote_script_str(&args, &remote->session);
    ngx_http_ollama_remote_script_word(&args, NGX_HTTP_OLLAMA_REMOTE_TASK);
    ngx_http_ollama_remote_script_word(&args, NGX_HTTP_OLLAMA_REMOTE_ALIVE);
    ngx_http_ollama_remote_script_word(&args,
                          remote->announced && !remote->claiming ? "1" : "0");
    ngx_http_ollama_remote_script_str(&args, ngx_http_ollama_redis_prefix());
    ngx_http_ollama_remote_script_word(&args, ngx_http_ollama_remote_life());

    ngx_http_ollama_redis_forget(&remote->call);

    remote->call.handler = ngx_http_ollama_remote_announced;
    remote->call.data = remote;

    if (ngx_http_ollama_redis_script(&remote->call,
                                     &ngx_http_ollama_remote_script_enter, 3,
                                     args.n, args.argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    remote->announced = 1;

    ngx_queue_remove(&remote->queue);
    ngx_queue_insert_tail(&ngx_http_ollama_remote.known, &remote->queue);

    return NGX_OK;
}


/* What the key of the gate says. */

static const char *
ngx_http_ollama_remote_life(void)
{
    return ngx_http_ollama_redis_subscribed(&ngx_http_ollama_remote.life)
           ? "1" : "0";
}


ngx_int_t
ngx_http_ollama_remote_claim(ngx_http_ollama_remote_t *remote)
{
    if (!remote->entered || ngx_http_ollama_remote_announce(remote) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    remote->claiming = 1;

    return NGX_OK;
}


/*
 * It is announced again after a while if Redis refuses it, or when the
 * connection is back.
 */

static void
ngx_http_ollama_remote_announced(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_http_ollama_remote_t  *remote;

    ngx_int_t                  rc;

    remote = call->data;

    rc = (reply && reply->type == REDIS_REPLY_INTEGER) ? reply->integer : 0;

    if (call->refused) {
        if (remote->claiming) {
            remote->announced = 0;
        }

        ngx_queue_remove(&remote->queue);
        ngx_queue_insert_tail(&ngx_http_ollama_remote.unknown, &remote->queue);

        ngx_http_ollama_remote.refused = 1;
        ngx_http_ollama_remote_arm();
    }

    if (remote->claiming) {
        remote->claiming = 0;
        remote->claimed(remote, (rc == 2) ? NGX_DECLINED : NGX_OK);

    } else if (rc == 1) {
        (void) ngx_http_ollama_remote.stop(remote);
    }
}


void
ngx_http_ollama_remote_leave(ngx_http_ollama_remote_t *remote,
    ngx_uint_t stopped)
{
    u_char                                text[NGX_HTTP_OLLAMA_REMOTE_TEXT];
    ngx_str_t                             message;
    ngx_http_ollama_remote_left_t        *left;
    ngx_http_ollama_remote_script_args_t  args;

    if (!remote->entered) {
        return;
    }

    remote->entered = 0;
    remote->claiming = 0;

    ngx_rbtree_delete(&ngx_http_ollama_remote.ids, &remote->node.node);
    ngx_queue_remove(&remote->queue);
    ngx_http_ollama_redis_forget(&remote->call);

    /* a single process may have got a configuration without Redis meanwhile */

    if (!remote->announced || ngx_http_ollama_remote.gate.len == 0
        || ngx_http_ollama_redis_prefix() == NULL)
    {
        return;
    }

    message.data = text;
    message.len = 0;

    if (remote->asked) {
        message.len = ngx_http_ollama_remote_write(text,
                                                   stopped ? "done" : "late",
                                                   remote)
                      - text;
    }

    ngx_http_ollama_remote_script_init(&args);

    ngx_http_ollama_remote_script_key(&args, "task:{", &remote->id, "}");
    ngx_http_ollama_remote_script_key(&args, "cancel:{", &remote->id, "}");

    ngx_http_ollama_remote_script_str(&args, &ngx_http_ollama_remote.gate);
    ngx_http_ollama_remote_script_str(&args,
                                      &ngx_http_ollama_remote.sub.channel);
    ngx_http_ollama_remote_script_str(&args, &message);

    left = ngx_alloc(sizeof(ngx_http_ollama_remote_left_t), ngx_cycle->log);

    if (left == NULL) {
        ngx_http_ollama_remote_lost();
        return;
    }

    left->call.handler = ngx_http_ollama_remote_left;
    left->call.data = left;

    if (ngx_http_ollama_redis_script(&left->call,
                                     &ngx_http_ollama_remote_script_leave, 2,
                                     args.n, args.argv)
        != NGX_OK)
    {
        ngx_free(left);
        ngx_http_ollama_remote_lost();
        return;
    }

    ngx_queue_insert_tail(&ngx_http_ollama_remote.left, &left->queue);
}


static void
ngx_http_ollama_remote_left(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_uint_t                      refused;
    ngx_http_ollama_remote_left_t  *left;

    left = call->data;
    refused = call->refused;

    ngx_queue_remove(&left->queue);
    ngx_free(left);

    if (refused) {
        ngx_http_ollama_remote_lost();
    }
}


/* A new gate will tell it; without a connection reconnected() makes one. */

static void
ngx_http_ollama_remote_lost(void)
{
    if (ngx_http_ollama_remote.lost) {
        return;
    }

    ngx_http_ollama_remote.lost = 1;

    if (ngx_http_ollama_redis_available()) {
        ngx_add_timer(&ngx_http_ollama_remote.renew.event,
                      NGX_HTTP_OLLAMA_REMOTE_AGAIN);
    }
}


/* Is called now and then as long as there are generations. */

static void
ngx_http_ollama_remote_renew_handler(ngx_event_t *ev)
{
    ngx_http_ollama_remote.refused = 0;

    if (ngx_http_ollama_remote.lost && ngx_http_ollama_redis_available()) {
        ngx_http_ollama_remote_reconnected(NULL);
        return;
    }

    ngx_http_ollama_remote_renew();
    ngx_http_ollama_remote_announce_all();
    ngx_http_ollama_remote_arm();
}


/* Some of those that Redis doesn't know. */

static void
ngx_http_ollama_remote_announce_all(void)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    for (n = 0; n < NGX_HTTP_OLLAMA_REMOTE_BATCH; n++) {

        if (ngx_queue_empty(&ngx_http_ollama_remote.unknown)
            || ngx_http_ollama_redis_is_busy())
        {
            break;
        }

        q = ngx_queue_head(&ngx_http_ollama_remote.unknown);

        if (ngx_http_ollama_remote_announce(
                          ngx_queue_data(q, ngx_http_ollama_remote_t, queue))
            != NGX_OK)
        {
            break;
        }
    }
}


/* If Redis isn't available reconnected() will do it. */

static void
ngx_http_ollama_remote_arm(void)
{
    ngx_msec_t  pause;

    if (ngx_http_ollama_remote.renew.event.timer_set) {
        return;
    }

    if (ngx_http_ollama_remote.lost && ngx_http_ollama_redis_available()) {
        pause = NGX_HTTP_OLLAMA_REMOTE_AGAIN;

    } else if (!ngx_queue_empty(&ngx_http_ollama_remote.unknown)
        && ngx_http_ollama_redis_available())
    {
        pause = ngx_http_ollama_remote.refused ? NGX_HTTP_OLLAMA_REMOTE_AGAIN
                                               : NGX_HTTP_OLLAMA_REMOTE_PAUSE;

    } else if (!ngx_queue_empty(&ngx_http_ollama_remote.known)) {
        pause = NGX_HTTP_OLLAMA_REMOTE_RENEW;

    } else {
        return;
    }

    ngx_add_timer(&ngx_http_ollama_remote.renew.event, pause);
}


static void
ngx_http_ollama_remote_renew(void)
{
    ngx_http_ollama_redis_call_t          call;
    ngx_http_ollama_remote_script_args_t  args;

    if (ngx_queue_empty(&ngx_http_ollama_remote.known)
        || ngx_http_ollama_redis_prefix() == NULL)
    {
        return;
    }

    ngx_http_ollama_remote_script_init(&args);

    ngx_http_ollama_remote_script_word(&args, "SET");
    ngx_http_ollama_remote_script_key(&args, "gate:",
                                      &ngx_http_ollama_remote.gate, "");
    ngx_http_ollama_remote_script_word(&args, ngx_http_ollama_remote_life());
    ngx_http_ollama_remote_script_word(&args, "PX");
    ngx_http_ollama_remote_script_word(&args, NGX_HTTP_OLLAMA_REMOTE_ALIVE);

    if (ngx_http_ollama_redis_command(&call, args.n, args.argv) == NGX_OK) {
        ngx_http_ollama_redis_forget(&call);
    }
}


/* Redis may have lost all of them, and messages may have been missed. */

static void
ngx_http_ollama_remote_reconnected(void *data)
{
    ngx_http_ollama_remote_new_gate();

    if (!ngx_queue_empty(&ngx_http_ollama_remote.known)) {
        ngx_queue_add(&ngx_http_ollama_remote.unknown,
                      &ngx_http_ollama_remote.known);
        ngx_queue_init(&ngx_http_ollama_remote.known);
    }

    if (ngx_http_ollama_remote.renew.event.timer_set) {
        ngx_del_timer(&ngx_http_ollama_remote.renew.event);
    }

    ngx_http_ollama_remote.refused = 0;

    ngx_http_ollama_remote_announce_handler(
                                     &ngx_http_ollama_remote.announce.event);
}


/* The old one is deleted, which is tried until it succeeds. */

static void
ngx_http_ollama_remote_new_gate(void)
{
    u_char                                id[NGX_HTTP_OLLAMA_REMOTE_WORKER];
    ngx_http_ollama_remote_worker_t      *worker;
    ngx_http_ollama_remote_script_args_t  args;

    worker = &ngx_http_ollama_remote;

    if (worker->gate.len == 0
        || ngx_http_ollama_redis_prefix() == NULL
        || ngx_http_ollama_id_random(id, sizeof(id), ngx_cycle->log) != NGX_OK)
    {
        return;
    }

    ngx_http_ollama_remote_script_init(&args);

    ngx_http_ollama_remote_script_word(&args, "DEL");
    ngx_http_ollama_remote_script_key(&args, "gate:", &worker->gate, "");

    if (worker->old.len) {
        ngx_http_ollama_remote_script_key(&args, "gate:", &worker->old, "");

    } else {
        ngx_memcpy(worker->old_id, worker->id, sizeof(worker->id));

        worker->old.data = worker->old_id;
        worker->old.len = sizeof(worker->old_id);
    }

    ngx_http_ollama_redis_forget(&worker->dead);

    worker->dead.handler = ngx_http_ollama_remote_dead;

    if (ngx_http_ollama_redis_command(&worker->dead, args.n, args.argv)
        != NGX_OK)
    {
        worker->lost = 1;
        return;
    }

    worker->lost = 0;

    ngx_memcpy(worker->id + NGX_HTTP_OLLAMA_REMOTE_WORKER, id, sizeof(id));
}


static void
ngx_http_ollama_remote_dead(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    if (reply) {
        ngx_http_ollama_remote.old.len = 0;

    } else if (call->refused) {
        ngx_http_ollama_remote_lost();
    }
}


static void
ngx_http_ollama_remote_message(void *data, ngx_str_t *message)
{
    u_char     *p, *last;
    ngx_str_t   id, owner;

    if (message->len <= NGX_HTTP_OLLAMA_REMOTE_WORD) {
        return;
    }

    id.data = message->data + NGX_HTTP_OLLAMA_REMOTE_WORD;
    last = message->data + message->len;

    p = ngx_strlchr(id.data, last, ' ');
    if (p == NULL) {
        return;
    }

    id.len = p - id.data;

    owner.data = p + 1;
    owner.len = last - owner.data;

    if (ngx_strncmp(message->data, "stop ", 5) == 0) {
        ngx_http_ollama_remote_stop_local(&id, &owner);

    } else if (ngx_strncmp(message->data, "done ", 5) == 0) {
        ngx_http_ollama_remote_stop_ended(&ngx_http_ollama_remote.stops,
                                          &id, &owner, NGX_OK);

    } else if (ngx_strncmp(message->data, "late ", 5) == 0) {
        ngx_http_ollama_remote_stop_ended(&ngx_http_ollama_remote.stops,
                                          &id, &owner, NGX_DECLINED);
    }
}


/* Every worker gets the message; one of them has the generation. */

static void
ngx_http_ollama_remote_stop_local(ngx_str_t *id, ngx_str_t *owner)
{
    ngx_str_node_t            *node;
    ngx_http_ollama_remote_t  *remote;

    node = ngx_str_rbtree_lookup(&ngx_http_ollama_remote.ids, id,
                                 ngx_crc32_short(id->data, id->len));
    if (node == NULL) {
        return;
    }

    remote = (ngx_http_ollama_remote_t *)
                 ((u_char *) node - offsetof(ngx_http_ollama_remote_t, node));

    if (!ngx_http_ollama_remote_script_owner(remote->owner, owner)) {
        /* begun while Redis could not tell that the id is in use */
        return;
    }

    remote->asked = 1;

    if (ngx_http_ollama_remote.stop(remote) == NGX_DECLINED) {
        /* a client of this gateway has asked first, and will be told */
        remote->asked = 0;
        ngx_http_ollama_remote_publish_late(remote);
    }
}


static void
ngx_http_ollama_remote_publish_late(ngx_http_ollama_remote_t *remote)
{
    u_char                                text[NGX_HTTP_OLLAMA_REMOTE_TEXT];
    ngx_str_t                             message;
    ngx_http_ollama_redis_call_t          call;
    ngx_http_ollama_remote_script_args_t  args;

    message.data = text;
    message.len = ngx_http_ollama_remote_write(text, "late", remote) - text;

    ngx_http_ollama_remote_script_init(&args);

    ngx_http_ollama_remote_script_word(&args, "PUBLISH");
    ngx_http_ollama_remote_script_str(&args,
                                      &ngx_http_ollama_remote.sub.channel);
    ngx_http_ollama_remote_script_str(&args, &message);

    if (ngx_http_ollama_redis_command(&call, args.n, args.argv) == NGX_OK) {
        ngx_http_ollama_redis_forget(&call);
    }
}


/* A message about a generation of this worker; returns its end. */

static u_char *
ngx_http_ollama_remote_write(u_char *p, const char *word,
    ngx_http_ollama_remote_t *remote)
{
    p = ngx_sprintf(p, "%s %V ", word, &remote->id);

    return ngx_hex_dump(p, remote->owner, NGX_HTTP_OLLAMA_OWNER_SIZE);
}
