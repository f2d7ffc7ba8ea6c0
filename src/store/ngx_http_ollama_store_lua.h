
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_HTTP_OLLAMA_STORE_LUA_H_INCLUDED_
#define _NGX_HTTP_OLLAMA_STORE_LUA_H_INCLUDED_


/*
 * Parts of the scripts of store_script and store_script_task, which describe
 * the keys: texts that are put in front of a script.
 */


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
    "local function message(n)\n"                                             \
    "    return call('XRANGE', msgs, id(n), id(n))[1]\n"                      \
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
    "local function length(message)\n"                                        \
    "    local size = 0\n"                                                    \
    "    for _, text in ipairs(message) do\n"                                 \
    "        size = size + #text\n"                                           \
    "    end\n"                                                               \
    "    return size\n"                                                       \
    "end\n"                                                                   \
    "-- from one id to another, either way; few at a time, as each may be\n"  \
    "-- large\n"                                                              \
    "local function walk(command, from, to, limit, bytes)\n"                  \
    "    local found, size, count = {}, 0, 1\n"                               \
    "    local big = tonumber(call('HGET', meta, 'big') or '')\n"             \
    "    if big then\n"                                                       \
    "        count = math.max(1, math.min(limit, math.floor(262144 / big)))\n"\
    "    end\n"                                                               \
    "    while true do\n"                                                     \
    "        local some = call(command, msgs, from, to, 'COUNT', count)\n"    \
    "        local before = size\n"                                           \
    "        for _, one in ipairs(some) do\n"                                 \
    "            local n = length(one[2])\n"                                  \
    "            if #found == limit or #found > 0 and size + n > bytes then\n"\
    "                return found, 1\n"                                       \
    "            end\n"                                                       \
    "            found[#found + 1] = one\n"                                   \
    "            size = size + n\n"                                           \
    "        end\n"                                                           \
    "        if #some < count then\n"                                         \
    "            return found, 0\n"                                           \
    "        end\n"                                                           \
    "        from = '(' .. some[count][1]\n"                                  \
    "        if not big then\n"                                               \
    "            count = size - before < 65536 and math.min(count * 2, 16)\n" \
    "                    or 1\n"                                              \
    "        end\n"                                                           \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "local function page(n, limit, bytes)\n"                                  \
    "    return walk('XRANGE', id(n + 1), '+', limit, bytes)\n"               \
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
    "    local one = message(n)\n"                                            \
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
    "-- a list lives as long as the longest session\n"                        \
    "local function enlist(owner, sid)\n"                                     \
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
    "-- when one is made, some that have expired are removed, so that the\n"  \
    "-- list of a client that never lists doesn't grow\n"                     \
    "local function tidy(owner)\n"                                            \
    "    if owner == '' then\n"                                               \
    "        return\n"                                                        \
    "    end\n"                                                               \
    "    local list = prefix .. 'owner:' .. owner\n"                          \
    "    for _, other in ipairs(call('ZRANDMEMBER', list, 4)) do\n"           \
    "        if call('EXISTS', prefix .. '{' .. other .. '}:meta') == 0 then\n"\
    "            call('ZREM', list, other)\n"                                 \
    "        end\n"                                                           \
    "    end\n"                                                               \
    "end\n"                                                                   \
    "-- after each write\n"                                                   \
    "local function touch(owner)\n"                                           \
    "    call('HSET', meta, 'updated', now)\n"                                \
    "    live(meta)\n"                                                        \
    "    live(msgs)\n"                                                        \
    "    enlist(owner, sid)\n"                                                \
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


/* functions of those that write messages; need BEGIN */

#define NGX_HTTP_OLLAMA_STORE_WRITE                                           \
    "-- message n, as a list of fields and values\n"                          \
    "local function write(n, message)\n"                                      \
    "    local size = length(message)\n"                                      \
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


/* functions of those that begin a task or read its history; need BEGIN */

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


#endif /* _NGX_HTTP_OLLAMA_STORE_LUA_H_INCLUDED_ */
