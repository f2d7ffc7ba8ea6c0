
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Locks of sessions whose process was killed.  In Redis they would last until
 * they expire; a process that finds another one dead releases them at once.
 *
 * They are noted in this process's memory with a lock of shared memory held,
 * and sent afterwards.  Uses redis only.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_unlock.h"
#include "redis/ngx_http_ollama_redis.h"
#include "util/ngx_http_ollama_id.h"


/* noted at once; the locks of others expire */
#define NGX_HTTP_OLLAMA_UNLOCK_MAX  256


typedef struct {
    size_t                   task_len;
    size_t                   session_len;
    u_char                   task[NGX_HTTP_OLLAMA_ID_MAX];
    u_char                   session[NGX_HTTP_OLLAMA_ID_MAX];
} ngx_http_ollama_unlock_t;


/* of this process */

typedef struct {
    ngx_http_ollama_unlock_t  locks[NGX_HTTP_OLLAMA_UNLOCK_MAX];
    ngx_uint_t                n;
} ngx_http_ollama_unlock_list_t;


/* ARGV: prefix, session, task */

static ngx_http_ollama_redis_script_t  ngx_http_ollama_unlock_script =
    ngx_http_ollama_redis_script_text(
    "local lock = ARGV[1] .. '{' .. ARGV[2] .. '}:task'\n"
    "if redis.call('GET', lock) == ARGV[3] then\n"
    "    redis.call('DEL', lock)\n"
    "end\n"
    "return 0\n"
    );


static ngx_http_ollama_unlock_list_t  ngx_http_ollama_unlock;


void
ngx_http_ollama_unlock_note(ngx_str_t *task, ngx_str_t *session)
{
    ngx_http_ollama_unlock_t       *lock;
    ngx_http_ollama_unlock_list_t  *list;

    list = &ngx_http_ollama_unlock;

    if (list->n == NGX_HTTP_OLLAMA_UNLOCK_MAX
        || task->len > NGX_HTTP_OLLAMA_ID_MAX
        || session->len > NGX_HTTP_OLLAMA_ID_MAX)
    {
        return;
    }

    lock = &list->locks[list->n++];

    lock->task_len = task->len;
    ngx_memcpy(lock->task, task->data, task->len);

    lock->session_len = session->len;
    ngx_memcpy(lock->session, session->data, session->len);
}


void
ngx_http_ollama_unlock_send(void)
{
    ngx_str_t                       argv[3], *prefix;
    ngx_http_ollama_unlock_t       *lock;
    ngx_http_ollama_redis_call_t    call;
    ngx_http_ollama_unlock_list_t  *list;

    list = &ngx_http_ollama_unlock;
    prefix = ngx_http_ollama_redis_prefix();

    while (list->n) {

        lock = &list->locks[--list->n];

        if (prefix == NULL) {
            continue;
        }

        argv[0] = *prefix;

        argv[1].data = lock->session;
        argv[1].len = lock->session_len;

        argv[2].data = lock->task;
        argv[2].len = lock->task_len;

        if (ngx_http_ollama_redis_script(&call, &ngx_http_ollama_unlock_script,
                                         0, 3, argv)
            == NGX_OK)
        {
            ngx_http_ollama_redis_forget(&call);
        }
    }
}
