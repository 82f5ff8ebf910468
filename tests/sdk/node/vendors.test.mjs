// The official SDKs of OpenAI and Anthropic in Node: what they read, what they throw, and that the books agree with them.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  booked, embeddingModel, key, ledger, messages, model, openaiUrl, rootUrl, scripted, shortMs, slow,
} from "./gateway.mjs";

const openai = (scripts, more = {}) => {
  const { fetch, told } = scripted(...[scripts ?? {}].flat());
  return { client: new OpenAI({ baseURL: openaiUrl, apiKey: key, maxRetries: 0, fetch, ...more }), told };
};
const anthropic = (scripts, more = {}) => {
  const { fetch, told } = scripted(...[scripts ?? {}].flat());
  return { client: new Anthropic({ baseURL: rootUrl, apiKey: key, maxRetries: 0, fetch, ...more }), told };
};
const claude = { model: "claude-test", max_tokens: 64, messages };

const oslo = { city: "Oslo" };
const call = { tool_call: { name: "weather", arguments: oslo } };
const City = z.object({ city: z.string() });

const usageOf = async told => {
  const entry = await booked(told.requestId);
  assert.equal(entry.usage_source, "provider_final");
  return entry.lines[0].usage;
};

test("OpenAI: plain and streamed answers are booked as their usage says", async () => {
  const { client, told } = openai();
  const answer = await client.chat.completions.create({ model, messages });
  assert.equal(answer.usage.completion_tokens, 8);
  assert.equal((await usageOf(told)).output, 8);
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  let chunks = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.choices.length, 1, "an empty choices list reached a client that did not ask");
    chunks += 1;
  }
  assert.equal(chunks, 10);
  assert.equal((await usageOf(told)).output, 8);
});

test("OpenAI: responses, plain and streamed", async () => {
  const { client, told } = openai();
  const answer = await client.responses.create({ model, input: "one two three" });
  assert.match(answer.output_text, /^alpha beta/);
  assert.equal((await usageOf(told)).input_uncached, 3);
  const types = [];
  for await (const event of await client.responses.create({ model, input: "one two three", stream: true })) {
    types.push(event.type);
  }
  assert.equal(types.at(-1), "response.completed");
  assert.equal((await usageOf(told)).output, 8);
});

test("OpenAI: tools come through, plain and streamed", async () => {
  const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
  const { client, told } = openai(call);
  const plain = await client.chat.completions.create({ model, messages, tools });
  assert.equal(plain.choices[0].finish_reason, "tool_calls");
  const final = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  for (const answer of [plain, final]) {
    const { name, arguments: text } = answer.choices[0].message.tool_calls[0].function;
    assert.deepEqual([name, JSON.parse(text)], ["weather", oslo]);
  }
  assert.deepEqual(told.body.tools, tools);
  assert.equal((await usageOf(told)).output, 8);
});

test("OpenAI: structured output and embeddings", async () => {
  const { client, told } = openai({ text: JSON.stringify(oslo) });
  const response_format = zodResponseFormat(City, "city");
  const answer = await client.chat.completions.parse({ model, messages, response_format });
  assert.deepEqual(answer.choices[0].message.parsed, oslo);
  assert.equal(told.body.response_format.type, "json_schema");
  const streamed = await client.chat.completions.stream({ model, messages, response_format }).finalChatCompletion();
  assert.deepEqual(streamed.choices[0].message.parsed, oslo);
  assert.equal((await usageOf(told)).output, 8);
  const embedded = openai();
  const { data, usage } = await embedded.client.embeddings.create({ model: embeddingModel, input: ["one two", "three"] });
  assert.deepEqual([data.length, Array.isArray(data[0].embedding), usage.prompt_tokens], [2, true, 3]);
  assert.equal((await usageOf(embedded.told)).input_uncached, 3);
});

const sdks = [
  ["OpenAI", OpenAI, openai, (client, more) => client.chat.completions.create({ model, messages, ...more })],
  ["Anthropic", Anthropic, anthropic, (client, more) => client.messages.create({ ...claude, ...more })],
];
for (const [name, Sdk, make, ask] of sdks) {
  test(`${name}: errors are the classes that the SDK has for them, and are free`, async () => {
    await assert.rejects(ask(make({}, { apiKey: "wrong" }).client), Sdk.AuthenticationError);
    await assert.rejects(ask(make().client, { model: "no-such-model" }), Sdk.NotFoundError);
    const narrow = await ledger({ models: [embeddingModel] });
    await assert.rejects(ask(make({}, { apiKey: narrow.key }).client), Sdk.PermissionDeniedError);
    for (const [status, kind] of [
      [400, Sdk.BadRequestError], [409, Sdk.ConflictError], [422, Sdk.UnprocessableEntityError],
      [429, Sdk.RateLimitError], [500, Sdk.InternalServerError],
    ]) {
      const { client, told } = make({ status });
      await assert.rejects(ask(client), error => error instanceof kind && error.status === status, `${status}`);
      assert.equal(Number((await booked(told.requestId)).charge_usd), 0);
    }
    const limited = make({}, { apiKey: (await ledger({ requests_per_minute: 1 })).key }).client;
    await ask(limited);
    await assert.rejects(ask(limited), error => {
      assert.ok(error instanceof Sdk.RateLimitError);
      return Number(error.headers.get("retry-after")) > 0;
    });
  });

  test(`${name}: a stream that is not whole throws`, async () => {
    for (const fault of ["cut", "clean_cut", "error_mid_stream"]) {
      const { client, told } = make({ fault, at: 4 });
      let events = 0;
      await assert.rejects(async () => {
        for await (const _ of await ask(client, { stream: true })) events += 1;
      }, Sdk.APIError, fault);
      assert.ok(events >= 4, fault);
      const { outcome } = await booked(told.requestId);
      assert.equal(outcome, fault === "error_mid_stream" ? fault : "truncated");
    }
  });

  test(`${name}: a retry succeeds, and each try is booked once`, async () => {
    for (const fault of [{ status: 503 }, { status: 429, retry_after: "0" }]) {
      const own = await ledger();
      const { client, told } = make([fault, {}], { apiKey: own.key, maxRetries: 2 });
      const answer = await ask(client);
      assert.equal(answer.usage.completion_tokens ?? answer.usage.output_tokens, 8);
      assert.equal(told.calls, 2);
      assert.deepEqual(await own.sums(2), { requests: 2, output: 8, estimated: 0, isFree: false });
    }
  });

  test(`${name}: a timeout is one, and what the provider made is booked`, async () => {
    const own = await ledger();
    const { client, told } = make(slow, { apiKey: own.key, timeout: shortMs });
    await assert.rejects(ask(client), Sdk.APIConnectionTimeoutError);
    assert.equal(told.calls, 1);
    assert.deepEqual(await own.sums(1), { requests: 1, output: 8, estimated: 0, isFree: false });
  });
}

test("what will not succeed is not tried again", async () => {
  for (const [make, call] of [
    [openai, client => client.chat.completions.create({ model: "no-such-model", messages })],
    [anthropic, client => client.messages.create({ ...claude, model: "no-such-model" })],
  ]) {
    const { client, told } = make({}, { maxRetries: 2 });
    await assert.rejects(call(client));
    assert.equal(told.calls, 1);
  }
});

test("Anthropic: plain, streamed and tool answers are booked as their usage says", async () => {
  const { client, told } = anthropic();
  const answer = await client.messages.create(claude);
  assert.equal(answer.usage.output_tokens, 8);
  assert.equal((await usageOf(told)).output, 8);
  const final = await client.messages.stream(claude).finalMessage();
  assert.match(final.content[0].text, /^alpha beta/);
  assert.deepEqual([(await usageOf(told)).input_uncached, (await usageOf(told)).output], [3, 8]);
  const called = anthropic(call);
  const tools = [{ name: "weather", input_schema: { type: "object" } }];
  const message = await called.client.messages.stream({ ...claude, tools }).finalMessage();
  assert.deepEqual(message.content[0].input, oslo);
});

test("Anthropic: structured output is parsed, plain and streamed", async () => {
  const { client, told } = anthropic({ text: JSON.stringify(oslo) });
  const asked = { ...claude, output_config: { format: zodOutputFormat(City) } };
  assert.deepEqual((await client.messages.parse(asked)).parsed_output, oslo);
  assert.equal(told.body.output_config.format.type, "json_schema");
  assert.deepEqual((await client.messages.stream(asked).finalMessage()).parsed_output, oslo);
  assert.equal((await usageOf(told)).output, 8);
});
