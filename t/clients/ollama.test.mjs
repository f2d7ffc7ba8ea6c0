// npm "ollama"

import assert from "node:assert/strict";
import { test } from "node:test";

import { Ollama } from "ollama";

import { both, BREAKS, closed, cutBehind, DIRECT, each, GATEWAY, HASTY, listed,
    MANAGED, prepare, requests, same, sameError, stop } from "./both.mjs";

const messages = [{ role: "user", content: "hi" }];
const WORDS = "w0 w1 w2 w3 w4 ";
const TOOL = { type: "function", function: { name: "get_weather",
    description: "the weather in a city", parameters: { type: "object",
        required: ["city"], properties: { city: { type: "string" } } } } };

const client = (host, more) => new Ollama({ host, ...more });
const chat = (url, more) => client(url).chat({ model: "m1", messages,
    ...more });
const generate = (url, more) => client(url).generate({ model: "m1",
    prompt: "hi", ...more });

const FORMS = { chat, generate };
const text = (piece) => piece.message ? piece.message.content
                                      : piece.response;
const words = (pieces) => pieces.map(text).join("");

// the client says on its console what it could not read
console.warn = console.log = console.error = () => {};


for (const [form, ask] of Object.entries(FORMS)) {
    test(form, async () => {
        const value = await same((url) => ask(url,
            { options: { temperature: 0 }, keep_alive: "5m" }));

        assert.equal(text(value), WORDS);
        assert.equal(value.done, true);
        assert.equal(value.eval_count, 5);
    });

    test(`${form}: stream`, async () => {
        const value = await same((url) => listed(ask(url, { stream: true })));

        assert.deepEqual(value.map(text),
            ["w0 ", "w1 ", "w2 ", "w3 ", "w4 ", ""]);
        assert.deepEqual(value.map((piece) => piece.done),
            [false, false, false, false, false, true]);
    });
}

test("long stream in pieces", async () => {
    const value = await same((url) => listed(chat(url, { stream: true })),
        { frames: 400, split: 97, split_delay_us: 0 });

    assert.equal(words(value),
        Array.from({ length: 400 }, (_, i) => `w${i} `).join(""));
});

test("unicode", async () => {
    const value = await same((url) => listed(client(url).chat({ model: "m1",
        messages: [{ role: "user", content: "é 日本 😀 \u2028 \"\\" }],
        stream: true })), { unicode: true });

    assert.ok(text(value[0]).includes("日本 😀"));
});

test("thinking", async () => {
    const value = await same((url) => listed(chat(url,
        { stream: true, think: true })), { thinking: 2 });

    assert.deepEqual(value.slice(0, 2).map((p) => p.message.thinking),
        ["t0 ", "t1 "]);
    assert.equal(words(value), WORDS);

    const whole = await same((url) => chat(url, { think: "high" }),
        { thinking: 2 });

    assert.equal(whole.message.thinking, "t0 t1 ");
    assert.equal(whole.message.content, WORDS);
});

test("tools", async () => {
    for (const stream of [false, true]) {
        const value = await same(async (url) => {
            const reply = chat(url, { tools: [TOOL], stream });
            return stream ? listed(reply) : [await reply];
        }, { tool_calls: true });

        const calls = value.flatMap((p) => p.message.tool_calls ?? []);

        assert.equal(calls.length, 1);
        assert.equal(calls[0].function.name, "get_weather");
        assert.deepEqual(calls[0].function.arguments, { city: "Paris" });
        assert.deepEqual(JSON.parse((await requests())[0].body).tools, [TOOL]);
    }
});

test("images", async () => {
    for (const size of [70, 3_000_000]) {
        const value = await same((url) => client(url).chat({ model: "m1",
            messages: [{ role: "user", content: "what?",
                images: [new Uint8Array(size)] }] }));

        assert.equal(value.message.content, WORDS);
        assert.ok((await requests())[0].body_bytes > size * 4 / 3);
    }
});

test("embed", async () => {
    const value = await same((url) => client(url).embed({ model: "m1",
        input: ["a", "b"] }));

    assert.equal(value.embeddings.length, 2);
    assert.equal(typeof value.embeddings[0][0], "number");

    const one = await same((url) => client(url).embeddings({ model: "m1",
        prompt: "a" }));

    assert.ok(one.embedding.length > 1);
});

test("list, ps, show, version", async () => {
    const value = await same(async (url) => {
        const c = client(url);
        return [await c.list(), await c.ps(), await c.show({ model: "m1" }),
            await c.version()];
    });

    assert.deepEqual(value[0].models.map((m) => m.name).sort(),
        ["m1:latest", "m2:latest"]);
    assert.deepEqual(value[1].models.map((m) => m.name), ["m1:latest"]);
    assert.ok(value[2].capabilities.includes("completion"));
    assert.equal(value[3].version, "0.17.4");
});

test("many at the same time", async () => {
    for (const url of [DIRECT, GATEWAY]) {
        await prepare({ gap_ms: 5 });

        const c = client(url);
        const all = await Promise.all(Array.from({ length: 12 }, (_, i) =>
            listed(c.chat({ model: `m${i % 2 + 1}`, messages,
                stream: true }))));

        all.forEach((pieces, i) => {
            assert.equal(words(pieces), WORDS);
            assert.equal(pieces[0].model, `m${i % 2 + 1}`);
        });
    }
});


// Managing

test("management", async () => {
    const value = await same(async (url) => {
        const c = client(url);
        return [await c.pull({ model: "m3" }),
            await listed(c.pull({ model: "m4", stream: true })),
            await c.copy({ source: "m1", destination: "m5" }),
            await c.list(), await c.delete({ model: "m5" }),
            await c.create({ model: "m6", from: "m1" }),
            await c.push({ model: "m6" }), await c.list()];
    }, {}, { gateway: MANAGED });

    assert.equal(value[0].status, "success");
    assert.equal(value[1].at(-1).status, "success");
    assert.ok(value[3].models.some((m) => m.name === "m5:latest"));
    assert.ok(!value[7].models.some((m) => m.name === "m5:latest"));
});

test("management is closed", async () => {
    await prepare();
    const c = client(GATEWAY);

    for (const ask of [() => c.pull({ model: "m1" }),
        () => c.push({ model: "m1" }), () => c.delete({ model: "m1" }),
        () => c.create({ model: "m9", from: "m1" }),
        () => c.copy({ source: "m1", destination: "m9" })])
    {
        await assert.rejects(ask, { name: "ResponseError", status_code: 403,
            message: /management/ });
    }

    assert.deepEqual(await requests(), []);
});


// Errors

for (const stream of [false, true]) {
    const ask = (url, model) => {
        const reply = client(url).chat({ model, messages, stream });
        return stream ? listed(reply) : reply;
    };
    const how = stream ? "stream" : "whole";

    test(`unknown model, ${how}`, async () => {
        const error = await sameError((url) => ask(url, "nix"));

        assert.equal(error.error, "ResponseError");
        assert.equal(error.status, 404);
        assert.equal(error.text, "model 'nix' not found");
    });

    for (const status of [400, 403, 429, 500, 502, 503, 504]) {
        test(`the server says ${status}, ${how}`, async () => {
            const error = await sameError((url) => ask(url, "m1"),
                { status, error: "no luck today" });

            assert.equal(error.error, "ResponseError");
            assert.equal(error.status, status);
            assert.equal(error.text, "no luck today");
        });
    }
}

test("bad request", async () => {
    for (const [wrong, named] of [[{ model: "m1", messages: "hi" }, /messages/],
        [{ model: 1, messages }, /model/], [{ messages }, /model/]])
    {
        const ask = (url) => client(url).processStreamableRequest("chat",
            { ...wrong });
        const [direct, gateway] = await each(ask);

        assert.equal(direct.error, "ResponseError");
        assert.equal(gateway.error, "ResponseError");
        assert.equal(gateway.status, 400);
        assert.match(gateway.text, named);
        assert.deepEqual(gateway.asked, []);
    }
});

test("the server is away", async () => {
    const [direct, gateway] = await each((url) => chat(url),
        { fault: "die_before_header" });

    assert.equal(direct.error, "TypeError");
    assert.equal(direct.text, "fetch failed");
    assert.equal(gateway.error, "ResponseError");
    assert.equal(gateway.status, 502);
});

test("no header in time", async () => {
    await prepare({ fault: "hang" });
    await assert.rejects(() => chat(HASTY),
        { name: "ResponseError", status_code: 504 });
    assert.equal((await closed()).frames_sent, 0);
});

// neither Ollama 0.17.4 nor the gateway knows it
test("path outside the table: /v1/systemone", async () => {
    const [direct, gateway] = await each((url) => client(url).systemone({
        model: "m1", state: "a state", questions: {} }));

    assert.equal(direct.status, 404);
    assert.equal(gateway.status, 404);
    assert.equal(gateway.error, direct.error);
    assert.deepEqual(gateway.asked, []);
});


// Streams that are cut: with the gateway always an error.  What the client
// throws by itself is in "without", nothing if it sees no error.

const NO_END = "Did not receive done or success response in stream.";

const CUTS = [
    ["die", { fault: "die", after: 2 }, "terminated"],
    ["reset", { fault: "reset", after: 2 }, "terminated"],
    ["mid frame", { fault: "die_mid_frame", after: 2 }, "terminated"],
    // it leaves out a line that it can't read
    ["garbage", { fault: "garbage", after: 2 }, undefined],
    ["bad chunk", { fault: "bad_chunk", after: 2 }, "terminated"],
    ["no last frame", { no_done: true }, NO_END],
    ["HTTP/1.0", { fault: "die", after: 2, http10: true }, NO_END],
];

for (const [form, ask] of Object.entries(FORMS)) {
    for (const [cut, settings, without] of CUTS) {
        test(`cut: ${cut}, ${form}`, async () => {
            const [direct, gateway] = await both((url) => listed(ask(url,
                { stream: true })), settings);

            assert.equal(direct.text, without);

            if (without === "terminated") {
                assert.equal(direct.error, "TypeError");
            }
            assert.equal(gateway.error, "Error");
            assert.match(gateway.text, /^server "127\.0\.0\.1:/);
            assert.equal(words(gateway.seen),
                settings.no_done ? WORDS : "w0 w1 ");
            assert.ok(!gateway.seen.some((piece) => piece.done));
        });
    }

    for (const [cut, settings] of Object.entries(BREAKS)) {
        test(`cut behind another nginx: ${cut}, ${form}`, async () => {
            const { error, seen } = await cutBehind((url) => listed(ask(url,
                { stream: true })), settings);

            assert.equal(error, "Error");
            assert.ok(seen.length >= 2);
        });
    }

    test(`stall, ${form}`, async () => {
        await prepare({ fault: "stall", after: 2 });
        await assert.rejects(listed(ask(HASTY, { stream: true })),
            { message: /^server "127\.0\.0\.1:/ });
        assert.equal((await closed()).frames_sent, 2);
    });
}

test("the server's error line", async () => {
    const error = await sameError((url) => listed(chat(url, { stream: true })),
        { error_line_after: 2 });

    assert.equal(words(error.seen), "w0 w1 ");
    assert.doesNotMatch(error.text, /127\.0\.0\.1/);
});

test("cut after the end", async () => {
    const [, gateway] = await both((url) => listed(chat(url,
        { stream: true })), { fault: "die_after_done" });

    assert.equal(words(gateway.value), WORDS);
    assert.equal(gateway.value.at(-1).done, true);
});

test("cut answer", async () => {
    for (const fault of ["die", "reset"]) {
        const [direct, gateway] = await both((url) => chat(url), { fault });

        assert.ok(direct.error);
        assert.ok(gateway.error);
    }
});


// Leaving

for (const [where, url] of [["direct", DIRECT], ["gateway", GATEWAY]]) {
    for (const [form, ask] of Object.entries(FORMS)) {
        for (const how of ["the stream's abort()", "the client's abort()"]) {
            test(`${how}, ${form}, ${where}`, async () => {
                await prepare({ frames: 2000, gap_ms: 10 });

                const c = client(url);
                const stream = await (form === "chat"
                    ? c.chat({ model: "m1", messages, stream: true })
                    : c.generate({ model: "m1", prompt: "hi", stream: true }));
                let seen = "";

                await assert.rejects(async () => {
                    for await (const piece of stream) {
                        seen += text(piece);

                        if (seen === "w0 w1 ") {
                            how.startsWith("the stream") ? stream.abort()
                                                         : c.abort();
                        }
                    }
                }, { name: "AbortError" });

                const { frames_sent } = await closed();
                assert.ok(frames_sent >= 2 && frames_sent < 1000);
            });
        }
    }

    test(`abort before the first word, ${where}`, async () => {
        await prepare({ ttft_ms: 60_000 });

        const c = client(url, { fetch: (to, options) => fetch(to,
            { ...options, signal: AbortSignal.timeout(400) }) });

        await assert.rejects(c.chat({ model: "m1", messages }),
            { name: "TimeoutError" });
        assert.equal((await closed()).frames_sent, 0);
    });
}


// The gateway's own

test("fields of the gateway", async () => {
    await prepare();

    const reply = await client(GATEWAY, { headers: {
        Authorization: "Bearer secret", "X-Ollama-Task-Id": "session-1" } })
        .chat({ model: "m1", messages, task_id: "task-1" });

    assert.equal(reply.message.content, WORDS);

    const sent = JSON.stringify(await requests());

    for (const word of ["secret", "session-1", "task-1", "task_id"]) {
        assert.ok(!sent.includes(word), word);
    }
});


// Stop: the stream ends as every good one does

for (const form of Object.keys(FORMS)) {
    test(`stop, ${form}`, async () => {
        await prepare({ frames: 2000, gap_ms: 10 });

        const headers = { "X-Ollama-Task-Id": "task-2" };
        const c = client(GATEWAY, { headers });
        const seen = [];

        for await (const piece of await (form === "chat"
            ? c.chat({ model: "m1", messages, stream: true })
            : c.generate({ model: "m1", prompt: "hi", stream: true })))
        {
            seen.push(piece);

            if (text(piece) === "w1 ") {
                assert.deepEqual(await stop("task-2"), { cancelled: true,
                    task_id: "task-2", session_id: null });
            }
        }

        assert.ok(words(seen).startsWith("w0 w1 "));
        assert.equal(seen.at(-1).done_reason, "cancelled");
        assert.equal(seen.filter((piece) => piece.done).length, 1);
        assert.ok((await closed()).frames_sent < 1000);
    });

    test(`stop before the first word, ${form}`, async () => {
        await prepare({ ttft_ms: 60_000 });

        const headers = { "X-Ollama-Task-Id": "task-3" };
        const c = client(GATEWAY, { headers });
        const value = form === "chat"
            ? c.chat({ model: "m1", messages })
            : c.generate({ model: "m1", prompt: "hi" });

        await requests({ wait_count: 1 });
        assert.equal((await stop("task-3")).cancelled, true);

        assert.equal((await value).done_reason, "cancelled");
        assert.equal(text(await value), "");
        assert.equal((await closed()).frames_sent, 0);
    });
}
