// Runs an operation of a client twice, against the server and through nginx:
// what both.py does for Python.
//
//     const value = await same((url) => new Ollama({ host: url }).list());

import assert from "node:assert/strict";

export const DIRECT = process.env.CLIENTS_DIRECT;
export const GATEWAY = process.env.CLIENTS_GATEWAY;
export const MANAGED = process.env.CLIENTS_MANAGED;
export const HASTY = process.env.CLIENTS_HASTY;
export const PROXIED = process.env.CLIENTS_PROXIED;

const VOLATILE = new Set(["id", "created", "created_at", "completed_at",
    "modified_at", "expires_at", "item_id", "_request_id"]);


// The stand-in server, see t/fake/README.md

async function fake(path, body) {
    const reply = await fetch(`${process.env.CLIENTS_CONTROL}/fake/${path}`,
        body && { method: "POST", body: JSON.stringify(body) });
    const text = await reply.text();

    assert.ok(reply.ok, text);
    return text.trim() ? JSON.parse(text) : {};
}


export async function requests(args = {}) {
    const record = await fake(`requests?${new URLSearchParams(args)}`);

    assert.ok(!record.timed_out, `never came true: ${JSON.stringify(args)}`);
    return record.requests;
}


export async function prepare(settings = {}, server) {
    await fake("reset", {});
    await fake("set", { model: "*", ...settings, ...(server && { server }) });
}


// Has the gateway stop a generation; what it says.

export async function stop(task) {
    const reply = await fetch(`${GATEWAY}/api/chat/cancel/${task}`,
        { method: "POST" });

    return reply.json();
}


// The record of the last request, which a client left.

export async function closed() {
    const last = (await requests({ wait_ended: 1, timeout_ms: 5000 })).at(-1);

    assert.equal(last.end, "client_closed");
    return last;
}


// Without classes, ids and times; that there was one stays.

export function plain(value) {
    if (Array.isArray(value)) {
        return value.map(plain);
    }

    if (value instanceof Date) {
        return "date";
    }

    if (value === null || typeof value !== "object") {
        return value;
    }

    return Object.fromEntries(Object.entries(value).map(([key, item]) =>
        [key, VOLATILE.has(key) || key.endsWith("_duration") ? typeof item
                                                             : plain(item)]));
}


// All pieces of a stream; an error keeps those that came before it.

export async function listed(stream) {
    const seen = [];

    try {
        for await (const piece of await stream) {
            seen.push(piece);
        }
    } catch (error) {
        error.seen = seen;
        throw error;
    }

    return seen;
}


async function outcome(operation, url) {
    try {
        return { value: plain(await operation(url)) };

    } catch (error) {
        return { error: error.constructor.name, text: error.message,
            status: error.status_code ?? error.status,
            ...(error.seen && { seen: plain(error.seen) }) };
    }
}


// The outcomes, and what the server was asked.  Of the body the sum, as the
// gateway changes nothing where there is nothing to take out.

export async function each(operation, settings, { gateway = GATEWAY,
    server } = {})
{
    const all = [];

    for (const url of [DIRECT, gateway]) {
        await prepare(settings, server);

        const result = await outcome(operation, url);
        const record = await requests({ wait_active: 0, timeout_ms: 5000 });

        result.asked = record.map(({ method, uri, body_bytes, body_sha256 }) =>
            ({ method, uri, body_bytes, body_sha256 }));
        all.push(result);
    }

    return all;
}


// The server was asked for the same.

export async function both(operation, settings, options) {
    const [direct, gateway] = await each(operation, settings, options);

    assert.deepEqual(gateway.asked, direct.asked);
    assert.notEqual(direct.asked.length, 0, "the server was not asked");

    return [direct, gateway];
}


// Replies that are cut, and that a proxy before the gateway takes for whole.

export const BREAKS = {
    die: { fault: "die", after: 2 },
    reset: { fault: "reset", after: 2 },
    "no last frame": { no_done: true },
};


// What a client throws of a stream that is cut, with a second nginx between it
// and the gateway.

export async function cutBehind(operation, settings) {
    await prepare(settings);

    const result = await outcome(operation, PROXIED);

    assert.ok(result.error, JSON.stringify(result));
    // some show the event as it came
    assert.match(result.text, /server \\?"127\.0\.0\.1:/);
    return result;
}


// The outcome, the same of both, which is no error.

export async function same(operation, settings, options) {
    const [direct, gateway] = await both(operation, settings, options);

    assert.deepEqual(gateway, direct);
    assert.equal(gateway.error, undefined, gateway.text);

    return gateway.value;
}


export async function sameError(operation, settings, options) {
    const [direct, gateway] = await both(operation, settings, options);

    assert.deepEqual(gateway, direct);
    assert.ok(gateway.error, "there was no error");

    return gateway;
}
