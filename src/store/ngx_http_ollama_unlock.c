
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * Sessions of processes that were killed.  Their locks in Redis would last
 * until their time is over; who finds the process dead gives them back at once.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_unlock.h"
#include "redis/ngx_http_ollama_redis.h"


/* of a dead process so many are freed, the others free themselves */
#define NGX_HTTP_OLLAMA_UNLOCK_MAX  256

#define NGX_HTTP_OLLAMA_UNLOCK_ID   64


typedef struct {
    size_t   ntask;
    size_t   nsession;
    u_char   task[NGX_HTTP_OLLAMA_UNLOCK_ID];
    u_char   session[NGX_HTTP_OLLAMA_UNLOCK_ID];
} ngx_http_ollama_unlock_t;


/* ARGV: prefix, session, task */

static ngx_http_ollama_redis_script_t  ngx_http_ollama_unlock_script =
    ngx_http_ollama_redis_script_text(
    "local lock = ARGV[1] .. '{' .. ARGV[2] .. '}:task'\n"
    "if redis.call('GET', lock) == ARGV[3] then\n"
    "    redis.call('DEL', lock)\n"
    "end\n"
    "return 0\n"
    );


/* found by this process, and not told yet */

static ngx_http_ollama_unlock_t
    ngx_http_ollama_unlock[NGX_HTTP_OLLAMA_UNLOCK_MAX];
static ngx_uint_t  ngx_http_ollama_nunlock;


void
ngx_http_ollama_unlock_note(ngx_str_t *task, ngx_str_t *session)
{
    ngx_http_ollama_unlock_t  *lost;

    if (ngx_http_ollama_nunlock == NGX_HTTP_OLLAMA_UNLOCK_MAX
        || task->len > NGX_HTTP_OLLAMA_UNLOCK_ID
        || session->len > NGX_HTTP_OLLAMA_UNLOCK_ID)
    {
        return;
    }

    lost = &ngx_http_ollama_unlock[ngx_http_ollama_nunlock++];

    lost->ntask = task->len;
    ngx_memcpy(lost->task, task->data, task->len);

    lost->nsession = session->len;
    ngx_memcpy(lost->session, session->data, session->len);
}


/* Where Redis isn't there the locks end by themselves. */

void
ngx_http_ollama_unlock_send(void)
{
    ngx_str_t                      argv[3], *prefix;
    ngx_http_ollama_unlock_t      *lost;
    ngx_http_ollama_redis_call_t   call;

    prefix = ngx_http_ollama_redis_prefix();

    while (ngx_http_ollama_nunlock) {

        lost = &ngx_http_ollama_unlock[--ngx_http_ollama_nunlock];

        if (prefix == NULL) {
            continue;
        }

        argv[0] = *prefix;

        argv[1].data = lost->session;
        argv[1].len = lost->nsession;

        argv[2].data = lost->task;
        argv[2].len = lost->ntask;

        if (ngx_http_ollama_redis_script(&call, &ngx_http_ollama_unlock_script,
                                         0, 3, argv)
            == NGX_OK)
        {
            ngx_http_ollama_redis_forget(&call);
        }
    }
}
