
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Generations as the gateways that share a Redis know of each other's: so that
 * any of them can have any generation stopped.
 *
 *     Ptask:{ID}     HASH    of a generation that runs: gate, the worker that
 *                            has it, owner (a digest), session
 *     Pgate:GATE     STRING  there is as long as that worker lives
 *     Pcancel:{ID}   STRING  it is to stop
 *     Pcancel        channel of "stop ID", and of "done ID" or "late ID", how
 *                            that ended
 *
 * The flag Pcancel:{ID} is the truth; a message only makes it known at once.
 * One that is lost delays a stop until the worker's connection is back, when
 * it looks for flags of all it has.
 *
 * No generation waits for any of this, and little of it may wait for Redis:
 * what finds no place there is told later.  Knows no HTTP.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "task/ngx_http_ollama_remote.h"
#include "core/ngx_http_ollama_owner.h"
#include "redis/ngx_http_ollama_redis_conf.h"
#include "util/ngx_http_ollama_id.h"


/* how long a worker is believed to live, and how often it says so, ms */
#define NGX_HTTP_OLLAMA_REMOTE_ALIVE   "10000"
#define NGX_HTTP_OLLAMA_REMOTE_RENEW   3000

/* a generation that runs longer can't be found by other gateways, ms */
#define NGX_HTTP_OLLAMA_REMOTE_TASK    "86400000"

/* how long a worker may be without Redis and still find a flag, ms */
#define NGX_HTTP_OLLAMA_REMOTE_FLAG    "300000"

/* of those that Redis doesn't know, so many are told, so often, ms */
#define NGX_HTTP_OLLAMA_REMOTE_BATCH   64
#define NGX_HTTP_OLLAMA_REMOTE_PAUSE   50

#define NGX_HTTP_OLLAMA_REMOTE_GATE    16
#define NGX_HTTP_OLLAMA_REMOTE_ID      64
#define NGX_HTTP_OLLAMA_REMOTE_KEYS    3
#define NGX_HTTP_OLLAMA_REMOTE_ARGS    6
#define NGX_HTTP_OLLAMA_REMOTE_WORD    (sizeof("stop ") - 1)


/* a script's keys and arguments; keys are made of the prefix here */

typedef struct {
    ngx_str_t                    argv[NGX_HTTP_OLLAMA_REMOTE_KEYS
                                      + NGX_HTTP_OLLAMA_REMOTE_ARGS];
    ngx_uint_t                   n;
    u_char                      *last;
    u_char                       text[NGX_HTTP_OLLAMA_REMOTE_KEYS
                                      * (NGX_HTTP_OLLAMA_REDIS_PREFIX
                                         + sizeof("cancel:{}") - 1
                                         + NGX_HTTP_OLLAMA_REMOTE_ID)];
} ngx_http_ollama_remote_args_t;


static void ngx_http_ollama_remote_news_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_ollama_remote_tell(
    ngx_http_ollama_remote_t *remote);
static void ngx_http_ollama_remote_told(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);
static void ngx_http_ollama_remote_timer_handler(ngx_event_t *ev);
static void ngx_http_ollama_remote_tell_all(void);
static void ngx_http_ollama_remote_arm(void);
static void ngx_http_ollama_remote_alive(void);
static void ngx_http_ollama_remote_reconnected(void *data);
static void ngx_http_ollama_remote_message(void *data, ngx_str_t *message);
static void ngx_http_ollama_remote_stop_own(ngx_str_t *id);
static void ngx_http_ollama_remote_late(ngx_str_t *id);
static void ngx_http_ollama_remote_ended(ngx_str_t *id, ngx_int_t outcome);
static void ngx_http_ollama_remote_found(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);
static ngx_int_t ngx_http_ollama_remote_copy(ngx_pool_t *pool,
    redisReply *reply, ngx_str_t *id);
static void ngx_http_ollama_remote_key(ngx_http_ollama_remote_args_t *args,
    const char *name, ngx_str_t *id, const char *after);
static void ngx_http_ollama_remote_arg(ngx_http_ollama_remote_args_t *args,
    ngx_str_t *value);
static void ngx_http_ollama_remote_word(ngx_http_ollama_remote_args_t *args,
    const char *word);


/*
 * KEYS: the task, the worker, the flag; ARGV: gate, owner, session, life of
 * both keys, "1" if there may be a flag already
 */

static ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_enter =
    ngx_http_ollama_redis_script_text(
    "local call, task = redis.call, KEYS[1]\n"
    "call('HSET', task, 'gate', ARGV[1], 'owner', ARGV[2],\n"
    "     'session', ARGV[3])\n"
    "call('PEXPIRE', task, ARGV[4])\n"
    "call('SET', KEYS[2], '1', 'PX', ARGV[5])\n"
    "if ARGV[6] == '1' then\n"
    "    return call('EXISTS', KEYS[3])\n"
    "end\n"
    "-- one that was left by another task of that name\n"
    "call('DEL', KEYS[3])\n"
    "return 0\n"
    );


/* KEYS: the task, the flag; ARGV: gate, channel, what is said there or "" */

static ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_leave =
    ngx_http_ollama_redis_script_text(
    "if redis.call('HGET', KEYS[1], 'gate') == ARGV[1] then\n"
    "    redis.call('DEL', KEYS[1], KEYS[2])\n"
    "end\n"
    "if ARGV[3] ~= '' then\n"
    "    redis.call('PUBLISH', ARGV[2], ARGV[3])\n"
    "end\n"
    "return 0\n"
    );


/*
 * KEYS: the task, the lock of a session of that id; ARGV: prefix, id, owner,
 * channel, life of the flag.  Nothing, or the task's id and its session's.
 */

static ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_stop =
    ngx_http_ollama_redis_script_text(
    "local call, prefix, id = redis.call, ARGV[1], ARGV[2]\n"
    "local function find(task)\n"
    "    return call('HMGET', task, 'gate', 'owner', 'session')\n"
    "end\n"
    "local has = find(KEYS[1])\n"
    "if not has[1] then\n"
    "    id = call('GET', KEYS[2])\n"
    "    if not id then\n"
    "        return {}\n"
    "    end\n"
    "    has = find(prefix .. 'task:{' .. id .. '}')\n"
    "end\n"
    "if not has[1] or has[2] ~= ARGV[3]\n"
    "   or call('EXISTS', prefix .. 'gate:' .. has[1]) == 0\n"
    "   or not call('SET', prefix .. 'cancel:{' .. id .. '}', '1',\n"
    "               'PX', ARGV[5], 'NX')\n"
    "then\n"
    "    return {}\n"
    "end\n"
    "call('PUBLISH', ARGV[4], 'stop ' .. id)\n"
    "return { id, has[3] }\n"
    );


/* this worker's */

static ngx_http_ollama_redis_subscription_t  ngx_http_ollama_remote_sub;
static ngx_http_ollama_remote_stop_pt        ngx_http_ollama_remote_stop_task;
static ngx_str_t                             ngx_http_ollama_remote_gate;
static ngx_event_t                           ngx_http_ollama_remote_news;
static ngx_event_t                           ngx_http_ollama_remote_timer;
static ngx_connection_t                      ngx_http_ollama_remote_dummy;

/* generations: all; those Redis was told of, and the others; stops asked */

static ngx_rbtree_t       ngx_http_ollama_remote_ids;
static ngx_rbtree_node_t  ngx_http_ollama_remote_ids_sentinel;
static ngx_queue_t        ngx_http_ollama_remote_known;
static ngx_queue_t        ngx_http_ollama_remote_unknown;
static ngx_queue_t        ngx_http_ollama_remote_stops;


ngx_int_t
ngx_http_ollama_remote_init_worker(ngx_http_ollama_remote_stop_pt stop)
{
    u_char         *p;
    ngx_str_t      *prefix;
    static u_char   gate[NGX_HTTP_OLLAMA_REMOTE_GATE];
    static u_char   channel[NGX_HTTP_OLLAMA_REDIS_PREFIX
                            + sizeof("cancel") - 1];

    prefix = ngx_http_ollama_redis_prefix();

    if (prefix == NULL) {
        return NGX_OK;
    }

    if (ngx_http_ollama_id_random(gate, sizeof(gate), ngx_cycle->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_ollama_remote_gate.data = gate;
    ngx_http_ollama_remote_gate.len = sizeof(gate);

    ngx_http_ollama_remote_stop_task = stop;

    ngx_rbtree_init(&ngx_http_ollama_remote_ids,
                    &ngx_http_ollama_remote_ids_sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&ngx_http_ollama_remote_known);
    ngx_queue_init(&ngx_http_ollama_remote_unknown);
    ngx_queue_init(&ngx_http_ollama_remote_stops);

    ngx_http_ollama_remote_dummy.fd = (ngx_socket_t) -1;

    ngx_http_ollama_remote_news.handler = ngx_http_ollama_remote_news_handler;
    ngx_http_ollama_remote_news.data = &ngx_http_ollama_remote_dummy;
    ngx_http_ollama_remote_news.log = ngx_cycle->log;

    ngx_http_ollama_remote_timer.handler =
                                          ngx_http_ollama_remote_timer_handler;
    ngx_http_ollama_remote_timer.data = &ngx_http_ollama_remote_dummy;
    ngx_http_ollama_remote_timer.log = ngx_cycle->log;
    ngx_http_ollama_remote_timer.cancelable = 1;

    p = ngx_cpymem(channel, prefix->data, prefix->len);
    p = ngx_cpymem(p, "cancel", sizeof("cancel") - 1);

    ngx_http_ollama_remote_sub.channel.data = channel;
    ngx_http_ollama_remote_sub.channel.len = p - channel;
    ngx_http_ollama_remote_sub.handler = ngx_http_ollama_remote_message;
    ngx_http_ollama_remote_sub.reconnected =
                                            ngx_http_ollama_remote_reconnected;

    return ngx_http_ollama_redis_subscribe(&ngx_http_ollama_remote_sub);
}


/* Redis isn't told any more: its connections are closed. */

void
ngx_http_ollama_remote_exit_worker(void)
{
    ngx_http_ollama_remote_gate.len = 0;
}


void
ngx_http_ollama_remote_enter(ngx_http_ollama_remote_t *remote)
{
    if (ngx_http_ollama_remote_gate.len == 0
        || remote->id.len > NGX_HTTP_OLLAMA_REMOTE_ID)
    {
        return;
    }

    remote->entered = 1;

    remote->node.str = remote->id;
    remote->node.node.key = ngx_crc32_short(remote->id.data, remote->id.len);

    ngx_rbtree_insert(&ngx_http_ollama_remote_ids, &remote->node.node);
    ngx_queue_insert_tail(&ngx_http_ollama_remote_unknown, &remote->queue);

    /* behind what the generation itself may have to ask Redis */

    ngx_post_event(&ngx_http_ollama_remote_news, &ngx_posted_events);
}


static void
ngx_http_ollama_remote_news_handler(ngx_event_t *ev)
{
    ngx_http_ollama_remote_tell_all();
    ngx_http_ollama_remote_arm();
}


/* NGX_ERROR: not now. */

static ngx_int_t
ngx_http_ollama_remote_tell(ngx_http_ollama_remote_t *remote)
{
    u_char                         hex[2 * NGX_HTTP_OLLAMA_OWNER_SIZE];
    ngx_str_t                      owner;
    ngx_http_ollama_remote_args_t  args;

    if (ngx_http_ollama_redis_is_busy()) {
        return NGX_ERROR;
    }

    owner.data = hex;
    owner.len = ngx_hex_dump(hex, remote->owner, NGX_HTTP_OLLAMA_OWNER_SIZE)
                - hex;

    args.n = 0;
    args.last = args.text;

    ngx_http_ollama_remote_key(&args, "task:{", &remote->id, "}");
    ngx_http_ollama_remote_key(&args, "gate:", &ngx_http_ollama_remote_gate,
                               "");
    ngx_http_ollama_remote_key(&args, "cancel:{", &remote->id, "}");

    ngx_http_ollama_remote_arg(&args, &ngx_http_ollama_remote_gate);
    ngx_http_ollama_remote_arg(&args, &owner);
    ngx_http_ollama_remote_arg(&args, &remote->session);
    ngx_http_ollama_remote_word(&args, NGX_HTTP_OLLAMA_REMOTE_TASK);
    ngx_http_ollama_remote_word(&args, NGX_HTTP_OLLAMA_REMOTE_ALIVE);
    ngx_http_ollama_remote_word(&args, remote->told ? "1" : "0");

    ngx_http_ollama_redis_forget(&remote->call);

    remote->call.handler = ngx_http_ollama_remote_told;
    remote->call.data = remote;

    if (ngx_http_ollama_redis_script(&remote->call,
                                     &ngx_http_ollama_remote_script_enter, 3,
                                     args.n, args.argv)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    remote->told = 1;

    ngx_queue_remove(&remote->queue);
    ngx_queue_insert_tail(&ngx_http_ollama_remote_known, &remote->queue);

    return NGX_OK;
}


/* Where Redis failed it is told again, when the connection is back. */

static void
ngx_http_ollama_remote_told(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_http_ollama_remote_t  *remote;

    remote = call->data;

    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        (void) ngx_http_ollama_remote_stop_task(remote);
    }
}


void
ngx_http_ollama_remote_leave(ngx_http_ollama_remote_t *remote,
    ngx_uint_t stopped)
{
    u_char                         said[NGX_HTTP_OLLAMA_REMOTE_WORD
                                        + NGX_HTTP_OLLAMA_REMOTE_ID];
    ngx_str_t                      word;
    ngx_http_ollama_redis_call_t   call;
    ngx_http_ollama_remote_args_t  args;

    if (!remote->entered) {
        return;
    }

    remote->entered = 0;

    ngx_rbtree_delete(&ngx_http_ollama_remote_ids, &remote->node.node);
    ngx_queue_remove(&remote->queue);
    ngx_http_ollama_redis_forget(&remote->call);

    if (!remote->told || ngx_http_ollama_remote_gate.len == 0) {
        return;
    }

    word.data = said;
    word.len = 0;

    if (remote->asked) {
        word.len = ngx_sprintf(said, "%s %V", stopped ? "done" : "late",
                               &remote->id)
                   - said;
    }

    args.n = 0;
    args.last = args.text;

    ngx_http_ollama_remote_key(&args, "task:{", &remote->id, "}");
    ngx_http_ollama_remote_key(&args, "cancel:{", &remote->id, "}");

    ngx_http_ollama_remote_arg(&args, &ngx_http_ollama_remote_gate);
    ngx_http_ollama_remote_arg(&args, &ngx_http_ollama_remote_sub.channel);
    ngx_http_ollama_remote_arg(&args, &word);

    /* if Redis isn't there it ends with the worker, or by itself */

    if (ngx_http_ollama_redis_script(&call,
                                     &ngx_http_ollama_remote_script_leave, 2,
                                     args.n, args.argv)
        == NGX_OK)
    {
        ngx_http_ollama_redis_forget(&call);
    }
}


/* There is something to tell now and then as long as there are generations. */

static void
ngx_http_ollama_remote_timer_handler(ngx_event_t *ev)
{
    ngx_http_ollama_remote_alive();
    ngx_http_ollama_remote_tell_all();
    ngx_http_ollama_remote_arm();
}


/* Of generations that Redis doesn't know, some. */

static void
ngx_http_ollama_remote_tell_all(void)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    for (n = 0; n < NGX_HTTP_OLLAMA_REMOTE_BATCH; n++) {

        if (ngx_queue_empty(&ngx_http_ollama_remote_unknown)) {
            break;
        }

        q = ngx_queue_head(&ngx_http_ollama_remote_unknown);

        if (ngx_http_ollama_remote_tell(
                          ngx_queue_data(q, ngx_http_ollama_remote_t, queue))
            != NGX_OK)
        {
            break;
        }
    }
}


/* Without Redis it waits for the connection to come back. */

static void
ngx_http_ollama_remote_arm(void)
{
    ngx_msec_t  pause;

    if (ngx_http_ollama_remote_timer.timer_set) {
        return;
    }

    if (!ngx_queue_empty(&ngx_http_ollama_remote_unknown)
        && ngx_http_ollama_redis_available())
    {
        pause = NGX_HTTP_OLLAMA_REMOTE_PAUSE;

    } else if (!ngx_queue_empty(&ngx_http_ollama_remote_known)) {
        pause = NGX_HTTP_OLLAMA_REMOTE_RENEW;

    } else {
        return;
    }

    ngx_add_timer(&ngx_http_ollama_remote_timer, pause);
}


static void
ngx_http_ollama_remote_alive(void)
{
    ngx_http_ollama_redis_call_t   call;
    ngx_http_ollama_remote_args_t  args;

    if (ngx_queue_empty(&ngx_http_ollama_remote_known)) {
        return;
    }

    args.n = 0;
    args.last = args.text;

    ngx_http_ollama_remote_word(&args, "SET");
    ngx_http_ollama_remote_key(&args, "gate:", &ngx_http_ollama_remote_gate,
                               "");
    ngx_http_ollama_remote_word(&args, "1");
    ngx_http_ollama_remote_word(&args, "PX");
    ngx_http_ollama_remote_word(&args, NGX_HTTP_OLLAMA_REMOTE_ALIVE);

    if (ngx_http_ollama_redis_command(&call, args.n, args.argv) == NGX_OK) {
        ngx_http_ollama_redis_forget(&call);
    }
}


/* Redis may know of none of them any more, and messages may have been lost. */

static void
ngx_http_ollama_remote_reconnected(void *data)
{
    if (!ngx_queue_empty(&ngx_http_ollama_remote_known)) {
        ngx_queue_add(&ngx_http_ollama_remote_unknown,
                      &ngx_http_ollama_remote_known);
        ngx_queue_init(&ngx_http_ollama_remote_known);
    }

    if (ngx_http_ollama_remote_timer.timer_set) {
        ngx_del_timer(&ngx_http_ollama_remote_timer);
    }

    ngx_http_ollama_remote_timer_handler(&ngx_http_ollama_remote_timer);
}


static void
ngx_http_ollama_remote_message(void *data, ngx_str_t *message)
{
    ngx_str_t  id;

    if (message->len <= NGX_HTTP_OLLAMA_REMOTE_WORD) {
        return;
    }

    id.data = message->data + NGX_HTTP_OLLAMA_REMOTE_WORD;
    id.len = message->len - NGX_HTTP_OLLAMA_REMOTE_WORD;

    if (ngx_strncmp(message->data, "stop ", 5) == 0) {
        ngx_http_ollama_remote_stop_own(&id);

    } else if (ngx_strncmp(message->data, "done ", 5) == 0) {
        ngx_http_ollama_remote_ended(&id, NGX_OK);

    } else if (ngx_strncmp(message->data, "late ", 5) == 0) {
        ngx_http_ollama_remote_ended(&id, NGX_DECLINED);
    }
}


/* Another worker's, or another gateway's, is of no concern here. */

static void
ngx_http_ollama_remote_stop_own(ngx_str_t *id)
{
    ngx_str_node_t            *node;
    ngx_http_ollama_remote_t  *remote;

    node = ngx_str_rbtree_lookup(&ngx_http_ollama_remote_ids, id,
                                 ngx_crc32_short(id->data, id->len));
    if (node == NULL) {
        return;
    }

    remote = (ngx_http_ollama_remote_t *)
                 ((u_char *) node - offsetof(ngx_http_ollama_remote_t, node));

    remote->asked = 1;

    if (ngx_http_ollama_remote_stop_task(remote) == NGX_DECLINED) {
        /* somebody here has asked first, and will hear of it */
        remote->asked = 0;
        ngx_http_ollama_remote_late(id);
    }
}


static void
ngx_http_ollama_remote_late(ngx_str_t *id)
{
    ngx_str_t                      word;
    ngx_http_ollama_redis_call_t   call;
    ngx_http_ollama_remote_args_t  args;

    word.data = args.text;
    word.len = ngx_sprintf(args.text, "late %V", id) - args.text;

    args.n = 0;

    ngx_http_ollama_remote_word(&args, "PUBLISH");
    ngx_http_ollama_remote_arg(&args, &ngx_http_ollama_remote_sub.channel);
    ngx_http_ollama_remote_arg(&args, &word);

    if (ngx_http_ollama_redis_command(&call, args.n, args.argv) == NGX_OK) {
        ngx_http_ollama_redis_forget(&call);
    }
}


/* Whoever waits here for the end of that one. */

static void
ngx_http_ollama_remote_ended(ngx_str_t *id, ngx_int_t outcome)
{
    ngx_queue_t                    *q, *next;
    ngx_http_ollama_remote_stop_t  *stop;

    for (q = ngx_queue_head(&ngx_http_ollama_remote_stops);
         q != ngx_queue_sentinel(&ngx_http_ollama_remote_stops);
         q = next)
    {
        next = ngx_queue_next(q);

        stop = ngx_queue_data(q, ngx_http_ollama_remote_stop_t, queue);

        if (stop->task_id.len == id->len
            && ngx_memcmp(stop->task_id.data, id->data, id->len) == 0)
        {
            stop->outcome = outcome;

            ngx_queue_remove(q);
            stop->waiting = 0;
        }
    }
}


ngx_int_t
ngx_http_ollama_remote_stop(ngx_http_ollama_remote_stop_t *stop,
    ngx_pool_t *pool, ngx_str_t *id, u_char *owner)
{
    u_char                         hex[2 * NGX_HTTP_OLLAMA_OWNER_SIZE];
    ngx_str_t                      text;
    ngx_http_ollama_remote_args_t  args;

    if (ngx_http_ollama_remote_gate.len == 0
        || id->len > NGX_HTTP_OLLAMA_REMOTE_ID)
    {
        return NGX_ERROR;
    }

    stop->outcome = NGX_AGAIN;
    stop->pool = pool;

    text.data = hex;
    text.len = ngx_hex_dump(hex, owner, NGX_HTTP_OLLAMA_OWNER_SIZE) - hex;

    args.n = 0;
    args.last = args.text;

    ngx_http_ollama_remote_key(&args, "task:{", id, "}");
    ngx_http_ollama_remote_key(&args, "{", id, "}:task");

    ngx_http_ollama_remote_arg(&args, ngx_http_ollama_redis_prefix());
    ngx_http_ollama_remote_arg(&args, id);
    ngx_http_ollama_remote_arg(&args, &text);
    ngx_http_ollama_remote_arg(&args, &ngx_http_ollama_remote_sub.channel);
    ngx_http_ollama_remote_word(&args, NGX_HTTP_OLLAMA_REMOTE_FLAG);

    stop->call.handler = ngx_http_ollama_remote_found;
    stop->call.data = stop;

    return ngx_http_ollama_redis_script(&stop->call,
                                        &ngx_http_ollama_remote_script_stop,
                                        2, args.n, args.argv);
}


/*
 * Whether there is such a generation.  The word of its end may come before
 * this, over the other connection: then it is found when the time is over.
 */

static void
ngx_http_ollama_remote_found(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_http_ollama_remote_stop_t  *stop;

    stop = call->data;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        stop->outcome = NGX_ERROR;
        return;
    }

    if (reply->elements != 2) {
        stop->outcome = NGX_DECLINED;
        return;
    }

    if (ngx_http_ollama_remote_copy(stop->pool, reply->element[0],
                                    &stop->task_id)
        != NGX_OK
        || ngx_http_ollama_remote_copy(stop->pool, reply->element[1],
                                       &stop->session_id)
           != NGX_OK)
    {
        stop->outcome = NGX_ERROR;
        return;
    }

    stop->found = 1;
    stop->waiting = 1;

    ngx_queue_insert_tail(&ngx_http_ollama_remote_stops, &stop->queue);
}


static ngx_int_t
ngx_http_ollama_remote_copy(ngx_pool_t *pool, redisReply *reply,
    ngx_str_t *id)
{
    if (reply->type != REDIS_REPLY_STRING
        || reply->len > NGX_HTTP_OLLAMA_REMOTE_ID)
    {
        return NGX_ERROR;
    }

    id->data = ngx_pnalloc(pool, reply->len);
    if (id->data == NULL) {
        return NGX_ERROR;
    }

    id->len = reply->len;
    ngx_memcpy(id->data, reply->str, reply->len);

    return NGX_OK;
}


void
ngx_http_ollama_remote_forget(ngx_http_ollama_remote_stop_t *stop)
{
    ngx_http_ollama_redis_forget(&stop->call);

    if (stop->waiting) {
        ngx_queue_remove(&stop->queue);
        stop->waiting = 0;
    }
}


static void
ngx_http_ollama_remote_key(ngx_http_ollama_remote_args_t *args,
    const char *name, ngx_str_t *id, const char *after)
{
    ngx_str_t  key;

    key.data = args->last;

    args->last = ngx_sprintf(args->last, "%V%s%V%s",
                             ngx_http_ollama_redis_prefix(), name, id, after);

    key.len = args->last - key.data;

    ngx_http_ollama_remote_arg(args, &key);
}


static void
ngx_http_ollama_remote_arg(ngx_http_ollama_remote_args_t *args,
    ngx_str_t *value)
{
    args->argv[args->n++] = *value;
}


static void
ngx_http_ollama_remote_word(ngx_http_ollama_remote_args_t *args,
    const char *word)
{
    ngx_str_t  value;

    value.data = (u_char *) word;
    value.len = ngx_strlen(word);

    ngx_http_ollama_remote_arg(args, &value);
}
