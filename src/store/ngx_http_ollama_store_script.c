
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The scripts that read and change sessions in Redis: each operation is one
 * script, so that a crash leaves none half done.  A script's text never
 * contains data of clients.  What they have in common is in store_lua.h, those
 * of a task in a session are in store_script_task.
 *
 *     P{sid}:meta   HASH    title, model, system, owner, created, updated (ms
 *                           since 1970), last (the highest n of a message),
 *                           added (the first and the last n of the messages
 *                           that a client added last), begun (the number of
 *                           the task that had the lock last), released (the
 *                           holder that released the lock last), big (the
 *                           most bytes that a message has)
 *     P{sid}:msgs   STREAM  of messages, with ids "n-0", n = 1, 2, ...:
 *                           m  the message as servers are sent it, JSON
 *                           t  when it was stored, ms
 *                           s  complete, cancelled or interrupted
 *                           g  the task that stored it, and its number
 *                           and of a reply, where it has them: model, server,
 *                           k  thinking, st  statistics, p  participant
 *     P{sid}:task   STRING  the running task: a lock that expires
 *     Powner:OWNER  ZSET    of session ids, by when they were last written to
 *
 * An n is never used again, even if the messages at the end are removed: a late
 * write can't take the number of another message.  A field that doesn't exist
 * stands for null.
 *
 * The first element of a reply is "ok", "none" (no such session, or another
 * owner's), "gone" (no such message), "busy" (then the running task) or "lost"
 * (the lock).
 *
 * Keys of owners are made in the scripts, as only Redis knows the owner of a
 * session that is written to by its id: this needs one Redis, not a cluster.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_lua.h"
#include "store/ngx_http_ollama_store_script.h"


/*
 * title, model, system as change() reads them, how many messages fill has
 * written, and the most bytes that one of them has
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_create =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if call('EXISTS', meta) == 1 then\n"
    "    return { 'none' }\n"
    "end\n"
    "local count = tonumber(ARGV[12])\n"
    "if call('XLEN', msgs) ~= count then\n"
    "    return { 'lost' }\n"
    "end\n"
    "call('HSET', meta, 'created', now)\n"
    "if count > 0 then\n"
    "    call('HSET', meta, 'last', ARGV[12], 'big', ARGV[13])\n"
    "end\n"
    "if owner ~= '' then\n"
    "    call('HSET', meta, 'owner', owner)\n"
    "end\n"
    "change()\n"
    "tidy(owner)\n"
    "touch(owner)\n"
    "return { 'ok', session() }\n"
    );


/*
 * of a session that is not created yet: n of the first message, and for each
 * one how many fields and values it has, and these.  What is never created
 * expires.
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_fill =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if call('EXISTS', meta) == 1 then\n"
    "    return { 'lost' }\n"
    "end\n"
    "local n, i = tonumber(ARGV[6]), 7\n"
    "while ARGV[i] do\n"
    "    local count = tonumber(ARGV[i])\n"
    "    call('XADD', msgs, id(n), unpack(ARGV, i + 1, i + count))\n"
    "    call('PEXPIRE', msgs, 60000)\n"
    "    n, i = n + 1, i + count + 1\n"
    "end\n"
    "return { 'ok' }\n"
    );


/*
 * A step of a copy.  KEYS: those of the session that is copied, then meta and
 * msgs of the new one.  ARGV: the id of the new one; n of the message to copy
 * after, n of the one to copy up to, or -1 in the first step, the n to write
 * next; n of the one to copy up to and without, 0: all; messages at most, and
 * bytes; title as change() reads it; how many messages are written.
 *
 * The messages are numbered anew, behind all that the first session has had, so
 * that none of them has an id that is known from there.  The new session exists
 * when its meta does, after the last step; what a copy leaves that isn't
 * finished expires.  If any of that is gone meanwhile, the copy is "lost", too.
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_copy =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "local copy, list = KEYS[4], KEYS[5]\n"
    "local n, final, at = tonumber(ARGV[7]), tonumber(ARGV[8]),\n"
    "                     tonumber(ARGV[9])\n"
    "local before, written = tonumber(ARGV[10]), tonumber(ARGV[15])\n"
    "local function failed(word)\n"
    "    call('UNLINK', list)\n"
    "    return { word }\n"
    "end\n"
    "if not known() then\n"
    "    return failed('none')\n"
    "end\n"
    "if call('XLEN', list) ~= written then\n"
    "    return failed('lost')\n"
    "end\n"
    "if final < 0 then\n"
    "    if before > 0 and not message(before) then\n"
    "        return { 'gone' }\n"
    "    end\n"
    "    local one = call('XREVRANGE', msgs,\n"
    "                     before > 0 and '(' .. id(before) or '+', '-',\n"
    "                     'COUNT', 1)[1]\n"
    "    final, at = one and number(one[1]) or 0, last() + 1\n"
    "end\n"
    "local found, more = {}, 0\n"
    "if final > n then\n"
    "    found, more = walk('XRANGE', id(n + 1), id(final),\n"
    "                       tonumber(ARGV[11]), tonumber(ARGV[12]))\n"
    "end\n"
    "for _, one in ipairs(found) do\n"
    "    local fields = {}\n"
    "    for i = 1, #one[2], 2 do\n"
    "        if one[2][i] ~= 'g' then\n"
    "            fields[#fields + 1] = one[2][i]\n"
    "            fields[#fields + 1] = one[2][i + 1]\n"
    "        end\n"
    "    end\n"
    "    call('XADD', list, id(at), unpack(fields))\n"
    "    call('PEXPIRE', list, 60000)\n"
    "    n, at = number(one[1]), at + 1\n"
    "end\n"
    "if more == 1 then\n"
    "    return { 'ok', false, n, final, at, written + #found }\n"
    "end\n"
    "-- messages are deleted to the end: if the last one is there, so are all\n"
    "-- before it\n"
    "if final > 0 and n < final then\n"
    "    return failed('lost')\n"
    "end\n"
    "local has = call('HMGET', meta, 'title', 'model', 'system', 'big')\n"
    "if ARGV[13] ~= '' then\n"
    "    has[1] = ARGV[13] == 'set' and ARGV[14]\n"
    "end\n"
    "local fields = { 'created', now, 'updated', now,\n"
    "                 'last', string.format('%.0f', at - 1) }\n"
    "for i, name in ipairs({ 'title', 'model', 'system', 'big' }) do\n"
    "    if has[i] then\n"
    "        fields[#fields + 1] = name\n"
    "        fields[#fields + 1] = has[i]\n"
    "    end\n"
    "end\n"
    "if owner ~= '' then\n"
    "    fields[#fields + 1] = 'owner'\n"
    "    fields[#fields + 1] = owner\n"
    "end\n"
    "call('HSET', copy, unpack(fields))\n"
    "live(copy)\n"
    "live(list)\n"
    "tidy(owner)\n"
    "enlist(owner, ARGV[6])\n"
    "return { 'ok', call('HMGET', copy, 'title', 'model', 'system',\n"
    "                    'created', 'updated') }\n"
    );


/*
 * n of the message to read after, 0: from the first one on; messages at most,
 * and bytes of them, about
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_read =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if not known() then\n"
    "    return { 'none' }\n"
    "end\n"
    "local n = tonumber(ARGV[6])\n"
    "if n > 0 and not message(n) then\n"
    "    return { 'gone' }\n"
    "end\n"
    "local found, more = page(n, tonumber(ARGV[7]), tonumber(ARGV[8]))\n"
    "return { 'ok', session(), call('GET', task), more, found }\n"
    );


/* as read, but backwards from before n; 0: from the last one on */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_read_back =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if not known() then\n"
    "    return { 'none' }\n"
    "end\n"
    "local n = tonumber(ARGV[6])\n"
    "if n > 0 and not message(n) then\n"
    "    return { 'gone' }\n"
    "end\n"
    "local from = n > 0 and '(' .. id(n) or '+'\n"
    "local found, more = walk('XREVRANGE', from, '-', tonumber(ARGV[7]),\n"
    "                         tonumber(ARGV[8]))\n"
    "local list = {}\n"
    "for i = #found, 1, -1 do\n"
    "    list[#list + 1] = found[i]\n"
    "end\n"
    "return { 'ok', session(), call('GET', task), more, list }\n"
    );


/* as create */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_patch =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if not known() then\n"
    "    return { 'none' }\n"
    "end\n"
    "change()\n"
    "touch(owner)\n"
    "return { 'ok', session() }\n"
    );


/* nothing else */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_delete =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if not known() then\n"
    "    return { 'none' }\n"
    "end\n"
    "call('UNLINK', meta, msgs, task)\n"
    "if owner ~= '' then\n"
    "    call('ZREM', prefix .. 'owner:' .. owner, sid)\n"
    "end\n"
    "return { 'ok' }\n"
    );


/* n of the first message to be deleted */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_truncate =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if not known() then\n"
    "    return { 'none' }\n"
    "end\n"
    "local running = call('GET', task)\n"
    "if running then\n"
    "    return { 'busy', running }\n"
    "end\n"
    "local n, final = tonumber(ARGV[6]), last()\n"
    "-- an id names its message and no other: what came after it stays\n"
    "local deleted = call('XDEL', msgs, id(n))\n"
    "if deleted == 0 then\n"
    "    return { 'gone' }\n"
    "end\n"
    "while n <= final do\n"
    "    local ids = {}\n"
    "    while n <= final and #ids < 1000 do\n"
    "        ids[#ids + 1] = id(n)\n"
    "        n = n + 1\n"
    "    end\n"
    "    deleted = deleted + call('XDEL', msgs, unpack(ids))\n"
    "end\n"
    "-- one n is left out: what is written late was for what is gone\n"
    "call('HSET', meta, 'last', string.format('%.0f', final + 1))\n"
    "touch(owner)\n"
    "return { 'ok', deleted }\n"
    );


/*
 * KEYS: the owner's list; ARGV: prefix, owner, sessions at most, and time and
 * id of the last session before these, or ""
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_list =
    ngx_http_ollama_redis_script_text(
    "local call = redis.call\n"
    "local list, prefix, owner = KEYS[1], ARGV[1], ARGV[2]\n"
    "local limit, time, after = tonumber(ARGV[3]), ARGV[4], ARGV[5]\n"
    "local found, gone, cursor, offset = {}, {}, false, 0\n"
    "-- sessions that have expired are still in the list\n"
    "local function done(next)\n"
    "    if #gone > 0 then\n"
    "        call('ZREM', list, unpack(gone))\n"
    "    end\n"
    "    return { 'ok', next, found }\n"
    "end\n"
    "while true do\n"
    "    local some = call('ZREVRANGEBYSCORE', list,\n"
    "                      time == '' and '+inf' or time, '-inf',\n"
    "                      'WITHSCORES', 'LIMIT', offset, 100)\n"
    "    if #some == 0 then\n"
    "        return done(false)\n"
    "    end\n"
    "    for i = 1, #some, 2 do\n"
    "        local sid, updated = some[i], some[i + 1]\n"
    "        if updated ~= time or sid < after then\n"
    "            local has = call('HMGET', prefix .. '{' .. sid .. '}:meta',\n"
    "                             'title', 'model', 'system', 'created',\n"
    "                             'updated', 'owner')\n"
    "            if has[4] and has[6] == owner then\n"
    "                if #found == limit then\n"
    "                    return done(cursor)\n"
    "                end\n"
    "                found[#found + 1] = { sid, has }\n"
    "            else\n"
    "                gone[#gone + 1] = sid\n"
    "            end\n"
    "            cursor = updated .. '.' .. sid\n"
    "            if #gone == 1000 then\n"
    "                return done(cursor)\n"
    "            end\n"
    "        end\n"
    "    end\n"
    "    offset = offset + 100\n"
    "end\n"
    );


/* KEYS: meta of each session; ARGV: owner, and their ids */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_named =
    ngx_http_ollama_redis_script_text(
    "local found = {}\n"
    "for i, meta in ipairs(KEYS) do\n"
    "    local has = redis.call('HMGET', meta, 'title', 'model', 'system',\n"
    "                           'created', 'updated', 'owner')\n"
    "    if has[4] and (has[6] or '') == ARGV[1] then\n"
    "        found[#found + 1] = { ARGV[1 + i], has }\n"
    "    end\n"
    "end\n"
    "return { 'ok', false, found }\n"
    );
