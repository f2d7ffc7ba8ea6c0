
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Sessions in Redis: the operations.  Each one sends a script, and its handler
 * is called when Redis has answered.  The scripts and the keys are those of
 * store_script, their arguments are put together by store_args, their replies
 * read by store_reply.
 *
 * An operation lives in its caller's memory, from the call until its handler
 * was called or it was forgotten.  Uses redis and util only; knows no HTTP.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store.h"
#include "store/ngx_http_ollama_store_args.h"
#include "store/ngx_http_ollama_store_reply.h"
#include "store/ngx_http_ollama_store_script.h"
#include "util/ngx_http_ollama_id.h"


/* digits of a time in a cursor */
#define NGX_HTTP_OLLAMA_STORE_DIGITS  15

/* of a refusal, whose first word is compared, and how long it isn't new, ms */
#define NGX_HTTP_OLLAMA_STORE_REASON  32
#define NGX_HTTP_OLLAMA_STORE_QUIET   60000


/* what Redis refused a command for last, in this worker */

typedef struct {
    size_t      len;
    ngx_msec_t  logged;
    u_char      reason[NGX_HTTP_OLLAMA_STORE_REASON];
} ngx_http_ollama_store_refusal_t;


/* how a script is sent */

typedef ngx_int_t (*ngx_http_ollama_store_script_pt)(
    ngx_http_ollama_redis_call_t *call, ngx_http_ollama_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, ngx_str_t *argv);


static ngx_int_t ngx_http_ollama_store_send_large(
    ngx_http_ollama_store_t *store, ngx_http_ollama_store_args_t *args,
    ngx_http_ollama_redis_script_t *script, ngx_http_ollama_store_read_pt read);
static ngx_int_t ngx_http_ollama_store_send(ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_redis_script_t *script,
    ngx_http_ollama_store_read_pt read);
static ngx_int_t ngx_http_ollama_store_send_by(ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_redis_script_t *script,
    ngx_http_ollama_store_read_pt read, ngx_http_ollama_store_script_pt by);
static void ngx_http_ollama_store_done(ngx_http_ollama_redis_call_t *call,
    redisReply *reply);
static void ngx_http_ollama_store_refused(ngx_http_ollama_store_t *store);


static ngx_http_ollama_store_refusal_t  ngx_http_ollama_store_refusal;


ngx_int_t
ngx_http_ollama_store_create(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields, ngx_uint_t count,
    size_t big)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);
    ngx_http_ollama_store_args_fields(&args, fields);
    ngx_http_ollama_store_args_number(&args, count);
    ngx_http_ollama_store_args_number(&args, big);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_create,
                                      ngx_http_ollama_store_read_session);
}


ngx_int_t
ngx_http_ollama_store_fill(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    int64_t n, ngx_http_ollama_store_message_t *messages, ngx_uint_t count)
{
    ngx_uint_t                    i;
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, NULL);
    ngx_http_ollama_store_args_number(&args, n);

    for (i = 0; i < count; i++) {
        ngx_http_ollama_store_args_message(&args, &messages[i]);
    }

    return ngx_http_ollama_store_send_large(store, &args,
                                            &ngx_http_ollama_store_script_fill,
                                            ngx_http_ollama_store_read_word);
}


ngx_int_t
ngx_http_ollama_store_copy(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *from, ngx_str_t *owner, ngx_http_ollama_store_copy_t *copy)
{
    ngx_http_ollama_store_args_t  args;

    store->copy = copy;

    ngx_http_ollama_store_args_two(&args, store, from, sid, owner);
    ngx_http_ollama_store_args_str(&args, sid);
    ngx_http_ollama_store_args_number(&args, copy->n);
    ngx_http_ollama_store_args_number(&args, copy->final);
    ngx_http_ollama_store_args_number(&args, copy->next);
    ngx_http_ollama_store_args_number(&args, copy->before);
    ngx_http_ollama_store_args_number(&args, copy->page.limit);
    ngx_http_ollama_store_args_number(&args, copy->page.bytes);
    ngx_http_ollama_store_args_field(&args, &copy->title);
    ngx_http_ollama_store_args_number(&args, copy->written);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_copy,
                                      ngx_http_ollama_store_read_copy);
}


ngx_int_t
ngx_http_ollama_store_read(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, int64_t after, ngx_uint_t limit, size_t bytes)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);
    ngx_http_ollama_store_args_number(&args, after);
    ngx_http_ollama_store_args_number(&args, limit);
    ngx_http_ollama_store_args_number(&args, bytes);

    return ngx_http_ollama_store_send_large(store, &args,
                                            &ngx_http_ollama_store_script_read,
                                         ngx_http_ollama_store_read_messages);
}


ngx_int_t
ngx_http_ollama_store_read_back(ngx_http_ollama_store_t *store,
    ngx_str_t *sid, ngx_str_t *owner, int64_t before, ngx_uint_t limit,
    size_t bytes)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);
    ngx_http_ollama_store_args_number(&args, before);
    ngx_http_ollama_store_args_number(&args, limit);
    ngx_http_ollama_store_args_number(&args, bytes);

    return ngx_http_ollama_store_send_large(store, &args,
                                       &ngx_http_ollama_store_script_read_back,
                                       ngx_http_ollama_store_read_messages);
}


ngx_int_t
ngx_http_ollama_store_patch(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_http_ollama_store_fields_t *fields)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);
    ngx_http_ollama_store_args_fields(&args, fields);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_patch,
                                      ngx_http_ollama_store_read_session);
}


ngx_int_t
ngx_http_ollama_store_delete(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_delete,
                                      ngx_http_ollama_store_read_word);
}


ngx_int_t
ngx_http_ollama_store_truncate(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, int64_t from)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);
    ngx_http_ollama_store_args_number(&args, from);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_truncate,
                                      ngx_http_ollama_store_read_count);
}


ngx_int_t
ngx_http_ollama_store_list(ngx_http_ollama_store_t *store, ngx_str_t *owner,
    ngx_str_t *cursor, ngx_uint_t limit)
{
    u_char                        *p, *last;
    ngx_str_t                      time, sid;
    ngx_http_ollama_store_args_t   args;

    ngx_http_ollama_store_args_init(&args, store);

    ngx_http_ollama_store_args_text(&args,
                                    args.prefix.len + sizeof("owner:") - 1
                                    + owner->len,
                                    "%Vowner:%V", &args.prefix, owner);
    args.keys = 1;

    ngx_http_ollama_store_args_str(&args, &args.prefix);
    ngx_http_ollama_store_args_str(&args, owner);
    ngx_http_ollama_store_args_number(&args, limit);

    time = *cursor;
    ngx_str_set(&sid, "");

    last = cursor->data + cursor->len;
    p = ngx_strlchr(cursor->data, last, '.');

    if (p) {
        time.len = p++ - cursor->data;
        sid.data = p;
        sid.len = last - p;
    }

    ngx_http_ollama_store_args_str(&args, &time);
    ngx_http_ollama_store_args_str(&args, &sid);

    return ngx_http_ollama_store_send_large(store, &args,
                                            &ngx_http_ollama_store_script_list,
                                            ngx_http_ollama_store_read_list);
}


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

    ngx_http_ollama_store_args_init(&args, store);

    for (i = 0; i < n; i++) {
        ngx_http_ollama_store_args_key(&args, &ids[i], "meta");
    }

    args.keys = n;

    ngx_http_ollama_store_args_str(&args, owner);

    for (i = 0; i < n; i++) {
        ngx_http_ollama_store_args_str(&args, &ids[i]);
    }

    return ngx_http_ollama_store_send_large(store, &args,
                                            &ngx_http_ollama_store_script_named,
                                            ngx_http_ollama_store_read_list);
}


ngx_int_t
ngx_http_ollama_store_begin(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);
    ngx_http_ollama_store_args_str(&args, task);
    ngx_http_ollama_store_args_number(&args, lock);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_begin,
                                      ngx_http_ollama_store_read_begun);
}


ngx_int_t
ngx_http_ollama_store_page(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    int64_t after, ngx_uint_t limit, size_t bytes)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, NULL);
    ngx_http_ollama_store_args_number(&args, after);
    ngx_http_ollama_store_args_number(&args, limit);
    ngx_http_ollama_store_args_number(&args, bytes);

    return ngx_http_ollama_store_send_large(store, &args,
                                            &ngx_http_ollama_store_script_page,
                                            ngx_http_ollama_store_read_page);
}


ngx_int_t
ngx_http_ollama_store_turn(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *owner, ngx_str_t *task, ngx_msec_t lock,
    ngx_http_ollama_store_page_t *page, ngx_uint_t most, ngx_str_t *messages,
    ngx_uint_t count)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, owner);

    ngx_http_ollama_store_args_str(&args, task);
    ngx_http_ollama_store_args_number(&args, lock);
    ngx_http_ollama_store_args_number(&args, page->limit);
    ngx_http_ollama_store_args_number(&args, page->bytes);
    ngx_http_ollama_store_args_number(&args, most);
    ngx_http_ollama_store_args_messages(&args, messages, count);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_turn,
                                      ngx_http_ollama_store_read_turn);
}


ngx_int_t
ngx_http_ollama_store_add(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, int64_t n, ngx_str_t *messages, ngx_uint_t count)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, NULL);

    ngx_http_ollama_store_args_str(&args, task);
    ngx_http_ollama_store_args_number(&args, n);
    ngx_http_ollama_store_args_messages(&args, messages, count);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_add,
                                      ngx_http_ollama_store_read_word);
}


ngx_int_t
ngx_http_ollama_store_save(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, int64_t n, ngx_http_ollama_store_message_t *message,
    ngx_uint_t last)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, NULL);
    ngx_http_ollama_store_args_str(&args, task);
    ngx_http_ollama_store_args_number(&args, n);
    ngx_http_ollama_store_args_number(&args, last ? 1 : 0);

    ngx_http_ollama_store_args_pair(&args, "m", &message->json);
    ngx_http_ollama_store_args_pair(&args, "s", &message->status);
    ngx_http_ollama_store_args_pair(&args, "model", &message->model);
    ngx_http_ollama_store_args_pair(&args, "server", &message->server);
    ngx_http_ollama_store_args_pair(&args, "k", &message->thinking);
    ngx_http_ollama_store_args_pair(&args, "st", &message->stats);
    ngx_http_ollama_store_args_pair(&args, "p", &message->participant);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_save,
                                      ngx_http_ollama_store_read_word);
}


ngx_int_t
ngx_http_ollama_store_renew(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, ngx_msec_t lock, int64_t n)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, NULL);
    ngx_http_ollama_store_args_str(&args, task);
    ngx_http_ollama_store_args_number(&args, lock);
    ngx_http_ollama_store_args_number(&args, n);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_renew,
                                      ngx_http_ollama_store_read_word);
}


ngx_int_t
ngx_http_ollama_store_release(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task)
{
    return ngx_http_ollama_store_withdraw(store, sid, task, 0, 0);
}


ngx_int_t
ngx_http_ollama_store_withdraw(ngx_http_ollama_store_t *store, ngx_str_t *sid,
    ngx_str_t *task, int64_t from, int64_t to)
{
    ngx_http_ollama_store_args_t  args;

    ngx_http_ollama_store_args_session(&args, store, sid, NULL);

    ngx_http_ollama_store_args_str(&args, task);
    ngx_http_ollama_store_args_number(&args, from);
    ngx_http_ollama_store_args_number(&args, to);

    return ngx_http_ollama_store_send(store, &args,
                                      &ngx_http_ollama_store_script_release,
                                      ngx_http_ollama_store_read_word);
}


void
ngx_http_ollama_store_forget(ngx_http_ollama_store_t *store)
{
    ngx_http_ollama_redis_forget(&store->call);
}


/* These destroy the arguments. */

static ngx_int_t
ngx_http_ollama_store_send_large(ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_redis_script_t *script,
    ngx_http_ollama_store_read_pt read)
{
    if (store->ordered) {
        return ngx_http_ollama_store_send(store, args, script, read);
    }

    return ngx_http_ollama_store_send_by(store, args, script, read,
                                         ngx_http_ollama_redis_script_large);
}


static ngx_int_t
ngx_http_ollama_store_send(ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_redis_script_t *script,
    ngx_http_ollama_store_read_pt read)
{
    return ngx_http_ollama_store_send_by(store, args, script, read,
                                         ngx_http_ollama_redis_script);
}


static ngx_int_t
ngx_http_ollama_store_send_by(ngx_http_ollama_store_t *store,
    ngx_http_ollama_store_args_t *args, ngx_http_ollama_redis_script_t *script,
    ngx_http_ollama_store_read_pt read, ngx_http_ollama_store_script_pt by)
{
    ngx_int_t  rc;

    store->call.handler = ngx_http_ollama_store_done;
    store->call.data = store;
    store->read = read;

    rc = NGX_ERROR;

    if (!args->failed) {
        rc = by(&store->call, script, args->keys, args->args.nelts,
                args->args.elts);
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
 * Redis may refuse all commands, for hours.  So the same reason is logged as an
 * error only if it is new, or comes again after a while.
 */

static void
ngx_http_ollama_store_refused(ngx_http_ollama_store_t *store)
{
    size_t                            n;
    ngx_str_t                        *error;
    ngx_uint_t                        level;
    ngx_http_ollama_store_refusal_t  *last;

    error = &store->call.error;
    last = &ngx_http_ollama_store_refusal;

    for (n = 0; n < ngx_min(error->len, NGX_HTTP_OLLAMA_STORE_REASON); n++) {
        if (error->data[n] == ' ') {
            break;
        }
    }

    level = (n == last->len
             && ngx_memcmp(last->reason, error->data, n) == 0
             && ngx_current_msec - last->logged < NGX_HTTP_OLLAMA_STORE_QUIET)
            ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_memcpy(last->reason, error->data, n);
    last->len = n;
    last->logged = ngx_current_msec;

    ngx_log_error(level, store->log, 0,
                  "redis refused a session's command: %V", error);
}
