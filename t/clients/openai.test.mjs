// npm "openai"

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { both, BREAKS, closed, cutBehind, DIRECT, each, GATEWAY, HASTY, listed,
    prepare, requests, same, sameError, stop } from "./both.mjs";

const messages = [{ role: "user", content: "hi" }];
const WORDS = "w0 w1 w2 w3 w4 ";
const TOOL = { type: "function", function: { name: "get_weather",
    description: "the weather in a city", parameters: { type: "object",
        required: ["city"], properties: { city: { type: "string" } } } } };

const client = (url, more) => new OpenAI({ baseURL: `${url}/v1`,
    apiKey: "secret", maxRetries: 0, ...more });

const chat = (url, more, options) => client(url).chat.completions.create(
    { model: "m1", messages, ...more }, options);
const completions = (url, more, options) => client(url).completions.create(
    { model: "m1", prompt: "hi", ...more }, options);
const responses = (url, more, options) => client(url).responses.create(
    { model: "m1", input: "hi", ...more }, options);

const FORMS = { chat, completions, responses };

// the words in a piece of any stream
const text = (piece) => piece.choices
    ? piece.choices.map((c) => c.delta ? c.delta.content ?? ""
                                       : c.text).join("")
    : piece.type === "response.output_text.delta" ? piece.delta : "";
const words = (pieces) => pieces.map(text).join("");

// the client says on its console what it could not read
console.error = () => {};


test("chat", async () => {
    const value = await same((url) => chat(url));

    assert.equal(value.choices[0].message.content, WORDS);
    assert.equal(value.choices[0].finish_reason, "stop");
    assert.equal(value.usage.completion_tokens, 5);
});

test("completions", async () => {
    const value = await same((url) => completions(url));

    assert.equal(value.choices[0].text, WORDS);
});

test("responses", async () => {
    const value = await same((url) => responses(url));

    assert.equal(value.status, "completed");
    assert.equal(value.output.at(-1).content[0].text, WORDS);
});

for (const [form, ask] of Object.entries(FORMS)) {
    test(`stream, ${form}`, async () => {
        const value = await same((url) => listed(ask(url, { stream: true })));

        assert.deepEqual(value.map(text).filter((t) => t),
            ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]);
    });

    test(`long stream in pieces, ${form}`, async () => {
        const value = await same((url) => listed(ask(url, { stream: true })),
            { frames: 300, split: 97, split_delay_us: 0 });

        assert.equal(words(value),
            Array.from({ length: 300 }, (_, i) => `w${i} `).join(""));
    });
}

test("usage in a stream", async () => {
    const value = await same((url) => listed(chat(url, { stream: true,
        stream_options: { include_usage: true } })));

    assert.equal(value.at(-1).usage.completion_tokens, 5);
});

test("unicode", async () => {
    const value = await same((url) => listed(chat(url, { stream: true })),
        { unicode: true });

    assert.ok(words(value).includes("日本 😀"));
});

test("stream helper", async () => {
    const value = await same((url) => client(url).chat.completions
        .stream({ model: "m1", messages }).finalContent());

    assert.equal(value, WORDS);
});

test("thinking", async () => {
    const whole = await same((url) => chat(url, { reasoning_effort: "high" }),
        { thinking: 2 });

    assert.equal(whole.choices[0].message.reasoning, "t0 t1 ");

    const value = await same((url) => listed(chat(url, { stream: true })),
        { thinking: 2 });

    assert.deepEqual(value.slice(0, 2).map((p) =>
        p.choices[0].delta.reasoning), ["t0 ", "t1 "]);
    assert.equal(words(value), WORDS);
});

test("tools", async () => {
    for (const stream of [false, true]) {
        const value = await same(async (url) => {
            const reply = chat(url, { tools: [TOOL], stream });
            return stream ? listed(reply) : [await reply];
        }, { tool_calls: true });

        const calls = value.flatMap((p) => p.choices.flatMap((c) =>
            (c.delta ?? c.message).tool_calls ?? []));

        assert.equal(calls.length, 1);
        assert.equal(calls[0].function.name, "get_weather");
        assert.deepEqual(JSON.parse(calls[0].function.arguments),
            { city: "Paris" });
        assert.deepEqual(JSON.parse((await requests())[0].body).tools, [TOOL]);
    }
});

test("images", async () => {
    for (const size of [70, 3_000_000]) {
        const data = Buffer.alloc(size).toString("base64");
        const value = await same((url) => chat(url, { messages: [{
            role: "user", content: [{ type: "text", text: "what?" },
                { type: "image_url", image_url: {
                    url: `data:image/png;base64,${data}` } }] }] }));

        assert.equal(value.choices[0].message.content, WORDS);
        assert.ok((await requests())[0].body_bytes > size * 4 / 3);
    }
});

test("embeddings", async () => {
    for (const more of [{}, { encoding_format: "float" },
        { encoding_format: "base64" }])
    {
        const value = await same((url) => client(url).embeddings.create({
            model: "m1", input: ["a", "b"], ...more }));

        assert.equal(value.data.length, 2);
        assert.equal(value.data[1].index, 1);
    }
});

test("models", async () => {
    const value = await same(async (url) => {
        const page = await client(url).models.list();
        return page.data.map((model) => model.id).sort();
    });

    assert.deepEqual(value, ["m1:latest", "m2:latest"]);

    for (const name of ["m1", "m2:latest"]) {
        assert.equal(await same(async (url) =>
            (await client(url).models.retrieve(name)).id), name);
    }
});


// Errors

for (const stream of [false, true]) {
    const how = stream ? "stream" : "whole";

    for (const [form, ask] of Object.entries(FORMS)) {
        test(`unknown model, ${form}, ${how}`, async () => {
            const error = await sameError((url) => ask(url,
                { model: "nix", stream }));

            assert.equal(error.error, "NotFoundError");
            assert.match(error.text, /nix/);
        });
    }

    for (const [status, name] of [[400, "BadRequestError"],
        [403, "PermissionDeniedError"], [429, "RateLimitError"],
        [500, "InternalServerError"], [503, "InternalServerError"]])
    {
        test(`the server says ${status}, ${how}`, async () => {
            const error = await sameError((url) => chat(url, { stream }),
                { status, error: "no luck today" });

            assert.equal(error.error, name);
            assert.equal(error.status, status);
            assert.match(error.text, /no luck today/);
        });
    }
}

test("it tries again", async () => {
    const error = await sameError((url) => chat(url, {}, { maxRetries: 1 }),
        { status: 503, error: "busy" });

    assert.equal(error.status, 503);
    assert.equal((await requests()).length, 2);
});

test("bad request", async () => {
    for (const [wrong, named] of [[{ messages: "hi" }, /messages/],
        [{ model: 1 }, /model/]])
    {
        const [direct, gateway] = await each((url) => chat(url, wrong));

        assert.equal(direct.error, "BadRequestError");
        assert.equal(gateway.error, "BadRequestError");
        assert.match(gateway.text, named);
        assert.deepEqual(gateway.asked, []);
    }
});

test("the server is away", async () => {
    const [direct, gateway] = await each((url) => chat(url),
        { fault: "die_before_header" });

    assert.equal(direct.error, "APIConnectionError");
    assert.equal(gateway.status, 502);
    assert.equal(gateway.error, "InternalServerError");
});

test("no header in time", async () => {
    await prepare({ fault: "hang" });
    await assert.rejects(chat(HASTY), { status: 504 });
    assert.equal((await closed()).frames_sent, 0);
});

// OpenAI has these, Ollama has not
for (const [path, status, ask] of [
    ["/v1/moderations", 404, (c) => c.moderations.create({ input: "hi" })],
    ["/v1/files", 404, (c) => c.files.list()],
    ["/v1/audio/speech", 404, (c) => c.audio.speech.create({ input: "hi",
        model: "m1", voice: "alloy" })],
    ["/v1/responses/{id}", 404, (c) => c.responses.retrieve("resp_1")],
    ["DELETE /v1/models/{id}", 405, (c) => c.models.delete("m1")]])
{
    test(`path outside the table: ${path}`, async () => {
        const [direct, gateway] = await each((url) => ask(client(url)));

        assert.equal(direct.status, status);
        assert.equal(gateway.status, status);
        assert.equal(gateway.error, direct.error);
        assert.deepEqual(gateway.asked, []);
    });
}


// Streams that are cut: with the gateway always an error.  What the client
// throws by itself is in "without", nothing if it sees no error.

const CUTS = [
    ["die", { fault: "die", after: 2 }, "terminated"],
    ["reset", { fault: "reset", after: 2 }, "terminated"],
    ["mid frame", { fault: "die_mid_frame", after: 2 }, "terminated"],
    ["bad chunk", { fault: "bad_chunk", after: 2 }, "terminated"],
    ["no last frame", { no_done: true }, undefined],
    ["HTTP/1.0", { fault: "die", after: 2, http10: true }, undefined],
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

            if (cut === "mid frame") {
                // it stumbles over the half event, before it sees the last one
                assert.equal(gateway.error, "SyntaxError");
            } else {
                assert.equal(gateway.error, "APIError");
                assert.match(gateway.text, /server "127\.0\.0\.1:/);
            }

            assert.ok(!gateway.seen.some((p) =>
                p.type === "response.completed"));
        });
    }

    for (const [cut, settings] of Object.entries(BREAKS)) {
        test(`cut behind another nginx: ${cut}, ${form}`, async () => {
            const { error, seen } = await cutBehind((url) => listed(ask(url,
                { stream: true })), settings);

            assert.equal(error, "APIError");
            assert.ok(words(seen).startsWith("w0 "));
        });
    }

    test(`stall, ${form}`, async () => {
        await prepare({ fault: "stall", after: 2 });
        await assert.rejects(listed(ask(HASTY, { stream: true })),
            { message: /server "127\.0\.0\.1:/ });
        await closed();
    });

    test(`cut after the end, ${form}`, async () => {
        const [, gateway] = await both((url) => listed(ask(url,
            { stream: true })), { fault: "die_after_done" });

        assert.equal(gateway.error, undefined);
        assert.equal(words(gateway.value), WORDS);
    });
}

test("cut behind another nginx, the helpers", async () => {
    // what gathers the pieces does not give a half text
    for (const settings of Object.values(BREAKS)) {
        await cutBehind((url) => client(url).chat.completions.stream(
            { model: "m1", messages }).finalContent(), settings);
        await cutBehind((url) => client(url).responses.stream(
            { model: "m1", input: "hi" }).finalResponse(), settings);
    }
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
        for (const how of ["break", "abort()"]) {
            test(`${how}, ${form}, ${where}`, async () => {
                await prepare({ frames: 2000, gap_ms: 10 });

                const stream = await ask(url, { stream: true });
                let seen = "";

                for await (const piece of stream) {
                    seen += text(piece);

                    if (seen.endsWith("w1 ")) {
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

    test(`abort before the first word, ${where}`, async () => {
        await prepare({ ttft_ms: 60_000 });

        const error = await chat(url, {}, { timeout: 400 }).then(
            () => undefined, (e) => e);

        assert.ok(error instanceof OpenAI.APIConnectionTimeoutError);
        assert.equal((await closed()).frames_sent, 0);
    });
}


// The gateway's own

test("fields of the gateway", async () => {
    await prepare();

    const { data, response } = await chat(GATEWAY, { task_id: "mine" },
        { headers: { "X-Ollama-Task-Id": "task-1" } }).withResponse();

    assert.equal(data.choices[0].message.content, WORDS);
    assert.equal(response.headers.get("X-Ollama-Task-Id"), "task-1");
    assert.equal(response.headers.get("X-Ollama-Server"),
        DIRECT.split("//")[1]);

    const sent = JSON.stringify(await requests());

    // a body is the client's own
    assert.ok(sent.includes("mine"));

    for (const word of ["secret", "task-1"]) {
        assert.ok(!sent.includes(word), word);
    }
});


// Stop: the stream ends as every good one does

for (const [form, ask] of Object.entries(FORMS)) {
    test(`stop, ${form}`, async () => {
        await prepare({ frames: 2000, gap_ms: 10 });

        const seen = [];
        const stream = await ask(GATEWAY, { stream: true },
            { headers: { "X-Ollama-Task-Id": "task-2" } });

        for await (const piece of stream) {
            seen.push(piece);

            if (text(piece) === "w1 ") {
                assert.equal((await stop("task-2")).cancelled, true);
            }
        }

        assert.ok(seen.map(text).join("").startsWith("w0 w1 "));

        if (form === "responses") {
            assert.equal(seen.at(-1).type, "response.incomplete");

        } else {
            assert.equal(seen.at(-1).choices[0].finish_reason, "stop");
        }

        assert.ok((await closed()).frames_sent < 1000);
    });
}
