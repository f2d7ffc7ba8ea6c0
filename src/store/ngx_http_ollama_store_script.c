
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The scripts that read and change sessions in Redis: each operation is one
 * script, so that a crash leaves none half done.  A script's text never
 * contains data of clients.
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
 * owner's), "busy" (then the running task) or "lost" (the lock).
 *
 * Keys of owners are made in the scripts, as only Redis knows the owner of a
 * session that is written to by its id: this needs one Redis, not a cluster.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_script.h"

/* the beginning of all scripts about one session */

#define NGX_HTTP_OLLAMA_STORE_BEGIN                                           \
    "local call = redis.call\n"                                               \
    "local meta, msgs, task = KEYS[1], KEYS[2], KEYS[3]\n"                    \
    "local prefix, sid, owner, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n"    \
    "local ttl = tonumber(ARGV[5])\n"                                         \
    "-- there is the session, and it is the caller's\n"                       \
    "local function known()\n"                                                \
    "    local has = call('HMGET', meta, 'created', 'owner')\n"               \
    "    return has[1] and (has[2] or '') == owner\n"                         \
    "end\n"                                                                   \
    "local function session()\n"                                              \
    "    return call('HMGET', meta, 'title', 'model', 'system', 'created',\n" \
    "                'updated')\n"                                            \
    "end\n"                                                                   \
    "local function id(n)\n"                                                  \
    "    return string.format('%.0f-0', n)\n"                                 \
    "end\n"                                                                   \
    "local function number(id)\n"                                             \
    "    return tonumber(string.match(id, '^%d+'))\n"                         \
    "end\n"                                                                   \
    "-- the highest n there was\n"                                            \
    "local function last()\n"                                                 \
    "    local n = tonumber(call('HGET', meta, 'last') or '')\n"              \
    "    if n then\n"                                                         \
    "        return n\n"                                                      \
    "    end\n"                                                               \
    "    local one = call('XREVRANGE', msgs, '+', '-', 'COUNT', 1)[1]\n"      \
    "    return one and number(one[1]) or 0\n"                                \
    "end\n"                                                                   \
    "-- messages after n; few at a time, as each may be large\n"              \
    "local function page(n, limit, bytes)\n"                                  \
    "    local found, size, count = {}, 0, 1\n"                               \
    "    local big = tonumber(call('HGET', meta, 'big') or '')\n"             \
    "    if big then\n"                                                       \
    "        count = math.max(1, math.min(limit, math.floor(262144 / big)))\n"\
    "    end\n"                                                               \
    "    while true do\n"                                                     \
    "        local some = call('XRANGE', msgs, id(n + 1), '+',\n"             \
    "                          'COUNT', count)\n"                             \
    "        local before = size\n"                                           \
    "        for _, one in ipairs(some) do\n"                                 \
    "            if #found == limit or size >= bytes then\n"                  \
    "                return found, 1\n"                                       \
    "            end\n"                                                       \
    "            found[#found + 1] = one\n"                                   \
    "            for _, text in ipairs(one[2]) do\n"                          \
    "                size = size + #text\n"                                   \
    "            end\n"                                                       \
    "        end\n"                                                           \
    "        if #some < count then\n"                                         \
    "            return found, 0\n"                                           \
    "        end\n"                                                           \
    "        n = number(some[count][1])\n"                                    \
    "        if not big then\n"                                               \
    "            count = size - before < 65536 and math.min(count * 2, 16)\n" \
    "                    or 1\n"                                              \
    "        end\n"                                                           \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "local function field(message, name)\n"                                   \
    "    for i = 1, #message, 2 do\n"                                         \
    "        if message[i] == name then\n"                                    \
    "            return message[i + 1]\n"                                     \
    "        end\n"                                                           \
    "    end\n"                                                               \
    "    return false\n"                                                      \
    "end\n"                                                                   \
    "-- a retried write finds what it has written\n"                          \
    "local function written(n, by)\n"                                         \
    "    local one = call('XRANGE', msgs, id(n), id(n))[1]\n"                 \
    "    return one and field(one[2], 'g') == by\n"                           \
    "end\n"                                                                   \
    "-- a task, as \"name.number\", and whether no other one began since\n"    \
    "local function named(by)\n"                                              \
    "    local name, begun = string.match(by, '^([^.]*)%.?(%d*)$')\n"         \
    "    return name, begun == '' or call('HGET', meta, 'begun') == begun\n"  \
    "end\n"                                                                   \
    "-- for renewals that come later; if Redis has no memory for this, the\n" \
    "-- lock is released all the same\n"                                      \
    "local function released(by, latest)\n"                                   \
    "    if latest and string.find(by, '.', 1, true) then\n"                  \
    "        redis.pcall('HSET', meta, 'released', by)\n"                     \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "local function live(key)\n"                                              \
    "    if ttl > 0 then\n"                                                   \
    "        call('PEXPIRE', key, ttl)\n"                                     \
    "    else\n"                                                              \
    "        call('PERSIST', key)\n"                                          \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "-- after each write; a list lives as long as the longest session\n"      \
    "local function touch(owner)\n"                                           \
    "    call('HSET', meta, 'updated', now)\n"                                \
    "    live(meta)\n"                                                        \
    "    live(msgs)\n"                                                        \
    "    if owner == '' then\n"                                               \
    "        return\n"                                                        \
    "    end\n"                                                               \
    "    local list = prefix .. 'owner:' .. owner\n"                          \
    "    local left = call('PTTL', list)\n"                                   \
    "    call('ZADD', list, now, sid)\n"                                      \
    "    if ttl == 0 then\n"                                                  \
    "        call('PERSIST', list)\n"                                         \
    "    elseif left ~= -1 and left < ttl then\n"                             \
    "        call('PEXPIRE', list, ttl)\n"                                    \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "-- title, model, system: \"set\" and the value, \"remove\", or \"\"\n"   \
    "local function change()\n"                                               \
    "    for i, name in ipairs({ 'title', 'model', 'system' }) do\n"          \
    "        local what, value = ARGV[4 + 2 * i], ARGV[5 + 2 * i]\n"          \
    "        if what == 'set' then\n"                                         \
    "            call('HSET', meta, name, value)\n"                           \
    "        elseif what == 'remove' then\n"                                  \
    "            call('HDEL', meta, name)\n"                                  \
    "        end\n"                                                           \
    "    end\n"                                                               \
    "end\n"


/* functions of those that write messages */

#define NGX_HTTP_OLLAMA_STORE_WRITE                                           \
    "-- message n, as a list of fields and values\n"                          \
    "local function write(n, message)\n"                                      \
    "    local size = 0\n"                                                    \
    "    for _, text in ipairs(message) do\n"                                 \
    "        size = size + #text\n"                                           \
    "    end\n"                                                               \
    "    if size > tonumber(call('HGET', meta, 'big') or 0) then\n"           \
    "        call('HSET', meta, 'big', size)\n"                               \
    "    end\n"                                                               \
    "    call('XADD', msgs, id(n), unpack(message))\n"                        \
    "    call('HSET', meta, 'last', string.format('%.0f', n))\n"              \
    "end\n"                                                                   \
    "-- what a client says, ARGV from \"first\" on\n"                         \
    "local function append(n, first, by, title)\n"                            \
    "    local final = n + #ARGV - first\n"                                   \
    "    for i = first, #ARGV do\n"                                           \
    "        write(n + i - first, { 'm', ARGV[i], 't', now,\n"                \
    "                               's', 'complete', 'g', by })\n"            \
    "    end\n"                                                               \
    "    call('HSET', meta, 'added', string.format('%.0f %.0f', n, final))\n" \
    "    if title ~= '' then\n"                                               \
    "        call('HSETNX', meta, 'title', title)\n"                          \
    "    end\n"                                                               \
    "    touch(call('HGET', meta, 'owner') or '')\n"                          \
    "end\n"


/* functions of those that begin a task or read its history */

#define NGX_HTTP_OLLAMA_STORE_ENTER                                           \
    "-- for ARGV[6], and ARGV[7] ms; nil, or what is to be replied\n"         \
    "local function enter()\n"                                                \
    "    if not known() then\n"                                               \
    "        return { 'none' }\n"                                             \
    "    end\n"                                                               \
    "    if not call('SET', task, ARGV[6], 'PX', ARGV[7], 'NX') then\n"       \
    "        return { 'busy', call('GET', task) }\n"                          \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "-- messages at the end that were added together, and got no reply\n"     \
    "local function unanswered(n)\n"                                          \
    "    local from, to = string.match(call('HGET', meta, 'added') or '',\n"  \
    "                                  '^(%d+) (%d+)$')\n"                    \
    "    return to and tonumber(to) == n and to - from + 1 or 0\n"            \
    "end\n"                                                                   \
    "local function texts(found)\n"                                           \
    "    local list = {}\n"                                                   \
    "    for i, one in ipairs(found) do\n"                                    \
    "        list[i] = field(one[2], 'm')\n"                                  \
    "    end\n"                                                               \
    "    return list\n"                                                       \
    "end\n"


/* title, model, system as change() reads them */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_create =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if call('EXISTS', meta) == 1 then\n"
    "    return { 'none' }\n"
    "end\n"
    "call('HSET', meta, 'created', now)\n"
    "if owner ~= '' then\n"
    "    call('HSET', meta, 'owner', owner)\n"
    "end\n"
    "change()\n"
    "touch(owner)\n"
    "return { 'ok', session() }\n"
    );


/* n to read after, messages at most, and bytes of them, about */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_read =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if not known() then\n"
    "    return { 'none' }\n"
    "end\n"
    "local found, more = page(tonumber(ARGV[6]), tonumber(ARGV[7]),\n"
    "                         tonumber(ARGV[8]))\n"
    "return { 'ok', session(), call('GET', task), more, found }\n"
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
    "local n, final, deleted = tonumber(ARGV[6]), last(), 0\n"
    "while n <= final do\n"
    "    local ids = {}\n"
    "    while n <= final and #ids < 1000 do\n"
    "        ids[#ids + 1] = id(n)\n"
    "        n = n + 1\n"
    "    end\n"
    "    deleted = deleted + call('XDEL', msgs, unpack(ids))\n"
    "end\n"
    "if deleted > 0 then\n"
    "    -- one n is left out: what is written late was for what is gone\n"
    "    call('HSET', meta, 'last', string.format('%.0f', final + 1))\n"
    "    touch(owner)\n"
    "end\n"
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


/* the task, and after how many ms its lock expires */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_begin =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    NGX_HTTP_OLLAMA_STORE_ENTER
    "local refused = enter()\n"
    "if refused then\n"
    "    return refused\n"
    "end\n"
    "local n = last()\n"
    "return { 'ok', session(), n, call('XLEN', msgs), unanswered(n),\n"
    "         call('HINCRBY', meta, 'begun', 1) }\n"
    );


/*
 * as begin, and limits of a page from the first message on; then the most
 * messages that the session may have, a title if it has none, and messages:
 * they are added if the page has all others, and there is room for them and for
 * a reply
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_turn =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    NGX_HTTP_OLLAMA_STORE_WRITE
    NGX_HTTP_OLLAMA_STORE_ENTER
    "local refused = enter()\n"
    "if refused then\n"
    "    return refused\n"
    "end\n"
    "local found, more = page(0, tonumber(ARGV[8]), tonumber(ARGV[9]))\n"
    "local list, final = texts(found), found[#found]\n"
    "local paged = final and number(final[1]) or 0\n"
    "local n, total, begun = last(), call('XLEN', msgs),\n"
    "                        call('HINCRBY', meta, 'begun', 1)\n"
    "local open, count, added = unanswered(n), #ARGV - 11, 0\n"
    "-- sent once more, as nothing came of it\n"
    "local function again()\n"
    "    for i = 1, count do\n"
    "        if list[#list - count + i] ~= ARGV[11 + i] then\n"
    "            return false\n"
    "        end\n"
    "    end\n"
    "    return true\n"
    "end\n"
    "if count > 0 and more == 0 then\n"
    "    if open == count and again() then\n"
    "        for _ = 1, count do\n"
    "            list[#list] = nil\n"
    "        end\n"
    "        n, total, added = n - count, total - count, 1\n"
    "    elseif total + count < tonumber(ARGV[10]) then\n"
    "        append(n + 1, 12, ARGV[6] .. '.' .. begun, ARGV[11])\n"
    "        added = 1\n"
    "    end\n"
    "end\n"
    "return { 'ok', session(), n, total, open, begun, paged, more, list,\n"
    "         added }\n"
    );


/* as read; the owner is not checked */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_page =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    NGX_HTTP_OLLAMA_STORE_ENTER
    "if call('EXISTS', meta) == 0 then\n"
    "    return { 'none' }\n"
    "end\n"
    "local n = tonumber(ARGV[6])\n"
    "local found, more = page(n, tonumber(ARGV[7]), tonumber(ARGV[8]))\n"
    "if #found > 0 then\n"
    "    n = number(found[#found][1])\n"
    "end\n"
    "return { 'ok', n, more, texts(found) }\n"
    );


/* the task, the first n, a title if there is none, messages */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_add =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    NGX_HTTP_OLLAMA_STORE_WRITE
    "if call('EXISTS', meta) == 0 then\n"
    "    return { 'none' }\n"
    "end\n"
    "local by, n, count = ARGV[6], tonumber(ARGV[7]), #ARGV - 8\n"
    "if written(n + count - 1, by) then\n"
    "    return { 'ok' }\n"
    "end\n"
    "local name, latest = named(by)\n"
    "if call('GET', task) ~= name or not latest or n ~= last() + 1 then\n"
    "    return { 'lost' }\n"
    "end\n"
    "append(n, 9, by, ARGV[8])\n"
    "return { 'ok' }\n"
    );


/*
 * the task, n, "1" if it is the last write, and the message's fields and
 * values, which are stored if they aren't "".  A reply is also saved if the
 * lock has expired and no other task took it.
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_save =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    NGX_HTTP_OLLAMA_STORE_WRITE
    "if call('EXISTS', meta) == 0 then\n"
    "    return { 'none' }\n"
    "end\n"
    "local by, n = ARGV[6], tonumber(ARGV[7])\n"
    "local holder, name, latest = call('GET', task), named(by)\n"
    "local function done(word)\n"
    "    if ARGV[8] == '1' then\n"
    "        released(by, latest)\n"
    "        if holder == name and latest then\n"
    "            call('DEL', task)\n"
    "        end\n"
    "    end\n"
    "    return { word }\n"
    "end\n"
    "if not written(n, by) then\n"
    "    if (holder and holder ~= name) or not latest\n"
    "       or n ~= last() + 1\n"
    "    then\n"
    "        return done('lost')\n"
    "    end\n"
    "    local message = { 't', now, 'g', by }\n"
    "    for i = 9, #ARGV, 2 do\n"
    "        if ARGV[i + 1] ~= '' then\n"
    "            message[#message + 1] = ARGV[i]\n"
    "            message[#message + 1] = ARGV[i + 1]\n"
    "        end\n"
    "    end\n"
    "    write(n, message)\n"
    "    touch(call('HGET', meta, 'owner') or '')\n"
    "end\n"
    "return done('ok')\n"
    );


/*
 * as begin, and n of the reply or 0.  A lock that has expired is acquired again
 * if no other task has it, but not after the last write or the release: a
 * renewal that had to be sent again, as Redis did not know the script, comes
 * after those
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_renew =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "if call('EXISTS', meta) == 0 then\n"
    "    return { 'none' }\n"
    "end\n"
    "local holder, name, latest = call('GET', task), named(ARGV[6])\n"
    "local n = tonumber(ARGV[8])\n"
    "if (holder and holder ~= name) or not latest\n"
    "   or (n > 0 and last() >= n)\n"
    "   or call('HGET', meta, 'released') == ARGV[6]\n"
    "then\n"
    "    return { 'lost' }\n"
    "end\n"
    "call('SET', task, name, 'PX', ARGV[7])\n"
    "return { 'ok' }\n"
    );


/* the task, "1" if what it has added is deleted, too; no n is used again */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_release =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "local name, latest = named(ARGV[6])\n"
    "released(ARGV[6], latest)\n"
    "if call('GET', task) ~= name or not latest then\n"
    "    return { 'lost' }\n"
    "end\n"
    "if ARGV[7] == '1' then\n"
    "    local from, to = string.match(call('HGET', meta, 'added') or '',\n"
    "                                  '^(%d+) (%d+)$')\n"
    "    if to and tonumber(to) == last() then\n"
    "        for n = tonumber(from), tonumber(to) do\n"
    "            if written(n, ARGV[6]) then\n"
    "                call('XDEL', msgs, id(n))\n"
    "            end\n"
    "        end\n"
    "    end\n"
    "end\n"
    "call('DEL', task)\n"
    "return { 'ok' }\n"
    );
