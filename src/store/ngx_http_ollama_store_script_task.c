
/*
 * Copyright (C) the nginx-ollama authors
 */


/*
 * The scripts of a task in a session: it takes the lock, reads the history,
 * adds what is new, saves replies and releases the lock.  The keys and the
 * replies are described in store_script.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "store/ngx_http_ollama_store_lua.h"
#include "store/ngx_http_ollama_store_script.h"


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
    "local found, more, bytes = {}, 1, tonumber(ARGV[9])\n"
    "-- a large message is for a page that holds up nobody\n"
    "if tonumber(call('HGET', meta, 'big') or 0) <= bytes then\n"
    "    found, more = page(0, tonumber(ARGV[8]), bytes)\n"
    "end\n"
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
    "        -- what is in front of it may still come\n"
    "        return n > last() + 1 and { 'lost' } or done('lost')\n"
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


/*
 * the task, and the first and the last n of messages that are deleted, too, or
 * 0; no n is used again
 */

ngx_http_ollama_redis_script_t  ngx_http_ollama_store_script_release =
    ngx_http_ollama_redis_script_text(
    NGX_HTTP_OLLAMA_STORE_BEGIN
    "local name, latest = named(ARGV[6])\n"
    "local from, to = tonumber(ARGV[7]), tonumber(ARGV[8])\n"
    "local holder = call('GET', task)\n"
    "local own = holder == name and latest\n"
    "released(ARGV[6], latest)\n"
    "if to > 0 and (own or not holder) and last() == to then\n"
    "    for n = from, to do\n"
    "        call('XDEL', msgs, id(n))\n"
    "    end\n"
    "    call('HDEL', meta, 'added')\n"
    "end\n"
    "if not own then\n"
    "    return { 'lost' }\n"
    "end\n"
    "call('DEL', task)\n"
    "return { 'ok' }\n"
    );
