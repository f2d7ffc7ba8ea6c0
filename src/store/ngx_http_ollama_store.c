
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Sessions in Redis: what may be done to them, each an operation that is begun
 * here and whose handler is called when Redis has answered.  The scripts that
 * do it, and the keys, are in store_script.
 *
 * An operation lives in its caller's memory, and what is sent lives in a pool
 * of its own until it is sent.  Knows no HTTP.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"
#include "request/ngx_http_ollama_scan.h"
#include "store/ngx_http_ollama_message.h"
#include "store/ngx_http_ollama_store_reply.h"
#include "store/ngx_http_ollama_store_script.h"
#include "util/ngx_http_ollama_id.h"


/* digits of a time in a cursor */
#define NGX_HTTP_OLLAMA_STORE_DIGITS  15

/* of a refusal its first word is compared, and for how long it isn't new, ms */
#define NGX_HTTP_OLLAMA_STORE_REASON  32
#define NGX_HTTP_OLLAMA_STORE_PEACE   60000


/* a call of a script that is put together */

typedef struct {
    ngx_http_ollama_store_t  *store;
    ngx_pool_t               *pool;
    ngx_str_t                 prefix;
    ngx_array_t               args;      /* ngx_str_t; keys come first */
    ngx_uint_t                keys;
    unsigned                  failed:1;  /* no Redis, no memory */
} ngx_http_ollama_store_args_t;


static ngx_int_t ngx_http_ollama_store_change(ngx_http_ollama_store_t *store,
    ngx_http_ollama_redis_script_t *script, ngx_str_t *sid, ngx_str_t *owner,
    ngx_http_ollama_store_fields_t *fields);
static ngx_int_t ngx_http_ollama_store_leave(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *task, const char *withdrawn);

static void ngx_http_ollama_store_open(
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_read_pt read);
static void ngx_http_ollama_store_open_session(
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_read_pt read, ngx_str_t *sid, ngx_str_t *owner);
static void ngx_http_ollama_store_key(ngx_http_ollama_store_args_t *args,
    ngx_str_t *sid, const char *name);
static void ngx_http_ollama_store_text(ngx_http_ollama_store_args_t *args,
    size_t size, const char *fmt, ...);
static void ngx_http_ollama_store_arg(ngx_http_ollama_store_args_t *args,
    ngx_str_t *value);
static void ngx_http_ollama_store_word(ngx_http_ollama_store_args_t *args,
    const char *word);
static void ngx_http_ollama_store_number(ngx_http_ollama_store_args_t *args,
    int64_t n);
static void ngx_http_ollama_store_messages(
    ngx_http_ollama_store_args_t *args, ngx_str_t *messages, ngx_uint_t count);
static void ngx_http_ollama_store_field(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_field_t *field);
static void ngx_http_ollama_store_pair(ngx_http_ollama_store_args_t *args,
    const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_ollama_store_send(
    ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_redis_script_t *script);

static void ngx_http_ollama_store_done(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);
static void ngx_http_ollama_store_refused(ngx_http_ollama_store_t *store);


ngx_int_t
ngx_http_ollama_store_create(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields)
{
    return ngx_http_ollama_store_change(store,
                                        &ngx_http_ollama_store_script_create,
                                        sid, owner, fields);
}


ngx_int_t
ngx_http_ollama_store_read(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, int64_t after, ngx_uint_t limit, size_t bytes)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_messages,
                                       sid, owner);
    ngx_http_ollama_store_number(&args, after);
    ngx_http_ollama_store_number(&args, limit);
    ngx_http_ollama_store_number(&args, bytes);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_read);
}


ngx_int_t
ngx_http_ollama_store_patch(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields)
{
    return ngx_http_ollama_store_change(store,
                                        &ngx_http_ollama_store_script_patch,
                                        sid, owner, fields);
}


static ngx_int_t
ngx_http_ollama_store_change(ngx_http_ollama_store_t *store,
    ngx_http_ollama_redis_script_t *script, ngx_str_t *sid, ngx_str_t *owner,
    ngx_http_ollama_store_fields_t *fields)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_session, sid,
                                       owner);
    ngx_http_ollama_store_field(&args, &fields->title);
    ngx_http_ollama_store_field(&args, &fields->model);
    ngx_http_ollama_store_field(&args, &fields->system);

    return ngx_http_ollama_store_send(&args, script);
}


ngx_int_t
ngx_http_ollama_store_delete(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_word, sid,
                                       owner);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_delete);
}


ngx_int_t
ngx_http_ollama_store_truncate(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, int64_t from)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_count, sid,
                                       owner);
    ngx_http_ollama_store_number(&args, from);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_truncate);
}


ngx_int_t
ngx_http_ollama_store_list(ngx_http_ollama_store_t *store, ngx_str_t *owner,
    ngx_str_t *cursor, ngx_uint_t limit)
{
    u_char                        *p, *last;
    ngx_str_t                      time, sid;
    ngx_http_ollama_store_args_t   args;

    ngx_http_ollama_store_open(&args, store, ngx_http_ollama_store_read_list);

    ngx_http_ollama_store_text(&args, args.prefix.len + sizeof("owner:") - 1
                                      + owner->len,
                               "%Vowner:%V", &args.prefix, owner);
    args.keys = 1;

    ngx_http_ollama_store_arg(&args, &args.prefix);
    ngx_http_ollama_store_arg(&args, owner);
    ngx_http_ollama_store_number(&args, limit);

    time = *cursor;
    ngx_str_set(&sid, "");

    last = cursor->data + cursor->len;
    p = ngx_strlchr(cursor->data, last, '.');

    if (p) {
        time.len = p++ - cursor->data;
        sid.data = p;
        sid.len = last - p;
    }

    ngx_http_ollama_store_arg(&args, &time);
    ngx_http_ollama_store_arg(&args, &sid);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_list);
}


/* Whether it may be one: a time, a dot, an id. */

ngx_uint_t
ngx_http_ollama_store_valid_cursor(ngx_str_t *cursor)
{
    size_t     i;
    ngx_str_t  id;

    for (i = 0; i < cursor->len; i++) {
        if (cursor->data[i] < '0' || cursor->data[i] > '9') {
            break;
        }
    }

    if (i == 0 || i > NGX_HTTP_OLLAMA_STORE_DIGITS || i == cursor->len
        || cursor->data[i++] != '.')
    {
        return 0;
    }

    id.data = cursor->data + i;
    id.len = cursor->len - i;

    return ngx_http_ollama_id_is_valid(&id);
}


ngx_int_t
ngx_http_ollama_store_named(ngx_http_ollama_store_t *store, ngx_str_t *owner,
    ngx_str_t *ids, ngx_uint_t n)
{
    ngx_uint_t                    i;
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open(&args, store, ngx_http_ollama_store_read_list);
    for (i = 0; i < n; i++) {
        ngx_http_ollama_store_key(&args, &ids[i], "meta");
    }

    args.keys = n;

    ngx_http_ollama_store_arg(&args, owner);

    for (i = 0; i < n; i++) {
        ngx_http_ollama_store_arg(&args, &ids[i]);
    }

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_named);
}


ngx_int_t
ngx_http_ollama_store_begin(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_begun, sid,
                                       owner);
    ngx_http_ollama_store_arg(&args, task);
    ngx_http_ollama_store_number(&args, lock);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_begin);
}


ngx_int_t
ngx_http_ollama_store_page(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    int64_t after, ngx_uint_t limit, size_t bytes)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_page, sid,
                                       NULL);
    ngx_http_ollama_store_number(&args, after);
    ngx_http_ollama_store_number(&args, limit);
    ngx_http_ollama_store_number(&args, bytes);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_page);
}


ngx_int_t
ngx_http_ollama_store_turn(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock,
    ngx_http_ollama_store_page_t *page, ngx_uint_t most, ngx_str_t *messages,
    ngx_uint_t count)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_turn, sid,
                                       owner);

    ngx_http_ollama_store_arg(&args, task);
    ngx_http_ollama_store_number(&args, lock);
    ngx_http_ollama_store_number(&args, page->limit);
    ngx_http_ollama_store_number(&args, page->bytes);
    ngx_http_ollama_store_number(&args, most);
    ngx_http_ollama_store_messages(&args, messages, count);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_turn);
}


ngx_int_t
ngx_http_ollama_store_add(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, int64_t n, ngx_str_t *messages, ngx_uint_t count)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_word, sid,
                                       NULL);

    ngx_http_ollama_store_arg(&args, task);
    ngx_http_ollama_store_number(&args, n);
    ngx_http_ollama_store_messages(&args, messages, count);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_add);
}


ngx_int_t
ngx_http_ollama_store_save(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, int64_t n, ngx_http_ollama_store_message_t *message,
    ngx_uint_t last)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_word, sid,
                                       NULL);
    ngx_http_ollama_store_arg(&args, task);
    ngx_http_ollama_store_number(&args, n);
    ngx_http_ollama_store_number(&args, last ? 1 : 0);

    ngx_http_ollama_store_pair(&args, "m", &message->json);
    ngx_http_ollama_store_pair(&args, "s", &message->status);
    ngx_http_ollama_store_pair(&args, "model", &message->model);
    ngx_http_ollama_store_pair(&args, "server", &message->server);
    ngx_http_ollama_store_pair(&args, "k", &message->thinking);
    ngx_http_ollama_store_pair(&args, "st", &message->stats);
    ngx_http_ollama_store_pair(&args, "p", &message->participant);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_save);
}


ngx_int_t
ngx_http_ollama_store_renew(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, ngx_msec_t lock, int64_t n)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_word, sid,
                                       NULL);
    ngx_http_ollama_store_arg(&args, task);
    ngx_http_ollama_store_number(&args, lock);
    ngx_http_ollama_store_number(&args, n);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_renew);
}


ngx_int_t
ngx_http_ollama_store_release(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task)
{
    return ngx_http_ollama_store_leave(store, sid, task, "0");
}


ngx_int_t
ngx_http_ollama_store_withdraw(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task)
{
    return ngx_http_ollama_store_leave(store, sid, task, "1");
}


static ngx_int_t
ngx_http_ollama_store_leave(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, const char *withdrawn)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_open_session(&args, store,
                                       ngx_http_ollama_store_read_word, sid,
                                       NULL);

    ngx_http_ollama_store_arg(&args, task);
    ngx_http_ollama_store_word(&args, withdrawn);

    return ngx_http_ollama_store_send(&args,
                                      &ngx_http_ollama_store_script_release);
}


void
ngx_http_ollama_store_forget(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_redis_forget(&store->call);
}


/* What fails is told by "send". */

static void
ngx_http_ollama_store_open(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_http_ollama_store_read_pt read)
{
    ngx_str_t  *prefix;

    ngx_memzero(args, sizeof(ngx_http_ollama_store_args_t));

    store->read = read;

    args->store = store;
    args->failed = 1;

    prefix = ngx_http_ollama_redis_prefix();
    if (prefix == NULL) {
        return;
    }

    args->prefix = *prefix;

    args->pool = ngx_create_pool(1024, store->log);
    if (args->pool == NULL) {
        return;
    }

    if (ngx_array_init(&args->args, args->pool, 24, sizeof(ngx_str_t))
        == NGX_OK)
    {
        args->failed = 0;
    }
}


/* The arguments that scripts about one session begin with. */

static void
ngx_http_ollama_store_open_session(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_t *store, ngx_http_ollama_store_read_pt read,
    ngx_str_t *sid, ngx_str_t *owner)
{
    ngx_time_t  *tp;

    ngx_http_ollama_store_open(args, store, read);

    ngx_http_ollama_store_key(args, sid, "meta");
    ngx_http_ollama_store_key(args, sid, "msgs");
    ngx_http_ollama_store_key(args, sid, "task");

    args->keys = 3;

    ngx_http_ollama_store_arg(args, &args->prefix);
    ngx_http_ollama_store_arg(args, sid);

    if (owner) {
        ngx_http_ollama_store_arg(args, owner);

    } else {
        ngx_http_ollama_store_word(args, "");
    }

    tp = ngx_timeofday();

    ngx_http_ollama_store_number(args, (int64_t) tp->sec * 1000 + tp->msec);
    ngx_http_ollama_store_number(args, store->ttl);
}


static void
ngx_http_ollama_store_key(ngx_http_ollama_store_args_t *args, ngx_str_t *sid,
    const char *name)
{
    ngx_http_ollama_store_text(args, args->prefix.len + sid->len
                                     + sizeof("{}:") - 1 + ngx_strlen(name),
                               "%V{%V}:%s", &args->prefix, sid, name);
}


/* The format is ngx_sprintf()'s, the size that of its text at most. */

static void
ngx_http_ollama_store_text(ngx_http_ollama_store_args_t *args, size_t size,
    const char *fmt, ...)
{
    va_list    list;
    ngx_str_t  value;

    if (args->failed) {
        return;
    }

    value.data = ngx_pnalloc(args->pool, size);
    if (value.data == NULL) {
        args->failed = 1;
        return;
    }

    va_start(list, fmt);
    value.len = ngx_vslprintf(value.data, value.data + size, fmt, list)
                - value.data;
    va_end(list);

    ngx_http_ollama_store_arg(args, &value);
}


static void
ngx_http_ollama_store_arg(ngx_http_ollama_store_args_t *args,
    ngx_str_t *value)
{
    ngx_str_t  *arg;

    if (args->failed) {
        return;
    }

    arg = ngx_array_push(&args->args);
    if (arg == NULL) {
        args->failed = 1;
        return;
    }

    *arg = *value;

    if (arg->data == NULL) {
        arg->data = (u_char *) "";
    }
}


static void
ngx_http_ollama_store_word(ngx_http_ollama_store_args_t *args,
    const char *word)
{
    ngx_str_t  value;

    value.data = (u_char *) word;
    value.len = ngx_strlen(word);

    ngx_http_ollama_store_arg(args, &value);
}


static void
ngx_http_ollama_store_number(ngx_http_ollama_store_args_t *args, int64_t n)
{
    ngx_http_ollama_store_text(args, NGX_INT64_LEN, "%L", n);
}


/* A title for a session that has none, and the messages. */

static void
ngx_http_ollama_store_messages(ngx_http_ollama_store_args_t *args,
    ngx_str_t *messages, ngx_uint_t count)
{
    ngx_str_t   title;
    ngx_uint_t  i;

    if (args->failed) {
        return;
    }

    title.len = 0;

    title.data = ngx_pnalloc(args->pool, NGX_HTTP_OLLAMA_MESSAGE_TITLE_SIZE);
    if (title.data == NULL) {
        args->failed = 1;
        return;
    }

    for (i = 0; i < count && title.len == 0; i++) {
        title.len = ngx_http_ollama_message_title(&messages[i], title.data);
    }

    ngx_http_ollama_store_arg(args, &title);

    for (i = 0; i < count; i++) {
        ngx_http_ollama_store_arg(args, &messages[i]);
    }
}


static void
ngx_http_ollama_store_field(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_store_field_t *field)
{
    if (field->given && field->value.len) {
        ngx_http_ollama_store_pair(args, "set", &field->value);
        return;
    }

    ngx_http_ollama_store_word(args, field->given ? "remove" : "");
    ngx_http_ollama_store_word(args, "");
}


static void
ngx_http_ollama_store_pair(ngx_http_ollama_store_args_t *args,
    const char *name, ngx_str_t *value)
{
    ngx_http_ollama_store_word(args, name);
    ngx_http_ollama_store_arg(args, value);
}


static ngx_int_t
ngx_http_ollama_store_send(ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_redis_script_t *script)
{
    ngx_int_t                 rc;
    ngx_http_ollama_store_t  *store;

    store = args->store;

    store->call.handler = ngx_http_ollama_store_done;
    store->call.data = store;

    rc = NGX_ERROR;

    if (!args->failed) {
        rc = ngx_http_ollama_redis_script(&store->call, script, args->keys,
                                          args->args.nelts, args->args.elts);
    }

    if (args->pool) {
        ngx_destroy_pool(args->pool);
    }

    return rc;
}


static void
ngx_http_ollama_store_done(ngx_http_ollama_redis_call_t *call,
    redisReply *reply)
{
    ngx_http_ollama_store_t  *store;

    store = call->data;

    ngx_memzero(&store->session, sizeof(ngx_http_ollama_store_session_t));
    ngx_str_null(&store->task);
    ngx_str_null(&store->next);

    store->last = 0;
    store->total = 0;
    store->unanswered = 0;
    store->begun = 0;
    store->paged = 0;
    store->n = 0;
    store->more = 0;
    store->added = 0;
    store->result = NGX_HTTP_OLLAMA_STORE_UNAVAILABLE;

    if (reply == NULL) {

        if (call->refused) {
            ngx_http_ollama_store_refused(store);
        }

    } else if (ngx_http_ollama_store_reply(store, reply) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, store->log, 0,
                      "redis sent an unexpected reply about a session");

        store->result = NGX_HTTP_OLLAMA_STORE_UNAVAILABLE;
    }

    store->handler(store);
}


/*
 * All commands may be refused, for hours: the same reason is an error when it
 * is new, or comes again after a while.
 */

static void
ngx_http_ollama_store_refused(ngx_http_ollama_store_t *store)
{
    static u_char      reason[NGX_HTTP_OLLAMA_STORE_REASON];
    static size_t      len;
    static ngx_msec_t  last;

    size_t      n;
    ngx_str_t  *error;
    ngx_uint_t  level;

    error = &store->call.error;

    for (n = 0; n < ngx_min(error->len, sizeof(reason)); n++) {
        if (error->data[n] == ' ') {
            break;
        }
    }

    level = (n == len
             && ngx_memcmp(reason, error->data, n) == 0
             && ngx_current_msec - last < NGX_HTTP_OLLAMA_STORE_PEACE)
            ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_memcpy(reason, error->data, n);
    len = n;
    last = ngx_current_msec;

    ngx_log_error(level, store->log, 0,
                  "redis refused a session's command: %V", error);
}
