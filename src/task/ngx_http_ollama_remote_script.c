
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * What is done in Redis for generations that other gateways may stop: scripts,
 * and their arguments.  The keys are described in remote.c.  Has no state.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "task/ngx_http_ollama_remote_script.h"


/* SCRIPT_WORKER, as text */
#define NGX_HTTP_OLLAMA_REMOTE_SCRIPT_SUB                                     \
    ngx_value(NGX_HTTP_OLLAMA_REMOTE_SCRIPT_WORKER)


/*
 * Redis knows at once that a worker is gone, by its channel; other than a key,
 * which is there until it expires.
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_enter =
    ngx_http_ollama_redis_script_text(
    "local call, task = redis.call, KEYS[1]\n"
    "local has = call('HMGET', task, 'gate', 'owner')\n"
    "local function lives(gate)\n"
    "    local at = ARGV[7] .. 'gate:'\n"
    "    local is = call('GET', at .. gate)\n"
    "    return is and (is == '0'\n"
    "        or call('PUBLISH', at .. string.sub(gate, 1, "
                     NGX_HTTP_OLLAMA_REMOTE_SCRIPT_SUB "), '') > 0)\n"
    "end\n"
    "if has[1] and has[1] ~= ARGV[1] and lives(has[1])\n"
    "   and not (ARGV[6] == '1' and has[2] == ARGV[2])\n"
    "then\n"
    "    return 2\n"
    "end\n"
    "call('HSET', task, 'gate', ARGV[1], 'owner', ARGV[2],\n"
    "     'session', ARGV[3])\n"
    "call('PEXPIRE', task, ARGV[4])\n"
    "call('SET', KEYS[2], ARGV[8], 'PX', ARGV[5])\n"
    "if ARGV[6] == '1' then\n"
    "    return call('GET', KEYS[3]) == ARGV[2] and 1 or 0\n"
    "end\n"
    "-- one that was left by another task of that name\n"
    "call('DEL', KEYS[3])\n"
    "return 0\n"
    );


ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_leave =
    ngx_http_ollama_redis_script_text(
    "if redis.call('HGET', KEYS[1], 'gate') == ARGV[1] then\n"
    "    redis.call('DEL', KEYS[1], KEYS[2])\n"
    "end\n"
    "if ARGV[3] ~= '' then\n"
    "    redis.call('PUBLISH', ARGV[2], ARGV[3])\n"
    "end\n"
    "return 0\n"
    );


ngx_http_ollama_redis_script_t  ngx_http_ollama_remote_script_stop =
    ngx_http_ollama_redis_script_text(
    "local call, prefix, id = redis.call, ARGV[1], ARGV[2]\n"
    "local function find(task)\n"
    "    return call('HMGET', task, 'gate', 'owner', 'session')\n"
    "end\n"
    "local has = find(KEYS[1])\n"
    "if not has[1] or has[2] ~= ARGV[3] then\n"
    "    id = call('GET', KEYS[2])\n"
    "    if not id then\n"
    "        return {}\n"
    "    end\n"
    "    has = find(prefix .. 'task:{' .. id .. '}')\n"
    "end\n"
    "if not has[1] or has[2] ~= ARGV[3]\n"
    "   or call('EXISTS', prefix .. 'gate:' .. has[1]) == 0\n"
    "   or not call('SET', prefix .. 'cancel:{' .. id .. '}', has[2],\n"
    "               'PX', ARGV[5], 'NX')\n"
    "then\n"
    "    return {}\n"
    "end\n"
    "call('PUBLISH', ARGV[4], 'stop ' .. id .. ' ' .. has[2])\n"
    "return { id, has[3] }\n"
    );


void
ngx_http_ollama_remote_script_init(ngx_http_ollama_remote_script_args_t *args)
{
    args->n = 0;
    args->last = args->text;
}


void
ngx_http_ollama_remote_script_key(
    ngx_http_ollama_remote_script_args_t *args, const char *name,
    ngx_str_t *id, const char *after)
{
    ngx_str_t  key;

    key.data = args->last;

    args->last = ngx_sprintf(args->last, "%V%s%V%s",
                             ngx_http_ollama_redis_prefix(), name, id, after);

    key.len = args->last - key.data;

    ngx_http_ollama_remote_script_str(args, &key);
}


void
ngx_http_ollama_remote_script_str(
    ngx_http_ollama_remote_script_args_t *args, ngx_str_t *value)
{
    args->argv[args->n++] = *value;
}


void
ngx_http_ollama_remote_script_word(
    ngx_http_ollama_remote_script_args_t *args, const char *word)
{
    ngx_str_t  value;

    value.data = (u_char *) word;
    value.len = ngx_strlen(word);

    ngx_http_ollama_remote_script_str(args, &value);
}


ngx_uint_t
ngx_http_ollama_remote_script_owner(u_char *digest, ngx_str_t *owner)
{
    u_char  hex[2 * NGX_HTTP_OLLAMA_OWNER_SIZE];

    (void) ngx_hex_dump(hex, digest, NGX_HTTP_OLLAMA_OWNER_SIZE);

    return owner->len == sizeof(hex)
           && ngx_memcmp(owner->data, hex, sizeof(hex)) == 0;
}


ngx_int_t
ngx_http_ollama_remote_script_id(ngx_pool_t *pool, redisReply *reply,
    ngx_str_t *id)
{
    if (reply->type != REDIS_REPLY_STRING
        || reply->len > NGX_HTTP_OLLAMA_ID_MAX)
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
