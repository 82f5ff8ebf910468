// The `ai` package with its providers of three dialects.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateText, Output, RetryError, streamText, tool } from "ai";
import { z } from "zod";
import { booked, embeddingModel, key, ledger, model, openaiUrl, rootUrl, scripted, shortMs, slow } from "./gateway.mjs";

const prompt = "one two three";
const oslo = { city: "Oslo" };
const schema = z.object({ city: z.string() });
const openai = (fetch, apiKey) => createOpenAI({ baseURL: openaiUrl, apiKey, fetch });
const google = (fetch, apiKey) => createGoogleGenerativeAI({ baseURL: `${rootUrl}/v1beta`, apiKey, fetch });
const dialects = {
  "chat completions": (fetch, apiKey = key) => openai(fetch, apiKey).chat(model),
  "responses": (fetch, apiKey = key) => openai(fetch, apiKey).responses(model),
  "anthropic": (fetch, apiKey = key) => createAnthropic({ baseURL: `${rootUrl}/v1`, apiKey, fetch })("claude-test"),
  "gemini": (fetch, apiKey = key) => google(fetch, apiKey)("gemini-test"),
};

for (const [name, make] of Object.entries(dialects)) {
  test(`${name}: text is generated and streamed, and booked as its usage says`, async () => {
    const { fetch, told } = scripted();
    const answer = await generateText({ model: make(fetch), prompt, maxRetries: 0 });
    assert.match(answer.text, /^alpha beta/);
    assert.equal(answer.usage.outputTokens, 8);
    assert.equal((await booked(told.requestId)).lines[0].usage.output, 8);
    const stream = streamText({ model: make(fetch), prompt, maxRetries: 0, onError: () => {} });
    assert.match(await stream.text, /^alpha beta/);
    assert.equal(await stream.finishReason, "stop");
    const entry = await booked(told.requestId);
    assert.deepEqual([entry.stream, entry.lines[0].usage.output], [true, 8]);
  });

  test(`${name}: an error is an APICallError that says whether to try again`, async () => {
    for (const [status, isRetryable] of [[400, false], [503, true]]) {
      const { fetch } = scripted({ status });
      await assert.rejects(generateText({ model: make(fetch), prompt, maxRetries: 0 }), error => {
        assert.ok(APICallError.isInstance(error), String(error));
        assert.equal(error.isRetryable, isRetryable);
        return true;
      });
    }
  });

  test(`${name}: a stream that is not whole does not finish well`, async () => {
    for (const fault of ["cut", "clean_cut"]) {
      const { fetch, told } = scripted({ fault, at: 4 });
      const errors = [];
      const stream = streamText({ model: make(fetch), prompt, maxRetries: 0, onError: ({ error }) => errors.push(error) });
      const parts = [];
      for await (const part of stream.fullStream) parts.push(part);
      assert.ok(errors.length > 0, `${fault}: no error`);
      assert.equal((await booked(told.requestId)).outcome, "truncated");
    }
  });

  test(`${name}: a tool call comes through, plain and streamed`, async () => {
    const { fetch, told } = scripted({ tool_call: { name: "weather", arguments: oslo } });
    const asked = { model: make(fetch), prompt, tools: { weather: tool({ inputSchema: schema }) } };
    const plain = await generateText(asked);
    const streamed = await streamText(asked).toolCalls;
    for (const calls of [plain.toolCalls, streamed]) {
      assert.deepEqual(calls.map(({ toolName, input }) => [toolName, input]), [["weather", oslo]]);
    }
    assert.equal((await booked(told.requestId)).lines[0].usage.output, 8);
  });

  test(`${name}: structured output is parsed, plain and streamed`, async () => {
    const { fetch, told } = scripted({ text: JSON.stringify(oslo) });
    const asked = { model: make(fetch), prompt, output: Output.object({ schema }) };
    assert.deepEqual((await generateText(asked)).output, oslo);
    assert.deepEqual(await streamText(asked).output, oslo);
    assert.equal((await booked(told.requestId)).lines[0].usage.output, 8);
  });

  test(`${name}: an abort is one, and what the provider made is booked`, async () => {
    const own = await ledger();
    const { fetch, told } = scripted(slow);
    const abortSignal = AbortSignal.timeout(shortMs);
    await assert.rejects(generateText({ model: make(fetch, own.key), prompt, abortSignal }), { name: "TimeoutError" });
    assert.equal(told.calls, 1);
    assert.deepEqual(await own.sums(1), { requests: 1, output: 8, estimated: 0, isFree: false });
  });
}

// It waits two seconds before it tries again: all dialects at once.
test("a retry succeeds, and each try is booked once", () => Promise.all(Object.values(dialects).map(async make => {
  const own = await ledger();
  const { fetch, told } = scripted({ status: 503 }, {});
  const answer = await generateText({ model: make(fetch, own.key), prompt, maxRetries: 2 });
  assert.deepEqual([answer.usage.outputTokens, told.calls], [8, 2]);
  assert.deepEqual(await own.sums(2), { requests: 2, output: 8, estimated: 0, isFree: false });
})));

test("retries that all fail are a RetryError of APICallErrors, and free", () => Promise.all(Object.values(dialects).map(async make => {
  const own = await ledger();
  const { fetch, told } = scripted({ status: 503 });
  await assert.rejects(generateText({ model: make(fetch, own.key), prompt, maxRetries: 1 }), error => {
    assert.ok(RetryError.isInstance(error) && error.errors.every(one => APICallError.isInstance(one)), String(error));
    return error.errors.length === 2;
  });
  assert.equal(told.calls, 2);
  assert.deepEqual(await own.sums(2), { requests: 2, output: 0, estimated: 0, isFree: true });
})));

test("embeddings are booked by their input", async () => {
  const { fetch, told } = scripted();
  const values = ["one two", "three"];
  const answer = await embedMany({ model: openai(fetch, key).textEmbeddingModel(embeddingModel), values });
  assert.deepEqual([answer.embeddings.length, answer.usage.tokens], [2, 3]);
  assert.equal((await booked(told.requestId)).lines[0].usage.input_uncached, 3);
  const gemini = await embedMany({ model: google(fetch, key).textEmbeddingModel("gemini-test"), values });
  assert.deepEqual(gemini.embeddings.map(({ length }) => length), [4, 4]);
});
