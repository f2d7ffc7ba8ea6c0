// npm "ai", with four of its providers: one for each dialect

import assert from "node:assert/strict";
import { test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, stepCountIs, streamText, tool } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { z } from "zod";

import { closed, BREAKS, DIRECT, GATEWAY, HASTY, prepare, PROXIED, requests,
    stop } from "./both.mjs";

const WORDS = "w0 w1 w2 w3 w4 ";
const NAMED = { "X-Ollama-Task-Id": "task-2" };

const PROVIDERS = {
    "openai-compatible": { path: "/v1/chat/completions", stopped: "stop",
        model: (url, name) => createOpenAICompatible({ name: "fleet",
            baseURL: `${url}/v1`, apiKey: "secret" })(name) },
    openai: { path: "/v1/responses", stopped: "other",
        model: (url, name) => createOpenAI({ baseURL: `${url}/v1`,
            apiKey: "secret" }).responses(name) },
    anthropic: { path: "/v1/messages", stopped: "stop",
        model: (url, name) => createAnthropic({ baseURL: `${url}/v1`,
            apiKey: "secret" })(name) },
    // it leaves a line {"error":…} out, Ollama's own, too: only the reason why
    // the text ended tells
    ollama: { path: "/api/chat", stopped: "other", deaf: true,
        model: (url, name) => createOllama({ baseURL: `${url}/api` })(name) },
};

const tools = { get_weather: tool({ description: "the weather in a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `fine in ${city}` }) };


// it says there which lines it left out
console.warn = () => {};


for (const [provider, { path, stopped, deaf, model }]
    of Object.entries(PROVIDERS))
{
    const options = (url, more) => ({ model: model(url, "m1"), prompt: "hi",
        maxRetries: 0, ...more });

    const whole = (url, more) => generateText(options(url, more));

    // All parts of a stream; its errors are parts, too, those of the
    // connection are thrown.
    async function streamed(url, more, each) {
        const parts = [];
        const { fullStream } = streamText({ ...options(url, more),
            onError: () => {} });

        try {
            for await (const part of fullStream) {
                parts.push(part);
                await each?.(part);
            }
        } catch (error) {
            parts.push({ type: "error", error });
        }

        return { parts,
            text: parts.map((p) => p.type === "text-delta" ? p.text : "")
                .join(""),
            error: parts.find((p) => p.type === "error")?.error,
            finish: parts.findLast((p) => p.type === "finish")?.finishReason };
    }

    const paths = async () => (await requests({ wait_active: 0 })).map((r) =>
        r.path);

    // A client that took a half text for a whole one would show no error.
    async function assertCut(url) {
        const { error, finish } = await streamed(url);

        if (deaf && url === PROXIED) {
            assert.equal(finish, "other");
            return;
        }

        assert.ok(error, "there was no error");
        assert.ok(finish === undefined || finish === "error", finish);
    }


    test(`chat, ${provider}`, async () => {
        for (const url of [DIRECT, GATEWAY]) {
            await prepare();

            const value = await whole(url);

            assert.equal(value.text, WORDS);
            assert.equal(value.finishReason, "stop");
            assert.equal(value.usage.outputTokens, 5);
            assert.deepEqual(await paths(), [path]);
        }
    });

    test(`stream, ${provider}`, async () => {
        for (const url of [DIRECT, GATEWAY, PROXIED]) {
            await prepare({ frames: 50 });

            const { text, error, finish } = await streamed(url);

            assert.equal(error, undefined);
            assert.equal(text,
                Array.from({ length: 50 }, (_, i) => `w${i} `).join(""));
            assert.equal(finish, "stop");
            assert.deepEqual(await paths(), [path]);
        }
    });

    for (const [how, ask] of [["whole", whole], ["stream", streamed]]) {
        test(`tools, ${provider}, ${how}`, async () => {
            for (const url of [DIRECT, GATEWAY]) {
                await prepare({ tool_calls: true, tool_once: true });

                const value = await ask(url, { tools,
                    stopWhen: stepCountIs(3) });
                const steps = value.steps ?? [];
                const results = [...steps.flatMap((s) => s.toolResults),
                    ...(value.parts ?? []).filter((p) =>
                        p.type === "tool-result")];

                assert.deepEqual(results.map((r) => [r.toolName, r.input,
                    r.output]), [["get_weather", { city: "Paris" },
                    "fine in Paris"]]);
                assert.ok(value.text.endsWith(WORDS));
                assert.equal(value.finish ?? value.finishReason, "stop");
                assert.deepEqual(await paths(), [path, path]);
            }
        });

        test(`unknown model, ${provider}, ${how}`, async () => {
            const said = [];

            for (const url of [DIRECT, GATEWAY]) {
                await prepare();

                const more = { model: model(url, "nix") };
                const error = await ask(url, more).then((v) => v.error,
                    (e) => e);

                assert.ok(APICallError.isInstance(error));
                assert.equal(error.statusCode, 404);
                assert.match(error.responseBody, /model 'nix' not found/);
                said.push(error.message);
            }

            assert.equal(said[1], said[0]);
        });
    }

    test(`the server says 503, ${provider}`, async () => {
        for (const url of [DIRECT, GATEWAY]) {
            await prepare({ status: 503, error: "no luck today" });
            await assert.rejects(whole(url),
                { statusCode: 503, responseBody: /no luck today/ });
        }
    });


    // Streams that are cut: with the gateway always an error

    for (const [cut, settings] of Object.entries({ ...BREAKS,
        "HTTP/1.0": { fault: "die", after: 2, http10: true } }))
    {
        test(`cut: ${cut}, ${provider}`, async () => {
            await prepare(settings);
            await assertCut(GATEWAY);
        });
    }

    for (const [cut, settings] of Object.entries(BREAKS)) {
        test(`cut behind another nginx: ${cut}, ${provider}`, async () => {
            await prepare(settings);
            await assertCut(PROXIED);
        });
    }

    test(`stall, ${provider}`, async () => {
        await prepare({ fault: "stall", after: 2 });
        await assertCut(HASTY);
        await closed();
    });

    test(`cut answer, ${provider}`, async () => {
        await prepare({ fault: "die" });
        await assert.rejects(whole(GATEWAY));
    });


    // Leaving, and being stopped

    test(`abort, ${provider}`, async () => {
        await prepare({ frames: 2000, gap_ms: 10 });

        const controller = new AbortController();

        await streamed(GATEWAY, { abortSignal: controller.signal }, (part) => {
            if (part.text === "w1 ") {
                controller.abort();
            }
        });

        const { frames_sent } = await closed();
        assert.ok(frames_sent >= 2 && frames_sent < 1000);
    });

    for (const [where, url] of [["gateway", GATEWAY],
        ["behind another nginx", PROXIED]])
    {
        test(`stop, ${provider}, ${where}`, async () => {
            await prepare({ frames: 2000, gap_ms: 10 });

            const { text, error, finish } = await streamed(url,
                { headers: NAMED }, async (part) => {
                    if (part.text === "w1 ") {
                        assert.equal((await stop("task-2")).cancelled, true);
                    }
                });

            assert.equal(error, undefined);
            assert.ok(text.startsWith("w0 w1 "));
            assert.equal(finish, stopped);
            assert.ok((await closed()).frames_sent < 1000);
            assert.ok(!JSON.stringify(await requests()).includes("task-2"));
        });
    }

    test(`stop before the first word, ${provider}`, async () => {
        for (const ask of [whole, streamed]) {
            await prepare({ ttft_ms: 60_000 });

            const waiting = ask(GATEWAY, { headers: NAMED });

            await requests({ wait_count: 1 });
            assert.equal((await stop("task-2")).cancelled, true);

            const value = await waiting;

            assert.equal(value.error, undefined);
            assert.equal(value.text, "");
            assert.equal(value.finish ?? value.finishReason, stopped);
            assert.equal((await closed()).frames_sent, 0);
        }
    });
}
