// npm "@anthropic-ai/sdk"

import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { both, closed, cutBehind, BREAKS, DIRECT, GATEWAY, HASTY, listed,
    prepare, PROXIED, requests, same, stop } from "./both.mjs";

const hi = [{ role: "user", content: "hi" }];
const WORDS = "w0 w1 w2 w3 w4 ";
const TOOL = { name: "get_weather", description: "the weather in a city",
    input_schema: { type: "object", required: ["city"],
        properties: { city: { type: "string" } } } };
const NAMED = { headers: { "X-Ollama-Task-Id": "task-2" } };

// the client says on its console what it could not read
console.error = () => {};

const client = (url, more) => new Anthropic({ baseURL: url, apiKey: "secret",
    maxRetries: 0, ...more });

const ask = (url, more, options) => client(url).messages.create(
    { model: "m1", max_tokens: 100, messages: hi, ...more }, options);

// what gathers the pieces of a stream
const gathered = (url, more, options) => client(url).messages.stream(
    { model: "m1", max_tokens: 100, messages: hi, ...more }, options)
    .finalMessage();

const words = (events) => events.map((e) => e.type === "content_block_delta"
    ? e.delta.text ?? "" : "").join("");


test("message", async () => {
    const value = await same((url) => ask(url));

    assert.equal(value.content[0].text, WORDS);
    assert.equal(value.stop_reason, "end_turn");
    assert.equal(value.usage.output_tokens, 5);
});

test("stream", async () => {
    const value = await same((url) => listed(ask(url, { stream: true })));

    assert.equal(words(value), WORDS);
    assert.equal(value[0].type, "message_start");
    assert.equal(value.at(-2).delta.stop_reason, "end_turn");
    assert.equal(value.at(-1).type, "message_stop");
});

test("stream helper", async () => {
    const value = await same((url) => gathered(url));

    assert.equal(value.content[0].text, WORDS);
    assert.equal(value.stop_reason, "end_turn");
});

test("long stream in pieces", async () => {
    const value = await same((url) => listed(ask(url, { stream: true })),
        { frames: 300, split: 97, split_delay_us: 0 });

    assert.equal(words(value),
        Array.from({ length: 300 }, (_, i) => `w${i} `).join(""));
});

test("thinking", async () => {
    for (const turn of [ask, gathered]) {
        const value = await same((url) => turn(url), { thinking: 2 });

        assert.deepEqual(value.content.map((block) => block.type),
            ["thinking", "text"]);
        assert.equal(value.content[0].thinking, "t0 t1 ");
    }
});

for (const [how, turn] of [["whole", ask], ["stream", gathered]]) {
    test(`tools, ${how}`, async () => {
        const [first, second] = await same(async (url) => {
            const call = await turn(url, { tools: [TOOL] });

            return [call, await turn(url, { tools: [TOOL], messages: [...hi,
                { role: "assistant", content: call.content },
                { role: "user", content: [{ type: "tool_result",
                    tool_use_id: call.content.at(-1).id,
                    content: "fine" }] }] })];
        }, { tool_calls: true, tool_once: true });

        assert.equal(first.stop_reason, "tool_use");
        assert.equal(first.content.at(-1).name, "get_weather");
        assert.deepEqual(first.content.at(-1).input, { city: "Paris" });
        assert.equal(second.content[0].text, WORDS);
        assert.equal(second.stop_reason, "end_turn");
        assert.deepEqual(JSON.parse((await requests())[0].body).tools, [TOOL]);
    });
}


// Errors

const refused = async (url, more) => {
    const error = await ask(url, more).then(() => undefined, (e) => e);

    assert.ok(error instanceof Anthropic.APIError);
    assert.equal(error.error.type, "error");
    assert.equal(typeof error.error.request_id, "string");
    return { name: error.constructor.name, status: error.status,
        kind: error.error.error.type, text: error.error.error.message };
};

for (const stream of [false, true]) {
    const how = stream ? "stream" : "whole";

    test(`unknown model, ${how}`, async () => {
        for (const url of [DIRECT, GATEWAY]) {
            await prepare();
            assert.deepEqual(await refused(url, { model: "nix", stream }),
                { name: "NotFoundError", status: 404, kind: "not_found_error",
                    text: "model 'nix' not found" });
        }
    });

    for (const status of [400, 403, 429, 500, 503]) {
        test(`the server says ${status}, ${how}`, async () => {
            const said = [];

            for (const url of [DIRECT, GATEWAY]) {
                await prepare({ status, error: "no luck today" });
                said.push(await refused(url, { stream }));
            }

            assert.deepEqual(said[1], said[0]);
            assert.equal(said[1].status, status);
            assert.equal(said[1].text, "no luck today");
        });
    }
}

test("bad request", async () => {
    await prepare();

    const { status, kind, text } = await refused(GATEWAY, { model: 1 });

    assert.equal(status, 400);
    assert.equal(kind, "invalid_request_error");
    assert.match(text, /byte \d+: "model"/);
    assert.deepEqual(await requests(), []);
});

test("the server is away", async () => {
    await prepare({ fault: "die_before_header" });

    const { status, kind } = await refused(GATEWAY);

    assert.equal(status, 502);
    assert.equal(kind, "api_error");
});

test("no header in time", async () => {
    await prepare({ fault: "hang" });
    assert.equal((await refused(HASTY)).status, 504);
    assert.equal((await closed()).frames_sent, 0);
});


// Streams that are cut: with the gateway always an error

const DIRECTLY = { ...BREAKS, "bad chunk": { fault: "bad_chunk", after: 2 },
    "HTTP/1.0": { fault: "die", after: 2, http10: true } };

for (const [cut, settings] of Object.entries(DIRECTLY)) {
    test(`cut: ${cut}`, async () => {
        const [, gateway] = await both((url) => listed(ask(url,
            { stream: true })), settings);

        assert.match(gateway.error, /^API|^AnthropicError$/);
        assert.match(gateway.text, /server \\?"127\.0\.0\.1:/);
        assert.ok(words(gateway.seen).startsWith("w0 "));
        assert.ok(!gateway.seen.some((e) => e.type === "message_stop"));
    });

    test(`cut, the helper: ${cut}`, async () => {
        await prepare(settings);
        await assert.rejects(gathered(GATEWAY),
            { message: /server \\?"127\.0\.0\.1:/ });
    });
}

for (const [cut, settings] of Object.entries(BREAKS)) {
    test(`cut behind another nginx: ${cut}`, async () => {
        await cutBehind((url) => listed(ask(url, { stream: true })), settings);
        await cutBehind((url) => gathered(url), settings);
    });
}

test("cut amid an event", async () => {
    for (const url of [GATEWAY, PROXIED]) {
        await prepare({ fault: "die_mid_frame", after: 2 });
        await assert.rejects(gathered(url));
    }
});

test("stall", async () => {
    await prepare({ fault: "stall", after: 2 });
    await assert.rejects(listed(ask(HASTY, { stream: true })),
        { message: /server \\?"127\.0\.0\.1:/ });
    await closed();
});

test("cut answer", async () => {
    for (const fault of ["die", "reset"]) {
        const [direct, gateway] = await both((url) => ask(url), { fault });

        assert.ok(direct.error);
        assert.ok(gateway.error);
    }
});


// Leaving

for (const [where, url] of [["direct", DIRECT], ["gateway", GATEWAY]]) {
    for (const how of ["break", "abort()"]) {
        test(`${how}, ${where}`, async () => {
            await prepare({ frames: 2000, gap_ms: 10 });

            const stream = await ask(url, { stream: true });

            for await (const event of stream) {
                if (words([event]) === "w1 ") {
                    if (how === "break") {
                        break;
                    }

                    // this ends the loop without an error
                    stream.controller.abort();
                }
            }

            const { frames_sent } = await closed();
            assert.ok(frames_sent >= 2 && frames_sent < 1000);
        });
    }
}


// The gateway's own

test("fields of the gateway", async () => {
    await prepare();

    const { data, response } = await ask(GATEWAY, {}, NAMED).withResponse();

    assert.equal(data.content[0].text, WORDS);
    assert.equal(response.headers.get("X-Ollama-Server"),
        DIRECT.split("//")[1]);
    assert.equal(response.headers.get("X-Ollama-Task-Id"), "task-2");

    // the key, too, is in a header
    const sent = JSON.stringify(await requests());

    for (const word of ["secret", "task-2"]) {
        assert.ok(!sent.includes(word), word);
    }
});


// Stop: the stream ends as every good one does

const indices = (events, type) => events.filter((e) => e.type === type)
    .map((e) => e.index);

function assertWhole(events) {
    assert.equal(events[0].type, "message_start");
    assert.deepEqual(events.slice(-2).map((e) => e.type),
        ["message_delta", "message_stop"]);
    assert.equal(events.at(-2).delta.stop_reason, "end_turn");
    assert.deepEqual(indices(events, "content_block_stop"),
        indices(events, "content_block_start"));
}

for (const [where, url] of [["gateway", GATEWAY],
    ["behind another nginx", PROXIED]])
{
    test(`stop, ${where}`, async () => {
        await prepare({ frames: 2000, gap_ms: 10 });

        const seen = [];

        for await (const event of await ask(url, { stream: true }, NAMED)) {
            seen.push(event);

            if (words([event]) === "w1 ") {
                assert.equal((await stop("task-2")).cancelled, true);
            }
        }

        assert.ok(words(seen).startsWith("w0 w1 "));
        assertWhole(seen);
        assert.ok((await closed()).frames_sent < 1000);
    });
}

test("stop before the first word", async () => {
    for (const [turn, more] of [[ask, {}], [gathered, {}],
        [(...args) => listed(ask(...args)), { stream: true }]])
    {
        await prepare({ ttft_ms: 60_000 });

        const waiting = turn(GATEWAY, more, NAMED);

        await requests({ wait_count: 1 });
        assert.equal((await stop("task-2")).cancelled, true);

        const value = await waiting;

        if (more.stream) {
            assertWhole(value);
        } else {
            assert.equal(value.stop_reason, "end_turn");
        }

        assert.equal((await closed()).frames_sent, 0);
    }
});
