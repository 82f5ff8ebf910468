// The `ai` package with its providers of three dialects.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, Output, streamText, tool } from "ai";
import { z } from "zod";
import { booked, key, model, openaiUrl, rootUrl, scripted } from "./gateway.mjs";

const prompt = "one two three";
const dialects = {
  "chat completions": fetch => createOpenAI({ baseURL: openaiUrl, apiKey: key, fetch }).chat(model),
  "responses": fetch => createOpenAI({ baseURL: openaiUrl, apiKey: key, fetch }).responses(model),
  "anthropic": fetch => createAnthropic({ baseURL: `${rootUrl}/v1`, apiKey: key, fetch })("claude-test"),
  "gemini": fetch => createGoogleGenerativeAI({ baseURL: `${rootUrl}/v1beta`, apiKey: key, fetch })("gemini-test"),
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
}

test("structured output and tool calls come through", async () => {
  const schema = z.object({ city: z.string() });
  for (const name of ["responses", "gemini"]) {
    const { fetch } = scripted({ text: '{"city":"Oslo"}' });
    const answer = await generateText({ model: dialects[name](fetch), prompt, output: Output.object({ schema }) });
    assert.deepEqual(answer.output, { city: "Oslo" });
  }
  for (const name of ["responses", "anthropic", "gemini"]) {
    const { fetch } = scripted({ tool_call: { name: "weather", arguments: { city: "Oslo" } } });
    const tools = { weather: tool({ inputSchema: schema }) };
    const answer = await generateText({ model: dialects[name](fetch), prompt, tools });
    assert.deepEqual(answer.toolCalls[0].input, { city: "Oslo" }, name);
  }
});
